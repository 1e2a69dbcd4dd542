"""Images: a block of numbers in every row, none of them missing."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model import traits
from fairway.model.kinds import base, number, tensors, untrained
from fairway.model.kinds.base import Array, Compared, Json, Step
from fairway.model.schema import Feature

MAX_PIXELS = 1024  # drift tests for one image feature: a larger image is averaged over blocks first
MEASURED_PIXELS = 64  # blocks of one image that are measured in each window
LARGEST = 1 << 24  # values of one picture
MOST_AXES = 4
AT_ONCE = 1 << 20  # pixels that are measured at a time: 8 MiB
UNTRAINED = "untrained feature "


class Image(base.Kind):
    """Columns are float32 [n, c, h, w]; from a client [n, c*h*w]."""

    name, noun, dtype = "image", "an image", "float"
    datatype, datatypes, datatype_wanted = "FP32", tuple(tensors.NUMBERS), "FP32 for an image"
    input = "image"
    plain = number.PLAIN
    absent, wanted = None, "a block of numbers"
    sliceable = False

    def read(
        self, values: Iterable[Any], feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        if (
            isinstance(values, np.ndarray)
            and values.dtype.kind in "iuf"
            and values.ndim > 1
            and len(values)
        ):
            return self.column([values.reshape(len(values), -1)], feature)
        return super().read(values, feature, lost=lost)

    def cell(self, value: Any, feature: Feature) -> Any:
        """Return one row's numbers, side by side; in a CSV cell an image is a JSON list."""
        wanted = f"{list(feature.shape)} numbers in each row"
        try:
            listed = json.loads(value) if isinstance(value, str) else value
            pixels: Array = np.asarray(listed, dtype=np.float32).reshape(1, -1)
        except (OverflowError, RecursionError, TypeError, ValueError) as error:
            raise base.Unreadable(value, wanted=wanted) from error
        if pixels.size != feature.size:
            raise base.Unreadable(f"{pixels.size} values", wanted=wanted)
        return pixels

    def column(self, cells: list[Any], feature: Feature) -> Array:
        rows = (
            cells[0] if len(cells) == 1 else np.concatenate(cells or [np.empty((0, feature.size))])
        )
        if rows.shape[1] != feature.size:
            seen = f"{rows.shape[1]} values"
            raise base.Unreadable(seen, wanted=f"{list(feature.shape)} numbers in each row")
        blocks: Array = rows.astype(np.float32, copy=False).reshape(len(rows), *feature.shape)
        return blocks

    def learn(self, name: str, values: Array, *, nullable: bool) -> Feature:
        low, high = float(values.min()), float(values.max())
        return Feature(
            name=name, kind=self.name, shape=tuple(values.shape[1:]), minimum=low, maximum=high
        )

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        limits = base.declared_range(entry, where=where)
        shape = entry.get("shape") or []
        if len(shape) != 3 or not all(type(size) is int and size > 0 for size in shape):
            raise errors.PackageError(
                f"{where}: shape is {entry.get('shape')!r}: wanted [channels, height, width]"
            )
        return limits

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        shape = claimed.get("shape")
        if not isinstance(shape, list) or not _is_shape(shape):
            return (
                "shape",
                shape,
                f"[channels, height, width] of an image with at most {LARGEST} values",
            )
        return base.finite_range(claimed)

    def describe(self, feature: Feature) -> str:
        return f"image of {' by '.join(map(str, feature.shape))}"

    def sweep(self, feature: Feature, steps: Array, *, most: int) -> list[Any]:
        low, high = base.range_of(feature) or (0.0, 1.0)
        ramp = np.linspace(0, 1, feature.size)
        return [low + (high - low) * step / most * ramp for step in steps]

    def fit(self, feature: Feature, values: Array) -> list[Step]:
        """Return the scale from the image's range to 0..1."""
        low, high = float(values.min()), float(values.max())
        return [{"op": "scale", "offset": low, "factor": 1.0 / (high - low) if high > low else 1.0}]

    def usual_steps(self, feature: Feature) -> list[Step]:
        return []

    def profile(self, values: Array) -> Json:
        return number.Number().profile(values)

    def compared(self, name: str, reference: Array, window: Array) -> Iterator[Compared]:
        """Return a test for each pixel, of large images for each block of pixels, and for each
        untrained feature."""
        if window.shape[1:] != reference.shape[1:]:
            wanted, seen = list(reference.shape[1:]), list(window.shape[1:])
            raise errors.DataError(
                f"feature {name} of the window has shape {seen}: wanted {wanted} as in the reference"
            )
        before, after = (_measured(side, _shrunk) for side in (reference, window))
        places = np.ndindex(before.shape[1:])
        before, after = before.reshape(len(before), -1), after.reshape(len(after), -1)
        for i, place in enumerate(places):
            label = ",".join(str(index) for index in place)
            yield from number.compared(f"{name}[{label}]", before[:, i], after[:, i])
        before, after = (_measured(side, untrained.features) for side in (reference, window))
        for i in range(before.shape[1]):
            label = f"{name} ({UNTRAINED}{i})"
            yield from number.compared(label, before[:, i], after[:, i])

    def traits(self, name: str, reference: Array) -> Iterator[traits.Trait]:
        """Return traits of how bright a picture is, of blocks of pixels, and of untrained features:
        these find what leaves each block its mean, and lose noise where pixels were dark."""
        yield from traits.numbers(f"{name} (brightness)", reference, read=_brightness)
        yield traits.blocks(name, reference, read=_blocks)
        if _untrained(reference[:1]).size:
            yield traits.blocks(name, reference, read=_untrained, called=UNTRAINED)

    def outside(self, feature: Feature) -> base.Count | None:
        return base.beyond_range(feature)

    def far(self, feature: Feature) -> base.Count | None:
        return base.beyond_range(feature) or base.enormous

    def from_json(
        self, values: list[Any], rows: int, feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        return _checked(number.parsed(values), rows, feature)

    def from_binary(
        self,
        raw: memoryview,
        datatype: str,
        rows: int,
        feature: Feature,
        *,
        lost: list[int] | None = None,
    ) -> Array:
        values = tensors.numeric(raw, datatype)
        tensors.counted(values.size, rows, feature)
        return _checked(values, rows, feature)


def _is_shape(shape: list[Any]) -> bool:
    sizes = 0 < len(shape) <= MOST_AXES and all(type(size) is int and size > 0 for size in shape)
    return sizes and math.prod(shape) <= LARGEST


def _checked(values: Array, rows: int, feature: Feature) -> Array:
    # A double beyond float32 becomes infinite, which is refused below.
    with np.errstate(over="ignore", invalid="ignore"):
        column = np.ascontiguousarray(values, dtype=np.float32).reshape(rows, feature.size)
    if np.isinf(column).any():
        raise tensors.Unfit("holds an infinite value: wanted finite numbers")
    if np.isnan(column).any():
        raise tensors.Unfit("has a missing value: wanted a number in every row, as in training")
    return column


def _brightness(column: Array) -> NDArray[np.float64]:
    return _measured(column, lambda images: images.reshape(len(images), -1).mean(axis=1))


def _blocks(column: Array) -> NDArray[np.float64]:
    blocks = _measured(column, lambda images: _shrunk(images, most=MEASURED_PIXELS))
    return blocks.reshape(len(column), -1)


def _untrained(column: Array) -> NDArray[np.float64]:
    return _measured(column, untrained.features)


def _measured(column: Array, measure: Callable[[Array], Array]) -> NDArray[np.float64]:
    """Measure some pictures at a time, so that large ones take no more memory."""
    step = max(AT_ONCE // math.prod(column.shape[1:]), 1)
    starts = range(0, max(len(column), 1), step)
    return np.concatenate([measure(number.tame(column[i : i + step])) for i in starts])


def _shrunk(images: Array, *, most: int = MAX_PIXELS) -> Array:
    """Average over blocks of the last two axes until an image has at most so many values."""
    while images.ndim > 2 and int(np.prod(images.shape[1:])) > most and max(images.shape[-2:]) > 1:
        height, width = images.shape[-2] // 2 * 2 or 1, images.shape[-1] // 2 * 2 or 1
        rows, columns = min(2, height), min(2, width)
        trimmed = images[..., :height, :width]
        shape = (*trimmed.shape[:-2], height // rows, rows, width // columns, columns)
        images = trimmed.reshape(shape).mean(axis=(-3, -1))
    return images

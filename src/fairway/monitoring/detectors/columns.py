"""Turns features as they are logged into columns that a univariate test can take: no missing value is passed on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairway import errors
from fairway.monitoring.detectors import base
from fairway.packaging import golden

MAX_PIXELS = 1024  # tests for one image feature: a larger image is averaged over blocks first
# a client may send 1.8e308, whose square is infinite: no detector tells the two apart, but infinity ends it
FURTHEST = 1e100
MIN_EXPECTED = 5.0  # Cochran's rule: below five expected rows a category joins the other rare ones
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One test's data: the reference's values and the window's. Categories are whole numbers, missing values are left out."""

    name: str
    kind: base.Kind
    reference: Array
    window: Array


def columns(
    reference: base.Arrays, window: base.Arrays, *, kinds: Mapping[str, str], classes: Sequence[str]
) -> list[Column]:
    """Return the columns to test; the ones that never vary are left out, since both windows agree on them."""
    found: list[Column] = []
    for name, values in reference.items():
        if name == base.PROBABILITIES:
            found += _probabilities(values, window.get(name), classes=classes)
        elif not name.startswith("__"):
            found += _feature(name, values, _present(name, window), kind=kinds.get(name))
    return found


def _feature(name: str, reference: Array, window: Array, *, kind: str | None) -> Iterator[Column]:
    if reference.ndim > 1 and reference.shape[1:] != (1,):
        yield from _image(name, reference, window)
    elif kind == "category" or (kind is None and reference.dtype.kind in "OSUb"):
        yield from _category(name, reference.reshape(-1), window.reshape(-1))
    else:
        yield from _number(name, reference.reshape(-1), window.reshape(-1))


def _number(name: str, reference: Array, window: Array, *, kind: base.Kind = "number") -> Iterator[Column]:
    before, after = _tame(reference), _tame(window)
    lost, losing = ~np.isfinite(before), ~np.isfinite(after)
    if lost.any() or losing.any():
        if not (lost.all() and losing.all()):
            yield Column(name=f"{name} (missing)", kind="missing", reference=lost, window=losing)
        before, after = before[~lost], after[~losing]
    if len(before) and len(after) and not _constant(before, after):
        yield Column(name=name, kind=kind, reference=before, window=after)


def _category(name: str, reference: Array, window: Array) -> Iterator[Column]:
    """Categories as numbers, missing being one of them; those too rare for the chi-squared distribution are taken together."""
    before, after = words(reference.tolist()), words(window.tolist())
    values, codes = np.unique(np.concatenate([before, after]), return_inverse=True)
    smaller_share = min(len(before), len(after)) / max(len(codes), 1)
    rare = np.bincount(codes, minlength=len(values)) * smaller_share < MIN_EXPECTED
    if rare.sum() > 1:
        codes = np.where(rare[codes], len(values), codes)
    if len(np.unique(codes)) > 1:
        yield Column(name=name, kind="category", reference=codes[: len(before)], window=codes[len(before) :])


def _image(name: str, reference: Array, window: Array) -> Iterator[Column]:
    if window.shape[1:] != reference.shape[1:]:
        wanted, seen = list(reference.shape[1:]), list(window.shape[1:])
        raise errors.DataError(f"feature {name} of the window has shape {seen}: wanted {wanted} as in the reference")
    before, after = _shrunk(_tame(reference)), _shrunk(_tame(window))
    for i, place in enumerate(np.ndindex(before.shape[1:])):
        label = ",".join(str(index) for index in place)
        yield from _number(
            f"{name}[{label}]", before.reshape(len(before), -1)[:, i], after.reshape(len(after), -1)[:, i]
        )


def _shrunk(images: Array) -> Array:
    """Average over blocks of the last two axes until an image has at most MAX_PIXELS values."""
    while images.ndim > 2 and int(np.prod(images.shape[1:])) > MAX_PIXELS and max(images.shape[-2:]) > 1:
        height, width = images.shape[-2] // 2 * 2 or 1, images.shape[-1] // 2 * 2 or 1
        rows, columns = min(2, height), min(2, width)
        trimmed = images[..., :height, :width]
        shape = (*trimmed.shape[:-2], height // rows, rows, width // columns, columns)
        images = trimmed.reshape(shape).mean(axis=(-3, -1))
    return images


def _probabilities(reference: Array, window: Array | None, *, classes: Sequence[str]) -> Iterator[Column]:
    if window is None or not len(window):
        return
    # Two classes say the same thing twice: one test is enough, and costs less of the window's false-alarm budget.
    for i in range(1 if reference.shape[1] == 2 else 0, reference.shape[1]):
        name = classes[i] if i < len(classes) else str(i)
        yield from _number(f"probability[{name}]", reference[:, i], window[:, i], kind="probability")


def _present(name: str, window: base.Arrays) -> Array:
    if name not in window:
        raise errors.DataError(
            f"the window has no feature {name}: wanted the reference's features; were its inputs logged?"
        )
    return window[name]


def words(values: Iterable[Any]) -> Array:
    """Return the words as an array of Python's own: in numpy's, one long word would widen all of them."""
    found = [_word(value) for value in values]
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


def _word(value: Any) -> str:
    if _missing(value):
        return ""
    # A code that a file holds as 3 comes back from JSON as 3.0: the same category.
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return text[: golden.LONGEST_WORD]


def _tame(values: Array) -> Array:
    """Return float64 numbers of which squares and sums are finite; what is not finite itself is missing, NaN."""
    numbers = values.astype(np.float64)
    return np.where(np.isfinite(numbers), np.clip(numbers, -FURTHEST, FURTHEST), np.nan)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _constant(reference: Array, window: Array) -> bool:
    return bool(reference.min() == window.max() and reference.max() == window.min())

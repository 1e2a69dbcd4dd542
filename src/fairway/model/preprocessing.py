"""Preprocessing as data: the steps of `preprocessing.json`, applied the same way in training and in
the model server.

numpy only, since the server imports it. One row and many rows take the same path, so that they give
the same bits.

    {"version": 1, "features": [{"name", "kind", "shape"?, "steps": [{"op": ...}, ...]}]}

    number    impute(value)           a missing value (NaN) becomes `value`
              clip(low, high)         what lies beyond becomes the nearest end
              log                     sign(x) * log(1 + |x|): long tails become short, zero stays zero
              scale(mean, std)        (x - mean) / std
    category  encode(categories, missing)   1.. by place in `categories`, 0 where unknown,
                                            `missing` (0 by default) where missing
    image     scale(offset, factor)   (x - offset) * factor
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from fairway import artifacts, errors
from fairway.model import kinds
from fairway.model.schema import Feature, Schema

Array: TypeAlias = np.ndarray[Any, Any]

Layer = Callable[[Array], Array]
VERSION = 1
NUMBER_OPS = ("impute", "clip", "log", "scale")  # the order in which fitted steps come
PARAMETERS = {"impute": ("value",), "clip": ("low", "high"), "log": (), "scale": ("mean", "std")}
# what changes nothing
NEUTRAL = {"impute": (math.nan,), "clip": (-math.inf, math.inf), "scale": (0.0, 1.0)}


class Named(dict[str, Array]):
    """Preprocessed rows by graph input: numbers float32 [n, k], categories int64 [n, m], image
    float32 [n, c, h, w].

    A key is absent where the dataset has no such feature. `cardinalities` are the index counts of
    the categories, one a column.
    """

    __slots__ = ("cardinalities",)

    def __init__(self, cardinalities: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.cardinalities = cardinalities


class _Codes(dict[Any, int]):
    """The index of each category; anything else is missing or unknown."""

    def __init__(self, categories: Sequence[str], *, absent: int) -> None:
        super().__init__({name: index for index, name in enumerate(categories, start=1)})
        self[None] = self[""] = self.absent = absent

    def __missing__(self, key: Any) -> int:
        return self.absent if key != key else 0  # NaN is the one value that differs from itself


class Preprocessor:
    """The fitted steps of every feature; `load` and `dump` give the same again."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._entries = [dict(entry) for entry in entries]
        numbers, categories, images = (
            self._of(name) for name in ("numbers", "categories", "image")
        )
        if len(images) > 1:
            raise errors.DataError(
                f"the features {[image['name'] for image in images]} are images: wanted at most one"
            )
        self.names = tuple(entry["name"] for entry in self._entries)
        self.numbers = tuple(entry["name"] for entry in numbers)
        self.categories = tuple(entry["name"] for entry in categories)
        self.image: str | None = images[0]["name"] if images else None
        self._expanded = [_expanded(entry) for entry in numbers]
        self._layers = _layers([steps for _, _, left in self._expanded for steps in left])
        self._codes = [_codes(entry) for entry in categories]
        self.cardinalities = tuple(max(codes.values(), default=0) + 1 for codes in self._codes)
        self.image_shape: tuple[int, ...] = tuple(images[0].get("shape") or ()) if images else ()
        self._image_steps = (
            [_image_step(step, images[0]) for step in images[0]["steps"]] if images else []
        )

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> "Preprocessor":
        """Return the preprocessor of `preprocessing.json`'s content; raises DataError naming what
        in it is wrong."""
        seen = data.get("version") if isinstance(data, Mapping) else None
        if seen != VERSION:
            raise errors.DataError(
                f"the preprocessing has version {seen!r}: wanted {VERSION}; prepare the data again"
            )
        try:
            entries = data["features"]
            if not all(isinstance(entry["name"], str) for entry in entries):
                raise TypeError("a feature's name")
            return cls(entries)
        except (
            AttributeError,
            LookupError,
            NotImplementedError,
            OverflowError,
            TypeError,
            ValueError,
        ) as error:
            raise errors.DataError(
                f"the preprocessing lacks or misshapes {error}: prepare the data again"
            ) from error

    def _of(self, name: str) -> list[dict[str, Any]]:
        """Return the entries that become the graph's input of this name."""
        return [entry for entry in self._entries if kinds.named(entry["kind"]).input == name]

    @property
    def kinds(self) -> dict[str, str]:
        """Return the kind of each feature."""
        return {entry["name"]: entry["kind"] for entry in self._entries}

    def dump(self) -> artifacts.Json:
        """Return the content of `preprocessing.json`."""
        return {"version": VERSION, "features": self._entries}

    @property
    def number_columns(self) -> int:
        """Return how many columns the graph's input of numbers has: a moment or a text is several."""
        return sum(wide for _, wide, _ in self._expanded)

    @property
    def width(self) -> int:
        """Columns of the flat layout; the image counts where its shape is known."""
        pixels = math.prod(self.image_shape) if self.image else 0
        return self.number_columns + sum(size - 1 for size in self.cardinalities) + pixels

    def columns(self, layout: str) -> tuple[str, ...]:
        """Return the names of the columns of the layout "flat" or "columns"."""
        indices = zip(self.categories, self.cardinalities, strict=True)
        one_hot = [f"{name}={index}" for name, size in indices for index in range(1, size)]
        categories = one_hot if layout == "flat" else self.categories
        pixels = math.prod(self.image_shape) if self.image else 0
        numbers = [
            name if expand is None else f"{name}[{place}]"
            for name, (expand, wide, _) in zip(self.numbers, self._expanded, strict=True)
            for place in range(wide)
        ]
        return (*numbers, *categories, *(f"{self.image}[{pixel}]" for pixel in range(pixels)))

    def flat(self, named: Mapping[str, Array]) -> Array:
        """Return the flat layout of what `transform` gave, float32 [n, d]."""
        return flat(named, cardinalities=self.cardinalities)

    def transform(self, columns: Mapping[str, Array]) -> Named:
        """Return the graph's inputs for raw columns.

        Raises DataError where a feature is missing or is not what it should be.
        """
        named = Named(self.cardinalities)
        try:
            if self.numbers:
                named["numbers"] = self._numbers(columns)
            if self._codes:
                named["categories"] = self._categories(columns)
            if self.image is not None:
                named["image"] = self._image(columns[self.image])
            if len(named) > 1 and len({len(values) for values in named.values()}) > 1:
                raise ValueError("the features have different numbers of rows")
        except (KeyError, TypeError, ValueError) as error:
            raise self._explained(columns, error) from error
        return named

    def _numbers(self, columns: Mapping[str, Array]) -> Array:
        names = self.numbers
        rows = len(columns[names[0]])
        if any(expand is not None for expand, _, _ in self._expanded):
            parts = [
                expand(columns[name]) if expand is not None else columns[name].reshape(rows, 1)
                for name, (expand, _, _) in zip(names, self._expanded, strict=True)
            ]
            values = np.concatenate(parts, axis=1, dtype=np.float64)
        elif rows == 1:
            values = np.array([[columns[name].item() for name in names]], dtype=np.float64)
        else:
            values = np.empty((rows, len(names)), dtype=np.float64)
            for index, name in enumerate(names):
                values[:, index] = columns[name].reshape(rows)
        for layer in self._layers:
            values = layer(values)
        return values.astype(np.float32)

    def _categories(self, columns: Mapping[str, Array]) -> Array:
        pairs = zip(self.categories, self._codes, strict=True)
        found = [
            [codes[value] for value in columns[name].ravel().tolist()] for name, codes in pairs
        ]
        if len(found[0]) == 1:
            return np.array([[code for (code,) in found]], dtype=np.int64)
        return np.ascontiguousarray(np.array(found, dtype=np.int64).T)

    def _image(self, column: Array) -> Array:
        values = np.asarray(column, dtype=np.float32)
        if self.image_shape:
            values = values.reshape(len(values), *self.image_shape)
        for offset, factor in self._image_steps:
            values = (values - offset) * factor
        return values

    def _explained(self, columns: Mapping[str, Array], error: Exception) -> errors.DataError:
        absent = [name for name in self.names if name not in columns]
        if absent:
            return errors.DataError(
                f"feature {absent[0]!r} is missing: wanted a column for every feature"
            )
        lengths = {name: len(columns[name]) for name in self.names}
        first = self.names[0]
        for name, length in lengths.items():
            if length != lengths[first]:
                return errors.DataError(
                    f"feature {name!r} has {length} rows, {first!r} has {lengths[first]}: wanted one number"
                )
        for name, (expand, _, _) in zip(self.numbers, self._expanded, strict=True):
            if expand is None and columns[name].dtype.kind not in "iufb":
                return errors.DataError(
                    f"feature {name!r} has values of type {columns[name].dtype}: wanted numbers"
                )
        return errors.DataError(f"the columns do not fit the preprocessing: {error}")


def fit(columns: Mapping[str, Array], *, schema: Schema) -> Preprocessor:
    """Return the preprocessing fitted to these raw columns: those of the training split, and no
    others."""
    return Preprocessor([_fitted(feature, columns[feature.name]) for feature in schema.features])


def _fitted(feature: Feature, values: Array) -> artifacts.Json:
    steps = kinds.of(feature).fit(feature, values)
    return {
        "name": feature.name,
        "kind": feature.kind,
        "shape": list(feature.shape),
        "steps": steps,
    }


def flat(named: Mapping[str, Array], *, cardinalities: Sequence[int] | None = None) -> Array:
    """Return the flat layout, float32 [n, d]: numbers, each category one-hot (all zeros where
    unknown), the image's pixels.

    `cardinalities` are not needed where `named` is what `Preprocessor.transform` gave.
    """
    sizes = cardinalities if cardinalities is not None else getattr(named, "cardinalities", None)
    parts = [named["numbers"]] if "numbers" in named else []
    if "categories" in named:
        if not sizes:
            raise errors.DataError(
                "the categories' index counts are not known: wanted what transform gave, or cardinalities"
            )
        parts.append(_one_hot(named["categories"], sizes))
    if "image" in named:
        parts.append(named["image"].reshape(len(named["image"]), -1))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1, dtype=np.float32)


def beside(named: Mapping[str, Array]) -> Array:
    """Return the layout of columns, float32 [n, d]: numbers, each category's index, the image's
    pixels."""
    parts = [
        named[name].reshape(len(named[name]), -1)
        for name in ("numbers", "categories", "image")
        if name in named
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _one_hot(indices: Array, sizes: Sequence[int]) -> Array:
    # index 0, unknown, has no column
    starts = list(itertools.accumulate((size - 1 for size in sizes), initial=-1))
    wide = np.zeros((len(indices), starts.pop() + 1), dtype=np.float32)
    rows, columns = indices.nonzero()
    wide[rows, (indices + starts)[rows, columns]] = 1.0
    return wide


def _codes(entry: Mapping[str, Any]) -> _Codes:
    steps = entry["steps"]
    if len(steps) != 1 or steps[0]["op"] != "encode":
        seen = [step.get("op") for step in steps]
        raise errors.DataError(
            f"the preprocessing of {entry['name']!r} has the steps {seen}: wanted one, encode"
        )
    return _Codes(steps[0]["categories"], absent=int(steps[0].get("missing", 0)))


def _expanded(entry: Mapping[str, Any]) -> tuple[Layer | None, int, list[Any]]:
    """Return what makes several columns of a feature, if anything does, how many they are, and each
    column's steps."""
    steps = entry["steps"]
    if not steps or steps[0]["op"] != "expand":
        return None, 1, [steps]
    if len(steps) > 1:
        raise errors.DataError(
            f"the preprocessing of {entry['name']!r} has steps after expand: wanted none"
        )
    kind, step = kinds.named(entry["kind"]), steps[0]
    wide = kind.expanded_width(step)
    return lambda column: kind.expanded(column, step), wide, [[]] * wide


def _image_step(step: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[np.float32, np.float32]:
    if step["op"] != "scale":
        raise errors.DataError(
            f"the preprocessing of {entry['name']!r} has the step {step['op']!r}: wanted scale for an image"
        )
    return np.float32(step["offset"]), np.float32(step["factor"])


def _layers(steps: Sequence[Sequence[Mapping[str, Any]]]) -> list[Layer]:
    """Return whole-array operations that do each column's steps in its own order, as few as the
    orders allow."""
    left = [list(one) for one in steps]
    layers = []
    while any(left):
        waiting = {one[0]["op"] for one in left if one}
        unknown = waiting - set(NUMBER_OPS)
        if unknown:
            wanted = ", ".join(NUMBER_OPS)
            raise errors.DataError(
                f"the preprocessing has the step {min(unknown)!r}: wanted one of {wanted} for a number"
            )
        op = next(name for name in NUMBER_OPS if name in waiting)
        taken = [one.pop(0) if one and one[0]["op"] == op else None for one in left]
        layers.append(_layer(op, taken))
    return layers


def _layer(op: str, taken: Sequence[Mapping[str, Any] | None]) -> Layer:
    if op == "log":
        return _log(
            np.array([index for index, step in enumerate(taken) if step is not None]),
            total=len(taken),
        )
    given = [
        [float(step[key]) for key in PARAMETERS[op]] if step is not None else NEUTRAL[op]
        for step in taken
    ]
    columns = [np.array(values) for values in zip(*given, strict=True)]
    if op == "impute":
        return _impute(columns[0])
    return _clip(*columns) if op == "clip" else _scale(*columns)


def _impute(replacement: Array) -> Layer:
    def layer(values: Array) -> Array:
        absent = np.isnan(values)
        return np.where(absent, replacement, values) if absent.any() else values

    return layer


def _clip(low: Array, high: Array) -> Layer:
    return lambda values: np.minimum(np.maximum(values, low), high)


def _scale(mean: Array, std: Array) -> Layer:
    return lambda values: (values - mean) / std


def _log(chosen: Array, *, total: int) -> Layer:
    if len(chosen) == total:
        return lambda values: np.copysign(np.log1p(np.abs(values)), values)

    def layer(values: Array) -> Array:
        part = values[:, chosen]
        values = values.copy()
        values[:, chosen] = np.copysign(np.log1p(np.abs(part)), part)
        return values

    return layer

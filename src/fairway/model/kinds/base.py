"""What a kind of feature must say: how its values are read, prepared, profiled, sliced, watched and
sent."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model import spelling, traits
from fairway.model.kinds import tensors
from fairway.model.schema import Feature
from fairway.model.spelling import is_missing as is_missing
from fairway.model.traits import Trait

Array = NDArray[Any]
Json = dict[str, Any]
Step = dict[str, Any]
Count = Callable[[Array], int]
Test = Literal["number", "category", "missing", "probability"]

HASHED = {str, int, float, bool}
ENORMOUS = 1e9  # no feature is trained on values beyond it without scaling them


class Unreadable(ValueError):
    """A raw value that is none of the kind's; `row` is its place in the column."""

    def __init__(self, value: Any, *, row: int = 0, wanted: str) -> None:
        super().__init__()
        self.value, self.row, self.wanted = value, row, wanted

    def __str__(self) -> str:  # made where it is told: a client may send many
        return f"{errors.shortened(repr(errors.excerpt(self.value)))} in row {self.row}: wanted {self.wanted}"


class Ambiguous(ValueError):
    """Raw values that may be written in more than one way, of which only a person knows; the
    message has them."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One drift test's data: the reference's values and the window's, missing ones left out.
    Categories are whole numbers."""

    name: str
    kind: Test
    reference: Array
    window: Array


class Kind(ABC):
    """One kind of feature. Raw columns are numpy arrays, a row for each row, in the one form that
    `read` returns."""

    name: ClassVar[str]  # in schema.json
    noun: ClassVar[str]  # in sentences
    dtype: ClassVar[str]  # in schema.json, unless the feature says it
    datatype: ClassVar[str]  # of its tensor in the model's metadata
    datatypes: ClassVar[Sequence[str]]  # that a client may send
    datatype_wanted: ClassVar[str]
    input: ClassVar[Literal["numbers", "categories", "image"]]  # of the graph
    plain: ClassVar[set[type]]  # types of its values in JSON
    absent: ClassVar[Any]  # a missing value in a raw column; None of a kind without any
    wanted: ClassVar[str]  # of a value, in sentences
    notations: ClassVar[Sequence[str]] = ("",)  # ways to write its values that a schema may name
    sliceable: ClassVar[bool] = True

    # Reading

    def read(
        self, values: Iterable[Any], feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        """Return the raw column of these values, however they are written.

        Raises Unreadable for one that is none, or, where `lost` is given, takes it as missing and
        adds its row there.
        """
        found: list[Any] = []
        # equal values are read once: clients' words may be long to read, and are few
        met: dict[Any, Any] = {}
        for row, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
            key = (type(value), value) if type(value) in HASHED else None
            if key is not None and key in met:
                found.append(met[key])
                continue
            try:
                read = self._value(value, feature)
            except Unreadable as error:
                if lost is None or self.absent is None:
                    raise Unreadable(error.value, row=row, wanted=error.wanted) from error
                lost.append(row)
                read = self.absent
            else:
                if key is not None:
                    met[key] = read
            found.append(read)
        return self.column(found, feature)

    def _value(self, value: Any, feature: Feature) -> Any:
        """Return one value as `read` does."""
        if type(value) not in HASHED:
            try:
                value = spelling.plain(value)
            except ValueError as error:
                raise Unreadable(value, wanted=self.wanted) from error
        if feature.lacks(value):
            if self.absent is None:
                raise Unreadable(value, wanted=self.wanted)
            return self.absent
        return self.cell(value, feature)

    @abstractmethod
    def cell(self, value: Any, feature: Feature) -> Any:
        """Return one value that is not missing as it is in the raw column; raises Unreadable where
        it is none."""

    @abstractmethod
    def column(self, cells: list[Any], feature: Feature) -> Array:
        """Return the raw column of what `cell` gave, `absent` among it."""

    def notation_of(self, values: Array) -> str | None:
        """Return how the known values of a column are written where all of them are of this kind,
        None otherwise.

        A file's columns get the first kind that knows them. Raises Ambiguous where only a person
        knows.
        """
        return None

    def gaps(self, column: Array) -> NDArray[np.bool_]:
        """Return which rows of a raw column are missing."""
        return np.isnan(column) if column.dtype.kind == "f" else column == self.absent

    @abstractmethod
    def learn(self, name: str, values: Array, *, nullable: bool) -> Feature:
        """Return the feature that a raw column shows, its missing values left out; raises DataError
        where it cannot be learnt from."""

    # The schema

    @abstractmethod
    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        """Return the keys of schema.json that an imported model's schema file declares; raises
        PackageError."""

    @abstractmethod
    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        """Return the key of a manifest's feature that cannot be, its value and what is wanted, or
        None."""

    @abstractmethod
    def describe(self, feature: Feature) -> str:
        """Return the feature in words."""

    @abstractmethod
    def sweep(self, feature: Feature, steps: Array, *, most: int) -> list[Any]:
        """Return made-up values, for each of `steps` from 0 to `most` one that lies that far in
        what the feature may be."""

    # Preprocessing

    @abstractmethod
    def fit(self, feature: Feature, values: Array) -> list[Step]:
        """Return the steps of `preprocessing.json`, fitted to the training rows' values."""

    @abstractmethod
    def usual_steps(self, feature: Feature) -> list[Step]:
        """Return the steps of a feature of which nothing but the schema is known."""

    def expanded(self, values: Array, step: Mapping[str, Any]) -> Array:
        """Return the columns of numbers, float64 [n, k], that the one step `expand` makes of a raw
        column."""
        raise NotImplementedError(f"{self.name} is one column")

    def expanded_width(self, step: Mapping[str, Any]) -> int:
        """Return how many columns `expanded` makes."""
        raise NotImplementedError(f"{self.name} is one column")

    # Looking at data

    def remark(self, feature: Feature, values: Array) -> str | None:
        """Return what a person should know of a raw column, in words that go on after the feature's
        name."""
        return None

    @abstractmethod
    def profile(self, values: Array) -> Json:
        """Return the distribution that a person looks at first."""

    def parts(self, values: Array, feature: Feature) -> list[tuple[str, NDArray[np.bool_]]]:
        """Return the slices of a column with their labels; every row is in exactly one."""
        raise NotImplementedError(f"{self.name} has no slices")

    def is_sliced(self, feature: Feature) -> bool:
        """Say whether the feature is sliced without being asked for."""
        return False

    def bins(self, values: Array) -> tuple[NDArray[np.int64], int] | None:
        """Return the values as a few bins, and how many different values there are; None where that
        tells nothing."""
        return None

    # Watching

    @abstractmethod
    def compared(self, name: str, reference: Array, window: Array) -> Iterator[Compared]:
        """Return the columns that a drift test takes; what never varies is left out, since both
        windows agree on it."""

    def traits(self, name: str, reference: Array) -> Iterator[Trait]:
        """Return what the monitor measures of each row of the column, as the reference has it."""
        if reference.dtype.kind in "iufb":
            yield from traits.numbers(name, reference)
        else:
            yield from traits.words(name, _texts(reference), read=_texts)

    def between(self, name: str, reference: Array, other: Array) -> Iterator[Trait]:
        """Return what is measured of two samples that are held against each other: of moments, these
        themselves; of words, those that are common in both."""
        return self.traits(name, reference)

    @abstractmethod
    def outside(self, feature: Feature) -> Count | None:
        """Return what counts the rows beyond all that training saw, or None where that is not
        known."""

    def far(self, feature: Feature) -> Count | None:
        """Return what counts the rows that a model may have no answer to: the enormous ones where
        no range is known."""
        return self.outside(feature)

    # On the wire

    def single(self, value: Any, feature: Feature) -> Array | None:
        """Return the column of one plain value, which most requests hold; None sends anything else
        the careful way."""
        return None

    def from_json(
        self, values: list[Any], rows: int, feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        """Return the column of a tensor's flattened JSON data; raises Unfit, or adds rows to `lost`
        as `read` does."""
        tensors.counted(len(values), rows, feature)
        return self.arrived(values, feature, lost=lost)

    def from_binary(
        self,
        raw: memoryview,
        datatype: str,
        rows: int,
        feature: Feature,
        *,
        lost: list[int] | None = None,
    ) -> Array:
        """Return the column of a binary tensor; raises Unfit, or adds rows to `lost` as `read`
        does."""
        values: Any = (
            tensors.strings(raw) if datatype == "BYTES" else tensors.numeric(raw, datatype)
        )
        tensors.counted(len(values), rows, feature)
        return self.arrived(values, feature, lost=lost)

    def arrived(self, values: Any, feature: Feature, *, lost: list[int] | None) -> Array:
        """Return the column of values that a client sent: a value is missing only where one was in
        training."""
        try:
            column = self.read(values, feature, lost=lost)
        except Unreadable as error:
            seen = errors.shortened(repr(errors.excerpt(error.value)))
            raise tensors.Unfit(
                f"holds {seen} in row {error.row}: wanted {error.wanted}"
            ) from error
        if not feature.nullable and (absent := self.gaps(column)).any():
            if lost is None:
                raise tensors.Unfit(
                    f"has a missing value: wanted {self.noun} in every row, as in training"
                )
            lost[:] = np.flatnonzero(absent).tolist()  # those that could not be read among them
        return column

    def to_json(self, values: Array) -> Any:
        """Return the column as a client sends it: a list, or an array of numbers of which NaN
        becomes null."""
        return np.ascontiguousarray(values).ravel()

    def plain_list(self, values: Array) -> list[Any]:
        """Return the column's values side by side as JSON has them, null where one is missing."""
        return [None if is_missing(value) else value for value in values.ravel().tolist()]

    def levels(self, feature: Feature) -> int:
        """Return how deep lists of this feature's values may be nested."""
        return 1 + len(feature.shape)


def finite_range(claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
    """Return what is wrong with a manifest's `min` and `max`, as `Kind.refuse` does."""
    ends = [claimed.get("min"), claimed.get("max")]
    if all(end is None or (type(end) in (int, float) and math.isfinite(end)) for end in ends):
        return None
    return "min and max", ends, "finite numbers, or null"


def declared_word(value: Any, *, where: str) -> str:
    """Return a name in a schema file as text; raises PackageError for what can be written in
    several ways."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        shown = errors.shortened(json.dumps(value, default=str))
        raise errors.PackageError(
            f"{where} has {shown}, which is no text: wanted it in quotes, as rows have it"
        )
    return str(value)


def declared_range(entry: Mapping[str, Any], *, where: str) -> Json:
    """Return `min` and `max` of an imported model's `range`; raises PackageError where it is none."""
    value = entry.get("range")
    if value is None:
        return {"min": None, "max": None}
    numbers = isinstance(value, list) and all(
        type(end) in (int, float) and math.isfinite(end) for end in value
    )
    if numbers and len(value) == 2 and value[0] <= value[1]:
        return {"min": float(value[0]), "max": float(value[1])}
    raise errors.PackageError(f"{where}: range is {value!r}: wanted [lowest, highest]")


def range_of(feature: Feature) -> tuple[float, float] | None:
    """Return the range that training saw, where it is known."""
    if feature.minimum is None or feature.maximum is None:
        return None
    return feature.minimum, feature.maximum


def beyond_range(feature: Feature) -> Count | None:
    """Return what counts the rows with a number outside the range that training saw, None where
    none is known."""
    limits = range_of(feature)
    return beyond(limits) if limits else None


def beyond(limits: tuple[float, float]) -> Count:
    """Return what counts the rows with a value outside the limits."""
    low, high = limits

    def count(values: Array) -> int:
        if values.size == 1:
            value = values.item()  # comparing numpy's scalars takes three times as long
            return int(value < low or value > high)
        outside = (values < low) | (values > high)
        return int(np.count_nonzero(outside.any(axis=1) if outside.ndim > 1 else outside))

    return count


enormous = beyond((-ENORMOUS, ENORMOUS))


def _texts(column: Array) -> list[str]:
    return ["" if is_missing(value) else str(value) for value in column.reshape(-1).tolist()]

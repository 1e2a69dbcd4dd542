"""Numbers: whole or not, missing where they are NaN."""

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model import spelling, traits
from fairway.model.kinds import base, tensors
from fairway.model.kinds.base import Array, Compared, Json, Step
from fairway.model.schema import Feature

# Numbers are clipped this many ranges beyond those of training: a wild value must not drown the
# others, a shift still shows.
REACH = 1.5
# times as far from the middle as this share of values: no measurement, a mistake
WILD, NEARLY_ALL = 1e6, 0.95
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
PARTS = 4  # a number is sliced at its quartiles, or by value where it has no more values than that
BINS = 50
FURTHEST = (
    # a client may send 1.8e308, whose square is infinite: no test tells the two apart, but infinity
    # ends it
    1e100
)
DIGITS = set("0123456789.-+eE ")
PLAIN: set[type] = {int, float, type(None)}
# between them whole numbers name something; beyond, measure
EXACT, LONGEST_IDENTIFIER = float(spelling.EXACT), 1e20


class Number(base.Kind):
    """Columns are float64 [n]; NaN where a value is missing."""

    name, noun, dtype = "number", "a number", "float"
    datatype, datatypes, datatype_wanted = "FP64", tensors.DATATYPES, "FP64 or INT64 for a number"
    input = "numbers"
    plain = PLAIN
    absent, wanted = math.nan, "a finite number"
    notations: ClassVar[Sequence[str]] = spelling.NOTATIONS
    digits: ClassVar[bool] = True  # texts that are numbers mean these

    def read(
        self, values: Iterable[Any], feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        given = values if isinstance(values, np.ndarray | list) else list(values)
        numbers = self._quick(given, feature)
        if numbers is not None:
            return numbers
        return super().read(self.unmixed(given, feature), feature, lost=lost)

    def _quick(self, values: Array | list[Any], feature: Feature) -> Array | None:
        """Return the column of values that are numbers and nothing else, None where others are
        among them."""
        numbers = _plain(values)
        if (
            numbers is None
            and self.digits
            and feature.notation == spelling.POINT
            and set(map(type, values)) == {str}
        ):
            numbers = _digits(values)
        if numbers is None or np.isinf(numbers).any() or not self.fits(numbers):
            return None
        if feature.missing_numbers.size:
            numbers[np.isin(numbers, feature.missing_numbers)] = math.nan
        return numbers

    def fits(self, numbers: Array) -> bool:
        """Say whether numbers that are finite or missing are all of this kind."""
        return True

    def unmixed(self, values: Array | list[Any], feature: Feature) -> Array | list[Any]:
        """Return the values, booleans as 0 and 1 where all are booleans: among numbers, and where
        training saw others than 0 and 1, they are a mistake."""
        low, high = base.range_of(feature) or (0.0, 1.0)
        if low < 0 or high > 1:
            return values
        plain = values.tolist() if isinstance(values, np.ndarray) else values
        if set(map(type, plain)) <= {bool, np.bool_, type(None)}:
            return [None if value is None else int(value) for value in plain]
        return plain

    def cell(self, value: Any, feature: Feature) -> Any:
        number = spelling.number(value, feature.notation) if type(value) is str else _number(value)
        if number is None:
            wanted = (
                f"{self.wanted}, such as {spelling.EXAMPLES[feature.notation]}"
                if feature.notation
                else self.wanted
            )
            raise base.Unreadable(value, wanted=wanted)
        return math.nan if number in feature.gaps else number

    def column(self, cells: list[Any], feature: Feature) -> Array:
        return np.array(cells, dtype=np.float64)

    def notation_of(self, values: Array) -> str | None:
        if values.dtype.kind in "iuf":
            return spelling.POINT
        different = set(values.tolist()) if values.dtype == object and _hashable(values) else set()
        words = [value for value in different if type(value) is str]
        if not different or any(spelling.LEADING_ZERO.match(word.strip()) for word in words):
            # what begins with a zero is a code, unless a person says that it is a number
            return None
        if any(type(value) is not str and _number(value) is None for value in different):
            return None
        try:
            return spelling.notation_of(words)
        except ValueError as error:
            raise base.Ambiguous(str(error)) from error

    def learn(self, name: str, values: Array, *, nullable: bool) -> Feature:
        known = values[~np.isnan(values)]
        whole = bool((known == known.round()).all())
        if whole and EXACT < np.abs(known).max() < LONGEST_IDENTIFIER:
            raise errors.DataError(
                f"feature {name} has whole numbers beyond 2^53, such as {known[np.abs(known).argmax()]:.0f}, which as "
                "numbers cannot be told apart: it is likely an identifier; add it to data.ignore, or to "
                "data.categorical where they are codes"
            )
        return Feature(
            name=name,
            kind=self.name,
            dtype="int" if whole else "float",
            nullable=nullable,
            minimum=float(known.min()),
            maximum=float(known.max()),
        )

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        return base.declared_range(entry, where=where)

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        if claimed.get("shape"):
            return "shape", claimed["shape"], "[] of a number"
        return base.finite_range(claimed)

    def describe(self, feature: Feature) -> str:
        whole = "whole number" if feature.dtype == "int" else "number"
        return f"{whole} from {_shown(feature.minimum)} to {_shown(feature.maximum)}"

    def sweep(self, feature: Feature, steps: Array, *, most: int) -> list[Any]:
        low, high = base.range_of(feature) or (0.0, 1.0)
        values = low + (high - low) * steps / most
        return [float(round(value)) if feature.dtype == "int" else float(value) for value in values]

    def fit(self, feature: Feature, values: Array) -> list[Step]:
        """Return the median where missing, a clip well beyond the training range, then mean 0 and
        deviation 1.

        A wild value (see `usual`) has no part in them: beside 1e200 every other would be the same.
        """
        known = values[~np.isnan(values)].astype(np.float64)
        median = float(np.median(known)) if len(known) else 0.0
        filled = np.where(np.isnan(values), median, values)
        filled = filled[usual(filled)]
        low, high, deviation = float(filled.min()), float(filled.max()), float(filled.std())
        reach = REACH * (high - low) if high > low else 1.0
        return [
            {"op": "impute", "value": median},
            {"op": "clip", "low": low - reach, "high": high + reach},
            {
                "op": "scale",
                "mean": float(filled.mean()),
                "std": deviation if deviation > 0 else 1.0,
            },
        ]

    def remark(self, feature: Feature, values: Array) -> str | None:
        known = values[~np.isnan(values)]
        wild = known[~usual(known)]
        if not len(wild):
            return None
        return (
            f"is {wild[0]:g} in {len(wild)} of {len(values)} rows, a million times as far as the others lie: it is "
            "taken as the end of their range; correct it, or add it to data.missingValues"
        )

    def usual_steps(self, feature: Feature) -> list[Step]:
        return []

    def profile(self, values: Array) -> Json:
        flat = tame(values).ravel()
        known = flat[~np.isnan(flat)]
        if not len(known):
            return {"missing": 1.0}
        quantiles = {
            str(q): float(v) for q, v in zip(QUANTILES, np.quantile(known, QUANTILES), strict=True)
        }
        return {
            "missing": 1 - len(known) / len(flat),
            "mean": float(known.mean()),
            "std": float(known.std()),
            "min": float(known.min()),
            "max": float(known.max()),
            "quantiles": quantiles,
        }

    def parts(self, values: Array, feature: Feature) -> list[tuple[str, NDArray[np.bool_]]]:
        absent = np.isnan(values)
        return [
            *_ranges(values, feature.name, present=values[~absent]),
            (f"{feature.name} = (missing)", absent),
        ]

    def bins(self, values: Array) -> tuple[NDArray[np.int64], int] | None:
        absent = np.isnan(values)
        lowest = 0.0 if absent.all() else np.nanmin(values)
        filled = np.where(absent, lowest - 1, values)
        distinct = np.unique(filled)
        if len(distinct) > BINS:
            edges = np.unique(np.quantile(filled, np.linspace(0, 1, BINS + 1)[1:-1]))
            return np.searchsorted(edges, filled), len(distinct)
        return np.searchsorted(distinct, filled), len(distinct)

    def compared(self, name: str, reference: Array, window: Array) -> Iterator[Compared]:
        yield from compared(name, reference.reshape(-1), window.reshape(-1))

    def traits(self, name: str, reference: Array) -> Iterator[traits.Trait]:
        yield from traits.numbers(name, reference)

    def outside(self, feature: Feature) -> base.Count | None:
        return base.beyond_range(feature)

    def far(self, feature: Feature) -> base.Count | None:
        return base.beyond_range(feature) or base.enormous

    def single(self, value: Any, feature: Feature) -> Array | None:
        kind = type(value)
        if (kind is float or kind is int) and math.isfinite(value) and value not in feature.gaps:
            return np.array((value + 0.0,), dtype=np.float64)
        return None

    def from_json(
        self, values: list[Any], rows: int, feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        numbers = _plain(values)
        if (
            numbers is not None
            and np.isfinite(numbers).all()
            and not feature.missing_numbers.size
            and self.fits(numbers)
        ):
            return numbers
        return super().from_json(values, rows, feature, lost=lost)


def usual(values: Array) -> NDArray[np.bool_]:
    """Return which values lie no further from the middle than WILD times as nearly all of them do."""
    if not len(values):
        return np.ones(0, dtype=bool)
    middle = np.median(tame(values))
    away = np.abs(tame(values) - middle)
    most = np.quantile(away, NEARLY_ALL)
    near: NDArray[np.bool_] = away <= WILD * float(
        most if most > 0 else np.maximum(1.0, abs(middle))
    )
    return near


def parsed(values: list[Any]) -> Array:
    """Return the numbers of a list that came from JSON; raises Unfit for anything else than numbers
    and null."""
    if not set(map(type, values)) <= PLAIN:
        # Asked of Python's types: numpy would turn "1" and true into numbers without a word.
        wrong = next(value for value in values if type(value) not in PLAIN)
        seen = errors.shortened(repr(errors.excerpt(wrong)))
        raise tensors.Unfit(f"holds {seen}: wanted numbers, or null where one is missing")
    return np.array(values, dtype=np.float64)


def compared(
    name: str, reference: Array, window: Array, *, kind: base.Test = "number"
) -> Iterator[Compared]:
    """Return the test of the values, and before it one of how many are missing."""
    before, after = tame(reference), tame(window)
    lost, losing = ~np.isfinite(before), ~np.isfinite(after)
    if lost.any() or losing.any():
        if not (lost.all() and losing.all()):
            yield Compared(name=f"{name} (missing)", kind="missing", reference=lost, window=losing)
        before, after = before[~lost], after[~losing]
    if len(before) and len(after) and not _constant(before, after):
        yield Compared(name=name, kind=kind, reference=before, window=after)


def tame(values: Array) -> Array:
    """Return float64 numbers of which squares and sums are finite; what is not finite itself is
    missing, NaN."""
    numbers = values.astype(np.float64)
    return np.where(np.isfinite(numbers), np.clip(numbers, -FURTHEST, FURTHEST), np.nan)


def _plain(values: Array | list[Any]) -> Array | None:
    """Return the numbers of values that are numbers and nothing else, None where there are others."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "iufb":
            return None
        # -0.0 and 0.0 are one value, and hash alike
        return values.astype(np.float64).reshape(len(values)) + 0.0
    if not set(map(type, values)) <= PLAIN:
        return None
    try:
        numbers: Array = np.array(values, dtype=np.float64)
    except OverflowError:
        return None
    numbers += 0.0
    return numbers


def _digits(values: Array | list[Any]) -> Array | None:
    """Return the numbers of texts that have nothing but digits and what goes with them, None where
    one has more."""
    if set("".join(values)) <= DIGITS:
        with contextlib.suppress(ValueError):
            return np.array(list(map(float, values)), dtype=np.float64) + 0.0
    return None


def _number(value: Any) -> float | None:
    if type(value) is bool or not isinstance(value, int | float | Decimal | np.number):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):  # a signalling NaN
        return None
    return number + 0.0 if math.isfinite(number) else None


def _hashable(values: Array) -> bool:
    return not set(map(type, values.tolist())) & {list, dict, set, np.ndarray}


def _ranges(column: Array, name: str, *, present: Array) -> list[tuple[str, NDArray[np.bool_]]]:
    values = np.unique(present)
    if len(values) <= PARTS:
        return [(f"{name} = {value:g}", column == value) for value in values]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, PARTS + 1)))
    pairs = list(itertools.pairwise(edges))
    inner = [
        (f"{name} from {low:g} to below {high:g}", (column >= low) & (column < high))
        for low, high in pairs[:-1]
    ]
    low, high = pairs[-1]
    return [*inner, (f"{name} from {low:g} to {high:g}", (column >= low) & (column <= high))]


def _constant(before: Array, after: Array) -> bool:
    return bool(before.min() == after.max() and before.max() == after.min())


def _shown(value: float | None) -> str:
    return f"{value:.6g}" if value is not None else "?"

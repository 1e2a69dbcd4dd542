"""Categories: words of a known list; the empty word is a missing value."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts, errors
from fairway.model import adorned, spelling, traits
from fairway.model.kinds import base, tensors
from fairway.model.kinds.base import Array, Compared, Json, Step
from fairway.model.schema import Feature

DOUBLE = 8  # bytes of a number that JSON holds as it is
FEW = 12  # categories with at most this many values are sliced without being asked
TOP = 20  # values of a profile
# characters by which drift is told: numpy's words are all as wide as the longest
LONGEST_WORD = 256
WORDS = {str, int, float, bool, np.bool_, Decimal}  # what a word may be written as
SWITCHES = {"True", "False"}
MIXED = (
    "has {kind} beside {other!r}, so that all are words: correct the rows, or add {other!r} to "
    "data.missingValues if it stands for none"
)
MIN_EXPECTED = 5.0  # Cochran's rule: below five expected rows a category joins the other rare ones


class Category(base.Kind):
    """Columns are Python strings in an object array [n]; "" where a value is missing."""

    name, noun, dtype = "category", "a category", "string"
    datatype, datatypes, datatype_wanted = "BYTES", tensors.DATATYPES, "BYTES for a category"
    input = "categories"
    plain = {str, type(None)}  # noqa: RUF012 - a constant, as of the other kinds
    absent, wanted = "", "a word"

    def read(
        self, values: Iterable[Any], feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        given = _listed(values) if isinstance(values, np.ndarray) else list(values)
        if set(map(type, given)) == {str} and feature.words.keys() >= set(given):
            return self.column([feature.words[value] for value in given], feature)
        return super().read(given, feature, lost=lost)

    def cell(self, value: Any, feature: Feature) -> Any:
        # as a model trained elsewhere may know it, with its spaces
        if type(value) is str and value in feature.words:
            return feature.words[value]
        try:
            word = spelling.text(value)
        except ValueError as error:
            raise base.Unreadable(value, wanted=self.wanted) from error
        if word in feature.gaps:
            return ""
        equal = _equal(word, feature)
        if len(equal) > 1 and type(value) is not str:
            wanted = f"the text {' or '.join(map(repr, equal))}, which are one number"
            raise base.Unreadable(value, wanted=wanted)
        return feature.words.get(word) or (equal[0] if len(equal) == 1 else word)

    def column(self, cells: list[Any], feature: Feature) -> Array:
        return _column(cells)

    def notation_of(self, values: Array) -> str | None:
        """Return that of every column of words, numbers and booleans: what no kind before this one
        knows."""
        return "" if set(map(type, values.tolist())) <= WORDS else None

    def learn(self, name: str, values: Array, *, nullable: bool) -> Feature:
        """Return the category with its words, most frequent first; ties by name: same content, same
        schema."""
        counts = Counter(value for value in values.tolist() if value)
        ordered = sorted(counts, key=lambda value: (-counts[value], value))
        return Feature(
            name=name,
            kind=self.name,
            dtype=self.dtype,
            categories=tuple(ordered),
            nullable=nullable,
        )

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        base.declared_range(entry, where=where)
        categories = entry.get("categories")
        if not isinstance(categories, list) or not categories:
            raise errors.PackageError(
                f"{where}: categories is {categories!r}: wanted the list of values that the model knows"
            )
        return {
            "categories": [
                base.declared_word(value, where=f"{where}: categories") for value in categories
            ]
        }

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        if claimed.get("shape"):
            return "shape", claimed["shape"], "[] of a category"
        categories = claimed.get("categories")
        if isinstance(categories, list) and artifacts.is_plain(categories, kinds={str}):
            return None
        return "categories", categories, "a list of words"

    def describe(self, feature: Feature) -> str:
        shown = ", ".join(feature.categories[:3]) + (", ..." if len(feature.categories) > 3 else "")
        return f"category of {len(feature.categories)} ({shown})"

    def sweep(self, feature: Feature, steps: Array, *, most: int) -> list[Any]:
        return [feature.categories[step % len(feature.categories)] for step in steps]

    def fit(self, feature: Feature, values: Array) -> list[Step]:
        """Return each word's index, one more where values are missing; words of other rows alone
        are unknown."""
        seen = {"" if base.is_missing(value) else value for value in values.tolist()}
        names = [name for name in feature.categories if name in seen]
        missing = {"missing": len(names) + 1} if "" in seen else {}
        return [{"op": "encode", "categories": names, **missing}]

    def usual_steps(self, feature: Feature) -> list[Step]:
        return [{"op": "encode", "categories": list(feature.categories)}]

    def remark(self, feature: Feature, values: Array) -> str | None:
        """Say which codes only a text can tell apart, and what makes words of numbers."""
        numbers = [name for name in feature.categories if spelling.decimal(name) is not None]
        others = [name for name in feature.categories if spelling.decimal(name) is None]
        codes = any(spelling.LEADING_ZERO.match(name) for name in others)  # 04 beside 12
        if others and len(numbers) > len(others) and not codes:
            return MIXED.format(kind="numbers", other=others[-1])
        names = set(feature.categories)
        if names > SWITCHES:
            other = max(names - SWITCHES)
            return MIXED.format(kind="true and false", other=other)
        unit = adorned.shared(feature.categories) if len(feature.categories) > FEW else None
        if unit is not None:
            return f"{unit}: write the numbers alone where they are quantities"
        alike = next((names for names in feature.numbered.values() if len(names) > 1), None)
        if alike is None:
            return None
        return f"has the codes {' and '.join(alike)}, which are one number: clients must send them as text"

    def profile(self, values: Array) -> Json:
        counts = Counter(values.tolist())
        missing = counts.pop("", 0)
        return {
            "missing": missing / max(1, len(values)),
            "distinct": len(counts),
            "top": dict(counts.most_common(TOP)),
        }

    def parts(self, values: Array, feature: Feature) -> list[tuple[str, NDArray[np.bool_]]]:
        words = _column([value or "" for value in values.tolist()])
        return [
            (f"{feature.name} = {word or '(missing)'}", words == word)
            for word in sorted(set(words.tolist()))
        ]

    def is_sliced(self, feature: Feature) -> bool:
        return len(feature.categories) <= FEW

    def bins(self, values: Array) -> tuple[NDArray[np.int64], int] | None:
        codes = np.unique(values.astype(str), return_inverse=True)[1]
        return codes.astype(np.int64), int(codes.max()) + 1

    def compared(self, name: str, reference: Array, window: Array) -> Iterator[Compared]:
        """Return the words as numbers, missing being one of them; those too rare for the
        chi-squared test are taken together."""
        before, after = (
            shortened(reference.reshape(-1).tolist()),
            shortened(window.reshape(-1).tolist()),
        )
        values, codes = np.unique(np.concatenate([before, after]), return_inverse=True)
        smaller_share = min(len(before), len(after)) / max(len(codes), 1)
        rare = np.bincount(codes, minlength=len(values)) * smaller_share < MIN_EXPECTED
        if rare.sum() > 1:
            codes = np.where(rare[codes], len(values), codes)
        if len(np.unique(codes)) > 1:
            yield Compared(
                name=name,
                kind="category",
                reference=codes[: len(before)],
                window=codes[len(before) :],
            )

    def between(self, name: str, reference: Array, other: Array) -> Iterator[traits.Trait]:
        yield from traits.words(name, _words(reference), read=_words, beside=_words(other))

    def traits(self, name: str, reference: Array) -> Iterator[traits.Trait]:
        yield from traits.words(name, _words(reference), read=_words)

    def outside(self, feature: Feature) -> base.Count | None:
        known = frozenset(feature.categories)
        return lambda values: sum(1 for value in values if value and value not in known)

    def single(self, value: Any, feature: Feature) -> Array | None:
        if type(value) is str and value and value in feature.words:
            column = np.empty(1, dtype=object)
            column[0] = feature.words[value]
            return column
        return None

    def from_json(
        self, values: list[Any], rows: int, feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        try:
            known = list(map(feature.words.get, values))
        except TypeError:  # a map, which has no hash
            known = [None]
        return (
            _column(known)
            if None not in known
            else super().from_json(values, rows, feature, lost=lost)
        )

    def to_json(self, values: Array) -> Any:
        return values.tolist()


def shortened(values: Iterable[Any]) -> Array:
    """Return the words of raw values as drift compares them."""
    given = list(values)
    # equal texts are looked at once: they are many, and few are different
    short = {word: _shortened(word) for word in {one for one in given if type(one) is str}}
    return _column([short[one] if type(one) is str else _shortened(one) for one in given])


def _shortened(value: Any) -> str:
    return spelling.text(value)[:LONGEST_WORD]


def _words(column: Array) -> list[str]:
    words: list[str] = shortened(column.reshape(-1).tolist()).tolist()
    return words


def _equal(word: str, feature: Feature) -> tuple[str, ...]:
    """Return the categories that are the same number as a word."""
    number = spelling.decimal(word) if feature.numbered else None
    return () if number is None else feature.numbered.get(number, ())


def _listed(values: Array) -> list[Any]:
    """Return the values as Python has them; a code of 32 or 16 bits is the number that it is
    written as, 1.1 and not 1.10000002384."""
    short = np.issubdtype(values.dtype, np.floating) and values.dtype.itemsize < DOUBLE
    return list(map(float, map(str, values))) if short else values.tolist()


def _column(values: list[Any]) -> Array:
    """Return an array of Python's own strings: in numpy's, one long word would widen all of them."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column

"""Traits: what is measured of every row of a column, so that a shift of the column moves a mean.

A window's shift is then the difference of two means, whatever the kind: of a number's rank among
the reference's, of whether a word is this one, of whether a value is missing. What one row adds is
bounded, so no value that a client sends can move a window by itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = NDArray[np.float64]
Concern = Literal["covariate", "quality"]
KNOTS = 512  # of the curve from a value to its rank
WORDS = 60  # of one column that are looked at one by one; the others are taken together
COMMON = 10  # times that the reference has such a word, at least
RUNS = 20  # of the reference, for words that are new in one of them
UNSEEN = "unseen words"  # of the reference: that they are fewer is nothing's fault
MARGIN = 0.5  # of the reference's span: a value further out than that is out of range
NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Trait:
    """What is measured of each row of one column.

    `measure` gives an array [rows, parts] of the raw column; NaN where a row says nothing. `unit`
    is what a difference of its means is told in: `sd` (standard deviations of the reference) or
    `share` (of the rows).
    """

    name: str  # a part of the column has it in brackets: image[0,3,4]
    parts: tuple[str, ...]
    measure: Callable[[Array], Rows]
    unit: Literal["sd", "share"] = "share"
    concern: Concern = "covariate"
    # of the reference's own rows, where that must not know of them: a word is new where no other
    # part of the reference has it
    own: Rows | None = None
    joins: bool = False  # its first part goes with those of other columns into what they share


def flat(column: Array) -> Rows:
    """Return a column of numbers, one a row."""
    return np.asarray(column, dtype=np.float64).reshape(-1)


def numbers(
    name: str, reference: Array, *, read: Callable[[Array], Rows] = flat, ranged: bool = True
) -> Iterator[Trait]:
    """Return the traits of numbers: rank, distance from the middle, missing, out of range."""
    values = read(reference)
    values = values[np.isfinite(values)]
    if len(values):
        ranks = _Ranks(values)
        yield Trait(
            name=name,
            parts=("mean", "spread"),
            measure=lambda column: _level_and_spread(ranks(read(column))),
            unit="sd",
            joins=ranks.varies,
        )
        if ranged:
            beyond = _beyond(values)
            yield Trait(
                name=name,
                parts=("out of range",),
                measure=lambda column: beyond(read(column))[:, None],
                concern="quality",
            )
    yield missing(name, lambda column: ~np.isfinite(read(column)))


def missing(name: str, lacks: Callable[[Array], NDArray[np.bool_]]) -> Trait:
    """Return the trait of whether a value is missing."""
    return Trait(
        name=name,
        parts=("missing",),
        measure=lambda column: lacks(column).astype(np.float64)[:, None],
        concern="quality",
    )


def words(
    name: str,
    reference: Sequence[str],
    *,
    read: Callable[[Array], Sequence[str]],
    beside: Sequence[str] = (),
) -> Iterator[Trait]:
    """Return the traits of words: which of the commonest it is, any of the rarer, one that the
    reference has not, none.

    Among words that are as common, those of the reference alone would be those that chance favoured
    there: another sample would have fewer of them. So the commonest of both are taken where the
    other sample is known, which is `beside`.
    """
    counted = Counter(word for word in reference if word)
    every = counted + Counter({word: n for word, n in Counter(beside).items() if word in counted})
    common = [word for word, times in every.most_common(WORDS) if times >= COMMON]
    parts = (*common, "rarer words")
    places = {"": -1, **{word: place for place, word in enumerate(common)}}

    def which(column: Array) -> Rows:
        found = [places.get(word, len(common)) for word in read(column)]
        return _indicators(found, width=len(parts))

    def unseen(column: Array) -> Rows:
        unknown = [bool(word) and word not in counted for word in read(column)]
        return np.array(unknown, dtype=np.float64).reshape(-1, 1)

    yield Trait(name=name, parts=parts, measure=which)
    yield Trait(
        name=name,
        parts=(UNSEEN,),
        measure=unseen,
        concern="quality",
        own=_new_words(reference),
    )
    yield missing(name, lambda column: np.array([not word for word in read(column)], dtype=bool))


def codes(
    name: str, parts: Sequence[str], *, read: Callable[[Array], Iterable[int]], joins: bool = False
) -> Trait:
    """Return the trait of which of a few it is; a code below 0 is none of them."""

    def which(column: Array) -> Rows:
        return _indicators(list(read(column)), width=len(parts))

    return Trait(name=name, parts=tuple(parts), measure=which, joins=joins)


def blocks(
    name: str, reference: Array, *, read: Callable[[Array], Rows], called: str = ""
) -> Trait:
    """Return the trait of blocks of numbers side by side, such as the pixels of a picture, each
    within the reference's range and a margin; a part is `called` so, with its place."""
    seen = read(reference)
    low, high = np.fmin.reduce(seen, axis=0), np.fmax.reduce(seen, axis=0)  # NaN where all are
    margin = MARGIN * np.maximum(high - low, np.abs(high) + 1e-9)

    def measure(column: Array) -> Rows:
        return np.clip(read(column), low - margin, high + margin)

    return Trait(
        name=name,
        parts=tuple(f"{called}[{place}]" for place in range(seen.shape[1])),
        measure=measure,
        unit="sd",
    )


class _Ranks:
    """The normal score of a value's rank among the reference's: bounded, and linear where the
    reference is normal (van der Waerden 1952)."""

    def __init__(self, values: Rows) -> None:
        different, counts = np.unique(values, return_counts=True)
        middle = (np.cumsum(counts) - counts / 2) / counts.sum()
        if len(different) > KNOTS:
            chosen = np.unique(
                np.searchsorted(middle, np.linspace(0, 1, KNOTS), side="left").clip(
                    0, len(different) - 1
                )
            )
            different, middle = different[chosen], middle[chosen]
        scores = np.array([NORMAL.inv_cdf(share) for share in middle])
        self.knots, self.scores, self.varies = different, scores, len(different) > 1

    def __call__(self, values: Rows) -> Rows:
        scores = np.interp(values, self.knots, self.scores)
        # what never varied has one knot: lower and higher are told apart all the same
        if not self.varies:
            scores = np.sign(values - self.knots[0])
        return np.where(np.isfinite(values), scores, np.nan)


def _level_and_spread(scores: Rows) -> Rows:
    return np.stack([scores, np.abs(scores)], axis=1)


def _beyond(values: Rows) -> Callable[[Rows], Rows]:
    low, high = float(values.min()), float(values.max())
    # halves first: the span of enormous numbers is no number
    margin = 2 * MARGIN * (high / 2 - low / 2) or abs(high) / 2 or 1.0
    with np.errstate(over="ignore"):
        lowest, highest = np.float64(low) - margin, np.float64(high) + margin
    return lambda column: ((column < lowest) | (column > highest)).astype(np.float64)


def _new_words(reference: Sequence[str]) -> Rows:
    """Return for each row whether its word is in no other run of the reference: so often do new
    words come (the leave-one-out view of Good 1953)."""
    runs = np.arange(len(reference)) * RUNS // max(len(reference), 1)
    where: dict[str, set[int]] = {}
    for word, run in zip(reference, runs.tolist(), strict=True):
        where.setdefault(word, set()).add(run)
    new = [bool(word) and len(where[word]) == 1 for word in reference]
    return np.array(new, dtype=np.float64).reshape(-1, 1)


def _indicators(places: Sequence[int], *, width: int) -> Rows:
    found = np.zeros((len(places), width))
    at = np.asarray(places, dtype=np.int64)
    known = np.flatnonzero((at >= 0) & (at < width))
    found[known, at[known]] = 1.0
    return found

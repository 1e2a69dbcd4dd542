"""Two samples of rows held against each other: which columns moved, by how much, how sure. Pure.

The traits of both are measured as the first decides them (`measures`), and the difference of their
means is held against what chance makes of it (`permutation`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fairway import errors
from fairway.config import sections
from fairway.model.schema import Schema
from fairway.model.traits import UNSEEN
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import permutation
from fairway.monitoring.drift.measures import PAIRS, Blocks, Kind, Measures, Rows, Stream

BLOCKS = 20  # of the shorter sample: fewer, and chance's standard deviation is not known
LONGEST_BLOCK = 200  # rows
LEAST_ROWS = 20  # of each
MOST_ROWS = 50_000  # of one: it shows shifts of a fiftieth of a standard deviation
MOST_TIMES = 20  # as many rows as the other
CONFIDENCE = 0.95  # of each interval by itself
POWER = 0.84  # the normal quantile of 80 %
ALIKE = 4.0  # times the variance that rows without an order would have: that is told
P_VALUE = 0.01
ANOTHER = "another value"  # than the one of a first sample that never varied


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one part of a column moved.

    `effect` is in standard deviations of the first sample's normal scores (`sd`), in shares of the
    rows, or in correlation; `low` and `high` hold it in 95 of 100 cases, each by itself. Of
    `distance` the effect is the squared distance of the means, without an interval; so are `sd` of
    what never varied in the first sample, where they only say whether it is more or less.
    """

    part: str
    kind: Kind
    unit: str
    effect: float
    low: float | None
    high: float | None
    before: float  # the mean of what was measured
    after: float
    p_value: float  # corrected for all columns
    moved: bool  # surely, and far enough to matter


@dataclass(frozen=True, kw_only=True)
class ColumnDifference:
    """What became of one column: its parts, the surest first."""

    name: str
    joint: bool  # of all columns together, whatever they are called
    p_value: float  # corrected for all columns
    moved: bool
    parts: tuple[Difference, ...]

    @property
    def kind(self) -> Kind:
        return self.parts[0].kind


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The verdict over two samples."""

    drifted: bool
    p_value: float  # the smallest, corrected
    threshold: float
    rows: tuple[int, int]  # that were compared
    block: int  # rows that were dealt out together
    permutations: int
    columns: tuple[ColumnDifference, ...]  # the surest first
    # the smallest shift that would be found in 8 of 10 cases, of a typical column, by unit
    found_from: Mapping[str, float]
    # the column whose rows are most like the rows before them, and how many rows say as much
    alike: tuple[str, float] | None

    @property
    def moved(self) -> tuple[ColumnDifference, ...]:
        """Return the columns that moved, and pairs of others; what all have in common only where none
        did by itself."""
        found = [column for column in self.columns if column.moved]
        apart = [column for column in found if not column.joint or column.name == PAIRS]
        return tuple(apart if any(not column.joint for column in apart) else found)


def compare(
    before: base.Arrays,
    after: base.Arrays,
    *,
    schema: Schema,
    roles: Mapping[str, Kind] | None = None,
    least: sections.LeastShift | None = None,
    threshold: float = P_VALUE,
    ordered: bool = True,
    permutations: int = permutation.PERMUTATIONS,
    seed: int = 0,
) -> Comparison:
    """Return how two samples of the same raw columns differ, each in the order of its rows.

    Rows that follow each other may be alike; where their order means nothing, `ordered` is false.
    A column has moved where its corrected p-value is at most `threshold`, and a part of it by at
    least what matters. Without any shift that happens to some column in `threshold` of all
    comparisons. Raises DataError for fewer than 20 rows.
    """
    one, other = _rows(before), _rows(after)
    for name, rows in (("first", one), ("second", other)):
        if rows < LEAST_ROWS:
            raise errors.DataError(
                f"the {name} sample has {rows} rows: wanted at least {LEAST_ROWS}, of which a shift can be told"
            )
    before = _chosen(before, most=other * MOST_TIMES, ordered=ordered, seed=seed)
    after = _chosen(after, most=one * MOST_TIMES, ordered=ordered, seed=seed)
    measured = Measures(before, schema=schema, roles=roles, against=after)
    size = block_size(min(_rows(before), _rows(after)))
    blocks = (
        measured.blocks(before, size=size, own=True),
        measured.blocks(after, size=size),
    )
    told = _Told(measured, blocks, least or sections.LeastShift(), threshold)
    rising = np.array([part.name == UNSEEN and part.kind == "quality" for part in measured.parts])
    dealt = permutation.permuted(*blocks, rising=rising, times=permutations, seed=seed)
    return told.comparison(dealt)


def block_size(rows: int) -> int:
    """Return how many rows are dealt out together, where the shorter sample has so many."""
    return min(max(rows // BLOCKS, 1), LONGEST_BLOCK)


class _Told:
    """Makes what is told of what was measured."""

    def __init__(
        self,
        measured: Measures,
        blocks: tuple[Blocks, Blocks],
        least: sections.LeastShift,
        threshold: float,
    ) -> None:
        self._measured, self._blocks, self._least = measured, blocks, least
        self._threshold = threshold
        before, after = blocks
        (self._before, sd), (self._after, _) = before.moments(), after.moments()
        shares = np.array([part.unit != "sd" for part in measured.parts])
        self._unit = np.where(shares | (sd == 0), 1.0, sd)
        self._flat = (sd == 0) & ~shares  # it never varied: further is only higher or lower
        # of a number that never varied the score is -1, 0 or 1: its size is the share of the others
        spread = np.array([part.name == "spread" for part in measured.parts])
        self._another = self._flat & spread & (self._before == 0)
        self._sides = _variance(before), _variance(after)

    def comparison(self, dealt: permutation.Permuted) -> Comparison:
        streams = self._measured.streams
        apart = [stream for stream in streams if not stream.joint]
        weight = math.fsum(stream.weight for stream in apart)
        by_chance = dealt.greatest(apart[0].first, apart[-1].last)
        sizes = dealt.sizes()
        columns = [self._column(stream, sizes, by_chance, weight=weight) for stream in apart]
        moved = {column.name for column in columns if column.moved}
        columns += [
            self._of_others(self._joint(stream, sizes, dealt), moved)
            for stream in streams
            if stream.joint
        ]
        columns.sort(key=lambda column: (column.p_value, column.joint, -_strength(column)))
        edge = float(np.quantile(by_chance, 1 - self._threshold * weight, method="higher"))
        before, after = self._blocks
        return Comparison(
            drifted=any(column.moved for column in columns),
            p_value=columns[0].p_value,
            threshold=self._threshold,
            rows=(before.rows, after.rows),
            block=before.size,
            permutations=len(dealt.deals) - 1,
            columns=tuple(columns),
            found_from=self._found_from(edge, last=apart[-1].last),
            alike=self._alike(apart[-1].last),
        )

    def _column(
        self, stream: Stream, sizes: Rows, by_chance: Rows, *, weight: float
    ) -> ColumnDifference:
        places = np.arange(stream.first, stream.last)
        order = places[np.argsort(-sizes[places], kind="stable")]
        p_values = [
            min(permutation.p_value(float(sizes[place]), by_chance) / weight, 1.0)
            for place in order
        ]
        parts = [
            self._difference(place, p_value=p_value)
            for place, p_value in zip(order.tolist(), p_values, strict=True)
        ]
        if any(part.part == ANOTHER for part in parts):
            parts = [part for part in parts if part.part != "mean"]
        parts.sort(key=lambda part: not part.moved)
        return ColumnDifference(
            name=stream.name,
            joint=stream.joint,
            p_value=p_values[0],
            moved=parts[0].moved,
            parts=tuple(parts),
        )

    def _joint(self, stream: Stream, sizes: Rows, dealt: permutation.Permuted) -> ColumnDifference:
        """Return what all columns have in common: pairs as the parts of one column, or how far the
        rows are apart as a whole."""
        if not stream.whole:
            by_chance = dealt.greatest(stream.first, stream.last)
            return self._column(stream, sizes, by_chance, weight=stream.weight)
        distances = dealt.distance(stream.first, stream.last)
        p_value = min(permutation.p_value(float(distances[0]), distances) / stream.weight, 1.0)
        usual = float(distances[1:].mean())
        squared = max(float(distances[0]) - usual, 0.0)
        part = Difference(
            part="distribution",
            kind="covariate",
            unit="distance",
            effect=squared,
            low=None,
            high=None,
            before=0.0,
            after=squared,
            p_value=p_value,
            moved=p_value <= self._threshold and squared >= self._least.distance,
        )
        return ColumnDifference(
            name=stream.name, joint=True, p_value=p_value, moved=part.moved, parts=(part,)
        )

    def _of_others(self, column: ColumnDifference, moved: set[str]) -> ColumnDifference:
        """Return what columns have in common, where pairs of a column that moved by itself are not
        told again."""
        pairs = {part.name: part.pair for part in self._measured.parts if part.pair is not None}
        parts = [
            replace(part, moved=part.moved and moved.isdisjoint(pairs.get(part.part, ())))
            for part in column.parts
        ]
        parts.sort(key=lambda part: not part.moved)
        return replace(column, parts=tuple(parts), moved=parts[0].moved)

    def _difference(self, place: int, *, p_value: float) -> Difference:
        part = self._measured.parts[place]
        if self._another[place]:
            part = replace(part, name=ANOTHER, unit="share")
        moved = float(self._after[place] - self._before[place])
        flat = bool(self._flat[place] and not self._another[place])
        effect = float(np.sign(moved)) if flat else moved / float(self._unit[place])
        margin = self._margin(place)
        far = abs(effect) >= getattr(self._least, part.unit)
        return Difference(
            part=part.name,
            kind=part.kind,
            unit=part.unit,
            effect=effect,
            low=None if flat else effect - margin,
            high=None if flat else effect + margin,
            before=float(self._before[place]),
            after=float(self._after[place]),
            p_value=p_value,
            moved=far and p_value <= self._threshold,
        )

    def _margin(self, place: int) -> float:
        """Return half the width of Welch's interval, by the scatter between blocks."""
        one, other = (float(side[place]) for side in self._sides)
        if one + other <= 0:
            return 0.0
        left = [len(blocks.sums) - 1 for blocks in self._blocks]
        freedom = (one + other) ** 2 / (one**2 / left[0] + other**2 / left[1])
        half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * math.sqrt(one + other)
        return float(half / self._unit[place])

    def _found_from(self, edge: float, *, last: int) -> dict[str, float]:
        """Return the smallest shift that reaches the edge of chance in 8 of 10 cases, of the median
        part of each unit; by the scatter on both sides, of which what moved has no part."""
        scatter = np.sqrt(self._sides[0] + self._sides[1])
        found: dict[str, list[float]] = {}
        for place in range(last):
            if not self._flat[place] and scatter[place] > 0:
                smallest = (edge + POWER) * scatter[place] / self._unit[place]
                found.setdefault(self._measured.parts[place].unit, []).append(float(smallest))
        return {unit: float(np.median(values)) for unit, values in found.items()}

    def _alike(self, last: int) -> tuple[str, float] | None:
        """Return the column of which the first sample's rows hang most on each other, where they
        do."""
        before = self._blocks[0]
        _, sd = before.moments()
        known = np.maximum(before.counts.sum(axis=0), 1)
        independent = sd**2 / known
        times = np.where(independent > 0, self._sides[0] / np.maximum(independent, 1e-300), 0.0)
        place = int(np.argmax(times[:last]))
        if times[place] < ALIKE:
            return None
        stream = self._measured.streams[self._measured.parts[place].stream]
        return stream.name, float(known[place] / times[place])


def _variance(blocks: Blocks) -> Rows:
    """Return the variance of the mean of all rows, by the scatter between blocks [parts]: that of a
    ratio, where rows say nothing now and then (Cochran 1977, section 6.3)."""
    known = np.maximum(blocks.counts.sum(axis=0), 1)
    left = blocks.sums - blocks.counts * (blocks.sums.sum(axis=0) / known)
    count = len(blocks.sums)
    found: Rows = (left**2).sum(axis=0) / known**2 * count / max(count - 1, 1)
    return found


def _strength(column: ColumnDifference) -> float:
    return abs(column.parts[0].effect)


def _chosen(columns: base.Arrays, *, most: int, ordered: bool, seed: int) -> base.Arrays:
    """Return the rows that are compared: evenly over all where they are many, mixed where their
    order means nothing."""
    rows = _rows(columns)
    wanted = min(rows, most, MOST_ROWS)
    kept: NDArray[np.int64] = np.linspace(0, rows - 1, num=wanted).round().astype(np.int64)
    if not ordered:
        kept = np.random.default_rng(seed).permutation(kept)
    elif wanted == rows:
        return columns
    return {name: values[kept] for name, values in columns.items()}


def _rows(columns: base.Arrays) -> int:
    return len(next(iter(columns.values()), ()))


def told(columns: Sequence[ColumnDifference]) -> str:
    """Return the names of columns for a sentence."""
    names = [column.name for column in columns]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

"""What is measured of rows: the traits of every column, and what columns have in common.

A stream is what evidence is kept for: one column, all pairs of columns together, or the rows as
a whole (random Fourier features, Rahimi and Recht 2007: the distance of their means is the maximum
mean discrepancy of a Gaussian kernel).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model import kinds, tasks
from fairway.model.schema import Schema
from fairway.model.traits import Trait
from fairway.monitoring.detectors import base

Rows = NDArray[np.float64]
Kind = Literal["quality", "covariate", "prediction", "label", "concept"]
PAIRS = "pairs of columns"
TOGETHER = "columns together"
MOST_PAIRED = 40  # columns
FOURIER = 128  # random features
MOST_JOINED = 512  # numbers of one row that go into them, and
WIDE = 64  # of one trait: wider ones, pairs of words, come last and leave no column without a place
MEDIAN_ROWS = 300  # of which the kernel's width is taken
RARE = (
    0.3  # standard deviation of a word that is counted as such: rare ones would be all that counts
)
MOST_NUMBERS = 1 << 20  # measured at a time: 8 MiB, held a few times over
JOINT_SHARE = 0.25  # of the budget, for each of the two streams of columns in common


@dataclass(frozen=True, kw_only=True)
class Part:
    """One number of a row."""

    stream: int
    name: str  # mean, spread, missing, a word, or a pair of columns
    unit: Literal["sd", "share", "correlation", "distance"]
    kind: Kind
    pair: tuple[str, str] | None = None  # the columns that it is about, where they are two


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What one body of evidence is about: these places of the row."""

    name: str
    first: int
    last: int
    weight: float  # of the budget
    joint: bool = False  # of all columns, whatever they are called
    whole: bool = False  # scored as a whole, by its distance; else by the part that moved furthest


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Sums of successive blocks of rows [blocks, parts], and how many rows said something."""

    size: int  # rows of a block
    sums: Rows
    counts: Rows
    squares: Rows  # of all rows together [parts]

    @classmethod
    def joined(cls, parts: Sequence["Blocks"]) -> "Blocks":
        """Return the blocks of parts that follow one another."""
        return cls(
            size=parts[0].size,
            sums=np.concatenate([part.sums for part in parts]),
            counts=np.concatenate([part.counts for part in parts]),
            squares=np.sum([part.squares for part in parts], axis=0),
        )

    def means(self, *, size: int) -> Rows:
        """Return the means of windows of `size` rows, a multiple of a block's; NaN where no row
        says anything."""
        each = size // self.size
        whole = len(self.sums) // each
        sums, counts = (
            values[: whole * each].reshape(whole, each, values.shape[1]).sum(axis=1)
            for values in (self.sums, self.counts)
        )
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def means_in_parts(self, *, size: int) -> Iterator[tuple[int, Rows]]:
        """Give the same some windows at a time, with the place of the first of them."""
        each = size // self.size
        step = max(MOST_NUMBERS // (each * self.sums.shape[1]), 1)
        for first in range(0, len(self.sums) // each, step):
            chosen = slice(first * each, (first + step) * each)
            part = replace(self, sums=self.sums[chosen], counts=self.counts[chosen])
            yield first, part.means(size=size)

    @property
    def rows(self) -> int:
        return len(self.sums) * self.size

    def moments(self) -> tuple[Rows, Rows]:
        """Return the mean of all rows, and their standard deviation [parts]."""
        known = np.maximum(self.counts.sum(axis=0), 1)
        centre = self.sums.sum(axis=0) / known
        return centre, np.sqrt(np.maximum(self.squares / known - centre**2, 0.0))


class Measures:
    """What is measured, as the reference's columns (raw, a row for each row) decide it.

    `roles` says which columns are something else than inputs: they share nothing with those.
    `against` is the one sample that the reference is held against, where it is known: moments
    themselves are measured then, not their time of day alone, and words that are common in both.
    """

    def __init__(
        self,
        reference: base.Arrays,
        *,
        schema: Schema,
        roles: Mapping[str, Kind] | None = None,
        against: base.Arrays | None = None,
    ) -> None:
        self._traits = _traits(reference, schema, roles or {}, against=against)
        if not self._traits:
            raise errors.DataError("the reference has no column that can be measured")
        self._width = sum(len(trait.parts) for _, _, trait in self._traits)
        rows = len(next(iter(reference.values())))
        few = {name: values[:: max(rows // MEDIAN_ROWS, 1)] for name, values in reference.items()}
        self._joint = _Joint(
            self._traits, standard=self._standard(reference, rows=rows), few=self._singles(few)
        )
        self.streams, self.parts = self._laid_out()

    def blocks(self, columns: base.Arrays, *, size: int, own: bool = False) -> Blocks:
        """Measure successive blocks of `size` rows; the last rows are left out where they make no
        whole block. `own` says that the rows are the reference's."""
        count = len(next(iter(columns.values()))) // size
        sums, counts = (np.zeros((count, len(self.parts))) for _ in range(2))
        squares = np.zeros(len(self.parts))
        step = self.at_once(size) // size
        for first in range(0, count, step):
            last = min(first + step, count)
            chosen = slice(first * size, last * size)
            rows = self._rows(
                {name: values[chosen] for name, values in columns.items()},
                own=chosen if own else None,
            )
            known = np.isfinite(rows)
            rows[~known] = 0.0
            shape = (last - first, size, rows.shape[1])
            sums[first:last] = rows.reshape(shape).sum(axis=1)
            counts[first:last] = known.reshape(shape).sum(axis=1)
            squares += np.einsum("ij,ij->j", rows, rows)
        return Blocks(size=size, sums=sums, counts=counts, squares=squares)

    def at_once(self, size: int, *, most: int = MOST_NUMBERS) -> int:
        """Return how many rows of whole blocks of `size` rows are measured at a time, `most` at most
        where that is a block."""
        return max(min(MOST_NUMBERS // len(self.parts), most) // size, 1) * size

    def standardised(self, columns: base.Arrays, *, own: bool = False) -> Rows:
        """Return the traits of each row of all columns, bounded, in standard deviations of the
        reference, and 0 where a row says nothing [rows, at most 512]. `own` says that the rows are
        the reference's."""
        return self._joint.standardised(self._singles(columns, own=slice(None) if own else None))

    def _rows(self, columns: base.Arrays, *, own: slice | None) -> Rows:
        rows = np.empty((len(next(iter(columns.values()))), len(self.parts)))
        singles = rows[:, : self._width]
        self._measure(columns, own=own, out=singles)
        self._joint.write(singles, out=rows[:, self._width :])
        return rows

    def _singles(self, columns: base.Arrays, *, own: slice | None = None) -> Rows:
        singles = np.empty((len(next(iter(columns.values()))), self._width))
        self._measure(columns, own=own, out=singles)
        return singles

    def _measure(self, columns: base.Arrays, *, own: slice | None, out: Rows) -> None:
        place = 0
        for column, _, trait in self._traits:
            here = slice(place, place + len(trait.parts))
            if own is not None and trait.own is not None:
                out[:, here] = trait.own[own]
            else:
                out[:, here] = trait.measure(_present(column, columns))
            place += len(trait.parts)

    def _standard(self, reference: base.Arrays, *, rows: int) -> tuple[Rows, Rows]:
        """Return the mean of each trait of the reference and its standard deviation, 1 where it
        does not vary."""
        step = max(MOST_NUMBERS // self._width, 1)

        def parts() -> Iterator[Rows]:
            for first in range(0, rows, step):
                yield self._singles(
                    {name: values[first : first + step] for name, values in reference.items()}
                )

        sums, counts, squares = (np.zeros(self._width) for _ in range(3))
        for singles in parts():
            known = np.isfinite(singles)
            counts += known.sum(axis=0)
            sums += np.where(known, singles, 0.0).sum(axis=0)
        centre = sums / np.maximum(counts, 1)
        for singles in parts():
            squares += (np.nan_to_num(singles - centre, nan=0.0) ** 2).sum(axis=0)
        scale = np.sqrt(squares / np.maximum(counts, 1))
        return centre, np.where(scale > 0, scale, 1.0)

    def _laid_out(self) -> tuple[list[Stream], list[Part]]:
        names = list(dict.fromkeys(trait.name for _, _, trait in self._traits))
        joint = self._joint.streams
        apart = (1 - JOINT_SHARE * len(joint)) / len(names)
        parts: list[Part] = []
        bounds: dict[str, tuple[int, int]] = {}
        for _, kind, trait in self._traits:
            first = bounds.get(trait.name, (len(parts), 0))[0]
            parts += [
                Part(
                    stream=names.index(trait.name),
                    name=part,
                    unit=trait.unit,
                    kind="quality" if trait.concern == "quality" else kind,
                )
                for part in trait.parts
            ]
            bounds[trait.name] = (first, len(parts))
        streams = [
            Stream(name=name, first=bounds[name][0], last=bounds[name][1], weight=apart)
            for name in names
        ]
        for name, labels, unit in joint:
            first = len(parts)
            pairs: Sequence[tuple[str, str] | None] = (
                self._joint.pairs if unit == "correlation" else [None] * len(labels)
            )
            parts += [
                Part(stream=len(streams), name=label, unit=unit, kind="covariate", pair=pair)
                for label, pair in zip(labels, pairs, strict=True)
            ]
            streams.append(
                Stream(
                    name=name,
                    first=first,
                    last=len(parts),
                    weight=JOINT_SHARE,
                    joint=True,
                    whole=unit == "distance",
                )
            )
        return streams, parts


class _Joint:
    """What columns have in common: products of pairs, and random features of all."""

    def __init__(
        self,
        traits: Sequence[tuple[str, Kind, Trait]],
        *,
        standard: tuple[Rows, Rows],
        few: Rows,
    ) -> None:
        self._paired: list[int] = []
        self._joined: list[int] = []
        last: list[int] = []
        names = []
        place = 0
        for _, kind, trait in traits:
            if kind == "covariate" and trait.concern == "covariate":
                wide = range(place, place + (1 if trait.joins else len(trait.parts)))
                (self._joined if len(wide) <= WIDE else last).extend(wide)
                if trait.joins:
                    self._paired.append(place)
                    names.append(trait.name)
            place += len(trait.parts)
        self._joined = [*self._joined, *last][:MOST_JOINED]
        if len(self._paired) > MOST_PAIRED:
            self._paired = []
        self._first, self._second = np.triu_indices(len(self._paired), k=1)
        self.pairs = [
            (names[one], names[other]) for one, other in zip(self._first, self._second, strict=True)
        ]
        self._centre, self._scale = standard
        shares = [trait.unit == "share" for _, _, trait in traits for _ in trait.parts]
        self._scale[shares] = np.maximum(self._scale[shares], RARE)
        generator = np.random.default_rng(0)
        width = _median(self._known(few, self._joined))
        self._waves = generator.normal(size=(len(self._joined), FOURIER)) / width
        self._phases = generator.uniform(0, 2 * np.pi, FOURIER)

    @property
    def streams(
        self,
    ) -> list[tuple[str, tuple[str, ...], Literal["correlation", "distance"]]]:
        found: list[tuple[str, tuple[str, ...], Literal["correlation", "distance"]]] = []
        if self.pairs:
            labels = tuple(f"{one} with {other}" for one, other in self.pairs)
            found.append((PAIRS, labels, "correlation"))
        if len(self._joined) > 1:
            found.append((TOGETHER, tuple(f"wave {i}" for i in range(FOURIER)), "distance"))
        return found

    def write(self, singles: Rows, *, out: Rows) -> None:
        """Write what is measured of columns together beside the traits of each."""
        pairs = len(self.pairs)
        if pairs:
            known = self._known(singles, self._paired)
            np.multiply(known[:, self._first], known[:, self._second], out=out[:, :pairs])
        if len(self._joined) > 1:
            waves = self._known(singles, self._joined) @ self._waves
            out[:, pairs:] = np.sqrt(2 / FOURIER) * np.cos(waves + self._phases)

    def standardised(self, singles: Rows) -> Rows:
        return self._known(singles, range(min(singles.shape[1], MOST_JOINED)))

    def _known(self, singles: Rows, places: Sequence[int]) -> Rows:
        """Return these numbers in standard deviations; the mean where a row says nothing."""
        chosen = (singles[:, places] - self._centre[places]) / self._scale[places]
        known: Rows = np.nan_to_num(chosen, nan=0.0)
        return known


def _median(rows: Rows) -> float:
    """Return the median distance of two rows, the usual width of a kernel (Gretton et al. 2012,
    section 8)."""
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    above = distances[np.triu_indices(len(rows), k=1)]
    return float(np.sqrt(max(np.median(above), 1e-12))) if len(above) else 1.0


def _traits(
    reference: base.Arrays,
    schema: Schema,
    roles: Mapping[str, Kind],
    *,
    against: base.Arrays | None,
) -> list[tuple[str, Kind, Trait]]:
    found: list[tuple[str, Kind, Trait]] = []
    known = {feature.name: feature.kind for feature in schema.features}
    for name, values in reference.items():
        if name == base.ANSWERS:
            found += [
                (name, "prediction", trait) for trait in tasks.of(schema).traits(values, schema)
            ]
        elif base.is_feature(name):
            kind = kinds.named(known[name]) if name in known else kinds.guessed(values)
            role = roles.get(name, "covariate")
            told = (
                kind.traits(name, values)
                if against is None
                else kind.between(name, values, _present(name, against))
            )
            found += [(name, role, trait) for trait in told]
    return found


def _present(name: str, columns: Mapping[str, Any]) -> Any:
    if name not in columns:
        raise errors.DataError(
            f"the window has no column {name}: wanted those of the reference; were they logged?"
        )
    return columns[name]

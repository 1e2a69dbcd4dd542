"""One deployment's watch: windows in, tickets out, at most as many false ones as the budget says."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import yardstick
from fairway.monitoring.drift.edetector import EDetector
from fairway.monitoring.drift.measures import Blocks, Measures, Rows
from fairway.monitoring.drift.yardstick import Shift, Yardstick

MONTH = 30 * 86_400.0
SMALLEST = 10  # rows of a window
FULL = 1.0  # evidence that opens a ticket
SUSPECT = 0.01  # evidence that is no longer quiet
QUIET_WINDOWS = 40  # of the smallest scale, after which a ticket is resolved
TOLD = 0.05  # of the evidence: streams that have less are not told
MOST_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a person is told of a shift."""

    kind: str  # of the stream that has most of the evidence: quality, covariate or prediction
    since: float  # when its first surprising window began
    evidence: float
    shifts: tuple[Shift, ...]  # those that matter, the surest first
    rows: int  # of the window that tipped the scale

    @property
    def features(self) -> list[str]:
        return list(dict.fromkeys(shift.stream for shift in self.shifts))


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one window came to."""

    evidence: float  # of the deployment, after it; a ticket opens at 1
    action: Literal["open", "refresh", "resolve"] | None = None
    ticket: Ticket | None = None


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Whether a ticket is open, and how long it has been quiet."""

    open: bool = False
    quiet: int = 0


class Watch:
    """Holds windows against a reference, in the order in which they were served.

    `reference` has raw columns, rows in the order of their time; `at` is that time, seconds since
    the epoch, where it is known. `tickets_per_month` is this deployment's part of the fleet's.
    Shifts smaller than `least` open no ticket, however sure they are.
    A reference that is too short for the smallest scale is held in smaller windows. Raises
    DataError where it has fewer than 200 rows.
    """

    def __init__(
        self,
        reference: base.Arrays,
        *,
        schema: Schema,
        tickets_per_month: float,
        at: NDArray[np.float64] | None = None,
        scales: Sequence[int] = sections.SCALES,
        least: sections.LeastShift | None = None,
    ) -> None:
        self.measures = Measures(reference, schema=schema)
        self.base = _base(len(next(iter(reference.values()))), scales)
        blocks = self.measures.blocks(reference, size=self.base, own=True)
        usable = [size for size in scales if blocks.rows >= size * yardstick.LEAST_WINDOWS]
        usable = usable or [self.base]
        self.reference, self.tickets_per_month = reference, tickets_per_month
        self._least = least or sections.LeastShift()
        self.standing = Opened()
        self._scales = {
            size: _Scale(blocks, size, self.measures, at, len(usable)) for size in usable
        }

    @property
    def sizes(self) -> list[int]:
        """Return the scales that the reference is long enough for, the smallest first."""
        return sorted(self._scales)

    @property
    def evidence(self) -> float:
        return sum(scale.edetector.total for scale in self._scales.values())

    def slots(self) -> list[str]:
        """Return the divisions of time by which windows are held against the reference."""
        return sorted({name for scale in self._scales.values() for name in scale.yardstick.slots})

    def yardstick(self, size: int) -> Yardstick:
        """Return what windows of this size are held against."""
        return self._scales[size].yardstick

    def look(self, columns: base.Arrays, *, size: int, began: float, ended: float) -> Look:
        """Take in one window of `size` rows, a few less where some could not be read, served from
        `began` to `ended`."""
        rows = len(next(iter(columns.values())))
        means = self.measures.blocks(columns, size=rows).means(size=rows)
        scores = self.scores(means[-1:], size=size, at=np.array([(began + ended) / 2]))[0]
        return self.look_on(scores.tolist(), means[-1], size=size, began=began, ended=ended)

    def scores(self, means: Rows, *, size: int, at: NDArray[np.float64]) -> Rows:
        """Return the scores of many windows at once [windows, streams]."""
        return self._scales[size].yardstick.scores(means, at=at)

    def look_on(
        self, scores: Sequence[float], mean: Rows, *, size: int, began: float, ended: float
    ) -> Look:
        """Take in a window that was measured and scored already."""
        scale = self._scales[size]
        scale.take(
            scores, mean, per_second=self.tickets_per_month / MONTH, began=began, ended=ended
        )
        total = self.evidence
        if total >= FULL:
            ticket = self._ticket(total)
            if ticket is not None:
                action: Literal["open", "refresh"] = "refresh" if self.standing.open else "open"
                self.standing = Opened(open=True)
                for one in self._scales.values():
                    one.restart()
                return Look(evidence=total, action=action, ticket=ticket)
            for one in self._scales.values():
                one.edetector.bound(FULL)
        return self._rest(total, size=size)

    def dump(self) -> dict[str, Any]:
        """Return the state as plain data: with the same reference and what `usual` gives, `restore`
        goes on from it."""
        return {
            "standing": asdict(self.standing),
            "joined": sum(scale.edetector.joined for scale in self._scales.values()),
            "scales": {str(size): scale.dump() for size, scale in self._scales.items()},
        }

    def usual(self) -> dict[str, Any]:
        """Return the scores that windows are ranked among, as plain data. They change slowly, and
        are many: a state may go on with those of some windows ago."""
        return {str(size): scale.edetector.usual() for size, scale in self._scales.items()}

    def restore(self, state: Mapping[str, Any], *, usual: Mapping[str, Any]) -> None:
        """Go on from what `dump` and `usual` gave; raises ValueError where the reference was another,
        or other parts were measured of it. A ticket that was open stays so all the same."""
        self.standing = Opened(**state["standing"])
        if set(state["scales"]) != {str(size) for size in self._scales}:
            raise ValueError(f"the state has the scales {sorted(state['scales'])}")
        parts = {len(scale["sums"]) for scale in state["scales"].values()}
        if parts != {len(self.measures.parts)}:
            raise ValueError(
                f"the state has {sorted(parts)} measured parts: wanted {len(self.measures.parts)}"
            )
        for size, scale in self._scales.items():
            scale.restore(state["scales"][str(size)], usual=usual[str(size)])

    def _rest(self, total: float, *, size: int) -> Look:
        if not self.standing.open:
            return Look(evidence=total)
        if size != self.sizes[0]:
            return Look(evidence=total)
        quiet = 0 if total >= SUSPECT else self.standing.quiet + 1
        self.standing = replace(self.standing, quiet=quiet)
        if quiet < QUIET_WINDOWS:
            return Look(evidence=total)
        self.standing = Opened()
        return Look(evidence=total, action="resolve")

    def _ticket(self, total: float) -> Ticket | None:
        """Return what is to be told; None where all that moved is smaller than matters."""
        leading = sorted(
            (
                (value, size, place)
                for size, scale in self._scales.items()
                for place, value in enumerate(scale.edetector.values)
                if value >= TOLD * total
            ),
            reverse=True,
        )
        told: dict[int, list[Shift]] = {}  # by stream
        since = []
        for _, size, place in leading:
            if place in told:
                continue
            shifts = [one for one in self._scales[size].shifts(place) if _matters(one, self._least)]
            if shifts:
                told[place] = shifts[:2]
                since.append(self._scales[size].edetector.began[place] or 0.0)
        if not told:
            return None
        streams = self.measures.streams
        apart = [found for place, found in told.items() if not streams[place].joint]
        # where columns moved by themselves, that is also what they have in common
        shifts = [shift for found in apart or told.values() for shift in found][:MOST_TOLD]
        return Ticket(
            kind=shifts[0].kind,
            since=min(since),
            evidence=total,
            shifts=tuple(shifts),
            rows=leading[0][1],
        )


def _matters(shift: Shift, least: sections.LeastShift) -> bool:
    return bool(abs(shift.effect) >= getattr(least, shift.unit))


def _base(rows: int, scales: Sequence[int]) -> int:
    """Return the rows of the smallest window: fewer than asked for where the reference is short."""
    if rows >= min(scales) * yardstick.LEAST_WINDOWS:
        return min(scales)
    if rows < SMALLEST * yardstick.LEAST_WINDOWS:
        raise errors.DataError(
            f"the reference has {rows} rows: wanted at least {SMALLEST * yardstick.LEAST_WINDOWS}, "
            f"{yardstick.LEAST_WINDOWS} windows of {SMALLEST}"
        )
    return rows // yardstick.LEAST_WINDOWS


@dataclass(kw_only=True)
class _Run:
    """The mean of each part over the windows since its stream was last idle."""

    sums: Rows
    counts: list[int] = field(default_factory=list)


class _Scale:
    def __init__(
        self,
        blocks: Blocks,
        size: int,
        measured: Measures,
        at: NDArray[np.float64] | None,
        scales: int,
    ) -> None:
        middles = None if at is None else yardstick.middles(at[: blocks.rows], size=size)
        self.yardstick = Yardstick(blocks, size=size, measures=measured, at=middles)
        self._streams = measured.streams
        self.edetector = EDetector(
            self.yardstick.calibration,
            weights=[stream.weight / scales for stream in measured.streams],
        )
        self._run = _Run(sums=np.zeros(len(measured.parts)), counts=[0] * len(self._streams))
        self._ended: float | None = None

    def take(
        self,
        scores: Sequence[float],
        mean: Rows,
        *,
        per_second: float,
        began: float,
        ended: float,
    ) -> None:
        last = began if self._ended is None else self._ended
        spend = per_second * max(ended - last, 0.0)
        self._ended = max(ended, last)
        self.edetector.look(scores, spend=spend, at=began)
        level = self.yardstick.levelled(mean, at=(began + ended) / 2)
        for place, stream in enumerate(self._streams):
            if self.edetector.began[place] is None:
                self._run.counts[place] = 0
                self._run.sums[stream.first : stream.last] = 0.0
            else:
                self._run.counts[place] += 1
                self._run.sums[stream.first : stream.last] += level[stream.first : stream.last]

    def shifts(self, place: int) -> list[Shift]:
        count = self._run.counts[place]
        if not count:
            return []
        return self.yardstick.shifts(self._run.sums / count, stream=place)

    def restart(self) -> None:
        self.edetector.restart()
        self._run = _Run(sums=np.zeros_like(self._run.sums), counts=[0] * len(self._streams))

    def dump(self) -> dict[str, Any]:
        return {
            **self.edetector.dump(),
            "ended": self._ended,
            "counts": self._run.counts,
            "sums": self._run.sums.tolist(),
        }

    def restore(self, state: Mapping[str, Any], *, usual: Sequence[Sequence[float]]) -> None:
        self.edetector.restore(state, usual=usual)
        self._ended = state["ended"]
        self._run = _Run(
            sums=np.array(state["sums"], dtype=np.float64), counts=list(state["counts"])
        )

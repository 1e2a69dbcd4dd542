"""How far a window is from the reference: standardised shifts of means, by stream.

The scatter is that between windows of the reference itself, so rows that depend on their
neighbours, and cycles within the reference, are no surprise. Where the mean of a part hangs on the
hour of the day (or of the week) windows are held against those of the same hour.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairway.monitoring.drift.measures import Blocks, Measures, Part, Rows

LEAST_WINDOWS = 20  # of the reference at one scale
FOLDS = 4
HOUR, DAY, WEEK = 3600.0, 86_400.0, 604_800.0
DAYS_TO_LEARN, WEEKS_TO_LEARN = 3, 3  # so many before hours, and hours of the week, are told apart
LEAST_GAIN = 0.9  # of the squares that are left: hours explain something


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How far a part of a stream moved."""

    stream: str
    part: str
    kind: str  # quality, covariate or prediction
    unit: str  # sd, share, correlation or distance
    effect: float  # signed; of `distance` the squared distance of the means
    before: float  # the mean in the reference
    after: float


def slots_of(at: NDArray[np.float64], *, span: float) -> dict[str, NDArray[np.int64]]:
    """Return the hour of each window, and the hour of its week, where the span has enough of
    them to learn from."""
    found = {}
    if span >= DAYS_TO_LEARN * DAY:
        found["hour of the day"] = hours(at)
    if span >= WEEKS_TO_LEARN * WEEK:
        found["hour of the week"] = hours_of_the_week(at)
    return found


def hours(at: NDArray[np.float64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = (at % DAY // HOUR).astype(np.int64)
    return found


def hours_of_the_week(at: NDArray[np.float64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = (at % WEEK // HOUR).astype(np.int64)
    return found


def middles(at: NDArray[np.float64], *, size: int) -> NDArray[np.float64]:
    """Return the time of each window of `size` rows, of which `at` has the times."""
    windows = len(at) // size
    found: NDArray[np.float64] = at[: windows * size].reshape(windows, size).mean(axis=1)
    return found


SLOTS = {"hour of the day": hours, "hour of the week": hours_of_the_week}


class Yardstick:
    """The reference at one scale: windows of `size` rows, `at` the time of each where it is known."""

    def __init__(
        self,
        blocks: Blocks,
        *,
        size: int,
        measures: Measures,
        at: NDArray[np.float64] | None = None,
    ) -> None:
        self.size, self.streams, self._parts = size, measures.streams, measures.parts
        self._means = blocks.means(size=size)
        self._at = at
        self._row_centre, self._row_sd = blocks.moments()
        self._floor = np.sqrt(_least_variance(self._row_sd, self._parts, rows=blocks.rows) / size)
        self.slots = self._learnt_slots()
        self._fitted = _fit(self._means, floor=self._floor, slots=self._chosen(at), use=self.slots)

    @property
    def calibration(self) -> Rows:
        """Return the scores of the reference's own windows [windows, streams], each held against
        the others' yardstick."""
        found = np.empty((len(self._means), len(self.streams)))
        slots = self._chosen(self._at)
        for held, fitted in _held_out(self._means, floor=self._floor, slots=slots, use=self.slots):
            at = None if self._at is None else self._at[held]
            found[held] = self._scored(self._means[held], fitted, at=at)
        return found

    def scores(self, means: Rows, *, at: NDArray[np.float64] | None = None) -> Rows:
        """Return how far each window is from the reference [windows, streams]."""
        return self._scored(means, self._fitted, at=at)

    def levelled(self, mean: Rows, *, at: float) -> Rows:
        """Return a window's means as they were had its slot been as all others are; the
        reference's where no row says anything."""
        usual = self._fitted.centres(self._chosen(np.array([at])), count=1)[0]
        level: Rows = self._row_centre + np.nan_to_num(mean - usual, nan=0.0)
        return level

    def shifts(self, mean: Rows, *, stream: int, most: int = 3) -> list[Shift]:
        """Return the parts of a stream that moved furthest in the mean of windows, each levelled."""
        chosen = self.streams[stream]
        places = np.arange(chosen.first, chosen.last)
        moved = np.nan_to_num(mean[places] - self._row_centre[places], nan=0.0)
        if chosen.whole:
            return [
                Shift(
                    stream=chosen.name,
                    part="distribution",
                    kind="covariate",
                    unit="distance",
                    effect=float(moved @ moved),
                    before=0.0,
                    after=float(moved @ moved),
                )
            ]
        z = np.abs(moved) / self._fitted.sd[places]
        order = np.argsort(-z)[:most]
        return [self._shift(places[place], mean) for place in order if z[place] > 0]

    def _shift(self, place: int, mean: Rows) -> Shift:
        part = self._parts[place]
        sd = self._row_sd[place] if part.unit == "sd" else 1.0
        before, after = float(self._row_centre[place]), float(mean[place])
        if part.unit == "share":  # a sum of differences ends a little below none, or above all
            before, after = (min(max(share, 0.0), 1.0) for share in (before, after))
        effect = (after - before) / sd if sd else float(np.sign(after - before))
        return Shift(
            stream=self.streams[part.stream].name,
            part=part.name,
            kind=part.kind,
            unit=part.unit,
            effect=effect,
            before=before,
            after=after,
        )

    def _scored(self, means: Rows, fitted: "_Fitted", *, at: NDArray[np.float64] | None) -> Rows:
        moved = np.nan_to_num(means - fitted.centres(self._chosen(at), count=len(means)), nan=0.0)
        z = np.abs(moved) / fitted.sd
        return np.stack(
            [
                (moved[:, stream.first : stream.last] ** 2).sum(axis=1)
                if stream.whole
                else z[:, stream.first : stream.last].max(axis=1)
                for stream in self.streams
            ],
            axis=1,
        )

    def _chosen(self, at: NDArray[np.float64] | None) -> dict[str, NDArray[np.int64]]:
        return {} if at is None else {name: SLOTS[name](at) for name in self.slots}

    def _learnt_slots(self) -> dict[str, NDArray[np.bool_]]:
        """Return for each division of time the parts whose windows it explains, by windows that
        were left out."""
        if self._at is None or len(self._means) < LEAST_WINDOWS:
            return {}
        left = _left(self._means, slots={})
        found: dict[str, NDArray[np.bool_]] = {}
        span = float(self._at[-1] - self._at[0])
        for name, slots in slots_of(self._at, span=span).items():
            gained = _left(self._means, slots={name: slots})
            better = gained < LEAST_GAIN * left
            left = np.minimum(left, gained)
            for earlier in found.values():
                earlier &= ~better
            if better.any():
                found[name] = better
        return {name: parts for name, parts in found.items() if parts.any()}


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """The means of the reference's windows, by slot where that says more, and their scatter."""

    centre: Rows
    sd: Rows
    by_slot: dict[str, dict[int, Rows]]
    use: dict[str, NDArray[np.bool_]]

    def centres(self, slots: dict[str, NDArray[np.int64]], *, count: int) -> Rows:
        found = np.repeat(self.centre[None, :], count, axis=0)
        for name, values in slots.items():
            known = self.by_slot.get(name, {})
            means = np.stack([known.get(int(slot), self.centre) for slot in values])
            found = np.where(self.use[name][None, :], means, found)
        return found


def _fit(
    means: Rows,
    *,
    floor: Rows,
    slots: dict[str, NDArray[np.int64]],
    use: dict[str, NDArray[np.bool_]],
) -> _Fitted:
    centre = _mean(means)
    by_slot = {name: _slot_means(means, values, centre) for name, values in slots.items()}
    fitted = _Fitted(centre=centre, sd=np.ones_like(centre), by_slot=by_slot, use=use)
    left = np.nan_to_num(means - fitted.centres(slots, count=len(means)), nan=0.0)
    scatter = np.sqrt((left**2).sum(axis=0) / max(len(means) - 1, 1))
    return _Fitted(centre=centre, sd=np.maximum(scatter, floor), by_slot=by_slot, use=use)


def _slot_means(means: Rows, slots: NDArray[np.int64], centre: Rows) -> dict[int, Rows]:
    """Return the mean of each slot, drawn towards that of all while it has few windows."""
    found = {}
    for slot in np.unique(slots).tolist():
        own = means[slots == slot]
        share = len(own) / (len(own) + 1.0)
        found[slot] = share * _mean(own, otherwise=centre) + (1 - share) * centre
    return found


def _left(means: Rows, *, slots: dict[str, NDArray[np.int64]]) -> Rows:
    """Return the squares that the means of the other windows leave, by part."""
    every = {name: np.ones(means.shape[1], dtype=bool) for name in slots}
    squares, none = np.zeros(means.shape[1]), np.zeros(means.shape[1])
    for held, fitted in _held_out(means, floor=none, slots=slots, use=every):
        expected = fitted.centres(_of(slots, held), count=len(held))
        squares += (np.nan_to_num(means[held] - expected, nan=0.0) ** 2).sum(axis=0)
    return squares


def _held_out(
    means: Rows,
    *,
    floor: Rows,
    slots: dict[str, NDArray[np.int64]],
    use: dict[str, NDArray[np.bool_]],
) -> Iterator[tuple[NDArray[np.int64], _Fitted]]:
    """Give the windows that are held out, a part at a time, and what the others are."""
    every = np.arange(len(means))
    for held in np.array_split(every, FOLDS):
        if len(held):
            rest = np.setdiff1d(every, held)
            yield held, _fit(means[rest], floor=floor, slots=_of(slots, rest), use=use)


def _of(
    slots: dict[str, NDArray[np.int64]], windows: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    return {name: values[windows] for name, values in slots.items()}


def _mean(means: Rows, *, otherwise: Rows | None = None) -> Rows:
    known = np.isfinite(means)
    counts = known.sum(axis=0)
    found = np.where(known, means, 0.0).sum(axis=0) / np.maximum(counts, 1)
    return np.where(counts > 0, found, 0.0 if otherwise is None else otherwise)


def _least_variance(row_sd: Rows, parts: Sequence[Part], *, rows: int) -> Rows:
    """Return the variance of one row, as small as it may be believed to be after so many: what
    was never seen may be rare."""
    shares = np.array([part.unit == "share" for part in parts])
    variance = row_sd**2
    typical = float(variance[~shares].mean()) if (~shares).any() else 0.0
    least = np.where(shares, 1.0 / (rows + 2), max(typical, 1e-12) / (rows + 2))
    return np.maximum(variance, least)

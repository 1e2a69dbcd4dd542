"""What fails in silence: answers that no longer differ, a column that stands still, no traffic where
there usually is some. Pure.

None of these is a shift of a mean that a window must grow evidence for: each is told by a rule of its
own, with a false rate of its own (`FALSE_A_MONTH`) beside the budget of drift tickets.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.monitoring.detectors import base

ALERT = "SilentFailure"
RESOLUTION = "the values change again"
HOUR, MONTH_HOURS = 3600.0, 720.0
HOURS = 24
LEAST_ROWS = 50  # of a window: fewer may be equal by chance
FALSE_A_MONTH = 0.01  # quiet hours told though nothing failed
LEAST_HOURS = 3  # seen of an hour of the day, before it is known what it usually has


def constant(window: NDArray[Any], reference: NDArray[Any]) -> bool:
    """Say whether every row of a window is the same, though no window of as many rows of the
    reference was. Missing values are equal."""
    rows = len(window)
    if rows < LEAST_ROWS or len(reference) < 2 * rows or not _equal(window):
        return False
    return longest_run(reference) < rows


def longest_run(values: NDArray[Any]) -> int:
    """Return the rows of the longest stretch of equal ones."""
    flat = _flat(values)
    changed = np.flatnonzero((flat[1:] != flat[:-1]).any(axis=1)) + 1
    edges = np.concatenate([[0], changed, [len(flat)]])
    return int(np.diff(edges).max()) if len(flat) else 0


def watched(reference: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the columns that may stand still: of numbers, and the answers."""
    return [
        name
        for name, values in reference.items()
        if values.dtype.kind == "f"
        and (name == base.ANSWERS or (base.is_feature(name) and values.ndim == 1))
    ]


def frozen(window: Mapping[str, NDArray[Any]], reference: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the columns that stand still through a window, where the reference's never did."""
    return [
        name
        for name in watched(reference)
        if name in window and constant(window[name], reference[name])
    ]


def still(
    window: Mapping[str, NDArray[Any]],
    reference: Mapping[str, NDArray[Any]],
    *,
    before: Sequence[str],
    newest: bool,
) -> list[str]:
    """Return the columns that stand still after a window: those that do through it, and those that
    did `before` and do not change in it. Only where its rows are all the newest does a change say
    that one moves again: a larger window may have begun before it stood still. Without a reference,
    while the usual is learnt, none begins to; what never changes in one is usual."""
    found = frozen(window, reference)
    return found + [
        name
        for name in before
        if name in window
        and name not in found
        and not (name in reference and _equal(reference[name]))
        and (not newest or _equal(window[name]))
    ]


def summary(columns: Sequence[str], *, deployment: str) -> str:
    """Return the first line of a ticket."""
    still = [name for name in columns if name != base.ANSWERS]
    told = [f"{', '.join(still[:3])} stand{'s' * (len(still) == 1)} still"] if still else []
    if base.ANSWERS in columns:
        told.insert(0, "every answer is the same")
    return f"{deployment}: {'; '.join(told)} through a whole window"


def description(columns: Sequence[str], *, revision: str, rows: int) -> str:
    """Return a ticket's evidence, what was done already and what to do next."""
    named = ", ".join("the answers" if name == base.ANSWERS else name for name in columns[:10])
    return (
        f"Revision {revision}, the newest {rows} rows: {named} did not change once, as in no window "
        "of what is usual. Already done: nothing. Next: see whether what fills these features still "
        "runs (a cache, a join, a sensor, a default); where only the answers stand still, "
        "`fairway predict` with different inputs shows whether the model still reads them."
    )


def hourly(at: NDArray[np.float64]) -> dict[int, list[int]]:
    """Return the requests of each whole hour between the first and the last, by hour of the day
    (UTC)."""
    counts: dict[int, list[int]] = {hour: [] for hour in range(HOURS)}
    if not len(at):
        return counts
    hours = np.floor(at / HOUR).astype(np.int64)
    first, last = int(hours.min()), int(hours.max())
    seen = np.bincount(hours - first, minlength=last - first + 1)
    for place in range(1, len(seen) - 1):  # the first and the last are no whole hours
        counts[(first + place) % HOURS].append(int(seen[place]))
    return counts


def chance_of_none(counts: Sequence[int]) -> float:
    """Return how likely an hour without a request is, where the same hour of other days had these.

    The counts are taken for negative binomial (Poisson where they scatter no more than that), and
    their dispersion for that of moments: (r / (r + m))^r with r = m^2 / (v - m), or exp(-m).
    Where fewer than `LEAST_HOURS` are known, or one of them had none, it is 1.
    """
    if len(counts) < LEAST_HOURS or min(counts) == 0:
        return 1.0
    mean, variance = float(np.mean(counts)), float(np.var(counts, ddof=1))
    if variance <= mean:
        return math.exp(-mean)
    size = mean**2 / (variance - mean)
    return math.exp(size * (math.log(size) - math.log(size + mean)))


def quiet(counts: Mapping[int, Sequence[int]], *, last_at: float, now: float) -> float | None:
    """Return how likely it is that no request came in the whole hours since the last one, where that
    is too rare for chance; None where it is not. It is that of the least likely hour, which bounds
    that of all however hours hang together.

    Told where the chance is below `FALSE_A_MONTH` / 720: there are so many hours in a month, in each
    of which such a silence may begin.
    """
    first, end = math.floor(last_at / HOUR) + 1, math.floor(now / HOUR)
    chance = 1.0
    for hour in range(first, min(end, first + 7 * HOURS)):
        chance = min(chance, chance_of_none(counts.get(hour % HOURS, ())))
    return chance if chance < FALSE_A_MONTH / MONTH_HOURS else None


def _equal(values: NDArray[Any]) -> bool:
    flat = _flat(values)
    return bool((flat == flat[0]).all())


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """Return a row of plain values for each row, in which a missing number equals another."""
    flat = values.reshape(len(values), -1 if values.size else 1)
    if flat.dtype.kind == "f":
        return np.where(np.isnan(flat), np.finfo(flat.dtype).max, flat)
    return flat

"""Metrics of numbers, and of the intervals that come with them: those are told of answers that have
one."""

import numpy as np

from fairway.model.metrics.base import AnsweredRows, Array, Metric

TINY = 1e-300  # in place of a variance of 0


class Rmse(Metric):
    name = "rmse"
    better = "low"
    words = "root mean squared error"

    def measure(self, rows: AnsweredRows) -> float:
        return float(np.sqrt((_off(rows) ** 2).mean()))


class Mae(Metric):
    name = "mae"
    better = "low"
    words = "mean absolute error"

    def measure(self, rows: AnsweredRows) -> float:
        return float(np.abs(_off(rows)).mean())


class RSquared(Metric):
    name = "r2"
    better = "high"
    words = "R²"

    def measure(self, rows: AnsweredRows) -> float:
        return r_squared((_off(rows) ** 2).mean(), rows.target)


class Pinball(Metric):
    name = "pinball"
    better = "low"
    words = "pinball loss of the interval's ends"
    compared = False

    def measure(self, rows: AnsweredRows) -> float | None:
        ends = _ends(rows)
        if ends is None:
            return None
        tail = (1 - rows.schema.facts["coverage"]) / 2
        both = zip(ends, (tail, 1 - tail), strict=True)
        return sum(pinball(end, rows.target, level=level) for end, level in both) / 2


class Coverage(Metric):
    name = "coverage"
    better = "high"
    words = "share of intervals that hold the truth"
    compared = False
    share = True

    def measure(self, rows: AnsweredRows) -> float | None:
        ends = _ends(rows)
        if ends is None:
            return None
        return float(((ends[0] <= rows.target) & (rows.target <= ends[1])).mean())


class IntervalWidth(Metric):
    name = "interval"
    better = "low"
    words = "mean width of the intervals"
    compared = False

    def measure(self, rows: AnsweredRows) -> float | None:
        ends = _ends(rows)
        return None if ends is None else float((ends[1] - ends[0]).mean())


def r_squared(squared: float, target: Array) -> float:
    """Return the share of the target's variance that answers with this mean squared error explain."""
    return 1 - float(squared) / max(float(target.var()), TINY)


def pinball(said: Array, target: Array, *, level: float) -> float:
    """Return the mean pinball loss of answers that are to be the quantile of this level (Koenker &
    Bassett 1978)."""
    off = target - said
    return float(np.maximum(level * off, (level - 1) * off).mean())


def _off(rows: AnsweredRows) -> Array:
    off: Array = rows.raw[:, 0].astype(np.float64) - rows.target
    return off


def _ends(rows: AnsweredRows) -> tuple[Array, Array] | None:
    if rows.raw.shape[1] == 1:
        return None
    return rows.raw[:, 1].astype(np.float64), rows.raw[:, 2].astype(np.float64)

"""Metrics of numbers, and of the intervals that come with them: those are told of answers that have
one."""

from collections.abc import Iterable

import numpy as np

from fairway.model.metrics.base import AnsweredRows, Array, Metric

STATED = "pinball_"  # before the quantile
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


class QuantileLoss(Metric):
    """Of a stated quantile, which an evaluation measures; the answers alone do not tell it."""

    better = "low"
    compared = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.words = f"pinball loss of the quantile {name.removeprefix(STATED)}"

    def measure(self, rows: AnsweredRows) -> None:
        return None


def named(level: float) -> str:
    """Return the metric's name of a stated quantile."""
    return f"{STATED}{level:g}"


def stated(names: Iterable[str]) -> list[Metric]:
    """Return the metrics of stated quantiles among these names."""
    return [QuantileLoss(name) for name in names if _is_stated(name)]


def _is_stated(name: str) -> bool:
    return name.removeprefix(STATED)[:1].isdigit() and name.startswith(STATED)


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

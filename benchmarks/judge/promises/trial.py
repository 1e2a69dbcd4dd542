"""One way to count or to bet, on many simulated rollouts at once, and how often the wrong thing
happened."""

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.judge.streams import Floats, Ints, Stream

ALPHA, CERTIFIED = 0.01, 0.05


@dataclass(frozen=True)
class Trial:
    """How often something happened in so many rollouts; `bound` is what is stated of it, None where
    nothing is."""

    what: str
    happened: int
    runs: int
    bound: float | None = None
    least: bool = False  # the bound is the least that is promised

    @property
    def share(self) -> float:
        return self.happened / self.runs

    @property
    def error(self) -> float:
        """One standard deviation of the share, by Monte Carlo."""
        return math.sqrt(max(self.share * (1 - self.share), 1 / self.runs) / self.runs)

    @property
    def held(self) -> bool | None:
        if self.bound is None:
            return None
        return (
            self.share >= self.bound - 3 * self.error
            if self.least
            else self.share <= self.bound + 3 * self.error
        )


def wrong(
    rng: np.random.Generator,
    mine: Ints,
    theirs: Ints,
    *,
    rates: tuple[float, float],
    weight: Floats,
) -> Stream:
    """Return the counts of arms that fail at these rates."""
    bad = rng.binomial(mine, rates[0]), rng.binomial(theirs, rates[1])
    return Stream(mine, bad[0], theirs, bad[1], weight, bad[0])


def crossed(log_e: Floats, alpha: float) -> int:
    """Return in how many rollouts the evidence came to decide."""
    return int((log_e.max(axis=1) >= math.log(1 / alpha)).sum())


def first(log_e: Floats, alpha: float) -> Floats:
    """Return the tick at which the evidence came to decide, infinity where it never did."""
    crossed = log_e >= math.log(1 / alpha)
    return np.where(crossed.any(axis=1), np.argmax(crossed, axis=1), np.inf)

"""Intervals that hold at every look at once: P(the truth is ever outside) <= alpha, however often
one looks.

Each is a test turned around: what the bets could not refute. They are reported beside a verdict and
decide nothing.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fairway.rollout.statistics.betting import ArmCounts, Floats

WIDEST = math.log(64.0)  # relative risks between 1/64 and 64 are told apart
ANGLES: Floats = (2 * np.arange(33) + 1) * np.pi / 66
NODES: Floats = WIDEST * np.cos(ANGLES)  # of Chebyshev, in log rho
# where the likelihood is read, and the mixture's even prior
ROOMS: Floats = np.linspace(-WIDEST, WIDEST, 4001)
TILTS: Floats = np.geomspace(0.003, 6.0, 24)  # of the exponential bets on a rate
STAKES: Floats = np.geomspace(0.003, 0.95, 24)  # and on a mean


class Interval(NamedTuple):
    """From `low` to `high`, both included; None where nothing bounds that side."""

    low: float | None
    high: float | None


def rate(counts: ArmCounts, *, alpha: float) -> Interval:
    """Return the interval of one arm's rate, as the average over its requests so far: it may move.

    For each tilt t, exp(t x - sum log(1 - p_i + p_i e^t)) is a martingale, and by concavity at
    least exp(t x - n log(1 - p + p e^t)) with p the average of the p_i; a mixture over tilts that
    reaches 2/alpha refutes p from below, one over -t from above (Howard et al. 2021, section 3,
    with the Bernoulli's own cumulant). Of losses y in [0, 1] it is the interval of their mean, for
    exp(t y) <= 1 - y + y e^t. Without requests it is 0 to 1.
    """

    def log_e(p: float, sign: float) -> Floats:
        result: Floats = sign * TILTS * counts.bad - counts.n * np.log1p(p * np.expm1(sign * TILTS))
        return result

    return _unrefuted(log_e, near=counts.bad / max(1, counts.n), n=counts.n, alpha=alpha)


def mean(total: float, n: int, *, spread: float, alpha: float) -> Interval:
    """Return the interval of the mean of values in [0, 1] whose sum is `total`.

    The mean is the average of their expectations so far, which may move. `spread` is the sum of
    their squared distances from what was expected of each before it came. With it, exp(t (x - n p)
    - psi(t) spread) is a supermartingale for psi(t) = -log(1 - t) - t and 0 <= t < 1 (Howard et al.
    2021, section 4.2: empirical Bernstein), and so it is for 1 - x.
    """

    def log_e(p: float, sign: float) -> Floats:
        result: Floats = sign * STAKES * (total - n * p) - spread * (-np.log1p(-STAKES) - STAKES)
        return result

    return _unrefuted(log_e, near=total / max(1, n), n=n, alpha=alpha)


def _unrefuted(
    log_e: Callable[[float, float], Floats], *, near: float, n: int, alpha: float
) -> Interval:
    """Return the values that the mixtures of bets, one for each direction, do not refute."""
    if n == 0:
        return Interval(0.0, 1.0)
    need = math.log(2 / alpha) + math.log(len(TILTS))

    def refuted(p: float, sign: float) -> bool:
        return bool(np.logaddexp.reduce(log_e(p, sign)) >= need)

    return Interval(
        _edge(0.0, near, lambda p: refuted(p, 1.0)), _edge(1.0, near, lambda p: refuted(p, -1.0))
    )


def _edge(far: float, near: float, refuted: Any) -> float:
    """Return the value nearest to `far` that is not refuted; `near` is not."""
    if not refuted(far):
        return far
    for _ in range(50):
        middle = (far + near) / 2
        far, near = (middle, near) if refuted(middle) else (far, middle)
    return far


@dataclass(frozen=True)
class Ratio:
    """What was seen of the relative risk canary / stable: enough to tell every value of it that is
    not refuted.

    Of each batch with realised split w the likelihood of relative risk rho is rho^(bad in canary) /
    (rho w + 1 - w)^(bad in all), as in `hypotheses.factors_two_arm`. The sum of its denominators is
    kept at 33 Chebyshev nodes of log rho, where so smooth a function is known to ten digits
    everywhere between.
    """

    bad: float = 0  # in the canary
    denominators: Floats | None = None  # at NODES

    def add(
        self, candidate: ArmCounts, stable: ArmCounts, *, share: float | None = None
    ) -> "Ratio":
        """Return what is known after one batch; a batch without both arms or without a bad request
        says nothing.

        `share` is the canary's of the draws, where it is not its share of the requests
        (`hypotheses.factors_drawn`).
        """
        events = candidate.bad + stable.bad
        if share is None:
            share = candidate.n / max(1, candidate.n + stable.n)
        if events == 0 or not 0 < share < 1:
            return self
        news = events * np.log1p(share * np.expm1(NODES))
        return Ratio(
            self.bad + candidate.bad,
            news if self.denominators is None else self.denominators + news,
        )

    def interval(self, *, alpha: float) -> Interval:
        """Return the relative risks that are not refuted, to a fifth of a percent, between 1/64 and
        64."""
        if self.denominators is None:
            return Interval(None, None)
        log_likelihood = self.bad * ROOMS - _between() @ self.denominators
        average = float(np.logaddexp.reduce(log_likelihood)) - math.log(len(ROOMS))
        held = np.flatnonzero(log_likelihood >= average - math.log(1 / alpha))
        low, high = int(held[0]), int(held[-1])
        return Interval(
            None if low == 0 else math.exp(ROOMS[low]),
            None if high == len(ROOMS) - 1 else math.exp(ROOMS[high]),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "bad": self.bad,
            "denominators": self.denominators.tolist() if self.denominators is not None else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Ratio":
        known = data["denominators"]
        return cls(
            bad=data["bad"],
            denominators=np.array(known, dtype=np.float64) if known is not None else None,
        )


@functools.cache
def _between() -> Floats:
    """Return the matrix that reads the Chebyshev series through values at the NODES in every one of
    the ROOMS."""
    orders = np.arange(len(ANGLES))
    series = np.cos(np.outer(orders, ANGLES)) * 2 / len(ANGLES)  # values -> coefficients
    series[0] /= 2
    result: Floats = np.cos(np.outer(np.arccos(ROOMS / WIDEST), orders)) @ series
    return result

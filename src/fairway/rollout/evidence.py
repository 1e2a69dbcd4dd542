"""Evidence that may be looked at at any time: wealth of bets against a null hypothesis.

Each test multiplies a wealth of 1 by factors whose expectation is at most 1 while its null hypothesis H0 holds. So
P(the wealth ever reaches 1/alpha) <= alpha, whenever and however often one looks (Ville 1939; Howard, Ramdas, McAuliffe,
Sekhon 2021, section 2). A `Wealth` spreads its money over a grid of alternatives and over restart times, so that a
harm which starts late is not drowned by a healthy past; `factors_*` give the logarithm of the factor for each alternative.

>>> wealth = Wealth.start(at=0.0)
>>> for second in range(30):          # the canary has a tenth of the traffic and all of the errors
...     wealth = wealth.bet(factors_two_arm(ArmCounts(100, 2), ArmCounts(900, 0)))
>>> round(wealth.log_e)
127
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GRID = 12
RATIOS: Floats = np.geomspace(1.25, 64.0, GRID)   # relative risks of the canary, from a small harm to a total one
SPLIT_RATIOS: Floats = np.concatenate([np.geomspace(0.5, 0.95, GRID // 2), np.geomspace(1.05, 2.0, GRID // 2)])
MAX_RESTARTS = 10                                  # bounds the state that travels in a custom resource's status
RESTART_SECONDS = 60.0


class ArmCounts(NamedTuple):
    """Requests (or units, or labels) of one arm and how many of them were bad."""

    n: int
    bad: int


@dataclass(frozen=True)
class Wealth:
    """Money spread over restart times and alternatives; `log_e` is the evidence against H0, natural logarithm."""

    stakes: Floats            # [restarts, GRID] logarithm of the money on each alternative, by the time the bet began
    starts: tuple[float, ...]  # when each row began, seconds since the epoch
    cash: float               # money kept for restarts to come
    restarts: int             # how many there were
    peak: float               # largest log_e so far: the verdict is sticky

    @classmethod
    def start(cls, *, at: float, restarts: bool = True) -> "Wealth":
        """Gives a wealth of 1: half on time zero and half kept for restarts, or all of it on time zero."""
        cash = 0.5 if restarts else 0.0
        return cls(stakes=np.full((1, GRID), math.log((1 - cash) / GRID)), starts=(at,), cash=cash, restarts=0, peak=0.0)

    @property
    def log_e(self) -> float:
        total = _log_sum(self.stakes)
        return float(np.logaddexp(total, math.log(self.cash))) if self.cash > 0 else total

    @property
    def p_value(self) -> float:
        """Valid at any time: the smallest level at which the evidence so far would have spoken."""
        return math.exp(-max(0.0, self.peak))

    def bet(self, factors: Floats) -> "Wealth":
        """Gives the wealth after one batch of data; `factors` are logarithms, one an alternative."""
        if not np.all(np.isfinite(factors)):
            raise ValueError(f"factors are {factors}: wanted finite numbers")
        after = replace(self, stakes=self.stakes + factors)
        return replace(after, peak=max(self.peak, after.log_e))

    def restart(self, *, at: float) -> "Wealth":
        """Gives the wealth with a new row that begins at `at`.

        The j-th restart takes 1/(2 j (j+1)) of the first money, so that all of them together take the half kept back.
        When the rows are full the poorest restart is closed and its money goes to the new row: a bet that may be
        rearranged by what is already known stays a fair one.
        """
        number = self.restarts + 1
        money = 0.5 / (number * (number + 1))
        stakes, starts, amount = self.stakes, self.starts, math.log(money)
        if len(starts) > MAX_RESTARTS:
            rows = np.logaddexp.reduce(stakes[1:], axis=1)
            poorest = int(np.argmin(rows)) + 1
            amount = float(np.logaddexp(amount, rows[poorest - 1]))
            stakes = np.delete(stakes, poorest, axis=0)
            starts = starts[:poorest] + starts[poorest + 1:]
        row = np.full((1, GRID), amount - math.log(GRID))
        return replace(self, stakes=np.vstack([stakes, row]), starts=(*starts, at), cash=max(0.0, self.cash - money), restarts=number)

    def due(self, *, at: float) -> bool:
        """Says whether a minute has passed since the last restart."""
        return at - self.starts[-1] >= RESTART_SECONDS

    def to_json(self) -> dict[str, Any]:
        return {"stakes": self.stakes.tolist(), "starts": list(self.starts), "cash": self.cash, "restarts": self.restarts, "peak": self.peak}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Wealth":
        return cls(stakes=np.array(data["stakes"], dtype=np.float64), starts=tuple(data["starts"]), cash=data["cash"],
                   restarts=data["restarts"], peak=data["peak"])


def factors_two_arm(candidate: ArmCounts, stable: ArmCounts) -> Floats:
    """Gives the factors against H0: a request of the canary is no more likely bad than one of stable at the same time.

    Given that a bad request happened, which arm did it happen in? With the realised split w of this batch the factor of
    relative risk rho is rho^(bad in canary) / (rho w + 1 - w)^(bad in all). No base rate is assumed, nor one that stays:
    given the counts, the bad ones in the canary are hypergeometric under H0, for which the binomial's moments are an
    upper bound (Hoeffding 1963, section 6). The same ratio as Lindon & Malek, NeurIPS 2022, with a split that moves.
    """
    _check(candidate, stable)
    bad, total = candidate.bad + stable.bad, candidate.n + stable.n
    if bad == 0 or candidate.n == 0 or stable.n == 0:
        return np.zeros(GRID)
    w = candidate.n / total
    result: Floats = candidate.bad * np.log(RATIOS) - bad * np.log(RATIOS * w + 1 - w)
    return result


def factors_difference(candidate: ArmCounts, stable: ArmCounts, *, weight: float, margin: float, harm: bool = True) -> Floats:
    """Gives the factors against H0: rate(canary) - rate(stable) <= margin (or >= margin where `harm` is False).

    Bets on the inverse-propensity difference D = A Y / w - (1 - A) Y / (1 - w) of each unit, whose mean is the difference
    of the rates when `weight` w is the probability of the canary (Waudby-Smith & Ramdas 2024, section 4: a wealth of
    products 1 + lambda (D - margin), for bounded D). The stakes lambda are those of `RATIOS` in `factors_two_arm`.
    """
    _check(candidate, stable)
    if not 0 < weight < 1:
        return np.zeros(GRID)
    w, rest = weight, candidate.n + stable.n - candidate.bad - stable.bad
    if harm:
        stake = w * (1 - w) * (RATIOS - 1) / (RATIOS * w + 1 - w) / (1 + margin * (1 - w))
        sign = 1.0
    else:
        # the worst outcome for this bet is a bad unit of the canary: D = 1/w
        stake = 0.999 / (1 / w - margin) * (1 - 1 / RATIOS)
        sign = -1.0
    won = np.log1p(sign * stake * (1 / w - margin))
    lost = np.log1p(-sign * stake * (1 / (1 - w) + margin))
    idle = np.log1p(-sign * stake * margin)
    result: Floats = candidate.bad * won + stable.bad * lost + rest * idle
    return result


def factors_above(counts: ArmCounts, *, limit: float) -> Floats:
    """Gives the factors against H0: the rate is at most `limit` (harm: the rate is above)."""
    alternatives = limit + (1 - limit) * np.geomspace(0.01, 0.9, GRID)
    return _likelihood_ratio(counts, limit, alternatives)


def factors_below(counts: ArmCounts, *, limit: float) -> Floats:
    """Gives the factors against H0: the rate is at least `limit` (a certificate: the rate is below)."""
    return _likelihood_ratio(counts, limit, limit * np.linspace(0.02, 0.9, GRID))


def factors_split(*, candidate: int, stable: int, weight: float) -> Floats:
    """Gives the factors against H0: each unit falls to the canary with probability `weight` (sample-ratio mismatch)."""
    if not 0 < weight < 1:
        return np.zeros(GRID)
    odds = SPLIT_RATIOS * weight
    share = odds / (odds + 1 - weight)
    result: Floats = candidate * np.log(share / weight) + stable * np.log((1 - share) / (1 - weight))
    return result


def combine(wealths: Mapping[str, "Wealth"]) -> float:
    """Gives the log evidence that any of the H0s is false: the average of the wealths, whatever their dependence.

    The average of e-values is one (Vovk & Wang 2021, section 3) and never weaker than Bonferroni's correction.
    """
    if not wealths:
        return 0.0
    return _log_sum(np.array([wealth.log_e for wealth in wealths.values()])) - math.log(len(wealths))


def _likelihood_ratio(counts: ArmCounts, null: float, alternatives: Floats) -> Floats:
    _check(counts)
    if not 0 < null < 1:
        return np.zeros(GRID)
    good = counts.n - counts.bad
    result: Floats = counts.bad * np.log(alternatives / null) + good * np.log((1 - alternatives) / (1 - null))
    return result


def _log_sum(values: Floats) -> float:
    return float(np.logaddexp.reduce(values, axis=None))


def _check(*arms: ArmCounts) -> None:
    for arm in arms:
        if arm.n < 0 or arm.bad < 0 or arm.bad > arm.n:
            raise ValueError(f"counts are {arm.bad} bad of {arm.n}: wanted 0 <= bad <= requests")

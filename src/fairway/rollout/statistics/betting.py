"""Evidence that may be looked at at any time: wealth of bets against a null hypothesis.

Each test multiplies a wealth of 1 by factors whose expectation is at most 1 while its null
hypothesis H0 holds. So P(the wealth ever reaches 1/alpha) <= alpha, whenever and however often one
looks (Ville 1939; Howard, Ramdas, McAuliffe, Sekhon 2021, section 2). A `Wealth` spreads its money
over a grid of alternatives and over restart times, so that a harm which starts late is not drowned
by a healthy past; `hypotheses.factors_*` give the logarithm of the factor for each alternative.

>>> from fairway.rollout.statistics import hypotheses
>>> wealth = Wealth.start(at=0.0)
>>> for second in range(30):          # the canary has a tenth of the traffic and all of the errors
...     wealth = wealth.bet(hypotheses.factors_two_arm(ArmCounts(100, 2), ArmCounts(900, 0)))
>>> round(wealth.log_e)
127
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)
GRID = 12
MAX_RESTARTS = 10  # bounds the state that travels in a custom resource's status
RESTART_SECONDS = 60.0
ALARM, ALARM_SECONDS = 20.0, 600.0  # found by simulation: docs/judge.md has what they cost and save


class ArmCounts(NamedTuple):
    """Requests (or units, labels, outcomes) of one arm and how many of them were bad (or their
    losses' sum)."""

    n: int
    bad: float

    def plus(self, other: "ArmCounts") -> "ArmCounts":
        return ArmCounts(self.n + other.n, self.bad + other.bad)


@dataclass(frozen=True)
class Wealth:
    """Money spread over restart times and alternatives; `log_e` is the evidence against H0, natural
    logarithm."""

    # [restarts, GRID] logarithm of the money on each alternative, by the time the bet began
    stakes: Floats
    starts: tuple[float, ...]  # when each row began, seconds since the epoch
    cash: float  # money kept for restarts to come
    restarts: int  # how many there were
    peak: float  # largest log_e so far: the verdict is sticky

    @classmethod
    def start(cls, *, at: float, restarts: bool = True) -> "Wealth":
        """Return a wealth of 1: half on time zero and half kept for restarts, or all of it on time
        zero."""
        cash = 0.5 if restarts else 0.0
        return cls(
            stakes=np.full((1, GRID), math.log((1 - cash) / GRID)),
            starts=(at,),
            cash=cash,
            restarts=0,
            peak=0.0,
        )

    @property
    def log_e(self) -> float:
        return self._worth(self.stakes)

    @property
    def p_value(self) -> float:
        """Valid at any time: the smallest level at which the evidence so far would have spoken."""
        return math.exp(-max(0.0, self.peak))

    def bet(self, factors: Floats) -> "Wealth":
        """Return the wealth after one batch of data; `factors` are logarithms, one an alternative."""
        stakes = self.stakes + factors
        worth = self._worth(stakes)
        if not math.isfinite(worth):
            raise ValueError(f"factors are {factors.tolist()}: wanted finite numbers")
        return Wealth(stakes, self.starts, self.cash, self.restarts, max(self.peak, worth))

    def _worth(self, stakes: Floats) -> float:
        total = _log_sum(stakes)
        if self.cash <= 0:
            return total
        kept = math.log(self.cash)
        return max(total, kept) + math.log1p(math.exp(-abs(total - kept)))

    def restart(self, *, at: float) -> "Wealth":
        """Return the wealth with a new row that begins at `at`.

        The j-th restart takes 1/(2 j (j+1)) of the first money, so that all of them together take
        the half kept back. When the rows are full the poorest restart is closed and its money goes
        to the new row: a bet that may be rearranged by what is already known stays a fair one.
        """
        number = self.restarts + 1
        money = 0.5 / (number * (number + 1))
        stakes, starts, amount = self.stakes, self.starts, math.log(money)
        if len(starts) > MAX_RESTARTS:
            rows = np.logaddexp.reduce(stakes[1:], axis=1)
            poorest = int(np.argmin(rows)) + 1
            amount = float(np.logaddexp(amount, rows[poorest - 1]))
            stakes = np.delete(stakes, poorest, axis=0)
            starts = starts[:poorest] + starts[poorest + 1 :]
        row = np.full((1, GRID), amount - math.log(GRID))
        return replace(
            self,
            stakes=np.vstack([stakes, row]),
            starts=(*starts, at),
            cash=max(0.0, self.cash - money),
            restarts=number,
        )

    def due(self, *, at: float) -> bool:
        """Say whether a minute has passed since the last restart."""
        return at - self.starts[-1] >= RESTART_SECONDS

    def to_json(self) -> dict[str, Any]:
        return {
            "stakes": self.stakes.tolist(),
            "starts": list(self.starts),
            "cash": self.cash,
            "restarts": self.restarts,
            "peak": self.peak,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Wealth":
        return cls(
            stakes=np.array(data["stakes"], dtype=np.float64),
            starts=tuple(data["starts"]),
            cash=data["cash"],
            restarts=data["restarts"],
            peak=data["peak"],
        )


@dataclass(frozen=True)
class Alarm:
    """Whether something is amiss now: a test that begins anew whenever that pays (Page 1954).

    It has no error rate over an endless time.

    It is on while the largest product of factors over all beginnings, averaged over the
    alternatives, is `ALARM` or more, and for ten minutes after.
    """

    # logarithms of those products, one an alternative
    sums: Floats = field(default_factory=lambda: np.zeros(GRID))
    until: float = -math.inf

    def learn(self, factors: Floats, *, at: float) -> "Alarm":
        sums = cumulate(self.sums, factors)
        return Alarm(sums, at + ALARM_SECONDS if bool(amiss(sums)) else self.until)

    def on(self, *, at: float) -> bool:
        return at <= self.until

    def to_json(self) -> dict[str, Any]:
        return {
            "sums": self.sums.tolist(),
            "until": self.until if math.isfinite(self.until) else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Alarm":
        return cls(
            np.array(data["sums"], dtype=np.float64),
            data["until"] if data["until"] is not None else -math.inf,
        )


def cumulate(sums: Floats, factors: Floats) -> Floats:
    """Return an alarm's sums after one batch; broadcasts over runs."""
    result: Floats = np.maximum(sums, 0.0) + factors
    return result


def amiss(sums: Floats) -> "np.bool_ | NDArray[np.bool_]":
    """Say whether the sums ring; one answer a run."""
    result: np.bool_ | NDArray[np.bool_] = np.logaddexp.reduce(sums, axis=-1) - math.log(
        GRID
    ) >= math.log(ALARM)
    return result


def combine(wealths: Mapping[Name, "Wealth"]) -> float:
    """Return the log evidence that any of the H0s is false: the average of the wealths, whatever
    their dependence.

    The average of e-values is one (Vovk & Wang 2021, section 3) and never weaker than Bonferroni's
    correction.
    """
    if not wealths:
        return 0.0
    return _log_sum(np.array([wealth.log_e for wealth in wealths.values()])) - math.log(
        len(wealths)
    )


def guilty(wealths: Mapping[Name, "Wealth"], *, alpha: float) -> tuple[Name, ...]:
    """Return the H0s that may be named false, all at once with P(any of them is true) <= alpha; the
    strongest first.

    Closed testing with averages: one is named where the average of every set that it is in reaches
    1/alpha (Vovk & Wang 2021, section 5).
    """
    order = sorted(wealths, key=lambda name: wealths[name].log_e, reverse=True)
    values = np.exp(np.minimum([wealths[name].log_e for name in reversed(order)], 700.0))
    sets = np.arange(1, len(order) + 1)
    named = []
    for place, name in enumerate(order):
        # ascending: the worst company comes first
        others = np.delete(values, len(order) - 1 - place)
        averages = (
            values[len(order) - 1 - place] + np.concatenate([[0.0], np.cumsum(others)])
        ) / sets
        if averages.min() >= 1 / alpha:
            named.append(name)
    return tuple(named)


def e_bh(log_e: Mapping[Name, float], *, rate: float) -> tuple[Name, ...]:
    """Return the names to report so that at most `rate` of them are expected to be false.

    That holds whatever the dependence (Wang & Ramdas 2022, section 4).
    """
    order = sorted(log_e, key=log_e.__getitem__, reverse=True)
    enough = [
        place
        for place, name in enumerate(order, start=1)
        if log_e[name] >= math.log(len(order) / (rate * place))
    ]
    return tuple(order[: max(enough, default=0)])


def _log_sum(values: Floats) -> float:
    return float(np.logaddexp.reduce(values, axis=None))

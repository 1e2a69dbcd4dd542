"""The traffic that a rollout is expected to have, and what its bets are expected to earn with it.
Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fairway.config import sections
from fairway.rollout.statistics.betting import Floats, Wealth

LOOK_SECONDS = 5.0
MOST, MOST_TIMES = 0.99, 64.0  # that a guard's maxRate and maxRatio may be
HARMS = (0.02, 0.05, 0.2)  # rates of a bad revision whose discovery is foretold
LONGEST_SECONDS = 86_400.0  # that a discovery is foretold for


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of one guard."""

    guard: str
    gates: str
    limit: float
    # the healthy rate that was assumed; of outcomes stable's mean, as a share of their range
    usual: float
    # From the stage's beginning, at that rate (or effect); None where no effect was named.
    certified_seconds: float | None
    # That can be certified within the stage's budget; of outcomes the smallest effect; None where
    # there is none.
    smallest_limit: float | None
    # Rate of a bad revision -> seconds until it is rolled back; None: not within the budget.
    found_seconds: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class StepForecast:
    """What is expected of one step of the canary."""

    weight: int
    seconds: float  # that it lasts at the least
    # of the candidate, until `canary.harm` would have been found; None: no number is enough
    requests: float | None


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What is known before a rollout."""

    strategy: sections.Strategy
    requests_per_second: float
    steps: Sequence[StepForecast]
    bets: int  # against the candidate, all guards together

    def budget_seconds(self, stage: str) -> float:
        return self.strategy.budget(stage).total_seconds()

    def served(self, stage: str) -> list[float]:
        """Return the requests (or pairs) that the candidate is expected to have had after each look
        of a stage."""
        seconds, strategy = self.budget_seconds(stage), self.strategy
        warms_up = stage == "shadow" or not strategy.shadow.enabled
        warmup = strategy.warmup.total_seconds() if warms_up else 0.0
        shares: Iterator[float] = weights(self.steps, seconds=seconds)
        if stage != "canary":
            shares = iter([strategy.shadow.percent / 100] * max(1, round(seconds / LOOK_SECONDS)))
        a_look = self.requests_per_second * LOOK_SECONDS
        counted = [
            a_look * share * (look * LOOK_SECONDS >= warmup) for look, share in enumerate(shares)
        ]
        return [float(total) for total in np.cumsum(counted)]

    def found(
        self, factors: Callable[[float, float, float], Floats], *, usual: float
    ) -> dict[str, float | None]:
        """Return, by the rate of a bad candidate, the seconds until it is rolled back.

        `factors` are those of so many requests of the candidate and of stable, at the candidate's
        rate.
        """
        return {f"{bad:.0%}": self._found(factors, bad=bad) for bad in HARMS if bad > usual}

    def _found(
        self, factors: Callable[[float, float, float], Floats], *, bad: float
    ) -> float | None:
        # The other bets are worth nothing then: the average is that much less.
        need = math.log(self.bets / self.strategy.false_rollback)
        requests = self.requests_per_second * LOOK_SECONDS
        wealth = Wealth.start(at=0.0)
        longest = min(self.budget_seconds("canary"), LONGEST_SECONDS)
        for look, share in enumerate(weights(self.steps, seconds=longest)):
            now = (look + 1) * LOOK_SECONDS
            wealth = wealth.restart(at=now) if wealth.due(at=now) else wealth
            wealth = wealth.bet(factors(requests * share, requests * (1 - share), bad))
            if wealth.log_e >= need:
                return now
        return None


def weights(steps: Sequence[StepForecast], *, seconds: float) -> Iterator[float]:
    """Return the candidate's share at each look: every step as long as it must be, and the last one
    to the end."""
    step, since = 0, 0.0
    for look in range(max(1, round(seconds / LOOK_SECONDS))):
        now = look * LOOK_SECONDS
        if step + 1 < len(steps) and now - since >= steps[step].seconds:
            step, since = step + 1, now
        yield steps[step].weight / 100


def until(growth: Floats, *, alpha: float) -> float:
    """Return how often bets that grow by this in expectation must be repeated until they are worth
    1/alpha.

    Infinity where they do not grow.
    """
    if growth.max() <= 0:
        return math.inf

    def enough(times: float) -> bool:
        return float(np.logaddexp.reduce(growth * times)) - math.log(len(growth)) >= math.log(
            1 / alpha
        )

    high = 1.0
    while not enough(high):
        high *= 2
    return bisect(enough, low=0.0, high=high) or high


def bisect(true: Callable[[float], bool], *, low: float, high: float) -> float | None:
    """Return the smallest value from which on it is true; None where it is not true of `high`
    either."""
    if not true(high):
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if true(middle) else (middle, high)
    return high


def or_more(least: float | None, *, percent: bool) -> str:
    """Name the smallest that is possible, rounded up so that it is; nothing where there is none."""
    if least is None:
        return ""
    digits = (3 if percent else 2) - math.floor(math.log10(least)) if least > 0 else 4
    value = math.ceil(least * 10**digits) / 10**digits
    return f"{value:.{max(0, digits - 2)}%} or more, " if percent else f"{value:g} or more, "

"""How long a rollout will take at this traffic: the judge's own bets on counts as they are expected. Pure.

Half of all rollouts take longer than their expectation, roughly: plan with a budget of twice as much.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fairway import errors
from fairway.config import schema
from fairway.rollout import evidence
from fairway.rollout import ledger as ledgers
from fairway.rollout.evidence import Floats, Wealth

LOOK_SECONDS = 5.0
HARMS = (0.02, 0.05, 0.2)       # rates of a bad revision whose discovery is foretold


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of one guard."""

    guard: str
    gates: str
    limit: float
    usual: float                                # the healthy rate that was assumed
    certified_seconds: float                    # from the stage's beginning, at that rate
    smallest_limit: float                       # that can be certified within the stage's budget
    found_seconds: dict[str, float | None]      # rate of a bad revision -> seconds until it is rolled back; None: not within the budget


def plan(policy: schema.Strategy, *, requests_per_second: float, usual: dict[str, float]) -> list[Expectation]:
    """Gives what to expect of every guard that gates shadow or canary; `usual` is each one's rate in a healthy revision.

    Raises ConfigError where a limit cannot be certified within the budget, with the smallest that can.
    """
    found = []
    for guard in policy.guards:
        stage = guard.stage
        if stage not in ("shadow", "canary") or guard.type == "quality" or (stage == "shadow" and not policy.shadow.enabled):
            continue
        rate = usual.get(guard.name, 0.0)
        limit = guard.max_rate if guard.type != "disagreement" else ledgers.allowed_disagreement(policy, rate)
        budget = policy.shadow.budget if stage == "shadow" else policy.canary.budget
        served = list(_served(policy, stage=stage, rps=requests_per_second, seconds=budget.total_seconds()))
        least = smallest(rate, requests=served[-1], alpha=policy.false_promotion)
        if limit is None or limit < least:
            raise errors.ConfigError(
                f"strategy.guards: {guard.name} cannot certify {limit:.2%} within {schema.format_duration(budget)} at "
                f"{requests_per_second:g} requests/s and a usual rate of {rate:.2%}: wanted {least:.2%} or more, more traffic, or a longer budget")
        need = requests_to_certify(rate, limit=limit, alpha=policy.false_promotion)
        if stage == "shadow":
            need = max(need, float(policy.shadow.min_pairs))
        look = int(np.searchsorted(served, need))
        harms = {f"{bad:.0%}": _found(policy, rate=rate, bad=bad, rps=requests_per_second, seconds=budget.total_seconds()) for bad in HARMS if bad > rate} \
            if guard.type != "disagreement" else {}
        found.append(Expectation(guard=guard.name, gates=stage, limit=limit, usual=rate, certified_seconds=(look + 1) * LOOK_SECONDS, smallest_limit=least,
                                 found_seconds=harms))
    return found


def requests_to_certify(rate: float, *, limit: float, alpha: float) -> float:
    """Gives how many requests of the canary are expected until "below `limit`" is certified, at this rate; infinity where that is never."""
    growth = evidence.below(rate, 1.0, limit=limit)
    if growth.max() <= 0:
        return math.inf

    def enough(requests: float) -> bool:
        return float(np.logaddexp.reduce(growth * requests)) - math.log(len(growth)) >= math.log(1 / alpha)

    high = 1.0
    while not enough(high):
        high *= 2
    return _bisect(enough, low=0.0, high=high)


def smallest(rate: float, *, requests: float, alpha: float) -> float:
    """Gives the smallest limit that so many requests are expected to certify, at this rate."""
    return _bisect(lambda limit: requests_to_certify(rate, limit=limit, alpha=alpha) <= requests, low=rate, high=0.999)


def _bisect(true: Callable[[float], bool], *, low: float, high: float) -> float:
    """Gives the smallest value from which on it is true."""
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if true(middle) else (middle, high)
    return high


def weights(policy: schema.Strategy, *, seconds: float) -> Iterator[float]:
    """Gives the canary's share at each look: every step as long as it must be, at least a look, and the last one to the end."""
    steps, step, since = policy.canary.steps, 0, 0.0
    for look in range(max(1, round(seconds / LOOK_SECONDS))):
        now = look * LOOK_SECONDS
        if step + 1 < len(steps) and now - since >= max(LOOK_SECONDS, steps[step].min_duration.total_seconds()):
            step, since = step + 1, now
        yield steps[step].weight / 100


def _served(policy: schema.Strategy, *, stage: str, rps: float, seconds: float) -> Iterator[float]:
    """Gives the requests (or pairs) that the canary is expected to have had after each look."""
    total, warmup = 0.0, policy.warmup.total_seconds() if stage == "shadow" or not policy.shadow.enabled else 0.0
    shares = weights(policy, seconds=seconds) if stage == "canary" else iter([policy.shadow.percent / 100] * max(1, round(seconds / LOOK_SECONDS)))
    for look, share in enumerate(shares):
        total += rps * LOOK_SECONDS * share * (look * LOOK_SECONDS >= warmup)
        yield total


def _found(policy: schema.Strategy, *, rate: float, bad: float, rps: float, seconds: float) -> float | None:
    """Gives the seconds until a canary with rate `bad` against stable's `rate` is rolled back, as expected."""
    bets = len(ledgers.begin(policy, at=0.0).harms)   # the others are worth nothing then: the average is that much less
    need = math.log(bets / policy.false_rollback)
    wealth = Wealth.start(at=0.0)
    for look, share in enumerate(weights(policy, seconds=min(seconds, 86_400.0))):
        now, n = (look + 1) * LOOK_SECONDS, rps * LOOK_SECONDS
        wealth = wealth.restart(at=now) if wealth.due(at=now) else wealth
        wealth = wealth.bet(_factors(n * share, n * (1 - share), bad, rate))
        if wealth.log_e >= need:
            return now
    return None


def _factors(canary: float, stable: float, bad: float, rate: float) -> Floats:
    events = canary * bad + stable * rate
    return evidence.two_arm(canary * bad, events, canary / (canary + stable) if stable else 1.0, evidence.WORSE)

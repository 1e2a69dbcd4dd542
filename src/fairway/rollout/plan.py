"""How long a rollout will take at this traffic: the judge's own bets on counts as they are
expected. Pure.

Half of all rollouts take longer than their expectation, roughly: plan with a budget of twice as
much.
"""

import math
from collections.abc import Mapping

from fairway.config import sections
from fairway.rollout import bookkeeping, guards, power
from fairway.rollout.prospect import LOOK_SECONDS, Expectation, Prospect, StepForecast


def plan(
    policy: sections.Strategy,
    *,
    requests_per_second: float,
    usual: Mapping[str, float],
    effects: Mapping[str, float] | None = None,
) -> list[Expectation]:
    """Return what to expect of every guard that gates shadow or canary, quality apart (its labels
    come when they come).

    `usual` is each one's rate in a healthy revision; `effects` are how much better the outcomes of
    business guards are hoped to be, as shares of their range, with `usual` stable's mean, and every
    request a unit with an outcome. Raises ConfigError where a certificate is not to be expected
    within the budget, with the smallest limit (or effect) that is.
    """
    foretold = Prospect(
        strategy=policy,
        requests_per_second=requests_per_second,
        steps=schedule(policy, requests_per_second=requests_per_second, usual=usual),
        bets=len(bookkeeping.begin(policy, at=0.0).bets),
    )
    found = [
        case.expect(
            foretold, usual=usual.get(case.name, 0.0), effect=(effects or {}).get(case.name)
        )
        for case in guards.cases(policy)
        if case.stage in ("shadow", "canary")
    ]
    return [expectation for expectation in found if expectation is not None]


def schedule(
    policy: sections.Strategy, *, requests_per_second: float, usual: Mapping[str, float]
) -> list[StepForecast]:
    """Return how long each step is expected to last, at each guard's `usual` rate.

    Until `canary.harm` more would have been found in it.
    """
    ledger, found = bookkeeping.begin(policy, at=0.0), []
    for step in policy.canary.steps:
        share, wanted = step.weight / 100, 0.0
        if share < 1:
            needed = power.needed(ledger, strategy=policy, share=share, since=0.0, rates=usual)
            wanted = max(needed.values(), default=0)
        seconds = max(
            LOOK_SECONDS, step.min_duration.total_seconds(), wanted / (requests_per_second * share)
        )
        found.append(
            StepForecast(
                weight=step.weight,
                seconds=seconds,
                requests=wanted if math.isfinite(wanted) else None,
            )
        )
    return found

"""A rate that must be certified below a limit: how its certificate grows, and what to expect of it."""

import numpy as np

from fairway import errors
from fairway.config import sections
from fairway.rollout import prospect
from fairway.rollout.guards import base
from fairway.rollout.prospect import Expectation, Prospect
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts


def growth_below(counts: ArmCounts, *, limit: float) -> float:
    """Return what a certificate of "below `limit`" has grown by in expectation, at the rate so far."""
    return hypotheses.growth_below((counts.bad + 0.5) / (counts.n + 1), limit=limit) * counts.n


def of_rate(
    case: base.Case[sections.Guard],
    foretold: Prospect,
    *,
    usual: float,
    limit: float,
    each: int,
    found: dict[str, float | None],
) -> Expectation:
    """Return what to expect of a rate that must be certified below a limit, where `each` requests
    share one fate."""
    policy, rps = case.strategy, foretold.requests_per_second
    served = foretold.served(case.stage)
    least = smallest(usual, requests=served[-1] / each, alpha=policy.false_promotion)
    if least is None or limit < least:
        raise errors.ConfigError(
            f"strategy.guards: {case.name} cannot certify {limit:.2%} within "
            f"{sections.format_duration(policy.budget(case.stage))} at {rps:g} requests/s "
            f"and a usual rate of {usual:.2%}: "
            f"wanted {prospect.or_more(least, percent=True)}more traffic, or a longer budget"
        )
    need = requests_to_certify(usual, limit=limit, alpha=policy.false_promotion) * each
    least_pairs = float(policy.shadow.min_pairs) if case.stage == "shadow" else 0.0
    look = int(np.searchsorted(served, max(need, least_pairs)))
    return Expectation(
        guard=case.name,
        gates=case.stage,
        limit=limit,
        usual=usual,
        certified_seconds=(look + 1) * prospect.LOOK_SECONDS,
        smallest_limit=least,
        found_seconds=found,
    )


def requests_to_certify(rate: float, *, limit: float, alpha: float) -> float:
    """Return how many requests of the candidate are expected until "below `limit`" is certified, at
    this rate.

    Infinity where that is never.
    """
    return prospect.until(hypotheses.below(rate, 1.0, limit=limit), alpha=alpha)


def smallest(rate: float, *, requests: float, alpha: float) -> float | None:
    """Return the smallest limit that so many requests are expected to certify, at this rate.

    None where there is none.
    """
    return prospect.bisect(
        lambda limit: requests_to_certify(rate, limit=limit, alpha=alpha) <= requests,
        low=rate,
        high=prospect.MOST,
    )

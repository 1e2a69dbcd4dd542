"""Guards, one module a type: what it counts, bets, certifies and says. The rest of the rollout asks a guard's `base.Case` and knows no type."""

from collections.abc import Mapping

from fairway.config import sections
from fairway.rollout.guards import business, disagreement, drift, errors, latency, quality, rejections
from fairway.rollout.guards.base import Case

CASES: Mapping[str, type[Case]] = {
    "errors": errors.ErrorsCase,
    "latency": latency.LatencyCase,
    "rejections": rejections.RejectionsCase,
    "disagreement": disagreement.DisagreementCase,
    "quality": quality.QualityCase,
    "drift": drift.DriftCase,
    "business": business.BusinessCase,
}


def case(guard: sections.Guard, strategy: sections.Strategy, *, offline: float | None = None) -> Case:
    """Return the guard as it stands in this strategy."""
    return CASES[guard.type](guard, strategy, offline)


def cases(strategy: sections.Strategy, *, offline: float | None = None) -> tuple[Case, ...]:
    """Return the strategy's guards; `offline` is the disagreement that evaluation measured between the two models."""
    return tuple(case(guard, strategy, offline=offline) for guard in strategy.guards)


def told_by_counts(guard: sections.Guard) -> tuple[str | None, bool]:
    """Return what counts of requests do not tell of the guard, and whether a table can have the rows of one guard of its type only."""
    alone = case(guard, sections.Strategy())
    return alone.untold, alone.rows_alone

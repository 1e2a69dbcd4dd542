"""Guards: one module for each type, found by the entry-point group `fairway.guards`.

The rest of the rollout asks a `base.Case` and knows no type.

A module of a guard has

    SECTION   a subclass of sections.Guard whose `type` is the module's name: its fields, and its RULES with
              the CEL beside the Python
    CASE      a subclass of base.Case: what such a guard counts, bets, certifies and says, and how long that is
              expected to take
"""

from typing import Any

from fairway import plugins
from fairway.config import sections
from fairway.rollout.guards.base import Case


def case(
    guard: sections.Guard, strategy: sections.Strategy, *, offline: float | None = None
) -> Case[Any]:
    """Return the guard as it stands in this strategy.

    `offline` is the disagreement of both models that evaluation measured.
    """
    kind: type[Case[Any]] = plugins.load("guards", guard.type).CASE
    return kind(guard, strategy, offline)


def cases(strategy: sections.Strategy, *, offline: float | None = None) -> tuple[Case[Any], ...]:
    """Return the strategy's guards."""
    return tuple(case(guard, strategy, offline=offline) for guard in strategy.guards)


def told_by_counts(guard: sections.Guard) -> tuple[str | None, bool]:
    """Return what counts of requests do not tell of the guard.

    Beside it: whether a table can have the rows of one guard of its type only.
    """
    alone = case(guard, sections.Strategy(guards=()))
    return alone.untold, alone.rows_alone

"""Requests that no server has answered.

Of guards that count units the gateway counts these alone, for the rest have events.
"""

from fairway.rollout import traffic
from fairway.rollout.guards import base
from fairway.rollout.statistics.betting import ArmCounts


def unanswered(candidate: traffic.ArmSample, stable: traffic.ArmSample) -> base.Scraped:
    """Return the requests that were broken off or timed out, of those that were under way between
    two scrapes."""
    mine, theirs = candidate.unanswered, stable.unanswered
    return base.Scraped(
        bad=(mine, theirs),
        observed=(max(mine, _at_risk(candidate)), max(theirs, _at_risk(stable))),
        held=(ArmCounts(mine, mine), ArmCounts(theirs, theirs)),
    )


def _at_risk(arm: traffic.ArmSample) -> int:
    """Return the requests that were under way at some time between two scrapes."""
    return arm.requests + (arm.active or 0)

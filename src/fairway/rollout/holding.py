"""The verdict at a look: what the judge says, or why nothing can move now. Pure."""

from dataclasses import replace

from fairway.config import sections
from fairway.rollout import judge, moves, power
from fairway.rollout.judge import Action, Verdict
from fairway.rollout.seen import Seen
from fairway.rollout.states import TOTAL, Phase, State, stage


def verdict(state: State, seen: Seen, strategy: sections.Strategy) -> Verdict:
    """Return the judge's verdict, or why there can be none now: missing data holds, a spent budget
    is inconclusive."""
    assert state.ledger is not None
    verdict = judge.decide(
        state.ledger, strategy=strategy, stage=stage(state), offline=seen.offline_disagreement
    )
    if verdict.action is Action.ROLLBACK:
        return verdict
    budget, missing = moves.budget(state, strategy), lacking(state, strategy)
    if (
        verdict.action is not Action.PROMOTE or missing is not None
    ) and seen.now - state.stage_since > budget.total_seconds():
        waited_for = (
            f"{moves.step_name(state, strategy)} has {missing}; " if missing is not None else ""
        )
        return replace(
            verdict,
            action=Action.INCONCLUSIVE,
            reason=f"the budget of {sections.format_duration(budget)} is spent: {waited_for}{verdict.reason}",
        )
    if seen.now < state.counting_from:
        return replace(
            verdict,
            action=Action.HOLD,
            reason=f"warming up for another {state.counting_from - seen.now:.0f} s; evidence does not count yet",
        )
    if seen.sample is None:
        unknown = "the gateway's counts cannot be read, or an arm has had no request yet"
        return replace(
            verdict, action=Action.HOLD, reason=f"{unknown}; nothing moves until they can"
        )
    if seen.unread is not None:
        return replace(
            verdict,
            action=Action.HOLD,
            reason=f"events cannot be read; nothing moves forward until they can: {seen.unread}",
        )
    if seen.sample.route_version != seen.wanted_version:
        return replace(verdict, action=Action.HOLD, reason="waiting for the route to take effect")
    if state.candidate not in seen.ready:
        return replace(
            verdict,
            action=Action.HOLD,
            reason=f"revision {state.candidate} has no capacity at the moment; nothing moves until it has"
            f"{moves.noted(seen, state.candidate)}",
        )
    if state.stable not in seen.ready:  # what fails on both arms is no evidence for a promotion
        return replace(
            verdict,
            action=Action.HOLD,
            reason=f"stable revision {state.stable} has no capacity at the moment; nothing moves until it has"
            f"{moves.noted(seen, state.stable)}",
        )
    if missing is not None and verdict.action in (Action.HOLD, Action.PROMOTE):
        return replace(
            verdict,
            action=Action.HOLD,
            eta_seconds=None,
            reason=f"{moves.step_name(state, strategy)} has {missing}; {verdict.reason}",
        )
    return verdict


def lacking(state: State, strategy: sections.Strategy) -> str | None:
    """Return what the canary's step waits for, in words; None in other phases, and where it has
    seen enough."""
    if state.phase is not Phase.CANARY or state.ledger is None:
        return None
    weight = strategy.canary.steps[state.step].weight / TOTAL
    return power.lacking(
        state.ledger, strategy=strategy, arrived=state.arrived, weight=weight, since=state.since
    )

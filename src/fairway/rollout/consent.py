"""Asks hooks before a transition, and tells them what has happened. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fairway.config import sections
from fairway.rollout import hooks, moves
from fairway.rollout.judge import Action, Verdict
from fairway.rollout.moves import Advance
from fairway.rollout.seen import Seen
from fairway.rollout.states import JUDGED, Cause, Event, Phase, State, split

# Events that hooks are told of.
TOLD = {"Promoted": "postPromotion", "RolledBack": "postRollback", "Paused": "postPause"}


def gated(state: State, after: Advance, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Let a transition happen once every hook before it lets it pass.

    Until then everything stays, and the reason says for whom it waits.
    """
    veto = hooks.veto(state.calls, strategy.hooks)
    if veto is not None and after.state.phase is not Phase.ROLLING_BACK:
        reason = f"hook {veto.hook} refused {hooks.GATES[veto.at]}: {veto.said}"
        return moves.roll_back(
            state, seen, Verdict(action=Action.ROLLBACK, reason=reason), cause=Cause.HOOK
        )
    points = _points(state, after.state)
    if not points or not strategy.hooks:
        return after
    calls = hooks.ask(
        state.calls,
        strategy.hooks,
        points=points,
        key=f"{after.state.phase} {after.state.step}",
        data=announcement(after.state, strategy=strategy),
        now=seen.now,
    )
    waiting = hooks.waiting(calls)
    if not waiting:
        return after
    names = " and ".join(call.hook for call in waiting)
    said = "; ".join(call.said for call in waiting)
    state = replace(
        state,
        calls=calls,
        verdict=after.state.verdict or state.verdict,
        reason=f"waiting for hook {names} before {hooks.GATES[waiting[0].at]}: {said}",
    )
    budget = moves.budget(state, strategy)
    if state.phase is Phase.STARTING or seen.now - state.stage_since <= budget.total_seconds():
        return Advance(state)
    return moves.inconclusive(
        state,
        seen,
        strategy,
        Verdict(
            action=Action.INCONCLUSIVE,
            reason=f"the budget of {sections.format_duration(budget)} is spent {state.reason}",
        ),
    )


def _points(before: State, after: State) -> tuple[str, ...]:
    """Return where hooks are asked between two states: what the candidate is about to get."""
    begins = before.phase is Phase.STARTING and after.phase in JUDGED
    stepped = after.phase is Phase.CANARY and (before.phase, before.step) != (
        after.phase,
        after.step,
    )
    promoted = after.phase is Phase.PROMOTING and before.phase is Phase.CANARY
    return tuple(
        at for at, there in zip(hooks.GATES, (begins, stepped, promoted), strict=True) if there
    )


def announced(
    after: Advance, seen: Seen, strategy: sections.Strategy, *, lost: tuple[hooks.Call, ...]
) -> Advance:
    """Add what hooks are to be told of, and who could not be; nobody is asked about what has passed
    or will not be."""
    state = after.state
    moved = any(event.type != "Refused" for event in after.events)
    calls = hooks.notifications(state.calls) if moved else state.calls
    for event in after.events:
        if (at := TOLD.get(event.type)) is not None:
            data = {**announcement(state, strategy=strategy), "revision": event.revision or ""}
            calls, dropped = hooks.tell(calls, strategy.hooks, at=at, data=data, now=seen.now)
            lost += dropped
    failed = tuple(
        Event(
            seen.at,
            "HookFailed",
            f"hook {call.hook} was not told ({call.at}): {call.said}",
            call.data["revision"],
        )
        for call in lost
    )
    return replace(after, state=replace(state, calls=calls), events=(*after.events, *failed))


def announcement(state: State, *, strategy: sections.Strategy) -> Mapping[str, Any]:
    """Return what a hook is told of a state that is about to be, or has come."""
    weight, mirror = split(state, strategy=strategy)
    return {
        "revision": state.candidate or "",
        "stable": state.stable,
        "phase": str(state.phase),
        "weight": weight,
        "mirror": mirror,
        "reason": state.reason,
    }

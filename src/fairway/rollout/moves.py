"""The moves of a rollout: from one phase or step to another, with the event and the row of history
that tell of it.

All of it is pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from fairway.config import sections
from fairway.rollout import bookkeeping
from fairway.rollout.judge import Verdict
from fairway.rollout.seen import Seen
from fairway.rollout.states import HISTORY, TOTAL, Cause, Event, Phase, Reply, State, split, stage


@dataclass(frozen=True)
class Advance:
    """The next state, and what happened on the way."""

    state: State
    events: tuple[Event, ...] = field(default=())
    reply: Reply | None = None  # to the command of this look


def enter(
    state: State,
    seen: Seen,
    strategy: sections.Strategy,
    *,
    phase: Phase,
    verdict: Verdict,
    step: int = 0,
) -> Advance:
    """Move to a stage or step; the ledger gets a restart point, where a late harm is likeliest."""
    assert state.ledger is not None
    same_stage = phase is state.phase
    moved = replace(
        state,
        phase=phase,
        step=step,
        since=seen.now,
        stage_since=state.stage_since if same_stage else seen.now,
        ledger=bookkeeping.restart(state.ledger, at=seen.now),
        arrived=(0, 0),
        passed=False,
        sample=None,
    )
    moved = replace(moved, reason=f"{place(moved, strategy)}: {verdict.reason}")
    return move(
        remember(moved, seen, verdict, state.candidate),
        seen,
        "Promoting" if phase is Phase.PROMOTING else "Step",
        moved.reason,
    )


def roll_back(state: State, seen: Seen, verdict: Verdict, *, cause: Cause) -> Advance:
    """Take the weight away at once; nothing is waited for.

    A revision that was merely superseded may be asked for again.
    """
    bad = state.candidate or state.stable or ""
    rejected = state.rejected
    if cause is not Cause.SUPERSEDED:
        rejected = tuple(dict.fromkeys((*rejected, bad)))[-HISTORY:]
    going = replace(
        state,
        phase=Phase.ROLLING_BACK,
        since=seen.now,
        rejected=rejected,
        verdict=verdict,
        cause=cause,
        reason=verdict.reason,
        resume_to=None,
        sample=None,
        absent_since=None,
    )
    return move(
        remember(going, seen, verdict, bad), seen, "RollingBack", verdict.reason, revision=bad
    )


def pause(state: State, seen: Seen, reason: str) -> Advance:
    paused = replace(state, phase=Phase.PAUSED, resume_to=state.phase, reason=reason)
    return move(paused, seen, "Paused", reason)


def inconclusive(
    state: State, seen: Seen, strategy: sections.Strategy, verdict: Verdict
) -> Advance:
    """Ask a person, or go back, as the strategy has it."""
    if strategy.on_inconclusive == "rollback":
        return roll_back(state, seen, verdict, cause=Cause.INCONCLUSIVE)
    return pause(replace(state, verdict=verdict), seen, verdict.reason)


def move(
    state: State, seen: Seen, type: str, message: str, *, revision: str | None = None
) -> Advance:
    return Advance(
        replace(state, moved=seen.at),
        (Event(seen.at, type, message, revision or state.candidate or state.stable),),
    )


def remember(state: State, seen: Seen, verdict: Verdict, revision: str | None) -> State:
    return write(
        state,
        seen,
        action=str(verdict.action),
        reason=verdict.reason,
        revision=revision,
        guard=verdict.guard,
        evidence=verdict.evidence,
        guarantee=verdict.guarantee,
    )


def write(
    state: State,
    seen: Seen,
    *,
    action: str,
    reason: str,
    revision: str | None,
    guard: str | None = None,
    evidence: Mapping[str, Any] | None = None,
    guarantee: str = "",
) -> State:
    row = {
        "at": seen.at,
        "revision": revision,
        "phase": str(state.phase),
        "action": action,
        "reason": reason,
        "guard": guard,
        "evidence": evidence or {},
        "guarantee": guarantee,
    }
    return replace(state, history=(*state.history, row)[-HISTORY:])


def place(state: State, strategy: sections.Strategy) -> str:
    weight, mirror = split(state, strategy=strategy)
    if mirror:
        return f"{mirror} % of the requests are copied to it"
    if state.phase is Phase.BAKING:
        return f"{TOTAL - weight} % stay on {state.stable} for {sections.format_duration(strategy.bake.duration)}"
    return f"it takes {weight} %"


def step_name(state: State, strategy: sections.Strategy) -> str:
    return f"step {state.step + 1} ({strategy.canary.steps[state.step].weight} %)"


def budget(state: State, strategy: sections.Strategy) -> timedelta:
    return strategy.budget(stage(state))


def noted(seen: Seen, revision: str | None) -> str:
    note = seen.notes.get(revision or "")
    return f": {note}" if note else ""


def rest(state: State, *, back: bool = False) -> Phase:
    if state.stable is None:
        return Phase.PENDING if not back else Phase.ROLLED_BACK
    return Phase.ROLLED_BACK if back else Phase.STABLE

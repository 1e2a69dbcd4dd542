"""The state machine of a rollout: what was seen in, the next state and its events out. Pure; time is passed in.

    Pending -> Starting -> Shadow -> Canary(weight) -> Promoting -> Baking -> Stable
    RollingBack -> RolledBack from any of them; Paused holds a stage (a harm still rolls back).

A platform calls `advance` at every look, stores the state it returns, and makes true what `states.route` and `states.wanted` say. All of
it can be repeated: evidence is taken from differences of raw counters and from cursors that are part of the state, so
a look that was never stored is simply taken again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from fairway.config import sections
from fairway.rollout import bookkeeping, hooks, intake, judge, power
from fairway.rollout.judge import Action, Verdict
from fairway.rollout.seen import Command, Seen
from fairway.rollout.states import HISTORY, JUDGED, TOTAL, Cause, Event, Phase, Reply, State, split, stage

TOLD = {
    "Promoted": "postPromotion",
    "RolledBack": "postRollback",
    "Paused": "postPause",
}  # events that hooks are told of


@dataclass(frozen=True)
class Advance:
    """The next state, and what happened on the way."""

    state: State
    events: tuple[Event, ...] = field(default=())
    reply: Reply | None = None  # to the command of this look


def advance(state: State, seen: Seen, *, strategy: sections.Strategy) -> Advance:
    """Return the next state after one look. At most one transition is made a look, so that each is stored before the next."""
    calls, lost = hooks.learn(state.calls, seen.answers, now=seen.now)
    state = replace(state, calls=calls)
    after = _command(state, seen, strategy=strategy)
    if after is None:
        state = intake.learn(state, seen, strategy=strategy)
        after = _gated(state, _next(state, seen, strategy), seen, strategy)
        after = _replaced(after, seen)
    return _announced(after, seen, strategy, lost=lost)


def _next(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Return the next state as the evidence has it, whatever hooks may say."""
    if state.phase in (*JUDGED, Phase.PAUSED) and (state.absent_since is not None or state.candidate in seen.absent):
        return _absent(state, seen, strategy)
    match state.phase:
        case Phase.PENDING | Phase.STABLE | Phase.ROLLED_BACK:
            return _resting(state, seen, strategy)
        case Phase.STARTING:
            return _starting(state, seen, strategy)
        case Phase.SHADOW | Phase.CANARY | Phase.BAKING:
            return _judged(state, seen, strategy)
        case Phase.PROMOTING:
            return _promoting(state, seen, strategy)
        case Phase.ROLLING_BACK:
            return _rolling_back(state, seen, strategy)
        case Phase.PAUSED:
            return _paused(state, seen, strategy)


# -- transitions --------------------------------------------------------------------------------------------------------


def _resting(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Nothing is on its way: start what is asked for, or take back what late labels condemn."""
    if state.phase is Phase.STABLE and state.ledger is not None and state.previous is not None:
        verdict = judge.decide(state.ledger, strategy=strategy, stage="", offline=seen.offline_disagreement)
        if verdict.action is Action.ROLLBACK:
            return _roll_back(state, seen, verdict, cause=Cause.GUARD)
    if seen.desired is None or seen.desired in (state.stable, *state.rejected):
        return Advance(state)
    started = replace(
        state,
        phase=Phase.STARTING,
        candidate=seen.desired,
        previous=None,
        step=0,
        since=seen.now,
        ledger=None,
        arrived=(0, 0),
        passed=False,
        segments=(),
        verdict=None,
        cause=None,
        reason=f"revision {seen.desired} is starting",
    )
    return _moved(started, seen, "Started", started.reason)


def _starting(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    candidate = state.candidate or ""
    if seen.desired not in (None, candidate):
        dropped = replace(
            state,
            phase=_rest(state),
            candidate=None,
            since=seen.now,
            reason=f"revision {candidate} was superseded by {seen.desired}",
        )
        return _moved(dropped, seen, "Superseded", dropped.reason, revision=candidate)
    if (
        candidate not in seen.ready and hooks.notifications(state.calls) != state.calls
    ):  # it was ready, until hooks let it: its deadline begins anew
        state = replace(state, since=seen.now, calls=hooks.notifications(state.calls))
    waited = seen.now - state.since
    deadline = strategy.progress_deadline.total_seconds()
    if candidate in seen.broken or (waited > deadline and candidate not in seen.ready):
        why = (
            seen.broken.get(candidate)
            or f"it was not ready {deadline:.0f} s after its start (progressDeadline){_noted(seen, candidate)}"
        )
        verdict = Verdict(action=Action.ROLLBACK, reason=f"revision {candidate} did not become ready: {why}")
        return _roll_back(state, seen, verdict, cause=Cause.NOT_READY)
    if candidate not in seen.ready:
        return Advance(
            replace(
                state,
                reason=f"waiting for revision {candidate} to be ready ({waited:.0f} s of {deadline:.0f} s){_noted(seen, candidate)}",
            )
        )
    if state.stable is None:
        first = replace(
            state,
            phase=Phase.STABLE,
            stable=candidate,
            candidate=None,
            since=seen.now,
            reason=f"revision {candidate} serves; it is the first",
        )
        return _moved(first, seen, "First", first.reason)
    phase = Phase.SHADOW if strategy.shadow.enabled else Phase.CANARY
    begun = replace(
        state,
        phase=phase,
        since=seen.now,
        stage_since=seen.now,
        counting_from=seen.now + strategy.warmup.total_seconds(),
        ledger=bookkeeping.begin(strategy, at=seen.now),
        arrived=(0, 0),
    )
    begun = replace(begun, reason=f"revision {candidate} is ready: {_place(begun, strategy)}")
    return _moved(begun, seen, "Ready", begun.reason)


def _judged(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Shadow, canary and bake: the judge's word first, then time and capacity."""
    verdict = _verdict(state, seen, strategy)
    state = replace(state, verdict=verdict, reason=verdict.reason)
    if (over := _over(state, seen, verdict)) is not None:
        return over
    if verdict.action is Action.INCONCLUSIVE:
        return _inconclusive(state, seen, strategy, verdict)
    unclear = seen.sample is None or seen.unread is not None or seen.now < state.counting_from
    if unclear or not {state.candidate, state.stable} <= seen.ready or verdict.action is Action.INVALID:
        return Advance(state)
    return _forward(state, seen, strategy, verdict)


def _absent(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """The candidate has no pod that answers, by no fault of its own: stable has its share, the stage waits, and goes on when it is back."""
    assert state.ledger is not None
    verdict = judge.decide(state.ledger, strategy=strategy, stage=stage(state), offline=seen.offline_disagreement)
    if (over := _over(replace(state, verdict=verdict), seen, verdict)) is not None:
        return over
    candidate, deadline = state.candidate or "", strategy.progress_deadline.total_seconds()
    if state.absent_since is None:
        return _left(state, seen, verdict)
    waited = seen.now - state.absent_since
    if candidate in seen.ready:
        return _returned(state, seen, strategy, verdict, waited=waited)
    if waited > deadline:
        why = f"revision {candidate} did not come back within {deadline:.0f} s (progressDeadline){_noted(seen, candidate)}"
        return _roll_back(state, seen, Verdict(action=Action.ROLLBACK, reason=why), cause=Cause.DEADLINE)
    reason = f"revision {candidate} waits for capacity ({waited:.0f} s of {deadline:.0f} s); {state.stable} serves all{_noted(seen, candidate)}"
    return Advance(_held_for(state, verdict, reason))


def _left(state: State, seen: Seen, verdict: Verdict) -> Advance:
    reason = (
        f"revision {state.candidate} has no pod left that answers: it waits for capacity, and {state.stable} serves all"
    )
    left = replace(state, absent_since=seen.now, sample=None)
    return _moved(_held_for(left, verdict, reason), seen, "CapacityLost", reason)


def _returned(state: State, seen: Seen, strategy: sections.Strategy, verdict: Verdict, *, waited: float) -> Advance:
    """The stage goes on where it was: the time without capacity is not its own, and new pods warm up."""
    back = replace(
        state,
        absent_since=None,
        sample=None,
        since=min(seen.now, state.since + waited),
        stage_since=min(seen.now, state.stage_since + waited),
        counting_from=max(state.counting_from, seen.now + strategy.warmup.total_seconds()),
    )
    reason = f"revision {state.candidate} is back after {waited:.0f} s: {_place(back, strategy)}"
    return _moved(_held_for(back, verdict, reason), seen, "CapacityBack", reason)


def _held_for(state: State, verdict: Verdict, reason: str) -> State:
    """Return the state with a verdict that holds; what a paused one asks a person stays its reason."""
    return replace(
        state,
        verdict=replace(verdict, action=Action.HOLD, reason=reason),
        reason=state.reason if state.phase is Phase.PAUSED else reason,
    )


def _inconclusive(state: State, seen: Seen, strategy: sections.Strategy, verdict: Verdict) -> Advance:
    """Ask a person, or go back, as the strategy has it."""
    if strategy.on_inconclusive == "rollback":
        return _roll_back(state, seen, verdict, cause=Cause.INCONCLUSIVE)
    return _pause(replace(state, verdict=verdict), seen, verdict.reason)


def _over(state: State, seen: Seen, verdict: Verdict) -> Advance | None:
    """Return the end of a rollout that must not go on, in whatever stage: harm, a candidate that does not stay up, another one that is asked for."""
    candidate = state.candidate or ""
    if verdict.action is Action.ROLLBACK:
        return _roll_back(state, seen, verdict, cause=Cause.GUARD)
    if candidate in seen.broken:
        why = f"revision {candidate} does not stay up: {seen.broken[candidate]}"
        return _roll_back(state, seen, Verdict(action=Action.ROLLBACK, reason=why), cause=Cause.NOT_READY)
    if seen.desired not in (None, candidate):
        why = f"revision {candidate} was superseded by {seen.desired}"
        return _roll_back(state, seen, Verdict(action=Action.ROLLBACK, reason=why), cause=Cause.SUPERSEDED)
    return None


def _forward(state: State, seen: Seen, strategy: sections.Strategy, verdict: Verdict) -> Advance:
    """Move on where the stage allows it."""
    waited = seen.now - state.since
    if state.phase is Phase.SHADOW:
        return (
            _enter(state, seen, strategy, phase=Phase.CANARY, verdict=verdict)
            if verdict.action is Action.PROMOTE
            else Advance(state)
        )
    if state.phase is Phase.BAKING:
        if waited < strategy.bake.duration.total_seconds() or verdict.action is not Action.PROMOTE:
            return Advance(state)
        return _finish(state, seen, verdict)
    step = strategy.canary.steps[state.step]
    if (
        waited < step.min_duration.total_seconds()
        or (step.weight < TOTAL and state.arrived[0] == 0)
        or _lacking(state, strategy) is not None
    ):
        return Advance(state)  # at 100 % no stable request tells that any came
    if step.pause and not state.passed:
        return _pause(state, seen, f"{_step(state, strategy)} asks for a person: `fairway rollout resume`")
    if state.step + 1 < len(strategy.canary.steps):
        return _enter(state, seen, strategy, phase=Phase.CANARY, step=state.step + 1, verdict=verdict)
    return (
        _enter(state, seen, strategy, phase=Phase.PROMOTING, verdict=verdict)
        if verdict.action is Action.PROMOTE
        else Advance(state)
    )


def _promoting(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """All traffic but the bake's share goes over; the bake begins when the gateway says that it does."""
    verdict = _verdict(state, seen, strategy)
    if (over := _over(replace(state, verdict=verdict), seen, verdict)) is not None:
        return over
    if seen.sample is None or seen.sample.route_version != seen.wanted_version:
        waiting, deadline = "waiting for the route to take effect", strategy.progress_deadline
        if seen.now - state.stage_since <= deadline.total_seconds():
            return Advance(replace(state, reason=waiting))
        return _inconclusive(
            state,
            seen,
            strategy,
            replace(
                verdict,
                action=Action.INCONCLUSIVE,
                reason=(f"the progressDeadline of {sections.format_duration(deadline)} is over, still {waiting}"),
            ),
        )
    if strategy.bake.weight == 0 or strategy.bake.duration.total_seconds() == 0:
        return _finish(state, seen, verdict)
    baking = replace(state, phase=Phase.BAKING, since=seen.now, stage_since=seen.now)
    baking = replace(baking, reason=f"revision {state.candidate} serves; {_place(baking, strategy)}")
    return _moved(baking, seen, "Baking", baking.reason)


def _finish(state: State, seen: Seen, verdict: Verdict) -> Advance:
    promoted = str(Phase.PROMOTING), str(Action.PROMOTE)
    earned = next(
        (row["reason"] for row in reversed(state.history) if (row["phase"], row["action"]) == promoted), verdict.reason
    )
    done = replace(
        state,
        phase=Phase.STABLE,
        stable=state.candidate,
        previous=state.stable,
        candidate=None,
        since=seen.now,
        verdict=verdict,
        reason=f"revision {state.candidate} was promoted: {earned}; the bake brought nothing against it",
    )
    return _moved(
        _remember(done, seen, verdict, state.candidate), seen, "Promoted", done.reason, revision=state.candidate
    )


def _rolling_back(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Weight is 0 from the moment this phase began; it ends when the gateway says so, or cannot be asked, or is not going to say."""
    overdue = seen.now - state.since > strategy.progress_deadline.total_seconds()
    if (
        state.candidate is None and state.previous is not None
    ):  # late: the promoted revision goes, the one before returns
        condemned = state.verdict.reason if state.verdict is not None else state.reason
        if state.previous in seen.ready:
            back = replace(
                state,
                phase=Phase.ROLLED_BACK,
                stable=state.previous,
                previous=None,
                ledger=None,
                since=seen.now,
                reason=condemned,
            )
            return _moved(back, seen, "RolledBack", back.reason, revision=state.stable)
        if overdue or state.previous in seen.broken or seen.desired not in (None, state.stable, state.previous):
            stays = replace(
                state,
                phase=Phase.STABLE,
                previous=None,
                ledger=None,
                since=seen.now,
                reason=f"revision {state.stable} serves although it was condemned, because {state.previous} did not come back"
                f"{_noted(seen, state.previous)}: {condemned}",
            )
            return _moved(stays, seen, "Stuck", stays.reason)
        return Advance(replace(state, reason=f"{condemned} (waiting for revision {state.previous} to be ready)"))
    if seen.sample is not None and seen.sample.route_version != seen.wanted_version and not overdue:
        return Advance(state)
    done = replace(state, phase=_rest(state, back=True), candidate=None, ledger=None, since=seen.now)
    return _moved(done, seen, "RolledBack", done.reason, revision=state.candidate)


def _paused(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """A person is asked; what is served stays as it is, unless it may not go on."""
    if state.ledger is not None:
        verdict = judge.decide(state.ledger, strategy=strategy, stage=stage(state), offline=seen.offline_disagreement)
        return _over(replace(state, verdict=verdict), seen, verdict) or Advance(state)
    return Advance(state)


def _verdict(state: State, seen: Seen, strategy: sections.Strategy) -> Verdict:
    """Return the judge's verdict, or why there can be none now: missing data holds, a spent budget is inconclusive."""
    assert state.ledger is not None
    verdict = judge.decide(state.ledger, strategy=strategy, stage=stage(state), offline=seen.offline_disagreement)
    if verdict.action is Action.ROLLBACK:
        return verdict
    budget, lacking = _budget(state, strategy), _lacking(state, strategy)
    if (
        verdict.action is not Action.PROMOTE or lacking is not None
    ) and seen.now - state.stage_since > budget.total_seconds():
        waited_for = f"{_step(state, strategy)} has {lacking}; " if lacking is not None else ""
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
        return replace(verdict, action=Action.HOLD, reason=f"{unknown}; nothing moves until they can")
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
            f"{_noted(seen, state.candidate)}",
        )
    if state.stable not in seen.ready:  # what fails on both arms is no evidence for a promotion
        return replace(
            verdict,
            action=Action.HOLD,
            reason=f"stable revision {state.stable} has no capacity at the moment; nothing moves until it has"
            f"{_noted(seen, state.stable)}",
        )
    if lacking is not None and verdict.action in (Action.HOLD, Action.PROMOTE):
        return replace(
            verdict,
            action=Action.HOLD,
            eta_seconds=None,
            reason=f"{_step(state, strategy)} has {lacking}; {verdict.reason}",
        )
    return verdict


def _lacking(state: State, strategy: sections.Strategy) -> str | None:
    """Return what the canary's step waits for, in words; None in other phases, and where it has seen enough."""
    if state.phase is not Phase.CANARY or state.ledger is None:
        return None
    weight = strategy.canary.steps[state.step].weight / TOTAL
    return power.lacking(state.ledger, strategy=strategy, arrived=state.arrived, weight=weight, since=state.since)


def _step(state: State, strategy: sections.Strategy) -> str:
    return f"step {state.step + 1} ({strategy.canary.steps[state.step].weight} %)"


def _budget(state: State, strategy: sections.Strategy) -> timedelta:
    return strategy.budget(stage(state))


def _enter(
    state: State, seen: Seen, strategy: sections.Strategy, *, phase: Phase, verdict: Verdict, step: int = 0
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
    moved = replace(moved, reason=f"{_place(moved, strategy)}: {verdict.reason}")
    return _moved(
        _remember(moved, seen, verdict, state.candidate),
        seen,
        "Promoting" if phase is Phase.PROMOTING else "Step",
        moved.reason,
    )


def _roll_back(state: State, seen: Seen, verdict: Verdict, *, cause: Cause) -> Advance:
    """Take the weight away at once; nothing is waited for. A revision that was merely superseded may be asked for again."""
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
    return _moved(_remember(going, seen, verdict, bad), seen, "RollingBack", verdict.reason, revision=bad)


def _pause(state: State, seen: Seen, reason: str) -> Advance:
    paused = replace(state, phase=Phase.PAUSED, resume_to=state.phase, reason=reason)
    return _moved(paused, seen, "Paused", reason)


def _noted(seen: Seen, revision: str | None) -> str:
    note = seen.notes.get(revision or "")
    return f": {note}" if note else ""


def _rest(state: State, *, back: bool = False) -> Phase:
    if state.stable is None:
        return Phase.PENDING if not back else Phase.ROLLED_BACK
    return Phase.ROLLED_BACK if back else Phase.STABLE


def _place(state: State, strategy: sections.Strategy) -> str:
    weight, mirror = split(state, strategy=strategy)
    if mirror:
        return f"{mirror} % of the requests are copied to it"
    if state.phase is Phase.BAKING:
        return f"{TOTAL - weight} % stay on {state.stable} for {sections.format_duration(strategy.bake.duration)}"
    return f"it takes {weight} %"


def _remember(state: State, seen: Seen, verdict: Verdict, revision: str | None) -> State:
    return _write(
        state,
        seen,
        action=str(verdict.action),
        reason=verdict.reason,
        revision=revision,
        guard=verdict.guard,
        evidence=verdict.evidence,
        guarantee=verdict.guarantee,
    )


def _write(
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


def _moved(state: State, seen: Seen, type: str, message: str, *, revision: str | None = None) -> Advance:
    return Advance(
        replace(state, moved=seen.at), (Event(seen.at, type, message, revision or state.candidate or state.stable),)
    )


def _replaced(after: Advance, seen: Seen) -> Advance:
    """Add what it costs that the event store is another one."""
    if seen.replaced is None:
        return after
    revision = after.state.candidate or after.state.stable
    state = _write(after.state, seen, action=str(Action.HOLD), reason=seen.replaced, revision=revision)
    return Advance(state, (*after.events, Event(seen.at, "StoreReplaced", seen.replaced, revision)))


# -- hooks --------------------------------------------------------------------------------------------------------------


def _gated(state: State, after: Advance, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Let a transition happen once every hook before it lets it pass; until then everything stays, and the reason says for whom it waits."""
    veto = hooks.veto(state.calls, strategy.hooks)
    if veto is not None and after.state.phase is not Phase.ROLLING_BACK:
        reason = f"hook {veto.hook} refused {hooks.GATES[veto.at]}: {veto.said}"
        return _roll_back(state, seen, Verdict(action=Action.ROLLBACK, reason=reason), cause=Cause.HOOK)
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
    budget = _budget(state, strategy)
    if state.phase is Phase.STARTING or seen.now - state.stage_since <= budget.total_seconds():
        return Advance(state)
    return _inconclusive(
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
    stepped = after.phase is Phase.CANARY and (before.phase, before.step) != (after.phase, after.step)
    promoted = after.phase is Phase.PROMOTING and before.phase is Phase.CANARY
    return tuple(at for at, there in zip(hooks.GATES, (begins, stepped, promoted), strict=True) if there)


def _announced(after: Advance, seen: Seen, strategy: sections.Strategy, *, lost: tuple[hooks.Call, ...]) -> Advance:
    """Add what hooks are to be told of, and who could not be; nobody is asked about what has passed or will not be."""
    state = after.state
    moved = any(event.type != "Refused" for event in after.events)
    calls = hooks.notifications(state.calls) if moved else state.calls
    for event in after.events:
        if (at := TOLD.get(event.type)) is not None:
            data = {**announcement(state, strategy=strategy), "revision": event.revision or ""}
            calls, dropped = hooks.tell(calls, strategy.hooks, at=at, data=data, now=seen.now)
            lost += dropped
    failed = tuple(
        Event(seen.at, "HookFailed", f"hook {call.hook} was not told ({call.at}): {call.said}", call.data["revision"])
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


# -- commands -----------------------------------------------------------------------------------------------------------


def _command(state: State, seen: Seen, *, strategy: sections.Strategy) -> Advance | None:
    """Obey the first command of a person; a command that makes no sense now is answered with an event and changes nothing."""
    if seen.command is None:
        return None
    command = seen.command
    by = f"by {command.who}" + (f": {command.why}" if command.why else "")
    after = _obeyed(state, command, seen, strategy=strategy, by=by)
    if after is None:
        sentence = f"{command.verb} {by} changes nothing in phase {state.phase}"
        refused = Event(seen.at, "Refused", sentence, state.candidate)
        return Advance(state, (refused,), Reply(obeyed=False, sentence=sentence))
    obeyed = after.state
    if obeyed.history == state.history:  # abort and promote stand there already, as verdicts
        revision = obeyed.candidate or seen.desired
        obeyed = _write(obeyed, seen, action=command.verb, reason=obeyed.reason, revision=revision)
    return Advance(obeyed, after.events, Reply(obeyed=True, sentence=after.events[0].message))


def _obeyed(state: State, command: Command, seen: Seen, *, strategy: sections.Strategy, by: str) -> Advance | None:
    """Return the state after a command; None where the command makes no sense now."""
    match command.verb:
        case "pause" if state.phase in JUDGED:
            return _pause(state, seen, f"paused {by}")
        case "resume" if state.phase is Phase.PAUSED and state.resume_to is not None:
            return _resume(state, seen, to=state.resume_to, by=by)
        case "abort" if state.candidate is not None and state.phase is not Phase.ROLLING_BACK:
            verdict = Verdict(action=Action.ROLLBACK, reason=f"aborted {by}")
            return _roll_back(state, seen, verdict, cause=Cause.ABORTED)
        case "promote" if command.force and state.ledger is not None and stage(state) in ("shadow", "canary"):
            verdict = Verdict(
                action=Action.PROMOTE,
                reason=f"promoted without a certificate {by}",
                guarantee="none: a person overrode the judge",
            )
            serving = replace(state, phase=Phase.CANARY, resume_to=None)
            return _enter(serving, seen, strategy, phase=Phase.PROMOTING, verdict=verdict)
        case "retry" if state.rejected and state.phase in (Phase.ROLLED_BACK, Phase.STABLE, Phase.PENDING):
            reason = f"revision {seen.desired} may be tried again {by}"
            rejected = tuple(revision for revision in state.rejected if revision != seen.desired)
            cleared = replace(state, rejected=rejected, reason=reason)
            return _moved(cleared, seen, "Retry", reason, revision=seen.desired)
    return None


def _resume(state: State, seen: Seen, *, to: Phase, by: str) -> Advance:
    """Go on in the phase that was paused; how units are divided is judged anew."""
    ended = tuple(replace(segment, end=segment.end or state.looked) for segment in state.segments)
    resumed = replace(
        state,
        phase=to,
        resume_to=None,
        passed=True,
        stage_since=seen.now,
        segments=ended,
        reason=f"resumed {by}",
    )
    return _moved(resumed, seen, "Resumed", resumed.reason)

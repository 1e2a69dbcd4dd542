"""The state machine of a rollout: what was seen in, the next state and its events out. Pure; time
is passed in.

    Pending -> Starting -> Shadow -> Canary(weight) -> Promoting -> Baking -> Stable
    RollingBack -> RolledBack from any of them; Paused holds a stage (a harm still rolls back).

A platform calls `advance` at every look, stores the state it returns, and makes true what
`states.route` and `states.wanted` say. All of it can be repeated: evidence is taken from
differences of raw counters and from cursors that are part of the state, so a look that was never
stored is simply taken again.
"""

from dataclasses import replace

from fairway.config import sections
from fairway.rollout import bookkeeping, commands, consent, holding, hooks, intake, judge, moves
from fairway.rollout.judge import Action, Verdict
from fairway.rollout.moves import Advance
from fairway.rollout.seen import Seen
from fairway.rollout.states import JUDGED, TOTAL, Cause, Event, Phase, State, stage


def advance(state: State, seen: Seen, *, strategy: sections.Strategy) -> Advance:
    """Return the next state after one look.

    At most one transition is made a look, so that each is stored before the next.
    """
    calls, lost = hooks.learn(state.calls, seen.answers, now=seen.now)
    state = replace(state, calls=calls)
    after = commands.obey(state, seen, strategy=strategy)
    if after is None:
        state = intake.learn(state, seen, strategy=strategy)
        after = consent.gated(state, _next(state, seen, strategy), seen, strategy)
        after = _replaced(after, seen)
    return consent.announced(after, seen, strategy, lost=lost)


def _next(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Return the next state as the evidence has it, whatever hooks may say."""
    if state.phase in (*JUDGED, Phase.PAUSED) and (
        state.absent_since is not None or state.candidate in seen.absent
    ):
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


def _resting(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Nothing is on its way: start what is asked for, or take back what late labels condemn."""
    if state.phase is Phase.STABLE and state.ledger is not None and state.previous is not None:
        verdict = judge.decide(
            state.ledger, strategy=strategy, stage="", offline=seen.offline_disagreement
        )
        if verdict.action is Action.ROLLBACK:
            return moves.roll_back(state, seen, verdict, cause=Cause.GUARD)
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
    return moves.move(started, seen, "Started", started.reason)


def _starting(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    candidate = state.candidate or ""
    if seen.desired not in (None, candidate):
        dropped = replace(
            state,
            phase=moves.rest(state),
            candidate=None,
            since=seen.now,
            reason=f"revision {candidate} was superseded by {seen.desired}",
        )
        return moves.move(dropped, seen, "Superseded", dropped.reason, revision=candidate)
    if (
        candidate not in seen.ready and hooks.notifications(state.calls) != state.calls
    ):  # it was ready, until hooks let it: its deadline begins anew
        state = replace(state, since=seen.now, calls=hooks.notifications(state.calls))
    waited = seen.now - state.since
    deadline = strategy.progress_deadline.total_seconds()
    if candidate in seen.broken or (waited > deadline and candidate not in seen.ready):
        why = (
            seen.broken.get(candidate)
            or f"it was not ready {deadline:.0f} s after its start (progressDeadline){moves.noted(seen, candidate)}"
        )
        verdict = Verdict(
            action=Action.ROLLBACK, reason=f"revision {candidate} did not become ready: {why}"
        )
        return moves.roll_back(state, seen, verdict, cause=Cause.NOT_READY)
    if candidate not in seen.ready:
        return Advance(
            replace(
                state,
                reason=f"waiting for revision {candidate} to be ready ({waited:.0f} s of {deadline:.0f} s)"
                f"{moves.noted(seen, candidate)}",
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
        return moves.move(first, seen, "First", first.reason)
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
    begun = replace(begun, reason=f"revision {candidate} is ready: {moves.place(begun, strategy)}")
    return moves.move(begun, seen, "Ready", begun.reason)


def _judged(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Shadow, canary and bake: the judge's word first, then time and capacity."""
    verdict = holding.verdict(state, seen, strategy)
    state = replace(state, verdict=verdict, reason=verdict.reason)
    if (over := _over(state, seen, verdict)) is not None:
        return over
    if verdict.action is Action.INCONCLUSIVE:
        return moves.inconclusive(state, seen, strategy, verdict)
    unclear = seen.sample is None or seen.unread is not None or seen.now < state.counting_from
    if (
        unclear
        or not {state.candidate, state.stable} <= seen.ready
        or verdict.action is Action.INVALID
    ):
        return Advance(state)
    return _forward(state, seen, strategy, verdict)


def _absent(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """The candidate has no pod that answers, by no fault of its own.

    Stable has its share, the stage waits, and goes on when it is back.
    """
    assert state.ledger is not None
    verdict = judge.decide(
        state.ledger, strategy=strategy, stage=stage(state), offline=seen.offline_disagreement
    )
    if (over := _over(replace(state, verdict=verdict), seen, verdict)) is not None:
        return over
    candidate, deadline = state.candidate or "", strategy.progress_deadline.total_seconds()
    if state.absent_since is None:
        return _left(state, seen, verdict)
    waited = seen.now - state.absent_since
    if candidate in seen.ready:
        return _returned(state, seen, strategy, verdict, waited=waited)
    if waited > deadline:
        late = f"revision {candidate} did not come back within {deadline:.0f} s (progressDeadline)"
        why = f"{late}{moves.noted(seen, candidate)}"
        return moves.roll_back(
            state, seen, Verdict(action=Action.ROLLBACK, reason=why), cause=Cause.DEADLINE
        )
    waits = f"revision {candidate} waits for capacity ({waited:.0f} s of {deadline:.0f} s); {state.stable} serves all"
    reason = f"{waits}{moves.noted(seen, candidate)}"
    return Advance(_held_for(state, verdict, reason))


def _left(state: State, seen: Seen, verdict: Verdict) -> Advance:
    reason = (
        f"revision {state.candidate} has no pod left that answers: it waits for capacity, "
        f"and {state.stable} serves all"
    )
    left = replace(state, absent_since=seen.now, sample=None)
    return moves.move(_held_for(left, verdict, reason), seen, "CapacityLost", reason)


def _returned(
    state: State, seen: Seen, strategy: sections.Strategy, verdict: Verdict, *, waited: float
) -> Advance:
    """The stage goes on where it was: the time without capacity is not its own, and new pods warm
    up."""
    back = replace(
        state,
        absent_since=None,
        sample=None,
        since=min(seen.now, state.since + waited),
        stage_since=min(seen.now, state.stage_since + waited),
        counting_from=max(state.counting_from, seen.now + strategy.warmup.total_seconds()),
    )
    reason = (
        f"revision {state.candidate} is back after {waited:.0f} s: {moves.place(back, strategy)}"
    )
    return moves.move(_held_for(back, verdict, reason), seen, "CapacityBack", reason)


def _held_for(state: State, verdict: Verdict, reason: str) -> State:
    """Return the state with a verdict that holds; what a paused one asks a person stays its reason."""
    return replace(
        state,
        verdict=replace(verdict, action=Action.HOLD, reason=reason),
        reason=state.reason if state.phase is Phase.PAUSED else reason,
    )


def _over(state: State, seen: Seen, verdict: Verdict) -> Advance | None:
    """Return the end of a rollout that must not go on, in whatever stage.

    Harm, a candidate that does not stay up, another one that is asked for.
    """
    candidate = state.candidate or ""
    if verdict.action is Action.ROLLBACK:
        return moves.roll_back(state, seen, verdict, cause=Cause.GUARD)
    if candidate in seen.broken:
        why = f"revision {candidate} does not stay up: {seen.broken[candidate]}"
        return moves.roll_back(
            state, seen, Verdict(action=Action.ROLLBACK, reason=why), cause=Cause.NOT_READY
        )
    if seen.desired not in (None, candidate):
        why = f"revision {candidate} was superseded by {seen.desired}"
        return moves.roll_back(
            state, seen, Verdict(action=Action.ROLLBACK, reason=why), cause=Cause.SUPERSEDED
        )
    return None


def _forward(state: State, seen: Seen, strategy: sections.Strategy, verdict: Verdict) -> Advance:
    """Move on where the stage allows it."""
    waited = seen.now - state.since
    if state.phase is Phase.SHADOW:
        return (
            moves.enter(state, seen, strategy, phase=Phase.CANARY, verdict=verdict)
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
        or holding.lacking(state, strategy) is not None
    ):
        return Advance(state)  # at 100 % no stable request tells that any came
    if step.pause and not state.passed:
        return moves.pause(
            state,
            seen,
            f"{moves.step_name(state, strategy)} asks for a person: `fairway rollout resume`",
        )
    if state.step + 1 < len(strategy.canary.steps):
        return moves.enter(
            state, seen, strategy, phase=Phase.CANARY, step=state.step + 1, verdict=verdict
        )
    return (
        moves.enter(state, seen, strategy, phase=Phase.PROMOTING, verdict=verdict)
        if verdict.action is Action.PROMOTE
        else Advance(state)
    )


def _promoting(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """All traffic but the bake's share goes over; the bake begins when the gateway says that it
    does."""
    verdict = holding.verdict(state, seen, strategy)
    if (over := _over(replace(state, verdict=verdict), seen, verdict)) is not None:
        return over
    if seen.sample is None or seen.sample.route_version != seen.wanted_version:
        waiting, deadline = "waiting for the route to take effect", strategy.progress_deadline
        if seen.now - state.stage_since <= deadline.total_seconds():
            return Advance(replace(state, reason=waiting))
        return moves.inconclusive(
            state,
            seen,
            strategy,
            replace(
                verdict,
                action=Action.INCONCLUSIVE,
                reason=(
                    f"the progressDeadline of {sections.format_duration(deadline)} is over, still {waiting}"
                ),
            ),
        )
    if strategy.bake.weight == 0 or strategy.bake.duration.total_seconds() == 0:
        return _finish(state, seen, verdict)
    baking = replace(state, phase=Phase.BAKING, since=seen.now, stage_since=seen.now)
    baking = replace(
        baking, reason=f"revision {state.candidate} serves; {moves.place(baking, strategy)}"
    )
    return moves.move(baking, seen, "Baking", baking.reason)


def _finish(state: State, seen: Seen, verdict: Verdict) -> Advance:
    promoted = str(Phase.PROMOTING), str(Action.PROMOTE)
    earned = next(
        (
            row["reason"]
            for row in reversed(state.history)
            if (row["phase"], row["action"]) == promoted
        ),
        verdict.reason,
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
    return moves.move(
        moves.remember(done, seen, verdict, state.candidate),
        seen,
        "Promoted",
        done.reason,
        revision=state.candidate,
    )


def _rolling_back(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """Weight is 0 from the moment this phase began.

    It ends when the gateway says so, or cannot be asked, or is not going to say.
    """
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
            return moves.move(back, seen, "RolledBack", back.reason, revision=state.stable)
        if (
            overdue
            or state.previous in seen.broken
            or seen.desired not in (None, state.stable, state.previous)
        ):
            stays = replace(
                state,
                phase=Phase.STABLE,
                previous=None,
                ledger=None,
                since=seen.now,
                reason=f"revision {state.stable} serves although it was condemned, "
                f"because {state.previous} did not come back{moves.noted(seen, state.previous)}: {condemned}",
            )
            return moves.move(stays, seen, "Stuck", stays.reason)
        return Advance(
            replace(
                state, reason=f"{condemned} (waiting for revision {state.previous} to be ready)"
            )
        )
    if seen.sample is not None and seen.sample.route_version != seen.wanted_version and not overdue:
        return Advance(state)
    done = replace(
        state, phase=moves.rest(state, back=True), candidate=None, ledger=None, since=seen.now
    )
    return moves.move(done, seen, "RolledBack", done.reason, revision=state.candidate)


def _paused(state: State, seen: Seen, strategy: sections.Strategy) -> Advance:
    """A person is asked; what is served stays as it is, unless it may not go on."""
    if state.ledger is not None:
        verdict = judge.decide(
            state.ledger, strategy=strategy, stage=stage(state), offline=seen.offline_disagreement
        )
        return _over(replace(state, verdict=verdict), seen, verdict) or Advance(state)
    return Advance(state)


def _replaced(after: Advance, seen: Seen) -> Advance:
    """Add what it costs that the event store is another one."""
    if seen.replaced is None:
        return after
    revision = after.state.candidate or after.state.stable
    state = moves.write(
        after.state, seen, action=str(Action.HOLD), reason=seen.replaced, revision=revision
    )
    return Advance(state, (*after.events, Event(seen.at, "StoreReplaced", seen.replaced, revision)))

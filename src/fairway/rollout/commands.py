"""Obeys what a person asks for. Pure."""

from dataclasses import replace

from fairway.config import sections
from fairway.rollout import moves
from fairway.rollout.judge import Action, Verdict
from fairway.rollout.moves import Advance
from fairway.rollout.seen import Command, Seen
from fairway.rollout.states import JUDGED, Cause, Event, Phase, Reply, State, stage


def obey(state: State, seen: Seen, *, strategy: sections.Strategy) -> Advance | None:
    """Obey the first command of a person.

    A command that makes no sense now is answered with an event and changes nothing.
    """
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
        obeyed = moves.write(
            obeyed, seen, action=command.verb, reason=obeyed.reason, revision=revision
        )
    return Advance(obeyed, after.events, Reply(obeyed=True, sentence=after.events[0].message))


def _obeyed(
    state: State, command: Command, seen: Seen, *, strategy: sections.Strategy, by: str
) -> Advance | None:
    """Return the state after a command; None where the command makes no sense now."""
    match command.verb:
        case "pause" if state.phase in JUDGED:
            return moves.pause(state, seen, f"paused {by}")
        case "resume" if state.phase is Phase.PAUSED and state.resume_to is not None:
            return _resume(state, seen, to=state.resume_to, by=by)
        case "abort" if state.candidate is not None and state.phase is not Phase.ROLLING_BACK:
            verdict = Verdict(action=Action.ROLLBACK, reason=f"aborted {by}")
            return moves.roll_back(state, seen, verdict, cause=Cause.ABORTED)
        case "promote" if (
            command.force and state.ledger is not None and stage(state) in ("shadow", "canary")
        ):
            verdict = Verdict(
                action=Action.PROMOTE,
                reason=f"promoted without a certificate {by}",
                guarantee="none: a person overrode the judge",
            )
            serving = replace(state, phase=Phase.CANARY, resume_to=None)
            return moves.enter(serving, seen, strategy, phase=Phase.PROMOTING, verdict=verdict)
        case "retry" if state.rejected and state.phase in (
            Phase.ROLLED_BACK,
            Phase.STABLE,
            Phase.PENDING,
        ):
            reason = f"revision {seen.desired} may be tried again {by}"
            rejected = tuple(revision for revision in state.rejected if revision != seen.desired)
            cleared = replace(state, rejected=rejected, reason=reason)
            return moves.move(cleared, seen, "Retry", reason, revision=seen.desired)
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
    return moves.move(resumed, seen, "Resumed", resumed.reason)

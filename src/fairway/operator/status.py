"""A ModelDeployment's status: what `kubectl get`, `kubectl wait` and GitOps tools read. Pure; time
is passed in.

Conditions follow kstatus: while a rollout moves, Ready is False and Reconciling True; where a
person is needed, Stalled is True. Available says whether the stable revision answers, whatever
becomes of the next.
"""

import datetime
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairway.config import sections
from fairway.operator import reported, routes
from fairway.platforms.kubernetes import api, checkpoint, health
from fairway.platforms.kubernetes.objects.controllerrevision import Revision
from fairway.rollout import states
from fairway.rollout.states import Phase, State

TEXT = 1024  # characters of a reason that the definition allows
REFUSED, FAULT = REFUSALS = (
    "Refused",
    "Fault",
)  # reasons of Stalled: an object is not taken; a look failed by a fault of ours
ROUTE_READY = "RouteReady"
MONITORED = "Monitored"  # the monitor's
MOVING = (
    Phase.STARTING,
    Phase.SHADOW,
    Phase.CANARY,
    Phase.PROMOTING,
    Phase.BAKING,
    Phase.ROLLING_BACK,
)
# whatever came before: what is asked for may be rejected
RESTING = (Phase.PENDING, Phase.STABLE, Phase.ROLLED_BACK)
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a status says besides the rollout's state."""

    generation: int
    desired: str  # the revision that the spec asks for
    revisions: Mapping[str, Revision]
    healths: Mapping[str, health.Health]
    # the last status: it keeps the times of transitions that did not happen again
    before: Mapping[str, Any]
    now: float
    last_command: str | None
    reply: Mapping[str, Any] | None  # to the last command, as the status has it
    first: str | None  # the revision at index 0 of the HTTPRoute
    paused: bool  # by spec.paused
    problem: str | None  # why the spec cannot be followed
    # what ended the last look, or was refused in it: a word for programs, and the sentence
    refusal: tuple[str, str] | None = None
    standing: routes.RouteStanding = routes.NOT_ASKED  # of the HTTPRoute
    clash: tuple[str, str] | None = None  # an older route takes the same requests: the same two
    edited: bool = False  # the spec's strategy is not the one in force


def build(state: State, *, policy: sections.Strategy, told: Context) -> Json:
    """Return the status that the state of the rollout amounts to."""
    weight, mirror = states.split(state, strategy=policy)
    verdict = (
        state.verdict.action
        if state.verdict is not None and state.phase is not Phase.STABLE
        else None
    )
    arms = {name: _arm(getattr(state, name), told) for name in ("stable", "candidate", "previous")}
    status = reported.Status(
        observed_generation=told.generation,
        phase=state.phase,
        weight=weight,
        mirror=mirror,
        verdict=verdict,
        reason=_cut(_reason(state, told)),
        rejected=state.rejected,
        conditions=(
            *_timed(
                _conditions(state, told),
                generation=told.generation,
                before=told.before.get("conditions", ()),
                now=told.now,
            ),
            *_monitors(told.before),
        ),
        monitoring=told.before.get("monitoring"),
        history=tuple(_row(row) for row in state.history),
        guards=_guards(state),
        last_command=told.last_command,
        reply=reported.CommandReply.model_validate(told.reply) if told.reply is not None else None,
        checkpoint=checkpoint.write(state, policy=policy, first=told.first),
        **arms,
    )
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def reply(made: states.Reply) -> Json:
    """Return what became of a command, as the status has it."""
    return {"obeyed": made.obeyed, "sentence": _cut(made.sentence)}


def stuck(state: State, told: Context) -> bool:
    """Say whether what the spec asks for cannot come without a person."""
    return (
        told.paused
        or told.problem is not None
        or _refusal(told) is not None
        or state.phase is Phase.PAUSED
        or told.desired in state.rejected
    )


def refusal(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what had ended the last look, or was refused in it, when the status was written."""
    found: Mapping[str, Any] = next(
        (condition for condition in status.get("conditions", ()) if condition["type"] == "Stalled"),
        {},
    )
    return (
        (found["reason"], found["message"])
        if found.get("status") == "True" and found.get("reason") in REFUSALS
        else None
    )


def answered(status: Mapping[str, Any], *, generation: int) -> bool:
    """Say whether the gateway had answered for the spec of that generation when the status was
    written."""
    return any(
        (condition["type"], condition["status"], condition.get("observedGeneration"))
        == (ROUTE_READY, "True", generation)
        and condition["reason"] == "Answering"
        for condition in status.get("conditions", ())
    )


def refused(sentence: str, *, generation: int, before: Mapping[str, Any], now: float) -> Json:
    """Return the status of a spec that cannot be followed: what is in service stays, and the
    sentence says why."""
    conditions = [
        ("Accepted", False, "Invalid", sentence),
        ("Ready", False, "Invalid", sentence),
        ("Reconciling", False, "Invalid", "nothing is changed"),
        ("Stalled", True, "Invalid", sentence),
    ]
    return {
        **_with(conditions, generation=generation, before=before, now=now),
        "reason": _cut(sentence),
    }


def stalled(
    refusal: tuple[str, str], *, generation: int, before: Mapping[str, Any], now: float
) -> Json:
    """Return the status after a look that could not be finished: where the rollout stands is as it
    was."""
    word, sentence = refusal
    conditions = [
        ("Ready", False, word, sentence),
        ("Reconciling", False, word, sentence),
        ("Stalled", True, word, sentence),
    ]
    return {
        "reason": _cut(sentence),
        **_with(conditions, generation=generation, before=before, now=now),
    }


def _with(
    conditions: Sequence[tuple[str, bool, str, str]],
    *,
    generation: int,
    before: Mapping[str, Any],
    now: float,
) -> Json:
    """Return the status before with other conditions; those of other types stay."""
    timed = [
        condition.model_dump(mode="json", by_alias=True, exclude_none=True)
        for condition in _timed(
            conditions, generation=generation, before=before.get("conditions", ()), now=now
        )
    ]
    kept = [
        condition
        for condition in before.get("conditions", ())
        if condition["type"] not in {new["type"] for new in timed}
    ]
    return {**before, "observedGeneration": generation, "conditions": [*timed, *kept]}


def _conditions(state: State, told: Context) -> list[tuple[str, bool, str, str]]:
    """Return (type, holds, reason, message)."""
    stable, desired, paused, problem = (
        told.healths.get(state.stable or "", health.Health()),
        told.desired,
        told.paused,
        told.problem,
    )
    moving = state.phase in MOVING or (
        state.phase is Phase.PENDING and desired not in state.rejected
    )
    (word, refusal), stalled = _refusal(told) or (None, None), stuck(state, told)
    serves = state.stable is not None and stable.available > 0
    ready = (
        serves
        and state.stable == desired
        and not moving
        and not stalled
        and stable.ready
        and told.standing.holds
    )
    degraded = state.stable is not None and not stable.ready
    rejected = desired in state.rejected and state.phase in RESTING
    where = (
        "PausedBySpec" if paused else word or str(Phase.ROLLED_BACK if rejected else state.phase)
    )
    return [
        (
            "Accepted",
            problem is None,
            "Valid" if problem is None else "Invalid",
            problem or f"the spec makes sense{_waits(told)}",
        ),
        (
            "Available",
            serves,
            "Serving" if serves else "NotServing",
            f"revision {state.stable} answers" if serves else "no revision answers",
        ),
        (
            "Ready",
            ready,
            where,
            refusal or (state.reason if told.standing.holds else told.standing.sentence),
        ),
        (ROUTE_READY, told.standing.holds, told.standing.word, told.standing.sentence),
        ("Progressing", moving, where, state.reason),
        (
            "Degraded",
            degraded,
            "StableUnready" if degraded else "AsExpected",
            f"stable revision {state.stable}: {stable.note}"
            if degraded
            else "every pod of the stable revision that must be there is",
        ),
        ("Reconciling", moving and not stalled, where, state.reason),
        (
            "Stalled",
            stalled,
            where,
            problem or ("spec.paused is set" if paused else refusal or state.reason),
        ),
    ]


def own(found: Mapping[str, Any]) -> Json:
    """Return what the operator itself wrote of an object's status."""
    said = dict(found.get("status") or {})
    said.pop("monitoring", None)
    others = [one for one in said.get("conditions", ()) if one["type"] != MONITORED]
    return {**said, "conditions": others}


def carried(new: Json, newest: api.Object) -> Json:
    """Return a status of the operator's with what the monitor has written since."""
    since = newest.get("status") or {}
    said = own({"status": new})
    conditions = [one for one in since.get("conditions", ()) if one["type"] == MONITORED]
    monitoring = {"monitoring": since["monitoring"]} if "monitoring" in since else {}
    return {**said, **monitoring, "conditions": [*said["conditions"], *conditions]}


def _monitors(before: Mapping[str, Any]) -> list[reported.StatusCondition]:
    """Return what the monitor wrote: its condition is not ours."""
    return [
        reported.StatusCondition.model_validate(condition)
        for condition in before.get("conditions", ())
        if condition["type"] == MONITORED
    ]


def timed(
    condition: tuple[str, bool, str, str],
    *,
    generation: int,
    before: Mapping[str, Any],
    now: float,
) -> Json:
    """Return a condition as a status has it, with the time at which it last changed."""
    (found,) = _timed(
        [condition], generation=generation, before=before.get("conditions", ()), now=now
    )
    return found.model_dump(mode="json", by_alias=True, exclude_none=True)


def _reason(state: State, told: Context) -> str:
    if told.problem is not None:
        return told.problem
    notes = [told.refusal[1]] if told.refusal else []
    notes += [told.standing.sentence] if not told.standing.holds else []
    return "; ".join([state.reason, *notes]) + _waits(told)


def _waits(told: Context) -> str:
    return (
        "; the strategy was edited: it counts from the next rollout on, and this one ends by the strategy that it "
        "began with"
        if told.edited
        else ""
    )


def _refusal(told: Context) -> tuple[str, str] | None:
    return (
        told.refusal
        or told.clash
        or next(
            ((REFUSED, found.refused) for found in told.healths.values() if found.refused), None
        )
    )


def _timed(
    conditions: Sequence[tuple[str, bool, str, str]],
    *,
    generation: int,
    before: Sequence[Mapping[str, Any]],
    now: float,
) -> tuple[reported.StatusCondition, ...]:
    known = {condition["type"]: condition for condition in before}
    timed = []
    for type_, holds, reason, message in conditions:
        status = "True" if holds else "False"
        same = known.get(type_, {}).get("status") == status
        timed.append(
            reported.StatusCondition.model_validate(
                {
                    "type": type_,
                    "status": status,
                    "observedGeneration": generation,
                    "reason": reason,
                    "message": message,
                    "lastTransitionTime": known[type_]["lastTransitionTime"]
                    if same
                    else _time(now),
                }
            )
        )
    return tuple(timed)


def _arm(name: str | None, told: Context) -> reported.Arm | None:
    if name is None:
        return None
    revision = told.revisions.get(name)
    return reported.Arm(
        revision=name,
        digest=revision.model.digest if revision else None,
        image=revision.image if revision else None,
        ready_replicas=told.healths[name].available if name in told.healths else None,
    )


def _row(row: Mapping[str, Any]) -> reported.HistoryRow:
    return reported.HistoryRow(
        at=datetime.datetime.fromtimestamp(row["at"], datetime.UTC),
        revision=row["revision"],
        phase=row["phase"],
        action=row["action"],
        reason=_cut(row["reason"]),
        guard=row["guard"],
    )


def _guards(state: State) -> tuple[reported.GuardEvidence, ...]:
    if state.ledger is None:
        return ()
    harms = defaultdict[str, list[float]](list)
    certificates: dict[str, float] = {}
    # a guard has several bets: shown is what speaks most against it
    for key, bet in state.ledger.bets.items():
        harms[key.guard].append(bet.harm.log_e)
        if bet.certificate is not None:
            certificates[key.guard] = bet.certificate.log_e
    return tuple(
        reported.GuardEvidence(
            name=name, harm=_finite(max(found)), certificate=_finite(certificates.get(name))
        )
        for name, found in list(harms.items())[:16]
    )


def _finite(value: float | None) -> float | None:
    return round(value, 3) if value is not None and math.isfinite(value) else None


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


def _time(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

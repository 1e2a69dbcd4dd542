"""What users' own services have to say in a rollout: which of them is asked when, and what their
answers mean. Pure.

A call is part of the rollout's state before anybody is called, and stays there until it is
answered: whoever is killed in between calls again, under the same id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fairway.config import sections

GATES: Mapping[str, str] = {
    "preRollout": "the rollout begins",
    "preStep": "the canary's next step",
    "prePromotion": "the promotion",
}
RETRY_SECONDS = 10.0  # until a gate that did not let pass is asked again; a yes counts for so long
TRIES = 8  # of a notification; the last some twenty minutes after the first
SAID = 400  # characters of an answer that a reason repeats
KEPT = 16  # notifications that are under way; the oldest goes first


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of one hook, from when it is due until it has its answer."""

    id: str  # the same at every try: by it a receiver knows what it was told before
    hook: str
    at: str  # sections.Hook.at
    data: Mapping[str, Any]  # what it is told
    due: float  # when it is called, or called again
    key: str = ""  # a gate's: the transition that waits for it
    tries: int = 0
    passed: bool = False  # a gate's: it let pass, at the last try
    refused: bool = False  # a gate's: it said no, at the last try
    said: str = "not asked yet"  # how the last try ended


@dataclass(frozen=True)
class Answer:
    """How a call ended: the hook agreed, said no, or gave no usable answer."""

    kind: Literal["passed", "refused", "away"]
    said: str


def learn(
    calls: Sequence[Call], answers: Mapping[str, Answer], *, now: float
) -> tuple[tuple[Call, ...], tuple[Call, ...]]:
    """Take the answers in; gives what is still under way, and the notifications that were given up."""
    kept, lost = [], []
    for call in calls:
        answer = answers.get(call.id)
        tried = (
            call if answer is None else replace(call, tries=call.tries + 1, said=answer.said[:SAID])
        )
        if answer is None:
            kept.append(call)
        elif call.at in GATES:
            kept.append(
                replace(
                    tried,
                    passed=answer.kind == "passed",
                    refused=answer.kind == "refused",
                    due=now + RETRY_SECONDS,
                )
            )
        elif answer.kind == "refused" or (answer.kind == "away" and tried.tries >= TRIES):
            lost.append(tried)
        elif answer.kind == "away":
            kept.append(replace(tried, due=now + RETRY_SECONDS * 2 ** (tried.tries - 1)))
    return tuple(kept), tuple(lost)


def ask(
    calls: Sequence[Call],
    hooks: Iterable[sections.Hook],
    *,
    points: Sequence[str],
    key: str,
    data: Mapping[str, Any],
    now: float,
) -> tuple[Call, ...]:
    """Return the calls of the gates at these points, those that were begun for the same `key` as
    they stand.

    Then the notifications under way.

    A yes that was not used in time, because others or the evidence kept it waiting, is asked for
    again.
    """
    known = {
        (call.hook, call.at): replace(call, passed=call.passed and call.due >= now)
        for call in calls
        if call.at in GATES and call.key == key
    }
    gates = [
        known.get((hook.name, at)) or _call(hook, at, data=data, key=key, now=now)
        for at in points
        for hook in hooks
        if at in hook.at
    ]
    return (*gates, *notifications(calls))


def tell(
    calls: Sequence[Call],
    hooks: Iterable[sections.Hook],
    *,
    at: str,
    data: Mapping[str, Any],
    now: float,
) -> tuple[tuple[Call, ...], tuple[Call, ...]]:
    """Add the notifications of what has just happened.

    Gives the calls, and the notifications that there was no room for any more.
    """
    told = (
        *notifications(calls),
        *(_call(hook, at, data=data, now=now) for hook in hooks if at in hook.at),
    )
    return (*(call for call in calls if call.at in GATES), *told[-KEPT:]), told[:-KEPT]


def notifications(calls: Iterable[Call]) -> tuple[Call, ...]:
    """Return the calls that nothing waits for."""
    return tuple(call for call in calls if call.at not in GATES)


def waiting(calls: Iterable[Call]) -> tuple[Call, ...]:
    """Return the gates that have not let pass."""
    return tuple(call for call in calls if call.at in GATES and not call.passed)


def veto(calls: Iterable[Call], hooks: Iterable[sections.Hook]) -> Call | None:
    """Return the gate whose no is a verdict, where one has said it."""
    judges = {hook.name for hook in hooks if hook.on_refusal == "rollback"}
    return next((call for call in calls if call.refused and call.hook in judges), None)


def due(calls: Iterable[Call], *, now: float) -> tuple[Call, ...]:
    """Return what is to be called now, what has waited longest first."""
    return tuple(
        sorted(
            (call for call in calls if not call.passed and call.due <= now),
            key=lambda call: call.due,
        )
    )


def _call(
    hook: sections.Hook, at: str, *, data: Mapping[str, Any], now: float, key: str = ""
) -> Call:
    return Call(
        id=f"{data['revision']}.{at}.{hook.name}.{now:.3f}",
        hook=hook.name,
        at=at,
        data=data,
        due=now,
        key=key,
    )

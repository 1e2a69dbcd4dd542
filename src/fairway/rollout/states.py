"""What a rollout remembers, and what follows from it alone.

The route, the candidate's weight, the revisions that must run, the strategy in force.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fairway.config import sections
from fairway.rollout import hooks, traffic
from fairway.rollout.judge import Verdict
from fairway.rollout.ledger import Ledger
from fairway.rollout.seen import Cursors, Segment

HISTORY = 20  # verdicts kept, as in a custom resource's status
TOTAL = 100  # weights are percent


class Phase(StrEnum):
    """Where a deployment stands."""

    PENDING = "Pending"
    STARTING = "Starting"
    SHADOW = "Shadow"
    CANARY = "Canary"
    PROMOTING = "Promoting"
    BAKING = "Baking"
    STABLE = "Stable"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    PAUSED = "Paused"


class Cause(StrEnum):
    """Why a revision was taken back."""

    GUARD = "guard"  # the judge: its evidence, or what the rollout may cost
    NOT_READY = "notReady"  # it did not become ready, or does not stay up
    DEADLINE = "deadline"  # its capacity did not come back in time
    # a budget or deadline was spent, and the strategy rolls back then
    INCONCLUSIVE = "inconclusive"
    HOOK = "hook"  # a hook refused
    ABORTED = "aborted"  # a person
    SUPERSEDED = "superseded"  # another revision was asked for


JUDGED = (Phase.SHADOW, Phase.CANARY, Phase.PROMOTING, Phase.BAKING)


@dataclass(frozen=True, kw_only=True)
class State:
    """All that a rollout remembers; JSON in a row of the state store or in a status."""

    phase: Phase = Phase.PENDING
    stable: str | None = None  # revision in service
    candidate: str | None = None  # revision that wants its place
    # what was stable before the last promotion: kept for a late rollback
    previous: str | None = None
    step: int = 0  # index into canary.steps
    looked: float = 0.0  # when the last look was taken, by the clock on the wall
    moved: float = 0.0  # when the phase (or step) began, by the clock on the wall: for people
    # the rollout's own time at the last look: what elapsed between looks. All that ends after a
    # while is by it
    clock: float = 0.0
    since: float = 0.0  # when the phase (or step) began, in the rollout's own time, as all below
    counting_from: float = 0.0  # end of the warm-up: evidence counts from here
    stage_since: float = 0.0  # when the stage with a budget began
    arrived: tuple[int, int] = (
        0,
        0,
        # requests of the candidate and of stable seen in this step: what it has seen enough is told
        # by
    )
    # since when the candidate has no pod that answers: stable has its share meanwhile
    absent_since: float | None = None
    resume_to: Phase | None = None  # phase to go back to from Paused
    passed: bool = False  # a person let this pause pass (resume, or promote --force)
    ledger: Ledger | None = None
    sample: traffic.Sample | None = None  # the last scrape, to take differences from
    cursors: Cursors = field(default_factory=Cursors)
    segments: tuple[Segment, ...] = ()
    rejected: tuple[str, ...] = ()  # revisions that were rolled back and are not tried again
    calls: tuple[hooks.Call, ...] = ()  # of hooks, that are not answered yet
    verdict: Verdict | None = None
    # why the last revision that was taken back had to go; None from the next start on
    cause: Cause | None = None
    reason: str = "nothing is deployed yet"
    history: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Event:
    """Something that a person should be able to read later."""

    at: float
    type: str  # Started, Ready, Step, Promoted, RolledBack, Paused ...
    message: str
    revision: str | None = None


@dataclass(frozen=True)
class Reply:
    """What became of a person's command."""

    obeyed: bool
    sentence: str


def route(state: State, *, deployment: str, strategy: sections.Strategy) -> traffic.Route | None:
    """Return the route that the state asks for; None while nothing serves."""
    if state.stable is None:
        return None
    weight, mirror = split(state, strategy=strategy)
    candidate = state.candidate if weight or mirror else None
    return traffic.route(
        deployment=deployment,
        stable=state.stable,
        candidate=candidate,
        weight=weight,
        mirror=mirror,
    )


def split(state: State, *, strategy: sections.Strategy) -> tuple[int, int]:
    """Return the candidate's weight and the share of requests mirrored to it, both percent."""
    phase = _held(state)
    if state.candidate is None or state.absent_since is not None:
        return 0, 0
    if phase is Phase.SHADOW:
        return 0, strategy.shadow.percent
    if phase is Phase.CANARY:
        return strategy.canary.steps[min(state.step, len(strategy.canary.steps) - 1)].weight, 0
    if phase in (Phase.PROMOTING, Phase.BAKING):
        return TOTAL - strategy.bake.weight, 0
    return 0, 0


def bound(state: State) -> bool:
    """Say whether the strategy that the rollout began with still counts.

    Until it has ended and all are told, and while late labels may condemn it.
    """
    return state.candidate is not None or state.ledger is not None or bool(state.calls)


def in_force(
    before: State, after: State, *, begun: sections.Strategy, newest: sections.Strategy
) -> sections.Strategy:
    """Return the strategy that counts after a look.

    The one that the rollout began with to its end, and the newest for the next.
    """
    begins = before.candidate is None and after.candidate is not None
    return newest if begins or not bound(after) else begun


def wanted(state: State) -> tuple[str, ...]:
    """Return the revisions that must run."""
    late = state.previous if state.phase is Phase.ROLLING_BACK and state.candidate is None else None
    return tuple(
        dict.fromkeys(revision for revision in (state.stable, state.candidate, late) if revision)
    )


def stage(state: State) -> str:
    """Return the judge's name of the stage: shadow, canary, bake, or nothing."""
    return {
        Phase.SHADOW: "shadow",
        Phase.CANARY: "canary",
        Phase.PROMOTING: "bake",
        Phase.BAKING: "bake",
    }.get(_held(state) or Phase.STABLE, "")


def _held(state: State) -> Phase | None:
    """Return the phase that is in effect: of a paused rollout the one that it was paused in."""
    return state.resume_to if state.phase is Phase.PAUSED else state.phase

"""The fields of a ModelDeployment's status: what the operator reports."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from fairway.config import sections
from fairway.rollout import judge, states

Text = Annotated[str, Field(max_length=1024)]
Name = Annotated[str, Field(max_length=253)]
Time = Annotated[datetime, Field(json_schema_extra={"maxLength": 64})]
Percent = Annotated[int, Field(ge=0, le=states.TOTAL)]


class Arm(sections.Section):
    """A revision and the pods that it has."""

    revision: Name
    """Its short name, 12 characters; its Deployment and Service are named after the resource and
    it."""
    digest: Name | None = None
    """The package's digest."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """The server's image, as it was when the revision was first seen."""
    ready_replicas: Annotated[int, Field(ge=0)] | None = None
    """Pods that are ready to answer."""


class StatusCondition(sections.Section):
    """What holds at present, as kstatus and `kubectl wait` read it."""

    type: Annotated[str, Field(max_length=316)]
    """Accepted, Available, Ready, RouteReady, Progressing, Degraded, Reconciling, Stalled or
    Monitored."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that it speaks of."""
    last_transition_time: Time
    """When its status last changed."""
    reason: Annotated[
        str,
        Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, in a sentence."""


class HistoryRow(sections.Section):
    """A verdict that moved the rollout, or a command."""

    at: Time
    """When it was given."""
    revision: Name | None = None
    """The revision that it is about."""
    phase: Annotated[str, Field(max_length=32)] | None = None
    """The phase that it led to."""
    action: Annotated[str, Field(max_length=32)] | None = None
    """What the judge said, or the command's verb."""
    reason: Text | None = None
    """Why, in a sentence."""
    guard: Name | None = None
    """The guard that decided."""


class GuardEvidence(sections.Section):
    """What speaks against the candidate and for it, by one guard."""

    name: Annotated[str, Field(max_length=63)]
    """The guard's name."""
    harm: float | None = None
    """Log e-value of the bets against the candidate."""
    certificate: float | None = None
    """Log e-value of the certificate that the guard holds."""


class CommandReply(sections.Section):
    """What became of a command."""

    obeyed: bool
    """Whether it changed anything."""
    sentence: Text
    """What it did, or why it changed nothing."""


class OpenTicket(sections.Section):
    """What a person is told of a shift."""

    opened_at: Time
    """When it was opened."""
    kind: Annotated[str, Field(max_length=32)]
    """quality, covariate, prediction, or skew: never like the training data."""
    summary: Text
    """What moved, and how far."""


class Trained(sections.Section):
    """What became of retraining."""

    reason: Text
    """Why a run was started, or was not."""
    run: Name | None = None
    """The newest Job."""
    started_at: Time | None = None
    """When it was started."""
    outcome: Literal["Running", "Succeeded", "Failed"] | None = None
    """What became of it."""


class Monitored(sections.Section):
    """How what is served stands to what is usual; the monitor alone writes it."""

    revision: Name
    """The revision that is watched."""
    drift: Literal["Unwatched", "Learning", "Usual", "Shifted", "Failing"]
    """In a word: Learning what is usual, Usual, Shifted while a ticket is open."""
    learnt: Annotated[str, Field(max_length=32)] | None = None
    """Windows that were learnt from, of those that are wanted."""
    last_window_time: Time | None = None
    """When the newest window was tested, a few minutes late at most."""
    ticket: OpenTicket | None = None
    """The ticket that is open."""
    retraining: Trained | None = None
    """Whether a challenger is trained."""


class Status(sections.Section):
    """What was seen and decided; the operator writes it, and of `monitoring` the monitor."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that the rest speaks of."""
    phase: states.Phase | None = None
    """Where the deployment stands."""
    weight: Percent | None = None
    """Percent of the units that the candidate serves."""
    mirror: Percent | None = None
    """Percent of the requests that are copied to the candidate."""
    verdict: judge.Action | None = None
    """What the judge said last."""
    reason: Text | None = None
    """Why it stands there, in a sentence."""
    stable: Arm | None = None
    """The revision in service."""
    candidate: Arm | None = None
    """The revision that wants its place."""
    previous: Arm | None = None
    """What was in service before the last promotion; a late rollback returns to it."""
    rejected: Annotated[tuple[Name, ...], Field(max_length=states.HISTORY)] | None = None
    """Revisions that were rolled back; none is tried again until the spec changes or `retry` is
    asked."""
    conditions: Annotated[tuple[StatusCondition, ...], Field(max_length=16)] | None = None
    """Ready: what is asked for serves, and the gateway answers for it (RouteReady). Stalled: a
    person is needed. The others say where it stands.
    """
    history: Annotated[tuple[HistoryRow, ...], Field(max_length=states.HISTORY)] | None = None
    """The last verdicts and commands, oldest first."""
    guards: Annotated[tuple[GuardEvidence, ...], Field(max_length=16)] | None = None
    """The evidence of the rollout in progress."""
    monitoring: Monitored | None = None
    """How what is served stands to what is usual."""
    checkpoint: Annotated[str, Field(max_length=262144)] | None = None
    """The rollout's whole state as JSON, for the operator alone: a new operator goes on from it."""
    last_command: Annotated[str, Field(max_length=512)] | None = None
    """The nonce of the last command that was taken: each is taken once."""
    reply: CommandReply | None = None
    """What became of that command."""

"""What is watched, and how it stands."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fairway.config import sections
from fairway.model.schema import Schema

if TYPE_CHECKING:
    from fairway.monitoring.acceptance import Acceptance


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One deployment's stable revision, and how it is watched."""

    deployment: str
    namespace: str
    revision: str
    section: sections.Monitoring


def mark(deployment: str) -> str:
    """Return the mark of the event store that has where the watch of a deployment goes on."""
    return f"monitor/{deployment}"


def begun(revision: str) -> dict[str, Any]:
    """Return that mark of a revision of which nothing was looked at yet."""
    return {
        "revision": revision,
        "after": {},
        "learning": learns_after(0),
        "state": None,
        "learnt": None,
        "ticket": None,
        "still": [],  # columns that stand still, the newest windows together
        "lastAt": None,
        "accepted": None,
    }


def learns_after(event: int) -> dict[str, Any]:
    """Return where learning stands that begins after an event."""
    return {"after": event, "last": None, "windows": 0}


@dataclass(frozen=True, kw_only=True)
class Described:
    """What its windows must look like."""

    schema: Schema
    trained: dict[str, Any]  # its reference, by feature; empty where it has none


@dataclass(frozen=True, kw_only=True)
class DriftStanding:
    """How a deployment stands."""

    drift: Literal["Unwatched", "Learning", "Usual", "Shifted"]
    evidence: float  # of a shift; at 1 a ticket opens
    learnt: int  # windows, of `wanted`
    wanted: int
    last_at: float | None  # when the newest window was tested
    ticket: dict[str, Any] | None  # of an open one: at, kind, summary, description, shifts
    accepted: "Acceptance | None" = None  # since which it is learnt; None: since the first request

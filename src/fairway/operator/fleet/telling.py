"""What a ModelDeployment's status says of its monitoring. Pure; time is passed in.

The operator writes the rest of the status: a write names the version that was read, and where the
other was faster it is done again.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairway.monitoring.eventstore import batches
from fairway.monitoring.watched import DriftStanding
from fairway.operator import status
from fairway.operator.fleet import packages

FRESH_SECONDS = 300.0  # between two writes that only say when the newest window was tested
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What one look at a deployment came to."""

    revision: str
    standing: DriftStanding | None  # None: it could not be watched at all
    failure: Exception | None = None
    retraining: Json | None = None  # as `reported.Trained` has it


def monitored(seen: Sighting) -> Json:
    """Return `status.monitoring`."""
    standing = seen.standing
    failing = seen.failure is not None and not _passes(seen.failure)
    said: Json = {
        "revision": seen.revision,
        "drift": "Failing" if failing else standing.drift if standing else "Unwatched",
    }
    if standing is not None:
        said["learnt"] = f"{standing.learnt}/{standing.wanted}"
        if standing.last_at is not None:
            said["lastWindowTime"] = when(standing.last_at)
        if standing.ticket is not None:
            said["ticket"] = {
                "openedAt": when(standing.ticket["at"]),
                "kind": standing.ticket["kind"],
                "summary": cut(standing.ticket["summary"]),
            }
    if seen.retraining is not None:
        said["retraining"] = seen.retraining
    return said


def condition(seen: Sighting) -> tuple[str, bool, str, str]:
    """Return the condition Monitored: type, whether it holds, reason, message."""
    holds, reason, message = _condition(seen)
    return status.MONITORED, holds, reason, message


def _condition(seen: Sighting) -> tuple[bool, str, str]:
    standing, failure = seen.standing, seen.failure
    if isinstance(failure, packages.Missing):
        return False, "NoPackage", str(failure)
    if failure is not None and not _passes(failure):
        sentence = " ".join(str(failure).split())[:1000] or type(failure).__name__
        return False, "Failing", sentence
    if standing is None:
        return False, "Starting", "what is known of it is read"
    since = "" if standing.accepted is None else f"; {standing.accepted.sentence}"
    match standing.drift:
        case "Unwatched":
            return (
                False,
                "NoReference",
                "the package has no reference.npz: package the model with a reference",
            )
        case "Learning":
            return (
                False,
                "Learning",
                cut(
                    f"what is usual is learnt: {standing.learnt} of {standing.wanted} windows; no ticket opens "
                    f"before{since}"
                ),
            )
        case "Shifted" if standing.ticket is not None:
            return True, "Shifted", cut(standing.ticket["summary"])
    return True, "Usual", cut(f"what is served is like what was learnt{since}")


def _passes(failure: Exception) -> bool:
    """Say whether a failure passes by itself at the next look, and says nothing of the deployment."""
    return isinstance(failure, batches.Overtaken | packages.Missing)


def changed(
    before: Mapping[str, Any], seen: Sighting, *, generation: int, now: float
) -> Json | None:
    """Return the status with what was seen, None where it says so already."""
    said = monitored(seen)
    fresh = status.timed(condition(seen), generation=generation, before=before, now=now)
    conditions = list(before.get("conditions", ()))
    old = next((one for one in conditions if one["type"] == status.MONITORED), None)
    if _same(before.get("monitoring"), said, now=now) and old == fresh:
        return None
    others = [one for one in conditions if one["type"] != status.MONITORED]
    return {**before, "monitoring": said, "conditions": [*others, fresh]}


def _same(before: Json | None, said: Json, *, now: float) -> bool:
    """Say whether the two differ in no more than when the newest window was tested, lately."""
    if before is None:
        return False
    old, new = (one.get("lastWindowTime") for one in (before, said))
    stale = old != new and (old is None or now - _seconds(old) >= FRESH_SECONDS)
    return not stale and {**before, "lastWindowTime": new} == {**said, "lastWindowTime": new}


def when(seconds: float) -> str:
    """Return a time as Kubernetes writes it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cut(text: str) -> str:
    """Return a text that a status takes."""
    return text if len(text) <= status.TEXT else text[: status.TEXT - 1] + "…"


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()

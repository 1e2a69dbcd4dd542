"""Events that tell the story in `kubectl describe`: each transition once, whoever posts it."""

import datetime
import logging
from collections.abc import Mapping
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.platforms.kubernetes import api

log = logging.getLogger("fairway.operator")

POSTED_ONCE = ("Invalid", "Stalled")  # however often they are seen
WARNINGS = (
    "Stuck",
    "CapacityLost",
    "RollingBack",
    "RolledBack",
    "Paused",
    "Refused",
    "HookFailed",
    "Invalid",
)
MAX_CHARACTERS = 1024  # of a message, that the API server takes


def post(
    server: api.Api,
    about: Mapping[str, Any],
    *,
    at: float,
    type: str,
    message: str,
    warning: bool = False,
) -> None:
    """Post the event under a name made of its content: a look that is taken again posts nothing
    twice.

    Losing one is no failure.

    Invalid specs are looked at again and again: their event is posted once.
    """
    metadata = about["metadata"]
    content = {
        "uid": metadata["uid"],
        "at": 0 if type in POSTED_ONCE else at,
        "type": type,
        "message": message,
    }
    name = f"{metadata['name']}.{resource.fingerprint(content)}"
    when = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "reason": type,
        "message": message[:MAX_CHARACTERS],
        "type": "Warning" if warning else "Normal",
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
        "source": {"component": api.MANAGER},
        "reportingComponent": api.MANAGER,
        "reportingInstance": api.MANAGER,
    }
    try:
        server.create(event)
    except api.Conflict:
        return
    except errors.FairwayError as error:
        log.warning("the event %s could not be posted: %s", type, error)

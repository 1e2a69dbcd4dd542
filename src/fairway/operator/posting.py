"""Events that tell the story in `kubectl describe`: each transition once, whoever posts it."""

import datetime
import logging
from collections.abc import Mapping
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.platforms.kubernetes import api

log = logging.getLogger("fairway.operator")

ONCE = ("Invalid", "Stalled")  # told once, however often they are seen
WARNINGS = ("Stuck", "CapacityLost", "RollingBack", "RolledBack", "Paused", "Refused", "HookFailed", "Invalid")
MESSAGE = 1024  # characters that the API server takes


def post(
    server: api.Api, about: Mapping[str, Any], *, at: float, type: str, message: str, warning: bool = False
) -> None:
    """Post the event under a name made of its content: a look that is taken again posts nothing twice. Losing one is no failure.

    What stays as it is, such as an invalid spec, is looked at again and again.
    """
    metadata = about["metadata"]
    name = f"{metadata['name']}.{resource.fingerprint({'uid': metadata['uid'], 'at': 0 if type in ONCE else at, 'type': type, 'message': message})}"
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
        "message": message[:MESSAGE],
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

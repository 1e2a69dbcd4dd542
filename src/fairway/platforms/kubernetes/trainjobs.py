"""A training step on several nodes: its TrainJob made or adopted, waited for once, deleted when the step
is cancelled.

What is decided is a function of the object as it was read. One wait asks for every way in which a job
ends: waiting for it to run first would never end for a job that is through.
"""

import contextlib
import enum
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairway import errors
from fairway.platforms.kubernetes import api, owned
from fairway.platforms.kubernetes.objects import trainjob

POLL_SECONDS = 2.0
AWAY_SECONDS = 300.0  # how long an API server may be away


class Way(enum.StrEnum):
    """What is done with the TrainJob of the step's name as it was found."""

    CREATE = "create"  # there is none
    ADOPT = "adopt"  # an earlier try of this step made it: it is waited for
    REPLACE = "replace"  # that try failed, or asked for something else
    AWAIT = "await"  # it is being deleted
    REFUSE = "refuse"  # it is somebody else's


@dataclass(frozen=True)
class JobEnd:
    """How a TrainJob ended."""

    complete: bool
    sentence: str


def decide(found: Mapping[str, Any] | None, *, wanted: Mapping[str, Any]) -> Way:
    """Say what to do with the object of the name that is wanted."""
    if found is None:
        return Way.CREATE
    metadata, uid = found["metadata"], wanted["metadata"]["ownerReferences"][0]["uid"]
    if not owned.controlled(found, uid=uid):
        return Way.REFUSE
    if metadata.get("deletionTimestamp"):
        return Way.AWAIT
    asked = (metadata.get("annotations") or {}).get(trainjob.ASKED)
    ended = end_of(found)
    failed = ended is not None and not ended.complete
    same = asked == wanted["metadata"]["annotations"][trainjob.ASKED]
    return Way.ADOPT if same and not failed else Way.REPLACE


def end_of(found: Mapping[str, Any]) -> JobEnd | None:
    """Return how the job ended, None while it goes on."""
    name = found["metadata"]["name"]
    for condition in found.get("status", {}).get("conditions", ()):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            complete = condition["type"] == "Complete"
            said = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
            return JobEnd(
                complete,
                f"TrainJob {name} is complete"
                if complete
                else f"TrainJob {name} failed ({said}): see `kubectl --namespace "
                f"{found['metadata'].get('namespace', 'default')} logs --selector "
                f"jobset.sigs.k8s.io/jobset-name={name} --all-containers`",
            )
    return None


def run(server: api.Api, wanted: Mapping[str, Any], *, timeout_seconds: float) -> api.Object:
    """Return the TrainJob once it is complete; one that an earlier try of the step made is gone on with.

    Raises TrainingError with the condition's words where it fails or vanishes, Unavailable after the
    timeout, PlatformError where another's has its name. SIGTERM and Ctrl-C delete the job first; an error
    leaves it to the next try, or to its owner.
    """
    deadline = time.monotonic() + timeout_seconds
    with _cancellable():
        try:
            job = _job(server, wanted, deadline=deadline)
            return _ended(server, job, deadline=deadline)
        except KeyboardInterrupt:
            _cancel(server, wanted)
            raise


def _job(server: api.Api, wanted: Mapping[str, Any], *, deadline: float) -> api.Object:
    """Return the step's job: made, or found."""
    metadata = wanted["metadata"]
    said = f"TrainJob {metadata['namespace']}/{metadata['name']}"
    while True:
        found = _read(server, metadata)
        way = decide(found, wanted=wanted)
        if way is Way.ADOPT and found is not None:
            return found
        if way is Way.REFUSE:
            raise errors.PlatformError(
                f"{said} is there and is not of this run: wanted none of its name; delete it if nothing needs it"
            )
        with contextlib.suppress(api.Conflict):  # somebody was quicker: look again
            if way is Way.CREATE:
                return _made(server, wanted)
            if way is Way.REPLACE and found is not None:
                _delete(server, metadata, uid=found["metadata"]["uid"])
        if time.monotonic() > deadline:
            raise errors.Unavailable(f"{said} of an earlier try is still being deleted")
        time.sleep(POLL_SECONDS)


def _made(server: api.Api, wanted: Mapping[str, Any]) -> api.Object:
    try:
        return server.create(wanted)
    except api.NotFound as error:
        raise errors.PlatformError(
            f"the cluster does not know {trainjob.KIND} of {trainjob.API_VERSION}: install Kubeflow Trainer 2.2 or "
            "later, or train on one node (training.processes)"
        ) from error


def _ended(server: api.Api, job: api.Object, *, deadline: float) -> api.Object:
    """Wait until the job is through."""
    metadata = job["metadata"]
    said = f"TrainJob {metadata['namespace']}/{metadata['name']}"
    found: api.Object | None = job
    while True:
        if found is None or found["metadata"]["uid"] != metadata["uid"]:
            raise errors.TrainingError(f"{said} was deleted before it ended: run the step again")
        ended = end_of(found)
        if ended is not None and ended.complete:
            return found
        if ended is not None:
            raise errors.TrainingError(ended.sentence)
        if time.monotonic() > deadline:
            conditions = [one["type"] for one in found.get("status", {}).get("conditions", ())]
            raise errors.Unavailable(
                f"{said} has not ended: its conditions are {', '.join(conditions) or 'none'}, wanted Complete; is "
                "Kubeflow Trainer's controller running, and does a node have room?"
            )
        time.sleep(POLL_SECONDS)
        found = _read(server, metadata)


def _read(server: api.Api, metadata: Mapping[str, Any]) -> api.Object | None:
    """Read; an API server that does not answer is asked again for a while."""
    until = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return server.get(trainjob.KIND, metadata["namespace"], metadata["name"])
        except errors.Temporary:
            if time.monotonic() > until:
                raise
        time.sleep(POLL_SECONDS)


def _cancel(server: api.Api, wanted: Mapping[str, Any]) -> None:
    """Delete the job where it is this run's."""
    metadata = wanted["metadata"]
    found = server.get(trainjob.KIND, metadata["namespace"], metadata["name"])
    uid = metadata["ownerReferences"][0]["uid"]
    if found is not None and owned.controlled(found, uid=uid):
        _delete(server, metadata, uid=found["metadata"]["uid"])


def _delete(server: api.Api, metadata: Mapping[str, Any], *, uid: str) -> None:
    server.delete(trainjob.KIND, metadata["namespace"], metadata["name"], uid=uid)


@contextlib.contextmanager
def _cancellable() -> Iterator[None]:
    """Have SIGTERM, as a pod is ended, do what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

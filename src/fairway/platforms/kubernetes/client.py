"""What the command line and the pipeline ask of a cluster: deploy, read, steer, follow. The
operator does the rest."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.platforms.kubernetes import api
from fairway.platforms.kubernetes.objects import controllerrevision, names

MANAGER = "fairway"
ANSWER_SECONDS = 30.0  # for a command: an operator that works takes it at its next look
AWAY_SECONDS = 300.0  # how long an API server may be away before following is given up
POLL_SECONDS, QUICK_SECONDS = 1.0, 0.25
KIND, NOTE = resource.KIND, f"{resource.GROUP}/note"


def deploy(
    server: api.Api,
    manifest: Mapping[str, Any],
    *,
    annotated: Callable[[api.Object | None], Mapping[str, str]] = lambda before: {},
) -> tuple[api.Object, bool]:
    """Ask for what the manifest says, as field manager `fairway`: what others set besides stays.
    `annotated` gives its annotations, told the resource as it stands.

    Return the resource as it is now, and whether its spec was changed.
    """
    metadata = manifest["metadata"]
    try:
        before = server.get(KIND, metadata["namespace"], metadata["name"])
        asked = {**metadata, "annotations": dict(annotated(before))}
        after = server.apply({**manifest, "metadata": asked}, manager=MANAGER)
        return after, before is None or before["metadata"]["generation"] != after["metadata"][
            "generation"
        ]
    except api.NotFound as error:
        _need_kind(server)
        namespace = manifest["metadata"]["namespace"]
        raise errors.UsageError(
            f"there is no namespace {namespace!r}: `kubectl create namespace {namespace}`, or name another with "
            "--namespace"
        ) from error
    except api.Forbidden as error:
        raise _forbidden(error, manifest["metadata"]["namespace"]) from error


def read(server: api.Api, namespace: str, name: str) -> api.Object:
    """Return the ModelDeployment with its status; raises UsageError where there is none."""
    try:
        found = server.get(KIND, namespace, name)
        if found is None:
            _need_kind(server)
            raise errors.UsageError(
                f"there is no ModelDeployment {name!r} in namespace {namespace!r}: `fairway deploy PACKAGE --on "
                "kubernetes` makes one"
            )
        return found
    except api.Forbidden as error:
        raise _forbidden(error, namespace) from error


def revisions(server: api.Api, namespace: str, name: str) -> list[controllerrevision.Revision]:
    """Return the revisions of the ModelDeployment that the cluster keeps, the newest first."""
    mine = names.selector(names.Owner(name=name, namespace=namespace))
    try:
        found = server.find("ControllerRevision", namespace, labels=mine)
    except api.Forbidden as error:
        raise api.Forbidden(
            f"{error}; wanted: a Role in {namespace} that allows list on controllerrevisions.apps"
        ) from error
    known = [controllerrevision.read(one) for one in found]
    return sorted(known, key=lambda one: -one.number)


def every(server: api.Api, namespace: str | None) -> list[api.Object]:
    """Return the ModelDeployments of the namespace, or of all."""
    try:
        return server.find(KIND, namespace)
    except api.NotFound:
        _need_kind(server)
        raise
    except api.Forbidden as error:
        raise api.Forbidden(
            f"{error}; wanted: a {'ClusterRole' if namespace is None else f'Role in {namespace}'} that allows list on "
            f"{resource.PLURAL}.{resource.GROUP}"
        ) from error


def command(
    server: api.Api,
    namespace: str,
    name: str,
    verb: str,
    *,
    who: str,
    why: str = "",
    force: bool = False,
) -> dict[str, Any]:
    """Ask the operator once, and return the status with its reply."""
    before = read(server, namespace, name)
    if before["spec"].get("paused"):
        raise errors.UsageError(
            f"{verb} has no effect: spec.paused of {name} is set, and nothing is changed until it is not"
        )
    nonce = uuid.uuid4().hex
    asked = json.dumps({"verb": verb, "id": nonce, "by": who, "why": why, "force": force})
    try:
        server.merge(
            KIND, namespace, name, {"metadata": {"annotations": {resource.COMMAND: asked}}}
        )
    except api.Forbidden as error:
        raise _forbidden(error, namespace) from error
    deadline = time.monotonic() + ANSWER_SECONDS
    while (found := _patiently(server, namespace, name, until=deadline)).get("status", {}).get(
        "lastCommand"
    ) != nonce:
        if found["metadata"].get("annotations", {}).get(resource.COMMAND) != asked:
            raise errors.Unavailable(
                f"another command for {name} came before {verb} was seen to be taken: see `fairway rollout explain`, "
                "and ask again"
            )
        if time.monotonic() > deadline:
            raise errors.Unavailable(
                f"no operator took the command within {ANSWER_SECONDS:.0f} s: see its log, "
                "`kubectl --namespace fairway-system logs --selector app.kubernetes.io/component=operator`"
            )
        time.sleep(QUICK_SECONDS)
    status: dict[str, Any] = found["status"]
    if "reply" not in status:
        raise errors.PlatformError(
            f"an operator of an earlier version took {verb}, and does not say what became of it: see `fairway rollout "
            "explain`"
        )
    return status


def watch(
    server: api.Api,
    namespace: str,
    name: str,
    *,
    until: Callable[[api.Object], bool],
    timeout_seconds: float | None = None,
) -> Iterator[api.Object]:
    """Return the ModelDeployment each time that its status has changed, and end with the one that
    makes `until` true.

    An API server that is away is waited for. Raises Unavailable after the timeout.
    """
    deadline = time.monotonic() + timeout_seconds if timeout_seconds is not None else None
    found, last = read(server, namespace, name), None
    while True:
        if found.get("status") != last:
            last = found.get("status")
            yield found
        if until(found):
            return
        if deadline is not None and time.monotonic() > deadline:
            status = found.get("status", {})
            raise errors.Unavailable(
                f"the rollout of {name} has not ended: {status.get('phase', 'Pending')}: "
                f"{status.get('reason', 'no operator has looked at it yet')}"
            )
        time.sleep(POLL_SECONDS)
        away = time.monotonic() + AWAY_SECONDS
        found = _patiently(
            server, namespace, name, until=min(away, deadline) if deadline is not None else away
        )


def settled(found: api.Object) -> bool:
    """Say whether what is asked for serves, was rolled back, or needs a person (kstatus: Ready or
    Stalled, of the newest generation).
    """
    status = found.get("status", {})
    if (
        status.get("observedGeneration", 0) < found["metadata"]["generation"]
        or status.get("phase") == "RollingBack"
    ):
        return False
    return holds(found, "Ready") or holds(found, "Stalled")


def holds(found: api.Object, type: str) -> bool:
    """Say whether the condition is True."""
    return any(
        condition["type"] == type and condition["status"] == "True"
        for condition in found.get("status", {}).get("conditions", ())
    )


def reason(found: api.Object, type: str) -> str | None:
    """Return the condition's reason: a word for programs."""
    reasons = (
        condition.get("reason")
        for condition in found.get("status", {}).get("conditions", ())
        if condition["type"] == type
    )
    return next(reasons, None)


def _patiently(server: api.Api, namespace: str, name: str, *, until: float) -> api.Object:
    """Read; an API server that does not answer is asked again until then."""
    while True:
        try:
            return read(server, namespace, name)
        except errors.Temporary:
            if time.monotonic() > until:
                raise
        time.sleep(POLL_SECONDS)


def _need_kind(server: api.Api) -> None:
    if not server.serves(KIND):
        raise errors.PlatformError(
            f"the cluster does not know {KIND}: install the chart first, `helm install fairway helm/fairway "
            "--namespace fairway-system --create-namespace`"
        )


def _forbidden(error: api.Forbidden, namespace: str) -> api.Forbidden:
    return api.Forbidden(
        f"{error}; wanted: a login that is valid, with a Role in {namespace} that allows get and patch on "
        f"{resource.PLURAL}.{resource.GROUP}"
    )

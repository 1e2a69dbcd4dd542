"""What a revision's Deployment and pods say: does it answer, will it ever, and what is it waiting
for. Pure.

Only what a revision's own containers do counts against it. A pod that is deleted, evicted,
preempted or lost with its node says nothing of the revision.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CRASHES = 3  # ends of one container after which it is given up
HOPELESS = (
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
)
WAITING = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")
# ends that nobody saw: the node or its runtime began anew
LOST = ("Unknown", "ContainerStatusUnknown")
# servers are restarted in their pod: only a kubelet that evicts, or shuts down, ends it
OVER = ("Failed", "Succeeded")


@dataclass(frozen=True, kw_only=True)
class Health:
    """One revision: `ready` with all the pods it must have.

    `broken` says why it will not be, `note` what it waits for.
    """

    ready: bool = False
    available: int = 0
    broken: str | None = None
    ended: str | None = None  # which of its own containers has ended and does not run again yet
    note: str = ""
    refused: str = ""  # why the cluster does not let its pods be made
    # what the init step found in the package
    facts: Mapping[str, Any] = field(default_factory=dict)


def judge(
    deployment: Mapping[str, Any] | None, pods: Iterable[Mapping[str, Any]], *, replicas: int
) -> Health:
    """Return the health of a revision that must have `replicas` pods at least."""
    if deployment is None:
        return Health(note="its Deployment is not there yet")
    status, pods = deployment.get("status", {}), list(pods)
    available = int(status.get("availableReplicas", 0))
    current = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 1)
    ready = current and available >= replicas and int(status.get("updatedReplicas", 0)) >= replicas
    if ready:
        return Health(ready=True, available=available, facts=_facts(pods))
    staying = [pod for pod in pods if not _goes(pod)]
    refused = _failure(status)
    note = refused or _first(_waits, staying) or f"{available} of {replicas} pods are available"
    return Health(
        available=available,
        broken=_first(_broken, staying),
        ended=_first(_ended, staying),
        note=note,
        refused=refused,
        facts=_facts(pods),
    )


def _first(
    say: Callable[[Mapping[str, Any]], str | None], pods: Iterable[Mapping[str, Any]]
) -> str | None:
    return next((said for said in map(say, pods) if said), None)


def _goes(pod: Mapping[str, Any]) -> bool:
    """Say whether the pod is taken away, by whomever: how its containers end then is not theirs."""
    status = pod.get("status", {})
    disrupted = any(
        condition["type"] == "DisruptionTarget" and condition["status"] == "True"
        for condition in status.get("conditions", ())
    )
    return (
        disrupted or status.get("phase") in OVER or "deletionTimestamp" in pod.get("metadata", {})
    )


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _broken(pod: Mapping[str, Any]) -> str | None:
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in HOPELESS:
            return f"container {container['name']}: {waiting['reason']}: {waiting.get('message', '')[:300]}"
        if (
            container.get("restartCount", 0) >= CRASHES
            and _last_end(container).get("reason") not in LOST
        ):
            return f"container {container['name']} ended {container['restartCount']} times{_last_words(container)}"
    return None


def _ended(pod: Mapping[str, Any]) -> str | None:
    """Return how a container of the pod has ended that has not come up again.

    One that runs and is only not ready has not ended.
    """
    for container in pod.get("status", {}).get("containerStatuses", ()):
        end = _last_end(container)
        if end and end.get("reason") not in LOST and not container.get("started", False):
            return f"container {container['name']} has ended{_last_words(container)}"
    return None


def _waits(pod: Mapping[str, Any]) -> str | None:
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"no node takes its pod: {condition.get('message', '')[:300]}"
    for container in _containers(pod):
        state = container.get("state", {})
        waiting = state.get("waiting", {})
        if waiting.get("reason") in WAITING:
            return f"image {container.get('image', '')} cannot be pulled: {waiting.get('message', '')[:300]}"
        if container.get("restartCount", 0):
            return f"container {container['name']} ended {container['restartCount']} times{_last_words(container)}"
    return None


def _last_end(container: Mapping[str, Any]) -> Mapping[str, Any]:
    ended: Mapping[str, Any] = (
        container.get("state", {}).get("terminated")
        or container.get("lastState", {}).get("terminated")
        or {}
    )
    return ended


def _last_words(container: Mapping[str, Any]) -> str:
    """Return how it ended, and its own sentence where it left one as its termination message."""
    ended = _last_end(container)
    said = str(ended.get("message", "")).strip().splitlines()
    reason = (
        "out of memory"
        if ended.get("reason") == "OOMKilled"
        else f"exit status {ended.get('exitCode')}"
        if ended
        else ""
    )
    return "".join(f": {part}" for part in (reason, said[-1][:400] if said else "") if part)


def _failure(status: Mapping[str, Any]) -> str:
    """Return why the Deployment cannot make its pods, such as a quota."""
    for condition in status.get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return f"its pods cannot be created: {condition.get('message', '')[:400]}"
    return ""


def _facts(pods: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return what `fairway fetch` left as its termination message: the package's name and what
    evaluation measured."""
    for pod in pods:
        for container in pod.get("status", {}).get("initContainerStatuses", ()):
            ended = container.get("state", {}).get("terminated", {})
            if container["name"] == "fetch" and ended.get("exitCode") == 0:
                try:
                    found = json.loads(ended.get("message", ""))
                except ValueError:
                    continue
                if isinstance(found, dict):
                    return found
    return {}

"""A training step on several nodes as a TrainJob of Kubeflow Trainer 2. Pure.

Trainer takes no `podSpecOverrides` or `podTemplateOverrides` since 2.2: an API server would drop them
without a word. Volumes and tolerations are `runtimePatches`, the rest is `trainer`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairway import addresses
from fairway.config import resource, sections
from fairway.platforms.kubernetes.objects.names import Object

API_VERSION = "trainer.kubeflow.org/v1alpha1"
KIND = "TrainJob"
# the runtime that Trainer installs; its replicated job and its container are both called node
RUNTIME, NODE = "torch-distributed", "node"
MANAGER = f"{resource.GROUP}/pipeline"
ASKED = f"{resource.GROUP}/asked"  # annotation: the digest of what was asked for
GPU = "nvidia.com/gpu"
LONGEST_NAME = 40  # of the 63 of its pods, whose names add the node's


@dataclass(frozen=True, kw_only=True)
class OwnerObject:
    """What the job goes with: the run's Workflow, since a step that is tried again has another pod."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, kw_only=True)
class DistributedStep:
    """One training step of one run, and what it needs."""

    run: str  # the run's id
    step: str
    namespace: str
    owner: OwnerObject
    image: str
    command: Sequence[str]  # of each node
    nodes: int
    processes: int  # of each node; one a GPU
    resources: sections.Resources  # of each node
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, sections.SecretKey] = field(default_factory=dict)  # by variable
    labels: Mapping[str, str] = field(default_factory=dict)
    claims: Sequence[str] = ()  # mounted where addresses look for them; ReadWriteMany
    service_account: str | None = None
    runtime: str = RUNTIME
    seconds: int = 24 * 3600  # before it is ended


def name_of(run: str, step: str) -> str:
    """Return the name of the step's TrainJob: the same for each try of the step, another's for no
    other."""
    digest = hashlib.sha256(json.dumps([run, step]).encode()).hexdigest()[:10]
    words = re.sub(r"[^a-z0-9]+", "-", step.lower()).strip("-")
    return f"{f'fairway-{words}'[: LONGEST_NAME - 11].rstrip('-')}-{digest}"


def trainjob(step: DistributedStep) -> Object:
    """Return the TrainJob of the step."""
    spec = {
        "runtimeRef": {
            "apiGroup": "trainer.kubeflow.org",
            "kind": "ClusterTrainingRuntime",
            "name": step.runtime,
        },
        "trainer": {
            "image": step.image,
            "command": [*step.command],
            **({"env": variables} if (variables := _variables(step)) else {}),
            "numNodes": step.nodes,
            "numProcPerNode": step.processes,
            "resourcesPerNode": _resources(step.resources),
        },
        "runtimePatches": [_patch(step)],
        "activeDeadlineSeconds": step.seconds,
    }
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name_of(step.run, step.step),
            "namespace": step.namespace,
            "labels": {
                **step.labels,
                "app.kubernetes.io/component": "training",
                "app.kubernetes.io/managed-by": "fairway",
            },
            "annotations": {ASKED: digest},
            "ownerReferences": [_reference(step.owner)],
        },
        "spec": spec,
    }


def _reference(owner: OwnerObject) -> Object:
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _variables(step: DistributedStep) -> list[Object]:
    plain = [{"name": name, "value": said} for name, said in step.environment.items()]
    return plain + [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}}}
        for name, one in step.secrets.items()
    ]


def _resources(asked: sections.Resources) -> Object:
    """Return requests that are the limits, as every step has them."""
    limits = {"cpu": asked.cpu, "memory": asked.memory}
    if asked.gpu:
        limits[asked.accelerator] = str(asked.gpu)
    return {"requests": limits, "limits": dict(limits)}


def _patch(step: DistributedStep) -> Object:
    """Return what the pods need besides: claims, shared memory and the taint of GPU nodes."""
    volumes: list[dict[str, Any]] = [
        {"name": f"claim-{place}", "persistentVolumeClaim": {"claimName": name}}
        for place, name in enumerate(step.claims)
    ]
    mounts = [
        {"name": f"claim-{place}", "mountPath": str(addresses.CLAIMS / name)}
        for place, name in enumerate(step.claims)
    ]
    # processes of a node share tensors there, and the default has 64 MiB
    shared = "/dev/shm"  # noqa: S108
    volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
    mounts.append({"name": "shm", "mountPath": shared})
    pod: Object = {"volumes": volumes, "containers": [{"name": NODE, "volumeMounts": mounts}]}
    tolerations = [one.as_kubernetes() for one in step.resources.tolerations]
    if step.resources.gpu:
        tolerations.append({"key": GPU, "operator": "Exists", "effect": "NoSchedule"})
    if tolerations:
        pod["tolerations"] = tolerations
    if step.resources.selector:
        pod["nodeSelector"] = dict(step.resources.selector)
    if step.service_account is not None:
        pod["serviceAccountName"] = step.service_account
    job = {"name": NODE, "template": {"spec": {"template": {"spec": pod}}}}
    return {
        "manager": MANAGER,
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
    }

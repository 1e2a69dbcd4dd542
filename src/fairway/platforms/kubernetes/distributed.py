"""The training step on several nodes: the dataset is sent to the workspace, a TrainJob trains from there,
and its checkpoint is brought back."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import addresses, artifacts, errors, files
from fairway.addresses import parcels
from fairway.config import sections
from fairway.pipelines import compiled
from fairway.platforms.kubernetes import api, owned, trainjobs
from fairway.platforms.kubernetes.objects import trainjob

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
RUN = "pipeline/runid"  # label of a run's pods
SECONDS = 24 * 3600  # that a training may take
LARGEST = 64 << 30  # bytes of one file of a checkpoint


@dataclass(frozen=True)
class PodName:
    """The pod that a step runs in."""

    namespace: str
    name: str


def this_pod(
    environment: Mapping[str, str] = os.environ, *, namespace: Path = NAMESPACE
) -> PodName:
    """Return the pod of this process; raises UsageError outside of one."""
    try:
        return PodName(namespace.read_text().strip(), environment["HOSTNAME"])
    except (OSError, KeyError) as error:
        raise errors.UsageError(
            "training on several nodes is a step of a run on Kubernetes, and this is no pod: wanted "
            "`fairway run training --on kubernetes`, or pipeline.nodes 1"
        ) from error


def train(
    config: sections.Config, *, dataset: Path, out: Path, server: api.Api, pod: PodName
) -> artifacts.Checkpoint:
    """Return the checkpoint in `out`, fitted by `pipeline.nodes` pods of a TrainJob.

    A step that is tried again adopts the TrainJob of its earlier try. Raises as `trainjobs.run` does, and
    UsageError without a workspace.
    """
    section = config.pipeline
    if section.workspace is None:
        raise errors.UsageError(
            "pipeline.workspace is not set: wanted where the nodes meet, such as s3://bucket/training"
        )
    found = server.get("Pod", pod.namespace, pod.name)
    if found is None:
        raise errors.PlatformError(f"the API server knows no pod {pod.name} in {pod.namespace}")
    step = wanted(config, dataset=dataset, pod=found)
    sent, made = (f"{section.workspace}/{_place(step)}/{part}" for part in ("dataset", "model"))
    parcels.send(dataset, to=addresses.need_writable(sent))
    told = config.model_dump_json(by_alias=True)
    command = ("python", "-m", "fairway.training.node", sent, made, told)
    job = trainjob.trainjob(dataclasses.replace(step, command=command))
    trainjobs.run(server, job, timeout_seconds=SECONDS)
    parcels.take(addresses.folder(made), out=out, named=made, largest=LARGEST)
    return artifacts.from_json(artifacts.Checkpoint, artifacts.read_json(out / "checkpoint.json"))


def wanted(
    config: sections.Config, *, dataset: Path, pod: Mapping[str, Any]
) -> trainjob.DistributedStep:
    """Return the step that the pod is, without what its nodes run."""
    section, metadata = config.pipeline, pod["metadata"]
    owner = owned.controller(pod) or {"apiVersion": "v1", "kind": "Pod", **metadata}
    version = artifacts.read_json(dataset / "dataset.json")["version"]
    training = files.canonical(config.training.model_dump(mode="json", by_alias=True))
    run = metadata.get("labels", {}).get(RUN, owner["uid"])
    return trainjob.DistributedStep(
        run=f"{run}/{version}/{hashlib.sha256(training).hexdigest()}",
        step="train",
        namespace=metadata["namespace"],
        owner=trainjob.OwnerObject(
            api_version=owner["apiVersion"],
            kind=owner["kind"],
            name=owner["name"],
            uid=owner["uid"],
        ),
        image=section.image,
        command=(),
        nodes=section.nodes,
        processes=getattr(config.training, "processes", 1),
        resources=section.train,
        environment=section.environment,
        secrets=section.secrets,
        claims=compiled.claims(config),
        service_account=pod["spec"].get("serviceAccountName"),
        runtime=section.runtime,
        seconds=SECONDS,
    )


def _place(step: trainjob.DistributedStep) -> str:
    return f"runs/{trainjob.name_of(step.run, step.step)}"

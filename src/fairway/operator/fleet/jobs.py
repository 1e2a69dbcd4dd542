"""Jobs that train a challenger, made of a CronJob as `kubectl create job --from` makes them."""

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.platforms.kubernetes import api

DEPLOYMENT, RUN = f"{resource.GROUP}/deployment", f"{resource.GROUP}/retraining"
REASON, DIGEST = f"{resource.GROUP}/reason", f"{resource.GROUP}/digest"
MANUAL = {"cronjob.kubernetes.io/instantiate": "manual"}  # as kubectl says it
LONGEST_REASON = 1024
LONGEST_NAME = 40  # of the deployment's part in a Job's name, which its pods carry as a label


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A run of the training pipeline."""

    name: str | None = None
    number: int = 0
    started_at: float | None = None
    outcome: str | None = None  # Running, Succeeded or Failed
    reason: str | None = None
    digest: str | None = None  # of the package that was asked for when it began

    @property
    def active(self) -> bool:
        return self.outcome == "Running"


def newest(server: api.Api, owner: Mapping[str, Any]) -> TrainingJob:
    """Return the deployment's newest run; one without a name where there is none."""
    metadata = owner["metadata"]
    named = server.find("Job", metadata["namespace"], labels=f"{DEPLOYMENT}={metadata['name']}")
    found = [one for one in named if one["metadata"]["labels"].get(RUN, "").isdigit()]
    if not found:
        return TrainingJob()
    job = max(found, key=lambda one: int(one["metadata"]["labels"][RUN]))
    return TrainingJob(
        name=job["metadata"]["name"],
        number=int(job["metadata"]["labels"][RUN]),
        started_at=_seconds(job["metadata"]["creationTimestamp"]),
        outcome=_outcome(job),
        reason=job["metadata"].get("annotations", {}).get(REASON),
        digest=job["metadata"].get("annotations", {}).get(DIGEST),
    )


def start(
    server: api.Api,
    owner: Mapping[str, Any],
    *,
    cron_job: str,
    number: int,
    revision: str,
    reason: str,
) -> str:
    """Make the Job of that number, and return its name; one that is there is the one that was asked
    for. Raises PlatformError where there is no such CronJob."""
    namespace = owner["metadata"]["namespace"]
    source = server.get("CronJob", namespace, cron_job)
    if source is None:
        raise errors.PlatformError(
            f"there is no CronJob {cron_job} in namespace {namespace}: wanted the one that "
            "spec.retraining.cronJob names; it may be suspended"
        )
    made = job(owner, source, number=number, revision=revision, reason=reason)
    try:
        server.create(made)
    except api.Conflict:  # made before a monitor was killed; or another's of the name
        there = server.get("Job", namespace, made["metadata"]["name"])
        if (
            there is None
            or there["metadata"].get("annotations", {}).get(REASON)
            != made["metadata"]["annotations"][REASON]
        ):
            raise
    return str(made["metadata"]["name"])


def job(
    owner: Mapping[str, Any],
    source: Mapping[str, Any],
    *,
    number: int,
    revision: str,
    reason: str,
) -> dict[str, Any]:
    """Return the Job; each container is told what is trained, and why. Pure."""
    metadata, template = owner["metadata"], source["spec"]["jobTemplate"]
    asked = template.get("metadata", {})
    labels = {
        **asked.get("labels", {}),
        DEPLOYMENT: metadata["name"],
        RUN: str(number),
    }
    reason = reason[:LONGEST_REASON]
    annotations = {
        **asked.get("annotations", {}),
        **MANUAL,
        REASON: reason,
        DIGEST: owner["spec"]["model"]["digest"],
    }
    told = {
        "FAIRWAY_NAMESPACE": metadata["namespace"],
        "FAIRWAY_DEPLOYMENT": metadata["name"],
        "FAIRWAY_REVISION": revision,
        "FAIRWAY_DIGEST": str(annotations[DIGEST]),
        "FAIRWAY_REASON": reason,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{_short(metadata['name'])}-retraining-{number}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": source["metadata"]["name"],
                    "uid": source["metadata"]["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": _told(template["spec"], told),
    }


def _short(name: str) -> str:
    """Return a deployment's name, of a long one a part and what tells it from others of the part."""
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}-{digest}"


def _told(spec: Mapping[str, Any], told: Mapping[str, str]) -> dict[str, Any]:
    """Return the Job's spec with the variables in each container, where it has none of the name."""
    pod = spec["template"]["spec"]
    containers = [
        {
            **container,
            "env": [
                *container.get("env", ()),
                *(
                    {"name": name, "value": value}
                    for name, value in told.items()
                    if name not in {one["name"] for one in container.get("env", ())}
                ),
            ],
        }
        for container in pod["containers"]
    ]
    template = {**spec["template"], "spec": {**pod, "containers": containers}}
    return {**spec, "template": template}


def _outcome(job: Mapping[str, Any]) -> str:
    holds = {
        condition["type"]
        for condition in job.get("status", {}).get("conditions") or ()
        if condition["status"] == "True"
    }
    return "Succeeded" if "Complete" in holds else "Failed" if "Failed" in holds else "Running"


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()

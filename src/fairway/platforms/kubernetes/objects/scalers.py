"""How many pods a revision has: its autoscaler, the hand-over to it, and its PodDisruptionBudget.
Pure."""

from collections.abc import Mapping
from typing import Any

from fairway.config import resource
from fairway.platforms.kubernetes.objects import names
from fairway.platforms.kubernetes.objects.controllerrevision import Revision

SCRAPE_SECONDS = 15
# that a request which servers refuse for load would have waited at the least: their own bound
SHED_SECONDS = 0.5


def scaler(
    owner: names.Owner,
    revision: Revision,
    scaling: resource.Scaling,
    settings: names.ClusterSettings,
) -> names.Object | None:
    """Return what owns the number of replicas; None where nothing may change it."""
    kind = scaler_kind(scaling, settings=settings)
    if kind is None:
        return None
    target = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": f"{owner.name}-{revision.name}",
    }
    if kind == "ScaledObject":
        return {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": kind,
            "metadata": names.metadata(owner, revision.name),
            "spec": {
                "scaleTargetRef": target,
                "minReplicaCount": scaling.min_replicas,
                "maxReplicaCount": scaling.max_replicas,
                "triggers": [concurrency_trigger(owner, revision, scaling, settings=settings)],
            },
        }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": kind,
        "metadata": names.metadata(owner, revision.name),
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": scaling.min_replicas,
            "maxReplicas": scaling.max_replicas,
            "metrics": [cpu_metric(scaling)],
        },
    }


def scaler_kind(scaling: resource.Scaling, *, settings: names.ClusterSettings) -> str | None:
    """Return the kind of what owns the number of replicas; None where nothing may change it."""
    if scaling.max_replicas == scaling.min_replicas:
        return None
    return (
        "ScaledObject" if by_concurrency(scaling, settings=settings) else "HorizontalPodAutoscaler"
    )


def by_concurrency(scaling: resource.Scaling, *, settings: names.ClusterSettings) -> bool:
    """Say whether requests in work decide on the number of pods; else the CPU does."""
    return scaling.concurrency is not None and unmet(scaling, settings=settings) is None


def unmet(scaling: resource.Scaling, *, settings: names.ClusterSettings) -> str | None:
    """Return why the scaling that is asked for cannot be had here; the autoscaler then scales on
    CPU."""
    if scaling.concurrency is None or (settings.keda and settings.prometheus):
        return None
    return (
        f"scaling.concurrency {scaling.concurrency} needs {'Prometheus' if settings.keda else 'KEDA'}: install it, or "
        "scale on cpuUtilization"
    )


def cpu_metric(scaling: resource.Scaling) -> names.Object:
    """Return the HorizontalPodAutoscaler's metric."""
    return {
        "type": "Resource",
        "resource": {
            "name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": scaling.cpu_utilization},
        },
    }


def concurrency_trigger(
    owner: names.Owner,
    revision: Revision,
    scaling: resource.Scaling,
    *,
    settings: names.ClusterSettings,
) -> names.Object:
    """Return KEDA's trigger: requests in work or waiting, by Little's law the seconds that requests
    took in a second.

    No gauge sees those between two scrapes.

    What was refused for load counts with the least that it would have waited, or a server that
    refuses would look busy and no more.
    """
    labels = f'namespace="{owner.namespace}",deployment="{owner.name}",revision="{revision.name}"'
    window = f"[{4 * SCRAPE_SECONDS}s]"
    refused = f'{{{labels},code="429",role!="shadow"}}{window}'
    query = (
        f"sum(rate(fairway_serving_request_seconds_sum{{{labels}}}{window})) + "
        f"({SHED_SECONDS:g} * sum(rate(fairway_serving_requests_total{refused})) or vector(0))"
    )
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": settings.prometheus,
            "query": query,
            "threshold": str(scaling.concurrency),
        },
    }


def handed_over(found: Mapping[str, Any], *, manager: str) -> names.Object | None:
    """Return what to apply under another manager before the number of replicas is left to an
    autoscaler.

    None where it is not ours.

    A field that its only manager lets go of is gone: Kubernetes would put 1 in its place, and end
    all other pods.
    """
    ours = any(
        entry.get("manager") == manager
        and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        for entry in found["metadata"].get("managedFields", ())
    )
    if not ours:
        return None
    metadata = {
        key: found["metadata"][key]
        for key in ("name", "namespace", "uid")
        if key in found["metadata"]
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": found["spec"]["replicas"]},
    }


def budget(owner: names.Owner, revision: Revision) -> names.Object:
    """Return how many of the revision's pods may be away at once."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": names.metadata(owner, revision.name),
        "spec": {
            "maxUnavailable": 1,
            # pods that never get ready keep no node from being drained
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": names.selected(owner, revision.name)},
        },
    }

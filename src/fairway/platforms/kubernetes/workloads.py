"""The objects of a deployment and of its revisions: values in, manifests out. Pure.

A revision's pods follow from its ControllerRevision alone (and from where events go): an operator of another version that writes them anew must
write the same, or it would restart what serves.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fairway import errors
from fairway.config import resource, schema
from fairway.platforms.kubernetes import podtemplate

Object = dict[str, Any]

PORT = 3000
USER = 65532                  # nobody's, as in distroless images
PACKAGE = "/models/package"
CLAIM = re.compile(r"^pvc://([a-z0-9][-a-z0-9.]*)(?:/(.*))?$")
WITHDRAW_SECONDS = 5          # between a pod's end and its server's: gateways learn of it in that time
DRAIN_SECONDS = 1
END_SECONDS = 15              # besides the longest request: withdrawal, drain, delivery of the last events
STARTUP = {"periodSeconds": 2, "failureThreshold": 60}
SCRAPE_SECONDS = 15


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The ModelDeployment that everything belongs to; without uid (as on paper) nothing says so."""

    name: str
    namespace: str
    uid: str = ""


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What a ControllerRevision keeps of a revision."""

    name: str
    model: resource.Model
    image: str
    runtime: str
    serving: schema.Serving
    pod_template: Mapping[str, Any]
    defaulted_image: bool
    number: int = 0              # its place in the order of their coming, from 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator was told, and what it found in the cluster."""

    collector: str = ""          # URL that servers send events to
    namespace: str = "fairway-system"
    service_monitors: bool = False
    envoy_gateway: bool = True   # its policies keep units on their arm; other gateways have none
    keda: bool = False
    prometheus: str = ""


def selector(owner: Owner, revision: str | None = None) -> str:
    """Gives the label selector of all that belongs to the deployment, or to one revision of it."""
    return ",".join(f"{key}={value}" for key, value in _selected(owner, revision).items())


def for_revision(owner: Owner, revision: Revision, *, scaling: resource.Scaling, settings: Settings) -> list[Object]:
    """Gives the Deployment, its Service, its autoscaler (where it may grow) and its PodDisruptionBudget.

    Raises ConfigError where the pod template cannot be merged.
    """
    scaler = _scaler(owner, revision, scaling, settings)
    deployment = _deployment(owner, revision, settings)
    if scaler is None:
        deployment["spec"]["replicas"] = scaling.min_replicas
    return [deployment, _service(owner, revision), *([scaler] if scaler else []), _budget(owner, revision)]


def for_deployment(owner: Owner, spec: resource.Spec, *, settings: Settings) -> list[Object]:
    """Gives what all revisions share: the NetworkPolicy, and the ServiceMonitor where the cluster knows them."""
    return [_network_policy(owner), *([_service_monitor(owner)] if settings.service_monitors else [])]


def unmet(scaling: resource.Scaling, *, settings: Settings) -> str | None:
    """Gives why the scaling that is asked for cannot be had here; `for_revision` then scales on CPU."""
    if scaling.concurrency is None or (settings.keda and settings.prometheus):
        return None
    return f"scaling.concurrency {scaling.concurrency} needs {'Prometheus' if settings.keda else 'KEDA'}: install it, or scale on cpuUtilization"


def controller_revision(owner: Owner, revision: Revision, *, number: int) -> Object:
    """Gives the object that keeps a revision: its data cannot be changed once it is there."""
    return {
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata(owner, revision.name), "revision": number,
        "data": {
            "model": revision.model.model_dump(mode="json", by_alias=True), "image": revision.image, "runtime": revision.runtime,
            "serving": revision.serving.model_dump(mode="json", by_alias=True), "podTemplate": dict(revision.pod_template),
            "defaultedImage": revision.defaulted_image,
        },
    }


def read_revision(obj: Mapping[str, Any]) -> Revision:
    """Gives the revision that a ControllerRevision keeps; raises PlatformError where it is not one of ours."""
    name = obj["metadata"]["name"]
    try:
        data = obj["data"]
        return Revision(
            name=obj["metadata"]["labels"][f"{resource.GROUP}/revision"], model=resource.Model.model_validate(data["model"]), image=data["image"],
            runtime=data["runtime"], serving=schema.Serving.model_validate(data["serving"]), pod_template=data["podTemplate"],
            defaulted_image=data["defaultedImage"], number=int(obj["revision"]))
    except (KeyError, TypeError, ValidationError) as error:
        raise errors.PlatformError(f"ControllerRevision {name} cannot be read ({' '.join(str(error).split())[:200]}): wanted one that fairway wrote; "
                                   "delete it if no pod of its revision runs") from error


# -- a revision's pods --------------------------------------------------------------------------------------------------


def _deployment(owner: Owner, revision: Revision, settings: Settings) -> Object:
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(owner, revision.name),
        "spec": {
            "revisionHistoryLimit": 1, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": _selected(owner, revision.name)},
            "template": podtemplate.merge(_template(owner, revision, settings), revision.pod_template),
        },
    }


def _template(owner: Owner, revision: Revision, settings: Settings) -> Object:
    uri, source = _source(revision.model.uri)
    model, tmp = {"name": "model", "mountPath": "/models"}, {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a volume of the pod
    fetch = {
        **_container("fetch", revision), "command": ["fairway", "fetch", uri, "--digest", revision.model.digest, "--out", PACKAGE],
        "env": _env({"HOME": "/tmp"}),  # noqa: S108
        "volumeMounts": [model, tmp, *([{"name": "source", "mountPath": "/source", "readOnly": True}] if source else [])],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
    }
    server = {
        **_container("server", revision), "command": ["fairway", "serve", PACKAGE, "--host", "0.0.0.0", "--port", str(PORT)],  # noqa: S104 - its pod's
        "env": _environment(owner, revision, settings), "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("ready", **STARTUP),
        "readinessProbe": _probe("ready", periodSeconds=2, failureThreshold=2),
        "livenessProbe": _probe("live", periodSeconds=10, failureThreshold=3, timeoutSeconds=5),
        "lifecycle": {"preStop": {"sleep": {"seconds": WITHDRAW_SECONDS}}},
        "volumeMounts": [{**model, "readOnly": True}, tmp, {"name": "spool", "mountPath": "/spool"}],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
    }
    spool = revision.serving.events.spool_mebibytes + 64
    return {
        "metadata": {"labels": _labels(owner, revision.name)},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch",
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": max(45, math.ceil(revision.serving.timeout.total_seconds()) + END_SECONDS),
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                                           "labelSelector": {"matchLabels": _selected(owner, revision.name)}}],
            "initContainers": [fetch], "containers": [server],
            "volumes": [_scratch("model", "8Gi"), _scratch("tmp", "512Mi"), _scratch("spool", f"{spool}Mi"), *source],
        },
    }


def _container(name: str, revision: Revision) -> Object:
    return {
        "name": name, "image": revision.image, "terminationMessagePolicy": "FallbackToLogsOnError",  # the last words become the status' reason
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _environment(owner: Owner, revision: Revision, settings: Settings) -> list[Object]:
    """Gives what `serving.command.read` reads. Serving keys at their defaults are left out: an older image may not know a newer key."""
    serving = revision.serving.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return _env({
        "FAIRWAY_DEPLOYMENT": owner.name, "FAIRWAY_NAMESPACE": owner.namespace, "FAIRWAY_REVISION": revision.name, "FAIRWAY_COLLECTOR": settings.collector,
        "FAIRWAY_SPOOL": "/spool", "FAIRWAY_SERVING": json.dumps(serving, sort_keys=True), "FAIRWAY_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "HOME": "/tmp", "BENTOML_HOME": "$(HOME)/bentoml",  # noqa: S108 - a volume of the pod; the kubelet fills $(HOME) in
    })


def _env(values: Mapping[str, str]) -> list[Object]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _probe(what: str, **times: int) -> Object:
    return {"httpGet": {"path": f"/v2/health/{what}", "port": PORT}, "timeoutSeconds": 2, **times}


def _scratch(name: str, size: str) -> Object:
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def _source(uri: str) -> tuple[str, list[Object]]:
    """Gives the address that the init step reads, and the volume that it lies on, where it is a claim's."""
    if not uri.startswith("pvc:"):
        return uri, []
    match = CLAIM.fullmatch(uri)
    if match is None:
        raise errors.ConfigError(f"model.uri {uri!r}: wanted pvc://claim/folder")
    return f"file:///source/{match[2] or ''}".rstrip("/"), [{"name": "source", "persistentVolumeClaim": {"claimName": match[1], "readOnly": True}}]


# -- what stands around them --------------------------------------------------------------------------------------------


def _service(owner: Owner, revision: Revision) -> Object:
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(owner, revision.name),
        "spec": {"type": "ClusterIP", "selector": _selected(owner, revision.name),
                 "ports": [{"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP", "appProtocol": "http"}]},
    }


def _scaler(owner: Owner, revision: Revision, scaling: resource.Scaling, settings: Settings) -> Object | None:
    """Gives what owns the number of replicas; None where nothing may change it."""
    if scaling.max_replicas == scaling.min_replicas:
        return None
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{owner.name}-{revision.name}"}
    if scaling.concurrency is not None and unmet(scaling, settings=settings) is None:
        # Requests in work, by Little's law: seconds that requests took, in a second. No gauge sees those that come and go between two scrapes.
        query = (f'sum(rate(fairway_serving_request_seconds_sum{{namespace="{owner.namespace}",deployment="{owner.name}",'
                 f'revision="{revision.name}"}}[{4 * SCRAPE_SECONDS}s]))')
        return {
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata(owner, revision.name),
            "spec": {"scaleTargetRef": target, "minReplicaCount": scaling.min_replicas, "maxReplicaCount": scaling.max_replicas,
                     "triggers": [{"type": "prometheus", "metricType": "AverageValue",
                                   "metadata": {"serverAddress": settings.prometheus, "query": query, "threshold": str(scaling.concurrency)}}]},
        }
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata(owner, revision.name),
        "spec": {"scaleTargetRef": target, "minReplicas": scaling.min_replicas, "maxReplicas": scaling.max_replicas,
                 "metrics": [{"type": "Resource", "resource": {
                     "name": "cpu", "target": {"type": "Utilization", "averageUtilization": scaling.cpu_utilization}}}]},
    }


def _budget(owner: Owner, revision: Revision) -> Object:
    return {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(owner, revision.name),
        "spec": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow",  # pods that never get ready keep no node from being drained
                 "selector": {"matchLabels": _selected(owner, revision.name)}},
    }


def _network_policy(owner: Owner) -> Object:
    """Lets in what comes to the server's port: gateways may use the host's network, which no selector names.

    What goes out is left alone: a package may lie anywhere, and a policy knows addresses, not names.
    """
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(owner),
        "spec": {"podSelector": {"matchLabels": _selected(owner)}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": PORT, "protocol": "TCP"}]}]},
    }


def _service_monitor(owner: Owner) -> Object:
    """Has the servers scraped; their own labels win, and BentoML's series get ours from the Service."""
    relabelings = [{"sourceLabels": [f"__meta_kubernetes_service_label_fairway_dev_{key}"], "targetLabel": key} for key in ("deployment", "revision")]
    return {
        "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata(owner),
        "spec": {"selector": {"matchLabels": _selected(owner)},
                 "endpoints": [{"port": "http", "path": "/metrics", "interval": f"{SCRAPE_SECONDS}s", "honorLabels": True, "relabelings": relabelings}]},
    }


# -- names and labels ---------------------------------------------------------------------------------------------------


def metadata(owner: Owner, revision: str | None = None) -> Object:
    """Gives the metadata of an object that goes when its ModelDeployment goes."""
    reference = {"apiVersion": f"{resource.GROUP}/{resource.VERSION}", "kind": resource.KIND, "name": owner.name, "uid": owner.uid,
                 "controller": True, "blockOwnerDeletion": False}
    return {"name": f"{owner.name}-{revision}" if revision else owner.name, "namespace": owner.namespace, "labels": _labels(owner, revision),
            **({"ownerReferences": [reference]} if owner.uid else {})}


def _labels(owner: Owner, revision: str | None = None) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": owner.name, "app.kubernetes.io/component": "server", "app.kubernetes.io/managed-by": "fairway",
        **_selected(owner, revision),
    }


def _selected(owner: Owner, revision: str | None = None) -> dict[str, str]:
    labels = {f"{resource.GROUP}/deployment": owner.name}
    return {**labels, f"{resource.GROUP}/revision": revision} if revision else labels

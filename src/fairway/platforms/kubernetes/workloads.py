"""The objects of a deployment and of its revisions: values in, manifests out. Pure.

A revision's pods are kept in its ControllerRevision as they were first rendered: an operator of another version restarts nothing that serves. Only
where events go may change.
"""

import copy
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fairway import errors
from fairway.config import resource, sections
from fairway.monitoring.eventstore import access
from fairway.platforms.kubernetes import podtemplate, runtimes

Object = dict[str, Any]

PORT = 3000  # of a revision's Service, whatever its server's own is
USER = 65532  # nobody's, as in distroless images
MAPPED = "/run/fairway"  # a volume in memory, for the files that a server maps
SERVER = "server"  # name of the container that answers
CLAIM = re.compile(r"^pvc://([a-z0-9][-a-z0-9.]*)(?:/(.*))?$")
DRAIN_SECONDS = 1
END_SECONDS = 15  # besides the longest request: withdrawal, drain, delivery of the last events
STARTUP = {"periodSeconds": 2, "failureThreshold": 60}
SCRAPE_SECONDS = 15
IDENTITY = "/var/run/secrets/fairway.dev/collector"  # with the token that the collector knows a server by
TOKEN_SECONDS = 3600  # it is good for; the kubelet replaces it after four fifths of that
SHED_SECONDS = 0.5  # that a request which servers refuse for load would have waited at the least: their own bound
SELDON_FROM = (
    "envoy-gateway-system",
    "istio-system",
    "monitoring",
)  # namespaces whose pods reach servers of runtime seldon


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
    serving: sections.Serving
    pod_template: Mapping[str, Any]
    defaulted_image: bool
    number: int = 0  # its place in the order of their coming, from 1
    template: Mapping[str, Any] | None = None  # its pods as they were first rendered; None: not yet


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator was told, and what it found in the cluster."""

    collector: str = ""  # URL that servers send events to
    namespace: str = "fairway-system"
    service_monitors: bool = False
    envoy_gateway: bool = True  # its policies keep units on their arm; other gateways have none
    keda: bool = False
    prometheus: str = ""
    seldon_from: tuple[str, ...] = SELDON_FROM


def selector(owner: Owner, revision: str | None = None) -> str:
    """Return the label selector of all that belongs to the deployment, or to one revision of it."""
    return ",".join(f"{key}={value}" for key, value in _selected(owner, revision).items())


def for_revision(owner: Owner, revision: Revision, *, scaling: resource.Scaling, settings: Settings) -> list[Object]:
    """Return the Deployment, its Service, its autoscaler (where it may grow) and its PodDisruptionBudget; Seldon makes the first and the third itself.

    Raises ConfigError where the pod template cannot be merged.
    """
    service, budget = _service(owner, revision), _budget(owner, revision)
    if revision.runtime == "seldon":
        return [service, budget]
    scaler = _scaler(owner, revision, scaling, settings)
    deployment = _deployment(owner, revision, settings)
    if scaler is None:
        deployment["spec"]["replicas"] = scaling.min_replicas
    return [deployment, service, *([scaler] if scaler else []), budget]


def handed_over(found: Mapping[str, Any], *, manager: str) -> Object | None:
    """Return what to apply under another manager before the number of replicas is left to an autoscaler; None where it is not ours.

    A field that its only manager lets go of is gone: Kubernetes would put 1 in its place, and end all other pods.
    """
    ours = any(
        entry.get("manager") == manager and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        for entry in found["metadata"].get("managedFields", ())
    )
    if not ours:
        return None
    metadata = {key: found["metadata"][key] for key in ("name", "namespace", "uid") if key in found["metadata"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": found["spec"]["replicas"]},
    }


def for_deployment(owner: Owner, spec: resource.Spec, *, settings: Settings) -> list[Object]:
    """Return what all revisions share: the NetworkPolicy, and the ServiceMonitor where the cluster knows them."""
    return [
        _network_policy(owner, spec.runtime, seldon_from=settings.seldon_from),
        *([_service_monitor(owner)] if settings.service_monitors else []),
    ]


def unmet(scaling: resource.Scaling, *, settings: Settings) -> str | None:
    """Return why the scaling that is asked for cannot be had here; `for_revision` then scales on CPU."""
    if scaling.concurrency is None or (settings.keda and settings.prometheus):
        return None
    return f"scaling.concurrency {scaling.concurrency} needs {'Prometheus' if settings.keda else 'KEDA'}: install it, or scale on cpuUtilization"


def controller_revision(owner: Owner, revision: Revision, *, number: int, settings: Settings) -> Object:
    """Return the object that keeps a revision: its data cannot be changed once it is there."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata(owner, revision.name),
        "revision": number,
        "data": {
            "model": revision.model.model_dump(mode="json", by_alias=True),
            "image": revision.image,
            "runtime": revision.runtime,
            "serving": revision.serving.model_dump(mode="json", by_alias=True),
            "podTemplate": dict(revision.pod_template),
            "defaultedImage": revision.defaulted_image,
            "template": pod_template(owner, revision, settings),
        },
    }


def read_revision(obj: Mapping[str, Any]) -> Revision:
    """Return the revision that a ControllerRevision keeps; raises PlatformError where it is not one of ours."""
    name = obj["metadata"]["name"]
    try:
        data = obj["data"]
        return Revision(
            name=obj["metadata"]["labels"][f"{resource.GROUP}/revision"],
            model=resource.Model.model_validate(data["model"]),
            image=data["image"],
            runtime=data["runtime"],
            serving=sections.Serving.model_validate(data["serving"]),
            pod_template=data["podTemplate"],
            defaulted_image=data["defaultedImage"],
            number=int(obj["revision"]),
            template=data.get("template"),
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise errors.PlatformError(
            f"ControllerRevision {name} cannot be read ({' '.join(str(error).split())[:200]}): wanted one that fairway wrote; "
            "delete it if no pod of its revision runs"
        ) from error


# -- a revision's pods --------------------------------------------------------------------------------------------------


def _deployment(owner: Owner, revision: Revision, settings: Settings) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(owner, revision.name),
        "spec": {
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": _selected(owner, revision.name)},
            "template": pod_template(owner, revision, settings),
        },
    }


def pod_template(owner: Owner, revision: Revision, settings: Settings) -> Object:
    """Return the template of the revision's pods, as it was first rendered; only where events go is as of now."""
    template: Object = copy.deepcopy(
        dict(revision.template or podtemplate.merge(_template(owner, revision, settings), revision.pod_template))
    )
    server = next(container for container in template["spec"]["containers"] if container["name"] == SERVER)
    for variable in server["env"]:
        if variable["name"] == "FAIRWAY_COLLECTOR":
            variable["value"] = settings.collector
    return template


def _template(owner: Owner, revision: Revision, settings: Settings) -> Object:
    runtime = runtimes.SERVERS[revision.runtime]
    uri, source = _source(revision.model.uri)
    token = {"name": "collector-token", "mountPath": IDENTITY, "readOnly": True}
    model, tmp = {"name": "model", "mountPath": "/models"}, {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a volume of the pod
    fetch = {
        **_container("fetch", revision),
        "command": ["fairway", "fetch", uri, "--digest", revision.model.digest, "--out", runtimes.PACKAGE],
        "env": _env({"HOME": "/tmp"}),  # noqa: S108
        "volumeMounts": [
            model,
            tmp,
            *([{"name": "source", "mountPath": "/source", "readOnly": True}] if source else []),
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
    }
    server = {
        **_container(SERVER, revision),
        "command": list(runtime.command),
        "env": _environment(owner, revision, settings),
        "ports": [{"name": name, "containerPort": number, "protocol": "TCP"} for name, number in runtime.ports.items()],
        "startupProbe": _probe("ready", runtime.port, **STARTUP),
        "readinessProbe": _probe("ready", runtime.port, periodSeconds=2, failureThreshold=2),
        "livenessProbe": _probe("live", runtime.port, periodSeconds=10, failureThreshold=3, timeoutSeconds=5),
        "lifecycle": {"preStop": dict(runtime.withdraw)},
        "volumeMounts": [
            {**model, "readOnly": True},
            tmp,
            {"name": "spool", "mountPath": "/spool"},
            {"name": "mapped", "mountPath": MAPPED},
            token,
        ],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
    }
    spool = revision.serving.events.spool_mebibytes + 64
    mapped = {
        "name": "mapped",
        "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"},
    }  # metrics: mapped files on a full disk end a server (SIGBUS)
    return {
        "metadata": {"labels": labels(owner, revision.name)},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": max(45, math.ceil(revision.serving.timeout.total_seconds()) + END_SECONDS),
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": _selected(owner, revision.name)},
                }
            ],
            "initContainers": [fetch],
            "containers": [server],
            "volumes": [
                _scratch("model", "8Gi"),
                _scratch("tmp", "512Mi"),
                _scratch("spool", f"{spool}Mi"),
                mapped,
                _token_volume(),
                *source,
            ],
        },
    }


def _container(name: str, revision: Revision) -> Object:
    return {
        "name": name,
        "image": revision.image,
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the last words become the status' reason
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _environment(owner: Owner, revision: Revision, settings: Settings) -> list[Object]:
    """Return what `serving.command.read` reads. Serving keys at their defaults are left out: an older image may not know a newer key."""
    serving = revision.serving.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return _env(
        {
            "FAIRWAY_DEPLOYMENT": owner.name,
            "FAIRWAY_NAMESPACE": owner.namespace,
            "FAIRWAY_REVISION": revision.name,
            "FAIRWAY_COLLECTOR": settings.collector,
            "FAIRWAY_COLLECTOR_TOKEN": f"{IDENTITY}/token",
            "FAIRWAY_SPOOL": "/spool",
            "FAIRWAY_SERVING": json.dumps(serving, sort_keys=True),
            "FAIRWAY_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "HOME": "/tmp",  # noqa: S108 - a volume of the pod
            "BENTOML_HOME": f"{MAPPED}/bentoml",
        }
    )


def _env(values: Mapping[str, str]) -> list[Object]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _probe(what: str, port: int, **times: int) -> Object:
    return {"httpGet": {"path": f"/v2/health/{what}", "port": port}, "timeoutSeconds": 2, **times}


def _scratch(name: str, size: str) -> Object:
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def _token_volume() -> Object:
    """Return the token that the collector knows the pod by: it is bound to the pod, good for the collector alone, and the kubelet replaces it in time."""
    projected = {
        "serviceAccountToken": {"audience": access.AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"}
    }
    return {"name": "collector-token", "projected": {"sources": [projected]}}


def _source(uri: str) -> tuple[str, list[Object]]:
    """Return the address that the init step reads, and the volume that it lies on, where it is a claim's."""
    if not uri.startswith("pvc:"):
        return uri, []
    match = CLAIM.fullmatch(uri)
    if match is None:
        raise errors.ConfigError(f"model.uri {uri!r}: wanted pvc://claim/folder")
    return f"file:///source/{match[2] or ''}".rstrip("/"), [
        {"name": "source", "persistentVolumeClaim": {"claimName": match[1], "readOnly": True}}
    ]


# -- what stands around them --------------------------------------------------------------------------------------------


def _service(owner: Owner, revision: Revision) -> Object:
    target = runtimes.SERVERS[revision.runtime].port
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, revision.name),
        "spec": {
            "type": "ClusterIP",
            "selector": _selected(owner, revision.name),
            "ports": [{"name": "http", "port": PORT, "targetPort": target, "protocol": "TCP", "appProtocol": "http"}],
        },
    }


def _scaler(owner: Owner, revision: Revision, scaling: resource.Scaling, settings: Settings) -> Object | None:
    """Return what owns the number of replicas; None where nothing may change it."""
    kind = scaler_kind(scaling, settings=settings)
    if kind is None:
        return None
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{owner.name}-{revision.name}"}
    if kind == "ScaledObject":
        return {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": kind,
            "metadata": metadata(owner, revision.name),
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
        "metadata": metadata(owner, revision.name),
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": scaling.min_replicas,
            "maxReplicas": scaling.max_replicas,
            "metrics": [cpu_metric(scaling)],
        },
    }


def scaler_kind(scaling: resource.Scaling, *, settings: Settings) -> str | None:
    """Return the kind of what owns the number of replicas; None where nothing may change it."""
    if scaling.max_replicas == scaling.min_replicas:
        return None
    return "ScaledObject" if by_concurrency(scaling, settings=settings) else "HorizontalPodAutoscaler"


def by_concurrency(scaling: resource.Scaling, *, settings: Settings) -> bool:
    """Say whether requests in work decide on the number of pods; else the CPU does."""
    return scaling.concurrency is not None and unmet(scaling, settings=settings) is None


def cpu_metric(scaling: resource.Scaling) -> Object:
    """Return the HorizontalPodAutoscaler's metric."""
    return {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": scaling.cpu_utilization}},
    }


def concurrency_trigger(owner: Owner, revision: Revision, scaling: resource.Scaling, *, settings: Settings) -> Object:
    """Return KEDA's trigger: requests in work or waiting, by Little's law the seconds that requests took in a second. No gauge sees those between two scrapes.

    What was refused for load counts with the least that it would have waited, or a server that refuses would look busy and no more.
    """
    labels = f'namespace="{owner.namespace}",deployment="{owner.name}",revision="{revision.name}"'
    window = f"[{4 * SCRAPE_SECONDS}s]"
    query = (
        f"sum(rate(fairway_serving_request_seconds_sum{{{labels}}}{window})) + "
        f'({SHED_SECONDS:g} * sum(rate(fairway_serving_requests_total{{{labels},code="429",role!="shadow"}}{window})) or vector(0))'
    )
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {"serverAddress": settings.prometheus, "query": query, "threshold": str(scaling.concurrency)},
    }


def _budget(owner: Owner, revision: Revision) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(owner, revision.name),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",  # pods that never get ready keep no node from being drained
            "selector": {"matchLabels": _selected(owner, revision.name)},
        },
    }


def _network_policy(owner: Owner, runtime: str, *, seldon_from: Sequence[str]) -> Object:
    """Return what lets requests in to the server's port alone.

    A BentoML server takes them from anywhere: gateways may use the host's network, which no selector names. Seldon's wrapper is old
    software with known weaknesses: it takes them from the namespaces of gateways and of Prometheus only.
    What goes out is left alone: a package may lie anywhere, and a policy knows addresses, not names.
    """
    ingress: Object = {"ports": [{"port": runtimes.SERVERS[runtime].port, "protocol": "TCP"}]}
    if runtime == "seldon":
        named = {
            "key": "kubernetes.io/metadata.name",
            "operator": "In",
            "values": list(seldon_from),
        }  # the API server sets that label
        ingress["from"] = [{"namespaceSelector": {"matchExpressions": [named]}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(owner),
        "spec": {"podSelector": {"matchLabels": _selected(owner)}, "policyTypes": ["Ingress"], "ingress": [ingress]},
    }


def _service_monitor(owner: Owner) -> Object:
    """Return what has the servers scraped. What a pod says of itself is not believed: the labels are those of its Service and of its namespace, and
    series of a gateway's proxy are left out."""
    relabelings = [
        {"sourceLabels": [f"__meta_kubernetes_service_label_fairway_dev_{key}"], "targetLabel": key}
        for key in ("deployment", "revision")
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(owner),
        "spec": {
            "selector": {"matchLabels": _selected(owner)},
            "endpoints": [
                {
                    "port": "http",
                    "path": "/metrics",
                    "interval": f"{SCRAPE_SECONDS}s",
                    "honorLabels": False,
                    "relabelings": relabelings,
                    "metricRelabelings": [
                        {"action": "labeldrop", "regex": "exported_(namespace|deployment|revision)"},
                        {"action": "drop", "sourceLabels": ["__name__"], "regex": "envoy_.*"},
                    ],
                }
            ],
        },
    }


# -- names and labels ---------------------------------------------------------------------------------------------------


def metadata(owner: Owner, revision: str | None = None) -> Object:
    """Return the metadata of an object that goes when its ModelDeployment goes."""
    reference = {
        "apiVersion": f"{resource.GROUP}/{resource.VERSION}",
        "kind": resource.KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {
        "name": f"{owner.name}-{revision}" if revision else owner.name,
        "namespace": owner.namespace,
        "labels": labels(owner, revision),
        **({"ownerReferences": [reference]} if owner.uid else {}),
    }


def labels(owner: Owner, revision: str | None = None) -> dict[str, str]:
    """Return the labels of what belongs to the deployment, or to one revision of it."""
    return {
        "app.kubernetes.io/name": owner.name,
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/managed-by": "fairway",
        **_selected(owner, revision),
    }


def _selected(owner: Owner, revision: str | None = None) -> dict[str, str]:
    labels = {f"{resource.GROUP}/deployment": owner.name}
    return {**labels, f"{resource.GROUP}/revision": revision} if revision else labels

"""The pods of a revision, as they were first rendered; only where events go, and what proves whose
they are, may change. Pure."""

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping

from fairway import errors
from fairway.monitoring.eventstore import access
from fairway.platforms.kubernetes import podtemplate, runtimes
from fairway.platforms.kubernetes.objects import names
from fairway.platforms.kubernetes.objects.controllerrevision import Revision

USER = 65532  # nobody's, as in distroless images
TMP = "/tmp"  # noqa: S108 - a volume of the pod
MAPPED = "/run/fairway"  # a volume in memory, for the files that a server maps
SERVER = "server"  # name of the container that answers
CLAIM = re.compile(r"^pvc://([a-z0-9][-a-z0-9.]*)(?:/(.*))?$")
DRAIN_SECONDS = 1
END_SECONDS = 15  # besides the longest request: withdrawal, drain, delivery of the last events
STARTUP = {"periodSeconds": 2, "failureThreshold": 60}
IDENTITY = (
    # with the token or certificate that the collector knows a server by
    "/var/run/secrets/fairway.dev/collector"
)
IDENTITY_VOLUME = "collector-token"  # whatever it holds: revisions of before have this name
IDENTITY_VARIABLES = ("FAIRWAY_COLLECTOR_TOKEN", "FAIRWAY_COLLECTOR_CERTIFICATES", "FAIRWAY_POD")
TOKEN_SECONDS = 3600  # it is good for; the kubelet replaces it after four fifths of that


def deployment(
    owner: names.Owner, revision: Revision, settings: names.ClusterSettings
) -> names.Object:
    """Return the revision's Deployment, without a number of replicas."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": names.metadata(owner, revision.name),
        "spec": {
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": 600,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "selector": {"matchLabels": names.selected(owner, revision.name)},
            "template": template(owner, revision, settings),
        },
    }


def template(
    owner: names.Owner, revision: Revision, settings: names.ClusterSettings
) -> names.Object:
    """Return the template of the revision's pods, as it was first rendered; where events go, and
    what proves whose they are, is as of now."""
    made: names.Object = copy.deepcopy(
        dict(
            revision.template
            or podtemplate.merge(_rendered(owner, revision, settings), revision.pod_template)
        )
    )
    server = next(
        container for container in made["spec"]["containers"] if container["name"] == SERVER
    )
    server["env"] = list(_directed(server["env"], settings))
    made["spec"]["volumes"] = [_identified(volume, settings) for volume in made["spec"]["volumes"]]
    return made


def _identified(volume: names.Object, settings: names.ClusterSettings) -> names.Object:
    """Return the volume, the identity's as of now; a token's stays as it was rendered."""
    has_token = any(
        "serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", ())
    )
    if volume["name"] != IDENTITY_VOLUME or (has_token and settings.certificates is None):
        return volume
    return _identity_volume(settings)


def _directed(env: list[names.Object], settings: names.ClusterSettings) -> Iterator[names.Object]:
    """Yield the variables with those about the collector as of now, in the place that they had."""
    told = False
    for variable in env:
        if variable["name"] == "FAIRWAY_COLLECTOR":
            yield {**variable, "value": settings.collector}
        elif variable["name"] not in IDENTITY_VARIABLES:
            yield variable
        elif not told:
            told = True
            yield from _identity(settings)


def _rendered(
    owner: names.Owner, revision: Revision, settings: names.ClusterSettings
) -> names.Object:
    uri, source = _source(revision.model.uri)
    longest = math.ceil(revision.serving.timeout.total_seconds())
    return {
        "metadata": {"labels": names.labels(owner, revision.name)},
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
            "terminationGracePeriodSeconds": max(45, longest + END_SECONDS),
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": names.selected(owner, revision.name)},
                }
            ],
            "initContainers": [_fetch(revision, uri=uri, claimed=bool(source))],
            "containers": [_server(owner, revision, settings)],
            "volumes": [*_volumes(revision, settings), *source],
        },
    }


def _fetch(revision: Revision, *, uri: str, claimed: bool) -> names.Object:
    """Return the container that fetches the package before the server starts."""
    mounts = [_mount("model", "/models"), _mount("tmp", TMP)]
    if claimed:
        mounts.append(_mount("source", "/source", read_only=True))
    command = ["fairway", "fetch", uri, "--digest", revision.model.digest]
    return {
        **_container("fetch", revision),
        "command": [*command, "--out", runtimes.PACKAGE],
        "env": _env({"HOME": TMP}),
        "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
    }


def _server(
    owner: names.Owner, revision: Revision, settings: names.ClusterSettings
) -> names.Object:
    """Return the container that answers."""
    runtime = runtimes.SERVERS[revision.runtime]
    return {
        **_container(SERVER, revision),
        "command": list(runtime.command),
        "env": _environment(owner, revision, settings),
        "ports": [
            {"name": name, "containerPort": number, "protocol": "TCP"}
            for name, number in runtime.ports.items()
        ],
        "startupProbe": _probe("ready", runtime.port, **STARTUP),
        "readinessProbe": _probe("ready", runtime.port, periodSeconds=2, failureThreshold=2),
        "livenessProbe": _probe(
            "live", runtime.port, periodSeconds=10, failureThreshold=3, timeoutSeconds=5
        ),
        "lifecycle": {"preStop": dict(runtime.withdraw)},
        "volumeMounts": [
            _mount("model", "/models", read_only=True),
            _mount("tmp", TMP),
            _mount("spool", "/spool"),
            _mount("mapped", MAPPED),
            _mount(IDENTITY_VOLUME, IDENTITY, read_only=True),
        ],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
    }


def _volumes(revision: Revision, settings: names.ClusterSettings) -> list[names.Object]:
    spool = revision.serving.events.spool_mebibytes + 64
    # metrics: mapped files on a full disk end a server (SIGBUS)
    mapped = {"name": "mapped", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}
    return [
        _scratch("model", "8Gi"),
        _scratch("tmp", "512Mi"),
        _scratch("spool", f"{spool}Mi"),
        mapped,
        _identity_volume(settings),
    ]


def _container(name: str, revision: Revision) -> names.Object:
    return {
        "name": name,
        "image": revision.image,
        # the last words become the status' reason
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _environment(
    owner: names.Owner, revision: Revision, settings: names.ClusterSettings
) -> list[names.Object]:
    """Return what `serving.command.read` reads.

    Serving keys at their defaults are left out: an older image may not know a newer key.
    """
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
            "HOME": TMP,
            "BENTOML_HOME": f"{MAPPED}/bentoml",
        }
    )


def _env(values: Mapping[str, str]) -> list[names.Object]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _probe(what: str, port: int, **times: int) -> names.Object:
    return {"httpGet": {"path": f"/v2/health/{what}", "port": port}, "timeoutSeconds": 2, **times}


def _mount(volume: str, path: str, *, read_only: bool = False) -> names.Object:
    mount = {"name": volume, "mountPath": path}
    return {**mount, "readOnly": True} if read_only else mount


def _scratch(name: str, size: str) -> names.Object:
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def _identity(settings: names.ClusterSettings) -> list[names.Object]:
    """Return the variables by which a server finds what the collector knows it by."""
    if settings.certificates is None:
        return _env({"FAIRWAY_COLLECTOR_TOKEN": f"{IDENTITY}/token"})
    pod = {"name": "FAIRWAY_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return [*_env({"FAIRWAY_COLLECTOR_CERTIFICATES": IDENTITY}), pod]


def _identity_volume(settings: names.ClusterSettings) -> names.Object:
    """Return what the collector knows the pod by: the certificates that the chart names, or a token
    that is bound to the pod, good for the collector alone, and replaced by the kubelet in time.
    """
    if settings.certificates is not None:
        return {"name": IDENTITY_VOLUME, **settings.certificates}
    projected = {
        "serviceAccountToken": {
            "audience": access.AUDIENCE,
            "expirationSeconds": TOKEN_SECONDS,
            "path": "token",
        }
    }
    return {"name": IDENTITY_VOLUME, "projected": {"sources": [projected]}}


def _source(uri: str) -> tuple[str, list[names.Object]]:
    """Return the address that the init step reads, and the volume that it lies on, where it is a
    claim's."""
    if not uri.startswith("pvc:"):
        return uri, []
    match = CLAIM.fullmatch(uri)
    if match is None:
        raise errors.ConfigError(f"model.uri {uri!r}: wanted pvc://claim/folder")
    return f"file:///source/{match[2] or ''}".rstrip("/"), [
        {"name": "source", "persistentVolumeClaim": {"claimName": match[1], "readOnly": True}}
    ]

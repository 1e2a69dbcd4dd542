"""The chart, rendered as a user would."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "fairway"
NAMESPACE = "fairway-system"
PROMETHEUS = {"prometheus": {"url": "http://prometheus.example:9090"}}

Object = dict[str, Any]

CANARY = {
    "gateway": "infra/models",
    "url": "http://envoy.example",
    "model": {"uri": "s3://models/a", "digest": "sha256:" + "a" * 64},
    "podTemplate": {"spec": {"serviceAccountName": "reader"}},
}
ALL_ON: Mapping[str, Any] = {  # every option that brings objects or fields
    "imagePullSecrets": ["registry"],
    "operator": {
        "replicas": 2,
        "image": {"registry": "registry.example:5000", "digest": "sha256:" + "0" * 64},
    },
    "server": {"image": {"registry": "registry.example", "tag": "1.2.3"}},
    "collector": {"persistence": {"storageClass": "fast"}},
    "networkPolicy": {
        "collectorFrom": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ]
    },
    "monitoring": {
        "serviceMonitors": True,
        "gatewayProxies": True,
        "rules": True,
        "dashboards": True,
        "labels": {"release": "prometheus"},
        "runbooks": "https://runbooks.example/fairway/",
        "grafana": "https://grafana.example/",
        "alertmanager": {
            "enabled": True,
            "url": "https://alerts.example/",
            "receivers": {"page": {"pagerdutyConfigs": [{"sendResolved": True}]}},
        },
    },
    "tests": {"canary": CANARY},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "system", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "system-cluster-critical",
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "all on": ALL_ON,
    "namespaced": {"rbac": {"namespaced": True}, "namespaces": ["models", "research"]},
    "postgresql": {
        "collector": {"persistence": {"enabled": False}, "postgresql": {"secretName": "events"}}
    },
    "in memory": {"collector": {"persistence": {"enabled": False}}},
    "any user": {"runAsUser": None},
    "bare": {"networkPolicy": {"enabled": False}, "rbac": {"userRoles": False}},
    "no tokens": {"collector": {"auth": "none"}},
    "certificates": {"collector": {"identity": "mtls"}},
    "certificates that are made": {
        "collector": {
            "identity": "mtls",
            "tls": {
                "trustDomain": "example.org",
                "issuer": {"name": "mesh"},
                "servers": {"csi": {"driver": "spiffe.csi.cert-manager.io", "readOnly": True}},
            },
        },
        "monitoring": {"serviceMonitors": True},
    },
}


def helm(
    binaries: Path,
    verb: str,
    *arguments: str,
    values: Mapping[str, Any],
    namespace: str = NAMESPACE,
) -> subprocess.CompletedProcess[str]:
    command = [
        binaries / "helm",
        verb,
        *arguments,
        CHART,
        "--namespace",
        namespace,
        "--values",
        "-",
    ]
    return subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False
    )


def render(
    binaries: Path,
    values: Mapping[str, Any] = PROMETHEUS,
    *options: str,
    namespace: str = NAMESPACE,
) -> list[Object]:
    """Return the objects of a release, its test included."""
    done = helm(
        binaries,
        "template",
        "fairway",
        *options,
        values={**PROMETHEUS, **values},
        namespace=namespace,
    )
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def objects(text: str) -> list[Object]:
    return [found for found in yaml.safe_load_all(text) if found]


def of_kind(found: Iterable[Object], *kinds: str) -> list[Object]:
    return [obj for obj in found if obj["kind"] in kinds]


def one(found: Iterable[Object], kind: str, name: str) -> Object:
    [wanted] = [obj for obj in of_kind(found, kind) if obj["metadata"]["name"] == name]
    return wanted


def pods(found: Iterable[Object]) -> Iterator[Object]:
    """Return the spec of every pod that the objects lead to."""
    for obj in of_kind(found, "Deployment", "Pod"):
        yield obj["spec"] if obj["kind"] == "Pod" else obj["spec"]["template"]["spec"]


def rules(found: Iterable[Object], *names: str) -> list[tuple[str, str, str]]:
    """Return (group, resource, verb) of what the roles allow; of all roles where none is named."""
    return [
        (group, resource, verb)
        for role in of_kind(found, "Role", "ClusterRole")
        if not names or role["metadata"]["name"] in names
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]

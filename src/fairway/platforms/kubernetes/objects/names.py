"""Names and labels of what belongs to a ModelDeployment, and the settings that its objects are made
by. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairway.config import resource

Object = dict[str, Any]

PORT = 3000  # of a revision's Service, whatever its server's own is
# namespaces whose pods reach servers of runtime seldon
SELDON_FROM = ("envoy-gateway-system", "istio-system", "monitoring")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The ModelDeployment that everything belongs to; without uid (as on paper) nothing says so."""

    name: str
    namespace: str
    uid: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What the operator was told, and what it found in the cluster."""

    collector: str = ""  # URL that servers send events to
    # volume source of what it knows servers by; None: their tokens
    certificates: Mapping[str, Any] | None = None
    namespace: str = "fairway-system"
    service_monitors: bool = False
    envoy_gateway: bool = True  # its policies keep units on their arm; other gateways have none
    keda: bool = False
    prometheus: str = ""
    seldon_from: tuple[str, ...] = SELDON_FROM


def selector(owner: Owner, revision: str | None = None) -> str:
    """Return the label selector of all that belongs to the deployment, or to one revision of it."""
    return ",".join(f"{key}={value}" for key, value in selected(owner, revision).items())


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
        **selected(owner, revision),
    }


def selected(owner: Owner, revision: str | None = None) -> dict[str, str]:
    """Return the labels that select what belongs to the deployment, or to one revision of it."""
    labels = {f"{resource.GROUP}/deployment": owner.name}
    return {**labels, f"{resource.GROUP}/revision": revision} if revision else labels

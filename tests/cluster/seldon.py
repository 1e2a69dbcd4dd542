"""Seldon Core for the cluster: its real definition, and, where its operator is not installed,
somebody who plays its part.

Seldon's operator cannot be built here: the Go module proxy refuses its modules. What pods come of a
SeldonDeployment is played by the rules of 1.17.1: a Deployment of each predictor, named and
labelled as it does, a Service once all of them are ready, and the old ones ended after that. The
rest is real: the definition, the wrapper in the pods, the gateway, fairway. On a cluster that has
the operator, it is the operator that is tested with.
"""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.cluster import places
from tests.cluster.cluster import Cluster

DEFINITION = places.ROOT.parent / "shared" / "crds" / "seldondeployments.yaml"
KIND = "seldondeployments.machinelearning.seldon.io"
NAMESPACE = "models"
INTERVAL_SECONDS = 0.5


@contextlib.contextmanager
def installed(cluster: Cluster) -> Iterator[None]:
    """Return the cluster Seldon Core until the block ends; one that has it keeps it."""
    if cluster.kubectl(
        "get",
        "deployments",
        "--all-namespaces",
        "--selector=control-plane=seldon-controller-manager",
        "--output=name",
    ).stdout:
        yield
        return
    cluster.kubectl("apply", "--server-side", "--filename", str(DEFINITION))
    deadline = time.monotonic() + 30
    while cluster.kubectl(
        "get", KIND, "--namespace", NAMESPACE, check=False
    ).returncode:  # `kubectl wait` fails while it has no conditions at all
        assert time.monotonic() < deadline, f"the API server does not serve {KIND}"
        time.sleep(0.2)
    over = threading.Event()
    player = threading.Thread(target=_play, args=(cluster, over))
    player.start()
    try:
        yield
    finally:
        over.set()
        player.join()
        cluster.kubectl("delete", "crd", KIND, "--wait=false")


def _play(cluster: Cluster, over: threading.Event) -> None:
    while not over.wait(INTERVAL_SECONDS):
        found = cluster.kubectl("--namespace", NAMESPACE, "get", KIND, "--output=json", check=False)
        for seldon_deployment in json.loads(found.stdout)["items"] if found.returncode == 0 else ():
            _reconcile(cluster, seldon_deployment)


def _reconcile(cluster: Cluster, asked: dict[str, Any]) -> None:
    predictors = asked["spec"]["predictors"]
    assert sum(p.get("traffic", 0) for p in predictors if not p.get("shadow")) == 100, (
        "the webhook would refuse it: Traffic must sum to 100"
    )
    wanted = {
        made["metadata"]["name"]: made
        for made in (_deployment(asked, predictor) for predictor in predictors)
    }
    _apply(cluster, *wanted.values())
    selector = f"--selector=seldon-deployment-id={asked['metadata']['name']}"
    found = json.loads(
        cluster.kubectl(
            "--namespace", NAMESPACE, "get", "deployments", selector, "--output=json"
        ).stdout
    )["items"]
    ready = {
        d["metadata"]["name"]
        for d in found
        if d.get("status", {}).get("availableReplicas", 0) >= d["spec"]["replicas"]
    }
    if not wanted.keys() <= ready:
        return
    _apply(cluster, *(_service(asked, predictor) for predictor in predictors))
    for old in {d["metadata"]["name"] for d in found} - wanted.keys():
        cluster.kubectl(
            "--namespace",
            NAMESPACE,
            "delete",
            "deployment",
            old,
            "--wait=false",
            "--ignore-not-found",
        )


def _deployment(asked: dict[str, Any], predictor: dict[str, Any]) -> dict[str, Any]:
    component, name = predictor["componentSpecs"][0], asked["metadata"]["name"]
    full = f"{name}-{predictor['name']}-0-{component['spec']['containers'][0]['name']}"
    full = (
        full
        if len(full) <= 63
        else f"seldon-{hashlib.md5(full.encode(), usedforsecurity=False).hexdigest()}"
    )
    selected = {
        "seldon-deployment-id": name,
        "seldon-app": predictor["annotations"].get(
            "seldon.io/svc-name", f"{name}-{predictor['name']}"
        ),
    }
    labels = {
        **component["metadata"].get("labels", {}),
        **predictor.get("labels", {}),
        **selected,
        "app": full,
        "app.kubernetes.io/managed-by": "seldon-core",
    }
    container = component["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    given = {
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(ports.get("http", 9000)),
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(ports["metrics"]),
        "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
        "PREDICTOR_ID": predictor["name"],
        "SELDON_DEPLOYMENT_ID": name,
    }
    container["env"] = [
        *container["env"],
        *({"name": key, "value": value} for key, value in given.items()),
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": full,
            "namespace": NAMESPACE,
            "labels": labels,
            "ownerReferences": _owner(asked),
        },
        "spec": {
            "replicas": predictor.get("replicas", 1),
            "selector": {"matchLabels": selected},
            "template": {
                "metadata": {"labels": labels, "annotations": predictor["annotations"]},
                "spec": component["spec"],
            },
        },
    }


def _service(asked: dict[str, Any], predictor: dict[str, Any]) -> dict[str, Any]:
    name = predictor["annotations"].get(
        "seldon.io/svc-name", f"{asked['metadata']['name']}-{predictor['name']}"
    )
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": _owner(asked)},
        "spec": {
            "selector": {"seldon-app": name},
            "ports": [{"name": "http", "port": 9000}, {"name": "grpc", "port": 9500}],
        },
    }


def _owner(asked: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": asked["apiVersion"],
            "kind": asked["kind"],
            "name": asked["metadata"]["name"],
            "uid": asked["metadata"]["uid"],
            "controller": True,
        }
    ]


def _apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    cluster.kubectl(
        "apply",
        "--server-side",
        "--field-manager=seldon",
        "--force-conflicts",
        "--filename=-",
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}),
    )

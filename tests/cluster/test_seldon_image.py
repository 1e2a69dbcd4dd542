"""The image of the Seldon runtime in a pod as the operator of Seldon makes it: fetched by an init
container of the same image, asked through a Service."""

import json
from typing import Any

import pytest

from tests.cluster import images, world
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
NAME = "seldon-image"
SEALED = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
ASK = """
import json, socket, time, urllib.request
def routed():
    try:
        return socket.create_connection(("{name}", 9000), timeout=5).close() is None
    except OSError:
        return False
deadline = time.monotonic() + 60
while not routed() and time.monotonic() < deadline:  # kube-proxy routes to a pod a moment after it is ready
    time.sleep(0.1)
def ask(path, document):
    headers = {{"content-type": "application/json", "x-fairway-arm": "stable"}}
    request = urllib.request.Request("http://{name}:9000" + path, json.dumps(document).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.headers["x-fairway-revision"], json.load(answer)
answers = [
    ask("/api/v1.0/predictions", {{"data": {{"ndarray": [[39, 40, "state"]]}}}}),
    ask("/v2/models/income/infer", {one}),
]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def served(fairway, tmp_path_factory):
    """Return the package that a pod of the image serves."""
    package = world.package(tmp_path_factory.mktemp("package"))
    model = world.store(fairway).put(package)
    for document in (_pod(model), _service()):
        world.apply(fairway, document)
    yield package
    fairway.kubectl(
        "--namespace=models",
        "delete",
        "pod,service",
        NAME,
        "--grace-period=20",
        "--ignore-not-found",
    )


def _pod(model: dict[str, str]) -> dict[str, Any]:
    image = f"fairway/seldon:{images.tag()}"
    mounts = [{"name": "model", "mountPath": "/models"}, {"name": "tmp", "mountPath": "/tmp"}]
    fetch = {
        "name": "fetch",
        "image": image,
        "command": [
            "fairway",
            "fetch",
            model["uri"],
            "--digest",
            model["digest"],
            "--out",
            "/models/package",
        ],
        "securityContext": SEALED,
        "volumeMounts": mounts,
    }
    environment = {
        "HOME": "/tmp",
        "FAIRWAY_REVISION": "0123456789ab",
        "FAIRWAY_DEPLOYMENT": "income",
        "FAIRWAY_SERVING": '{"revealRevision": true}',
    }
    server = {
        "name": "classifier",
        "image": image,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "securityContext": SEALED,
        "ports": [
            {"name": "http", "containerPort": 9000},
            {"name": "metrics", "containerPort": 6000},
        ],
        "volumeMounts": mounts,
        "readinessProbe": {
            "httpGet": {"path": "/v2/health/ready", "port": 9000},
            "periodSeconds": 1,
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": "models", "labels": {"app": NAME}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 60,
            "initContainers": [fetch],
            "containers": [server],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
            },
            "volumes": [{"name": "model", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
        },
    }


def _service() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": "models"},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 9000}]},
    }


def test_the_image_serves_both_protocols_through_a_service_and_ends_when_it_is_told_to(
    fairway: Cluster, served
):
    fairway.kubectl(
        "--namespace=models", "wait", f"pod/{NAME}", "--for=condition=Ready", "--timeout=180s"
    )
    script = ASK.format(name=NAME, one=json.dumps(world.support.ONE))
    (status, revision, theirs), (_, _, ours) = json.loads(
        fairway.kubectl(
            "--namespace=models", "exec", "deployment/store", "--", "python", "-c", script
        ).stdout
    )
    assert (status, revision) == (200, "0123456789ab")
    assert theirs["data"]["ndarray"][0] == next(
        one["data"] for one in ours["outputs"] if one["name"] == "probabilities"
    )
    fairway.kubectl("--namespace=models", "delete", "pod", NAME, "--wait=false")
    fairway.kubectl(
        "--namespace=models", "wait", f"pod/{NAME}", "--for=delete", "--timeout=45s"
    )  # of the 60 s that it may take: it obeys SIGTERM

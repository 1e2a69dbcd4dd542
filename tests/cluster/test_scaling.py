"""A real HorizontalPodAutoscaler, fed by the kubelet's own figures: it adds pods under load, and
the operator leaves them as they are."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster import stack, world
from tests.cluster.cluster import Cluster

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.operators,
    pytest.mark.timeout(3600),
]  # the first run builds what it installs

NAME, MOST = "scaled", 2
SCALING = {"minReplicas": 1, "maxReplicas": MOST, "cpuUtilization": 50}
HALF = {
    "warmup": "0s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 50, "minDuration": "1h"}]},
    "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
}  # both arms serve for as long as the test looks
LITTLE = {
    "spec": {
        "containers": [
            {"name": "server", "resources": {"requests": {"cpu": "10m", "memory": "200Mi"}}}
        ]
    }
}  # any traffic is too much for one pod
LOOKS = 4


@pytest.fixture(scope="module")
def measured(fairway: Cluster) -> Cluster:
    """Return the cluster with figures of its pods."""
    stack.install_scaling(fairway)
    return fairway


@pytest.fixture
def models(
    measured: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, dict[str, str]]]:
    """Return A and B, which answer the same; the deployment is deleted afterwards."""
    folder, store = tmp_path_factory.mktemp("packages"), world.store(measured)
    yield {
        name: store.put(world.package(folder / name, licence=licence))
        for name, licence in (("A", "MIT"), ("B", "Apache-2.0"))
    }
    measured.kubectl("--namespace", world.NAMESPACE, "delete", "md", NAME, "--ignore-not-found")


def arms(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return the Deployment of each arm by its revision."""
    found = cluster.kubectl(
        "--namespace",
        world.NAMESPACE,
        "get",
        "deployments",
        f"--selector=fairway.dev/deployment={NAME}",
        "--output=json",
    )
    return {
        item["metadata"]["labels"]["fairway.dev/revision"]: item
        for item in json.loads(found.stdout)["items"]
    }


def grown(cluster: Cluster) -> bool:
    """Say whether both arms have all the pods that the autoscaler may ask for."""
    found = arms(cluster).values()
    return len(found) == 2 and all(
        arm["spec"]["replicas"] == arm.get("status", {}).get("availableReplicas") == MOST
        for arm in found
    )


def until(true: Callable[[], bool], *, cluster: Cluster, seconds: float) -> None:
    """Wait; where it does not come true, says what the autoscalers say."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(
                cluster.kubectl("--namespace", world.NAMESPACE, "describe", "hpa").stdout[-3000:]
            )
        time.sleep(0.25)


def look(cluster: Cluster, *, times: int) -> None:
    """Wait until the operator has looked so often: each look in a canary with new counts leaves
    another checkpoint."""
    seen: set[str] = set()
    world.until(
        cluster, NAME, lambda now: seen.add(now["checkpoint"]) or len(seen) > times, seconds=60
    )


def test_the_autoscaler_adds_pods_to_both_arms_under_load_and_the_operator_leaves_them(
    measured, models
):
    world.apply(
        measured,
        world.resource(NAME, models["A"], strategy=HALF, scaling=SCALING, podTemplate=LITTLE),
    )
    world.until(measured, NAME, world.digest_in_service(models["A"]))
    with world.traffic(measured, NAME, pause=0) as traffic:
        world.apply(
            measured,
            world.resource(NAME, models["B"], strategy=HALF, scaling=SCALING, podTemplate=LITTLE),
        )
        canary = world.until(
            measured, NAME, lambda now: now.get("phase") == "Canary" and now.get("weight") == 50
        )
        until(lambda: grown(measured), cluster=measured, seconds=120)
        settled = arms(measured)
        look(measured, times=LOOKS)
        answered = traffic.counts.copy()
        measured.kubectl(
            "--namespace=fairway-system", "rollout", "restart", "deployment/fairway-operator"
        )  # the next one applies everything anew
        measured.kubectl(
            "--namespace=fairway-system",
            "rollout",
            "status",
            "deployment/fairway-operator",
            "--timeout=60s",
        )
        look(measured, times=LOOKS)
    after = arms(measured)
    assert {name: arm["spec"]["replicas"] for name, arm in after.items()} == dict.fromkeys(
        settled, MOST
    )
    assert {name: arm["metadata"]["generation"] for name, arm in after.items()} == {
        name: arm["metadata"]["generation"] for name, arm in settled.items()
    }
    both = {canary["stable"]["revision"], canary["candidate"]["revision"]}
    assert {
        revision
        for (status, revision), count in (traffic.counts - answered).items()
        if status == 200 and count
    } == both
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])

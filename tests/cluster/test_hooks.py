"""Hooks on the cluster: the operator asks a Service of the deployment's namespace, waits for its
yes, and goes nowhere else."""

import json
from pathlib import Path

import pytest

from tests.cluster import images, world

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
NAME = "gated"
GATE = {
    "name": "gate",
    "url": "http://gate.models.svc:8080/",
    "at": ["preStep", "prePromotion", "postPromotion"],
}
TEST = {
    "warmup": "0s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 50}]},
    "bake": {"weight": 5, "duration": "1s"},
    "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
}


@pytest.fixture(scope="module")
def models(fairway, tmp_path_factory):
    folder, store = tmp_path_factory.mktemp("packages"), world.store(fairway)
    return {
        "A": store.put(world.package(folder / "A")),
        "B": store.put(world.package(folder / "B", licence="Apache-2.0")),
    }


@pytest.fixture
def gate(fairway):
    """Return a function that runs a command in the gate's pod."""
    manifest = (Path(__file__).parent / "hook.yaml").read_text().replace("${TAG}", images.tag())
    fairway.kubectl("apply", "--server-side", "--filename=-", input=manifest)
    fairway.kubectl(
        "--namespace", world.NAMESPACE, "rollout", "status", "deployment/gate", "--timeout=180s"
    )

    def run(command: str) -> str:
        return fairway.kubectl(
            "--namespace", world.NAMESPACE, "exec", "deployment/gate", "--", "sh", "-c", command
        ).stdout

    yield run
    ours = f"md/{NAME}", "deployment/gate", "service/gate", "service/lure", "configmap/gate"
    fairway.kubectl("--namespace", world.NAMESPACE, "delete", *ours, "--ignore-not-found")


def test_a_rollout_waits_for_its_hook_through_a_killed_operator_and_refuses_to_go_elsewhere(
    fairway, models, gate
):
    world.apply(fairway, world.resource(NAME, models["A"], strategy=TEST))
    world.until(fairway, NAME, world.digest_in_service(models["A"]))
    elsewhere = {**GATE, "url": "http://fairway-collector.fairway-system.svc:8080/"}
    world.apply(fairway, world.resource(NAME, models["B"], strategy={**TEST, "hooks": [elsewhere]}))
    told = world.until(
        fairway,
        NAME,
        lambda now: any(
            c["type"] == "Accepted" and c["status"] == "False" for c in now.get("conditions", ())
        ),
    )
    assert "the operator does not call host 'fairway-collector.fairway-system.svc'" in json.dumps(
        told["conditions"]
    )
    assert told["phase"] == "Stable"
    lure = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "lure", "namespace": world.NAMESPACE},
        "spec": {
            "type": "ExternalName",
            "externalName": "fairway-collector.fairway-system.svc.cluster.local",
        },
    }
    world.apply(fairway, lure)
    world.apply(
        fairway,
        world.resource(
            NAME,
            models["B"],
            strategy={**TEST, "hooks": [{**GATE, "url": "http://lure.models.svc:8080/"}]},
        ),
    )
    world.until(fairway, NAME, lambda now: "Service lure selects no pods" in now.get("reason", ""))
    world.apply(
        fairway, world.resource(NAME, models["A"], strategy=TEST)
    )  # who waits for a wrong hook goes back, and tries again
    world.until(fairway, NAME, world.digest_in_service(models["A"]))
    with world.traffic(fairway, NAME) as traffic:
        world.apply(fairway, world.resource(NAME, models["B"], strategy={**TEST, "hooks": [GATE]}))
        held = world.until(
            fairway, NAME, lambda now: "a freeze until Monday" in now.get("reason", "")
        )
        assert (held["phase"], held["weight"]) == ("Starting", 0)
        assert held["reason"].startswith(
            "waiting for hook gate before the canary's next step: it answered 409"
        )
        fairway.kubectl(
            "--namespace=fairway-system",
            "delete",
            "pod",
            "--selector=app.kubernetes.io/component=operator",
            "--grace-period=0",
            "--force",
        )
        gate("echo 200 > /state/status")
        world.until(fairway, NAME, world.digest_in_service(models["B"]), seconds=300)
        world.until(fairway, NAME, lambda now: "postPromotion" in gate("cat /state/told"))
    events = [json.loads(line) for line in gate("cat /state/told").splitlines()]
    assert list(dict.fromkeys(event["subject"] for event in events)) == [
        "preStep",
        "prePromotion",
        "postPromotion",
    ]
    assert all(
        (event["data"]["namespace"], event["data"]["deployment"]) == (world.NAMESPACE, NAME)
        for event in events
    )
    assert (
        len({event["id"] for event in events}) == 3
    )  # each point once, however often it was asked and by however many operators
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])

"""What must hold whatever fails: weight returns to 0, nothing is promoted without evidence, nothing
is lost, and `kubectl get md` says why."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.cluster import stack, world
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

SHORT = {
    "warmup": "0s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 25}, {"weight": 50}]},
    "bake": {"weight": 5, "duration": "2s"},
    "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
}
# stays at 25 % until something happens
SLOW = {**SHORT, "canary": {"steps": [{"weight": 25, "minDuration": "1h"}]}}
OPERATOR = ("--namespace=fairway-system", "--selector=app.kubernetes.io/component=operator")


@pytest.fixture(scope="module")
def models(fairway, tmp_path_factory):
    folder, store = tmp_path_factory.mktemp("packages"), world.store(fairway)
    made = {
        "A": world.package(folder / "A"),
        "B": world.package(folder / "B", licence="Apache-2.0"),
        "E": world.package(folder / "E", licence="BSD"),
        "D": world.package(folder / "D", fragile=True),
    }
    return {name: store.put(package) for name, package in made.items()}


@pytest.fixture
def deployed(fairway, models, request) -> Iterator[str]:
    """Return the name of a deployment with A in service; it is deleted afterwards."""
    name = "f-" + request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    world.apply(fairway, world.resource(name, models["A"], strategy=SHORT))
    world.until(fairway, name, world.digest_in_service(models["A"]))
    yield name
    fairway.kubectl("--namespace=models", "delete", "md", name, "--ignore-not-found")


def at(phase: str, weight: int | None = None) -> Any:
    return lambda now: now.get("phase") == phase and weight in (None, now.get("weight"))


def kill_operators(cluster: Cluster) -> None:
    """End every operator without a word: no SIGTERM, no released Lease."""
    cluster.kubectl(*OPERATOR, "delete", "pods", "--grace-period=0", "--force", "--wait=false")


@contextlib.contextmanager
def away(cluster: Cluster, namespace: str, deployment: str) -> Iterator[None]:
    """Take a Deployment's pods away until the block ends."""
    cluster.kubectl("--namespace", namespace, "scale", f"deployment/{deployment}", "--replicas=0")
    cluster.kubectl(
        "--namespace",
        namespace,
        "wait",
        f"deployment/{deployment}",
        "--for=jsonpath={.spec.replicas}=0",
        "--timeout=30s",
    )
    try:
        yield
    finally:
        cluster.kubectl(
            "--namespace", namespace, "scale", f"deployment/{deployment}", "--replicas=1"
        )
        cluster.kubectl(
            "--namespace",
            namespace,
            "rollout",
            "status",
            f"deployment/{deployment}",
            "--timeout=90s",
        )


def test_an_operator_killed_at_every_transition_ends_with_the_right_promotion(
    fairway, models, deployed
):
    killed: list[str] = []

    def watch(now: dict[str, Any]) -> bool:
        place = f"{now.get('phase')} {now.get('weight')}"
        if now.get("candidate") and place not in killed:
            killed.append(place)
            kill_operators(fairway)
        return world.digest_in_service(models["B"])(now)

    with world.traffic(fairway, deployed) as traffic:
        world.apply(fairway, world.resource(deployed, models["B"], strategy=SHORT))
        world.until(fairway, deployed, watch, seconds=420)
    assert {"Starting 0", "Canary 25", "Canary 50", "Baking 95"} <= set(killed)
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])


def test_a_revision_that_fails_is_at_weight_0_and_its_reason_in_the_table(
    fairway, models, deployed
):
    def body(number: int) -> dict[str, Any]:
        return (
            world.person(number) if number % 5 else world.support.tensors([1000], [40], ["state"])
        )  # a fifth of the requests breaks D, and D alone

    with world.traffic(fairway, deployed, body=body) as traffic:
        world.apply(fairway, world.resource(deployed, models["D"], strategy=SHORT))
        back = world.until(fairway, deployed, world.rolled_back, seconds=240)
    assert back["weight"] == 0
    assert back["verdict"] == "ROLLBACK"
    assert back["reason"].startswith("errors:")
    assert back["stable"]["digest"] == models["A"]["digest"]
    assert (
        sum(
            count
            for (status, revision), count in traffic.counts.items()
            if revision == back["stable"]["revision"] and status >= 500
        )
        == 0
    )
    conditions = {condition["type"]: condition["status"] for condition in back["conditions"]}
    assert (conditions["Available"], conditions["Ready"], conditions["Stalled"]) == (
        "True",
        "False",
        "True",
    )


def test_without_prometheus_nothing_moves_and_it_goes_on_when_it_is_back(fairway, models, deployed):
    with world.traffic(fairway, deployed):
        with away(fairway, "monitoring", "prometheus"):
            world.apply(fairway, world.resource(deployed, models["B"], strategy=SHORT))
            held = world.until(
                fairway,
                deployed,
                lambda now: now.get("verdict") == "HOLD" and "cannot be read" in now["reason"],
                seconds=240,
            )
            assert held["weight"] == 25
        world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=300)


def test_without_the_collector_the_gateway_alone_still_rolls_back(fairway, models, deployed):
    def body(number: int) -> dict[str, Any]:
        return (
            world.person(number) if number % 5 else world.support.tensors([1000], [40], ["state"])
        )

    with (
        away(fairway, "fairway-system", "fairway-collector"),
        world.traffic(fairway, deployed, body=body),
    ):
        world.apply(fairway, world.resource(deployed, models["D"], strategy=SHORT))
        back = world.until(fairway, deployed, world.rolled_back, seconds=240)
    assert back["reason"].startswith("errors:")


@pytest.mark.lengthy
def test_without_the_gateways_controller_a_weight_is_not_believed(fairway, models, deployed):
    with world.traffic(fairway, deployed) as traffic:
        with away(fairway, "envoy-gateway-system", "envoy-gateway"):
            world.apply(fairway, world.resource(deployed, models["B"], strategy=SHORT))
            held = world.until(
                fairway,
                deployed,
                lambda now: now.get("phase") == "Canary" and now.get("verdict") == "HOLD",
                seconds=240,
            )
            assert held["weight"] == 25
            assert {revision for _, revision in traffic.counts} == {held["stable"]["revision"]}
        world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=300)
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])


@contextlib.contextmanager
def no_new_pods(cluster: Cluster) -> Iterator[None]:
    """Let no node take a pod until the block ends."""
    nodes = cluster.kubectl("get", "nodes", "--output=name").stdout.split()
    cluster.kubectl("cordon", *nodes)
    try:
        yield
    finally:
        cluster.kubectl("uncordon", *nodes)


@pytest.mark.lengthy
def test_while_stable_has_no_pod_nothing_moves_and_it_goes_on_when_it_is_back(
    fairway, models, deployed
):
    patient = {**SHORT, "canary": {"steps": [{"weight": 25, "minDuration": "30s"}, {"weight": 50}]}}
    with world.traffic(fairway, deployed):
        world.apply(fairway, world.resource(deployed, models["B"], strategy=patient))
        stable = world.until(fairway, deployed, at("Canary", 25))["stable"]["revision"]
        with no_new_pods(fairway):
            selector = f"--selector=fairway.dev/revision={stable},fairway.dev/deployment={deployed}"
            fairway.kubectl("--namespace=models", "delete", "pods", selector, "--wait=false")
            held = world.until(
                fairway,
                deployed,
                lambda now: f"stable revision {stable} has no capacity" in now.get("reason", ""),
                seconds=240,
            )
            assert (held["weight"], held["verdict"]) == (25, "HOLD")
            degraded = next(
                condition for condition in held["conditions"] if condition["type"] == "Degraded"
            )
            assert degraded["reason"] == "StableUnready"
        world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=300)


def test_the_only_pod_of_a_candidate_taken_away_is_no_fault_of_its_own_and_the_stage_goes_on(
    fairway, models, deployed
):
    patient = {**SHORT, "canary": {"steps": [{"weight": 25, "minDuration": "5s"}, {"weight": 50}]}}
    with world.traffic(fairway, deployed) as traffic:
        world.apply(fairway, world.resource(deployed, models["B"], strategy=patient))
        candidate = world.until(fairway, deployed, at("Canary", 25))["candidate"]["revision"]
        _eventually(lambda: any(revision == candidate for _, revision in traffic.counts))
        with no_new_pods(fairway):
            selector = (
                f"--selector=fairway.dev/revision={candidate},fairway.dev/deployment={deployed}"
            )
            fairway.kubectl("--namespace=models", "delete", "pods", selector, "--wait=false")
            waiting = world.until(
                fairway,
                deployed,
                lambda now: "waits for capacity" in now.get("reason", ""),
                seconds=60,
            )
            assert (waiting["phase"], waiting["weight"], waiting["verdict"]) == (
                "Canary",
                0,
                "HOLD",
            )
        done = world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=240)
    assert done.get("rejected", []) == []
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])


def test_a_store_replaced_in_mid_canary_stops_neither_the_rollout_nor_any_other(
    fairway, models, deployed
):
    patient = {**SHORT, "canary": {"steps": [{"weight": 25, "minDuration": "10s"}, {"weight": 50}]}}
    another = f"{deployed}-2"
    with world.traffic(fairway, deployed):
        world.apply(fairway, world.resource(deployed, models["B"], strategy=patient))
        world.until(fairway, deployed, at("Canary", 25))
        _replace_store(fairway)
        world.apply(fairway, world.resource(another, models["A"], strategy=SHORT))
        world.until(fairway, another, world.digest_in_service(models["A"]), seconds=60)
        world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=60)
    story = fairway.kubectl(
        "--namespace=models",
        "get",
        "events",
        f"--field-selector=involvedObject.name={deployed},reason=StoreReplaced",
        "--output=name",
    )
    assert len(story.stdout.split()) == 1
    fairway.kubectl("--namespace=models", "delete", "md", another)


def test_an_abort_needs_no_store(fairway, models, deployed):
    world.apply(fairway, world.resource(deployed, models["B"], strategy=SLOW))
    world.until(fairway, deployed, at("Canary", 25))
    asked = json.dumps({"verb": "abort", "id": "1", "by": "jo", "why": "no store"})
    with away(fairway, "fairway-system", "fairway-collector"):
        fairway.kubectl(
            "--namespace=models", "annotate", "md", deployed, f"fairway.dev/command={asked}"
        )
        back = world.until(
            fairway,
            deployed,
            lambda now: now.get("phase") in ("RollingBack", "RolledBack"),
            seconds=30,
        )
    assert (back["weight"], back["reason"]) == (0, "aborted by jo: no store")


DENY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-servers}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}]
  validations: [{expression: "!has(object.metadata.labels) ||
                   object.metadata.labels[?'fairway.dev/deployment'].orValue('') != 'NAME'",
                 message: servers are frozen until Monday}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-servers}
spec: {policyName: no-servers, validationActions: [Deny]}
"""


@pytest.mark.lengthy
def test_a_policy_that_refuses_every_server_keeps_no_traffic_from_moving_and_is_said(
    fairway, models, deployed
):
    baking = {**SHORT, "bake": {"weight": 5, "duration": "5s"}}

    def refused() -> bool:
        probe = (
            "--namespace=models",
            "label",
            "deployments",
            f"--selector=fairway.dev/deployment={deployed}",
            "probe=1",
            "--overwrite",
            "--dry-run=server",
        )
        return "frozen until Monday" in fairway.kubectl(*probe, check=False).stderr

    with world.traffic(fairway, deployed) as traffic:
        world.apply(fairway, world.resource(deployed, models["B"], strategy=baking))
        promoted = world.until(fairway, deployed, at("Baking"))["candidate"]["revision"]
        fairway.kubectl("apply", "--filename=-", input=DENY.replace("NAME", deployed))
        try:
            _eventually(refused)
            fairway.kubectl(
                "--namespace=models", "scale", f"deployment/{deployed}-{promoted}", "--replicas=2"
            )  # which is not put back
            world.until(fairway, deployed, world.digest_in_service(models["B"]))
            _eventually(
                lambda: (
                    _stalled(world.status(fairway, deployed)) == "servers are frozen until Monday"
                )
            )
            assert "servers are frozen until Monday" in world.status(fairway, deployed)["reason"]
            _eventually(lambda: _served(fairway, deployed) == {f"{deployed}-{promoted}"})
            fairway.kubectl("--namespace=models", "delete", "httproute", deployed)
            _eventually(
                lambda: _served(fairway, deployed) == {f"{deployed}-{promoted}"}, seconds=30
            )
        finally:
            fairway.kubectl("delete", "--filename=-", input=DENY)
        _eventually(lambda: _stalled(world.status(fairway, deployed)) is None)
    assert not [status for status, _ in traffic.counts if status == 503]


def test_a_resource_is_ready_only_once_the_gateway_answers_for_it(fairway, models):
    names = [f"at-once-{number}" for number in range(2)]
    for name in names:
        world.apply(fairway, world.resource(name, models["A"], strategy=SHORT))
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            answers = list(pool.map(lambda name: _once_ready(fairway, name), names))
        assert answers == [[200] * 20] * len(names)
        odd = world.resource(
            "at-once-0",
            models["A"],
            strategy=SHORT,
            gateway={"parentRefs": [{"name": "models", "sectionName": "nowhere"}]},
        )
        world.apply(fairway, odd)
        refused = world.until(
            fairway,
            "at-once-0",
            lambda now: "does not take the HTTPRoute" in now.get("reason", ""),
            seconds=60,
        )
        assert {"type": "Ready", "status": "False"}.items() <= next(
            c for c in refused["conditions"] if c["type"] == "Ready"
        ).items()
    finally:
        fairway.kubectl("--namespace=models", "delete", "md", *names)


def _once_ready(cluster: Cluster, name: str) -> list[int]:
    """Return what twenty requests are answered as soon as the resource says that it is ready."""
    cluster.kubectl(
        "--namespace=models", "wait", f"md/{name}", "--for=condition=Ready", "--timeout=120s"
    )
    url = f"{stack.gateway_url(cluster)}/v2/models/income/infer"
    return [
        httpx.post(url, json=world.person(number), headers={"host": f"{name}.test"}).status_code
        for number in range(20)
    ]


def _replace_store(cluster: Cluster) -> None:
    """End the collector's pod, and its volume with it."""
    selector = "--selector=app.kubernetes.io/component=collector"
    cluster.kubectl(
        "--namespace=fairway-system", "delete", "pods", selector, "--grace-period=0", "--force"
    )
    cluster.kubectl(
        "--namespace=fairway-system",
        "rollout",
        "status",
        "deployment/fairway-collector",
        "--timeout=90s",
    )


def _stalled(now: dict[str, Any]) -> str | None:
    """Return the policy's words, where the resource is stalled by it."""
    found = next(condition for condition in now["conditions"] if condition["type"] == "Stalled")
    return str(found["message"]).rpartition(": ")[2] if found["status"] == "True" else None


def _served(cluster: Cluster, name: str) -> set[str]:
    """Return the Services that have all the requests but a millionth."""
    found = cluster.kubectl(
        "--namespace=models", "get", "httproute", name, "--output=json", check=False
    )
    backends = (
        json.loads(found.stdout)["spec"]["rules"][0]["backendRefs"] if found.returncode == 0 else []
    )
    return {backend["name"] for backend in backends if backend["weight"] > 1}


@pytest.mark.lengthy
def test_conflicts_with_another_writer_are_taken_again(fairway, models, deployed):
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            fairway.kubectl(
                "--namespace=models",
                "annotate",
                "md",
                deployed,
                f"example.test/turn={number}",
                "--overwrite",
                check=False,
            )

    writers, before = [threading.Thread(target=write) for _ in range(3)], _refused_writes(fairway)
    with world.traffic(fairway, deployed) as traffic:
        for writer in writers:
            writer.start()
        try:
            world.apply(fairway, world.resource(deployed, models["B"], strategy=SHORT))
            world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=240)
        finally:
            over.set()
            for writer in writers:
                writer.join()
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])
    assert _refused_writes(fairway) > before


def test_counts_that_are_no_numbers_hold_until_they_are(fairway, models, deployed):
    with world.traffic(fairway, deployed):
        world.apply(
            fairway,
            world.resource(deployed, models["B"], strategy=SHORT, counts={"template": "odd"}),
        )
        held = world.until(
            fairway,
            deployed,
            lambda now: now.get("verdict") == "HOLD" and "cannot be read" in now["reason"],
            seconds=240,
        )
        assert held["weight"] == 25
        world.apply(fairway, world.resource(deployed, models["B"], strategy=SHORT))
        world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=300)


def test_a_route_edited_or_deleted_by_hand_is_put_back(fairway, models, deployed):
    def weights() -> list[int]:
        found = fairway.kubectl(
            "--namespace=models", "get", "httproute", deployed, "--output=json", check=False
        )
        return (
            [
                backend["weight"]
                for backend in json.loads(found.stdout)["spec"]["rules"][0]["backendRefs"]
            ]
            if found.returncode == 0
            else []
        )

    _eventually(weights)  # it is written after the status says Stable
    before = weights()
    fairway.kubectl(
        "--namespace=models",
        "patch",
        "httproute",
        deployed,
        "--type=json",
        "--patch",
        json.dumps([{"op": "replace", "path": "/spec/rules/0/timeouts/request", "value": "1s"}]),
    )
    timeouts = (
        "--namespace=models",
        "get",
        "httproute",
        deployed,
        "--output=jsonpath={.spec.rules[0].timeouts.request}",
    )
    _eventually(lambda: fairway.kubectl(*timeouts).stdout == "11s")
    fairway.kubectl("--namespace=models", "delete", "httproute", deployed)
    _eventually(lambda: weights() == before)


def test_a_digest_changed_in_mid_rollout_replaces_the_candidate(fairway, models, deployed):
    with world.traffic(fairway, deployed) as traffic:
        world.apply(fairway, world.resource(deployed, models["B"], strategy=SLOW))
        first = world.until(fairway, deployed, at("Canary", 25))
        world.apply(fairway, world.resource(deployed, models["E"], strategy=SHORT))
        last = world.until(fairway, deployed, world.digest_in_service(models["E"]), seconds=240)
    assert first["candidate"]["revision"] not in last.get("rejected", ())
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])


def test_a_resource_deleted_in_mid_rollout_leaves_nothing(fairway, models, deployed):
    with world.traffic(fairway, deployed):
        world.apply(fairway, world.resource(deployed, models["B"], strategy=SLOW))
        world.until(fairway, deployed, at("Canary", 25))
        fairway.kubectl("--namespace=models", "delete", "md", deployed, "--wait", "--timeout=120s")
    kinds = (
        "deployments,services,httproutes,backendtrafficpolicies,controllerrevisions,networkpolicies,"
        "poddisruptionbudgets"
    )
    left = (
        "--namespace=models",
        "get",
        kinds,
        f"--selector=fairway.dev/deployment={deployed}",
        "--output=name",
    )
    _eventually(lambda: not fairway.kubectl(*left).stdout.strip())


def test_the_api_server_killed_in_mid_rollout_changes_nothing(fairway, models, deployed):
    if fairway.folder is None:
        pytest.skip("only the harness's own API server may be killed")
    with world.traffic(fairway, deployed) as traffic:
        world.apply(fairway, world.resource(deployed, models["B"], strategy=SHORT))
        world.until(fairway, deployed, at("Canary"))
        fairway.restart("kube-apiserver")
        # the gateway's controller ends without it, and the kubelet starts it each time later
        world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=420)
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])


def test_a_package_that_is_not_what_the_digest_says_is_rolled_back_with_its_sentence(
    fairway, models, deployed
):
    wrong = {"uri": models["A"]["uri"], "digest": models["B"]["digest"]}
    world.apply(fairway, world.resource(deployed, wrong, strategy=SHORT))
    # three restarts of the kubelet, each later
    back = world.until(fairway, deployed, world.rolled_back, seconds=400)
    assert "another package was put in its place" in back["reason"]
    assert back["stable"]["digest"] == models["A"]["digest"]


@pytest.mark.lengthy
def test_an_image_that_cannot_be_pulled_is_said_and_ends_at_the_deadline(fairway, models, deployed):
    world.apply(
        fairway,
        world.resource(
            deployed,
            models["B"],
            strategy={**SHORT, "progressDeadline": "45s"},
            image="fairway.test/nowhere:1",
        ),
    )
    waiting = world.until(
        fairway, deployed, lambda now: "cannot be pulled" in now.get("reason", ""), seconds=240
    )
    assert "fairway.test/nowhere:1" in waiting["reason"]
    back = world.until(fairway, deployed, world.rolled_back, seconds=240)
    assert "progressDeadline" in back["reason"]


def test_a_quota_is_said(fairway, models, deployed):
    fairway.kubectl("--namespace=models", "create", "quota", "full", "--hard=pods=0")
    try:
        fairway.kubectl(
            "--namespace=models",
            "wait",
            "quota/full",
            "--for=jsonpath={.status.hard.pods}=0",
            "--timeout=60s",
        )
        world.apply(fairway, world.resource(deployed, models["B"], strategy=SHORT))
        waiting = world.until(
            fairway, deployed, lambda now: "exceeded quota" in now.get("reason", ""), seconds=240
        )
        assert waiting["phase"] == "Starting"
    finally:
        fairway.kubectl("--namespace=models", "delete", "quota", "full")


def test_a_spec_that_cannot_be_followed_starts_nothing_and_says_so(fairway, models, deployed):
    odd = {
        **SHORT,
        "guards": [
            {
                "name": "slow",
                "type": "latency",
                "count": "requests",
                "threshold": "123ms",
                "maxRate": 0.05,
            }
        ],
    }
    world.apply(fairway, world.resource(deployed, models["B"], strategy=odd))
    said = world.until(fairway, deployed, lambda now: "123ms" in now.get("reason", ""), seconds=120)
    assert said["phase"] == "Stable"
    accepted = next(
        condition for condition in said["conditions"] if condition["type"] == "Accepted"
    )
    assert accepted["status"] == "False"
    world.apply(fairway, world.resource(deployed, models["A"], strategy=SHORT))
    world.until(
        fairway,
        deployed,
        lambda now: any(
            c["type"] == "Accepted" and c["status"] == "True" for c in now["conditions"]
        ),
        seconds=120,
    )


def test_two_operators_have_one_leader_and_the_second_takes_over(fairway, models, deployed):
    fairway.kubectl(
        "--namespace=fairway-system", "scale", "deployment/fairway-operator", "--replicas=2"
    )
    fairway.kubectl(
        "--namespace=fairway-system",
        "rollout",
        "status",
        "deployment/fairway-operator",
        "--timeout=180s",
    )
    try:
        holder = _holder(fairway)
        pod = holder.rsplit("-", 1)[0]
        fairway.kubectl(
            "--namespace=fairway-system",
            "delete",
            "pod",
            pod,
            "--grace-period=0",
            "--force",
            "--wait=false",
        )
        with world.traffic(fairway, deployed):
            world.apply(fairway, world.resource(deployed, models["B"], strategy=SHORT))
            world.until(fairway, deployed, world.digest_in_service(models["B"]), seconds=240)
        assert _holder(fairway) != holder
    finally:
        fairway.kubectl(
            "--namespace=fairway-system", "scale", "deployment/fairway-operator", "--replicas=1"
        )


def _holder(cluster: Cluster) -> str:
    return cluster.kubectl(
        "--namespace=fairway-system",
        "get",
        "lease",
        "fairway-operator",
        "--output=jsonpath={.spec.holderIdentity}",
    ).stdout


def _refused_writes(cluster: Cluster) -> float:
    """Return how many writes of a ModelDeployment's status the API server has answered with 409,
    somebody having been faster."""
    page = cluster.kubectl("get", "--raw", "/metrics").stdout
    labels = (
        "apiserver_request_total{",
        'code="409"',
        'resource="modeldeployments"',
        'subresource="status"',
    )
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if all(label in line for label in labels)
    )


def _eventually(true: Any, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.25)

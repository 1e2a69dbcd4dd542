"""Strangers at work while a healthy candidate is judged on a cluster: at the gateway, and from a
pod beside the servers."""

import json
import threading
from urllib.parse import urlsplit

import pytest

from tests.cluster import images, stack, world
from tests.cluster.cluster import Cluster
from tests.security import attacks

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
NAME, HOST = "targets", "targets.test"
PATH = "/v2/models/income/infer"
UNITS = [f"stranger-{number}" for number in range(4)]
WRITES = ("events", "labels", "outcomes")
READS = (
    f"exposure?namespace={world.NAMESPACE}&deployment={NAME}&after=0",
    f"labelled?namespace={world.NAMESPACE}&deployment={NAME}&after=0",
    f"outcomes?namespace={world.NAMESPACE}&deployment={NAME}&after=0",
    "cursor",
)
# A pod of the same namespace that carries every label anybody may set, and the token that every pod
# gets: it tells the statuses that it was answered.
PROBE = """
import json, pathlib, urllib.error, urllib.request
COLLECTOR = "http://fairway-collector.fairway-system.svc:8080"
token = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token").read_text()
told = {}
for headers in ({}, {"authorization": f"Bearer {token}"}):
    for method, path in ASKED:
        request = urllib.request.Request(f"{COLLECTOR}/v1/{path}", method=method, headers={
            "content-type": "application/json", **headers}, data=b"[]" if method == "POST" else None)
        try:
            status = urllib.request.urlopen(request, timeout=30).status
        except urllib.error.HTTPError as error:
            status = error.code
        told[f"{method} {path} {'token' if headers else 'nobody'}"] = status
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def models(fairway, tmp_path_factory) -> dict[str, dict[str, str]]:
    folder = tmp_path_factory.mktemp("targets")
    store = world.store(fairway)
    return {
        "A": store.put(world.package(folder / "A")),
        "B": store.put(world.package(folder / "B", licence="Apache-2.0")),
    }


def probe(cluster: Cluster) -> dict[str, int]:
    """Return what the collector answers a pod of the tenant's own."""
    asked = [*(("POST", path) for path in WRITES), *(("GET", path) for path in READS)]
    code = f"ASKED = {asked!r}\n{PROBE}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "stranger",
            "namespace": world.NAMESPACE,
            "labels": {
                "app.kubernetes.io/managed-by": "fairway",
                "app.kubernetes.io/part-of": "fairway",
                "fairway.dev/deployment": "other",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "stranger",
                    "image": f"fairway/server:{images.tag()}",
                    "command": ["python", "-c", code],
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                }
            ],
        },
    }
    cluster.kubectl(
        "--namespace",
        world.NAMESPACE,
        "delete",
        "pod",
        "stranger",
        "--ignore-not-found",
        "--wait=true",
    )
    cluster.kubectl("apply", "--server-side", "--filename=-", input=json.dumps(pod))
    cluster.kubectl(
        "--namespace",
        world.NAMESPACE,
        "wait",
        "pod/stranger",
        "--for=jsonpath={.status.phase}=Succeeded",
        "--timeout=120s",
    )
    return dict(
        json.loads(cluster.kubectl("--namespace", world.NAMESPACE, "logs", "stranger").stdout)
    )


def restarts(cluster: Cluster) -> int:
    """Return how often containers of the servers have ended: once is too often, for their memory
    has a limit."""
    pods = json.loads(
        cluster.kubectl(
            "--namespace",
            world.NAMESPACE,
            "get",
            "pods",
            f"--selector=fairway.dev/deployment={NAME}",
            "--output=json",
        ).stdout
    )
    return sum(
        one["restartCount"]
        for pod in pods["items"]
        for one in pod["status"].get("containerStatuses", ())
    )


def test_strangers_move_no_verdict_read_nothing_and_get_no_5xx(fairway, models):
    world.apply(fairway, world.resource(NAME, models["A"]))
    world.until(fairway, NAME, world.digest_in_service(models["A"]))
    url = stack.gateway_url(fairway)
    address, outcomes = urlsplit(url), list[attacks.Outcome]()

    def attack() -> None:
        outcomes.append(
            attacks.play(
                url + PATH,
                attacks.bodies(),
                units=UNITS,
                headers={
                    "host": HOST,
                    "x-fairway-arm": "canary",
                    "x-envoy-external-address": "10.0.0.1",
                },
            )
        )

    with (
        world.traffic(fairway, NAME) as traffic,
        attacks.half_open((address.hostname, address.port), path=PATH, host=HOST, count=100),
    ):
        world.apply(fairway, world.resource(NAME, models["B"]))
        world.until(fairway, NAME, lambda now: now.get("phase") == "Canary")
        thread = threading.Thread(target=attack)
        thread.start()
        told = probe(fairway)
        thread.join()
        assert restarts(fairway) == 0  # while both revisions run
        ended = world.until(
            fairway,
            NAME,
            lambda now: world.rolled_back(now) or world.digest_in_service(models["B"])(now),
        )
    assert {name: status for name, status in told.items() if status not in (401, 403)} == {}
    (outcome,) = outcomes
    assert outcome.server_errors == {}
    assert len(outcome.answered) == len({one.name for one in attacks.bodies()}), outcome.broken[:5]
    assert ended["phase"] == "Stable", ended.get("reason")
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])

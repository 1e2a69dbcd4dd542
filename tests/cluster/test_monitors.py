"""A real prometheus-operator and a Prometheus that follows monitors: the series of operator,
collector and every model arrive, with their labels."""

import base64
import gzip
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster import places, stack, world
from tests.cluster.cluster import Cluster

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.operators,
    pytest.mark.timeout(3600),
]  # the first run builds what it installs

NAME = "watched"
HOOK = "monitoring.alertmanager.receivers.ticket.webhookConfigs[0].url=http://tickets.example.com"
VALUES = yaml.safe_load((places.ROOT / "helm" / "fairway" / "values.yaml").read_text())[
    "monitoring"
]


@pytest.fixture(scope="module")
def prometheus(fairway: Cluster) -> Iterator[httpx.Client]:
    """Return the API of a Prometheus that follows the chart's monitors and those that the operator
    makes."""
    if fairway.folder is None:
        pytest.skip("only the harness's own cluster has prometheus-operator's images")
    stack.install_monitors(fairway)
    wanted = [f"monitoring.{name}=true" for name in ("serviceMonitors", "rules") if name in VALUES]
    stack.install_fairway(
        fairway, *wanted, "monitoring.interval=2s", "monitoring.alertmanager.enabled=true", HOOK
    )
    with httpx.Client(
        base_url=f"{stack.prometheus_url(fairway, app='monitored')}/api/v1", timeout=10
    ) as client:
        yield client
    stack.remove_monitors(fairway)


@pytest.fixture
def deployed(
    fairway: Cluster, prometheus: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the revision of a deployment that serves; it is deleted afterwards."""
    model = world.store(fairway).put(world.package(tmp_path_factory.mktemp("packages") / "A"))
    world.apply(fairway, world.resource(NAME, model))
    yield world.until(fairway, NAME, world.digest_in_service(model))["stable"]["revision"]
    fairway.kubectl("--namespace", world.NAMESPACE, "delete", "md", NAME, "--ignore-not-found")


def series(prometheus: httpx.Client, query: str, *, seconds: float = 90) -> list[dict[str, str]]:
    """Return the labels of the series that the query finds, as soon as it finds any."""
    deadline = time.monotonic() + seconds
    while True:
        found = [one["metric"] for one in asked(prometheus, "query", query=query)["result"]]
        if found:
            return found
        assert time.monotonic() < deadline, f"{query} finds nothing; targets: {targets(prometheus)}"
        time.sleep(0.5)


def asked(prometheus: httpx.Client, what: str, **arguments: str) -> dict[str, Any]:
    answer = prometheus.get(f"/{what}", params=arguments).raise_for_status().json()
    assert answer["status"] == "success", answer
    return dict(answer["data"])


def targets(prometheus: httpx.Client) -> list[tuple[str, str, str]]:
    return [
        (one["scrapePool"], one["health"], one["lastError"])
        for one in asked(prometheus, "targets", state="active")["activeTargets"]
    ]


def test_the_series_of_a_models_pods_arrive_with_the_labels_of_its_revision(
    fairway, prometheus, deployed
):
    with world.traffic(fairway, NAME):
        found = series(prometheus, f'fairway_serving_requests_total{{deployment="{NAME}"}} > 0')
    wanted = {
        "namespace": world.NAMESPACE,
        "deployment": NAME,
        "revision": deployed,
        "role": "stable",
        "code": "200",
        "service": f"{NAME}-{deployed}",
    }
    assert [{key: one[key] for key in wanted} for one in found] == [wanted]


def test_the_series_of_operator_and_collector_arrive(prometheus):
    assert [one["namespace"] for one in series(prometheus, "fairway_operator_leader == 1")] == [
        "fairway-system"
    ]
    assert {
        one["service"]
        for one in series(
            prometheus,
            'up{namespace="fairway-system"} == 1 and on() count(up{namespace="fairway-system"} == 1) == 3',
        )
    } == {"fairway-operator", "fairway-collector", "fairway-monitor"}


def test_the_charts_rules_are_loaded(fairway, prometheus):
    if "rules" not in VALUES:
        pytest.skip("the chart has no value monitoring.rules")
    rules = json.loads(
        fairway.kubectl(
            "--namespace=fairway-system", "get", "prometheusrules", "--output=json"
        ).stdout
    )["items"]
    wanted = {group["name"] for rule in rules for group in rule["spec"]["groups"]}
    assert wanted
    deadline = time.monotonic() + 60
    while not wanted <= (
        loaded := {group["name"] for group in asked(prometheus, "rules")["groups"]}
    ):
        assert time.monotonic() < deadline, f"of the groups {wanted} only {loaded} are loaded"
        time.sleep(0.5)


def test_the_operator_routes_what_the_chart_says(fairway, prometheus, tmp_path):
    """The operator leaves out a configuration that it cannot use, and says so in its log alone."""
    config, written = (
        tmp_path / "alertmanager.yaml",
        ("get", "secret", "alertmanager-routed-generated"),
    )
    deadline = time.monotonic() + 60
    while True:
        found = fairway.kubectl(
            "--namespace=monitoring", *written, "--ignore-not-found", "--output=json"
        ).stdout
        packed = json.loads(found or "{}").get("data", {}).get("alertmanager.yaml.gz", "")
        config.write_bytes(gzip.decompress(base64.b64decode(packed)) if packed else b"")
        if b"fairway-ticket" in config.read_bytes():
            break
        assert time.monotonic() < deadline, config.read_text()
        time.sleep(0.5)
    routed = yaml.safe_load(config.read_text())
    ours = "fairway-system/fairway/fairway-"
    assert {f"{ours}{name}" for name in ("ticket", "page", "retraining")} < {
        one["name"] for one in routed["receivers"]
    }
    for labels, receivers in (
        (("alertname=DriftTicket", "severity=ticket"), f"{ours}ticket"),
        (("alertname=ServingDown", "severity=page"), f"{ours}page"),
        (("alertname=RealisedQualityBurn", "severity=page"), f"{ours}retraining,{ours}page"),
        (("alertname=Another",), "null"),
    ):
        asked = ["amtool", "config", "routes", "test", f"--config.file={config}", *labels]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == receivers, labels

"""The SeldonDeployment: what Seldon's webhook wants, what its operator makes of it, and each
revision's share."""

import dataclasses
from typing import Any

import pytest

from fairway.config import resource
from fairway.platforms.kubernetes import objects, seldon
from fairway.platforms.kubernetes.objects import controllerrevision, names
from fairway.rollout import traffic
from tests.platforms.kubernetes import made

SETTINGS = names.ClusterSettings(
    collector="http://collector:8080", keda=True, prometheus="http://prometheus:9090"
)
FIXED = resource.Scaling(min_replicas=2, max_replicas=2)
A, B = (
    dataclasses.replace(made.revision(), name=letter * 12, runtime="seldon", number=number)
    for number, letter in enumerate("ab", start=1)
)


def deployment(
    *revisions: controllerrevision.Revision, scaling: resource.Scaling = FIXED, **how: Any
) -> dict[str, Any]:
    return seldon.deployment(
        made.OWNER, revisions, scaling=scaling, settings=SETTINGS, **{"stable": A.name, **how}
    )


def shares(found: dict[str, Any]) -> dict[str, Any]:
    return {
        predictor["name"][0]: (predictor.get("shadow", False), predictor["traffic"])
        for predictor in found["spec"]["predictors"]
    }


def route(*, weight: int = 0, mirror: int = 0) -> traffic.Route:
    return traffic.route(
        deployment="income", stable=A.name, candidate=B.name, weight=weight, mirror=mirror
    )


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, {"a": (False, 100), "b": (False, 0)}),
        ({"route": route(weight=25)}, {"a": (False, 75), "b": (False, 25)}),
        ({"route": route(mirror=50)}, {"a": (False, 100), "b": (True, 50)}),
        ({"stable": B.name}, {"a": (False, 0), "b": (False, 100)}),
    ],
    ids=["the gateway divides", "a canary", "a shadow", "promoted"],
)
def test_the_weights_are_what_the_webhook_takes(
    how: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = shares(deployment(A, B, **how))
    assert found == expected
    assert sum(share for shadow, share in found.values() if not shadow) == 100


def test_a_single_predictor_has_all() -> None:
    assert shares(deployment(A)) == {"a": (False, 100)}


def test_a_predictor_that_comes_or_goes_changes_no_other() -> None:
    alone, both = deployment(B)["spec"]["predictors"][0], deployment(A, B)["spec"]["predictors"][1]
    assert alone["componentSpecs"] == both["componentSpecs"]
    ports = both["componentSpecs"][0]["spec"]["containers"][0]["ports"]
    assert {
        "name": "metrics",
        "containerPort": 6000,
        "protocol": "TCP",
    } in ports  # else the webhook would number it by place


def test_pods_are_found_by_our_labels_and_reached_by_our_service() -> None:
    predictor = deployment(A)["spec"]["predictors"][0]
    service = objects.for_revision(made.OWNER, A, scaling=FIXED, settings=SETTINGS)[0]
    assert service["kind"] == "Service"
    assert (
        service["spec"]["selector"].items()
        <= predictor["componentSpecs"][0]["metadata"]["labels"].items()
    )
    assert service["metadata"]["name"] != predictor["annotations"]["seldon.io/svc-name"]
    assert service["spec"]["ports"][0] == {
        "name": "http",
        "port": 3000,
        "targetPort": 9000,
        "protocol": "TCP",
        "appProtocol": "http",
    }


def test_the_graph_names_its_container() -> None:
    predictor = deployment(A)["spec"]["predictors"][0]
    assert predictor["graph"]["name"] in [
        container["name"] for container in predictor["componentSpecs"][0]["spec"]["containers"]
    ]


@pytest.mark.parametrize(
    ("scaling", "key"),
    [({"concurrency": 8}, "kedaSpec"), ({}, "hpaSpec")],
    ids=["concurrency", "cpu"],
)
def test_seldon_makes_the_autoscaler(scaling: dict[str, Any], key: str) -> None:
    predictor = deployment(A, scaling=resource.Scaling(**scaling))["spec"]["predictors"][0]
    assert key in predictor["componentSpecs"][0]
    assert "replicas" not in predictor
    assert deployment(A)["spec"]["predictors"][0]["replicas"] == 2


def test_what_the_cluster_lacks_is_said() -> None:
    spec = made.spec(runtime="seldon")
    assert seldon.unmet(made.spec(), seldon=False, ingress=False) is None
    assert "install its operator" in str(seldon.unmet(spec, seldon=False, ingress=False))
    assert seldon.unmet(spec, seldon=True, ingress=False) is None


def test_what_seldon_says_is_passed_on() -> None:
    assert (
        seldon.trouble({"status": {"state": "Failed", "description": "no such image"}})
        == "Seldon says: no such image"
    )
    assert seldon.trouble({"status": {"state": "Available", "description": ""}}) == ""
    assert seldon.trouble(None) == ""

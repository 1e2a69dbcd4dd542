"""The HTTPRoute of each kind of route."""

from datetime import timedelta
from typing import Any

import pytest

from fairway.config import resource
from fairway.platforms.kubernetes import gateway
from fairway.rollout import traffic
from fairway.serving import command
from tests.platforms.kubernetes import made

GATEWAY = resource.Gateway.model_validate(
    {
        "parentRefs": [{"name": "models", "namespace": "edge", "sectionName": "https"}],
        "hostnames": ["income.example.com"],
    }
)


def route(*, weight: int = 0, mirror: int = 0, candidate: str | None = "new") -> traffic.Route:
    return traffic.route(
        deployment="income", stable="old", candidate=candidate, weight=weight, mirror=mirror
    )


def rule(**values: Any) -> dict[str, Any]:
    found: dict[str, Any] = gateway.http_route(made.OWNER, GATEWAY, route(**values))["spec"][
        "rules"
    ][0]
    return found


@pytest.mark.parametrize(
    ("values", "backends", "mirrored"),
    [
        ({"candidate": None}, [("income-old", 100, "stable")], None),
        ({}, [("income-old", 100, "stable")], None),
        ({"mirror": 30}, [("income-old", 100, "stable")], ("income-new", 30)),
        ({"weight": 5}, [("income-old", 95, "stable"), ("income-new", 5, "canary")], None),
        (
            {"weight": 5, "mirror": 100},
            [("income-old", 95, "stable"), ("income-new", 5, "canary")],
            ("income-new", 100),
        ),
        ({"weight": 100}, [("income-old", 0, "stable"), ("income-new", 100, "canary")], None),
    ],
    ids=["first", "no weight", "shadow", "canary", "both", "promoted without a bake"],
)
def test_each_arm_is_a_backend_with_a_filter_of_its_own(
    values: dict[str, Any],
    backends: list[tuple[str, int, str]],
    mirrored: tuple[str, int] | None,
) -> None:
    found = rule(**values)
    seen = []
    for backend in found["backendRefs"]:
        headers = {
            header["name"]: header["value"]
            for header in backend["filters"][0]["requestHeaderModifier"]["set"]
        }
        assert headers["x-fairway-revision"] == backend["name"].removeprefix("income-")
        seen.append((backend["name"], backend["weight"] / gateway.SHARES, headers["x-fairway-arm"]))
    assert seen == backends
    mirrors = [
        (f["requestMirror"]["backendRef"]["name"], f["requestMirror"]["percent"])
        for f in found.get("filters", ())
    ]
    assert mirrors == ([mirrored] if mirrored else [])


def backends(made_route: traffic.Route, **places: str | None) -> list[tuple[str, int]]:
    found = gateway.http_route(made.OWNER, GATEWAY, made_route, **places)["spec"]["rules"][0][
        "backendRefs"
    ]
    return [(backend["name"].removeprefix("income-"), backend["weight"]) for backend in found]


def test_a_revision_keeps_its_place_from_its_first_request_to_its_last():
    """The life of two revisions: the second comes at index 1, takes over, and stays there when the
    first is gone."""
    first = gateway.first(None, stable="old", candidate=None)
    assert backends(route(candidate=None), first=first) == [("old", 1_000_000)]
    first = gateway.first(first, stable="old", candidate="new")
    assert backends(route(weight=5), first=first) == [("old", 950_000), ("new", 50_000)]
    promoted = traffic.route(deployment="income", stable="new", candidate=None, weight=0, mirror=0)
    first = gateway.first(first, stable="new", candidate=None)
    assert backends(promoted, first=first, leaving="old") == [("old", 1), ("new", 999_999)]
    assert backends(promoted, first="third", leaving="old") == [
        ("old", 1),
        ("new", 999_999),
    ]  # the next is starting already
    assert backends(promoted, first=first) == [("new", 0), ("new", 1_000_000)]
    third = traffic.route(deployment="income", stable="new", candidate="third", weight=25, mirror=0)
    first = gateway.first(first, stable="new", candidate="third")
    assert backends(third, first=first) == [("third", 250_000), ("new", 750_000)]


def test_a_revision_that_is_rolled_back_leaves_with_a_millionth():
    assert backends(route(weight=0), first="old", leaving="new") == [("old", 999_999), ("new", 1)]


def test_no_filter_of_the_rule_touches_the_arms_headers() -> None:
    """Envoy applies the rule's filters after the backend's: one that removed the header would
    remove ours."""
    assert {f["type"] for f in rule(weight=5, mirror=5)["filters"]} == {"RequestMirror"}


def test_the_route_keeps_what_the_user_says_of_the_gateway() -> None:
    made_route = gateway.http_route(made.OWNER, GATEWAY, route(weight=5))
    assert made_route["spec"]["parentRefs"] == [
        {"name": "models", "namespace": "edge", "sectionName": "https"}
    ]
    assert made_route["spec"]["hostnames"] == ["income.example.com"]
    assert made_route["metadata"]["annotations"] == {
        "fairway.dev/route-version": route(weight=5).version
    }


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (10, "10s"),
        (0.25, "250ms"),
        (90, "1m30s"),
        (2 * 86400, "48h"),
        (0, "0s"),
        (3600.5, "1h500ms"),
    ],
)
def test_a_timeout_is_written_as_the_gateway_api_reads_it(seconds: float, written: str) -> None:
    asked = GATEWAY.model_copy(update={"timeout": timedelta(seconds=seconds)})
    assert gateway.http_route(made.OWNER, asked, route())["spec"]["rules"][0]["timeouts"] == {
        "request": written
    }


def test_a_server_says_that_it_is_late_before_the_gateway_does() -> None:
    asked = [
        resource.route(
            made.spec(
                gateway={"parentRefs": [{"name": "models"}], "timeout": given},
                serving={"timeout": "5s"},
            )
        )
        for given in ("2s", "9s")
    ]
    assert [one.timeout.total_seconds() for one in asked if one is not None] == [6.0, 9.0]


@pytest.mark.parametrize(
    ("runtime", "paths"), [("bentoml", ["/v2"]), ("seldon", ["/v2", "/api", "/predict"])]
)
def test_clients_reach_predictions_alone_and_neither_metrics_nor_probes(
    runtime: str, paths: list[str]
) -> None:
    found = gateway.http_route(made.OWNER, GATEWAY, route(), runtime=runtime)["spec"]["rules"][0][
        "matches"
    ]
    assert found == [{"path": {"type": "PathPrefix", "value": path}} for path in paths]


def policy(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = gateway.backend_policy(made.OWNER, made.spec(**spec))["spec"]
    return found


def test_units_stick_and_idle_connections_are_the_gateways_to_close() -> None:
    found = policy()
    assert found["targetRefs"] == [
        {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "income"}
    ]
    assert found["loadBalancer"]["consistentHash"] == {
        "type": "Headers",
        "headers": [{"name": "x-fairway-unit"}],
    }
    assert found["timeout"]["http"] == {
        "connectionIdleTimeout": f"{gateway.IDLE_SECONDS}s",
        "streamIdleTimeout": "41s",
    }
    assert gateway.IDLE_SECONDS < command.KEEP_ALIVE_SECONDS


@pytest.mark.parametrize(
    ("concurrency", "replicas", "limit"), [(1, 2, 1024), (256, 4, 1024), (256, 20, 5120)]
)
def test_the_gateway_bounds_bodies_and_requests_as_the_servers_do(
    concurrency: int, replicas: int, limit: int
) -> None:
    found = policy(
        serving={"maxBodyMebibytes": 3, "maxConcurrency": concurrency},
        scaling={"maxReplicas": replicas},
    )
    assert found["requestBuffer"] == {"limit": "3Mi"}
    assert set(found["circuitBreaker"].values()) == {limit}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, ["old"]),
        ({"mirror": 100}, ["old", "new"]),
        ({"weight": 5}, ["old", "new"]),
        ({"candidate": None}, ["old"]),
    ],
    ids=["starting", "shadow", "canary", "alone"],
)
def test_a_revision_is_asked_by_its_name_by_a_rule_after_the_arms(
    values: dict[str, Any], named: list[str]
) -> None:
    rules = gateway.http_route(made.OWNER, GATEWAY, route(**values))["spec"]["rules"]
    for found, revision in zip(rules[1:], named, strict=True):
        assert found["matches"] == [
            {"path": {"type": "PathPrefix", "value": f"/v2/models/income/versions/{revision}"}}
        ]
        assert [backend["name"] for backend in found["backendRefs"]] == [f"income-{revision}"]
        assert {"name": "x-fairway-arm", "value": "named"} in found["filters"][0][
            "requestHeaderModifier"
        ]["set"]
    assert gateway.serving({"metadata": {"name": "income"}, "spec": {"rules": rules}}) <= {
        "old",
        "new",
    }

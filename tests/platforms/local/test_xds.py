"""The documents that Envoy reads, and the ports it is given: pure."""

import socket
from pathlib import Path

import pytest

from fairway.platforms.local import sockets
from fairway.platforms.local.xds import bootstrap, clusters, parts, routing
from fairway.rollout import traffic

ENDPOINTS = {"old": [("127.0.0.1", 1001)], "new": [("127.0.0.1", 1002)]}


def route(**values: int) -> traffic.Route:
    return traffic.route(
        deployment="income", stable="old", candidate="new", **{"weight": 0, "mirror": 0, **values}
    )


def names(document: parts.Json) -> list[str]:
    return [resource["name"] for resource in document["resources"]]


@pytest.mark.parametrize(
    ("threshold", "bound"),
    [
        (0.5, 1),
        (1, 1),
        (99, 99),
        (100, 100),
        (110, 110),
        (125, 120),
        (2_000, 2_000),
        (61_000, 61_000),
    ],
)
def test_a_threshold_of_two_digits_counts_exactly_and_others_at_the_one_below(
    threshold: float, bound: int
) -> None:
    assert bootstrap.bound(threshold) == bound


@pytest.mark.parametrize(
    ("values", "arms"),
    [
        ({}, ["old_stable"]),
        ({"mirror": 100}, ["new_shadow", "old_stable"]),
        ({"weight": 5}, ["new_canary", "old_stable"]),
        ({"weight": 5, "mirror": 1}, ["new_canary", "new_shadow", "old_stable"]),
    ],
    ids=["stable", "shadow", "canary", "both"],
)
def test_every_arm_in_use_is_a_cluster_of_its_own(values: dict[str, int], arms: list[str]) -> None:
    found = [
        name
        for name in names(clusters.clusters([route(**values)], endpoints=ENDPOINTS))
        if not name.endswith(clusters.NAMED)
    ]
    assert found == [f"arm_income_{arm}" for arm in arms]


@pytest.mark.parametrize("weight", [0, 1, 5, 50, 99, 100])
def test_the_total_weight_is_constant_and_the_candidate_comes_first(weight: int) -> None:
    document = routing.routes_document([route(weight=weight)])
    taken = [
        entry
        for entry in document["resources"][0]["virtual_hosts"][0]["routes"]
        if "weighted_clusters" in entry.get("route", {})
    ]
    arms = taken[0]["route"]["weighted_clusters"]["clusters"]
    assert sum(arm["weight"] for arm in arms) == routing.TOTAL
    assert [arm["name"].rpartition("_")[2] for arm in arms] == sorted(
        arm["name"].rpartition("_")[2] for arm in arms
    )


def test_versions_are_read_back_and_the_documents_version_tells_every_change() -> None:
    one, two = (
        route(),
        traffic.route(deployment="digits", stable="a", candidate=None, weight=0, mirror=0),
    )
    document = routing.routes_document([one, two])
    assert routing.versions(document["version_info"]) == {
        "income": one.version,
        "digits": two.version,
    }
    assert routing.routes_document([two, one]) == document
    assert (
        routing.routes_document([one, two], limits={"income": routing.Limits(seconds=60)})[
            "version_info"
        ]
        != document["version_info"]
    )
    assert routing.versions(routing.routes_document([])["version_info"]) == {}


def test_joined_clusters_are_those_of_both_in_the_later_form() -> None:
    before, after = (
        clusters.clusters([route(**values)], endpoints=ENDPOINTS)
        for values in ({"mirror": 100}, {"weight": 5})
    )
    moved = clusters.clusters([route()], endpoints={**ENDPOINTS, "old": [("127.0.0.1", 7)]})
    assert names(clusters.join(before, after)) == [
        f"arm_income_{arm}"
        for arm in ("new_canary", "new_named", "new_shadow", "old_named", "old_stable")
    ]
    assert clusters.join(before, moved)["resources"][-1] == moved["resources"][-1]


def test_free_ports_differ_and_are_never_lent_to_outgoing_connections() -> None:
    found = [sockets.free_port() for _ in range(50)]
    assert len(set(found)) == 50
    assert max(found) < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_a_port_is_taken_while_something_listens_on_it() -> None:
    with socket.create_server(("127.0.0.1", sockets.free_port())) as server:
        port = server.getsockname()[1]
        assert sockets.taken(port)
    assert not sockets.taken(port)


def test_where_the_kernel_lends_nearly_all_ports_one_is_found_still(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "range").write_text("1024 65535\n")
    monkeypatch.setattr(sockets, "RANGE", tmp_path / "range")
    assert not sockets.taken(sockets.free_port())

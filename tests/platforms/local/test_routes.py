"""Where requests go: the split, the mirror, and what the gateway refuses."""

import itertools
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import xxhash

from fairway import errors
from fairway.platforms.local.xds import bootstrap, clusters, routing
from fairway.rollout import traffic
from fairway.serving import command
from tests.platforms.local import support
from tests.platforms.local.support import Bench

UNITS = [f"user-{number}" for number in range(200)]


def canaries(bench: Bench) -> set[str]:
    client = bench.client()
    return {unit for unit in UNITS if client.ask(x_fairway_unit=unit).body["arm"] == "canary"}


def test_a_unit_stays_on_its_arm_and_a_growing_weight_moves_units_one_way_only(
    bench: Bench,
) -> None:
    bench.serve("old", "new")
    found = []
    for weight in (5, 25, 50):
        route = bench.route(weight=weight)
        found.append(canaries(bench))
        drawn = {
            unit
            for unit in UNITS
            if xxhash.xxh64_intdigest(f"{route.salt}:{unit}".encode()) % routing.TOTAL
            < weight * routing.TOTAL // 100
        }
        assert found[-1] == drawn
        assert canaries(bench) == drawn
    assert found[0] < found[1] < found[2]


def test_another_rollout_draws_other_canaries(bench: Bench) -> None:
    bench.serve("old", "new", "newer")
    bench.route(weight=25)
    first = canaries(bench)
    bench.route(weight=25, candidate="newer")
    assert len(first & canaries(bench)) < len(first)


def test_all_weight_and_no_weight_leave_nobody_on_the_other_arm(bench: Bench) -> None:
    bench.serve("old", "new")
    bench.route(weight=100)
    assert canaries(bench) == set(UNITS)
    bench.route(weight=0)
    assert canaries(bench) == set()


def test_requests_without_a_unit_are_divided_at_random(bench: Bench) -> None:
    bench.serve("old", "new")
    bench.route(weight=50)
    client = bench.client()
    arms = [client.ask().body["arm"] for _ in range(300)]
    assert 90 < arms.count("canary") < 210  # seven standard deviations


def test_an_empty_unit_is_refused_with_a_sentence(bench: Bench) -> None:
    bench.serve("old")
    bench.route(candidate=None)
    answer = bench.client().ask(x_fairway_unit="")
    assert answer.status == 400
    assert answer.body == {
        "error": "x-fairway-unit is empty: name the user or session, or leave the header out"
    }


@pytest.mark.parametrize(
    "path", ["/v2/models/other/infer", "/v2/models/incomes/infer", "/v2/models/", "/"]
)
def test_what_is_not_deployed_is_answered_404_with_a_sentence(bench: Bench, path: str) -> None:
    bench.serve("old")
    bench.route(candidate=None)
    answer = bench.client().ask(path)
    assert (answer.status, answer.body) == (
        404,
        {"error": "no such model is deployed here; see `fairway status`"},
    )


def test_the_models_own_page_and_the_health_of_the_gateway_answer(bench: Bench) -> None:
    bench.serve("old")
    bench.route(candidate=None)
    client = bench.client()
    assert client.ask("/v2/models/income", method="GET").body["revision"] == "old"
    assert client.ask("/v2/health/live", method="GET").body == {"live": True}
    assert client.ask("/v2/health/ready", method="GET").body == {"ready": True}


def test_the_server_s_own_page_is_answered(bench: Bench) -> None:
    assert bench.client().ask("/v2", method="GET").body == command.SERVER


def test_a_revision_is_asked_by_its_name_and_that_counts_for_no_arm(bench: Bench) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=50)
    client = bench.client()
    for revision in ("old", "new"):
        answers = [
            client.ask(f"/v2/models/income/versions/{revision}/infer", x_fairway_arm="stable")
            for _ in range(5)
        ]
        assert {(answer.body["revision"], answer.body["arm"]) for answer in answers} == {
            (revision, "named")
        }
    gone = client.ask("/v2/models/income/versions/older/infer")
    assert (gone.status, gone.body) == (
        404,
        {
            "error": "no such revision of income serves: wanted one that does, or no version in the path"
        },
    )
    sample = bench.sample(route)
    assert [arm.requests for arm in (sample.stable, sample.candidate) if arm is not None] == [0, 0]


def test_a_body_that_is_too_large_or_does_not_come_is_refused_here_and_counts_for_no_arm(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "BODY_SECONDS", 1)
    bench.gateway.stop()
    bench.gateway.start()
    bench.serve("old")
    route = traffic.route(deployment="income", stable="old", candidate=None, weight=0, mirror=0)
    bench.apply(route, limits={"income": routing.Limits(body_bytes=1000)})
    large = bench.client().ask(body=b"x" * 1001)
    assert (large.status, "serving.maxBodyMebibytes" in large.body["error"]) == (413, True)
    with socket.create_connection(urlsplit(bench.gateway.url).netloc.split(":")) as slow:
        slow.sendall(
            b"POST /v2/models/income/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{"
        )
        assert b" 408 " in slow.recv(1000)
    assert bench.client().ask(body=b"x" * 1000).status == 200
    stable = bench.settled(route, requests=1).stable
    assert stable is not None
    assert (stable.requests, stable.errors) == (1, 0)


def test_what_is_more_than_an_arm_bears_is_429_and_no_error_of_the_arm(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        clusters, "ARM_LIMITS", {"max_connections": 1, "max_requests": 1, "max_pending_requests": 1}
    )
    bench.serve("old")
    route = bench.route(candidate=None)
    with support.Load(bench.gateway.url, clients=8, x_test_delay="0.02") as load:
        load.more(100)
    assert set(load.answers) == {(200, "stable", "old"), (429, None, None)}
    stable = bench.sample(route).stable
    assert stable is not None
    assert (stable.requests, stable.errors) == (load.total, 0)


def test_the_gateway_and_not_the_client_says_the_arm(bench: Bench) -> None:
    bench.serve("old", "new")
    bench.route(weight=0, mirror=100)
    assert bench.client().ask(x_fairway_arm="canary").body["arm"] == "stable"
    assert support.until(lambda: (bench.seen("new") or {}).get("none")) == 1
    assert "canary" not in (bench.seen("new") or {})


def test_the_gateway_makes_every_id_whatever_its_client_claims(bench: Bench) -> None:
    bench.serve("old")
    route = bench.route(candidate=None)
    answers = [
        bench.client().ask(**claimed)
        for claimed in ({"x_request_id": "mine"}, {"x_request_id": "mine"}, {})
    ]
    assert all(answer.headers["x-request-id"] == answer.body["id"] for answer in answers)
    assert len({answer.body["id"] for answer in answers} - {"mine", ""}) == 3
    assert answers[0].headers["x-fairway-route-version"] == route.version


def test_a_revision_that_a_client_claims_never_reaches_a_server_so_it_cannot_pass_for_a_copy(
    bench: Bench,
) -> None:
    bench.serve("old")
    bench.route(candidate=None)
    assert bench.client().ask(x_fairway_revision="new").body["claimed"] is None


def test_mirrored_copies_carry_no_arm_and_count_for_neither(bench: Bench) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=50, mirror=100)
    client = bench.client()
    arms = [client.ask(x_fairway_unit=unit).body["arm"] for unit in UNITS[:60]]
    support.until(lambda: (bench.seen("new") or {}).get("none") == 60)
    sample = bench.settled(route, requests=60)
    assert sample.candidate is not None
    assert sample.stable is not None
    assert (sample.candidate.requests, sample.stable.requests) == (
        arms.count("canary"),
        arms.count("stable"),
    )


def test_a_part_of_the_requests_is_mirrored_where_a_part_is_asked_for(bench: Bench) -> None:
    bench.serve("old", "new")
    bench.route(mirror=25)
    client = bench.client()
    for unit in UNITS:
        client.ask(x_fairway_unit=unit)
    copies = support.until(
        lambda: bench.counter("cluster.arm_income_new_shadow.upstream_rq_completed")
    )
    assert 15 < copies < 95


def test_a_large_body_is_mirrored_and_asked_again_like_a_small_one(bench: Bench) -> None:
    bench.serve("old", "new")
    body = b"x" * 6_000_000
    bench.route(mirror=100)
    assert bench.client().ask(body=body).body["size"] == len(body)
    support.until(lambda: (bench.seen("new") or {}).get("none"))
    bench.route(weight=100)
    answer = bench.client().ask(body=body, x_test_only="new", x_test_reset="1")
    assert (answer.status, answer.body["revision"]) == (200, "old")


def test_routes_change_under_load_without_a_failed_request(bench: Bench) -> None:
    bench.serve("old", "new", "newer")
    bench.route()
    with support.Load(bench.gateway.url) as load:
        for weight, mirror, candidate in itertools.product(
            (0, 5, 50, 100), (0, 100), ("new", "newer")
        ):
            bench.route(weight=weight, mirror=mirror, candidate=candidate)
            load.more(60)
    assert load.failed == {}
    assert {revision for _, _, revision in load.answers} == {"old", "new", "newer"}


@pytest.mark.parametrize("after", [{"weight": 0}, {"weight": 100, "candidate": "newer"}], ids=str)
def test_a_request_whose_body_comes_after_the_routes_have_changed_is_answered(
    bench: Bench, after: dict[str, Any]
) -> None:
    bench.serve("old", "new", "newer")
    bench.route(weight=100)
    with socket.create_connection(urlsplit(bench.gateway.url).netloc.split(":")) as slow:
        begun = bench.counter("http.ingress.downstream_rq_total")
        slow.sendall(
            b"POST /v2/models/income/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
        )
        support.until(lambda: bench.counter("http.ingress.downstream_rq_total") > begun)
        bench.route(**after)
        slow.sendall(b"{}")
        assert slow.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_what_no_route_needs_any_more_goes_once_no_request_can_be_under_way_to_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.serve("old", "new")
    bench.route(weight=50)
    route = bench.route(weight=0)
    document = bench.root / "envoy" / "cds.json"
    assert "arm_income_new_canary" in document.read_text()
    monkeypatch.setattr(routing, "longest_seconds", lambda _: 0.0)
    bench.apply(route)
    assert "arm_income_new_canary" not in document.read_text()
    assert bench.client().ask().body["revision"] == "old"


def test_what_no_route_needs_goes_also_while_routes_go_on_changing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.serve("old", "new", "other")
    bench.route(weight=50)
    monkeypatch.setattr(routing, "longest_seconds", lambda _: 1.0)
    document = bench.root / "envoy" / "cds.json"
    for weight in itertools.cycle(range(1, 100)):
        bench.route(candidate="other", weight=weight)
        if "arm_income_new_" not in document.read_text():
            break
    assert "arm_income_other_canary" in document.read_text()


def test_deployments_do_not_touch_each_other(bench: Bench) -> None:
    bench.serve("old", "new", "one", "two")
    routes = [
        traffic.route(deployment="income", stable="old", candidate="new", weight=50, mirror=0),
        traffic.route(deployment="income-eu", stable="one", candidate="two", weight=100, mirror=0),
    ]
    bench.apply(*routes)
    client = bench.client()
    for unit in UNITS[:40]:
        client.ask(x_fairway_unit=unit)
        client.ask("/v2/models/income-eu/infer", x_fairway_unit=unit, x_test_status="500")
    income, europe = bench.settled(routes[0], requests=40), bench.settled(routes[1], requests=40)
    assert income.candidate is not None
    assert income.stable is not None
    assert europe.candidate is not None
    assert (income.candidate.errors, income.stable.errors, europe.candidate.errors) == (0, 0, 40)
    bench.apply(routes[0])
    assert client.ask("/v2/models/income-eu/infer").status == 404
    assert client.ask().status == 200
    assert bench.gateway.in_effect("income-eu") is None
    assert bench.gateway.in_effect("income") == routes[0].version


def test_applying_twice_writes_nothing(bench: Bench) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=25)
    before = {file.name: file.stat().st_mtime_ns for file in (bench.root / "envoy").iterdir()}
    bench.apply(route)
    assert {
        file.name: file.stat().st_mtime_ns for file in (bench.root / "envoy").iterdir()
    } == before


def test_refused_routes_are_told_in_a_sentence_and_the_earlier_ones_stay(bench: Bench) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=50)
    bad = traffic.Route(
        deployment="income",
        stable="old",
        candidate="new",
        weight=25,
        mirror=0,
        salt="s",
        version="bad\nheader",
    )
    before = bench.counter("http.ingress.rds.routes.update_rejected")
    for _ in range(3):
        with pytest.raises(
            errors.PlatformError,
            match=r"refused the new routes, the earlier ones stay: HeaderValueValid.*Value: .*; see .*envoy\.log",
        ):
            bench.apply(bad)
    assert bench.counter("http.ingress.rds.routes.update_rejected") == before + 1
    assert bench.gateway.in_effect("income") == route.version
    assert bench.client().ask().status == 200
    after = bench.route(weight=25)
    assert bench.gateway.in_effect("income") == after.version


def test_refused_clusters_are_told_in_a_sentence_and_the_earlier_ones_stay(bench: Bench) -> None:
    bench.serve("old")
    route = bench.route(candidate=None)
    other = traffic.route(deployment="other", stable="odd", candidate=None, weight=0, mirror=0)
    places = {"old": [("127.0.0.1", bench.ports["old"])], "odd": [("nowhere", 1)]}
    for _ in range(2):
        with pytest.raises(
            errors.PlatformError,
            match=r"Envoy refused the new clusters, the earlier ones stay: .*malformed IP address: nowhere",
        ):
            bench.gateway.apply({"income": route, "other": other}, endpoints=places)
    assert bench.counter("cluster_manager.cds.update_rejected") == 1
    assert bench.client().ask().status == 200
    bench.apply(route)


def test_what_was_written_while_the_gateway_was_down_and_is_refused_at_its_start_is_told(
    bench: Bench,
) -> None:
    bench.serve("old")
    route = bench.route(candidate=None)
    bench.gateway.stop()
    bad = traffic.Route(
        deployment="income",
        stable="old",
        candidate=None,
        weight=0,
        mirror=0,
        salt="s",
        version="bad\nheader",
    )
    bench.apply(bad)
    bench.gateway.start()
    with pytest.raises(errors.PlatformError, match="Envoy refused the new routes"):
        bench.apply(bad)
    bench.apply(route)
    assert bench.client().ask().status == 200

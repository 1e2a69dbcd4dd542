"""What the gateway counts is what the clients saw."""

import collections
import http.client
import itertools
from pathlib import Path
from typing import Any

import pytest

from fairway import errors
from fairway.platforms.local import envoy
from fairway.platforms.local.processes import Processes
from fairway.platforms.local.xds import routing
from fairway.rollout import traffic
from tests.platforms.local import support
from tests.platforms.local.support import Bench


def ask(bench: Bench, count: int, **headers: str) -> collections.Counter[tuple[Any, ...]]:
    """Return how often each (status, arm, revision) was answered."""
    client = bench.client()
    answers = (client.ask(x_fairway_unit=f"user-{number}", **headers) for number in range(count))
    return collections.Counter(
        (answer.status, answer.body["arm"], answer.body["revision"]) for answer in answers
    )


def test_requests_and_errors_are_what_the_clients_saw(bench: Bench) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=50)
    with (
        support.Load(bench.gateway.url) as well,
        support.Load(bench.gateway.url, x_test_only="new", x_test_status="500") as badly,
    ):
        well.more(200)
        badly.more(200)
    seen = well.answers + badly.answers
    sample = bench.settled(route, requests=well.total + badly.total)
    for arm, counted in (("canary", sample.candidate), ("stable", sample.stable)):
        assert counted is not None
        assert (
            counted.requests
            == counted.timed
            == sum(count for key, count in seen.items() if key[1] == arm)
        )
        assert counted.errors == sum(
            count for key, count in seen.items() if key[1] == arm and key[0] == 500
        )
    assert sample.candidate is not None
    assert sample.candidate.errors > 0


def test_counts_agree_with_each_other_in_every_scrape_under_load(bench: Bench) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=50)
    samples = []
    with support.Load(bench.gateway.url, x_test_only="new", x_test_status="500") as load:
        for _ in range(25):
            samples.append(bench.sample(route))
            load.more(10)
    for before, after in itertools.pairwise(samples):
        for arm in ("stable", "candidate"):
            assert getattr(after, arm).minus(getattr(before, arm)) is not None


def test_scrapes_themselves_bring_the_latency_histogram_up_to_the_counters(bench: Bench) -> None:
    """A merge that meets a busy worker is in the next scrape; none waits for a timer."""
    bench.serve("old")
    route = bench.route(candidate=None)
    client = bench.client()
    for number in range(1, 31):
        client.ask()
        scrapes = (bench.sample(route).stable for _ in range(4))
        assert any(
            stable is not None and (stable.requests, stable.timed) == (number, number)
            for stable in scrapes
        )


def test_an_answer_slower_than_the_threshold_counts_as_slow(bench: Bench) -> None:
    bench.serve("old", "new")
    route = traffic.route(deployment="income", stable="old", candidate="new", weight=50, mirror=0)
    bench.apply(route, thresholds=("500ms", "10s"))
    seen = ask(bench, 12, x_test_only="new", x_test_delay="0.55")
    sample = bench.settled(route, requests=12)
    assert sample.candidate is not None
    assert sample.stable is not None
    assert sample.candidate.slow == {"500ms": seen[200, "canary", "new"], "10s": 0}
    assert sample.stable.slow == {"500ms": 0, "10s": 0}


def test_a_request_that_stable_answers_for_the_candidate_is_the_candidates_and_its_error(
    bench: Bench,
) -> None:
    """The client saw no error, but the candidate failed: one that crashes on some inputs must not
    look healthy."""
    bench.serve("old", "new")
    route = bench.route(weight=50)
    seen = ask(bench, 40, x_test_only="new", x_test_reset="1")
    assert set(seen) == {(200, "canary", "old"), (200, "stable", "old")}
    sample = bench.settled(route, requests=40)
    assert sample.candidate is not None
    assert (sample.candidate.requests, sample.candidate.errors) == (seen[200, "canary", "old"],) * 2
    assert (
        bench.counter("cluster.arm_income_new_canary.upstream_rq_retry_success")
        == seen[200, "canary", "old"]
    )


def test_a_server_that_hangs_costs_one_504_that_counts_once_and_is_slow(bench: Bench) -> None:
    bench.serve("old")
    route = traffic.route(deployment="income", stable="old", candidate=None, weight=0, mirror=0)
    bench.apply(route, limits={"income": routing.Limits(seconds=0.0)})
    answer = bench.client().ask(x_test_delay="60")
    assert answer.status == 504
    assert answer.body["error"]
    stable = support.until(lambda: bench.sample(route).stable)
    assert (stable.requests, stable.errors, stable.timed, stable.slow) == (1, 1, 1, {"100ms": 1})
    assert (bench.seen("old") or {})["stable"] == 3  # asked three times


def test_a_candidate_that_hangs_is_one_slow_request_of_its_own_that_stable_answers(
    bench: Bench,
) -> None:
    bench.serve("old", "new")
    route = traffic.route(deployment="income", stable="old", candidate="new", weight=100, mirror=0)
    bench.apply(route, limits={"income": routing.Limits(seconds=0.0)})
    answer = bench.client().ask(x_test_only="new", x_test_delay="60")
    assert (answer.status, answer.body["revision"]) == (200, "old")
    candidate = bench.settled(route, requests=1).candidate
    assert candidate is not None
    assert (candidate.requests, candidate.errors, candidate.timed, candidate.slow) == (
        1,
        0,
        1,
        {"100ms": 1},
    )


def test_a_request_that_nobody_could_answer_is_an_error_without_a_time(bench: Bench) -> None:
    bench.serve("old")
    route = traffic.route(deployment="income", stable="old", candidate=None, weight=0, mirror=0)
    bench.apply(route, limits={"income": routing.Limits(seconds=0.0)})
    bench.processes.stop("old")
    assert bench.client().ask().status == 503
    stable = support.until(lambda: bench.sample(route).stable)
    assert (stable.requests, stable.errors, stable.timed) == (1, 1, 0)


def test_a_request_that_its_client_gave_up_counts_for_nobody(bench: Bench) -> None:
    bench.serve("old")
    route = bench.route(candidate=None)
    impatient = support.Client(bench.gateway.url, timeout=0.2)
    with pytest.raises((TimeoutError, http.client.HTTPException)):
        impatient.ask(x_test_delay="30")
    impatient.close()
    support.until(lambda: bench.counter("cluster.arm_income_old_stable.upstream_rq_active") == 0)
    stable = bench.sample(route).stable
    assert stable is not None
    assert stable.requests == 0


@pytest.mark.parametrize(
    "change", ["removed and back", "another threshold", "another endpoint", "another process"]
)
def test_the_epoch_changes_whenever_counters_may_have_begun_anew(
    bench: Bench, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=50)
    before = bench.sample(route)
    bench.apply(route)
    assert bench.sample(route).epoch == before.epoch
    match change:
        case "removed and back":
            monkeypatch.setattr(routing, "longest_seconds", lambda _: 0.0)  # no request holds it
            bench.route(weight=0)
            bench.route(weight=50)
        case "another threshold":
            bench.apply(route, thresholds=("100ms", "1s"))
        case "another endpoint":
            bench.processes.stop("new")
            del bench.ports["new"]
            bench.serve("new")
            bench.apply(route)
        case "another process":
            bench.gateway.stop()
            bench.gateway.start()
    after = bench.sample(route)
    assert after.epoch != before.epoch
    assert after.route_version == before.route_version


def test_an_arm_that_comes_back_before_it_was_removed_goes_on_counting(bench: Bench) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=100)
    bench.client().ask()
    before = bench.settled(route, requests=1)
    bench.route(weight=0)
    bench.route(weight=100)
    after = bench.settled(route, requests=1)
    assert (after.epoch, after.candidate) == (before.epoch, before.candidate)


def test_a_change_of_weight_keeps_the_epoch_and_the_counts(bench: Bench) -> None:
    bench.serve("old", "new")
    first = bench.route(weight=5)
    ask(bench, 10)
    before = bench.settled(first, requests=10)
    after = bench.sample(bench.route(weight=25))
    assert (after.epoch, after.stable) == (before.epoch, before.stable)
    assert after.route_version != before.route_version


def test_another_object_for_the_home_gives_the_same_counts_before_it_applies_anything(
    bench: Bench,
) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=50)
    ask(bench, 10)
    sample = bench.settled(route, requests=10)
    again = envoy.Envoy(bench.root, Processes(bench.root)).sample(route)
    assert again is not None
    assert (again.epoch, again.stable, again.candidate) == (
        sample.epoch,
        sample.stable,
        sample.candidate,
    )
    assert again.stable is not None
    assert again.stable.slow.keys() == {"100ms"}


def test_an_absent_gateway_gives_no_sample_and_no_error(tmp_path: Path) -> None:
    route = traffic.route(deployment="income", stable="old", candidate=None, weight=0, mirror=0)
    absent = envoy.Envoy(tmp_path, Processes(tmp_path))
    assert absent.sample(route) is None
    assert absent.in_effect("income") is None
    with pytest.raises(
        errors.PlatformError, match=r"the gateway of .* was never started: run `fairway up`"
    ):
        _ = absent.url
    assert not absent.alive()


def test_a_stopped_gateway_and_an_unknown_deployment_give_no_sample(bench: Bench) -> None:
    bench.serve("old")
    route = bench.route(candidate=None)
    assert (
        bench.gateway.sample(
            traffic.route(deployment="other", stable="old", candidate=None, weight=0, mirror=0)
        )
        is None
    )
    bench.gateway.stop()
    assert bench.gateway.sample(route) is None

"""What clients notice when a process dies: as little as can be."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from fairway import artifacts, errors
from fairway.platforms.local import envoy, sockets
from fairway.platforms.local.processes import Processes
from tests.platforms.local import support
from tests.platforms.local.support import Bench


def test_a_killed_candidate_fails_no_request_and_its_share_still_counts_as_its(
    bench: Bench,
) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=50)
    with support.Load(bench.gateway.url) as load:
        load.more(100)
        bench.processes.signal("new", signal.SIGKILL)
        load.more(300)
        bench.serve("new")
        load.more(100)
    assert load.failed == {}
    assert load.answers[200, "canary", "old"] > 0
    sample = bench.settled(route, requests=load.total)
    assert sample.candidate is not None
    assert (
        sample.candidate.requests
        == load.answers[200, "canary", "old"] + load.answers[200, "canary", "new"]
    )


def test_the_only_server_may_be_killed_and_be_away_for_seconds_without_a_failed_request(
    bench: Bench,
) -> None:
    bench.serve("old")
    route = bench.route(candidate=None)
    with support.Load(bench.gateway.url) as load:
        load.more(100)
        bench.processes.signal("old", signal.SIGKILL)
        back = time.monotonic() + 4.0
        support.until(lambda: time.monotonic() > back)
        bench.serve("old")
        load.more(100)
    assert load.failed == {}
    sample = bench.settled(route, requests=load.total)
    assert sample.stable is not None
    assert sample.stable.slow["100ms"] >= 4


def crashes(bench: Bench, revision: str, **headers: str) -> tuple[int, support.Answer]:
    """Return how often one request killed the server, which is started again each time, and what
    its client was answered.
    """
    found, pids = [], set()
    asking = threading.Thread(
        target=lambda: found.append(bench.client().ask(x_test_crash="1", **headers))
    )
    asking.start()
    while asking.is_alive():
        if bench.processes.alive(revision):
            asking.join(0.02)
        else:
            pids.add((bench.processes.record(revision) or bench).pid)  # type: ignore[union-attr]
            # the same request may kill it before anybody else is answered
            bench.serve(revision, wait=False)
    asking.join()
    return len(pids) + (not bench.processes.alive(revision)), found[0]


def test_a_request_that_kills_the_server_meets_three_of_them_at_most(bench: Bench) -> None:
    bench.serve("old")
    bench.route(candidate=None)
    times, answer = crashes(bench, "old")
    assert times <= 3
    assert answer.status == 503
    assert answer.body["error"]


def test_a_request_that_kills_the_candidate_is_answered_by_stable(bench: Bench) -> None:
    bench.serve("old", "new")
    bench.route(weight=100)
    times, answer = crashes(bench, "new", x_test_only="new")
    assert (times, answer.status, answer.body["revision"]) == (1, 200, "old")


def test_the_only_server_may_restart_without_a_failed_request(bench: Bench) -> None:
    bench.serve("old")
    bench.route(candidate=None)
    with support.Load(bench.gateway.url) as load:
        load.more(100)
        bench.processes.stop("old")
        bench.serve("old")
        load.more(100)
    assert load.failed == {}


def test_a_slow_shadow_drops_copies_and_fails_nobody(bench: Bench) -> None:
    bench.serve("old", "new")
    route = bench.route(mirror=100)
    with support.Load(bench.gateway.url, x_test_only="new", x_test_delay="1") as load:
        load.more(400)
    assert load.failed == {}
    assert bench.counter("cluster.arm_income_new_shadow.upstream_rq_pending_overflow") > 0
    # 16, which Envoy's workers hold together only roughly
    assert (bench.seen("new") or {})["at_once"] <= 24
    sample = bench.settled(route, requests=load.total)
    assert sample.stable is not None
    assert sample.stable.errors == 0


def test_a_fast_shadow_gets_every_copy(bench: Bench) -> None:
    bench.serve("old", "new")
    bench.route(mirror=100)
    with support.Load(
        bench.gateway.url, clients=8, rate=60, x_test_only="new", x_test_delay="0.02"
    ) as load:
        load.more(300)
    assert load.failed == {}
    support.until(lambda: (bench.seen("new") or {}).get("none", 0) >= load.total)
    assert bench.counter("cluster.arm_income_new_shadow.upstream_rq_pending_overflow") == 0


def test_a_dead_shadow_fails_nobody(bench: Bench) -> None:
    bench.serve("old", "new")
    bench.route(mirror=100)
    with support.Load(bench.gateway.url) as load:
        load.more(50)
        bench.processes.signal("new", signal.SIGKILL)
        load.more(200)
    assert load.failed == {}


def test_a_killed_gateway_comes_back_on_its_port_with_its_routes_and_another_epoch(
    bench: Bench,
) -> None:
    bench.serve("old", "new")
    route = bench.route(weight=100)
    url, before = bench.gateway.url, bench.sample(route)
    bench.processes.signal(envoy.NAME, signal.SIGKILL)
    support.until(lambda: not bench.gateway.alive())
    assert bench.gateway.sample(route) is None
    bench.gateway.start()
    assert bench.gateway.url == url
    assert bench.client().ask().body["revision"] == "new"
    assert bench.sample(route).epoch != before.epoch
    assert bench.gateway.in_effect("income") == route.version


def test_routes_given_while_the_gateway_is_down_hold_when_it_is_back(bench: Bench) -> None:
    bench.serve("old", "new")
    bench.route()
    bench.processes.signal(envoy.NAME, signal.SIGKILL)
    support.until(lambda: not bench.gateway.alive())
    route = bench.route(weight=100)
    bench.gateway.start()
    assert bench.gateway.in_effect("income") == route.version
    assert bench.client().ask().body["revision"] == "new"


def test_another_object_for_the_home_adopts_the_gateway_that_runs(bench: Bench) -> None:
    bench.serve("old")
    route = bench.route(candidate=None)
    processes = Processes(bench.root)
    adopted = envoy.Envoy(bench.root, processes)
    pid = processes.record(envoy.NAME)
    adopted.start()
    assert processes.record(envoy.NAME) == pid
    assert adopted.url == bench.gateway.url
    assert adopted.in_effect("income") == route.version
    adopted.stop()
    assert not bench.gateway.alive()


def test_what_an_earlier_version_wrote_of_its_ports_is_read(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "envoy" / "ports.json", {"port": 18080, "admin": 18081})
    assert envoy.Envoy(tmp_path, Processes(tmp_path)).url == "http://127.0.0.1:18080"


def test_a_stopped_gateway_lets_requests_end_and_leaves_nothing(bench: Bench) -> None:
    bench.serve("old")
    bench.route(candidate=None)
    shared = set(Path("/dev/shm").glob("envoy*"))
    with support.Load(bench.gateway.url, clients=1, x_test_delay="0.3") as load:
        support.until(lambda: (bench.seen("old") or {}).get("stable"))
        bench.gateway.stop()
    assert load.answers[200, "stable", "old"] >= 1
    assert not sockets.taken(int(bench.gateway.url.rpartition(":")[2]))
    assert bench.processes.record(envoy.NAME) is None
    assert set(Path("/dev/shm").glob("envoy*")) <= shared


@pytest.mark.parametrize("asked_for", [True, False], ids=["asked for", "had before"])
def test_a_port_that_another_program_has_is_one_sentence(bench: Bench, asked_for: bool) -> None:
    port = int(bench.gateway.url.rpartition(":")[2])
    bench.gateway.stop()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(
            errors.PlatformError, match=f"port {port} is taken by another program: choose"
        ),
    ):
        bench.gateway.start(port=port if asked_for else 0)
    bench.gateway.start()
    assert bench.gateway.url.endswith(f":{port}")


def test_another_port_than_that_of_the_gateway_that_runs_is_one_sentence(bench: Bench) -> None:
    port = int(bench.gateway.url.rpartition(":")[2])
    bench.gateway.start(port=port)
    with pytest.raises(
        errors.PlatformError,
        match=f"the gateway runs on port {port}, not 1: stop it with `fairway down`",
    ):
        bench.gateway.start(port=1)


def test_a_free_port_is_tried_again_where_another_program_was_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, given = sockets.free_port, []
    with socket.create_server(("127.0.0.1", free())) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(
            sockets, "free_port", lambda: given.append(taken if not given else free()) or given[-1]
        )
        for bench in support.bench(tmp_path):
            assert bench.gateway.alive()
            assert not bench.gateway.url.endswith(f":{taken}")


def test_where_there_is_no_envoy_the_sentence_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envoy.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(errors.PlatformError, match="there is no Envoy: install"):
        envoy.binary()

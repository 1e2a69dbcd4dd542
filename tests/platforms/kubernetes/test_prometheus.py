"""What Prometheus says of the gateway's proxies: `answer.json` is one that a real one gave, the
others are made like it.
"""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fairway import errors
from fairway.platforms.kubernetes import prometheus, scrapes
from fairway.rollout import traffic

RECORDED = (Path(__file__).parent / "answer.json").read_bytes()
RECORDED_AT = 1795254111.0
CLUSTER = "httproute/models/income/rule/0/backend/"
NOW = 1000.0
GATEWAY = {"namespace": "envoy-gateway-system"}
Counts = Mapping[str, Sequence[int]]


def route(*, weight: int = 25, mirror: int = 0) -> traffic.Route:
    return traffic.route(
        deployment="income", stable="old", candidate="new", weight=weight, mirror=mirror
    )


def arm(
    index: int,
    *,
    completed: Sequence[int],
    failed: Sequence[int] = (),
    late: Sequence[int] = (),
    timed: Sequence[int] = (),
    fast: Sequence[int] = (),
    le: str = "100",
    broken: Sequence[int] = (),
    under_way: Sequence[int] = (),
) -> list[tuple[dict[str, str], Sequence[int]]]:
    cluster = {"envoy_cluster_name": f"{CLUSTER}{index}"}
    return [
        ({"__name__": scrapes.COMPLETED, **cluster}, completed),
        ({"__name__": scrapes.ERRORS, "envoy_response_code_class": "5", **cluster}, failed),
        ({"__name__": scrapes.LATE, **cluster}, late),
        ({"__name__": scrapes.BROKEN, **cluster}, broken),
        ({"__name__": scrapes.ACTIVE, **cluster}, under_way),
        ({"__name__": scrapes.TIMES, "le": "+Inf", **cluster}, timed),
        ({"__name__": scrapes.TIMES, "le": le, **cluster}, fast),
    ]


def proxy(
    name: str,
    *arms: list[tuple[dict[str, str], Sequence[int]]],
    uptime: Sequence[int] = (100, 105),
    last: float = NOW - 1,
    job: str = "envoy",
    label: str = "pod",
) -> list[dict[str, Any]]:
    """Return the series of one proxy, scraped every 2 s until `last`; a series shorter than the
    uptime began later."""
    rows = [({"__name__": scrapes.UPTIME}, uptime), *(row for one in arms for row in one)]
    return [
        {
            "metric": {**labels, label: name, "job": job},
            "values": [
                [last - 2 * (len(values) - 1 - i), str(value)] for i, value in enumerate(values)
            ],
        }
        for labels, values in rows
        if values
    ]


def answer(*proxies: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps(
        {
            "status": "success",
            "data": {"resultType": "matrix", "result": [row for rows in proxies for row in rows]},
            **more,
        }
    ).encode()


def read(
    content: bytes,
    *,
    weight: int = 25,
    mirror: int = 0,
    before: traffic.Sample | None = None,
    now: float = NOW,
    thresholds: Sequence[str] = ("100ms",),
) -> traffic.Sample | None:
    return scrapes.combine(
        scrapes.parse(content),
        now=now,
        route=route(weight=weight, mirror=mirror),
        before=before,
        route_version="r1",
        bounds={threshold: scrapes.bucket(threshold) for threshold in thresholds},
    )


def must(sample: traffic.Sample | None) -> traffic.Sample:
    assert sample is not None
    return sample


def must_counts(counts: traffic.ArmSample | None) -> traffic.ArmSample:
    assert counts is not None
    return counts


A = proxy(
    "a",
    arm(0, completed=[10, 20], failed=[1, 2], late=[0, 1], timed=[8, 15], fast=[6, 11]),
    arm(1, completed=[3, 5], timed=[2, 4], fast=[2, 4]),
)
B = proxy(
    "b",
    arm(0, completed=[100, 200]),
    arm(1, completed=[30, 50], failed=[7, 8]),
    last=NOW - 2,
    uptime=(50, 55),
)


def test_a_real_answer_is_read() -> None:
    """8 of stable's requests were broken off, 2 timed out and are in no bucket.

    The histogram lags by the newest 3 and 2 requests.
    """
    sample = must(read(RECORDED, now=RECORDED_AT, thresholds=("100ms", "250ms")))
    assert sample.stable == traffic.ArmSample(
        requests=64, errors=8, timed=55, slow={"100ms": 8, "250ms": 2}, unanswered=2
    )
    assert sample.candidate == traffic.ArmSample(
        requests=48, errors=6, timed=28, slow={"100ms": 3, "250ms": 1}, unanswered=1
    )
    assert (sample.at, sample.route_version) == (1795254110.705, "r1")


def test_what_the_gateway_refused_for_load_is_no_error_of_the_arm() -> None:
    cluster = {"envoy_cluster_name": f"{CLUSTER}0"}
    shed = [({"__name__": name, **cluster}, [0, 30]) for name in scrapes.SHED]
    loaded = proxy(
        "a", [*arm(0, completed=[10, 100], failed=[1, 62]), *shed], arm(1, completed=[3, 5])
    )
    stable = must_counts(must(read(answer(loaded))).stable)
    assert (stable.errors, stable.unanswered) == (2, 0)
    assert all(
        name in scrapes.query(namespace="models", deployment="income", bounds=(), gateway={})
        for name in scrapes.SHED
    )


def test_an_uptime_that_is_told_late_is_no_restart() -> None:
    before: traffic.Sample | None = None
    for count in (1, 2, 3, 4):
        content = json.loads(RECORDED)
        for row in content["data"]["result"]:
            row["values"] = row["values"][:count]
        sample = must(read(json.dumps(content).encode(), now=RECORDED_AT, before=before))
        assert before is None or sample.epoch == before.epoch
        before = sample


def test_proxies_are_summed_as_of_the_oldest_of_their_scrapes() -> None:
    sample = must(read(answer(A, B)))
    assert sample.stable == traffic.ArmSample(
        requests=220, errors=2, timed=16, slow={"100ms": 5}, unanswered=1
    )
    assert sample.candidate == traffic.ArmSample(requests=55, errors=8, timed=4, slow={"100ms": 0})
    assert sample.at == NOW - 2


def test_what_no_server_answered_and_what_is_under_way_are_summed_too_and_unknown_where_one_does_not_say() -> (
    None
):
    a, b = (
        proxy(
            name,
            arm(0, completed=[9], late=[1], broken=[2], under_way=[3]),
            arm(1, completed=[9], under_way=said),
        )
        for name, said in (("a", [1]), ("b", []))
    )
    sample = must(read(answer(a, b)))
    assert (must_counts(sample.stable).unanswered, must_counts(sample.stable).active) == (6, 6)
    assert (must_counts(sample.candidate).unanswered, must_counts(sample.candidate).active) == (
        0,
        None,
    )


def test_both_arms_come_from_the_newest_scrape_that_has_both() -> None:
    late = proxy(
        "a", arm(0, completed=[10, 20, 30]), arm(1, completed=[3, 5]), uptime=(100, 100, 105)
    )
    for row in late:
        if row["metric"].get("envoy_cluster_name") == f"{CLUSTER}1":
            row["values"] = [[at - 2, value] for at, value in row["values"]]
    sample = must(read(answer(late)))
    assert (
        sample.at,
        must_counts(sample.stable).requests,
        must_counts(sample.candidate).requests,
    ) == (NOW - 3, 20, 5)


def test_a_proxy_without_one_of_the_arms_adds_neither() -> None:
    alone = proxy("b", arm(0, completed=[100, 200]))
    assert must(read(answer(A, alone))).stable == must(read(answer(A))).stable
    assert read(answer(alone)) is None


@pytest.mark.parametrize(
    ("weight", "arms", "stable", "candidate"),
    [
        (0, [arm(0, completed=[9])], 9, None),
        (0, [arm(0, completed=[9]), arm(1, completed=[4])], 9, 4),
        (100, [arm(1, completed=[4])], None, 4),
        (25, [arm(1, completed=[4])], None, None),
        (0, [arm(1, completed=[4])], None, None),
    ],
    ids=[
        "shadow",
        "weight taken away, cluster still there",
        "all of it",
        "stable missing",
        "stable missing in shadow",
    ],
)
def test_an_arm_is_needed_where_it_has_weight(
    weight: int, arms: list[Any], stable: int | None, candidate: int | None
) -> None:
    sample = read(answer(proxy("a", *arms, uptime=[100])), weight=weight)
    seen = (
        (None, None)
        if sample is None
        else tuple(
            counts.requests if counts else None for counts in (sample.stable, sample.candidate)
        )
    )
    assert seen == (stable, candidate)


@pytest.mark.parametrize(("age", "counted"), [(1, True), (7, True), (9, False), (60, False)])
def test_a_proxy_that_was_not_scraped_for_three_intervals_is_gone(
    age: float, counted: bool
) -> None:
    old = proxy("b", arm(0, completed=[100, 200]), arm(1, completed=[30, 50]), last=NOW - age)
    assert must_counts(must(read(answer(A, old))).stable).requests == (220 if counted else 20)


def test_nothing_is_read_where_all_proxies_are_gone() -> None:
    assert read(answer(A), now=NOW + 60) is None


def test_a_proxy_that_two_jobs_scrape_counts_once() -> None:
    again = proxy(
        "a", arm(0, completed=[10, 20]), arm(1, completed=[3, 5]), job="pods", last=NOW - 2
    )
    assert must(read(answer(A, again))) == must(read(answer(again, A)))
    assert must_counts(must(read(answer(A, again))).stable).requests == 20


CHANGED = {
    "nothing": ([A, B], True),
    "later": (
        [proxy("a", arm(0, completed=[30]), arm(1, completed=[9]), uptime=[110], last=NOW + 4), B],
        True,
    ),
    "restarted": ([proxy("a", arm(0, completed=[1]), arm(1, completed=[1]), uptime=[5]), B], False),
    "restarted between two scrapes that are read": (
        [proxy("a", arm(0, completed=[20, 1]), arm(1, completed=[9, 1]), uptime=[105, 0]), B],
        False,
    ),
    "one gone": ([A], False),
    "another come": (
        [A, B, proxy("c", arm(0, completed=[1]), arm(1, completed=[1]), uptime=[5])],
        False,
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_sums_are_compared_while_the_proxies_are_the_same(case: str) -> None:
    proxies, same = CHANGED[case]
    before = must(read(answer(A, B)))
    assert (must(read(answer(*proxies), before=before, now=NOW + 2)).epoch == before.epoch) is same


def test_sums_are_compared_while_the_thresholds_are_the_same() -> None:
    before = must(read(answer(A), thresholds=()))
    assert must(read(answer(A), before=before)).epoch != before.epoch


def test_an_epoch_of_another_writing_is_another() -> None:
    before = traffic.Sample(
        at=NOW - 9, epoch="42-1-x", route_version="r1", stable=None, candidate=None
    )
    assert must(read(answer(A), before=before)).epoch != before.epoch


def test_bounds_are_read_however_prometheus_writes_them() -> None:
    new = proxy(
        "a",
        arm(0, completed=[10], timed=[8], fast=[6], le="100.0"),
        arm(1, completed=[3]),
        uptime=[100],
    )
    assert must_counts(must(read(answer(new))).stable).slow == {"100ms": 2}
    assert "|1[.]8e[+]06|1800000|1800000[.]0|100|100[.]0" in scrapes.query(
        namespace="models", deployment="income", bounds=[1800000, 100], gateway=GATEWAY
    )


def test_a_bound_that_is_not_kept_is_said() -> None:
    without = proxy("a", arm(0, completed=[10], timed=[8]), arm(1, completed=[3]), uptime=[100])
    with pytest.raises(errors.ConfigError, match="threshold 100ms is no bound"):
        read(answer(without))


@pytest.mark.parametrize(
    ("threshold", "near"),
    [("130ms", "100ms and 250ms"), ("2s", "1000ms and 2500ms"), ("2h", "1800000ms and 3600000ms")],
)
def test_a_threshold_between_two_bounds_is_refused_with_the_nearest(
    threshold: str, near: str
) -> None:
    with pytest.raises(errors.ConfigError, match=f"threshold {threshold} .* nearest are {near}"):
        scrapes.bucket(threshold)


def test_without_proxies_it_says_what_to_scrape() -> None:
    with pytest.raises(errors.Unavailable, match="/stats/prometheus"):
        read(answer(proxy("a", arm(0, completed=[1]), uptime=())))


UNREADABLE = {
    "nan": (200, answer(A).replace(b'"20"', b'"NaN"'), "rq_completed is NaN, wanted a count"),
    "refused": (
        400,
        b'{"status": "error", "errorType": "bad_data", "error": "parse error"}',
        "parse error",
    ),
    "incomplete": (200, answer(A, warnings=["one store is away"]), "one store is away"),
    "another program": (502, b"<html>Bad Gateway</html>", "answered 502"),
    "a vector": (
        200,
        b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "2"]}]}}',
        "wanted the raw samples",
    ),
    "too much": (200, b"x" * (prometheus.LARGEST_ANSWER + 1), "more than 8 MiB"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_one_sentence(case: str) -> None:
    status, content, words = UNREADABLE[case]
    with served(content, status=status) as (url, _), pytest.raises(errors.Unavailable, match=words):
        ask(url)


def test_one_query_asks_for_everything() -> None:
    with served(RECORDED, date="Sat, 21 Nov 2026 09:41:51 GMT") as (url, asked):
        assert must_counts(must(ask(url)).stable).requests == 64
    assert len(asked) == 1


def test_a_prometheus_that_is_away_is_unavailable() -> None:
    with pytest.raises(errors.Unavailable, match="does not answer"):
        ask("http://127.0.0.1:1")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(errors.UsageError, match="wanted the address"):
        prometheus.Prometheus("prometheus:9090", gateway=GATEWAY)


def test_without_a_label_of_the_gateways_own_scrape_nothing_is_asked() -> None:
    with pytest.raises(
        errors.UsageError, match="any pod that is scraped could speak as the gateway otherwise"
    ):
        prometheus.Prometheus("http://prometheus:9090", gateway={})


def ask(url: str) -> traffic.Sample | None:
    return prometheus.Prometheus(url, gateway=GATEWAY, timeout_seconds=5).sample(
        namespace="models",
        deployment="income",
        route=route(),
        thresholds=("100ms",),
        before=None,
        route_version="r1",
    )


@contextlib.contextmanager
def served(
    content: bytes, *, status: int = 200, date: str | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """Return a server that answers every query with `content`, and what it was asked."""
    asked: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return date or super().date_time_string(timestamp)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/prefix", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

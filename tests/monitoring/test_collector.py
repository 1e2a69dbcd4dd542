import asyncio
import contextlib
import json
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import prometheus_client
import pytest

from fairway import clocks, errors
from fairway.monitoring.eventstore import access, answers, places, remote, versions
from fairway.monitoring.eventstore.collector import (
    bodies,
    collecting,
    listening,
    parsing,
    taking,
    tending,
)
from tests.monitoring import made, processes

BATCH = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def running(path: Path) -> Iterator[processes.Running]:
    with processes.collector(path) as process:
        yield process


def send(running: processes.Running, *events: object, to: str = "/v1/events") -> httpx.Response:
    return httpx.post(running.url + to, content=json.dumps(list(events)), headers=BATCH, timeout=10)


def stored(path: Path) -> set[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("SELECT type, request_id FROM events"))


def metric(running: processes.Running, start: str) -> list[str]:
    return [
        line
        for line in httpx.get(running.url + "/metrics").text.splitlines()
        if line.startswith(start)
    ]


def test_events_and_labels_are_stored_once_counted_and_readable_elsewhere(
    running: processes.Running, path: Path
) -> None:
    answer = send(running, made.prediction("r1"), made.label("r1", "dog"))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "new": 2})
    assert send(running, made.prediction("r1"), made.prediction("r2")).json() == {
        "accepted": 2,
        "new": 1,
    }
    reader = places.opened(path)
    assert [(x.request_id, x.wrong) for x in reader.labelled("income", after=0)[1]] == [("r1", 1)]
    reader.close()
    arm = '{deployment="income",namespace="default",revision="aaa",role="stable",type="prediction"}'
    for name, value in (("events_total", 2.0), ("events_duplicate_total", 1.0)):
        assert metric(running, f"fairway_monitoring_{name}{arm}") == [
            f"fairway_monitoring_{name}{arm} {value}"
        ]


@pytest.mark.parametrize("query", ["?deployment=income", ""], ids=["in the query", "in the item"])
def test_labels_may_be_sent_in_their_short_form(
    running: processes.Running, path: Path, query: str
) -> None:
    short = {"requestId": "r1", "label": "dog", **({} if query else {"deployment": "income"})}
    assert (
        send(running, short, made.label("r2", ["a", None]), to="/v1/labels" + query).status_code
        == 202
    )
    assert stored(path) == {("label", "r1"), ("label", "r2")}


def test_labels_of_requests_that_no_server_told_of_are_said_to_be_so_and_a_number_names_its_class(
    running: processes.Running, path: Path
) -> None:
    assert send(running, made.prediction("r1", label="1")).json() == {"accepted": 1, "new": 1}
    answer = send(running, made.label("r1", 1.0), made.label("later", True), to="/v1/labels")
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "new": 2, "unknown": 1})
    assert send(running, made.label("r1", "0"), to="/v1/labels").json() == {"accepted": 1, "new": 1}
    reader = places.opened(path)
    assert [(one.request_id, one.wrong) for one in reader.labelled("income", after=0)[1]] == [
        ("r1", 1)
    ]
    reader.close()


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"[{", 400, "the body is no JSON"),
        (b"7", 400, "event 0 is 7: wanted a JSON object"),
        (
            json.dumps([made.prediction("r"), made.prediction("s", role="boss")]).encode(),
            400,
            'event 1: data.role is "boss"',
        ),
        (
            json.dumps([{**made.prediction("r"), "type": "x"}]).encode(),
            400,
            'event 0: type is "x": wanted dev.fairway',
        ),
        (
            json.dumps([{**made.prediction("r"), "time": "noon"}]).encode(),
            400,
            'event 0: time is "noon": wanted a time such as',
        ),
        (
            json.dumps([{**made.prediction("r"), "specversion": "0.3"}]).encode(),
            400,
            'specversion is "0.3": wanted "1.0"',
        ),
        (
            b"[" + b",".join([b"{}"] * (parsing.MAX_BATCH + 1)) + b"]",
            413,
            "the batch has 10001 events: wanted 10000 at most",
        ),
        (b" " * (taking.MAX_BODY_BYTES + 1), 413, "the body is larger than"),
    ],
    ids=["cut off", "a number", "role", "type", "time", "version", "too many", "too long"],
)
def test_what_cannot_be_stored_is_refused_with_a_sentence(
    path: Path, running: processes.Running, body: bytes, status: int, sentence: str
) -> None:
    answer = httpx.post(running.url + "/v1/events", content=body, headers=BATCH, timeout=30)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert stored(path) == set()


def test_a_locked_store_is_answered_503_and_takes_the_same_batch_afterwards(
    running: processes.Running, path: Path
) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = send(running, made.prediction("r1"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "locked" in answer.json()["error"]
        assert httpx.get(running.url + "/healthz").status_code == 200
        assert metric(running, "fairway_monitoring_store_busy") == [
            "fairway_monitoring_store_busy 1.0"
        ]
        other.execute("ROLLBACK")
    assert send(running, made.prediction("r1")).json() == {"accepted": 1, "new": 1}
    assert metric(running, "fairway_monitoring_store_busy") == ["fairway_monitoring_store_busy 0.0"]


def keep_sending(
    running: processes.Running,
    name: str,
    acknowledged: set[tuple[str, str]],
    enough: threading.Event,
) -> None:
    """Send batches over one connection until the collector is gone; notes what it acknowledged."""
    with (
        httpx.Client(headers=BATCH, timeout=10) as client,
        contextlib.suppress(httpx.TransportError),
    ):
        for number in range(100_000):
            ids = [f"{name}-{number}-{i}" for i in range(20)]
            answer = client.post(
                running.url + "/v1/events", content=json.dumps([made.prediction(i) for i in ids])
            )
            assert answer.status_code == 202
            acknowledged.update(("prediction", i) for i in ids)
            if len(acknowledged) >= 400:
                enough.set()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_every_acknowledged_event_survives_the_collector(path: Path, how: signal.Signals) -> None:
    acknowledged: set[tuple[str, str]] = set()
    enough = threading.Event()
    with processes.collector(path) as running:
        senders = [
            threading.Thread(target=keep_sending, args=(running, f"s{i}", acknowledged, enough))
            for i in range(3)
        ]
        for sender in senders:
            sender.start()
        assert enough.wait(60)
        running.process.send_signal(how)
        status = running.process.wait(30)
        for sender in senders:
            sender.join(30)
    assert status == (0 if how == signal.SIGTERM else -9)
    kept = stored(path)
    assert acknowledged <= kept
    numbers = {request_id.rsplit("-", 1)[0] for _, request_id in kept}
    assert len(kept) == 20 * len(numbers)  # no batch is half there
    with processes.collector(path) as again:
        assert send(again, made.prediction("after")).json()["new"] == 1


def test_a_port_that_is_taken_is_named(
    running: processes.Running, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = running.url.rsplit(":", 1)[1]
    assert listening.main(["--store", str(path), "--port", port, "--auth", "none"]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_what_a_rollout_reads_over_http_is_what_the_store_says(
    running: processes.Running, path: Path
) -> None:
    both = [
        made.prediction("r1", unitId="u\u00e9"),
        made.prediction("r1", role="shadow", revision="bbb", label="dog"),
        made.label("r1", ["dog"]),
    ]
    send(
        running,
        *both,
        made.prediction("r1", namespace="other"),
        made.prediction("r2", role="canary", revision="bbb"),
    )
    there, here = remote.RemoteEvidence(running.url + "/", "default"), places.opened(path)
    asked = {"stable": "aaa", "candidate": "bbb", "after": 0}
    assert there.cursor() == here.cursor() == 5
    assert there.pairs("income", **asked) == here.pairs("income", **asked)
    assert there.labelled("income", after=0) == here.labelled("income", after=0)
    assert there.labelled("income", after=0, by="age") == here.labelled("income", after=0, by="age")
    assert [label.slice for label in there.labelled("income", after=0, by="age")[1]] == ["39.0"]
    assert there.exposure("income", after=0) == here.exposure("income", after=0)
    assert len(there.exposure("income", after=0)[1]) == 2
    short = {"requestId": "r1", "outcome": "visit", "value": 3}
    assert (
        send(running, short, made.outcome("r2", 2.5), to="/v1/outcomes?deployment=income").json()[
            "new"
        ]
        == 2
    )
    assert there.outcomes("income", after=0) == here.outcomes("income", after=0)
    assert [
        (found.name, found.unit, found.revision, found.value)
        for found in there.outcomes("income", after=0)[1]
    ] == [("visit", "u\u00e9", "aaa", 3.0), ("purchase", None, "bbb", 2.5)]
    here.close()


def test_a_cursor_of_another_store_is_answered_410(running: processes.Running, path: Path) -> None:
    send(running, made.prediction("r1"))
    there, here = remote.RemoteEvidence(running.url, "default"), places.opened(path)
    assert there.position() == here.position() == answers.Position(here.position().store, 1)
    assert there.of(here.position().store).exposure("income", after=0) == here.exposure(
        "income", after=0
    )
    for evidence in (there, here.within("default")):
        with pytest.raises(errors.StoreReplaced, match="is another one now"):
            evidence.of("0" * 32).cursor()
        with pytest.raises(
            errors.StoreReplaced, match="was set back: its newest event is 1, and 7 was read before"
        ):
            evidence.labelled("income", after=7)
    here.close()


def test_a_store_keeps_its_identity_and_a_new_one_has_another(tmp_path: Path) -> None:
    names = []
    for name in ("a.db", "a.db", "b.db"):
        opened = places.opened(tmp_path / name)
        names.append(opened.position().store)
        opened.close()
    assert (names[0] == names[1], names[0] == names[2], len(names[0])) == (True, False, 32)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("exposure?namespace=default&after=0", "the query's deployment is missing: wanted a name"),
        ("exposure?deployment=d&after=0", "the query's namespace is missing"),
        (
            "labelled?deployment=d&namespace=n&after=-1",
            'the query\'s after is "-1": wanted the cursor',
        ),
        ("labelled?deployment=d&namespace=n", "the query's after is missing"),
        ("pairs?deployment=d&namespace=n&after=0&stable=a", "the query's candidate is missing"),
        (
            f"exposure?deployment={'d' * 257}&namespace=n&after=0",
            "wanted a name of 1 to 256 characters",
        ),
        ("exposure?deployment=%00&namespace=n&after=0", "wanted a name"),
        (f"exposure?deployment=d&namespace=n&after={'9' * 19}", "the query's after is"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_a_sentence(
    running: processes.Running, question: str, sentence: str
) -> None:
    answer = httpx.get(f"{running.url}/v1/{question}")
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_events_that_are_older_than_the_retention_are_let_go(path: Path) -> None:
    opened = places.opened(path)
    opened.add([made.prediction(f"old{i}") for i in range(2500)], at=100)
    opened.add([made.prediction("new")])
    opened.close()
    with processes.collector(path, "--retention", "1d"):
        processes.eventually(lambda: len(stored(path)) == 1)


@pytest.mark.parametrize("hours", [2, -2], ids=["ahead", "behind"])
def test_a_collector_whose_clock_is_hours_wrong_lets_no_event_go_before_its_time(
    path: Path, hours: int
) -> None:
    opened = places.opened(path)
    opened.add([made.prediction(f"r{i}") for i in range(3000)])
    opened.close()
    wrong = clocks.Source(wall=lambda: time.time() + 3600 * hours)
    application = collecting.Collector(
        str(path), gate=access.Open(), keep=timedelta(hours=1), loopback=False, source=wrong
    ).app

    async def take_one() -> None:
        transport = httpx.ASGITransport(app=application)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://collector") as client,
        ):
            await client.post("/v1/events", json=[made.prediction("later")])
            assert (await client.get("/v1/cursor")).json()[
                "cursor"
            ] == 3001  # asked after the pruning, in the same thread

    asyncio.run(take_one())
    assert len(stored(path)) == 3001
    opened = places.opened(path)
    assert opened.newest_at() == pytest.approx(
        time.time(), abs=60
    )  # stamped so, too: the next collector begins from there
    opened.close()


def rounds(series: str, running: collecting.Collector) -> float:
    lines = prometheus_client.generate_latest(running.series.registry).decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(series)), 0.0)


async def comes_true(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(processes.eventually, condition)


def one_old(path: Path) -> None:
    """Make a store with an event that is to go, and one that stays."""
    opened = places.opened(path)
    opened.add([made.prediction("old")], at=100)
    opened.add([made.prediction("new")])
    opened.close()


@contextlib.asynccontextmanager
async def in_process(path: Path, **how: Any) -> AsyncIterator[collecting.Collector]:
    opened = collecting.Collector(str(path), gate=access.Open(), loopback=False, **how)
    async with opened.app.router.lifespan_context(opened.app):
        yield opened


def test_what_was_stored_is_acknowledged_although_the_store_cannot_tell_of_which_requests_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> int:
        raise errors.StoreBusy("the event store cannot be used now; nothing was stored, try again")

    monkeypatch.setattr(versions, "unanswered", busy)

    async def answered() -> httpx.Response:
        async with in_process(path) as running:
            transport = httpx.ASGITransport(app=running.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://collector"
            ) as client:
                return await client.post("/v1/labels", json=[made.label("r1", "dog")])

    answer = asyncio.run(answered())
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "new": 1})
    assert stored(path) == {("label", "r1")}


def test_a_clock_that_fails_ends_a_round_and_not_the_upkeep(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "UPKEEP_SECONDS", 0.02)
    one_old(path)
    broken = [False]

    def wall() -> float:
        if broken[0]:
            raise OverflowError("a time before all times")
        return time.time()

    async def play() -> None:
        broken[0] = True
        async with in_process(
            path, keep=timedelta(hours=1), source=clocks.Source(wall=wall)
        ) as running:
            await comes_true(
                lambda: (
                    rounds('fairway_monitoring_rounds_failed_total{loop="upkeep"}', running) >= 2
                )
            )
            broken[0] = False
            await comes_true(
                lambda: rounds('fairway_monitoring_events_pruned_total{reason="age"}', running) == 1
            )

    asyncio.run(play())


def test_a_table_that_is_away_ends_a_round_and_not_the_upkeep(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "UPKEEP_SECONDS", 0.02)
    one_old(path)

    async def play() -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            async with in_process(path, keep=timedelta(hours=1)) as running:
                other.execute("ALTER TABLE events RENAME TO elsewhere")
                await comes_true(
                    lambda: (
                        rounds('fairway_monitoring_rounds_failed_total{loop="upkeep"}', running)
                        >= 2
                    )
                )
                other.execute("ALTER TABLE elsewhere RENAME TO events")
                await comes_true(
                    lambda: (
                        rounds('fairway_monitoring_events_pruned_total{reason="age"}', running) == 1
                    )
                )

    asyncio.run(play())


def held_upload(running: processes.Running, *, source: str, length: int) -> socket.socket:
    """Return a connection from that address whose request has its head and no body yet."""
    port = int(running.url.rsplit(":", 1)[1])
    connection = socket.create_connection(
        ("127.0.0.1", port), timeout=30, source_address=(source, 0)
    )
    head = (
        "POST /v1/events HTTP/1.1",
        "host: localhost",
        "content-type: application/json",
        f"content-length: {length}",
    )
    connection.sendall("\r\n".join([*head, "", ""]).encode())
    return connection


def test_uploads_that_one_caller_holds_take_its_own_places(running: processes.Running) -> None:
    body = json.dumps([made.prediction("slow")]).encode()
    with contextlib.ExitStack() as held:
        slow = held.enter_context(held_upload(running, source="127.0.0.1", length=len(body)))
        slow.sendall(body[:10])
        others = [
            held.enter_context(held_upload(running, source="127.0.0.2", length=1000))
            for _ in range(bodies.MOST + 5)
        ]
        assert others[0].recv(12) == b"HTTP/1.1 503"  # the oldest of that caller gave way
        assert send(running, made.prediction("quick")).status_code == 202
        slow.sendall(body[10:])
        assert slow.recv(12) == b"HTTP/1.1 202"


def test_mirrored_copies_without_their_original_are_counted(path: Path) -> None:
    opened = places.opened(path)
    opened.add(
        [made.prediction("r1", role="shadow", revision="bbb"), made.prediction("r1")], at=100
    )
    opened.add(
        [made.prediction(f"lost{i}", role="shadow", revision="bbb") for i in range(3)], at=100
    )
    opened.add([made.prediction("new")])  # the collector's clock goes on from here
    opened.close()
    with processes.collector(path) as running:
        series = "fairway_monitoring_shadow_unpaired_total"
        arm = '{deployment="income",namespace="default",revision="bbb"}'
        processes.eventually(lambda: metric(running, series) == [f"{series}{arm} 3.0"])

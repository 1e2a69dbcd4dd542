"""What a sender of events may cost the collector: in proportion to its bytes, and never an error of
its own."""

import gzip
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from fairway import errors
from fairway.monitoring.eventstore import cloudevents, places
from fairway.monitoring.eventstore.collector import parsing, taking
from tests.fuzz import targets
from tests.monitoring import made, processes


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[targets.Collector]:
    made_one = targets.Collector(tmp_path)
    yield made_one
    made_one.close()


def nested(depth: int) -> bytes:
    return orjson.dumps([made.prediction("r1", inputs={"age": ["@"]})]).replace(
        b'"@"', b"[" * depth + b"]" * depth
    )


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        pytest.param(gzip.compress(orjson.dumps([made.prediction("r1")])), "gzip", 202, id="gzip"),
        pytest.param(gzip.compress(b" " * (100 << 20)), "gzip", 413, id="bomb"),
        pytest.param(
            gzip.compress(b"[[" + b"[]," * parsing.MAX_HEAVY + b"[]]]", 1), "gzip", 413, id="lists"
        ),
        pytest.param(b"[[" + b"7," * parsing.MAX_VALUES + b"7]]", "", 413, id="numbers"),
        pytest.param(
            orjson.dumps(
                [
                    made.prediction(f"r{i}", inputs={f"feature {j}": [39.5] for j in range(30)})
                    for i in range(10_000)
                ]
            ),
            "",
            202,
            id="as-many-as-a-server-sends",
        ),
        pytest.param(b"[]", "br", 415, id="brotli"),
        pytest.param(gzip.compress(b"[]")[:-3], "gzip", 400, id="cut"),
        pytest.param(nested(10), "", 400, id="nested"),
        pytest.param(nested(1_000), "", 400, id="nested-deep"),
        pytest.param(nested(100_000), "", 400, id="nested-deeper-than-any"),
        pytest.param(
            orjson.dumps([{**made.prediction("r1"), "type": ["a"]}]),
            "",
            400,
            id="a-list-for-a-type",
        ),
        pytest.param(
            orjson.dumps([made.prediction("r1", probabilities=[["x"]])]),
            "",
            400,
            id="words-for-probabilities",
        ),
    ],
)
def test_an_event_is_stored_or_refused(
    opened: targets.Collector, body: bytes, encoding: str, status: int
) -> None:
    assert (
        opened.ask("/v1/events", body, {"content-encoding": encoding} if encoding else {}) == status
    )


def test_what_waits_to_be_stored_counts_as_large_as_it_is_unpacked(
    opened: targets.Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = gzip.compress(orjson.dumps([made.prediction("r1", inputs={"age": [0.5] * 10_000})]))
    monkeypatch.setattr(taking, "MAX_BYTES_IN_WORK", 20_000)
    assert (len(body) < 1000, opened.ask("/v1/events", body, {"content-encoding": "gzip"})) == (
        True,
        503,
    )
    monkeypatch.undo()
    assert opened.ask("/v1/events", body, {"content-encoding": "gzip"}) == 202


def test_a_logged_word_is_kept_up_to_a_bound(opened: targets.Collector, tmp_path: Path) -> None:
    assert (
        opened.ask(
            "/v1/events",
            orjson.dumps(
                [made.prediction("r1", inputs={"sector": ["x" * 2_000_000], "age": [1.5]})]
            ),
        )
        == 202
    )
    kept = places.opened(tmp_path / "events.db")
    (window,) = kept.history.window("income", revision="aaa", limit=1)
    kept.close()
    assert window.inputs == {"sector": ["x" * cloudevents.LONGEST_WORD], "age": [1.5]}


def longest_answer(url: str, until: threading.Event) -> float:
    """Return how long the slowest of many short questions took, in seconds."""
    slowest = 0.0
    with httpx.Client() as client:
        while not until.is_set():
            began = time.monotonic()
            assert client.get(url + "/livez", timeout=60).status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    return slowest


def test_a_large_body_stops_nobody_while_it_is_read(tmp_path: Path) -> None:
    numbers = orjson.dumps([made.prediction("r1", inputs={"age": [0.123456789] * 1_500_000})])
    with processes.collector(tmp_path / "events.db") as running:
        done, slowest = threading.Event(), []
        asker = threading.Thread(target=lambda: slowest.append(longest_answer(running.url, done)))
        asker.start()
        began = time.monotonic()
        answer = httpx.post(
            running.url + "/v1/events",
            content=numbers,
            headers={"content-type": "application/json"},
            timeout=60,
        )
        took = time.monotonic() - began
        done.set()
        asker.join(60)
    assert answer.status_code == 202
    assert slowest[0] < took / 4  # read in the collector itself it is two thirds of it


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[{", 400), (b"7", 400), (b"[" + b"{}," * parsing.MAX_BATCH + b"{}]", 413)],
    ids=["cut off", "a number", "too many"],
)
def test_a_body_is_refused_alike_wherever_it_is_read(
    opened: targets.Collector, body: bytes, status: int, large: bool
) -> None:
    assert opened.ask("/v1/events", body + b" " * (parsing.INLINE_BYTES * large)) == status


def test_a_reader_of_large_bodies_that_was_killed_is_replaced() -> None:
    form = parsing.Form(
        kind="events", encoding="", largest=1 << 20, deployment=None, namespace="default", now=0.0
    )
    parser, body = parsing.Parser(), orjson.dumps([made.prediction("r1")])
    assert [row.request_id for row in parser.parsed(body, form)] == ["r1"]
    assert parser.number is not None
    os.kill(parser.number, signal.SIGKILL)
    with pytest.raises(errors.Unavailable, match="has ended; nothing was stored, try again"):
        parser.parsed(body, form)
    assert [row.request_id for row in parser.parsed(body, form)] == ["r1"]
    parser.close()

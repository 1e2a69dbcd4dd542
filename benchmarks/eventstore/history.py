"""A store of many events, and how long what is asked of it takes.

It is filled by SQL, without indexes, which are made afterwards as the store has them. Ten events
follow each other: six answers of the stable revision, one of the canary, the mirrored copy of the
first, a label of an answer that was given ten thousand events before, and an answer of another
deployment. Request ids are as random as real ones, so that the index of requests is as scattered;
the revision `aaa` gave way to `bbb` in the middle. The canary's answers have no label: whoever asks
for its realised loss looks at others' in vain.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fairway.monitoring.eventstore import archive, databases, places, postgres_days

START, APART = 1_800_000_000.0, 0.1  # seconds; ten million events are eleven days
LATE = 10_000  # events from an answer to its label
CHUNK = 500_000  # in one transaction
REPEATS = 5
PRUNING = 10.0  # seconds
INPUTS = (
    '{"feature_0":['
    + "' || ((n % 1000) / 1000.0) || '"
    + "],"
    + ",".join(f'"feature_{i}":[{-0.1234 * i:.4f}]' for i in range(1, 10))
    + "}"
)

# The events from number :first to :last; {serial} makes the numbers, and md5() the ids.
EVENTS = """
INSERT INTO events (seq, received, logged, type, deployment, request_id, revision, role, namespace,
                    unit, time, status, rows, input_digest, latency, client, labels, task, version{and_day})
SELECT n, {start} + n * {apart}, CASE WHEN n % 10 = 8 THEN 0 ELSE 1 END,
       CASE WHEN n % 10 = 8 THEN 'label' ELSE 'prediction' END,
       CASE WHEN n % 10 = 9 THEN 'other-' || ((n / 10) % 20) ELSE 'income' END,
       CASE n % 10 WHEN 7 THEN {digest_7} WHEN 8 THEN {digest_8} ELSE {digest} END,
       CASE n % 10 WHEN 8 THEN '' WHEN 6 THEN 'ccc' WHEN 7 THEN 'ccc'
         ELSE CASE WHEN n <= {middle} THEN 'aaa' ELSE 'bbb' END END,
       CASE n % 10 WHEN 8 THEN '' WHEN 6 THEN 'canary' WHEN 7 THEN 'shadow' ELSE 'stable' END,
       'default', NULL, {start} + n * {apart},
       CASE WHEN n % 10 = 8 THEN NULL WHEN n % 997 = 0 THEN 500 ELSE 200 END, 1,
       CASE WHEN n % 10 = 8 THEN NULL ELSE '0123456789abcdef' END,
       CASE WHEN n % 10 = 8 THEN NULL ELSE 0.002 END, NULL,
       CASE WHEN n % 10 <> 8 AND n % 997 = 0 THEN NULL
            WHEN (n / 10) % 7 = 0 THEN '["no"]' ELSE '["yes"]' END, NULL, 0{day}
FROM {serial}"""
PAYLOADS = """
INSERT INTO payloads
SELECT n, '{inputs}', '[[0.25,0.75]]'{day} FROM {serial} WHERE n % 10 <> 8"""
SERIALS = {
    "SQLite": "(WITH RECURSIVE counted(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM counted"
    " WHERE n < {last}) SELECT n FROM counted) AS counted",
    "PostgreSQL": "generate_series({first}::bigint, {last}::bigint) AS counted(n)",
}


def fill(place: str | Path, *, database: str, events: int) -> None:
    """Fill an empty store with that many events."""
    store = places.opened(place, timeout_seconds=600)
    try:
        with store.writing() as connection:
            if isinstance(connection, sqlite3.Connection):
                connection.create_function("md5", 1, _md5, deterministic=True)
            indexes = _unindexed(connection, database=database)
        for first in range(1, events + 1, CHUNK):
            last = min(first + CHUNK - 1, events)
            with store.writing() as connection:
                if database == "PostgreSQL":
                    postgres_days.Days().make(connection, START + first * APART)
                for statement in _statements(database, first=first, last=last, events=events):
                    connection.execute(statement)
        with store.writing() as connection:
            if database == "PostgreSQL":
                connection.execute("SET statement_timeout = 0")
                connection.execute(f"UPDATE progress SET seq = {events}")  # noqa: S608
            for index in indexes:
                connection.execute(index)
            connection.execute("ANALYZE")  # SQLite never does by itself, and needs none
            if database == "SQLite":
                connection.execute("DROP TABLE IF EXISTS sqlite_stat1")
    finally:
        store.close()


def _statements(database: str, *, first: int, last: int, events: int) -> Iterator[str]:
    cast, and_day, day = "", "", ""
    if database == "PostgreSQL":
        cast, and_day = "::text", ", day"
        day = f", floor(({START} + n * {APART}) / {postgres_days.SECONDS})::integer"
    serial = SERIALS[database].format(first=first, last=last)
    yield EVENTS.format(
        start=START,
        apart=APART,
        middle=events // 2,
        digest=f"md5((n){cast})",
        digest_7=f"md5((n - 7){cast})",
        digest_8=f"md5((n - {8 + LATE}){cast})",
        serial=serial,
        and_day=and_day,
        day=day,
    )
    yield PAYLOADS.format(inputs=INPUTS, serial=serial, day=day)


def _unindexed(connection: databases.Connection, *, database: str) -> list[str]:
    """Drop the indexes of events, and return what makes them again."""
    asked = {
        "SQLite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'events'"
        " AND sql IS NOT NULL",
        "PostgreSQL": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'fairway'"
        " AND tablename = 'events' AND indexname LIKE 'event!_%' ESCAPE '!'",
    }
    found = connection.execute(asked[database]).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}")
    return [made for _, made in found]


def _md5(text: object) -> str:
    return hashlib.md5(str(text).encode(), usedforsecurity=False).hexdigest()


def questions(events: int) -> dict[str, Callable[[archive.EventStore], object]]:
    """Return what status, monitor, trainer and rollout ask, the worst cases among them."""
    where: dict[str, Any] = {
        "stable": "bbb",
        "candidate": "ccc",
        "after": events - archive.EVENTS_AT_ONCE,
    }
    return {
        "newest event, position": lambda s: (s.newest_at(), s.position()),
        "newest window, 200 rows": lambda s: s.history.window("income", revision="bbb", limit=200),
        "newest window, 800 rows": lambda s: s.history.window("income", revision="bbb", limit=800),
        "window of a deployment with little traffic": lambda s: s.history.window(
            "other-7", revision="bbb", limit=200
        ),
        "first 200 rows after a cursor": lambda s: s.history.window(
            "income", revision="bbb", limit=200, before=events // 2 + 100_000
        ),
        "last event of a revision": lambda s: s.history.last("income", revision="bbb", after=0),
        "last event, none since": lambda s: s.history.last("income", revision="bbb", after=events),
        "first answer of a revision": lambda s: s.history.first("income", revision="bbb"),
        "realised loss, 500 labels": lambda s: s.history.realised("income", "bbb", limit=500),
        "realised loss, 5,000 labels": lambda s: s.history.realised("income", "bbb", limit=5000),
        "realised loss of who has no label": lambda s: s.history.realised(
            "income", "ccc", limit=500
        ),
        "realised loss of a revision that is gone": lambda s: s.history.realised(
            "income", "aaa", limit=500
        ),
        "training rows, 5,000": lambda s: s.history.training_rows("income", limit=5000),
        "labelled span of 25,000 events": lambda s: s.labelled(
            "income", after=events - archive.EVENTS_AT_ONCE
        ),
        "exposure of 25,000 events": lambda s: s.exposure(
            "income", after=events - archive.EVENTS_AT_ONCE
        ),
        "pairs of 25,000 events": lambda s: s.pairs("income", **where),
        "alerts and drift records": lambda s: (
            s.conclusions.alerts(deployment="income"),
            s.conclusions.drift("income"),
        ),
    }


def measure(place: str | Path, *, events: int) -> Iterator[tuple[str, float, float]]:
    """Give each question with the seconds of its first answer and of the slowest of the next."""
    store = places.opened(place, timeout_seconds=60)
    try:
        for name, ask in questions(events).items():
            taken = []
            for _ in range(1 + REPEATS):
                began = time.perf_counter()
                ask(store)
                taken.append(time.perf_counter() - began)
                if taken[-1] > 5:
                    break
            yield name, taken[0], max(taken[1:] or taken)
    finally:
        store.close()


def prune(place: str | Path, *, events: int) -> tuple[int, float, float]:
    """Let the oldest tenth go for up to PRUNING seconds; return how many went, the longest step and
    all of it in seconds."""
    store = places.opened(place, timeout_seconds=60)
    removed, longest, began = 0, 0.0, time.perf_counter()
    before = START + events / 10 * APART
    try:
        while time.perf_counter() - began < PRUNING:
            at = time.perf_counter()
            number = store.prune_some(before)
            longest = max(longest, time.perf_counter() - at)
            removed += number
            if not number:
                break
        return removed, longest, time.perf_counter() - began
    finally:
        store.close()

"""Payloads by day in a real PostgreSQL: a store of the version before is brought up to date while it is
written on, and a day goes as a whole."""

import contextlib
import threading
from typing import Any

import pytest

from fairway.monitoring.eventstore import archive, postgres_days
from tests.monitoring import made, postgres
from tests.monitoring.postgres import Server

# the database is a package of the machine's, as those of the test cluster are
pytestmark = pytest.mark.cluster
server, events = postgres.server, postgres.events

DAY = postgres_days.SECONDS
BEFORE = 7  # the format without days
# as the version before writes
OLD_EVENT = """
INSERT INTO events (seq, received, logged, type, deployment, request_id, revision, role, namespace, time, status, rows,
  labels, version)
SELECT seq + 1, 5, 1, 'prediction', 'income', %s, 'aaa', 'stable', 'default', 5, 200, 1, '["cat"]', 0 FROM progress"""
OLD_PAYLOAD = "INSERT INTO payloads SELECT seq + 1, '{\"age\":[1]}', NULL FROM progress"


def days(events: archive.EventStore) -> list[int]:
    """Return the days that have a partition."""
    with events.reading() as connection:
        found = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'payloads'::regclass"
        )
        return sorted(int(name.rpartition("_")[2]) for (name,) in found)


def answered(events: archive.EventStore) -> list[Any]:
    """Return what monitor, trainer and rollout are told; what is tallied has no order."""
    joins = events.tally(before=1e12)
    assert joins is not None
    return [
        events.counts(),
        events.newest_at(),
        events.history.window("income", revision="aaa", limit=1000),
        events.history.realised("income", "aaa"),
        events.history.training_rows("income", limit=1000),
        events.labelled("income", after=0, by="age"),
        events.exposure("income", after=0),
        events.outcomes("income", after=0),
        events.pairs("income", stable="aaa", candidate="bbb", after=0),
        sorted(map(repr, joins.joined)),
        joins.unjoined,
        events.count_unpaired(before=1e12),
    ]


def batch(first: int, last: int) -> list[dict[str, Any]]:
    return [
        event
        for i in range(first, last)
        for event in (
            made.prediction(f"r{i}"),
            made.prediction(f"r{i}", role="shadow", revision="bbb"),
            made.label(f"r{i}", "dog" if i % 3 else "cat"),
        )
    ]


def set_back(server: Server) -> None:
    """Make of the store what the version before had made of the same events."""
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SET search_path TO fairway")
        connection.execute("CREATE TABLE old AS SELECT seq, inputs, probabilities FROM payloads")
        connection.execute("DROP TABLE payloads")
        connection.execute("ALTER TABLE old RENAME TO payloads")
        connection.execute("ALTER TABLE payloads ADD PRIMARY KEY (seq)")
        connection.execute("ALTER TABLE events DROP COLUMN day")
        connection.execute("DROP INDEX event_late")
        connection.execute(f"DELETE FROM format WHERE version > {BEFORE}")
        connection.execute("DELETE FROM marks")


def write_as_before(server: Server, name: str) -> None:
    import psycopg

    with psycopg.connect(server.url, options="-c search_path=fairway") as connection:
        connection.execute("SELECT seq FROM progress FOR UPDATE")
        connection.execute(OLD_EVENT, (name,))
        connection.execute(OLD_PAYLOAD)
        connection.execute("UPDATE progress SET seq = seq + 1")


def test_a_store_of_the_version_before_answers_as_it_did_and_is_written_on_by_both(
    server: Server, events: archive.EventStore
) -> None:
    events.add(batch(0, 40), at=3 * DAY)
    expected = answered(events)
    set_back(server)
    with contextlib.closing(server.open()) as now:
        assert answered(now) == expected
        assert now.add(batch(0, 40), at=3 * DAY) == 0
        write_as_before(server, "while it is updated")
        now.add([made.prediction("new")], at=4 * DAY)
        found = now.history.window("income", revision="aaa", limit=2)
        assert [one.request_id for one in found] == ["while it is updated", "new"]
        assert now.prune(4 * DAY) == 121
        assert days(now) == [4, 5]
        assert [
            one.request_id for one in now.history.window("income", revision="aaa", limit=9)
        ] == ["new"]


def test_two_collectors_bring_one_store_up_to_date_at_once_and_write_the_same_day(
    server: Server, events: archive.EventStore
) -> None:
    events.add(batch(0, 40), at=3 * DAY)
    set_back(server)
    new: list[int] = []

    def collect(first: int) -> None:
        with contextlib.closing(server.open()) as opened:
            new.extend(
                opened.add(batch(i, i + 1), at=(7 + i / 100) * DAY)
                for i in range(first, first + 20)
            )

    threads = [threading.Thread(target=collect, args=(first,)) for first in (50, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(new) == 3 * 30  # of them ten came to both
    assert days(events) == [0, 7, 8]


def test_a_day_is_dropped_once_its_last_event_went_and_the_others_answer(
    events: archive.EventStore,
) -> None:
    for day in (10, 11, 12):
        events.add(batch(10 * day, 10 * day + 10), at=day * DAY + 1)
    assert days(events) == [0, 10, 11, 12, 13]
    assert events.prune(10 * DAY + 1) == 0
    assert events.prune(12 * DAY) == 60
    assert days(events) == [12, 13]
    found = events.history.window("income", revision="aaa", limit=100)
    assert [one.request_id for one in found] == [f"r{i}" for i in range(120, 130)]
    assert all(one.inputs for one in found)
    events.add([made.prediction("late")], at=11 * DAY)  # a clock that was set back
    assert days(events) == [11, 12, 13]


def test_a_day_that_is_read_goes_later_and_no_writer_waits_for_it(
    server: Server, events: archive.EventStore
) -> None:
    for day in (10, 11):
        events.add(batch(10 * day, 10 * day + 10), at=day * DAY)
    with (
        contextlib.closing(server.open()) as reader,
        contextlib.closing(reader.history.records("income", revision="aaa")) as records,
    ):
        next(records)
        assert events.prune(11 * DAY) == 30
        assert days(events) == [0, 10, 11, 12]
        assert events.add([made.prediction("new")], at=12 * DAY) == 1  # and makes a day
        assert len(list(records)) == 19
    assert events.prune_some(11 * DAY) == 0
    assert days(events) == [11, 12, 13]


def test_what_was_rolled_back_is_made_again(events: archive.EventStore) -> None:
    with contextlib.suppress(KeyError), events.writing():
        events.add([made.prediction("lost")], at=20 * DAY)
        raise KeyError
    assert days(events) == [0]
    assert events.add([made.prediction("kept")], at=20 * DAY) == 1
    assert days(events) == [0, 20, 21]

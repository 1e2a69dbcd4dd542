"""The store in PostgreSQL, on a real server: what the other tests say of a store, and that it
answers as SQLite does."""

import contextlib
import dataclasses
import itertools
import re
import threading

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway import errors
from fairway.monitoring.eventstore import (
    archive,
    blobs,
    cloudevents,
    databases,
    places,
    postgres_sql,
    sqlite_sql,
)
from tests.monitoring import made, postgres, processes
from tests.monitoring import test_store as sqlite
from tests.monitoring.postgres import Server
from tests.monitoring.test_gauges import (  # noqa: F401 - as are these
    test_a_label_of_words_loses_what_its_task_says,
    test_a_label_that_the_task_cannot_read_is_refused_once_its_answer_is_there,
    test_a_list_is_no_label_of_a_class,
    test_a_number_is_read_however_it_is_written,
    test_a_pair_of_numbers_is_as_far_apart_as_its_task_says,
    test_both_arms_labels_are_measured_as_of_one_revision,
    test_both_halves_are_measured_as_of_stable_and_other_tasks_are_incomparable,
    test_labels_of_numbers_are_given_by_the_values_of_a_feature,
    test_only_words_are_answers_to_be_counted,
    test_pairs_of_classes_of_numbers_and_of_refusals_are_added_up,
    test_realised_loss_is_the_task_s_and_the_newest_label_counts,
    test_what_no_task_here_measures_is_incomparable_and_said_once,
)
from tests.monitoring.test_store import (  # noqa: F401 - collected here with this module's `events`
    test_a_copy_without_its_original_is_counted_once_and_the_young_are_looked_at_again,
    test_a_deployment_of_the_same_name_in_another_namespace_is_another,
    test_a_label_counts_the_rows_it_knows,
    test_a_pair_is_judged_by_both_answers,
    test_a_verdict_and_the_mark_after_it_are_stored_together_or_not_at_all,
    test_a_wrong_event_is_named_and_nothing_of_its_batch_is_stored,
    test_an_alert_is_opened_once_until_it_is_resolved,
    test_an_answer_looks_at_so_many_events_and_the_next_goes_on_from_there,
    test_an_odd_class_name_counts_as_one_row,
    test_blobs_go_with_the_last_event_of_their_revision,
    test_drift_records_come_back_oldest_first_with_their_number,
    test_labels_are_told_by_true_class_and_how_many_answers_have_one,
    test_labels_join_the_served_answer_whichever_comes_first_and_never_the_shadow,
    test_of_a_window_that_is_not_full_nothing_is_given,
    test_realised_loss_is_of_one_revision_and_its_newest_labels,
    test_threads_of_one_process_may_share_a_store,
    test_training_rows_are_labelled_and_count_once,
    test_windows_are_the_newest_rows_and_share_none,
)

# the database is a package of the machine's, as those of the test cluster are
pytestmark = pytest.mark.cluster
server, events = postgres.server, postgres.events

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def tallied(events: archive.EventStore) -> list[object]:
    """What labels say of the answers, without how long they took: the clock is another by then."""
    found = events.tally(before=1e12)
    if found is None:
        return []
    return [sorted((*one[:4], one.rows) for one in found.joined), found.unjoined]


def answers(events: archive.EventStore) -> list[object]:
    """Everything that a store can be asked, with numbers left out: PostgreSQL counts on where
    SQLite had a duplicate."""
    asked = {"stable": "aaa", "candidate": "bbb", "after": 0}
    return [
        events.pairs("income", **asked)[1],
        events.count_unpaired(before=1e12),
        tallied(events),
        events.labelled("income", after=0)[1],
        events.exposure("income", after=0)[1],
        [p[1:] for p in events.history.window("income", revision="aaa", limit=7)],
        [events.history.realised("income", revision) for revision in ("aaa", "bbb")],
        [row[1:] for row in events.history.training_rows("income", limit=9)],
        [events.history.by_class("income", revision) for revision in ("aaa", "bbb")],
        [events.history.mature("income", revision) for revision in ("aaa", "bbb")],
        events.history.learnable("income", limit=9),
        events.counts(),
    ]


@QUICK
@given(
    batch=sqlite.UNIQUE,
    cuts=st.lists(st.integers(0, 30), max_size=4),
    again=st.lists(st.integers(0, 29), max_size=5),
)
def test_it_answers_as_sqlite_does(
    server: Server, batch: list[dict], cuts: list[int], again: list[int]
) -> None:
    server.empty()
    bounds = [0, *sorted(min(cut, len(batch)) for cut in cuts), len(batch)]
    parts = [batch[start:end] for start, end in itertools.pairwise(bounds)] + [
        [batch[i] for i in again if i < len(batch)]
    ]
    with sqlite.fresh() as one, contextlib.closing(server.open()) as two:
        assert [one.add(part, at=100) for part in parts] == [
            two.add(part, at=100) for part in parts
        ]
        assert answers(one) == answers(two)


WRITES = ("REMOVE_", "REFRESH_", "OPEN_", "RESOLVE_", "SET_", "TOUCH_", "KEEP_")
VALUES = {
    "namespace": "default",
    "deployment": "income",
    "revision": "aaa",
    "role": "stable",
    "stable": "aaa",
    "candidate": "bbb",
    "after": 1,
    "cursor": 10,
    "before": 150.0,
    "sliced": True,
    "most": 3,
    "wanted": 3,
    "requests": '["r0", "r1", "unknown"]',
    "rows": 3,
    "last": 2,
    "name": "MonitoringDrift",
    "severity": "page",
    "summary": "s",
    "description": "d",
    "at": 7.0,
    "resolution": None,
    "open_only": True,
    "limit": 5,
    "drifted": True,
    "record": "{}",
    "key": "here",
    "value": "8",
    "digest": "5e",
    "content": b"0",
    **made.half("r7", "response")._asdict(),
    "received": 120.0,
    "size": 8,
    "bytes": 1000,
}


def said(store: archive.EventStore, dialect: databases.Dialect, name: str) -> object:
    """Return what the statement gives of a store with a little of everything in it."""
    answered = [
        made.prediction(f"r{i}", role=role, revision=revision, label=["cat", "dog"][i % 2])
        for i in range(3)
        for role, revision in (("stable", "aaa"), ("shadow", "bbb"))
    ]
    store.add(
        [
            *answered,
            made.prediction("lost", role="shadow", revision="bbb"),
            made.outcome("r1", 2.5),
            made.label("nobodys", "cat"),
        ],
        at=100,
    )
    store.add([made.label(f"r{i}", "cat") for i in range(3)], at=200)
    alert = {
        "name": "MonitoringDrift",
        "deployment": "income",
        "severity": "ticket",
        "summary": "s",
    }
    store.conclusions.open_alert(**alert, description="before", at=1)
    store.conclusions.resolve_alert(name="MonitoringDrift", deployment="income", at=2)
    if name != "OPEN_ALERT":
        store.conclusions.open_alert(**alert, description="now", at=3)
    for at in (1.0, 2.0):
        store.conclusions.add_drift(
            {"deployment": "income", "revision": "aaa", "at": at, "drifted": True}
        )
    store.conclusions.set_mark("here", 7)
    kept = blobs.BlobPlace(
        namespace="default", deployment="income", revision="aaa", name="MonitoringDrift"
    )
    store.blobs.put(kept, b"kept", at=1)
    store.blobs.put(dataclasses.replace(kept, revision="gone"), b"gone", at=1)
    if name != "KEEP_HALF":
        store.add_halves([made.half("r7", "response"), made.half("r8", "request")], at=120)
    with store.writing() as connection:
        if name == "REMOVE_PAYLOADS":
            connection.execute(dialect.REMOVE_EVENTS, VALUES)
        result = connection.execute(getattr(dialect, name), VALUES)
        return (
            result.rowcount
            if name.startswith(WRITES)
            else [tuple(row) for row in result.fetchall()]
        )


@pytest.mark.parametrize(
    "name", [name for name in databases.Dialect.__annotations__ if name != "IDENTITY"]
)
def test_a_statement_gives_the_same_in_both_dialects(server: Server, name: str) -> None:
    server.empty()
    with sqlite.fresh() as one, contextlib.closing(server.open()) as two:
        given = said(one, sqlite_sql, name)
        assert given == said(two, postgres_sql, name)
        assert given  # of nothing, nothing would be held


def test_a_store_has_an_identity_of_32_digits_in_both(events: archive.EventStore) -> None:
    with sqlite.fresh() as other:
        assert {len(events.position().store), len(other.position().store)} == {32}


def test_the_newest_label_counts_and_what_it_corrects_is_kept(events: archive.EventStore) -> None:
    events.add([made.prediction("r", label="cat"), made.label("r", "dog")])
    before, _ = events.labelled("income", after=0)
    assert [events.add([made.label("r", truth)]) for truth in ("cat", "cat", "bird", "cat")] == [
        1,
        0,
        1,
        1,
    ]
    assert events.history.realised("income", "aaa").lost == 0
    assert events.labelled("income", after=before)[1] == []
    assert [one.wrong for one in events.labelled("income", after=0)[1]] == [0]
    assert (
        events.unanswered([cloudevents.parse(made.label(name, "cat")) for name in ("r", "other")])
        == 1
    )


def test_pruning_removes_the_old_and_the_cursor_does_not_fall(events: archive.EventStore) -> None:
    events.add([made.prediction(f"old{i}") for i in range(3000)], at=100)
    events.add([made.prediction("young")], at=300)
    assert events.prune(200) == 3000
    assert [w.request_id for w in events.history.window("income", revision="aaa", limit=10)] == [
        "young"
    ]
    assert (events.prune(400), events.cursor()) == (1, 3001)
    with events.reading() as connection:
        assert connection.execute("SELECT count(*) FROM payloads").fetchone() == (0,)


def test_a_reader_misses_nothing_while_several_write(
    server: Server, events: archive.EventStore
) -> None:
    def write(name: str) -> None:
        with contextlib.closing(server.open()) as mine:
            for i in range(40):
                mine.add([made.prediction(f"{name}-{i}-{j}") for j in range(5)])

    writers = [threading.Thread(target=write, args=(f"w{i}",)) for i in range(4)]
    for writer in writers:
        writer.start()
    seen, cursor = 0, 0
    while any(writer.is_alive() for writer in writers) or cursor < events.cursor():
        cursor, some = events.exposure("income", after=cursor)
        seen += len(some)
    assert seen == 4 * 40 * 5


def test_processes_that_open_a_new_store_at_once_all_succeed(server: Server) -> None:
    server.empty()
    opened: list[archive.EventStore] = []
    threads = [threading.Thread(target=lambda: opened.append(server.open())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    for one in opened:
        one.close()


def test_a_store_of_a_newer_fairway_is_left_alone(
    server: Server, events: archive.EventStore
) -> None:
    with events.writing() as connection:
        connection.execute("INSERT INTO format VALUES (99)")
    with pytest.raises(errors.PlatformError, match="has format 99"):
        server.open()


def test_a_server_that_is_away_is_busy_and_is_found_again(
    server: Server, events: archive.EventStore
) -> None:
    events.add([made.prediction("before")])
    server.stop()
    try:
        with pytest.raises(
            errors.StoreBusy, match=r"cannot be used now .*; nothing was stored, try again"
        ):
            events.add([made.prediction("during")])
    finally:
        server.start()
    assert events.add([made.prediction("after")]) == 1
    assert [len(events.exposure("income", after=0)[1]), events.cursor()] == [2, 2]


def test_a_server_that_takes_no_writes_is_busy_until_it_takes_them_again(
    server: Server, events: archive.EventStore
) -> None:
    import psycopg

    def said() -> str:
        try:
            events.add([made.prediction("r")])
        except errors.StoreBusy as error:
            return str(error)
        return ""

    with psycopg.connect(
        server.url, autocommit=True, options="-c default_transaction_read_only=off"
    ) as connection:
        for read_only in (True, False):
            connection.execute(
                f"ALTER SYSTEM SET default_transaction_read_only = {'on' if read_only else 'off'}"
            )
            connection.execute("SELECT pg_reload_conf()")
            processes.eventually(lambda wanted=read_only: ("read-only" in said()) == wanted)
    assert events.cursor() == 1


def test_a_writer_that_holds_the_lock_makes_the_others_busy_and_readers_go_on(
    server: Server, events: archive.EventStore
) -> None:
    with contextlib.closing(server.open()) as other, other.writing():
        with pytest.raises(errors.StoreBusy, match="lock timeout"):
            events.add([made.prediction("r")])
        assert events.cursor() == 0
    assert events.add([made.prediction("r")]) == 1


@pytest.mark.parametrize("analysed", [False, True], ids=["a young table", "with statistics"])
def test_only_new_rows_and_their_other_halves_are_read(
    events: archive.EventStore, analysed: bool
) -> None:
    for start in range(0, 20_000, 10_000):
        events.add(
            [
                event
                for i in range(start, start + 10_000, 3)
                for event in (
                    made.prediction(f"r{i}"),
                    made.prediction(f"r{i}", role="shadow", revision="bbb"),
                    made.label(f"r{i}", "cat"),
                )
            ]
        )
    if analysed:
        with events.writing() as connection:
            connection.execute("ANALYZE")
    values = {
        "namespace": "default",
        "deployment": "income",
        "stable": "aaa",
        "candidate": "bbb",
        "revision": "aaa",
        "after": 19_900,
        "cursor": 20_000,
        "most": 500,
        "sliced": True,
    }
    for query in (
        postgres_sql.PAIRS,
        postgres_sql.LABELLED,
        postgres_sql.OUTCOMES,
        postgres_sql.EXPOSURE,
        postgres_sql.REALISED,
        postgres_sql.TRAINING,
    ):
        with events.reading() as connection:
            plan = [
                line
                for (line,) in connection.execute("EXPLAIN (ANALYZE, TIMING OFF) " + query, values)
            ]
        rows = [
            int(found[1]) * int(found[2])
            for line in plan
            if (found := re.search(r"actual rows=(\d+) loops=(\d+)", line))
        ]
        assert max(rows) < 1000, "\n".join(plan)
        assert not [line for line in plan if "Seq Scan" in line and "payloads" not in line], (
            "\n".join(plan)
        )


def test_of_a_long_history_the_newest_rows_are_brought(events: archive.EventStore) -> None:
    events.add([made.prediction(f"r{i}") for i in range(5000)])
    assert [w.request_id for w in events.history.window("income", revision="aaa", limit=2)] == [
        "r4998",
        "r4999",
    ]
    assert events.history.realised("income", "aaa", limit=5).rows == 0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://fairway:hu%sh@/events",
        "postgresql://fairway:hu/sh@host/events",
        "postgresql://fairway:hu@sh@host/events",
        "postgresql://fairway:hush@host:x/e",
    ],
    ids=["percent", "slash", "at", "port"],
)
def test_a_url_that_cannot_be_read_shows_nothing_of_its_password(url: str) -> None:

    with pytest.raises(errors.UsageError, match="%25 for %") as said:
        places.opened(url)
    assert not any(part in str(said.value) for part in ("hu", "sh@", "hush"))
    assert said.value.__cause__ is None


def test_a_server_that_is_away_is_named_without_the_password(server: Server) -> None:

    with pytest.raises(errors.StoreBusy) as said:
        places.opened("postgresql://fairway:hu%2Fsh@127.0.0.1:1/events", timeout_seconds=1)
    assert "127.0.0.1/events" in str(said.value)
    assert "hu/sh" not in str(said.value)


def test_the_collector_stores_to_it_and_says_where_without_the_password(
    server: Server, events: archive.EventStore
) -> None:
    url = server.url.replace("postgresql:///", "postgresql://fairway:hush@/")
    with processes.collector(url, "--retention", "1d") as running:
        answer = httpx.post(
            running.url + "/v1/events", json=[made.prediction("r"), made.label("r", "dog")]
        )
        assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "new": 2})
        found = httpx.get(
            running.url + "/v1/labelled",
            params={"namespace": "default", "deployment": "income", "after": 0},
        ).json()
        assert [dict(zip(found["fields"], row, strict=True))["wrong"] for row in found["rows"]] == [
            1
        ]
        assert "hush" not in running.said
    assert len(events.labelled("income", after=0)[1]) == 1

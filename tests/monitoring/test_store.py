import contextlib
import itertools
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway import errors
from fairway.cli import alerts
from fairway.monitoring.eventstore import (
    answers,
    archive,
    blobs,
    cloudevents,
    places,
    sqlite_sql,
)
from tests.monitoring import made

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@contextlib.contextmanager
def fresh() -> Iterator[archive.EventStore]:
    opened = places.opened(Path(":memory:"))
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def events(tmp_path: Path) -> Iterator[archive.EventStore]:
    opened = places.opened(tmp_path / "events.db", timeout_seconds=0.2)
    yield opened
    opened.close()


IDS = st.sampled_from([f"r{i}" for i in range(6)])


def answer(request_id: str, arm: tuple[str, str], label: str, status: int) -> dict:
    return made.prediction(
        request_id,
        role=arm[0],
        revision=arm[1],
        label=label if status == 200 else None,
        status=status,
    )


PREDICTIONS = st.builds(
    answer,
    IDS,
    st.sampled_from([("stable", "aaa"), ("canary", "bbb"), ("shadow", "bbb"), ("stable", "old")]),
    st.sampled_from(["cat", "dog"]),
    st.sampled_from([200, 200, 200, 422, 500]),
)
LABELS = st.builds(made.label, IDS, st.sampled_from(["cat", "dog"]))
OUTCOMES = st.builds(
    made.outcome, IDS, st.sampled_from([0.0, 2.5]), name=st.sampled_from(["purchase", "visit"])
)
UNIQUE = st.lists(
    st.one_of(PREDICTIONS, LABELS, OUTCOMES),
    max_size=30,
    unique_by=lambda e: (e["type"], e["id"], e["data"].get("outcome")),
)


def all_pairs(events: archive.EventStore) -> answers.Pairs:
    return events.pairs("income", stable="aaa", candidate="bbb", after=0)[1]


def met(events: archive.EventStore) -> list[answers.Exposure]:
    return sorted((row._replace(seq=0) for row in events.exposure("income", after=0)[1]), key=repr)


@QUICK
@given(batch=UNIQUE, data=st.data())
def test_pairs_and_labels_do_not_depend_on_the_order_or_number_of_deliveries(
    batch: list[dict], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(batch), max_size=10)) if batch else []
    other_order = data.draw(st.permutations(batch + again))
    with fresh() as one, fresh() as two:
        one.add(batch)
        for event in other_order:
            two.add([event])
        assert all_pairs(one) == all_pairs(two)
        assert sorted(one.labelled("income", after=0)[1]) == sorted(
            two.labelled("income", after=0)[1]
        )
        assert met(one) == met(two)
        assert sorted(one.outcomes("income", after=0)[1], key=repr) == sorted(
            two.outcomes("income", after=0)[1], key=repr
        )
        assert two.add(batch) == 0


@QUICK
@given(batch=UNIQUE, cuts=st.lists(st.integers(0, 30), max_size=5))
def test_a_reader_with_a_cursor_sees_every_join_exactly_once(
    batch: list[dict], cuts: list[int]
) -> None:
    bounds = [0, *sorted(min(c, len(batch)) for c in cuts), len(batch)]
    with fresh() as events:
        pairs, joined, met, became = answers.Pairs(), [], [], []
        p = j = m = o = 0
        for start, end in itertools.pairwise(bounds):
            events.add(batch[start:end])
            p, more = events.pairs("income", stable="aaa", candidate="bbb", after=p)
            pairs += more
            j, labelled = events.labelled("income", after=j)
            joined += labelled
            m, exposed = events.exposure("income", after=m)
            met += exposed
            o, outcomes = events.outcomes("income", after=o)
            became += outcomes
        assert pairs == all_pairs(events)
        assert joined == events.labelled("income", after=0)[1]
        assert met == events.exposure("income", after=0)[1]
        assert became == events.outcomes("income", after=0)[1]


def test_a_deployment_of_the_same_name_in_another_namespace_is_another(
    events: archive.EventStore,
) -> None:
    events.add(
        [
            made.prediction("r"),
            made.prediction("r", role="shadow", revision="bbb"),
            made.label("r", "cat"),
        ]
    )
    assert (
        events.add(
            [
                made.prediction("r", namespace="models", unitId="u"),
                made.label("r", "dog", namespace="models"),
            ]
        )
        == 2
    )
    here, there = events.within("default"), events.within("models")
    asked = {"stable": "aaa", "candidate": "bbb", "after": 0}
    assert [reader.pairs("income", **asked)[1].compared for reader in (here, there)] == [1, 0]
    assert [
        [x.wrong for x in reader.labelled("income", after=0)[1]] for reader in (here, there)
    ] == [[0], [1]]
    assert [
        [x.unit for x in reader.exposure("income", after=0)[1]] for reader in (here, there)
    ] == [[None], ["u"]]
    assert [
        events.history.realised("income", "aaa", namespace=name).lost
        for name in ("default", "models")
    ] == [0, 1]
    assert [
        len(events.history.window("income", namespace=name, revision="aaa", limit=9))
        for name in ("default", "models")
    ] == [1, 1]
    assert [
        row.labels for row in events.history.training_rows("income", namespace="models", limit=9)
    ] == [["dog"]]


def test_labels_are_given_by_the_values_of_a_feature_where_its_inputs_were_logged(
    events: archive.EventStore,
) -> None:
    three = made.prediction(
        "r1", label=["cat", "cat", "dog"], inputs={"sector": ["state", "private", "state"]}
    )
    unlogged = made.prediction("r2", label=["cat"], inputs=None)
    other = made.prediction("r3", label=["cat"], inputs={"age": [39.0]})
    events.add(
        [
            three,
            unlogged,
            other,
            made.label("r1", ["dog", "cat", None]),
            made.label("r2", "dog"),
            made.label("r3", "cat"),
        ]
    )
    found = events.labelled("income", after=0, by="sector")[1]
    assert [(label.request_id, label.slice, label.rows, label.wrong) for label in found] == [
        ("r1", "state", 1, 1),
        ("r1", "private", 1, 0),
        ("r2", None, 1, 1),
        ("r3", None, 1, 0),
    ]
    assert [
        (label.request_id, label.slice, label.rows, label.wrong)
        for label in events.labelled("income", after=0)[1]
    ] == [("r1", None, 2, 1), ("r2", None, 1, 1), ("r3", None, 1, 0)]


def test_an_answer_looks_at_so_many_events_and_the_next_goes_on_from_there(
    events: archive.EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.add([made.prediction(f"old{i}") for i in range(50)], at=100)
    events.add([made.prediction(f"r{i}") for i in range(25)], at=300)
    events.prune(200)
    monkeypatch.setattr(archive, "EVENTS_AT_ONCE", 10)
    cursor, sizes = 0, []
    while cursor < events.cursor():
        cursor, some = events.exposure("income", after=cursor)
        sizes.append(len(some))
    assert sizes == [10, 10, 5]  # none is empty: what was pruned is not looked at


@pytest.mark.parametrize(
    "name",
    [
        "PAIRS",
        "LABELLED",
        "OUTCOMES",
        "EXPOSURE",
        "UNPAIRED",
        "FIRST_YOUNG",
        "WINDOW",
        "REALISED",
        "TRAINING",
        "FIRST_ANSWER",
        "GAUGE",
    ],
)
def test_a_query_reads_no_table_from_end_to_end(events: archive.EventStore, name: str) -> None:
    values = {
        "namespace": "n",
        "deployment": "d",
        "revision": "a",
        "role": "stable",
        "stable": "a",
        "candidate": "b",
        "after": 5,
        "cursor": 9,
        "before": 7,
        "most": 3,
        "sliced": True,
    }
    with events.reading() as connection:
        steps = [
            row[3]
            for row in connection.execute("EXPLAIN QUERY PLAN " + getattr(sqlite_sql, name), values)
        ]
    scanned = [
        step
        for step in steps
        if step.startswith("SCAN") and step != "SCAN pair" and "CONSTANT" not in step
    ]
    if name == "REALISED":  # of the newest labels, which a look into the index found
        assert any(step.startswith("SEARCH l USING INDEX event_of_arm") for step in steps)
        scanned.remove("SCAN l")
    assert not scanned
    assert not [
        step for step in steps if "event_" in step and "namespace=? AND deployment=?" not in step
    ]


@pytest.mark.parametrize(
    ("stable", "shadow", "expected"),
    [
        pytest.param({}, {}, {"compared": 1}, id="agree"),
        pytest.param({}, {"label": "dog"}, {"compared": 1, "disagreements": 1}, id="another label"),
        pytest.param(
            {"label": ["a", "b"]},
            {"label": ["a", "c"]},
            {"compared": 1, "disagreements": 1},
            id="in one row",
        ),
        pytest.param(
            {},
            {"label": None, "status": 422},
            {"compared": 1, "disagreements": 1},
            id="candidate refuses",
        ),
        pytest.param(
            {}, {"label": None, "status": 503}, {"candidate_failures": 1}, id="candidate fails"
        ),
        pytest.param(
            {},
            {"label": None, "status": 503, "inputDigest": None},
            {"candidate_failures": 1},
            id="fails unread",
        ),
        pytest.param({"label": None, "status": 500}, {}, {"stable_failures": 1}, id="stable fails"),
        pytest.param(
            {"label": None, "status": 500},
            {"label": None, "status": 500},
            {"both_failed": 1},
            id="both fail",
        ),
        pytest.param({"label": None, "status": 400}, {}, {"incomparable": 1}, id="stable refuses"),
        pytest.param({}, {"inputDigest": "f" * 16}, {"mismatched_inputs": 1}, id="other inputs"),
    ],
)
def test_a_pair_is_judged_by_both_answers(
    events: archive.EventStore, stable: dict, shadow: dict, expected: dict
) -> None:
    events.add(
        [
            made.prediction("r", **stable),
            made.prediction("r", role="shadow", revision="bbb", **shadow),
        ]
    )
    assert all_pairs(events) == answers.Pairs(**expected)


def test_a_copy_without_its_original_is_counted_once_and_the_young_are_looked_at_again(
    events: archive.EventStore,
) -> None:
    copy = {"role": "shadow", "revision": "bbb"}
    events.add(
        [made.prediction("alone"), made.prediction("paired"), made.prediction("paired", **copy)],
        at=100,
    )
    events.add([made.prediction("lost", **copy)], at=100)
    events.add([made.prediction("late", **copy)], at=200)
    assert events.count_unpaired(before=150) == [("default", "income", "bbb", 1)]
    assert events.count_unpaired(before=150) is None
    events.add([made.prediction("late")], at=210)
    events.add([made.prediction("later", namespace="other", **copy)], at=220)
    assert events.count_unpaired(before=250) == [("other", "income", "bbb", 1)]
    assert events.count_unpaired(before=250) is None


def test_labels_join_the_served_answer_whichever_comes_first_and_never_the_shadow(
    events: archive.EventStore,
) -> None:
    events.add([made.label("early", "dog"), made.prediction("early", unitId="u1")])
    events.add([made.prediction("early", role="shadow", revision="bbb")])
    events.add(
        [
            made.prediction("late", role="canary", revision="bbb"),
            made.label("late", "cat"),
            made.label("never", "cat"),
        ]
    )
    joined = events.labelled("income", after=0)[1]
    seen = [(x.request_id, x.unit, x.role, x.wrong) for x in joined]
    assert seen == [("early", "u1", "stable", 1), ("late", None, "canary", 0)]


def test_the_newest_label_counts_and_what_it_corrects_is_kept(events: archive.EventStore) -> None:
    events.add([made.prediction("r", label="cat", inputs={"age": [3]}), made.label("r", "dog")])

    def wrong() -> tuple[int, float, list[list[str | None]]]:
        known = events.history.realised("income", "aaa")
        return (
            known.rows,
            known.lost,
            [one.labels for one in events.history.training_rows("income", limit=9)],
        )

    seen = [wrong()]
    for truth, new in (("cat", 1), ("cat", 0), ("dog", 1), ("cat", 1)):
        assert events.add([made.label("r", truth)]) == new
        seen.append(wrong())
    assert seen == [
        (1, 1, [["dog"]]),
        *[(1, 0, [["cat"]])] * 2,
        (1, 1, [["dog"]]),
        (1, 0, [["cat"]]),
    ]
    with events.reading() as connection:
        kept = connection.execute(
            "SELECT version, labels FROM events WHERE type = 'label' ORDER BY seq"
        ).fetchall()
    assert [tuple(row) for row in kept] == [
        (0, '["dog"]'),
        (1, '["cat"]'),
        (2, '["dog"]'),
        (3, '["cat"]'),
    ]


def test_corrections_within_one_batch_follow_each_other(events: archive.EventStore) -> None:
    events.add([made.prediction("r", label="cat")])
    batch = [made.label("r", truth) for truth in ("dog", "dog", "cat")]
    assert [events.add(batch), events.add(batch[2:])] == [2, 0]
    assert events.history.realised("income", "aaa").lost == 0


@pytest.mark.parametrize("first", ["label", "prediction"])
def test_a_rollout_meets_a_corrected_label_once_and_as_it_reads_when_it_is_met(
    events: archive.EventStore, first: str
) -> None:
    batch = [made.prediction("r", label="cat"), made.label("r", "dog")]
    events.add(batch if first == "prediction" else batch[::-1])
    before, met_before = events.labelled("income", after=0)
    events.add([made.label("r", "cat"), made.label("r", "bird"), made.label("r", "cat")])
    _, since = events.labelled("income", after=before)
    _, anew = events.labelled("income", after=0)
    _, then = events.labelled("income", after=0, until=before)
    assert [[one.wrong for one in some] for some in (met_before, since, anew, then)] == [
        [1],
        [],
        [0],
        [1],
    ]


def test_labels_of_requests_that_no_server_has_told_of_are_said_and_count_once_it_has(
    events: archive.EventStore,
) -> None:
    events.add([made.prediction("r", label="cat"), made.prediction("s", namespace="shop")])
    rows = [cloudevents.parse(made.label(name, "cat")) for name in ("r", "s", "late")]
    assert len(events.add_new(rows)) == 3
    assert events.unanswered(rows) == 2
    events.add([made.prediction("late", label="dog")])
    assert (events.unanswered(rows), events.history.realised("income", "aaa").lost) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "truth", "wrong"),
    [
        ("1", "1.0", 0),
        ("True", "true", 0),
        ("1", " 1 ", 0),
        ("0", "1", 1),
        ("01", "1", 1),
        ("1", True, 1),
        ("1", 1, 0),
    ],
)
def test_a_label_is_right_however_it_is_written(
    events: archive.EventStore, answer: str, truth: object, wrong: int
) -> None:
    events.add([made.prediction("r", label=answer), made.label("r", truth)])
    assert events.history.realised("income", "aaa").lost == wrong
    assert [one.wrong for one in events.labelled("income", after=0)[1]] == [wrong]


def test_a_label_counts_the_rows_it_knows(events: archive.EventStore) -> None:
    events.add([made.prediction("r", label=["a", "b", "c"]), made.label("r", ["a", "x", None])])
    events.add([made.prediction("short", label=["a", "b"]), made.label("short", ["a"])])
    assert [(x.request_id, x.rows, x.wrong) for x in events.labelled("income", after=0)[1]] == [
        ("r", 2, 1)
    ]
    assert events.history.realised("income", "aaa") == answers.RealisedLoss(
        rows=2, lost=1, first_at=made.START, last_at=made.START
    )


@pytest.mark.parametrize("label", ['a","b', "a\\", '"', ",", "é\u2028"], ids=repr)
def test_an_odd_class_name_counts_as_one_row(events: archive.EventStore, label: str) -> None:
    events.add([made.prediction("r", label=[label, label]), made.label("r", [label, label])])
    assert events.labelled("income", after=0)[1][0].rows == 2


def test_windows_are_the_newest_rows_and_share_none(events: archive.EventStore) -> None:
    events.add([made.prediction(f"r{i}", at=made.START + i) for i in range(10)])
    first = events.history.window("income", revision="aaa", limit=4)
    assert [w.request_id for w in first] == ["r6", "r7", "r8", "r9"]
    assert first[0].inputs == {"age": [39.0]}
    assert events.history.window("income", revision="aaa", limit=4, after=first[-1].seq) == []
    earlier = events.history.window("income", revision="aaa", limit=4, before=first[0].seq)
    assert [w.request_id for w in earlier] == ["r2", "r3", "r4", "r5"]


def test_of_a_window_that_is_not_full_nothing_is_given(events: archive.EventStore) -> None:
    events.add([made.prediction("r0", status=500)])
    events.add([made.prediction(f"r{i}", at=made.START + i) for i in range(1, 5)])
    arm = {"namespace": "default", "revision": "aaa"}
    assert list(events.history.newest("income", **arm, wanted=5)) == []
    full = list(events.history.newest("income", **arm, wanted=4))
    assert [one.request_id for one in full] == ["r4", "r3", "r2", "r1"]
    assert list(events.history.newest("income", **arm, wanted=4, after=full[-1].seq)) == []


def test_labels_are_told_by_true_class_and_how_many_answers_have_one(
    events: archive.EventStore,
) -> None:
    events.add([made.prediction(f"r{i}", label="cat") for i in range(5)])
    events.add([made.prediction("c", role="canary"), made.prediction("s", role="shadow")])
    events.add([made.prediction("other", revision="bbb"), made.label("other", "dog")])
    events.add([made.label(f"r{i}", said) for i, said in enumerate(["cat", "cat", "dog"])])
    events.add([made.label("r0", "dog"), made.label("s", "dog")])  # corrected; and not served
    assert events.history.by_class("income", "aaa") == ({"cat": (1, 0), "dog": (2, 2)}, 3)
    assert events.history.mature("income", "aaa") == (6, 3)
    assert events.history.mature("income", "ccc") == (0, 0)
    assert events.history.learnable("income", limit=9) == 4
    assert events.history.learnable("income", limit=2) == 2


def test_training_rows_are_labelled_and_count_once(events: archive.EventStore) -> None:
    events.add(
        [
            made.prediction("r1"),
            made.prediction("r1", role="canary", revision="bbb"),
            made.label("r1", "dog"),
        ]
    )
    events.add([made.prediction("r2", inputs=None), made.label("r2", "dog"), made.prediction("r3")])
    (row,) = events.history.training_rows("income", limit=10)
    assert (row.request_id, row.inputs, row.labels) == ("r1", {"age": [39.0]}, ["dog"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"role": "boss"},
            'event 1: data.role is "boss": wanted stable, canary or shadow; nothing of this batch was stored',
        ),
        ({"status": 7}, "event 1: data.status is 7: wanted a whole number from 100 to 599"),
        (
            {"labels": ["a", "b"]},
            'event 1: data.labels is ["a", "b"]: wanted a list of 1 class names',
        ),
        ({"requestId": ""}, 'event 1: data.requestId is "": wanted a string'),
        ({"requestId": "\ud800"}, "lone surrogates"),
        ({"latencySeconds": -1}, "event 1: data.latencySeconds is -1"),
        ({"inputs": [1]}, "event 1: data.inputs is [1]: wanted an object"),
    ],
    ids=lambda v: str(v)[:30] if isinstance(v, dict) else "",
)
def test_a_wrong_event_is_named_and_nothing_of_its_batch_is_stored(
    events: archive.EventStore, change: dict, sentence: str
) -> None:
    with pytest.raises(errors.DataError) as caught:
        events.add([made.prediction("good"), made.prediction("bad", **change)])
    assert sentence in str(caught.value)
    assert events.cursor() == 0


def test_a_locked_store_is_busy_and_takes_the_batch_afterwards(events: archive.EventStore) -> None:
    with contextlib.closing(sqlite3.connect(events.name, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(errors.StoreBusy, match=r"locked.*nothing was stored, try again"):
            events.add([made.prediction("r")])
        assert events.counts() == []  # readers do not wait for the writer
        other.execute("ROLLBACK")
    assert events.add([made.prediction("r")]) == 1


def test_a_full_disk_is_busy_stores_nothing_of_the_batch_and_recovers(
    events: archive.EventStore,
) -> None:
    events.add([made.prediction("kept")])
    with events.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        # SQLite's own SQLITE_FULL, as on a full disk
        connection.execute(f"PRAGMA max_page_count={pages + 4}")
    batch = [made.prediction(f"r{i}", inputs={"age": [0.5] * 500}) for i in range(100)]
    with pytest.raises(errors.StoreBusy, match="full"):
        events.add(batch)
    assert sum(arm.events for arm in events.counts()) == 1
    with events.writing() as connection:
        connection.execute("PRAGMA max_page_count=1000000")
    assert events.add(batch) == 100


def write_some(path: Path, name: str, number: int) -> None:
    opened = places.opened(path)
    for i in range(number):
        opened.add([made.prediction(f"{name}-{i}"), made.label(f"{name}-{i}", "cat")])
    opened.close()


def test_processes_that_open_a_new_store_at_once_all_write(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=write_some, args=(tmp_path / "events.db", f"w{i}", 50))
        for i in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    opened = places.opened(tmp_path / "events.db")
    assert len(opened.labelled("income", after=0)[1]) == 150
    opened.close()


def test_threads_of_one_process_may_share_a_store(events: archive.EventStore) -> None:
    def write(name: int) -> None:
        for i in range(20):
            events.add([made.prediction(f"t{name}-{i}")])

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert events.counts("income") == [
        answers.ArmCount(deployment="income", revision="aaa", role="stable", events=80)
    ]


def test_pruning_removes_the_old_and_the_cursor_does_not_fall(events: archive.EventStore) -> None:
    events.add([made.prediction(f"old{i}") for i in range(3000)], at=100)
    events.add([made.prediction("young")], at=300)
    cursor = events.cursor()
    assert events.prune(200) == 3000
    assert [w.request_id for w in events.history.window("income", revision="aaa", limit=10)] == [
        "young"
    ]
    assert events.prune(400) == 1
    assert events.cursor() == cursor
    with events.reading() as connection:
        assert connection.execute("SELECT count(*) FROM payloads").fetchone() == (0,)


def test_an_alert_is_opened_once_until_it_is_resolved(events: archive.EventStore) -> None:
    said = {"name": "MonitoringDrift", "severity": "ticket", "deployment": "income", "summary": "s"}
    assert events.conclusions.open_alert(**said, description="first", at=1)
    assert not events.conclusions.open_alert(**said, description="second", at=2)
    (alert,) = events.conclusions.alerts(open_only=True)
    assert (alert.description, alert.opened_at, alert.updated_at, alert.times) == (
        "second",
        1,
        2,
        2,
    )
    assert events.conclusions.resolve_alert(
        name="MonitoringDrift", deployment="income", at=3, resolution="clean again"
    )
    assert not events.conclusions.resolve_alert(name="MonitoringDrift", deployment="income", at=4)
    assert events.conclusions.alerts(open_only=True) == []
    assert events.conclusions.open_alert(**said, description="third", at=5)
    assert [a.resolved_at for a in events.conclusions.alerts()] == [None, 3]


def test_a_verdict_and_the_mark_after_it_are_stored_together_or_not_at_all(
    events: archive.EventStore,
) -> None:
    def conclude() -> None:
        with events.writing():
            events.conclusions.add_drift(
                {"deployment": "income", "revision": "aaa", "at": 1.0, "drifted": True}
            )
            events.conclusions.set_mark("after", 7)
            raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        conclude()
    assert events.conclusions.drift("income") == []
    assert events.conclusions.mark("after") is None


def test_blobs_go_with_the_last_event_of_their_revision(events: archive.EventStore) -> None:
    def place(revision: str, name: str = "reference.npz") -> blobs.BlobPlace:
        return blobs.BlobPlace(
            namespace="default", deployment="income", revision=revision, name=name
        )

    events.add([made.prediction("r0")], at=100)  # of revision aaa
    digest = events.blobs.put(place("aaa"), b"one", at=1)
    assert events.blobs.put(place("aaa"), b"two", at=1) != digest
    events.blobs.put(place("gone"), b"of nobody", at=1)
    events.blobs.put(place("new"), b"not served yet", at=60)
    events.blobs.put(place("", "usual"), b"learnt", at=1)
    assert list(events.blobs.digests(place("aaa"))) == ["reference.npz"]
    events.prune(50.0)
    assert events.blobs.get(place("aaa")) == b"two"
    assert events.blobs.get(place("gone")) is None
    assert events.blobs.get(place("new")) == b"not served yet"
    assert events.blobs.get(place("", "usual")) == b"learnt"
    events.prune(150.0)
    assert events.blobs.get(place("aaa")) is events.blobs.get(place("", "usual")) is None


def test_drift_records_come_back_oldest_first_with_their_number(events: archive.EventStore) -> None:
    for i in range(3):
        events.conclusions.add_drift(
            {"deployment": "income", "revision": "aaa", "at": float(i), "drifted": i == 1}
        )
    assert [(r["id"], r["drifted"]) for r in events.conclusions.drift("income", limit=2)] == [
        (2, True),
        (3, False),
    ]


def test_a_reader_leaves_a_store_of_an_earlier_version_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with contextlib.closing(sqlite3.connect(path)) as older:
        for statement in (statement for steps in sqlite_sql.MIGRATIONS[:-1] for statement in steps):
            older.execute(statement)
        older.execute(f"PRAGMA user_version={len(sqlite_sql.MIGRATIONS) - 1}")
        older.commit()
    with pytest.raises(errors.PlatformError, match=r"of an earlier version.*`fairway up`"):
        places.to_read(path)
    assert alerts.open_in(path) == []
    with contextlib.closing(sqlite3.connect(path)) as older:
        assert older.execute("PRAGMA user_version").fetchone() == (len(sqlite_sql.MIGRATIONS) - 1,)
    places.opened(path).close()
    places.to_read(path).close()


def test_a_store_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "events.db")) as older:
        for statement in sqlite_sql.MIGRATIONS[0]:
            older.execute(statement)
        older.execute("PRAGMA user_version=1")
        columns = "seq, received, type, deployment, request_id, revision, role, namespace, time, status, rows, labels"
        values = "1, 0, 'prediction', 'income', 'r', 'aaa', 'stable', 'default', 0, 200, 1, '[]'"
        older.execute(f"INSERT INTO events ({columns}) VALUES ({values})")
        older.execute("INSERT INTO payloads VALUES (1, '{\"age\":[1]}', NULL)")
        older.commit()
    opened = places.opened(tmp_path / "events.db")
    assert [w.request_id for w in opened.history.window("income", revision="aaa", limit=5)] == ["r"]
    opened.close()


def test_realised_loss_is_of_one_revision_and_its_newest_labels(events: archive.EventStore) -> None:
    events.add(
        [made.prediction("a"), made.label("a", "dog"), made.prediction("b"), made.label("b", "cat")]
    )
    events.add([made.prediction("c", revision="bbb"), made.label("c", "dog")])
    known = [
        events.history.realised("income", "aaa"),
        events.history.realised("income", "aaa", limit=1),
        events.history.realised("income", "bbb"),
    ]
    assert [(a.rows, a.lost) for a in known] == [(2, 1), (1, 0), (1, 1)]
    assert events.history.realised("income", "ccc") == answers.RealisedLoss()


def test_a_store_of_a_newer_fairway_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "events.db")) as newer:
        newer.execute("PRAGMA user_version=99")
    with pytest.raises(errors.PlatformError, match="has format 99"):
        places.opened(tmp_path / "events.db")


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(
        b"not a database at all, but long enough to be taken for one" * 20
    )
    with pytest.raises(errors.PlatformError, match="is damaged"):
        places.opened(tmp_path / "events.db")

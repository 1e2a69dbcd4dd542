"""The series of realised quality: each label that joins is counted once, by what its answer lost."""

import time
from functools import partial
from pathlib import Path

import httpx
import prometheus_client
import pytest
from prometheus_client import exposition

from fairway.monitoring.eventstore import archive, places, tally
from fairway.monitoring.eventstore.collector import realising
from tests.monitoring import made, processes

CAME = made.START + 100


@pytest.fixture
def events(tmp_path: Path):
    opened = places.opened(tmp_path / "events.db")
    yield opened
    opened.close()


def told(events: archive.EventStore, *, before: float = 1e12) -> tally.Joins:
    found = events.tally(before=before)
    assert found is not None
    return found


def counted(*found: tally.Joins) -> set[str]:
    """Return the lines of the series that are above 0."""
    registry = prometheus_client.CollectorRegistry()
    quality = realising.RealisedQuality(registry)
    for one in found:
        quality.count(one)
    lines = exposition.generate_latest(registry).decode().splitlines()
    return {
        line.removeprefix("fairway_monitoring_")
        for line in lines
        if line[0] != "#" and "_created" not in line and not line.endswith(" 0.0")
    }


def test_a_label_is_told_once_with_what_its_answer_lost_and_how_long_it_took(events):
    events.add([made.prediction("wrong"), made.prediction("right")], at=made.START)
    events.add([made.label("wrong", "dog"), made.label("right", "cat")], at=CAME)
    arm = ("default", "income", "aaa", "stable", 100.0)
    assert told(events).joined == [(*arm, [("dog", 1)]), (*arm, [("cat", 0)])]
    assert events.tally(before=1e12) is None


def test_an_answer_that_comes_after_its_label_joins_it_and_a_shadow_never_does(events):
    events.add([made.label("late", "dog"), made.label("copy", "dog")], at=CAME)
    events.add(
        [made.prediction("late", role="canary"), made.prediction("copy", role="shadow")], at=CAME
    )
    found = told(events)
    assert [(one.role, one.delay_seconds) for one in found.joined] == [("canary", 100.0)]
    assert found.unjoined == [("default", "income", 1)]


def test_what_is_young_waits_for_its_other_half_and_a_correction_is_no_second_label(events):
    events.add([made.prediction("one")], at=made.START)
    events.add([made.label("one", "dog")], at=CAME)
    assert told(events, before=CAME).joined == []  # the answer alone
    assert events.tally(before=CAME) is None
    events.add([made.label("one", "cat")], at=CAME)
    assert [one.rows for one in told(events).joined] == [[("cat", 0)]]


def test_losses_of_other_tasks_are_counted_as_their_task_measures_them(events):
    events.add([made.answered("one", [10.0, 20.0])], at=made.START)
    events.add([made.label("one", [12.5, 20.0])], at=CAME)
    [joined] = told(events).joined
    assert [label for label, _ in joined.rows] == [None, None]
    assert sum(loss for _, loss in joined.rows) > 0
    assert not any(line.startswith("labelled_class") for line in counted(tally.Joins([joined], [])))


def test_of_a_store_that_nobody_told_the_newest_are_told(events, monkeypatch):
    monkeypatch.setattr(tally, "BEGIN_WITHIN", 2)
    events.add([made.prediction("old"), made.label("old", "dog")], at=made.START)
    events.add([made.prediction("new"), made.label("new", "dog")], at=made.START)
    assert len(told(events).joined) == 1


def test_a_store_is_told_in_steps_and_two_readers_take_turns(events, monkeypatch):
    monkeypatch.setattr(tally, "STEP_EVENTS", 2)
    for name in ("a", "b", "c"):
        events.add([made.prediction(name), made.label(name, "dog")], at=made.START)
    other = places.opened(Path(events.name))
    try:
        steps = [told(one) for one in (events, other, events)]
    finally:
        other.close()
    assert [len(step.joined) for step in steps] == [1, 1, 1]
    assert events.tally(before=1e12) is None


def test_a_reader_that_finds_another_was_faster_tells_nothing(events, monkeypatch):
    events.add([made.prediction("a"), made.label("a", "dog")], at=made.START)
    read = tally.read

    def overtaken(*arguments, **named):
        monkeypatch.setattr(tally, "read", read)
        other = places.opened(Path(events.name))
        assert len(told(other).joined) == 1
        other.close()
        return read(*arguments, **named)

    monkeypatch.setattr(tally, "read", overtaken)
    assert told(events) == ([], [])


def test_rows_and_losses_are_counted_by_arm_and_by_true_class(events):
    events.add([made.prediction(f"r{i}") for i in range(4)], at=made.START)
    events.add([made.label(f"r{i}", "dog" if i else "cat") for i in range(4)], at=CAME)
    events.add([made.label("nobodys", "cat")], at=CAME)
    arm = 'deployment="income",namespace="default",revision="aaa",role="stable"'
    alone = 'deployment="income",namespace="default"'
    assert counted(told(events)) >= {
        f"labelled_rows_total{{{arm}}} 4.0",
        f"labelled_loss_total{{{arm}}} 3.0",
        f'labelled_class_rows_total{{class="cat",{arm}}} 1.0',
        f'labelled_class_rows_total{{class="dog",{arm}}} 3.0',
        f'labelled_class_loss_total{{class="dog",{arm}}} 3.0',
        f"label_delay_seconds_count{{{alone}}} 4.0",
        f"label_delay_seconds_sum{{{alone}}} 400.0",
        f"labels_unjoined_total{{{alone}}} 1.0",
    }


def test_classes_have_fifty_series_a_deployment_and_a_long_name_is_cut():
    def joined(names: list[str], deployment: str) -> tally.Joined:
        return tally.Joined("models", deployment, "aaa", "stable", 1.0, [(n, 0.5) for n in names])

    names = ["x" * 1000, *(f"class{i}" for i in range(80))]
    found = tally.Joins([joined(names, "wide"), joined(["rare"], "narrow")], [])
    rows = {line for line in counted(found, found) if line.startswith("labelled_class_rows")}
    assert len(rows) == realising.MOST_CLASSES + 1 + 1
    assert any(f'class="{"x" * 64}"' in line for line in rows)
    assert any('class="other"' in line and line.endswith(" 62.0") for line in rows)  # 31, twice
    assert any('class="rare"' in line and line.endswith(" 2.0") for line in rows)


def test_the_collector_counts_labels_that_came_and_begins_again_where_it_ended(tmp_path):
    path = tmp_path / "events.db"
    name = "fairway_monitoring_labelled_rows_total"
    arm = '{deployment="income",namespace="default",revision="aaa",role="stable"}'

    def shows(running: processes.Running, line: str) -> bool:
        return line in httpx.get(f"{running.url}/metrics").text.splitlines()

    for name_of, times, ago in (("a", 1, 100), ("b", 2, 0)):
        store = places.opened(path)
        for number in range(times):
            request = f"{name_of}{number}"
            store.add([made.prediction(request), made.label(request, "dog")], at=100)
        store.add(
            [made.prediction(f"{name_of} now")], at=time.time() - ago
        )  # the collector's clock goes on from here
        store.close()
        with processes.collector(path) as running:
            processes.eventually(partial(shows, running, f"{name}{arm} {times}.0"))

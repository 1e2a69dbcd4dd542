"""The decision of a pipeline on a schedule: what it reads of the store, and what it keeps there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fairway.config import sections
from fairway.monitoring import windows
from fairway.monitoring.eventstore import archive, places
from fairway.retraining import policy, turn
from tests.monitoring import postgres
from tests.pipelines import runs
from tests.retraining.test_challenger import label, prediction

HOUR = 3600.0
BEGAN = 1_772_366_400.0
NOW = BEGAN + 2 * HOUR
FACTS = {"testLoss": 0.05, "testLossBound": 0.08}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[archive.EventStore]:
    made = places.opened(tmp_path / "events.db")
    yield made
    made.close()


def answered(store: archive.EventStore, *, rows: int, wrong_in_ten: int) -> None:
    """Store answers `1`, one a second, each with a label that says the same or another."""
    for number in range(rows):
        truth = "2" if number * 7 % 10 < wrong_in_ten else "1"  # in no long runs
        at = datetime.fromtimestamp(BEGAN + number, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        given = prediction(str(number), {"image": []}, rows=1) | {"time": at}
        store.add([given, label(str(number), truth) | {"time": at}])


def config(*overrides: str) -> sections.Config:
    usual = ("retraining.minLabels=100", "retraining.cycle=1m", "retraining.refresh=null")
    return runs.settings(*usual, *overrides)


def taken(store: archive.EventStore, asked: sections.Config | None = None, **more: Any):
    usual = {"moved": False, "broken": None, "run": "one", "now": NOW}
    serving = turn.ModelInService(revision="aaa", facts=FACTS, settled=more.pop("settled", True))
    return turn.take(store, asked or config(), serving=serving, **{**usual, **more})


def test_a_realised_rise_of_the_loss_starts_one_run_and_the_same_run_is_told_the_same(store):
    answered(store, rows=300, wrong_in_ten=6)
    first = taken(store)
    assert first.start
    assert "realised accuracy is" in first.reason
    assert taken(store, run="one") == policy.Decision(start=True, reason=first.reason)
    second = taken(store, run="two", now=NOW + HOUR)
    assert not second.start
    assert "coolDown" in second.reason


def test_what_was_seen_is_acted_on_once_and_labels_are_taken_in_once(store):
    answered(store, rows=300, wrong_in_ten=6)
    assert taken(store).start
    later = NOW + 13 * HOUR  # past the cool-down, doubled: no challenger was deployed
    again = taken(store, run="two", now=later)
    assert not again.start
    assert "beyond chance" in again.reason


def test_good_answers_start_nothing(store):
    answered(store, rows=300, wrong_in_ten=0)
    decision = taken(store)
    assert not decision.start
    assert "not below" in decision.reason


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"broken": "image is not in the rows"}, "the data is broken, and a model that learns"),
        ({"settled": False}, "a rollout is on its way"),
    ],
)
def test_it_waits_with_its_reason(store, more, words):
    answered(store, rows=300, wrong_in_ten=6)
    decision = taken(store, **more)
    assert not decision.start
    assert words in decision.reason


def test_a_veto_keeps_the_evidence_for_the_next_look(store):
    answered(store, rows=300, wrong_in_ten=6)
    assert not taken(store, broken="a feed ended").start
    assert taken(store, run="two").start


def test_too_few_labels_wait(store):
    answered(store, rows=50, wrong_in_ten=8)
    assert "50 of 100 labels are in (minLabels)" in taken(store).reason


def test_drift_waits_for_the_labels_that_a_run_needs_unless_they_come_from_elsewhere(store):
    asked = config("retraining.onDrift=true")
    answered(store, rows=60, wrong_in_ten=0)
    waits = taken(store, asked, moved=True)
    assert not waits.start
    assert "but 60 of the 67 labels that a run needs are in" in waits.reason
    assert taken(store, asked, moved=True, elsewhere=True).start


def test_drift_starts_a_run_only_where_that_is_asked_for(store):
    answered(store, rows=70, wrong_in_ten=0)
    assert not taken(store, moved=True).start
    assert taken(store, config("retraining.onDrift=true"), moved=True).start


def test_an_open_ticket_of_the_monitor_counts_as_drift(store):
    answered(store, rows=70, wrong_in_ten=0)
    store.conclusions.open_alert(
        name=windows.ALERT,
        severity="ticket",
        deployment="digits",
        summary="image moved",
        description="",
        at=NOW,
    )
    assert taken(store, config("retraining.onDrift=true")).start


def test_another_revision_in_service_begins_anew(store):
    answered(store, rows=300, wrong_in_ten=6)
    assert taken(store).start
    serving = turn.ModelInService(revision="bbb", facts=FACTS, settled=True)
    later = NOW + 7 * HOUR  # past the cool-down, which is not doubled any more
    decision = turn.take(
        store, config(), serving=serving, moved=False, broken=None, run="two", now=later
    )
    assert decision.reason == "0 of 100 labels are in (minLabels)"


def test_it_is_the_same_by_the_postgresql_that_the_variable_names(tmp_path: Path) -> None:
    with postgres.running() as server:
        made = places.of_steps(tmp_path, environment={places.EVENTS: server.url})
        answered(made, rows=300, wrong_in_ten=6)
        first = taken(made)
        assert first.start
        assert taken(made) == policy.Decision(start=True, reason=first.reason)
        assert "coolDown" in taken(made, run="two", now=NOW + HOUR).reason
        made.close()

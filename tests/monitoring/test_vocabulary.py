"""Labels of classes: a server tells which there are, and what names none of them is refused when it
comes, instead of counting as a mistake of the model."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fairway import errors
from fairway.monitoring.eventstore import archive, cloudevents, places
from fairway.serving import eventlog
from tests.monitoring import made
from tests.serving import test_eventlog

CODES = ["01", "02", "1.1", "True"]


@pytest.fixture
def events(tmp_path: Path) -> Iterator[archive.EventStore]:
    opened = places.opened(tmp_path / "events.db", timeout_seconds=0.2)
    yield opened
    opened.close()


def wrong(events: archive.EventStore) -> dict[str, float]:
    return {one.request_id: one.wrong for one in events.labelled("income", after=0)[1]}


@pytest.mark.parametrize("truth", ["banana", "1", 1, False, "True and False", ["01", "x"]])
def test_a_label_that_names_no_class_is_refused_with_the_classes(
    events: archive.EventStore, truth: Any
) -> None:
    rows = 2 if isinstance(truth, list) else 1
    events.add([made.prediction("r", label=["01"] * rows, classes=CODES)])
    with pytest.raises(errors.DataError) as refused:
        events.add([made.label("r", truth)])
    assert "wanted one of the classes 01, 02, 1.1, True, or null where" in str(refused.value)
    assert wrong(events) == {}


@pytest.mark.parametrize(
    ("answer", "truth"),
    [("01", " 01 "), ("1.1", 1.1), ("1.1", "1.10"), ("True", True), ("True", "true")],
)
def test_a_label_is_the_class_that_it_means_however_it_is_written(
    events: archive.EventStore, answer: str, truth: Any
) -> None:
    events.add([made.prediction("r", label=answer, classes=CODES)])
    assert [events.add([made.label("r", one)]) for one in (truth, answer)] == [1, 0]
    assert wrong(events) == {"r": 0}


def test_the_classes_of_a_revision_are_those_it_told_last(events: archive.EventStore) -> None:
    events.add([made.prediction("a", label="01", classes=["01", "02"])])
    events.add([made.prediction("b", label="01")])  # most events do not tell them
    events.add([made.prediction("c", label="x", revision="bbb", classes=["x", "y"])])
    events.add([made.label("c", "y"), made.label("b", "02")])
    with pytest.raises(errors.DataError, match="wanted one of the classes x, y"):
        events.add([made.label("c", "02")])
    assert wrong(events) == {"b": 1, "c": 1}


@pytest.mark.parametrize(
    ("task", "answer", "good", "bad"),
    [
        (
            {"name": "hierarchical", "parents": {"cat": "animal", "dog": "animal"}},
            "dog",
            " cat ",
            "banana",
        ),
        ({"name": "multilabel"}, ["cat"], [["cat ", "dog"]], [["cat", "banana"]]),
    ],
)
def test_names_of_other_tasks_are_known_too(
    events: archive.EventStore, task: dict[str, Any], answer: Any, good: Any, bad: Any
) -> None:
    events.add([made.answered("r", [answer], task=task, classes=["cat", "dog"])])
    with pytest.raises(errors.DataError, match="cat, dog"):
        events.add([made.label("r", bad)])
    assert events.add([made.label("r", good)]) == 1
    assert wrong(events)["r"] == pytest.approx(0.5)


def test_without_the_classes_any_word_is_a_label(events: archive.EventStore) -> None:
    events.add([made.prediction("r"), made.label("r", "banana")])
    assert wrong(events) == {"r": 1}


@pytest.mark.parametrize("classes", ["cat", [1], [], ["a\0"], ["x" * 70_000]])
def test_classes_that_are_no_names_are_refused(classes: Any) -> None:
    with pytest.raises(errors.DataError, match="wanted a list of names"):
        cloudevents.parse(made.prediction("r", classes=classes))


def test_a_server_tells_its_classes_with_one_event_and_again_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    origin = eventlog.Origin(namespace="n", deployment="d", revision="r", classes=("no", "yes"))
    log = eventlog.EventLog(
        test_eventlog.FAST, origin=origin, collector="http://nowhere", folder=tmp_path
    )
    now = iter([100.0, 101.0, 100.0 + eventlog.TELL_SECONDS])
    monkeypatch.setattr(eventlog, "time", types.SimpleNamespace(monotonic=lambda: next(now)))
    told = [
        orjson.loads(log._encoded(test_eventlog.record(number)))["data"].get("classes")
        for number in range(3)
    ]
    assert told == [["no", "yes"], None, ["no", "yes"]]

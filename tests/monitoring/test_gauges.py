"""Answers that are no classes: the store measures pairs and labels as their task does, by what
travels with them."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway import errors
from fairway.monitoring.eventstore import answers, archive, cloudevents, gauges, places
from tests.monitoring import made

SHADOW: dict[str, Any] = {"role": "shadow", "revision": "bbb"}
TREE = {"name": "hierarchical", "parents": {"cat": "animal", "dog": "animal", "fern": "plant"}}
SEVERAL = {"name": "multilabel"}


@pytest.fixture
def events(tmp_path: Path) -> Iterator[archive.EventStore]:
    opened = places.opened(tmp_path / "events.db", timeout_seconds=0.2)
    yield opened
    opened.close()


def pairs(events: archive.EventStore) -> answers.Pairs:
    return events.pairs("income", stable="aaa", candidate="bbb", after=0)[1]


def losses(events: archive.EventStore, **asked: Any) -> list[tuple[str, int, float]]:
    return [
        (one.request_id, one.rows, one.wrong)
        for one in events.labelled("income", after=0, **asked)[1]
    ]


@pytest.mark.parametrize(
    ("stable", "shadow", "expected"),
    [
        pytest.param([5.0], [5.0], {"compared": 1, "measured": 1}, id="the same"),
        pytest.param(
            [5.0],
            [7.5],
            {"compared": 1, "measured": 1, "disagreements": 0.25},
            id="a quarter of the spread",
        ),
        pytest.param(
            [5.0, 5.0],
            [6.0, 95.0],
            {"compared": 1, "measured": 1, "disagreements": 0.55},
            id="the mean of the rows",
        ),
        pytest.param([5.0], [5.0, 6.0], {"incomparable": 1}, id="other rows"),
    ],
)
def test_a_pair_of_numbers_is_as_far_apart_as_its_task_says(
    events: archive.EventStore, stable: list[float], shadow: list[float], expected: dict[str, Any]
) -> None:
    events.add([made.answered("r", stable), made.answered("r", shadow, **SHADOW)])
    assert pairs(events) == answers.Pairs(**expected)


def test_pairs_of_classes_of_numbers_and_of_refusals_are_added_up(
    events: archive.EventStore,
) -> None:
    events.add([made.prediction(f"r{i}") for i in range(3)])
    events.add(
        [
            made.prediction(f"r{i}", label=name, **SHADOW)
            for i, name in enumerate(("cat", "dog", "cat"))
        ]
    )
    events.add([made.answered("n", [1.0]), made.answered("n", [2.0], **SHADOW)])
    events.add(
        [made.answered("no", [1.0]), made.answered("no", [1.0], labels=None, status=422, **SHADOW)]
    )
    assert pairs(events) == answers.Pairs(
        compared=5, measured=1, disagreements=pytest.approx(1 + 1 + 0.1)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ({"name": "forecast", "horizon": 3}, "the task is 'forecast': wanted classification"),
        ({"name": "regression"}, "'regression' cannot measure some answers (KeyError: 'spread')"),
        ({"name": "regression", "spread": 0}, "'regression' cannot measure some answers"),
        ({"name": "regression", "spread": "wide"}, "'regression' cannot measure some answers"),
        ({"name": "regression", "spread": -1}, "wanted a number from 0 to 1 for each row"),
    ],
    ids=["no such task", "no facts", "nothing", "a word", "less than nothing"],
)
def test_what_no_task_here_measures_is_incomparable_and_said_once(
    events: archive.EventStore,
    caplog: pytest.LogCaptureFixture,
    task: dict[str, Any],
    sentence: str,
) -> None:
    gauges.read.cache_clear()  # by other tests
    gauges._said.clear()
    for i in range(3):
        events.add(
            [
                made.answered(f"r{i}", [1.0], task=task),
                made.answered(f"r{i}", [2.0], task=task, **SHADOW),
            ]
        )
        events.add([made.label(f"r{i}", 4)])
    with caplog.at_level(logging.WARNING):
        assert pairs(events) == answers.Pairs(incomparable=3)
        assert losses(events) == []
        assert (events.history.realised("income", "aaa").rows, events.cursor()) == (0, 9)
    assert len([record for record in caplog.records if sentence in record.getMessage()]) == 1


def test_the_log_has_a_few_reasons_of_a_task_however_many_bad_values_there_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gauges._said.clear()
    gauge = gauges.read('{"name":"regression","spread":1.0}')
    assert gauge is not None
    for i in range(50):
        assert gauge.losses([f"word {i}"], [1.0]) is None
    assert len(caplog.records) == gauges.MOST_REASONS


def test_both_halves_are_measured_as_of_stable_and_other_tasks_are_incomparable(
    events: archive.EventStore,
) -> None:
    wide = {"name": "regression", "spread": 1000.0}
    events.add([made.answered("r", [1.0]), made.answered("r", [2.0], task=wide, **SHADOW)])
    events.add([made.answered("s", [1.0]), made.prediction("s", label="1", **SHADOW)])
    events.add([made.answered("t", [1.0]), made.answered("t", ["1"], task=TREE, **SHADOW)])
    assert pairs(events) == answers.Pairs(compared=1, measured=1, disagreements=0.1, incomparable=2)


def test_both_arms_labels_are_measured_as_of_one_revision(events: archive.EventStore) -> None:
    wide = {"name": "regression", "spread": 1000.0}
    events.add(
        [
            made.answered("r", [1.0]),
            made.answered("s", [1.0], task=wide, role="canary", revision="bbb"),
        ]
    )
    events.add([made.label("r", 3), made.label("s", 3)])
    assert losses(events) == [("r", 1, 0.2), ("s", 1, 0.002)]
    assert losses(events, gauge="aaa") == [("r", 1, 0.2), ("s", 1, 0.2)]
    assert losses(events, gauge="unknown") == losses(events)


@pytest.mark.parametrize("truth", [4, 4.0, "4", " 4.00 ", [4], ["4"]], ids=repr)
def test_a_number_is_read_however_it_is_written(events: archive.EventStore, truth: Any) -> None:
    events.add([made.label("before", truth), made.answered("before", [1.0])])
    events.add([made.answered("after", [1.0]), made.label("after", truth)])
    assert losses(events) == [("before", 1, 0.3), ("after", 1, 0.3)]


def test_realised_loss_is_the_task_s_and_the_newest_label_counts(
    events: archive.EventStore,
) -> None:
    events.add([made.answered("r", [1.0, 2.0, 3.0]), made.label("r", [2.0, None, 93])])
    assert events.history.realised("income", "aaa") == answers.RealisedLoss(
        task="regression", rows=2, lost=1.1, first_at=made.START, last_at=made.START
    )
    assert [events.add([made.label("r", truth)]) for truth in ([1, 2, 5], [1, 2, 5])] == [1, 0]
    known = events.history.realised("income", "aaa")
    assert (known.rows, known.lost) == (3, 0.2)


def test_labels_of_numbers_are_given_by_the_values_of_a_feature(events: archive.EventStore) -> None:
    inputs = {"sector": ["state", "private", "state"]}
    events.add([made.answered("r", [1.0, 1.0, 1.0], inputs=inputs), made.label("r", [2, 3, None])])
    found = events.labelled("income", after=0, by="sector")[1]
    assert [(one.slice, one.rows, one.wrong) for one in found] == [
        ("state", 1, 0.1),
        ("private", 1, 0.2),
    ]


@pytest.mark.parametrize(
    ("task", "answer", "truth", "lost"),
    [
        (TREE, "cat", "cat", 0.0),
        (TREE, "cat", "dog", 0.5),
        (TREE, "cat", "fern", 1.0),
        (TREE, "cat", "stone", 1.0),
        ({"name": "hierarchical", "parents": {"1": "few", "2": "few"}}, "1", "2.0", 0.5),
        # a server's mistake ends no look
        ({"name": "hierarchical", "parents": {"1": "2", "2": "1"}}, "1", "3", 1.0),
        (SEVERAL, ["a", "b"], [["b", "a"]], 0.0),
        (SEVERAL, ["a", "b"], [["b"]], 0.5),
        (SEVERAL, ["a", "b"], "a", 0.5),
        (SEVERAL, ["1", "b"], [[1.0, "b"]], 0.0),
        (SEVERAL, [], [[]], 0.0),
        (SEVERAL, ["a"], [[]], 1.0),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_label_of_words_loses_what_its_task_says(
    events: archive.EventStore, task: dict[str, Any], answer: Any, truth: Any, lost: float
) -> None:
    events.add([made.answered("r", [answer], task=task), made.label("r", truth)])
    assert losses(events) == [("r", 1, lost)]


@pytest.mark.parametrize(
    ("task", "answer", "truth", "sentence"),
    [
        (made.SPREAD, 1.0, "much", 'the label of request r is "much": wanted a number, or null'),
        (made.SPREAD, 1.0, [["4"]], 'the label of request r is ["4"]: wanted a number'),
        (
            made.SPREAD,
            1.0,
            [4, 5],
            "wanted a list with 1 entries, one for each row that was answered",
        ),
        (SEVERAL, ["a", "b"], ["a", "b"], "wanted a list with 1 entries"),  # [["a", "b"]] was meant
        (TREE, "cat", [["cat"]], 'the label of request r is ["cat"]: wanted the name of a class'),
    ],
    ids=["a word", "a list", "too many rows", "a flat list", "several"],
)
def test_a_label_that_the_task_cannot_read_is_refused_once_its_answer_is_there(
    events: archive.EventStore, task: dict[str, Any], answer: Any, truth: Any, sentence: str
) -> None:
    events.add([made.answered("r", [answer], task=task)])
    with pytest.raises(errors.DataError) as refused:
        events.add([made.label("other", "1"), made.label("r", truth)])
    assert sentence in str(refused.value)
    assert str(refused.value).endswith("nothing of this batch was stored")
    assert events.cursor() == 1
    assert [
        events.add([one])
        for one in (made.label("later", truth), made.answered("later", [answer], task=task))
    ]
    assert losses(events) == []


def test_a_list_is_no_label_of_a_class(events: archive.EventStore) -> None:
    events.add([made.prediction("r"), made.label("late", [["cat"]])])
    events.add([made.prediction("late")])
    with pytest.raises(errors.DataError, match="wanted the name of one class for each row"):
        events.add([made.label("r", [["cat"]])])
    assert losses(events) == []
    assert events.history.realised("income", "aaa").rows == 0


def test_only_words_are_answers_to_be_counted(events: archive.EventStore) -> None:
    events.add(
        [made.answered("n", [1.5]), made.answered("s", [["a"]], task=SEVERAL), made.prediction("c")]
    )
    assert [one.answer for one in events.exposure("income", after=0)[1]] == [None, None, "cat"]
    events.add([made.label("n", 2), made.label("c", "dog")])
    joined = events.labelled("income", after=0)[1]
    assert [(one.answer, one.measured) for one in joined] == [(None, True), ("cat", False)]


@pytest.mark.parametrize(
    "change",
    [
        {"task": []},
        {"task": {"spread": 1.0}},
        {"task": {"name": 7}},
        {"task": {"name": "regression", "more": [[[[[1]]]]]}},
        {"task": {"name": "regression", "more": "x" * cloudevents.LONGEST_TASK}},
        {"labels": [True]},
        {"labels": [None]},
        {"labels": [float("nan")]},
        {"labels": [{"a": 1}]},
        {"labels": [1.0, "a"], "rows": 2},
        {"labels": [["a", 1]]},
        {"labels": [[["a"]]]},
        {"labels": [["a"] * (cloudevents.MOST_WORDS + 1)]},
    ],
    ids=lambda change: str(change)[:40],
)
def test_answers_and_tasks_are_bounded_and_of_their_types(change: dict[str, Any]) -> None:
    with pytest.raises(errors.DataError, match=r"data\.(labels|task)"):
        cloudevents.parse(made.answered("r", [1.0], **{"task": made.SPREAD, **change}))


@pytest.mark.parametrize(
    "truth", [[], None, {}, [[None]], [["a", ["b"]]], float("nan"), [[1] * 10_001]], ids=str
)
def test_what_is_no_label_of_any_task_is_refused(truth: Any) -> None:
    with pytest.raises(
        errors.DataError, match=r"data\.label is .*wanted a class name or a number, or a list"
    ):
        cloudevents.parse(made.label("r", truth))


@pytest.mark.timeout(20)
def test_what_a_server_makes_up_is_measured_in_no_long_time(events: archive.EventStore) -> None:
    """10,000 names against 10,000 others took two minutes and a half, a chain of parents for 1,000
    rows seven seconds, in which nothing else was read."""
    said = [str(i) for i in range(cloudevents.MOST_WORDS)]
    chain = {str(i): str(i + 1) for i in range(4500)}
    rows = 2000
    events.add(
        [
            made.answered("wide", [said], task=SEVERAL),
            made.answered("deep", said[:rows], task={"name": "hierarchical", "parents": chain}),
        ]
    )
    events.add(
        [
            made.label("wide", [[f"{name}x" for name in said]]),
            made.label("deep", said[1 : rows + 1]),
        ]
    )
    assert [(request, count) for request, count, _ in losses(events)] == [
        ("wide", 1),
        ("deep", rows),
    ]

"""Feedback loops: how diverse what was shown is, who gets the clicks, which answers get labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fairway import errors
from fairway.model.schema import Schema
from fairway.monitoring import stretch
from fairway.monitoring.eventstore import archive, places
from fairway.monitoring.labelling import exposures, feedback, samples
from tests.monitoring import made

RANKED = {"name": "ranking", "mean": 1.0, "std": 1.0, "spread": 3.0}


@pytest.mark.parametrize(
    ("items", "catalogue", "wanted"),
    [
        ("abcd", 4, (1.0, 4.0, 0.0)),
        ("aaaa", 4, (0.25, 1.0, 0.75)),
        ("aabb", 4, (0.5, 2.0, 0.5)),
    ],
    ids=["all alike", "one alone", "two of four"],
)
def test_diversity(items: str, catalogue: int, wanted: tuple[float, float, float]) -> None:
    found = feedback.diversity(items, catalogue=catalogue)
    assert (found.coverage, found.effective, found.gini) == pytest.approx(wanted)


def shown(rng: np.random.Generator, rows: int, *, steep: float) -> list[int]:
    shares = np.arange(1, 101) ** -steep
    found: list[int] = rng.choice(100, rows, p=shares / shares.sum()).tolist()
    return found


def test_what_narrows_is_told_and_what_stays_is_not_whatever_the_number_of_rows() -> None:
    rng = np.random.default_rng(0)
    told = [
        feedback.compared(shown(rng, 4_000, steep=0.5), shown(rng, rows, steep=steep))
        for rows, steep in ((1_000, 0.9), (1_000, 0.5))
    ]
    narrower, same = told
    assert narrower is not None
    assert same is not None
    assert (narrower.rows, narrower.narrower, same.narrower) == (200, True, False)
    before, now = feedback.mean(narrower.before), feedback.mean(narrower.now)
    assert now.coverage < before.coverage
    assert now.effective < 0.8 * before.effective
    assert "show some at random" in feedback.remarks(narrower, [])[0]
    assert feedback.remarks(same, []) == []
    assert feedback.compared(range(100), range(10_000)) is None


def test_an_answer_that_gets_no_labels_is_told() -> None:
    requests = [("grant", place % 2 == 0) for place in range(200)] + [("refuse", False)] * 300
    known = feedback.labelled(requests)
    assert [(one.answer, one.answered, one.labelled) for one in known] == [
        ("refuse", 300, 0),
        ("grant", 200, 100),
    ]
    (remark,) = feedback.remarks(None, known)
    assert remark.startswith(
        "refuse was answered 300 times and got 0 labels (0.0%; another answer 50.0%)"
    )
    assert feedback.remarks(None, feedback.labelled([("a", True), ("b", False)])) == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[archive.EventStore]:
    opened = places.opened(tmp_path / "events.db")
    yield opened
    opened.close()


def test_places_of_a_ranking_are_read_from_scores_and_late_clicks(
    store: archive.EventStore,
) -> None:
    for number in range(20):
        scores = np.random.default_rng(number).permutation([3.0, 2.0, 1.0]).tolist()
        store.add(
            [
                made.prediction(
                    f"q{number}",
                    at=made.START + number,
                    label=scores,
                    task=RANKED,
                    inputs={"product": [f"p{int(score)}" for score in scores]},
                    probabilities=[[score] for score in scores],
                )
            ]
        )
        clicks = [float(score == 3.0 or (score == 2.0 and number < 5)) for score in scores]
        if number < 10:
            store.add([made.label(f"q{number}", clicks)])
    asked = samples.DrawnFrom(
        meant=stretch.asked("income"),
        namespace="default",
        revision="aaa",
        schema=Schema(target="click", features=(), task="ranking", facts=RANKED),
    )
    found = exposures.read(store.history, asked, exposures.Chosen(item="product", first=2))
    assert found.items == (("p3", "p2"),) * 20
    assert found.answers == ()
    told = feedback.positions(found.clicks)
    assert [(one.place, one.shown, one.clicked) for one in told] == [
        (1, 10, 10),
        (2, 10, 5),
        (3, 10, 0),
    ]
    with pytest.raises(
        errors.DataError, match="--item is 'song': wanted a logged input of the model: product"
    ):
        exposures.read(store.history, asked, exposures.Chosen(item="song", first=None))


def test_the_first_rows_of_a_request_are_refused_where_nothing_is_ranked(
    store: archive.EventStore,
) -> None:
    store.add([made.prediction("q", at=made.START, label="cat")])
    asked = samples.DrawnFrom(
        meant=stretch.asked("income"),
        namespace="default",
        revision="aaa",
        schema=Schema(target="label", features=()),
    )
    with pytest.raises(
        errors.DataError, match="--first is 3, and income answers no rankings but a classification"
    ):
        exposures.read(store.history, asked, exposures.Chosen(item=None, first=3))


def test_a_row_without_a_click_that_is_known_counts_nowhere() -> None:
    (first, second) = feedback.positions([([0.1, 0.9], [None, 1.0]), ([0.9, 0.1], [0.0, 2.0])])
    assert (first.shown, first.clicked, second.shown, second.clicked) == (2, 1, 1, 1)

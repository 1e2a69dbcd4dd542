"""Which requests are drawn, and what their labels say of all: held against the truth in many draws."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fairway.monitoring.labelling import inclusion, powered

REQUESTS, RUNS = 1_000, 300


def test_every_request_may_be_drawn_and_none_weighs_twice_an_even_draws() -> None:
    scores = np.random.default_rng(0).pareto(1.0, REQUESTS)
    found = inclusion.probabilities(scores, count=100)
    assert found.sum() == pytest.approx(100)
    assert found.min() >= 0.5 * 100 / REQUESTS * (1 - 1e-9)
    assert found.max() <= 1
    assert np.all(np.diff(found[np.argsort(scores)]) >= 0)


@pytest.mark.parametrize(
    ("scores", "count", "wanted"),
    [
        ([0.0] * 4, 2, [0.5] * 4),
        ([1.0, 2.0], 5, [1.0, 1.0]),
        ([1000.0, 1.0, 1.0, 1.0], 2, [1.0, 1 / 3, 1 / 3, 1 / 3]),
    ],
    ids=["no score: even", "more than there are", "one is sure, the others share the rest"],
)
def test_probabilities(scores: list[float], count: int, wanted: list[float]) -> None:
    assert inclusion.probabilities(np.array(scores), count=count) == pytest.approx(wanted)


def test_a_draw_repeats_by_its_seed_and_takes_each_as_often_as_it_says() -> None:
    probability = np.linspace(0.05, 0.9, 50)
    again = [inclusion.drawn(probability, seed=3).tolist() for _ in range(2)]
    assert again[0] == again[1] != sorted(again[0])
    taken = np.zeros(50)
    for seed in range(2_000):
        taken[inclusion.drawn(probability, seed=seed)] += 1
    assert taken / 2_000 == pytest.approx(probability, abs=0.045)


def world(
    rng: np.random.Generator, *, loss: float, informed: str
) -> tuple[NDArray[np.float64], ...]:
    """Return how many are lost of each request, and how many the model expects."""
    chance = rng.beta(2 * loss, 2 * (1 - loss), REQUESTS)
    lost = (rng.random(REQUESTS) < chance).astype(np.float64)
    expected = {
        "right": chance,
        "of others": rng.permutation(chance),
        "misleading": 0.5 * (1 - chance),
    }[informed]
    return lost, expected


def played(*, loss: float, informed: str, by: str, count: int) -> dict[str, float]:
    """Return how often both intervals held the mean loss, how wide they were and how far off."""
    rng, seen = np.random.default_rng(5), []
    for seed in range(RUNS):
        lost, expected = world(rng, loss=loss, informed=informed)
        scores = np.zeros(REQUESTS) if by == "uniform" else inclusion.importance(expected)
        probability = inclusion.probabilities(scores, count=count)
        places = inclusion.drawn(probability, seed=seed)
        found = powered.estimate(
            powered.LabelledRequests(
                lost=lost[places],
                rows=np.ones(len(places)),
                expected=expected[places],
                probability=probability[places],
            ),
            drawn=len(places),
            requests=REQUESTS,
            rows=REQUESTS,
            expected=float(expected.sum()),
        )
        assert found is not None
        truth = float(lost.mean())
        seen.append(
            [
                *(one.low <= truth <= one.high for one in (found.labels, found.powered)),
                *(one.high - one.low for one in (found.labels, found.powered)),
                found.powered.value - truth,
            ]
        )
    names = ("labels", "powered", "labels_wide", "powered_wide", "off")
    return dict(zip(names, np.mean(seen, axis=0).tolist(), strict=True))


@pytest.mark.parametrize("by", ["uniform", "importance"])
@pytest.mark.parametrize(
    ("loss", "count", "informed", "narrower"),
    [
        (0.2, 100, "right", 0.85),
        (0.2, 100, "misleading", 0.9),
        (0.2, 100, "of others", 1.02),
        (0.05, 400, "right", 0.9),
        (0.01, 100, "of others", 1.02),
    ],
)
def test_intervals_hold_the_mean_in_95_of_100_draws(
    loss: float, count: int, informed: str, narrower: float, by: str
) -> None:
    found = played(loss=loss, informed=informed, by=by, count=count)
    # 300 runs: of 95 % three standard errors are 3.8
    assert found["labels"] >= 0.912
    assert found["powered"] >= 0.912
    assert found["powered_wide"] <= narrower * found["labels_wide"]
    assert abs(found["off"]) <= 0.05 * found["labels_wide"]


def test_importance_is_worth_more_than_an_even_draw_where_the_model_knows() -> None:
    even, chosen = (
        played(loss=0.1, informed="right", by=by, count=200) for by in ("uniform", "importance")
    )
    assert chosen["powered_wide"] < 0.9 * even["powered_wide"]


def labelled(**changed: NDArray[np.float64]) -> powered.LabelledRequests:
    given = {
        "lost": np.zeros(50),
        "rows": np.ones(50),
        "expected": np.linspace(0, 0.5, 50),
        "probability": np.full(50, 0.1),
    }
    return powered.LabelledRequests(**{**given, **changed})


def test_no_wrong_answer_among_fifty_says_little_of_all() -> None:
    found = powered.estimate(labelled(), drawn=50, requests=500, rows=500, expected=125.0)
    assert found is not None
    assert (found.powered.value, found.powered.low, found.tuning, found.few) == (0, 0, 0, True)
    assert 0.05 < found.powered.high < 0.1


def test_where_all_are_labelled_nothing_is_left_to_chance() -> None:
    lost = np.tile([0.0, 1.0], 25)
    known = labelled(lost=lost, probability=np.ones(50))
    found = powered.estimate(known, drawn=50, requests=50, rows=50, expected=12.5)
    assert found is not None
    assert found.labels == powered.Estimate(value=0.5, low=0.5, high=0.5)


def test_too_few_labels_say_nothing_and_others_that_are_known_narrow_the_rest() -> None:
    names = ("lost", "rows", "expected", "probability")
    few = labelled(**dict.fromkeys(names, np.ones(9)))
    assert powered.estimate(few, drawn=9, requests=100, rows=100, expected=9.0) is None
    one = powered.Estimate(value=0.2, low=0.1, high=0.4)
    assert one.beside(lost=0.0, rows=100, of=100) == powered.Estimate(value=0.1, low=0.05, high=0.2)

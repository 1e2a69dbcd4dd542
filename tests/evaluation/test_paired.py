"""The gate's comparison with the model in service: how often it lets a worse one through, and refuses
an equal one."""

import dataclasses

import numpy as np
import pytest

from fairway import artifacts
from fairway.config import sections
from fairway.evaluation import gate, paired
from fairway.model import tasks
from fairway.model.schema import Schema

SCHEMA = Schema(target="t", features=(), task="classification", classes=("no", "yes"))
METRIC = tasks.of(SCHEMA).metric("accuracy")


def compared(rows: int, *, drop: float, seed: int) -> artifacts.Json:
    """Return the comparison of two models that agree in nine rows of ten, of which one is truly worse
    by `drop` (below 0: better)."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, rows)
    theirs = np.where(rng.random(rows) < 0.85, target, 1 - target)
    flips = rng.random(rows)
    # of the rows in which they differ, as many are lost as are won, and `drop` more are lost
    won, lost = (theirs != target) & (flips < 1 / 3), (theirs == target) & (flips < 0.0588)
    lost |= (theirs == target) & (flips > 1 - drop / 0.85)
    won |= (theirs != target) & (flips > 1 + drop / 0.15)
    ours = np.where(won, target, np.where(lost, 1 - target, theirs))
    found = paired.compared(
        METRIC,
        ours=np.eye(2)[ours],
        theirs=np.eye(2)[theirs],
        target=target,
        schema=SCHEMA,
    )
    assert found is not None
    return found


def measured(found: artifacts.Json) -> artifacts.Evaluation:
    return artifacts.Evaluation(
        rows=found["rows"],
        slices=(),
        baselines={
            "zero_rule": {"accuracy": 0.5, "log_loss": 0.7},
            "champion": {"accuracy": 0.85, "log_loss": 0.3},
        },
        metrics={"accuracy": 0.85 - found["drop"], "log_loss": 0.3},
        paired=found,
        different=2,
    )


def verdict(found: artifacts.Json) -> str:
    decision = gate.decide(sections.Gate(), evaluation=measured(found))
    return "undecided" if decision.undecided else "accept" if decision.promote else "refuse"


@pytest.mark.parametrize("rows", [200, 1000])
def test_a_worse_model_is_rarely_accepted_and_an_equal_one_rarely_refused(rows: int) -> None:
    worse = [verdict(compared(rows, drop=0.03, seed=seed)) for seed in range(120)]
    equal = [verdict(compared(rows, drop=0.0, seed=seed)) for seed in range(120)]
    assert worse.count("accept") <= 0.05 * 120 + 3 * (0.05 * 0.95 * 120) ** 0.5
    assert equal.count("refuse") <= 0.10 * 120


@pytest.mark.parametrize(("drop", "most"), [(0.0, 0.6), (0.03, 0.08), (0.06, 0.02)])
def test_what_is_worse_rarely_takes_the_place_of_the_model_in_service(
    drop: float, most: float
) -> None:
    """An equal model may: it harms nobody. What is let through has a shadow and a canary before it."""
    found = [compared(336, drop=drop, seed=seed) for seed in range(120)]
    assert sum(promoted(one) for one in found) <= most * 120


def test_a_model_that_is_better_takes_it() -> None:
    assert sum(promoted(compared(336, drop=-0.05, seed=seed)) for seed in range(40)) >= 36


def promoted(found: artifacts.Json) -> bool:
    """Say whether a run of retraining would deploy it."""
    evaluation = measured(found)
    decision = gate.decide(sections.Gate(better=True), evaluation=evaluation)
    if not decision.promote:
        assert "wanted better than the model in service (gate.better)" in decision.reason
    return decision.promote


def test_a_challenger_that_must_be_better_is_refused_where_nothing_was_compared() -> None:
    alone = dataclasses.replace(
        measured(compared(336, drop=-0.05, seed=1)),
        baselines={"zero_rule": {"accuracy": 0.5, "log_loss": 0.7}},
    )
    decision = gate.decide(sections.Gate(better=True), evaluation=alone)
    assert not decision.promote
    assert "did not answer these rows" in decision.reason


def test_many_rows_decide() -> None:
    assert verdict(compared(20_000, drop=0.0, seed=1)) == "accept"
    assert verdict(compared(20_000, drop=0.05, seed=1)) == "refuse"
    assert verdict(compared(100, drop=0.0, seed=1)) == "undecided"


def test_the_same_rows_give_the_same_bounds_and_a_better_model_drops_below_nothing() -> None:
    one, other = (compared(500, drop=0.0, seed=7) for _ in range(2))
    assert one == other
    target = np.array([0, 1] * 100)
    right, wrong = np.eye(2)[target], np.eye(2)[1 - target]
    found = paired.compared(METRIC, ours=right, theirs=wrong, target=target, schema=SCHEMA)
    assert found == {"rows": 200, "drop": -1.0, "low": -1.0, "high": -1.0, "better": 1.0}


def test_a_metric_that_is_no_share_drops_by_a_share_of_it() -> None:
    schema = Schema(
        target="t", features=(), task="regression", facts={"mean": 0, "std": 1, "spread": 1}
    )
    rng = np.random.default_rng(0)
    target = rng.normal(size=400)
    off = rng.normal(size=400)
    found = paired.compared(
        tasks.of(schema).metric("rmse"),
        ours=(target + 1.5 * off)[:, None].repeat(3, axis=1),
        theirs=(target + off)[:, None].repeat(3, axis=1),
        target=target,
        schema=schema,
    )
    assert found is not None
    assert found["drop"] == pytest.approx(0.5)
    assert found["low"] == pytest.approx(0.5)


def test_too_few_rows_are_not_compared() -> None:
    few = np.array([0, 1])
    assert (
        paired.compared(METRIC, ours=np.eye(2), theirs=np.eye(2), target=few, schema=SCHEMA) is None
    )

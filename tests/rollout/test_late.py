"""Labels and outcomes: bet on at the split that is in, tested for being a lottery, and shown by arm
and by answer."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from fairway.rollout import increments, judge
from fairway.rollout.judge import Action
from fairway.rollout.statistics.betting import ArmCounts
from tests.rollout.test_ledger import learn, policy

WATCHED = policy(
    {"name": "errors", "type": "errors", "maxRate": 0.1}, {"name": "quality", "type": "quality"}
)
GATING = policy({"name": "quality", "type": "quality", "gates": "canary"})
SALES = policy(
    {
        "name": "sales",
        "type": "business",
        "gates": "canary",
        "outcome": "sale",
        "upper": 1,
        "maxLossIncrease": 0.02,
    }
)


def labels(
    mine: int, theirs: int, *, weight: float, wrong: tuple[float, float], looks: int, seed: int = 0
) -> list[increments.Batch]:
    """Return looks with so many labels of each arm, of answers that are wrong at these rates."""
    rng = np.random.default_rng(seed)
    return [
        increments.Batch(
            labelled=(
                increments.Labelled(
                    weight=weight,
                    candidate=ArmCounts(mine, int(rng.binomial(mine, wrong[0]))),
                    stable=ArmCounts(theirs, int(rng.binomial(theirs, wrong[1]))),
                ),
            )
        )
        for _ in range(looks)
    ]


def outcomes(
    mine: int, theirs: int, *, weight: float, sold: tuple[float, float], looks: int, seed: int = 0
) -> list[increments.Batch]:
    rng = np.random.default_rng(seed)
    values = [
        [
            tuple((rng.random(n) < rate).astype(float).tolist())
            for n, rate in zip((mine, theirs), sold, strict=True)
        ]
        for _ in range(looks)
    ]
    return [
        increments.Batch(
            valued=(increments.Valued(name="sale", weight=weight, candidate=one, stable=other),)
        )
        for one, other in values
    ]


def test_labellers_who_take_as_many_of_each_arm_roll_no_healthy_canary_back() -> None:
    for seed in range(20):
        ledger = learn(WATCHED, labels(5, 5, weight=0.05, wrong=(0.1, 0.1), looks=60, seed=seed))
        assert ledger.own("quality").harm.peak < math.log(100)
        assert ledger.unfair == ("quality",)


def test_what_is_no_lottery_is_said_beside_what_the_other_guards_say_and_neither_rolls_back_nor_certifies() -> (
    None
):
    awful = labels(5, 5, weight=0.05, wrong=(0.9, 0.0), looks=60)
    verdict = judge.decide(learn(WATCHED, awful), strategy=WATCHED, stage="canary")
    assert (verdict.action, verdict.unfair) == (Action.HOLD, ("quality",))
    assert (
        "quality is not judged in this rollout: its labels or outcomes are no lottery, 300 of 600 are of the candidate"
        in verdict.reason
    )
    assert verdict.evidence["combined"]["guilty"] == []
    held = judge.decide(
        learn(GATING, labels(5, 5, weight=0.05, wrong=(0.0, 0.2), looks=200)),
        strategy=GATING,
        stage="canary",
    )
    assert (held.action, "without them it cannot be certified" in held.reason) == (
        Action.INVALID,
        True,
    )


def test_a_worse_canary_that_is_labelled_half_as_often_gets_no_certificate() -> None:
    for seed in range(20):
        ledger = learn(GATING, labels(3, 6, weight=0.5, wrong=(0.15, 0.1), looks=200, seed=seed))
        assert ledger.own("quality").certificate.peak < math.log(20)
        assert judge.decide(ledger, strategy=GATING, stage="canary").action is Action.INVALID


@pytest.mark.parametrize(
    ("batches", "strategy"),
    [
        (lambda seed: labels(0, 1, weight=0.05, wrong=(0.0, 0.1), looks=20, seed=seed), GATING),
        (lambda seed: outcomes(0, 1, weight=0.05, sold=(0.0, 0.1), looks=20, seed=seed), SALES),
    ],
    ids=["labels", "outcomes"],
)
def test_labels_and_outcomes_of_one_arm_wait_for_the_other_s(
    batches: Callable[[int], list[increments.Batch]], strategy: object
) -> None:
    ledger = learn(strategy, batches(1))  # type: ignore[arg-type]
    [(key, bet)] = ledger.bets.items()
    assert bet.candidate.n == 0
    assert ledger.lotteries[key.guard].came == (0, 20)


def test_labels_that_come_one_by_one_say_nearly_as_much_as_those_that_come_together() -> None:
    rng, together, single = np.random.default_rng(4), [], []
    for _ in range(60):
        arms = rng.random(20) < 0.25
        wrong = rng.random(20) < np.where(arms, 0.3, 0.1)
        counts = [
            (ArmCounts(int(arm), int(arm and bad)), ArmCounts(int(not arm), int(not arm and bad)))
            for arm, bad in zip(arms, wrong, strict=True)
        ]
        single += [
            increments.Batch(
                labelled=(increments.Labelled(weight=0.25, candidate=one, stable=other),)
            )
            for one, other in counts
        ]
        whole = [
            ArmCounts(sum(pair[arm].n for pair in counts), sum(pair[arm].bad for pair in counts))
            for arm in (0, 1)
        ]
        together.append(
            increments.Batch(
                labelled=(increments.Labelled(weight=0.25, candidate=whole[0], stable=whole[1]),)
            )
        )
    first, second = (
        learn(GATING, together).own("quality").harm.log_e,
        learn(GATING, single).own("quality").harm.log_e,
    )
    assert first > 10
    assert second > 0.7 * first


def test_a_lottery_is_hardly_ever_called_none_and_a_worse_canary_is_found() -> None:
    unfair, found = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        batches = [
            batch
            for weight in (0.05, 0.25, 0.5)
            for _ in range(25)
            for mine in [int(rng.binomial(20, weight))]
            for batch in labels(
                mine,
                20 - mine,
                weight=weight,
                wrong=(0.3, 0.1),
                looks=1,
                seed=int(rng.integers(2**31)),
            )
        ]
        ledger = learn(WATCHED, batches)
        unfair += bool(ledger.unfair)
        found += ledger.harm >= math.log(100)
    assert unfair == 0
    assert found >= 38


def test_outcomes_that_are_sent_for_as_many_of_each_arm_roll_nothing_back() -> None:
    for seed in range(10):
        ledger = learn(SALES, outcomes(5, 5, weight=0.05, sold=(0.1, 0.1), looks=60, seed=seed))
        assert ledger.own("sales").harm.peak < math.log(100)
        assert ledger.unfair == ("sales",)


def test_the_evidence_says_how_many_labels_are_in_by_arm_and_by_answer() -> None:
    served = increments.Exposed(
        weight=0.5,
        candidate=40,
        stable=60,
        new=(40, 60),
        answers={"high": (10, 20), "low": (30, 40)},
    )
    some = increments.Labelled(
        weight=0.5,
        candidate=ArmCounts(12, 1),
        stable=ArmCounts(20, 1),
        answers={"high": (2, 5), "low": (10, 15)},
    )
    facts = judge.describe(
        learn(GATING, [increments.Batch(exposed=(served,), labelled=(some,))]), strategy=GATING
    )["quality"]["cameIn"]
    assert (facts["candidate"], facts["stable"]) == (
        {"units": 12, "of": 40},
        {"units": 20, "of": 60},
    )
    assert facts["answers"]["high"] == {
        "candidate": {"units": 2, "of": 10},
        "stable": {"units": 5, "of": 20},
    }

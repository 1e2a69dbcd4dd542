"""Answers that are no classes: how wrong they are lies between 0 and 1, and bets and sentences are
about the mean."""

import dataclasses
import math

import numpy as np
import pytest

from fairway.config import sections
from fairway.rollout import guards, increments, judge
from fairway.rollout.judge import Action
from fairway.rollout.ledger import Ledger
from fairway.rollout.statistics.betting import ArmCounts
from tests.rollout.test_ledger import learn, policy

QUALITY = policy({"name": "quality", "type": "quality", "gates": "canary", "maxLossIncrease": 0.05})
SLICED = policy({"name": "quality", "type": "quality", "sliceBy": "town", "maxLossIncrease": 0.05})
SHADOW = sections.Strategy.model_validate({"guards": [{"name": "differs", "type": "disagreement"}]})
UNITS = 20  # of each arm in a look


def labelled(
    mine: float, theirs: float, *, looks: int, seed: int = 0, of: tuple[str | None, ...] = (None,)
) -> list[increments.Batch]:
    """Return looks at labels of both arms whose losses have these means."""
    rng = np.random.default_rng(seed)

    def arm(mean: float) -> ArmCounts:
        return ArmCounts(UNITS, float(rng.beta(2 * mean, 2 * (1 - mean), UNITS).sum()))

    return [
        increments.Batch(
            labelled=tuple(
                increments.Labelled(
                    weight=0.5, candidate=arm(mine), stable=arm(theirs), slice=value, losses=True
                )
                for value in of
            )
        )
        for _ in range(looks)
    ]


def paired(apart: float, *, looks: int, seed: int = 0) -> list[increments.Batch]:
    """Return looks at shadow's pairs that are so far apart on average."""
    rng = np.random.default_rng(seed)
    sums = [float(rng.beta(2 * apart, 2 * (1 - apart), UNITS).sum()) for _ in range(looks)]
    return [
        increments.Batch(
            paired=increments.Paired(
                compared=UNITS,
                disagreements=one,
                candidate_failures=0,
                stable_failures=0,
                losses=True,
            )
        )
        for one in sums
    ]


def said(ledger: Ledger, strategy: sections.Strategy, stage: str) -> str:
    """Return all that the judge says of the ledger, the guard's praise and lack too."""
    [case] = guards.cases(strategy)
    return f"{judge.decide(ledger, strategy=strategy, stage=stage)} {case.praise(ledger)} {case.missing(ledger)}"


def test_a_canary_whose_mean_loss_is_higher_is_rolled_back_and_the_sentence_says_the_means() -> (
    None
):
    ledger = learn(QUALITY, labelled(0.3, 0.1, looks=40))
    verdict = judge.decide(ledger, strategy=QUALITY, stage="canary")
    assert verdict.action is Action.ROLLBACK
    assert (
        "quality: mean loss 0.285 over 800 units with labels of the candidate, 0.0984 over 800 of stable (margin 0.05)"
        in verdict.reason
    )


def test_a_canary_whose_mean_loss_is_no_higher_is_certified_and_praised_by_its_mean() -> None:
    ledger = learn(QUALITY, labelled(0.1, 0.1, looks=200))
    assert judge.decide(ledger, strategy=QUALITY, stage="canary").action is Action.PROMOTE
    assert (
        "quality at most 0.05 worse than stable's (mean loss 0.095 over 4000 units, 0.0976 over 4000 of stable)"
        in said(ledger, QUALITY, "canary")
    )


def test_a_slice_whose_mean_loss_is_higher_is_named() -> None:
    looks = labelled(0.5, 0.1, looks=60, of=(None, "Bath"))
    reason = judge.decide(learn(SLICED, looks), strategy=SLICED, stage="canary").reason
    assert "units with labels of the candidate" in reason
    assert "(margin 0.05) where town is 'Bath'" in reason


def test_pairs_that_are_too_far_apart_are_said_by_how_far() -> None:
    verdict = judge.decide(learn(SHADOW, paired(0.2, looks=30)), strategy=SHADOW, stage="shadow")
    assert verdict.action is Action.ROLLBACK
    assert (
        "differs: shadow answers differ from stable's by 0.196 on average over 600 pairs, allowed is 0.03 "
        "(evaluation did not compare the two" in verdict.reason
    )


def test_pairs_that_no_task_compares_are_said_while_others_are_waited_for() -> None:
    paired = increments.Paired(
        compared=0, disagreements=0, candidate_failures=0, stable_failures=0, incomparable=40
    )
    verdict = judge.decide(
        learn(SHADOW, [increments.Batch(paired=paired)] * 2), strategy=SHADOW, stage="shadow"
    )
    assert verdict.action is Action.HOLD
    assert (
        f"0 of {SHADOW.shadow.min_pairs} pairs compared (80 cannot be compared)" in verdict.reason
    )


@pytest.mark.parametrize(
    ("strategy", "stage", "looks"),
    [
        (QUALITY, "canary", labelled(0.3, 0.1, looks=40)),
        (QUALITY, "canary", labelled(0.1, 0.1, looks=20)),
        (SHADOW, "shadow", paired(0.2, looks=30)),
        (SHADOW, "shadow", paired(0.01, looks=30)),
    ],
    ids=["worse", "held", "apart", "near"],
)
def test_no_sentence_counts_what_is_no_count(
    strategy: sections.Strategy, stage: str, looks: list[increments.Batch]
) -> None:
    whole = [*looks, *_to_a_whole_number(looks)]
    for some in (looks, whole):
        sentences = said(learn(strategy, some), strategy, stage)
        assert "mean loss" in sentences or "on average over" in sentences
        assert not [
            word
            for word in ("wrong", "shadow answers differ from stable's (", ".0 of ")
            if word in sentences
        ]


def _to_a_whole_number(looks: list[increments.Batch]) -> list[increments.Batch]:
    """Return one look more, after which the sums are whole numbers: as of a loss that is a half
    twice."""

    def rest(total: float) -> ArmCounts:
        return ArmCounts(UNITS, math.ceil(total) - total)

    if looks[0].paired is not None:
        total = sum(one.paired.disagreements for one in looks if one.paired)
        more = increments.Paired(
            compared=UNITS, disagreements=rest(total).bad, candidate_failures=0, stable_failures=0
        )
        return [increments.Batch(paired=more)]
    mine, theirs = (
        sum(getattr(one.labelled[0], arm).bad for one in looks) for arm in ("candidate", "stable")
    )
    more_labels = increments.Labelled(
        weight=0.5, candidate=rest(mine), stable=rest(theirs), losses=True
    )
    return [increments.Batch(labelled=(more_labels,))]


def test_what_waits_for_the_other_arm_keeps_what_it_is() -> None:
    arms = [(ArmCounts(8, 1.0), ArmCounts(0, 0)), (ArmCounts(0, 0), ArmCounts(8, 1.0))]
    looks = [
        increments.Batch(
            labelled=(increments.Labelled(weight=0.5, candidate=one, stable=other, losses=first),)
        )
        for first, (one, other) in zip((True, False), arms, strict=True)
    ]
    assert "mean loss 0.125 over 8" in said(learn(QUALITY, looks), QUALITY, "canary")
    assert "1.0 of 8" in said(learn(QUALITY, [looks[1], _plain(looks[0])]), QUALITY, "canary")


def _plain(look: increments.Batch) -> increments.Batch:
    return dataclasses.replace(
        look, labelled=(dataclasses.replace(look.labelled[0], losses=False),)
    )


def test_healthy_revisions_with_losses_are_rolled_back_no_more_often_than_promised() -> None:
    runs = 60
    quality = [learn(QUALITY, labelled(0.15, 0.1, looks=30, seed=seed)) for seed in range(runs)]
    # all that is allowed
    apart = [learn(SHADOW, paired(0.03, looks=30, seed=seed)) for seed in range(runs)]
    need = math.log(1 / QUALITY.false_rollback)
    assert sum(one.own("quality").harm.peak >= need for one in quality) <= 2
    assert sum(one.own("differs").harm.peak >= need for one in apart) <= 2

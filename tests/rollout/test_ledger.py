"""What is learnt of guards that read the event log, and what becomes of it in JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest

from fairway.config import sections
from fairway.rollout import bookkeeping, increments, judge
from fairway.rollout.bets import BetKey, BetKind
from fairway.rollout.judge import Action
from fairway.rollout.ledger import Ledger
from fairway.rollout.statistics.betting import ArmCounts


def policy(*guards: dict[str, object], **more: object) -> sections.Strategy:
    return sections.Strategy.model_validate(
        {"shadow": {"enabled": False}, "guards": list(guards), **more}
    )


def learn(strategy: sections.Strategy, batches: list[increments.Batch]) -> Ledger:
    ledger = bookkeeping.begin(strategy, at=0.0)
    for number, batch in enumerate(batches):
        # as one that is killed at each look
        ledger = Ledger.from_json(json.loads(json.dumps(ledger.to_json())))
        ledger = bookkeeping.observe(
            ledger, batch, strategy=strategy, offline=None, at=2.0 * number
        )
    return ledger


def answers(
    shares: dict[str, float],
    others: dict[str, float],
    *,
    looks: int = 300,
    seed: int = 0,
    weight: float = 0.25,
) -> list[increments.Batch]:
    """Return looks of 40 units each, whose answers have these shares in the canary and in stable."""
    rng, batches = np.random.default_rng(seed), []
    for _ in range(looks):
        mine = int(rng.binomial(40, weight))
        counts = [
            dict(zip(wanted, map(int, rng.multinomial(n, list(wanted.values()))), strict=True))
            for n, wanted in ((mine, shares), (40 - mine, others))
        ]
        met = {
            answer: (counts[0].get(answer, 0), counts[1].get(answer, 0))
            for answer in {**counts[0], **counts[1]}
        }
        batches.append(
            increments.Batch(
                exposed=(
                    increments.Exposed(
                        weight=weight,
                        candidate=mine,
                        stable=40 - mine,
                        new=(mine, 40 - mine),
                        answers=met,
                    ),
                )
            )
        )
    return batches


DRIFT = policy({"name": "answers", "type": "drift", "maxShift": 0.05})


def totals(ledger: Ledger, key: str | BetKey) -> tuple[int, float, int, float]:
    """Return what a bet has counted: of the candidate, then of stable."""
    bet = ledger.own(key) if isinstance(key, str) else ledger.bets[key]
    return (*bet.candidate, *bet.stable)


@pytest.mark.parametrize(
    "shares", [{"high": 0.45, "low": 0.55}, {"high": 0.15, "low": 0.85}], ids=["more", "less"]
)
def test_a_canary_that_answers_otherwise_is_rolled_back_with_the_answer_named(
    shares: dict[str, float],
) -> None:
    verdict = judge.decide(
        learn(DRIFT, answers(shares, {"high": 0.3, "low": 0.7})), strategy=DRIFT, stage="canary"
    )
    assert verdict.action is Action.ROLLBACK
    assert verdict.guard == "answers"
    assert "is the answer to" in verdict.reason
    assert "allowed is a difference of 5.0%" in verdict.reason


def test_without_a_margin_any_difference_is_drift_and_none_is_not() -> None:
    strict = policy({"name": "answers", "type": "drift", "maxShift": 0})
    verdict = judge.decide(
        learn(strict, answers({"high": 0.36, "low": 0.64}, {"high": 0.3, "low": 0.7}, looks=600)),
        strategy=strict,
        stage="canary",
    )
    assert verdict.action is Action.ROLLBACK
    assert verdict.guard == "answers"
    same = {"high": 0.3, "low": 0.7}
    assert max(
        learn(strict, answers(same, same, looks=100, seed=seed)).own("answers").harm.peak
        for seed in range(20)
    ) < math.log(100)


def test_answers_within_the_margin_are_no_drift() -> None:
    found = [
        learn(
            DRIFT,
            answers({"high": 0.34, "low": 0.66}, {"high": 0.3, "low": 0.7}, looks=100, seed=seed),
        )
        .own("answers")
        .harm.peak
        for seed in range(20)
    ]
    assert max(found) < math.log(100)


def test_only_six_answers_are_kept_the_most_frequent_ones() -> None:
    shares = {
        f"class {number}": share
        for number, share in enumerate([0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.03])
    }
    kept = learn(DRIFT, answers(shares, shares, looks=50)).own("answers").memory["answers"]
    assert len(kept) == 6
    assert {"class 0", "class 1"} <= set(kept)
    facts = judge.describe(learn(DRIFT, answers(shares, shares, looks=50)), strategy=DRIFT)
    assert set(facts["answers"]["answers"]) == set(kept)


FAILED = increments.GatewayCounts(
    candidate=10,
    stable=100,
    bad={"errors": (1, 0)},
    shares={"errors": 0.1},
    held={"errors": (ArmCounts(10, 1), ArmCounts(100, 0))},
)


def test_units_that_fail_again_and_again_count_once() -> None:
    units = policy({"name": "errors", "type": "errors", "maxRate": 0.1})
    again = dataclasses.replace(FAILED, bad={"errors": (0, 0)})  # the same user, all day long
    assert (
        learn(units, [increments.Batch(counted=(FAILED, *[again] * 1000))]).harm
        == learn(units, [increments.Batch(counted=(FAILED,))]).harm
    )
    ledger = learn(units, [increments.Batch(counted=(FAILED,) * 20)])
    assert totals(ledger, "errors") == (200, 20, 2000, 0)
    verdict = judge.decide(ledger, strategy=units, stage="canary")
    assert verdict.action is Action.ROLLBACK
    assert "20 of 200 requests of the candidate failed" in verdict.reason


def test_a_unit_that_fails_all_day_is_one_failure_to_the_ratio_and_to_the_absolute_limit_too() -> (
    None
):
    fused = policy(
        {"name": "errors", "type": "errors", "maxRate": 0.1, "objective": 0.01}, mode="fused"
    )
    again = dataclasses.replace(FAILED, bad={"errors": (0, 0)})
    ledger = learn(fused, [increments.Batch(counted=(FAILED, *[again] * 40))])
    assert totals(ledger, "errors") == (410, 41, 4100, 0)  # one user's visits, one in five seconds
    assert ledger.bets[BetKey("errors", BetKind.LIMIT)].harm.log_e < 0
    assert (ledger.own("errors").ratio.interval(alpha=0.05).low or 0.0) < 1
    many = learn(fused, [increments.Batch(counted=(FAILED,) * 20)])  # as many users
    assert many.bets[BetKey("errors", BetKind.LIMIT)].harm.log_e > math.log(100)
    assert (many.own("errors").ratio.interval(alpha=0.05).low or 0.0) > 10


def test_the_ratio_of_units_is_told_by_the_weight_at_which_they_were_drawn() -> None:
    """Visits say how often users come back, which a candidate that fails changes."""
    units = policy({"name": "errors", "type": "errors", "maxRate": 0.1})
    fewer = dataclasses.replace(
        FAILED, candidate=1, bad={"errors": (1, 9)}, held={"errors": FAILED.held["errors"]}
    )
    low, high = (
        learn(units, [increments.Batch(counted=(fewer,) * 20)])
        .own("errors")
        .ratio.interval(alpha=0.05)
    )
    assert (low or 0.0) < 1 < (high or math.inf)


def test_requests_that_no_server_answered_count_beside_the_events_of_the_others() -> None:
    crashing = increments.GatewayCounts(
        candidate=0,
        stable=0,
        bad={"errors": (3, 0)},
        observed={"errors": (10, 90)},
        held={"errors": (ArmCounts(3, 3), ArmCounts(0, 0))},
    )
    answered = increments.GatewayCounts(
        candidate=7, stable=90, bad={"errors": (0, 0)}, shares={"errors": 0.1}
    )
    ledger = learn(
        policy({"name": "errors", "type": "errors", "maxRate": 0.1}),
        [increments.Batch(gateway=crashing, counted=(answered,))] * 3,
    )
    assert totals(ledger, "errors") == (30, 9, 270, 0)
    assert ledger.own("errors").harm.log_e > math.log(100)
    assert ledger.own("errors").certificate.log_e < 0
    # by the requests at risk
    assert (ledger.own("errors").ratio.interval(alpha=0.05).low or 0.0) > 1


def test_a_limit_is_suspended_while_stable_is_beyond_it_and_the_verdict_says_so() -> None:
    fused = policy(
        {"name": "errors", "type": "errors", "maxRate": 0.1, "objective": 0.01}, mode="fused"
    )
    incident = [
        increments.Batch(
            gateway=increments.GatewayCounts(candidate=100, stable=300, bad={"errors": (20, 60)})
        )
    ] * 5
    ledger = learn(fused, incident)
    assert ledger.bets[BetKey("errors", BetKind.LIMIT)].harm.log_e < math.log(100)
    assert judge.decide(ledger, strategy=fused, stage="canary").suspended == ("errors",)
    alone = learn(
        fused,
        [
            increments.Batch(
                gateway=increments.GatewayCounts(candidate=100, stable=300, bad={"errors": (20, 0)})
            )
        ],
    )
    assert alone.bets[BetKey("errors", BetKind.LIMIT)].harm.log_e > math.log(100)


@pytest.mark.parametrize(
    ("bad", "more", "action"),
    [
        (13, {}, Action.ROLLBACK),
        (13, {"tolerance": 1.3}, Action.HOLD),
        (18, {"tolerance": 1.3}, Action.ROLLBACK),
        (13, {"maxRate": None, "maxRatio": 1.5}, Action.PROMOTE),
        (13, {"count": "requests", "requestsPerUnit": 50}, Action.HOLD),
    ],
    ids=[
        "any harm",
        "within the tolerance",
        "beyond it",
        "within maxRatio",
        "of users who fail fifty times",
    ],
)
def test_what_is_tolerated_rolls_nothing_back_however_much_traffic_there_is(
    bad: int, more: dict[str, object], action: Action
) -> None:
    strategy = policy({"name": "errors", "type": "errors", "maxRate": 0.01, **more})
    busy = increments.Batch(
        gateway=increments.GatewayCounts(candidate=1000, stable=1000, bad={"errors": (bad, 10)})
    )
    assert (
        judge.decide(learn(strategy, [busy] * 600), strategy=strategy, stage="canary").action
        is action
    )


def test_failures_of_pairs_are_tolerated_as_those_of_requests_are_also_where_both_fail() -> None:
    strategy = sections.Strategy.model_validate(
        {"guards": [{"name": "errors", "type": "errors", "maxRate": 0.2, "tolerance": 1.5}]}
    )
    pairs = increments.Batch(
        paired=increments.Paired(
            compared=880,
            disagreements=0,
            candidate_failures=50,
            stable_failures=20,
            both_failures=50,
        )
    )
    assert learn(strategy, [pairs] * 20).bets[
        BetKey("errors", BetKind.SHADOW)
    ].harm.peak < math.log(100)  # 100 against 70 of 1000
    worse = increments.Batch(
        paired=increments.Paired(
            compared=880,
            disagreements=0,
            candidate_failures=100,
            stable_failures=20,
            both_failures=50,
        )
    )
    assert learn(strategy, [worse] * 20).bets[
        BetKey("errors", BetKind.SHADOW)
    ].harm.peak > math.log(100)


def test_a_certificate_does_not_outlive_the_rate_that_earned_it() -> None:
    strategy = policy({"name": "errors", "type": "errors", "maxRate": 0.02})
    well, ill = (
        increments.Batch(
            gateway=increments.GatewayCounts(candidate=100, stable=100, bad={"errors": (bad, bad)})
        )
        for bad in (0, 8)
    )
    earned = judge.decide(learn(strategy, [well] * 3), strategy=strategy, stage="canary")
    assert earned.action is Action.PROMOTE
    assert "errors below 2.00% on average so far (0 of 300)" in earned.reason
    assert (
        judge.decide(
            learn(strategy, [well, well, well, ill]), strategy=strategy, stage="canary"
        ).action
        is Action.HOLD
    )


def test_who_else_is_guilty_is_said_beside_the_verdict() -> None:
    both = policy(
        {"name": "errors", "type": "errors", "maxRate": 0.1},
        {"name": "slow", "type": "latency", "threshold": "50ms", "maxRate": 0.1},
    )
    ledger = learn(
        both,
        [
            increments.Batch(
                gateway=increments.GatewayCounts(
                    candidate=200, stable=600, bad={"errors": (60, 0), "slow": (70, 0)}
                )
            )
        ],
    )
    facts = judge.decide(ledger, strategy=both, stage="canary").evidence
    assert set(facts["combined"]["guilty"]) == {"errors", "slow"}


def test_a_hold_says_how_long_it_will_take_and_a_hopeless_one_does_not() -> None:
    errors = policy({"name": "errors", "type": "errors", "maxRate": 0.02})
    well = [
        increments.Batch(
            gateway=increments.GatewayCounts(candidate=10, stable=30, bad={"errors": (0, 0)})
        )
    ] * 5
    verdict = judge.decide(learn(errors, well), strategy=errors, stage="canary")
    assert verdict.action is Action.HOLD
    assert verdict.eta_seconds is not None
    assert 5 < verdict.eta_seconds < 300
    shadow = sections.Strategy.model_validate(
        {"shadow": {"minPairs": 500}, "guards": [{"name": "differs", "type": "disagreement"}]}
    )
    pairs = [
        increments.Batch(
            paired=increments.Paired(
                compared=50, disagreements=0, candidate_failures=0, stable_failures=0
            )
        )
    ] * 5
    verdict = judge.decide(learn(shadow, pairs), strategy=shadow, stage="shadow")
    assert (verdict.action, verdict.eta_seconds) == (
        Action.HOLD,
        pytest.approx(8.0, abs=0.1),
    )  # as many pairs again, at 250 in 8 s
    hopeless = [
        increments.Batch(
            gateway=increments.GatewayCounts(candidate=100, stable=300, bad={"errors": (3, 9)})
        )
    ] * 20
    verdict = judge.decide(learn(errors, hopeless), strategy=errors, stage="canary")
    assert (verdict.action, verdict.eta_seconds) == (Action.HOLD, None)


def sales(mine: float, theirs: float, *, looks: int = 100, seed: int = 0) -> list[increments.Batch]:
    """Return looks of 40 units each, half of them in the canary, whose purchases have these means
    (at most 10, most are nothing)."""
    rng, batches = np.random.default_rng(seed), []
    for _ in range(looks):
        values = [
            tuple(np.where(rng.random(20) < 0.4, rng.exponential(mean / 0.4, 20), 0.0).tolist())
            for mean in (mine, theirs)
        ]
        batches.append(
            increments.Batch(
                valued=(
                    increments.Valued(
                        name="purchase", weight=0.5, candidate=values[0], stable=values[1]
                    ),
                    increments.Valued(name="visit", weight=0.5, candidate=(1e9,), stable=(0.0,)),
                )
            )
        )
    return batches


def business(**more: object) -> sections.Strategy:
    return policy(
        {
            "name": "sales",
            "type": "business",
            "outcome": "purchase",
            "upper": 10,
            "maxLossIncrease": 0,
            "gates": "canary",
            **more,
        }
    )


def test_an_a_b_test_promotes_what_sells_more_and_says_the_effect_with_its_interval() -> None:
    verdict = judge.decide(
        learn(business(), sales(3.0, 2.0, looks=200)), strategy=business(), stage="canary"
    )
    assert verdict.action is Action.PROMOTE
    assert "purchase is" in verdict.reason
    assert "better than stable's" in verdict.reason
    intervals = verdict.evidence["sales"]["intervals"]
    # with the bound at 10
    truth = [0.4 * mean / 0.4 * (1 - np.exp(-10 / (mean / 0.4))) for mean in (3.0, 2.0)]
    assert intervals["candidate"][0] < truth[0] < intervals["candidate"][1]
    assert intervals["stable"][0] < truth[1] < intervals["stable"][1]
    assert 0 < intervals["effect"][0] < truth[0] - truth[1] < intervals["effect"][1]


def test_an_a_b_test_takes_back_what_sells_less_and_leaves_equals_to_a_person() -> None:
    worse = judge.decide(learn(business(), sales(1.0, 2.0)), strategy=business(), stage="canary")
    assert (worse.action, worse.guard) == (Action.ROLLBACK, "sales")
    assert "not better than stable's" in worse.reason
    held = [
        judge.decide(
            learn(business(), sales(2.0, 2.0, seed=seed)), strategy=business(), stage="canary"
        ).action
        for seed in range(20)
    ]
    assert held.count(Action.HOLD) >= 18  # each is wrong once in twenty at the most


def test_what_should_be_small_is_better_when_it_is_and_bounds_hold_the_extremes() -> None:
    waiting = business(higherIsBetter=False)
    assert (
        judge.decide(learn(waiting, sales(1.0, 2.0)), strategy=waiting, stage="canary").action
        is Action.PROMOTE
    )
    whale = increments.Batch(
        valued=(increments.Valued(name="purchase", weight=0.5, candidate=(1e6,), stable=(0.0,)),)
    )
    assert (
        judge.decide(learn(business(), [whale]), strategy=business(), stage="canary").action
        is Action.HOLD
    )


def test_a_business_guard_with_a_margin_lets_a_little_loss_pass() -> None:
    margin = business(maxLossIncrease=0.1)
    verdict = judge.decide(
        learn(margin, sales(1.9, 2.0, looks=300)), strategy=margin, stage="canary"
    )
    assert verdict.action is Action.PROMOTE
    assert "at most 1 worse than stable's" in verdict.reason


SLICED = policy(
    {"name": "each", "type": "quality", "sliceBy": "sector"}, {"name": "quality", "type": "quality"}
)


def labels(
    wrong: dict[str, tuple[float, float]], *, looks: int = 60, seed: int = 0
) -> list[increments.Batch]:
    """Return looks with ten labels an arm and slice, whose answers are wrong at these rates in the
    canary and in stable."""
    rng = np.random.default_rng(seed)
    return [
        increments.Batch(
            labelled=tuple(
                increments.Labelled(
                    weight=0.5,
                    slice=of,
                    candidate=ArmCounts(10, int(rng.binomial(10, mine))),
                    stable=ArmCounts(10, int(rng.binomial(10, theirs))),
                )
                for of, (mine, theirs) in wrong.items()
            )
        )
        for _ in range(looks)
    ]


def test_a_slice_that_suffers_is_found_and_named_though_the_whole_looks_well() -> None:
    verdict = judge.decide(
        learn(SLICED, labels({"state": (0.05, 0.1), "private": (0.45, 0.1), "farm": (0.02, 0.1)})),
        strategy=SLICED,
        stage="canary",
    )
    assert verdict.action is Action.ROLLBACK
    assert verdict.guard == "each"
    assert "where sector is 'private'" in verdict.reason
    assert {
        tuple(row["slice"].values()) for row in verdict.evidence.values() if "slice" in row
    } == {
        ("state",),
        ("private",),
        ("farm",),
    }


def test_a_guard_of_the_whole_counts_an_answer_once_and_not_again_in_its_slices() -> None:
    counts = {"candidate": ArmCounts(10, 4), "stable": ArmCounts(30, 3)}
    batch = increments.Batch(
        labelled=tuple(
            increments.Labelled(weight=0.25, slice=of, **counts) for of in (None, "state")
        )
    )
    assert totals(learn(SLICED, [batch, batch]), "quality") == (20, 8, 60, 6)
    assert totals(learn(SLICED, [batch, batch]), BetKey("each", BetKind.SLICE, 0)) == (
        10,
        4,
        30,
        3,
    )  # what a slice is about must not hang on what it brings


def test_all_slices_together_have_one_budget_and_the_ninth_is_not_looked_at() -> None:
    rates = {f"s{number}": (0.1, 0.1) for number in range(10)}
    ledgers_ = [learn(SLICED, labels(rates, looks=30, seed=seed)) for seed in range(20)]
    assert max(ledger.harm for ledger in ledgers_) < math.log(100)
    assert ledgers_[0].slices["each"] == tuple(f"s{number}" for number in range(8))
    assert len(ledgers_[0].bets) == 9


@pytest.mark.parametrize(
    "guard",
    [
        {"name": "errors", "type": "errors", "maxRatio": 1.5},
        {"name": "right", "type": "quality", "gates": "canary", "maxLossIncrease": 0},
        {
            "name": "sales",
            "type": "business",
            "gates": "canary",
            "outcome": "sale",
            "upper": 1,
            "maxLossIncrease": 0,
        },
    ],
)
def test_a_comparison_that_has_not_begun_to_grow_has_no_expected_end_and_one_that_grows_has(
    guard: dict[str, object],
) -> None:
    strategy = policy(guard)
    labels = increments.Labelled(weight=0.5, candidate=ArmCounts(100, 0), stable=ArmCounts(100, 0))
    sold = increments.Valued(name="sale", weight=0.5, candidate=(1.0,) * 5, stable=(1.0,) * 5)
    none_bad = increments.Batch(
        gateway=increments.GatewayCounts(candidate=100, stable=100, bad={"errors": (0, 0)}),
        labelled=(labels,),
        valued=(sold,),
    )
    verdict = judge.decide(learn(strategy, [none_bad] * 5), strategy=strategy, stage="canary")
    assert (verdict.action, verdict.eta_seconds) == (Action.HOLD, None)
    better = increments.Batch(
        gateway=increments.GatewayCounts(candidate=100, stable=100, bad={"errors": (0, 1)}),
        valued=(dataclasses.replace(sold, stable=(0.0, 1.0, 1.0, 1.0, 1.0)),),
        labelled=(dataclasses.replace(labels, stable=ArmCounts(100, 1)),),
    )
    verdict = judge.decide(learn(strategy, [better] * 4), strategy=strategy, stage="canary")
    assert verdict.action is Action.HOLD
    assert verdict.eta_seconds is not None
    assert 0 < verdict.eta_seconds < 600


def test_the_promise_says_where_nobody_measured_how_much_the_models_differ() -> None:
    strategy = sections.Strategy()
    ledger = bookkeeping.begin(strategy, at=0.0)
    said = [
        judge.decide(ledger, strategy=strategy, stage="shadow", offline=offline).guarantee
        for offline in (None, 0.04)
    ]
    assert (
        "differ from stable's by 3.0% on average at most, which evaluation did not measure"
        in said[0]
    )
    assert "compare" not in said[1]


@pytest.mark.parametrize(
    ("lost", "action"),
    [((6, 6), Action.PROMOTE), ((9, 6), Action.HOLD)],
    ids=["alike", "one and a half times as often"],
)
def test_requests_that_nobody_answered_certify_a_ratio_only_by_how_many_there_were(
    lost: tuple[int, int], action: Action
) -> None:
    strategy = policy({"name": "errors", "type": "errors", "maxRatio": 1.5, "tolerance": 2})
    held = ArmCounts(lost[0], lost[0]), ArmCounts(lost[1], lost[1])
    batch = increments.Batch(
        gateway=increments.GatewayCounts(
            candidate=1000,
            stable=1000,
            bad={"errors": lost},
            observed={"errors": (1000, 1000)},
            held={"errors": held},
        )
    )
    assert (
        judge.decide(learn(strategy, [batch] * 100), strategy=strategy, stage="canary").action
        is action
    )

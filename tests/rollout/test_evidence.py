"""The bets: fair under their null hypothesis, exactly; and quick where it is false."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairway.rollout import evidence
from fairway.rollout.evidence import ArmCounts, Wealth


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(2, 60), st.data())
def test_the_two_arm_factor_is_at_most_one_in_expectation_for_every_split_and_count(total: int, data: st.DataObject) -> None:
    canary = data.draw(st.integers(1, total - 1))
    bad = data.draw(st.integers(0, total))
    among = np.arange(max(0, bad - (total - canary)), min(bad, canary) + 1)
    chance = stats.hypergeom(total, bad, canary).pmf(among)
    factors = np.array([np.exp(evidence.factors_two_arm(ArmCounts(canary, int(x)), ArmCounts(total - canary, bad - int(x)))) for x in among])
    assert np.all(chance @ factors <= 1 + 1e-9)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(0.02, 0.98), st.floats(0, 0.3), st.floats(0, 1), st.booleans())
def test_the_difference_factor_is_fair_at_the_margin(weight: float, margin: float, base: float, harm: bool) -> None:
    stable = base * (1 - margin)
    canary = stable + margin  # exactly at the edge of the null hypothesis
    outcomes = [
        (weight * canary, ArmCounts(1, 1), ArmCounts(0, 0)), (weight * (1 - canary), ArmCounts(1, 0), ArmCounts(0, 0)),
        ((1 - weight) * stable, ArmCounts(0, 0), ArmCounts(1, 1)), ((1 - weight) * (1 - stable), ArmCounts(0, 0), ArmCounts(1, 0)),
    ]
    mean = sum(p * np.exp(evidence.factors_difference(c, s, weight=weight, margin=margin, harm=harm)) for p, c, s in outcomes)
    assert np.allclose(mean, 1, atol=1e-9)


@pytest.mark.parametrize("side", [evidence.factors_above, evidence.factors_below], ids=["above", "below"])
@pytest.mark.parametrize("limit", [0.005, 0.02, 0.3, 0.5])
def test_the_one_sample_factor_is_fair_at_its_limit(side: object, limit: float) -> None:
    bad, good = (np.exp(side(ArmCounts(1, x), limit=limit)) for x in (1, 0))  # type: ignore[operator]
    assert np.allclose(limit * bad + (1 - limit) * good, 1)


@pytest.mark.parametrize("weight", [0.05, 0.25, 0.5, 0.95])
def test_the_split_factor_is_fair_at_the_asked_weight(weight: float) -> None:
    canary, stable = (np.exp(evidence.factors_split(candidate=c, stable=1 - c, weight=weight)) for c in (1, 0))
    assert np.allclose(weight * canary + (1 - weight) * stable, 1)


def test_equal_arms_cross_the_bound_no_more_often_than_alpha_while_weights_and_rates_move() -> None:
    alpha, runs, crossed = 0.05, 400, 0
    for run in range(runs):
        rng = np.random.default_rng(run)
        wealth = Wealth.start(at=0.0)
        for tick in range(120):
            weight = (0.05, 0.25, 0.5)[tick // 40]
            rate = 0.01 + 0.009 * math.sin(tick / 9) + (0.1 if 50 < tick < 60 else 0.0)
            canary = rng.binomial(50, weight)
            wealth = wealth.bet(evidence.factors_two_arm(ArmCounts(canary, rng.binomial(canary, rate)),
                                                         ArmCounts(50 - canary, rng.binomial(50 - canary, rate))))
            if tick % 30 == 29:
                wealth = wealth.restart(at=float(tick))
        crossed += wealth.peak >= math.log(1 / alpha)
    assert crossed / runs <= alpha


def test_a_canary_that_fails_a_fifth_of_its_requests_is_found_within_fifteen_bad_ones() -> None:
    bad_served = []
    for run in range(50):
        rng, wealth, bad = np.random.default_rng(run), Wealth.start(at=0.0), 0
        while wealth.log_e < math.log(100):
            canary = rng.binomial(100, 0.1)
            failed = rng.binomial(canary, 0.2)
            bad += failed
            wealth = wealth.bet(evidence.factors_two_arm(ArmCounts(canary, failed), ArmCounts(100 - canary, rng.binomial(100 - canary, 0.005))))
        bad_served.append(bad)
    assert np.median(bad_served) <= 15


def test_restarts_spend_no_more_than_the_money_kept_for_them_and_stay_bounded() -> None:
    wealth = Wealth.start(at=0.0)
    for minute in range(500):
        wealth = wealth.restart(at=60.0 * minute)
    assert wealth.log_e == pytest.approx(0.0, abs=1e-9)
    assert len(wealth.starts) == evidence.MAX_RESTARTS + 1


def test_a_restart_finds_a_late_harm_sooner_than_the_bet_from_the_beginning() -> None:
    healthy, harmed = (ArmCounts(50, 1), ArmCounts(450, 9)), (ArmCounts(50, 4), ArmCounts(450, 9))
    with_restart = without = Wealth.start(at=0.0)
    for _ in range(200):
        with_restart, without = (w.bet(evidence.factors_two_arm(*healthy)) for w in (with_restart, without))
    with_restart = with_restart.restart(at=200.0)
    for _ in range(10):
        with_restart, without = (w.bet(evidence.factors_two_arm(*harmed)) for w in (with_restart, without))
    assert with_restart.log_e > without.log_e


def test_wealth_survives_json_to_the_last_bit() -> None:
    wealth = Wealth.start(at=1.5).bet(evidence.factors_two_arm(ArmCounts(7, 3), ArmCounts(93, 1))).restart(at=61.0)
    again = Wealth.from_json(json.loads(json.dumps(wealth.to_json())))
    assert np.array_equal(again.stakes, wealth.stakes)
    assert again.log_e == wealth.log_e


@pytest.mark.parametrize("arm", [ArmCounts(-1, 0), ArmCounts(3, 4), ArmCounts(3, -1)], ids=["negative", "more bad than requests", "negative bad"])
def test_impossible_counts_are_refused(arm: ArmCounts) -> None:
    with pytest.raises(ValueError, match="wanted 0 <= bad <= requests"):
        evidence.factors_two_arm(arm, ArmCounts(10, 0))


def test_a_batch_without_bad_requests_or_with_one_arm_missing_says_nothing() -> None:
    assert not evidence.factors_two_arm(ArmCounts(10, 0), ArmCounts(90, 0)).any()
    assert not evidence.factors_two_arm(ArmCounts(10, 5), ArmCounts(0, 0)).any()

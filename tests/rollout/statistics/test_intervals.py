"""Intervals that hold at every look: how often the truth is outside, and how wide they are beside
an independent implementation's."""

import json
import math

import numpy as np
import pytest
import ville

from fairway.rollout.statistics import intervals
from fairway.rollout.statistics.betting import ArmCounts
from fairway.rollout.statistics.intervals import Ratio


def test_the_average_rate_is_hardly_ever_outside_at_any_look_although_the_rate_moves() -> None:
    outside = 0
    for run in range(80):
        rng, n, bad, truth = np.random.default_rng(run), 0, 0, 0.0
        missed = False
        for tick in range(25):
            rate = 0.02 + 0.019 * math.sin(tick / 5)
            n, truth, bad = n + 120, truth + 120 * rate, bad + int(rng.binomial(120, rate))
            low, high = intervals.rate(ArmCounts(n, bad), alpha=0.1)
            missed |= not (low or 0.0) <= truth / n <= (1.0 if high is None else high)
        outside += missed
    assert outside / 80 <= 0.1


def test_the_relative_risk_is_hardly_ever_outside_at_any_look_although_rates_and_weights_move() -> (
    None
):
    outside = 0
    for run in range(80):
        rng, ratio, missed = np.random.default_rng(run), Ratio(), False
        for tick in range(30):
            weight, rate = (0.1, 0.3, 0.5)[tick // 10], 0.03 + 0.02 * math.sin(tick / 5)
            canary = int(rng.binomial(100, weight))
            ratio = ratio.add(
                ArmCounts(canary, int(rng.binomial(canary, 2 * rate))),
                ArmCounts(100 - canary, int(rng.binomial(100 - canary, rate))),
            )
            low, high = ratio.interval(alpha=0.1)
            missed |= (low is not None and low > 2) or (high is not None and high < 2)
        outside += missed
    assert outside / 80 <= 0.1


def test_a_mean_is_hardly_ever_outside_at_any_look_although_it_moves() -> None:
    outside = 0
    for run in range(80):
        rng, n, total, spread, truth, centre, missed = (
            np.random.default_rng(run),
            0,
            0.0,
            0.0,
            0.0,
            0.5,
            False,
        )
        for tick in range(20):
            share = 0.3 + 0.2 * math.sin(tick / 5)
            values = np.where(rng.random(25) < share, rng.random(25), 0.0)
            spread += float(((values - centre) ** 2).sum())
            n, total, truth = n + 25, total + float(values.sum()), truth + 25 * share / 2
            centre = total / n
            low, high = intervals.mean(total, n, spread=spread, alpha=0.1)
            missed |= not (low or 0.0) <= truth / n <= (1.0 if high is None else high)
        outside += missed
    assert outside / 80 <= 0.1


@pytest.mark.parametrize(("n", "bad"), [(100, 5), (1000, 5), (10_000, 500), (100_000, 500)])
def test_a_rate_s_interval_is_hardly_wider_than_the_beta_binomial_s(n: int, bad: int) -> None:
    rows = np.zeros(n)
    rows[np.linspace(0, n - 1, bad).astype(int)] = 1
    theirs = ville.BernoulliCS(alpha=0.05, intersect=False)
    theirs.fit(rows)
    low, high = intervals.rate(ArmCounts(n, bad), alpha=0.05)
    assert low is not None
    assert high is not None
    assert high - low <= 1.6 * (theirs.upper_[-1] - theirs.lower_[-1])
    assert low <= bad / n <= high


def test_the_ratio_s_curve_is_exact_between_its_nodes() -> None:
    batches = [(0.5, 100_000), (0.05, 300), (0.95, 20)]

    def denominators(logs: np.ndarray) -> np.ndarray:
        return np.sum(
            [events * np.log1p(weight * np.expm1(logs)) for weight, events in batches], axis=0
        )

    assert (
        np.abs(
            intervals._between() @ denominators(intervals.NODES) - denominators(intervals.ROOMS)
        ).max()
        < 1e-4
    )


def test_nothing_seen_says_nothing_and_little_bounds_one_side() -> None:
    assert intervals.rate(ArmCounts(0, 0), alpha=0.05) == (0.0, 1.0)
    assert Ratio().interval(alpha=0.05) == (None, None)
    low, high = Ratio().add(ArmCounts(100, 20), ArmCounts(400, 0)).interval(alpha=0.05)
    assert low is not None
    assert low > 2
    assert high is None


def test_a_ratio_survives_json_to_the_last_bit() -> None:
    ratio = (
        Ratio().add(ArmCounts(100, 20), ArmCounts(400, 3)).add(ArmCounts(50, 1), ArmCounts(70, 2))
    )
    again = Ratio.from_json(json.loads(json.dumps(ratio.to_json())))
    assert again.interval(alpha=0.05) == ratio.interval(alpha=0.05)
    assert np.array_equal(again.denominators, ratio.denominators)
    assert Ratio.from_json(json.loads(json.dumps(Ratio().to_json()))) == Ratio()

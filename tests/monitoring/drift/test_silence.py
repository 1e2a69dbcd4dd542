"""Failures that say nothing: each is told, and rarely where nothing failed."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fairway.monitoring.drift import silence

Floats = NDArray[np.float64]
WORDS = np.array(["a", "b"], dtype=object)


def test_answers_that_are_all_equal_are_told_where_they_varied() -> None:
    rng = np.random.default_rng(0)
    reference = rng.dirichlet([1, 1], size=1000)
    assert silence.constant(np.full((50, 2), 0.5), reference)
    assert not silence.constant(reference[:50], reference)


@pytest.mark.parametrize(
    ("window", "reference"),
    [
        (np.zeros(49), np.arange(1000.0)),  # too few rows
        (np.zeros(50), np.zeros(1000)),  # as ever
        (np.zeros(50), np.repeat(np.arange(10.0), 100)),  # it stood still before
        (np.zeros(600), np.arange(1000.0)),  # the reference has no two such windows
    ],
    ids=["few", "constant before", "stood still before", "little known"],
)
def test_what_may_be_usual_is_not_told(window: Floats, reference: Floats) -> None:
    assert not silence.constant(window, reference)


def test_columns_that_stand_still_are_named_and_missing_values_are_equal() -> None:
    rng = np.random.default_rng(1)
    reference = {
        "age": rng.normal(size=500),
        "job": rng.choice(WORDS, 500),
        "pay": rng.normal(size=500),
    }
    window = {
        "age": np.full(60, 3.0),
        "job": rng.choice(WORDS, 60),
        "pay": np.full(60, np.nan),
    }
    assert silence.frozen(window, reference) == [
        "age",
        "pay",
    ]


@pytest.mark.parametrize(
    ("values", "longest"),
    [([], 0), ([1.0], 1), ([1.0, 1.0, 2.0], 2), ([1.0, np.nan, np.nan, np.nan, 1.0], 3)],
)
def test_the_longest_stretch_of_equal_values(values: list[float], longest: int) -> None:
    assert silence.longest_run(np.array(values)) == longest


def test_requests_are_counted_in_whole_hours() -> None:
    at = np.array([0.5, 1.1, 1.2, 1.9, 3.5, 4.9]) * silence.HOUR
    counts = silence.hourly(at)
    assert (counts[0], counts[1], counts[2], counts[3], counts[4]) == ([], [3], [0], [1], [])
    assert silence.hourly(np.array([])) == {hour: [] for hour in range(24)}


def test_an_hour_without_a_request_is_as_rare_as_its_counts_say() -> None:
    assert silence.chance_of_none([4, 4, 4]) == pytest.approx(math.exp(-4))
    assert silence.chance_of_none([9, 1, 2]) > math.exp(-4)
    assert silence.chance_of_none([40, 40]) == 1  # too few days
    assert silence.chance_of_none([40, 0, 40]) == 1  # it was so before
    rng = np.random.default_rng(2)
    drawn = rng.negative_binomial(2, 2 / (2 + 6), 100_000)
    known = drawn[drawn > 0][:2000].tolist()
    assert silence.chance_of_none(known) < 3 * (drawn == 0).mean()


def days(rng: np.random.Generator, number: int, *, busy: float, night: float) -> Floats:
    hours = np.arange(24 * number)
    rate = np.where((hours % 24 >= 8) & (hours % 24 < 20), busy, night)
    counts = rng.poisson(rate)
    return np.sort((np.repeat(hours, counts) + rng.random(counts.sum())) * silence.HOUR)


def test_no_traffic_at_a_busy_hour_is_told_and_a_quiet_night_is_not() -> None:
    counts = silence.hourly(days(np.random.default_rng(3), 7, busy=60, night=0.5))
    ten = (7 * 24 + 10) * silence.HOUR
    assert silence.quiet(counts, last_at=ten - 60, now=ten + 0.9 * silence.HOUR) is None
    chance = silence.quiet(counts, last_at=ten - 60, now=ten + silence.HOUR)
    assert chance is not None
    assert chance < silence.FALSE_A_MONTH / silence.MONTH_HOURS
    night = (7 * 24 + 21) * silence.HOUR
    assert silence.quiet(counts, last_at=night, now=night + 10 * silence.HOUR) is None


def test_traffic_that_goes_on_is_hardly_ever_said_to_have_ended() -> None:
    """Sixty months, of which a budget of .01 each allows less than one."""
    told = 0
    for seed in range(20):
        rng = np.random.default_rng([4, seed])
        counts = silence.hourly(days(rng, 7, busy=12, night=3))
        at = days(rng, 90, busy=12, night=3)
        told += sum(
            silence.quiet(counts, last_at=before, now=after) is not None
            for before, after in itertools.pairwise(at)
            if after - before > silence.HOUR
        )
    assert told <= 2

"""The bets: fair under their null hypothesis, exactly; and quick where it is false."""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from ville import evalues

from fairway.rollout.statistics import betting, hypotheses
from fairway.rollout.statistics.betting import ArmCounts, Wealth


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(2, 60), st.data())
def test_the_two_arm_factor_is_at_most_one_in_expectation_for_every_split_and_count(
    total: int, data: st.DataObject
) -> None:
    canary = data.draw(st.integers(1, total - 1))
    bad = data.draw(st.integers(0, total))
    among = np.arange(max(0, bad - (total - canary)), min(bad, canary) + 1)
    chance = stats.hypergeom(total, bad, canary).pmf(among)
    factors = np.array(
        [
            np.exp(
                hypotheses.factors_two_arm(
                    ArmCounts(canary, int(x)), ArmCounts(total - canary, bad - int(x))
                )
            )
            for x in among
        ]
    )
    assert np.all(chance @ factors <= 1 + 1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(1, 6), st.integers(1, 6), st.floats(0, 0.3), st.floats(0.01, 0.99), st.booleans()
)
def test_the_difference_factor_is_at_most_one_in_expectation_however_many_of_each_arm_are_here(
    n: int, m: int, margin: float, base: float, harm: bool
) -> None:
    stable = base * (1 - margin)
    canary = stable + margin  # exactly at the edge of the null hypothesis
    mean = np.zeros(betting.GRID)
    for x, y in itertools.product(range(n + 1), range(m + 1)):
        chance = stats.binom(n, canary).pmf(x) * stats.binom(m, stable).pmf(y)
        mean += chance * np.exp(
            hypotheses.factors_difference(
                ArmCounts(n, x), ArmCounts(m, y), margin=margin, harm=harm
            )
        )
    assert np.all(mean <= 1 + 1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(2, 7), st.data(), st.booleans())
def test_the_difference_factor_is_at_most_one_in_expectation_over_who_of_these_units_fell_to_the_canary(
    total: int, data: st.DataObject, harm: bool
) -> None:
    """Each unit has its loss under either revision, as different from the others' as may be: only
    the draw is random."""
    canary, unit = (
        data.draw(st.integers(1, total - 1)),
        st.lists(st.floats(0, 1), min_size=total, max_size=total),
    )
    mine, theirs = np.array(data.draw(unit)), np.array(data.draw(unit))
    margin = float((mine - theirs).mean())
    if not 0 <= margin <= 0.9:
        return
    mean, draws = np.zeros(betting.GRID), 0
    for chosen in itertools.combinations(range(total), canary):
        rest = [unit for unit in range(total) if unit not in chosen]
        counts = (
            ArmCounts(canary, float(mine[list(chosen)].sum())),
            ArmCounts(total - canary, float(theirs[rest].sum())),
        )
        mean += np.exp(hypotheses.factors_difference(*counts, margin=margin, harm=harm))
        draws += 1
    assert np.all(mean / draws <= 1 + 1e-9)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(1, 5))
def test_the_paired_factor_is_fair_where_the_canary_fails_as_often_as_is_tolerated(
    mine: float, theirs: float, both: float, ratio: float
) -> None:
    scale = max(1.0, mine + theirs + both, ratio * (theirs + both), mine + both)
    theirs, both = theirs / scale, both / scale
    # at the edge: it fails `ratio` times as many of the same requests
    alone = ratio * (theirs + both) - both
    if alone < 0 or alone + theirs + both > 1:
        return
    chances = (
        (alone, (1, 0, 0)),
        (theirs, (0, 1, 0)),
        (both, (0, 0, 1)),
        (1 - alone - theirs - both, (0, 0, 0)),
    )
    mean = sum(
        chance * np.exp(hypotheses.factors_paired(*counts, max_ratio=ratio))
        for chance, counts in chances
    )
    assert np.allclose(mean, 1, atol=1e-9)


@pytest.mark.parametrize(
    "side", [hypotheses.factors_above, hypotheses.factors_below], ids=["above", "below"]
)
@pytest.mark.parametrize("limit", [0.005, 0.02, 0.3, 0.5])
def test_the_one_sample_factor_is_fair_at_its_limit(side: object, limit: float) -> None:
    bad, good = (np.exp(side(ArmCounts(1, x), limit=limit)) for x in (1, 0))  # type: ignore[operator]
    assert np.allclose(limit * bad + (1 - limit) * good, 1)


@pytest.mark.parametrize("weight", [0.05, 0.25, 0.5, 0.95])
def test_the_split_factor_is_fair_at_the_asked_weight(weight: float) -> None:
    canary, stable = (
        np.exp(hypotheses.factors_split(candidate=c, stable=1 - c, weight=weight)) for c in (1, 0)
    )
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
            wealth = wealth.bet(
                hypotheses.factors_two_arm(
                    ArmCounts(canary, rng.binomial(canary, rate)),
                    ArmCounts(50 - canary, rng.binomial(50 - canary, rate)),
                )
            )
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
            wealth = wealth.bet(
                hypotheses.factors_two_arm(
                    ArmCounts(canary, failed),
                    ArmCounts(100 - canary, rng.binomial(100 - canary, 0.005)),
                )
            )
        bad_served.append(bad)
    assert np.median(bad_served) <= 15


def test_restarts_spend_no_more_than_the_money_kept_for_them_and_stay_bounded() -> None:
    wealth = Wealth.start(at=0.0)
    for minute in range(500):
        wealth = wealth.restart(at=60.0 * minute)
    assert wealth.log_e == pytest.approx(0.0, abs=1e-9)
    assert len(wealth.starts) == betting.MAX_RESTARTS + 1


def test_a_restart_finds_a_late_harm_sooner_than_the_bet_from_the_beginning() -> None:
    healthy, harmed = (ArmCounts(50, 1), ArmCounts(450, 9)), (ArmCounts(50, 4), ArmCounts(450, 9))
    with_restart = without = Wealth.start(at=0.0)
    for _ in range(200):
        with_restart, without = (
            w.bet(hypotheses.factors_two_arm(*healthy)) for w in (with_restart, without)
        )
    with_restart = with_restart.restart(at=200.0)
    for _ in range(10):
        with_restart, without = (
            w.bet(hypotheses.factors_two_arm(*harmed)) for w in (with_restart, without)
        )
    assert with_restart.log_e > without.log_e


def test_wealth_survives_json_to_the_last_bit() -> None:
    wealth = (
        Wealth.start(at=1.5)
        .bet(hypotheses.factors_two_arm(ArmCounts(7, 3), ArmCounts(93, 1)))
        .restart(at=61.0)
    )
    again = Wealth.from_json(json.loads(json.dumps(wealth.to_json())))
    assert np.array_equal(again.stakes, wealth.stakes)
    assert again.log_e == wealth.log_e


@pytest.mark.parametrize(
    "arm",
    [ArmCounts(-1, 0), ArmCounts(3, 4), ArmCounts(3, -1)],
    ids=["negative", "more bad than requests", "negative bad"],
)
def test_impossible_counts_are_refused(arm: ArmCounts) -> None:
    with pytest.raises(ValueError, match="wanted 0 <= bad <= requests"):
        hypotheses.factors_two_arm(arm, ArmCounts(10, 0))


def test_a_batch_without_bad_requests_or_with_one_arm_missing_says_nothing() -> None:
    assert not hypotheses.factors_two_arm(ArmCounts(10, 0), ArmCounts(90, 0)).any()
    assert not hypotheses.factors_two_arm(ArmCounts(10, 5), ArmCounts(0, 0)).any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 8), st.integers(1, 8), st.floats(0.2, 5), st.floats(0.01, 0.95), st.booleans()
)
def test_the_two_arm_factor_with_a_margin_is_at_most_one_in_expectation(
    canary: int, stable: int, ratio: float, base: float, harm: bool
) -> None:
    base = min(base, 0.99 / ratio)  # at the edge of the null hypothesis
    mean = np.zeros(betting.GRID)
    for x in range(canary + 1):
        for y in range(stable + 1):
            chance = stats.binom(canary, ratio * base).pmf(x) * stats.binom(stable, base).pmf(y)
            mean += chance * np.exp(
                hypotheses.factors_two_arm(
                    ArmCounts(canary, x), ArmCounts(stable, y), max_ratio=ratio, harm=harm
                )
            )
    assert np.all(mean <= 1 + 1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 4), st.data(), st.floats(0, 0.3), st.floats(0, 1), st.booleans())
def test_the_factor_of_values_is_fair_over_who_of_these_units_fell_to_the_canary(
    total: int,
    data: st.DataObject,
    margin: float,
    centre: float,
    harm: bool,
) -> None:
    """Only the draw is random, and the order in which it is met: of the arms, however many of each,
    and not of the values."""
    canary = data.draw(st.integers(1, total - 1))
    stable = np.array(data.draw(st.lists(st.floats(0, 1), min_size=total, max_size=total))) * (
        1 - margin
    )
    mean, draws = np.zeros(betting.GRID), 0
    for chosen, order in itertools.product(
        itertools.combinations(range(total), canary), itertools.permutations(range(total))
    ):
        rest = [unit for unit in range(total) if unit not in chosen]
        mean += np.exp(
            hypotheses.factors_values(
                stable[list(chosen)] + margin,
                stable[rest],
                order=order,
                margin=margin,
                centre=centre,
                harm=harm,
            )
        )
        draws += 1
    assert np.allclose(mean / draws, 1, atol=1e-9)


def test_values_outside_their_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        hypotheses.factors_values(
            np.array([1.5]), np.array([0.5]), order=[0, 1], margin=0.0, centre=0.5
        )
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        hypotheses.factors_values(
            np.array([np.nan]), np.array([0.5]), order=[0, 1], margin=0.0, centre=0.5
        )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(lambda bins: sum(bins) >= 2),
    st.data(),
)
def test_the_shift_factor_is_at_most_one_in_expectation_whatever_was_seen_before(
    bins: list[int], data: st.DataObject
) -> None:
    rows = np.repeat(np.arange(3), bins)
    canary = data.draw(st.integers(1, len(rows) - 1))
    before = tuple(
        np.array(data.draw(st.lists(st.integers(0, 500), min_size=3, max_size=3)), dtype=float)
        for _ in range(2)
    )
    mean, draws = np.zeros(betting.GRID), 0
    for chosen in itertools.combinations(range(len(rows)), canary):
        mine = np.bincount(rows[list(chosen)], minlength=3).astype(float)
        mean += np.exp(hypotheses.factors_shift(mine, np.array(bins) - mine, before=before))  # type: ignore[arg-type]
        draws += 1
    assert np.all(mean / draws <= 1 + 1e-9)


def test_a_shift_of_the_answers_is_found_and_equal_answers_are_not() -> None:
    def wealth(shifted: float) -> Wealth:
        rng, held = np.random.default_rng(3), Wealth.start(at=0.0)
        canary, stable = np.zeros(10), np.zeros(10)
        for _ in range(200):
            new = [
                np.histogram(
                    rng.normal(mean, 1, n),
                    bins=np.array([-9, -1.3, -0.8, -0.5, -0.2, 0, 0.2, 0.5, 0.8, 1.3, 9]),
                )[0].astype(float)
                for mean, n in ((shifted, 10), (0.0, 30))
            ]
            held = held.bet(hypotheses.factors_shift(new[0], new[1], before=(canary, stable)))
            canary, stable = canary + new[0], stable + new[1]
        return held

    assert wealth(0.5).log_e > math.log(100)
    assert wealth(0.0).peak < math.log(100)


def test_the_wealth_is_a_supermartingale_on_all_outcomes_with_restarts_and_weights_chosen_by_what_was_seen() -> (
    None
):
    """Every path of three batches under H0, exactly: rates move, and the weight of the next batch
    hangs on the wealth so far."""

    def expected(wealth: Wealth, depth: int) -> float:
        if depth == 3:
            return math.exp(wealth.log_e)
        canary = 3 if wealth.log_e > 0.2 else 1
        rate, total = (0.5, 0.1, 0.8)[depth], 0.0
        here = wealth.restart(at=float(depth)) if depth in (1, 2) else wealth
        for x in range(canary + 1):
            for y in range(4 - canary + 1):
                chance = stats.binom(canary, rate).pmf(x) * stats.binom(4 - canary, rate).pmf(y)
                total += chance * expected(
                    here.bet(
                        hypotheses.factors_two_arm(ArmCounts(canary, x), ArmCounts(4 - canary, y))
                    ),
                    depth + 1,
                )
        return total

    assert 0.5 < expected(Wealth.start(at=0.0), 0) <= 1 + 1e-12


def test_an_alarm_rings_while_something_is_amiss_and_for_a_while_after() -> None:
    alarm, calm, amiss = (
        betting.Alarm(),
        hypotheses.factors_above(ArmCounts(100, 0), limit=0.01),
        hypotheses.factors_above(ArmCounts(100, 10), limit=0.01),
    )
    for second in range(100):
        alarm = alarm.learn(calm, at=float(second))
    assert not alarm.on(at=100.0)
    alarm = alarm.learn(amiss, at=100.0)
    again = betting.Alarm.from_json(json.loads(json.dumps(alarm.to_json())))
    assert alarm.on(at=100.0)
    assert again.on(at=100.0 + betting.ALARM_SECONDS)
    for second in range(101, 200):
        alarm = alarm.learn(calm, at=float(second))
    assert not alarm.on(at=200.0 + betting.ALARM_SECONDS)
    assert (
        betting.Alarm.from_json(json.loads(json.dumps(betting.Alarm().to_json()))).until
        == -math.inf
    )


def _worth(log_e: float) -> Wealth:
    return dataclasses.replace(
        Wealth.start(at=0.0, restarts=False),
        stakes=np.full((1, betting.GRID), log_e - math.log(betting.GRID)),
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.floats(-3, 12), min_size=1, max_size=6), st.sampled_from([0.01, 0.05, 0.2]))
def test_who_is_guilty_is_what_closed_testing_says(logs: list[float], alpha: float) -> None:
    wealths = {f"g{number}": _worth(log_e) for number, log_e in enumerate(logs)}
    by_hand = []
    for name in wealths:
        others = [other for other in wealths if other != name]
        sets = [
            (name, *some)
            for size in range(len(others) + 1)
            for some in itertools.combinations(others, size)
        ]
        if all(
            betting.combine({member: wealths[member] for member in one})
            >= math.log(1 / alpha) - 1e-9
            for one in sets
        ):
            by_hand.append(name)
    assert set(betting.guilty(wealths, alpha=alpha)) == set(by_hand)


# -- an independent implementation -----------------------------------------------------------------


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.floats(-3, 12), min_size=1, max_size=30), st.sampled_from([0.01, 0.05, 0.2]))
def test_e_bh_names_what_ville_names(logs: list[float], rate: float) -> None:
    mask = evalues.ebh(np.exp(logs), alpha=rate)
    named = set(betting.e_bh(dict(enumerate(logs)), rate=rate))
    assert (
        named == set(np.flatnonzero(mask))
        or len({round(logs[i], 9) for i in named ^ set(np.flatnonzero(mask))}) == 1
    )  # a tie at the edge


@pytest.mark.parametrize(("truth", "limit"), [(0.05, 0.01), (0.2, 0.1), (0.02, 0.01), (0.5, 0.3)])
def test_the_evidence_of_one_arm_is_within_some_nats_of_the_beta_binomial_s(
    truth: float, limit: float
) -> None:
    rows = (np.random.default_rng(5).random(5000) < truth).astype(float)
    theirs = ville.BernoulliTest(limit)
    theirs.fit(rows)
    ours = Wealth.start(at=0.0, restarts=False)
    for batch in np.split(rows, 100):
        ours = ours.bet(
            hypotheses.factors_above(ArmCounts(len(batch), int(batch.sum())), limit=limit)
        )
    assert ours.log_e == pytest.approx(theirs.log_e_values_[-1], rel=0.1, abs=4.0)


def test_the_evidence_of_bounded_values_is_within_some_nats_of_a_betting_test_s() -> None:
    """With the arms drawn at a half each, the inverse-propensity difference is a bounded mean like
    any other."""
    rng = np.random.default_rng(8)
    arm = rng.random(4000) < 0.5
    value = np.clip(rng.normal(np.where(arm, 0.56, 0.5), 0.1), 0, 1)
    theirs = ville.BettingTest(0.0, bounds=(-2.0, 2.0), alternative="greater")
    theirs.fit(np.where(arm, 2 * value, -2 * value))
    ours = Wealth.start(at=0.0, restarts=False)
    for start in range(0, 4000, 40):
        here = slice(start, start + 40)
        ours = ours.bet(
            hypotheses.factors_values(
                value[here][arm[here]],
                value[here][~arm[here]],
                order=rng.permutation(40),
                margin=0.0,
                centre=0.5,
            )
        )
    assert theirs.log_e_values_[-1] > 3
    assert (
        ours.log_e >= theirs.log_e_values_[-1] - math.log(betting.GRID) - 2
    )  # what an even spread over the alternatives may cost, and a little


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(1, 6), st.integers(1, 6), st.floats(0.0, 0.3), st.floats(0.05, 0.95), st.booleans()
)
def test_the_factor_of_answers_is_at_most_one_in_expectation_where_a_share_differs_by_the_margin(
    n: int,
    m: int,
    margin: float,
    base: float,
    less: bool,
) -> None:
    stable = base * (1 - margin) + (margin if less else 0.0)
    canary = stable - margin if less else stable + margin
    mean = np.zeros(betting.GRID)
    for x, y in itertools.product(range(n + 1), range(m + 1)):
        chance = stats.binom(n, canary).pmf(x) * stats.binom(m, stable).pmf(y)
        mean += chance * np.exp(hypotheses.factors_answers([x], [y], of=(n, m), margin=margin))
    assert np.all(mean <= 1 + 1e-9)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: hypotheses.factors_split(candidate=-100, stable=10, weight=0.5),
        lambda: hypotheses.factors_split(candidate=100, stable=-1, weight=0.5),
        lambda: hypotheses.factors_shift(
            np.array([5.0, -1.0]), np.array([5.0, 1.0]), before=(np.zeros(2), np.zeros(2))
        ),
        lambda: hypotheses.factors_shift(
            np.array([5.0, math.nan]), np.array([5.0, 1.0]), before=(np.zeros(2), np.zeros(2))
        ),
        lambda: hypotheses.factors_two_arm(ArmCounts(10, math.nan), ArmCounts(10, 0)),
        lambda: hypotheses.factors_below(ArmCounts(10, 11), limit=0.1),
        lambda: hypotheses.factors_difference(ArmCounts(-1, 0), ArmCounts(10, 0), margin=0.0),
        lambda: hypotheses.factors_paired(1, -1, 0),
    ],
)
def test_counts_that_cannot_be_are_refused_with_a_sentence(refused: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="wanted 0"):
        refused()


def test_a_factor_that_is_no_number_changes_no_wealth() -> None:
    wealth = Wealth.start(at=0.0)
    before = wealth.to_json()
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="wanted finite numbers"):
        wealth.bet(np.full(betting.GRID, math.nan))
    assert wealth.to_json() == before

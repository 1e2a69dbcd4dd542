"""What is foretold of a rollout, against what simulated ones do."""

import math

import numpy as np
import pytest

from benchmarks.judge import ours, peers, streams
from benchmarks.judge.streams import Scenario
from fairway import errors
from fairway.config import sections
from fairway.rollout import bookkeeping, increments, plan

SCHEDULE = [{"weight": weight, "minDuration": "60s"} for weight in (10, 20, 30, 40)] + [
    {"weight": 50}
]
POLICY = sections.Strategy.model_validate(
    {
        "warmup": "0s",
        "shadow": {"enabled": False},
        "canary": {"steps": SCHEDULE, "budget": "1h", "harm": 1},
        "falseRollback": 0.05,
        "guards": [{"name": "errors", "type": "errors", "maxRate": 0.02}],
    }
)


@pytest.mark.parametrize("rate", [2, 10, 100])
def test_the_time_of_a_certificate_is_about_the_median_of_simulated_ones(rate: int) -> None:
    healthy = Scenario("healthy", streams.constant(0.005), streams.constant(0.005), healthy=True)
    stream = streams.draw(healthy, rate=rate, seconds=3600, runs=300, seed=2)
    evidence = ours.certificates(stream, limit=0.02)
    simulated = np.median(
        peers.first(evidence >= math.log(20), np.arange(1, evidence.shape[1] + 1) * streams.TICK)
    )
    [expected] = plan.plan(POLICY, requests_per_second=rate, usual={"errors": 0.005})
    assert expected.certified_seconds == pytest.approx(simulated, rel=0.3, abs=15)


@pytest.mark.parametrize(("rate", "bad"), [(10, 0.05), (10, 0.2), (100, 0.02)])
def test_the_time_of_a_rollback_is_about_the_median_of_simulated_ones(
    rate: int, bad: float
) -> None:
    scenario = next(known for known in streams.SCENARIOS if known.name == f"canary {bad:.0%}")
    harms = ours.harms(streams.draw(scenario, rate=rate, seconds=600, runs=300, seed=2))
    simulated = np.median(
        peers.first(harms >= math.log(20), np.arange(1, harms.shape[1] + 1) * streams.TICK)
    )
    [expected] = plan.plan(POLICY, requests_per_second=rate, usual={"errors": 0.005})
    assert expected.found_seconds[f"{bad:.0%}"] == pytest.approx(simulated, rel=0.3, abs=15)


def test_a_limit_that_cannot_be_certified_is_refused_with_the_smallest_that_can_and_that_one_is_taken() -> (
    None
):
    with pytest.raises(
        errors.ConfigError,
        match=r"errors cannot certify 2.00% within 1h at 0.1 requests/s and a usual rate of 0.50%: wanted \d",
    ):
        plan.plan(POLICY, requests_per_second=0.1, usual={"errors": 0.005})
    [expected] = plan.plan(POLICY, requests_per_second=10, usual={"errors": 0.005})
    tight = POLICY.model_copy(
        update={
            "guards": (
                POLICY.guards[0].model_copy(update={"max_rate": expected.smallest_limit * 1.001}),
            )
        }
    )
    [at_the_edge] = plan.plan(tight, requests_per_second=10, usual={"errors": 0.005})
    assert at_the_edge.certified_seconds == pytest.approx(3600, rel=0.05)


@pytest.mark.parametrize("ratio", [3.0, 2.0])
def test_the_time_of_a_certificate_by_stable_s_rate_is_about_the_median_of_simulated_ones(
    ratio: float,
) -> None:
    policy = sections.Strategy.model_validate(
        {
            "shadow": {"enabled": False},
            "canary": {"steps": [{"weight": 50}], "budget": "1d"},
            "guards": [{"name": "errors", "type": "errors", "maxRatio": ratio}],
        }
    )
    [expected] = plan.plan(policy, requests_per_second=100, usual={"errors": 0.01})
    taken = []
    for run in range(60):
        rng, ledger, seconds = np.random.default_rng(run), bookkeeping.begin(policy, at=0.0), 0
        while ledger.own("errors").certificate.peak < math.log(20):
            n = int(rng.binomial(500, 0.5))
            bad = {"errors": (int(rng.binomial(n, 0.01)), int(rng.binomial(500 - n, 0.01)))}
            seconds += 5
            batch = increments.Batch(
                gateway=increments.GatewayCounts(candidate=n, stable=500 - n, bad=bad)
            )
            ledger = bookkeeping.observe(
                ledger, batch, strategy=policy, offline=None, at=float(seconds)
            )
        taken.append(seconds)
    assert expected.certified_seconds == pytest.approx(np.median(taken), rel=0.35)
    with pytest.raises(
        errors.ConfigError,
        match=r"errors cannot certify .* times stable's rate within 1d at 0.01 requests/s",
    ):
        plan.plan(policy, requests_per_second=0.01, usual={"errors": 0.01})


def test_shadow_takes_the_pairs_that_it_asks_for_at_the_least() -> None:
    policy = sections.Strategy.model_validate(
        {"warmup": "0s", "guards": [{"name": "differs", "type": "disagreement"}]}
    )
    [expected] = plan.plan(policy, requests_per_second=1, usual={"differs": 0.0})
    assert expected.certified_seconds == 500
    assert expected.limit == 0.03


AB = sections.Strategy.model_validate(
    {
        "shadow": {"enabled": False},
        "canary": {"steps": [{"weight": 50}], "budget": "1d"},
        "guards": [
            {
                "name": "sales",
                "type": "business",
                "gates": "canary",
                "outcome": "purchase",
                "upper": 1,
                "maxLossIncrease": 0,
            }
        ],
    }
)


def test_the_units_of_an_a_b_test_are_about_the_median_of_simulated_ones() -> None:
    [expected] = plan.plan(AB, requests_per_second=1, usual={"sales": 0.1}, effects={"sales": 0.03})
    taken = []
    for run in range(40):
        rng, ledger, units = np.random.default_rng(run), bookkeeping.begin(AB, at=0.0), 0
        while ledger.own("sales").certificate.peak < math.log(20):
            mine = int(rng.binomial(200, 0.5))
            values = [
                tuple((rng.random(n) < share).astype(float).tolist())
                for n, share in ((mine, 0.13), (200 - mine, 0.1))
            ]
            batch = increments.Batch(
                valued=(
                    increments.Valued(
                        name="purchase", weight=0.5, candidate=values[0], stable=values[1]
                    ),
                )
            )
            units += 200
            ledger = bookkeeping.observe(ledger, batch, strategy=AB, offline=None, at=float(units))
        taken.append(units)
    assert expected.certified_seconds == pytest.approx(np.median(taken), rel=0.3)


def test_an_effect_that_is_too_small_for_the_budget_is_refused_with_the_smallest_that_is_not() -> (
    None
):
    [expected] = plan.plan(AB, requests_per_second=0.1, usual={"sales": 0.1})
    assert expected.certified_seconds is None
    with pytest.raises(
        errors.ConfigError,
        match=r"sales cannot tell an effect of 1.00% of its range within 1d at 0.1 units/s",
    ):
        plan.plan(AB, requests_per_second=0.1, usual={"sales": 0.1}, effects={"sales": 0.01})
    [at_the_edge] = plan.plan(
        AB,
        requests_per_second=0.1,
        usual={"sales": 0.1},
        effects={"sales": expected.smallest_limit * 1.001},
    )
    assert at_the_edge.certified_seconds == pytest.approx(86_400, rel=0.05)


def test_where_nothing_is_possible_nothing_is_named_and_what_is_named_is_possible() -> None:
    with pytest.raises(
        errors.ConfigError, match=r"usual rate of 0.00%: wanted more traffic, or a longer budget"
    ):
        plan.plan(POLICY, requests_per_second=1e-6, usual={})
    ratio = sections.Strategy.model_validate(
        {
            "shadow": {"enabled": False},
            "guards": [{"name": "errors", "type": "errors", "maxRatio": 64}],
        }
    )
    with pytest.raises(
        errors.ConfigError, match="wanted more traffic, a longer budget, or maxRate"
    ):
        plan.plan(ratio, requests_per_second=0.001, usual={"errors": 0.005})
    with pytest.raises(errors.ConfigError, match=r"wanted [0-9.]+% or more") as refused:
        plan.plan(POLICY, requests_per_second=0.1, usual={"errors": 0.005})
    named = float(str(refused.value).partition("wanted ")[2].partition("%")[0]) / 100
    possible = POLICY.model_copy(
        update={"guards": (POLICY.guards[0].model_copy(update={"max_rate": named}),)}
    )
    plan.plan(possible, requests_per_second=0.1, usual={"errors": 0.005})


def test_an_effect_beyond_the_range_is_refused() -> None:
    with pytest.raises(
        errors.ConfigError,
        match=r"has a mean of 90.00% of its range and cannot be better by 50.00%: wanted an effect of 10.00% at most",
    ):
        plan.plan(AB, requests_per_second=1, usual={"sales": 0.9}, effects={"sales": 0.5})


def test_what_should_be_small_is_planned_by_what_is_left_of_its_range() -> None:
    waiting = AB.model_copy(
        update={"guards": (AB.guards[0].model_copy(update={"higher_is_better": False}),)}
    )
    [small] = plan.plan(
        waiting, requests_per_second=1, usual={"sales": 0.9}, effects={"sales": 0.1}
    )
    [large] = plan.plan(AB, requests_per_second=1, usual={"sales": 0.1}, effects={"sales": 0.1})
    assert small.certified_seconds == pytest.approx(large.certified_seconds)
    # all that is left
    plan.plan(AB, requests_per_second=1, usual={"sales": 0.9}, effects={"sales": 0.1})
    with pytest.raises(
        errors.ConfigError, match=r"cannot be better by 50.00%: wanted an effect of 10.00% at most"
    ):
        plan.plan(waiting, requests_per_second=1, usual={"sales": 0.1}, effects={"sales": 0.5})

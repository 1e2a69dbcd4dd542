"""A step of the canary ends when a harm of the stated size would have been found in it, and says
what it waits for."""

import dataclasses
from datetime import timedelta

import numpy as np
import pytest

from fairway.config import sections
from fairway.rollout import bookkeeping, increments, plan, power
from fairway.rollout.states import Phase
from tests.rollout.world import STRATEGY, World


def canary(**more: object) -> sections.Strategy:
    return STRATEGY.model_copy(
        update={
            "shadow": sections.Shadow(enabled=False),
            "canary": sections.Canary.model_validate(more),
        }
    )


def test_the_first_step_says_how_many_requests_it_waits_for_and_ends_when_they_have_come() -> None:
    world = World(policy=canary(), rate=40).serving("a")
    world.until(Phase.CANARY)
    while world.state.step == 0:
        before = world.look()
        if before.step == 0 and world.state.arrived[0] > 2:
            assert "of about" in world.state.reason
            assert (
                "requests of the candidate in which 10% more would be found (errors)"
                in world.state.reason
            )
            seen = before.arrived[0]
    assert 40 < seen < 70


@pytest.mark.parametrize(("weight", "least", "most"), [(5, 45, 65), (25, 80, 120), (50, 140, 210)])
def test_the_larger_the_step_the_more_requests_show_as_much_harm(
    weight: int, least: int, most: int
) -> None:
    needed = power.needed(
        bookkeeping.begin(sections.Strategy(), at=0.0),
        strategy=sections.Strategy(),
        share=weight / 100,
        since=0.0,
        rates={},
    )
    assert least < needed["errors"] == needed["slow"] < most


@pytest.mark.parametrize("usual", [0.0, 0.005, 0.05])
@pytest.mark.parametrize("weight", [0.05, 0.25, 0.5])
def test_four_harms_in_five_are_found_with_as_many_requests(weight: float, usual: float) -> None:
    strategy = canary(harm=0.1)
    n = round(
        power.needed(
            bookkeeping.begin(strategy, at=0.0),
            strategy=strategy,
            share=weight,
            since=0.0,
            rates={"errors": usual},
        )["errors"]
    )
    found = 0
    for run in range(200):
        rng, ledger = np.random.default_rng(run), bookkeeping.begin(strategy, at=0.0)
        rest = round(n * (1 - weight) / weight)
        gateway = increments.GatewayCounts(
            candidate=n,
            stable=rest,
            bad={"errors": (int(rng.binomial(n, usual + 0.1)), int(rng.binomial(rest, usual)))},
        )
        found += bookkeeping.observe(
            ledger, increments.Batch(gateway=gateway), strategy=strategy, offline=None, at=2.0
        ).harm >= np.log(100)
    assert 0.7 < found / 200 < 0.92


def test_a_certificate_does_not_end_a_step_that_has_seen_too_little_of_its_weight() -> None:
    world = World(policy=canary(steps=[{"weight": 25}, {"weight": 50}]), rate=2000).serving("a")
    world.until(Phase.CANARY)
    while world.state.step == 0:
        world.look()
    world.rate = 20
    assert [world.look().phase for _ in range(6)] == [Phase.CANARY] * 6
    assert world.state.reason.startswith("step 2 (50 %) has")
    assert "every guard of the canary holds" in world.state.reason
    world.until(Phase.PROMOTING)


def test_a_step_in_a_hurry_is_content_with_a_total_failure() -> None:
    strategy = canary(harm=1)
    needed = power.needed(
        bookkeeping.begin(strategy, at=0.0), strategy=strategy, share=0.25, since=0.0, rates={}
    )
    assert needed["errors"] <= 8


def test_a_step_that_has_seen_too_little_when_the_budget_is_spent_asks_a_person_and_says_why() -> (
    None
):
    world = World(policy=canary(budget="60s"), rate=4).serving("a")
    state = world.until(Phase.PAUSED)
    assert state.reason.startswith("the budget of 1m is spent: step 1 (5 %) has ")


def test_without_a_comparison_a_step_waits_for_none() -> None:
    all_of_it = canary(steps=[{"weight": 100}])
    ledger = bookkeeping.begin(all_of_it, at=0.0)
    assert power.lacking(ledger, strategy=all_of_it, arrived=(5, 0), weight=1.0, since=0.0) is None
    outcomes = dataclasses.replace(ledger)
    assert (
        power.lacking(
            outcomes,
            strategy=all_of_it.model_copy(update={"guards": ()}),
            arrived=(1, 1),
            weight=0.5,
            since=0.0,
        )
        is None
    )


def test_the_plan_foretells_the_steps() -> None:
    steps = plan.schedule(canary(), requests_per_second=10, usual={})
    assert [step.weight for step in steps] == [5, 25, 50]
    assert [round(step.seconds * 10 * step.weight / 100) for step in steps] == [
        step.requests for step in steps
    ]
    longer = canary(steps=[{"weight": 5, "minDuration": "1h"}])
    assert (
        plan.schedule(longer, requests_per_second=10, usual={})[0].seconds
        == timedelta(hours=1).total_seconds()
    )


def test_a_step_ends_also_where_half_of_all_requests_fail_the_guard() -> None:
    """Its own healthy requests cost the wealth more than so many harmful ones would have brought:
    the target ran away from the count."""
    slow = {
        "name": "slow",
        "type": "latency",
        "threshold": "100ms",
        "maxRatio": 1.5,
        "tolerance": 1.0,
    }
    strategy = sections.Strategy.model_validate({"shadow": {"enabled": False}, "guards": [slow]})
    ledger = bookkeeping.begin(strategy, at=0.0)
    for number in range(40):
        counts = increments.GatewayCounts(
            candidate=50, stable=50, bad={"slow": (22 + number % 2, 23 - number % 2)}
        )
        ledger = bookkeeping.observe(
            ledger,
            increments.Batch(counted=(counts,)),
            strategy=strategy,
            offline=None,
            at=5.0 * number + 5,
        )
    assert (
        power.lacking(ledger, strategy=strategy, arrived=(2000, 2000), weight=0.5, since=0.0)
        is None
    )
    assert (
        power.lacking(ledger, strategy=strategy, arrived=(200, 200), weight=0.5, since=0.0)
        is not None
    )

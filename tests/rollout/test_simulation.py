"""The simulation that docs/judge.md's figures come from: it judges as the product does, and what it
says of healthy revisions holds."""

import math

import numpy as np
import pytest

from benchmarks.judge import ours, peers, promises, streams
from benchmarks.judge.streams import TICK, Scenario
from fairway.config import sections
from fairway.rollout import bookkeeping, increments
from fairway.rollout import ledger as ledgers
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts

SCENARIOS = {scenario.name: scenario for scenario in streams.SCENARIOS}


def product(stream: streams.Stream, run: int, *, mode: str) -> list[ledgers.Ledger]:
    """Return the product's ledger after each tick of one run."""
    policy = sections.Strategy.model_validate(
        {
            "mode": mode,
            "shadow": {"enabled": False},
            "guards": [{"name": "errors", "type": "errors", "maxRate": 0.02, "objective": 0.006}],
        }
    )
    ledger, found = bookkeeping.begin(policy, at=0.0), []
    for tick in range(stream.canary.shape[1]):
        n, x, m, y = (
            int(counts[run, tick])
            for counts in (stream.canary, stream.canary_bad, stream.stable, stream.stable_bad)
        )
        batch = increments.Batch(
            gateway=increments.GatewayCounts(candidate=n, stable=m, bad={"errors": (x, y)})
        )
        ledger = bookkeeping.observe(
            ledger, batch, strategy=policy, offline=None, at=(tick + 1) * TICK
        )
        found.append(ledger)
    return found


@pytest.mark.parametrize(("mode", "objective"), [("concurrentOnly", None), ("fused", 0.006)])
@pytest.mark.parametrize("name", ["canary 5% from 300 s", "incident of both arms"])
def test_the_simulation_judges_as_the_product_does(
    mode: str, objective: float | None, name: str
) -> None:
    stream = streams.draw(
        SCENARIOS[name], rate=20, seconds=1200, runs=4, seed=3
    )  # long enough that restarts replace each other
    harms, certificates = (
        ours.harms(stream, objective=objective),
        ours.certificates(stream, limit=0.02),
    )
    for run in range(4):
        ledgers = product(stream, run, mode=mode)
        assert np.allclose(harms[run], [ledger.harm for ledger in ledgers], rtol=1e-9, atol=1e-9)
        assert np.allclose(
            certificates[run],
            [ledger.own("errors").certificate.log_e for ledger in ledgers],
            rtol=1e-9,
            atol=1e-9,
        )


@pytest.mark.parametrize(
    "name",
    [
        "healthy",
        "rates that swing",
        "incident of both arms",
        "both arms 2%",
        "bursts, units counted",
    ],
)
@pytest.mark.parametrize("rate", [1, 10, 100])
def test_healthy_revisions_are_rolled_back_no_more_often_than_stated(name: str, rate: int) -> None:
    runs = 600
    harms = ours.harms(streams.draw(SCENARIOS[name], rate=rate, seconds=600, runs=runs, seed=11))
    for alpha in (0.01, 0.05):
        share = float((harms.max(axis=1) >= math.log(1 / alpha)).mean())
        assert share <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


@pytest.mark.parametrize("part", ["labels", "arrival", "tolerance", "certificates", "users"])
def test_what_is_stated_holds_where_labels_are_no_lottery_answers_are_late_rates_change_and_users_come_again(
    part: str,
) -> None:
    trials = promises.play(part, seed=5, runs=200)
    assert [trial.what for trial in trials if trial.held is False] == []
    assert any(
        trial.bound is None and trial.share > 0.15 for trial in trials
    )  # the ways it was done before do not hold


@pytest.mark.parametrize("harm", [True, False])
def test_the_simulation_bets_on_labels_as_the_product_does(harm: bool) -> None:
    rng, weight = np.random.default_rng(6), np.full(60, 0.25)
    mine, theirs = rng.poisson(1.5, (1, 60)), rng.poisson(4.5, (1, 60))
    stream = streams.Stream(
        mine, rng.binomial(mine, 0.2), theirs, rng.binomial(theirs, 0.1), weight, mine
    )
    policy = sections.Strategy.model_validate(
        {
            "shadow": {"enabled": False},
            "guards": [{"name": "quality", "type": "quality", "gates": "canary"}],
        }
    )
    ledger, found = bookkeeping.begin(policy, at=0.0), []
    for tick in range(60):
        n, bad, m, stable_bad = (
            int(counts[0, tick])
            for counts in (stream.canary, stream.canary_bad, stream.stable, stream.stable_bad)
        )
        labels = increments.Labelled(
            weight=0.25, candidate=ArmCounts(n, bad), stable=ArmCounts(m, stable_bad)
        )
        ledger = bookkeeping.observe(
            ledger,
            increments.Batch(labelled=(labels,)),
            strategy=policy,
            offline=None,
            at=(tick + 1) * TICK,
        )
        found.append(
            (ledger.own("quality").harm if harm else ledger.own("quality").certificate).log_e
        )
    assert np.allclose(
        ours.late(stream, margin=0.02, harm=harm, least=bookkeeping.ENOUGH)[0],
        found,
        rtol=1e-9,
        atol=1e-9,
    )


def test_bursts_counted_by_request_break_the_promise_as_the_page_says() -> None:
    harms = ours.harms(
        streams.draw(SCENARIOS["bursts, requests counted"], rate=10, seconds=600, runs=300, seed=11)
    )
    assert float((harms.max(axis=1) >= math.log(20)).mean()) > 0.2


def test_argo_aborts_at_the_failure_after_its_limit_and_flagger_a_tick_after_its_threshold() -> (
    None
):
    broken = Scenario("canary 20%", streams.constant(0.0), streams.constant(1.0), healthy=False)
    stream = streams.draw(broken, rate=100, seconds=600, runs=3, seed=1)
    assert peers.argo(stream, interval=60, failures=0).at.tolist() == [60.0] * 3
    assert peers.argo(stream, interval=60, failures=3).at.tolist() == [240.0] * 3
    assert peers.argo(stream, interval=10, failures=3).at.tolist() == [90.0] * 3
    found = peers.flagger(
        broken, rate=100, seconds=600, runs=3, seed=1, interval=60, threshold=5, step=0.1
    )
    assert found.at.tolist() == [360.0] * 3
    sound = Scenario("healthy", streams.constant(0.0), streams.constant(0.0), healthy=True)
    assert np.isinf(
        peers.flagger(
            sound, rate=100, seconds=600, runs=3, seed=1, interval=60, threshold=5, step=0.1
        ).at
    ).all()


def test_kayenta_says_high_where_every_point_is_higher_and_nothing_where_they_are_equal() -> None:
    points = np.linspace(0.01, 0.02, 30)
    assert peers._high(points + 0.05, points)
    assert not peers._high(points, points)
    assert not peers._high(np.array([np.nan]), points)


def test_one_arm_s_evidence_is_the_same_in_batches_of_any_size() -> None:
    one = ArmCounts(100, 3)
    parts = [ArmCounts(40, 1), ArmCounts(60, 2)]
    assert np.allclose(
        hypotheses.factors_below(one, limit=0.02),
        sum(hypotheses.factors_below(part, limit=0.02) for part in parts),
    )

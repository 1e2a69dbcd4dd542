"""What `fairway rollout explain` says of evidence, wherever the rollout runs."""

import json
from dataclasses import replace
from typing import Any

import pytest

from fairway import errors
from fairway.cli import verdicts
from fairway.config import sections
from fairway.control.ports import Deployed
from fairway.operator import status
from fairway.platforms.kubernetes import checkpoint
from fairway.platforms.kubernetes.rollouts import ClusterPlatform
from fairway.rollout import bookkeeping, increments, judge
from fairway.rollout.states import Phase, State
from fairway.rollout.statistics.betting import ArmCounts
from tests.operator import world

FUSED = sections.Strategy.model_validate(
    {
        "shadow": {"enabled": False},
        "mode": "fused",
        "guards": [
            {"name": "errors", "type": "errors", "maxRate": 0.1, "objective": 0.01},
            {"name": "each", "type": "quality", "sliceBy": "sector"},
        ],
    }
)


def rollout() -> State:
    """Return a canary during an incident of both arms, worse for one slice of its users."""
    ledger = bookkeeping.begin(FUSED, at=0.0)
    for look in range(6):
        slices = tuple(
            increments.Labelled(
                weight=0.5, slice=sector, candidate=ArmCounts(50, wrong), stable=ArmCounts(50, 1)
            )
            for sector, wrong in (("private", 1), ("public", 5))
        )
        batch = increments.Batch(
            gateway=increments.GatewayCounts(candidate=100, stable=100, bad={"errors": (20, 20)}),
            labelled=slices,
            exposed=(increments.Exposed(weight=0.5, candidate=100, stable=100, new=(100, 100)),),
        )
        ledger = bookkeeping.observe(ledger, batch, strategy=FUSED, offline=None, at=2.0 * look)
    state = State(phase=Phase.CANARY, stable="a" * 12, candidate="b" * 12, ledger=ledger)
    return replace(state, verdict=judge.decide(ledger, strategy=FUSED, stage="canary"))


def test_counts_intervals_slices_and_what_is_suspended_are_shown() -> None:
    record, text = verdicts.evidence(rollout(), FUSED)
    assert record["evidence"]["errors"]["candidate"] == {"n": 600, "bad": 120}
    assert record["evidence"]["each/1"]["slice"] == {"sector": "public"}
    assert (
        record["evidence"]["combined"]["split"]["candidate"]
        == record["evidence"]["combined"]["split"]["stable"]
        == 600
    )
    assert record["suspended"] == ["errors"]
    for words in (
        "120 of 600",
        "0.1",
        "RATIO OR EFFECT",
        "suspended, because stable is beyond its objective too: errors",
        "<= 0.01",
    ):
        assert words in text
    assert "approximately" not in text


def test_labels_that_are_no_lottery_are_shown_by_arm_and_by_answer_and_their_guard_is_named() -> (
    None
):
    strategy = sections.Strategy.model_validate(
        {"shadow": {"enabled": False}, "guards": [{"name": "quality", "type": "quality"}]}
    )
    some = increments.Labelled(
        weight=0.05,
        candidate=ArmCounts(100, 9),
        stable=ArmCounts(100, 1),
        answers={"high": (30, 70)},
    )
    served = increments.Exposed(
        weight=0.05, candidate=105, stable=1900, new=(105, 1900), answers={"high": (40, 900)}
    )
    ledger = bookkeeping.observe(
        bookkeeping.begin(strategy, at=0.0),
        increments.Batch(labelled=(some,), exposed=(served,)),
        strategy=strategy,
        offline=None,
        at=2.0,
    )
    state = State(
        phase=Phase.CANARY,
        ledger=ledger,
        verdict=judge.decide(ledger, strategy=strategy, stage="canary"),
    )
    record, text = verdicts.evidence(state, strategy)
    assert record["unfair"] == ["quality"]
    assert (
        "quality: in are 100 of 105 of the candidate's units, 100 of 1900 of stable's units, 30 of 40 and 70 of 900 of "
        "those answered 'high'" in text
    )
    assert "not judged, because their labels or outcomes are no lottery: quality" in text
    assert "while whether a label or an outcome comes in does not hang on the answer" in text


def test_losses_that_are_no_counts_are_shown_by_their_mean() -> None:
    strategy = sections.Strategy.model_validate(
        {"shadow": {"enabled": False}, "guards": [{"name": "quality", "type": "quality"}]}
    )
    some = increments.Labelled(
        weight=0.5, candidate=ArmCounts(40, 10.0), stable=ArmCounts(50, 5.5), losses=True
    )
    begun, batch = bookkeeping.begin(strategy, at=0.0), increments.Batch(labelled=(some,))
    ledger = bookkeeping.observe(begun, batch, strategy=strategy, offline=None, at=2.0)
    record, text = verdicts.evidence(State(phase=Phase.CANARY, ledger=ledger), strategy)
    assert record["evidence"]["quality"]["losses"]
    assert "mean 0.25 over 40" in text
    assert "mean 0.11 over 50" in text
    assert "10 of 40" not in text


def test_a_promise_that_is_not_to_the_letter_says_so() -> None:
    record, text = verdicts.evidence(
        rollout(), FUSED, approximate="approximately: the counts are queries of your own"
    )
    assert record["guarantee"].endswith(
        "; it holds approximately: the counts are queries of your own"
    )
    assert record["guarantee"] in text


def test_a_cluster_s_status_explains_as_much_as_one_machine_does() -> None:
    state = rollout()
    stored = {"checkpoint": checkpoint.write(state, policy=FUSED, first="a" * 12)}
    again, policy, _ = checkpoint.read(stored, policy=sections.Strategy())
    assert verdicts.evidence(again, policy) == verdicts.evidence(state, FUSED)


def test_before_the_first_rollout_there_is_no_evidence_and_the_promise_is_told_all_the_same() -> (
    None
):
    record, text = verdicts.evidence(State(), sections.Strategy())
    assert record["evidence"] == {}
    assert text.strip().startswith("P(a healthy revision is rolled back) <= 0.01")


def test_a_status_names_the_worst_slice_of_a_guard() -> None:
    found = {row.name: row.harm for row in status._guards(rollout())}
    assert found["each"] is not None
    assert found["each"] > 1


def judged(bad: int) -> State:
    """Return a canary of 600 requests, so many of each 100 of which failed, beside a stable that
    fails once in a hundred.
    """
    ledger = bookkeeping.begin(FUSED, at=0.0)
    for look in range(6):
        batch = increments.Batch(
            gateway=increments.GatewayCounts(candidate=100, stable=100, bad={"errors": (bad, 1)})
        )
        ledger = bookkeeping.observe(ledger, batch, strategy=FUSED, offline=None, at=2.0 * look)
    return State(
        phase=Phase.CANARY,
        ledger=ledger,
        verdict=judge.decide(ledger, strategy=FUSED, stage="canary"),
    )


def test_the_list_marks_what_does_harm_at_the_rate_that_is_asked_for() -> None:
    # its evidence is its last verdict's
    ended = replace(judged(20), ledger=None, phase=Phase.ROLLED_BACK)
    states = {
        "bad": judged(20),
        "ended": ended,
        "slightly": judged(3),
        "fine": judged(1),
        "new": State(),
    }
    rows = [
        Deployed(
            record={
                "deployment": name,
                "phase": str(state.phase),
                "weight": 5,
                "verdict": None,
                "reason": "r",
            },
            state=state,
            policy=FUSED,
        )
        for name, state in states.items()
    ]
    assert verdicts.harm(states["bad"]) == pytest.approx(verdicts.harm(ended), abs=1e-4)
    strict, loose = (verdicts.listed(rows, rate=rate) for rate in (0.001, 0.5))
    assert [row["harmful"] for row in strict[0]["deployments"]] == [True, True, False, False, None]
    assert [row["harmful"] for row in loose[0]["deployments"]] == [True, True, True, False, None]
    assert strict[1].splitlines()[0].split()[:6] == [
        "DEPLOYMENT",
        "PHASE",
        "WEIGHT",
        "VERDICT",
        "HARM",
        "(LN",
    ]
    assert (
        "a share of at most 0.001 is expected to be no worse than stable"
        in strict[1].splitlines()[-1]
    )


def test_a_list_of_nothing_says_what_to_do_and_promises_nothing() -> None:
    record, text = verdicts.listed([], rate=0.1)
    assert record["deployments"] == []
    assert text == "nothing is deployed: `fairway deploy PACKAGE`"


def test_a_list_says_how_nearly_its_rate_holds_and_goes_on_beside_what_it_cannot_read():
    cluster = deployed(
        phase="Canary",
        reason="r",
        checkpoint=checkpoint.write(judged(20), policy=FUSED, first=None),
    )
    one = cluster.objects["ModelDeployment", "income"]
    cluster.objects["ModelDeployment", "b"] = {
        **one,
        "metadata": {"name": "b", "namespace": "models"},
        "status": {"checkpoint": "{"},
    }
    found, _ = verdicts.listed(platform(cluster).every(everywhere=True), rate=0.1)
    assert [(row["deployment"], row["harmful"]) for row in found["deployments"]] == [
        ("b", None),
        ("income", True),
    ]
    assert "written by another version" in found["deployments"][0]["reason"]
    assert "it holds approximately" in found["guarantee"]


def deployed(**status: Any) -> world.Cluster:
    """Return a cluster that has a ModelDeployment with this status."""
    spec = {
        "model": {"uri": "s3://models/a", "digest": f"sha256:{'a' * 64}"},
        "gateway": {"parentRefs": [{"name": "models"}]},
        "counts": {"template": "istio"},
        "strategy": {"guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}]},
    }
    cluster = world.Cluster()
    cluster.objects["ModelDeployment", "income"] = {
        "metadata": {"name": "income", "namespace": "models"},
        "spec": spec,
        "status": status,
    }
    return cluster


def platform(cluster: world.Cluster) -> ClusterPlatform:
    return ClusterPlatform(lambda: cluster, namespace="models")


def explain(cluster: world.Cluster) -> dict[str, Any]:
    return verdicts.explained(platform(cluster).read("income"))[0]


def test_a_cluster_with_queries_of_its_own_says_that_the_promise_is_approximate():
    found = explain(
        deployed(
            phase="Canary",
            reason="r",
            checkpoint=checkpoint.write(rollout(), policy=FUSED, first=None),
        )
    )
    assert found["evidence"]["errors"]["intervals"]["candidate"][0] > 0.1
    assert "it holds approximately: the counts come from queries of your own" in found["guarantee"]
    assert explain(deployed())["evidence"] == {}  # nobody has looked at it yet


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Sideways"},
        {"verdict": {"action": "SHRUG", "reason": ""}},
        {"ledger": {"harms": 3}},
    ],
)
def test_a_status_of_another_version_is_a_sentence(change):
    kept = json.loads(checkpoint.write(rollout(), policy=FUSED, first=None))
    kept["state"] |= change
    for text in (json.dumps(kept), "{"):
        with pytest.raises(errors.PlatformError, match="written by another version of fairway"):
            explain(deployed(phase="Canary", checkpoint=text))

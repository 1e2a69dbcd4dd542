"""Runtime seldon: the same rollout, with predictors instead of Deployments of ours."""

import pytest

from fairway import errors
from tests.operator import world

COUNTS = {"template": "requests"}


@pytest.fixture
def play():
    made = world.World()
    made.cluster.kinds = {"SeldonDeployment"}
    return made


def predictors(play):
    found = play.cluster.objects.get(("SeldonDeployment", world.NAME))
    return (
        {predictor["name"]: predictor["traffic"] for predictor in found["spec"]["predictors"]}
        if found
        else {}
    )


def test_a_rollout_runs_both_revisions_as_predictors_and_ends_with_one(play):
    play.ask("a", runtime="seldon")
    first = play.look(until="Stable 0")["stable"]["revision"]
    play.ask("b", runtime="seldon")
    second = play.look(until="Canary 25")["candidate"]["revision"]
    assert predictors(play) == {first: 100, second: 0}  # the gateway divides, not Seldon
    assert sum(play.shares.values()) == pytest.approx(1)
    assert play.look(until="Stable 0")["stable"]["revision"] == second
    play.look(15)
    assert predictors(play) == {second: 100}
    assert [name for kind, name in play.cluster.objects if kind == "Deployment"] == [
        f"{world.NAME}-{second}-0-server"
    ]


def test_traffic_does_not_wait_for_a_webhook_of_seldons_that_is_away(play):
    play.ask("a", runtime="seldon")
    play.look(until="Stable 0")
    play.ask("b", runtime="seldon")
    second = play.look(until="Baking 95")["candidate"]["revision"]
    play.cluster.refused, play.cluster.refusal = (
        {"SeldonDeployment"},
        errors.Unavailable("failed calling webhook: no endpoints available"),
    )
    play.restart()
    for _ in range(20):
        play.patient()
    assert (play.status["phase"], play.shares) == ("Stable", {second: 1.0})
    stalled = next(found for found in play.status["conditions"] if found["type"] == "Stalled")
    assert (stalled["status"], stalled["message"]) == (
        "True",
        "failed calling webhook: no endpoints available",
    )


def test_a_predictor_stays_until_no_request_can_come_to_it(play):
    play.ask("a", runtime="seldon")
    first = play.look(until="Stable 0")["stable"]["revision"]
    play.ask("b", runtime="seldon")
    second = play.look(until="Stable 0")["stable"]["revision"]
    assert predictors(play) == {first: 0, second: 100}


def test_without_seldon_the_spec_is_not_accepted_until_it_is_installed(play):
    play.cluster.kinds = set()
    play.ask("a", runtime="seldon")
    status = play.look()
    assert {"type": "Accepted", "status": "False"}.items() <= next(
        c for c in status["conditions"] if c["type"] == "Accepted"
    ).items()
    assert "install its operator" in status["reason"]
    play.cluster.kinds = {"SeldonDeployment"}
    assert play.look(until="Stable 0")["reason"]


def test_seldons_own_routing_needs_its_ingress_and_moves_its_weights(play):
    own = {
        "runtime": "seldon",
        "routing": "seldon",
        "counts": COUNTS,
        "gateway": None,
        "strategy": world.SHORT,
    }
    play.ask("a", **own)
    assert "Istio or Ambassador" in play.look()["reason"]
    play.cluster.kinds |= {"VirtualService"}
    first = play.look(until="Stable 0")["stable"]["revision"]
    play.ask("b", **own)
    second = play.look(until="Canary 25")["candidate"]["revision"]
    assert predictors(play) == {first: 75, second: 25}
    assert play.look(until="Stable 0")["stable"]["revision"] == second
    assert ("HTTPRoute", world.NAME) not in play.cluster.objects

"""What the operator exports of rollouts: it follows the looks, and goes with the resource."""

import urllib.request
from typing import Any

import pytest
from prometheus_client import parser

from fairway import errors
from fairway.operator import endpoint
from fairway.operator import rolloutseries as exported
from tests.operator import world

WHO = {"namespace": world.NAMESPACE, "deployment": world.NAME}


@pytest.fixture
def play() -> world.World:
    """Return a world with revision a in service."""
    made = world.World()
    made.ask("a")
    made.look(until="Stable 0")
    return made


def series(play: world.World) -> dict[str, Any]:
    """Return each series' value by its name and the labels besides namespace and deployment."""
    found = {}
    for family in play.operator.rollouts.collect():
        for sample in family.samples:
            assert sample.labels.items() >= WHO.items()
            found[
                " ".join(
                    [
                        sample.name,
                        *(value for label, value in sample.labels.items() if label not in WHO),
                    ]
                )
            ] = sample.value
    return found


def test_each_phase_has_a_series_and_one_of_them_is_1(play):
    play.ask("b")
    play.look(until="Canary 25")
    now = series(play)
    assert {
        name: value for name, value in now.items() if name.startswith("fairway_rollout_phase ")
    } == {f"fairway_rollout_phase {phase}": float(phase == "Canary") for phase in exported.Phase}
    assert now["fairway_rollout_weight"] == 25
    assert (
        now["fairway_rollout_phase_since_timestamp_seconds"]
        <= now["fairway_rollout_last_look_timestamp_seconds"]
        == play.now - 2
    )
    assert (
        now["fairway_rollout_pods_available stable"]
        == now["fairway_rollout_pods_available canary"]
        == 2
    )


def test_a_promotion_is_counted_once_and_the_first_revision_is_none(play):
    assert series(play)["fairway_rollout_promotions_total"] == 0
    play.ask("b")
    play.look(until="Stable 0")
    play.look(20)
    assert series(play)["fairway_rollout_promotions_total"] == 1
    assert not any(
        value for name, value in series(play).items() if "verdict" in name or "rollbacks" in name
    )


@pytest.mark.parametrize(
    ("cause", "phase"),
    [("fault", "RolledBack"), ("aborted", "RolledBack"), ("superseded", "Stable")],
)
def test_a_rollback_is_counted_once_by_its_cause(play, cause, phase):
    play.ask("b")
    play.look(until="Canary 25")
    match cause:
        case "fault":
            play.look(2)
            play.cluster.crash(f"income-{play.status['candidate']['revision']}")
        case "aborted":
            found = play.cluster.objects["ModelDeployment", world.NAME]
            found["metadata"]["annotations"] = {
                "fairway.dev/command": '{"verb": "abort", "id": "1", "by": "jo"}'
            }
        case "superseded":
            play.ask("c")
    play.look(until=f"{phase} 0")
    now = series(play)
    assert {name: now[f"fairway_rollout_rollbacks_total {name}"] for name in exported.CAUSES} == {
        name: float(name == cause) for name in exported.CAUSES
    }
    assert now["fairway_rollout_stalled"] == (cause != "superseded")


def test_stalled_is_over_when_the_spec_names_what_serves(play):
    play.ask("b")
    play.look(until="Canary 25")
    play.look(2)
    play.cluster.crash(f"income-{play.status['candidate']['revision']}")
    play.look(until="RolledBack 0")
    assert series(play)["fairway_rollout_stalled"] == 1
    play.ask("a")
    play.look()
    assert (play.status["phase"], series(play)["fairway_rollout_stalled"]) == ("RolledBack", 0)


def test_evidence_that_cannot_be_read_is_told_until_it_can(play):
    play.ask("b")
    play.look(until="Canary 25")
    play.counts.away = errors.Unavailable("Prometheus does not answer")
    play.look(2)
    now = series(play)
    assert (now["fairway_rollout_evidence_readable"], now["fairway_rollout_verdict HOLD"]) == (0, 1)
    play.counts.away = None
    play.look()
    assert series(play)["fairway_rollout_evidence_readable"] == 1


def test_a_pause_by_a_step_and_one_by_the_spec_are_told(play):
    play.ask("b", strategy={**world.SHORT, "canary": {"steps": [{"weight": 25, "pause": True}]}})
    play.look(until="Paused 25")
    assert (series(play)["fairway_rollout_paused"], series(play)["fairway_rollout_weight"]) == (
        1,
        25,
    )
    other = world.World()
    other.ask("a")
    other.look(until="Stable 0")
    other.ask("b", paused=True)
    other.look()
    assert series(other)["fairway_rollout_paused"] == series(other)["fairway_rollout_stalled"] == 1


def test_no_pod_left_is_told(play):
    play.cluster.pods[f"income-{play.status['stable']['revision']}"] = 0
    play.look()
    assert series(play)["fairway_rollout_pods_available stable"] == 0


def test_a_resource_that_is_gone_has_no_series(play):
    del play.cluster.objects["ModelDeployment", world.NAME]
    play.operator.reconcile(world.NAMESPACE, world.NAME, now=play.now)
    assert series(play) == {}


def test_a_look_that_could_not_be_stored_is_not_told(play):
    play.ask("b")
    before = series(play)

    def refuse(obj: Any) -> Any:
        raise errors.Unavailable("the API server does not answer")

    play.cluster.replace_status = refuse
    with pytest.raises(errors.Unavailable):
        play.look()
    assert series(play) == before


def test_a_scrape_has_them_beside_the_operator_s_own(play):
    served = endpoint.Endpoint(host="127.0.0.1", port=0, rollouts=play.operator.rollouts)
    with urllib.request.urlopen(
        f"http://127.0.0.1:{served._server.server_port}/metrics", timeout=5
    ) as answer:
        families = {
            family.name for family in parser.text_string_to_metric_families(answer.read().decode())
        }
    assert {
        "fairway_rollout_phase",
        "fairway_rollout_promotions",
        "fairway_operator_leader",
    } <= families

"""A cluster behind the Platform port: when a rollout has ended and how, what is told of it, what a
command was answered.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from fairway import errors
from fairway.config import sections
from fairway.control.ports import End
from fairway.packaging import lineage
from fairway.platforms.kubernetes import annotations, client, rollouts
from fairway.platforms.kubernetes.rollouts import ClusterPlatform
from fairway.rollout.seen import Command
from tests.operator import world
from tests.serving import support


def found(
    *holding: str,
    generation: int = 2,
    observed: int = 2,
    paused: bool = False,
    why: str = "",
    **status: Any,
) -> dict[str, Any]:
    """Return a ModelDeployment whose status has the conditions, the reason of each `why`, by
    default the phase."""
    word = why or ("PausedBySpec" if paused else status.get("phase", "Pending"))
    conditions = [
        {"type": type, "status": "True" if type in holding else "False", "reason": word}
        for type in ("Accepted", "Ready", "Stalled")
    ]
    return {
        "metadata": {"name": "income", "namespace": "models", "generation": generation},
        "spec": {"paused": paused},
        "status": {
            "observedGeneration": observed,
            "conditions": conditions,
            "reason": "because",
            **status,
        },
    }


# -- when it has ended ------------------------------------------------------------------------------------------------

SETTLED = {
    "serves": (found("Accepted", "Ready", phase="Stable"), True),
    "serves what was asked for before": (
        found("Accepted", "Ready", phase="Stable", observed=1),
        False,
    ),
    "moves": (found("Accepted", phase="Canary"), False),
    "is being taken back": (found("Accepted", "Stalled", phase="RollingBack"), False),
    "was taken back": (found("Accepted", "Stalled", phase="RolledBack"), True),
    "asks for a person": (found("Accepted", "Stalled", phase="Paused"), True),
    "was never looked at": ({"metadata": {"generation": 1}, "spec": {}}, False),
}


@pytest.mark.parametrize("case", SETTLED)
def test_a_rollout_has_ended_where_nothing_moves_without_a_person(case: str) -> None:
    resource, settled = SETTLED[case]
    assert client.settled(resource) is settled


ENDS = {
    "serves": (found("Accepted", "Ready", phase="Stable"), End.SERVES, "because"),
    "rolled back": (
        found("Accepted", "Stalled", phase="RolledBack"),
        End.ROLLED_BACK,
        "rolled back: because",
    ),
    "refused before and asked for again": (
        found("Accepted", "Stalled", phase="Stable", why="RolledBack"),
        End.ROLLED_BACK,
        "rolled back",
    ),
    "refused before, as an earlier operator says it": (
        found("Accepted", "Stalled", phase="Stable"),
        End.ROLLED_BACK,
        "rolled back",
    ),
    **{
        f"cannot go on: {why}, in {phase}": (
            found("Accepted", "Stalled", phase=phase, why=why),
            End.IMPOSSIBLE,
            f"cannot go on ({why}): because",
        )
        for why in ("Refused", "Overlaps", "Fault")
        for phase in ("Stable", "Canary", "RolledBack", "Paused")
    },
    "impossible": (found("Stalled", phase="Stable"), End.IMPOSSIBLE, "cannot be followed: because"),
    "paused": (found("Accepted", "Stalled", phase="Paused"), End.PAUSED, "because"),
    "paused by the spec": (
        found("Accepted", "Stalled", phase="Stable", paused=True),
        End.PAUSED,
        "spec.paused is set",
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_how_a_rollout_ended_is_a_value_and_a_sentence(case: str) -> None:
    resource, end, words = ENDS[case]
    ended = rollouts.ended(resource)
    assert ended.end is end
    assert words in ended.sentence


# -- what is told -----------------------------------------------------------------------------------------------------


def test_a_change_is_told_at_once_and_a_reason_that_counts_on_after_a_while() -> None:
    lines: list[str] = []
    times = iter((0.0, 1.0, 2.0, 3.0, 4.0, 40.0, 41.0))
    tell = rollouts.teller(lines.append, clock=lambda: next(times))
    for holding, status in (
        ("Accepted", {"weight": 5, "reason": "ln e = 1.25"}),
        ("Accepted", {"weight": 5, "reason": "ln e = 2"}),
        ("Accepted", {"weight": 25, "reason": "ln e = 2"}),
        ("Accepted", {"weight": 25, "reason": "enough", "verdict": "promote"}),
        ("Stalled", {"weight": 25, "reason": "enough, and refused", "verdict": "promote"}),
        ("Stalled", {"weight": 25, "reason": "enough after all", "verdict": "promote"}),
        ("Stalled", {"weight": 25, "reason": "enough, they say", "verdict": "promote"}),
    ):
        tell(found(holding, phase="Canary", **status))
    assert [" ".join(line.split()[1:]) for line in lines] == [
        "Canary 5 % - ln e = 1.25",
        "Canary 25 % - ln e = 2",
        "Canary 25 % promote enough",
        "Canary 25 % promote enough, and refused",
        "Canary 25 % promote enough after all",
    ]


def test_a_resource_that_no_operator_saw_has_a_record_too() -> None:
    record = rollouts.record({"metadata": {"name": "income", "namespace": "models"}, "spec": {}})
    assert (record["phase"], record["weight"], record["reason"]) == (
        None,
        0,
        "no operator has looked at it yet",
    )


# -- what is asked of it ----------------------------------------------------------------------------------------------


def test_a_command_is_answered_with_whether_the_operator_obeyed_whatever_its_words(
    monkeypatch,
) -> None:
    play = world.World()
    play.ask("a")
    play.look(until="Stable 0")
    play.ask("b")
    play.look(until="Canary 25")
    # while it waits the operator looks
    monkeypatch.setattr(client.time, "sleep", lambda _: play.look())
    platform = ClusterPlatform(lambda: play.cluster, namespace=world.NAMESPACE)
    why = "the new copy changes nothing for users"
    answers = [platform.command(world.NAME, Command("pause", "jo", why)) for _ in range(2)]
    assert [(answered.reply.obeyed, answered.phase) for answered in answers] == [
        (True, "Paused"),
        (False, "Paused"),
    ]
    assert all(why in answered.reply.sentence for answered in answers)


def test_what_was_rolled_back_is_followed_to_its_end(monkeypatch) -> None:
    play = world.World()
    play.ask("a")
    play.look(until="Stable 0")
    play.ask("b")
    play.look(until="Canary 25")
    play.cluster.crash(f"income-{play.status['candidate']['revision']}")
    monkeypatch.setattr(client.time, "sleep", lambda _: play.look())
    told: list[str] = []
    ended = ClusterPlatform(lambda: play.cluster, namespace=world.NAMESPACE).follow(
        world.NAME, tell=told.append
    )
    assert (ended.end, ended.record["phase"]) == (End.ROLLED_BACK, "RolledBack")
    assert [line.split()[1] for line in told][-1] == "RolledBack"


def asking() -> sections.Config:
    return sections.Config.model_validate(
        {
            "name": world.NAME,
            "data": {"source": "csv", "path": "unused.csv"},
            "strategy": world.SHORT,
            "platform": {"gateways": ["models"]},
        }
    )


def test_asking_again_for_what_was_rolled_back_is_refused_and_promises_no_rollout(
    tmp_path: Path,
) -> None:
    play = world.World()
    platform = ClusterPlatform(lambda: play.cluster, namespace=world.NAMESPACE)
    config = asking()
    good, bad = (Path(support.packaged(tmp_path / str(seed), seed=seed).path) for seed in (0, 1))
    asked = [platform.deploy(config, package=good, uri="s3://models/a")]
    play.look(until="Stable 0")
    asked.append(platform.deploy(config, package=bad, uri="s3://models/b"))
    play.look(until="Canary 25")
    play.cluster.crash(f"income-{play.status['candidate']['revision']}")
    play.look(until="RolledBack 0")
    asked.append(platform.deploy(config, package=bad, uri="s3://models/b"))
    assert [one.record["changed"] for one in asked] == [True, True, False]
    assert [one.refusal is None for one in asked] == [True, True, False]
    assert "`fairway rollout retry`" in str(asked[-1].refusal)


def test_asking_again_is_no_refusal_while_an_object_cannot_be_written(tmp_path: Path) -> None:
    play = world.World()
    platform = ClusterPlatform(lambda: play.cluster, namespace=world.NAMESPACE)
    config, package = asking(), Path(support.packaged(tmp_path, seed=0).path)
    play.cluster.refused = {"Deployment"}
    platform.deploy(config, package=package, uri="s3://models/a")
    for _ in range(2):
        play.patient()
    again = platform.deploy(config, package=package, uri="s3://models/a")
    assert (again.record["changed"], again.refusal) == (False, None)
    ended = platform.follow(world.NAME)
    assert ended.end is End.IMPOSSIBLE
    assert ended.sentence.startswith("the rollout cannot go on (Refused): ")
    assert ended.sentence.endswith("a webhook refused the Deployment")


def test_what_was_rejected_two_revisions_ago_is_said_to_be_rolled_back() -> None:
    play = world.World()
    for digest, until in (("a", "Stable 0"), ("b", "Canary 25")):
        play.ask(digest)
        play.look(until=until)
    play.cluster.crash(f"income-{play.status['candidate']['revision']}")
    play.look(until="RolledBack 0")
    play.ask("c")
    play.look(until="Stable 0")
    play.ask("b")
    play.look(3)
    platform = ClusterPlatform(lambda: play.cluster, namespace=world.NAMESPACE)
    told = client.read(play.cluster, world.NAMESPACE, world.NAME)
    assert (told["status"]["phase"], client.reason(told, "Stalled")) == ("Stable", "RolledBack")
    assert platform.follow(world.NAME).end is End.ROLLED_BACK


# -- where it comes from ----------------------------------------------------------------------------------------------


def test_the_object_carries_the_lineage_of_what_is_asked_for_and_tells_each_revisions(
    tmp_path: Path,
) -> None:
    play = world.World()
    platform = ClusterPlatform(lambda: play.cluster, namespace=world.NAMESPACE)
    first, second = (Path(support.packaged(tmp_path / str(s), seed=s).path) for s in (0, 1))
    ticket = lineage.Provenance(run="income-1", why="ticket OPS-7", image="pipeline:1")
    platform.deploy(asking(), package=first, uri="s3://models/a", origin=ticket)
    play.look(until="Stable 0")
    platform.deploy(asking(), package=second, uri="s3://models/b", note="by hand")
    play.look(until="Canary 25")
    metadata = play.cluster.objects[client.KIND, world.NAME]["metadata"]
    assert metadata["annotations"][client.NOTE] == "by hand"
    assert annotations.REASON not in metadata["annotations"]  # nobody knows the second's
    [served] = platform.lineage(world.NAME)
    assert (served["run"], served["why"]) == ("income-1", "ticket OPS-7")
    assert served["code"]["image"] == "pipeline:1"
    candidate = play.status["candidate"]["revision"]
    [coming] = platform.lineage(world.NAME, revision=candidate)
    assert (coming["digest"], coming["run"]) == (play.status["candidate"]["digest"], None)
    with pytest.raises(errors.UsageError, match="no revision aaa in service or on its way"):
        platform.lineage(world.NAME, revision="aaa")


def test_an_object_that_says_nothing_of_its_lineage_is_named() -> None:
    play = world.World()
    play.ask("a")
    platform = ClusterPlatform(lambda: play.cluster, namespace=world.NAMESPACE)
    with pytest.raises(errors.UsageError, match=f"has no annotation {annotations.LINEAGE}"):
        platform.lineage(world.NAME)


def test_the_annotations_say_run_and_reason_and_hold_each_champion() -> None:
    champion = {"digest": "sha256:a", "champion": None, "run": "one", "why": "a person"}
    before = {"metadata": {"annotations": annotations.of(champion, before=None)}}
    own = {"digest": "sha256:b", "champion": "sha256:a", "run": "two", "why": "an alert"}
    said = annotations.of(own, before=before)
    assert (said[annotations.RUN], said[annotations.REASON]) == ("two", "an alert")
    assert json.loads(said[annotations.LINEAGE]) == [own, champion]
    forged = {"metadata": {"annotations": {annotations.LINEAGE: '{"no": "list"}'}}}
    assert json.loads(annotations.of(own, before=forged)[annotations.LINEAGE]) == [own]

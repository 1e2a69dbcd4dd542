"""Looks at a deployment whose cluster does what clusters rarely do on demand."""

import contextlib
import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fairway import errors
from fairway.monitoring.eventstore import answers
from fairway.operator import installed
from fairway.platforms.kubernetes import api
from fairway.platforms.kubernetes.objects import pods
from tests.operator import world
from tests.serving import support


@pytest.fixture
def play() -> world.World:
    """Return a world with revision a in service."""
    made = world.World()
    made.ask("a")
    made.look(until="Stable 0")
    return made


def revision(play: world.World, arm: str) -> str:
    return str(play.status[arm]["revision"])


def condition(play: world.World, name: str) -> str:
    return next(
        str(found["status"]) for found in play.status["conditions"] if found["type"] == name
    )


def test_a_better_revision_is_promoted_and_the_old_one_s_pods_go(play):
    old = revision(play, "stable")
    play.ask("b")
    play.look(until="Stable 0")
    assert play.shares == {
        old: pytest.approx(1e-6),
        revision(play, "stable"): pytest.approx(1 - 1e-6),
    }
    play.look(20)
    assert play.shares == {revision(play, "stable"): 1.0}
    assert ("Deployment", f"income-{old}") not in play.cluster.objects
    assert ("ControllerRevision", f"income-{old}") in play.cluster.objects


def test_no_revision_with_traffic_changes_its_place_comes_at_once_or_vanishes_at_once(play):
    """Each would be answered 500 for some milliseconds by real proxies."""
    for package, end in (
        ("b", "Stable 0"),
        ("c", "Canary 50"),
        ("d", "Stable 0"),
        ("e", "Canary 25"),
        ("f", "Stable 0"),
    ):
        play.ask(package)
        play.look(until=end)  # and the next is asked for at once
    play.look(20)
    for before, after in itertools.pairwise(play.cluster.routes):
        for name, (place, weight) in before.items():
            assert weight == 1 or name in after, (before, after)
            assert name not in after or after[name][0] == place, (before, after)
        assert all(weight == 1 or name in before for name, (_, weight) in after.items()), (
            before,
            after,
        )


def test_a_promotion_without_a_bake_lets_the_old_revision_leave_as_slowly(play):
    for package in ("b", "c"):
        play.ask(package, strategy={**world.SHORT, "bake": {"weight": 0, "duration": "0s"}})
        play.look(until="Stable 0")
    play.look(20)
    assert play.shares == {revision(play, "stable"): 1.0}
    for before, after in itertools.pairwise(play.cluster.routes):
        for name, (place, weight) in before.items():
            assert weight == 1 or name in after, (before, after)
            assert name not in after or after[name][0] == place, (before, after)
        assert all(weight == 1 or name in before for name, (_, weight) in after.items()), (
            before,
            after,
        )


def test_operators_that_are_replaced_again_and_again_end_at_the_same(play):
    play.ask("b")
    for _ in range(30):
        play.restart()
        play.look(5)
    assert (play.status["phase"], play.status["stable"]["digest"]) == (
        "Stable",
        f"sha256:{'b' * 64}",
    )


def test_the_next_rollout_follows_the_strategy_that_came_with_it(play):
    play.ask("b")
    play.look(until="Stable 0")
    play.ask("c", strategy={**world.SHORT, "canary": {"steps": [{"weight": 1}]}})
    assert play.look(until="Canary 1")["weight"] == 1


def test_a_strategy_that_changes_in_mid_rollout_waits_for_the_next(play):
    play.ask("b")
    play.look(until="Canary 25")
    play.ask(
        "b",
        strategy={
            **world.SHORT,
            "guards": [{"name": "other", "type": "errors", "maxRate": 0.05, "count": "requests"}],
        },
    )
    assert [guard["name"] for guard in play.look(until="Canary 50")["guards"]] == ["errors"]
    assert "the strategy was edited: it counts from the next rollout on" in play.status["reason"]
    assert [guard["name"] for guard in play.look(until="Stable 0")["guards"]] == ["errors"]


def test_a_package_that_was_moved_is_the_same_revision_fetched_from_its_new_place(play):
    play.ask("a", model={"uri": "s3://elsewhere/a", "digest": f"sha256:{'a' * 64}"})
    play.look()
    assert play.status["phase"] == "Stable"
    deployment = play.cluster.objects["Deployment", f"income-{revision(play, 'stable')}"]
    assert (
        "s3://elsewhere/a" in deployment["spec"]["template"]["spec"]["initContainers"][0]["command"]
    )


def test_naming_the_image_that_runs_already_starts_nothing(play):
    before = revision(play, "stable")
    play.ask("a", image="server:1")
    play.look(3)
    assert (play.status["phase"], revision(play, "stable")) == ("Stable", before)


@pytest.mark.parametrize(
    "steps",
    [[{"weight": 25}, {"weight": 50}], [{"weight": 25, "pause": True}, {"weight": 50}]],
    ids=["canary", "paused"],
)
@pytest.mark.parametrize(("end", "phase"), [("crash", "RollingBack"), ("take_away", None)])
def test_a_candidate_without_a_pod_left_is_taken_out_at_once_and_is_to_blame_only_for_its_own_end(
    play, steps, end, phase
):
    play.ask("b", strategy={**world.SHORT, "canary": {"steps": steps}})
    play.look(until="Canary 25")
    while len(play.shares) < 2 or min(play.shares.values()) < 0.01:
        play.look()
    if steps[0].get("pause"):
        play.look(until="Paused 25")
    bad, before = revision(play, "candidate"), play.status["phase"]
    getattr(play.cluster, end)(f"income-{bad}")
    status = play.look()
    assert (status["phase"], status["weight"]) == (phase or before, 0)
    assert play.shares[bad] == pytest.approx(1e-6)


def test_a_candidate_whose_pod_was_taken_away_goes_on_when_it_is_back(play):
    play.ask("b")
    play.look(until="Canary 25")
    name = f"income-{revision(play, 'candidate')}"
    play.cluster.take_away(name)
    play.look(until="Canary 0")
    assert "waits for capacity" in play.look(10)["reason"]
    play.cluster.pods[name] = 2
    play.look(until="Canary 25")
    assert play.look(until="Stable 0")["stable"]["digest"] == f"sha256:{'b' * 64}"


class Answered(world.Nothing):
    """Ten requests a second of either arm, and those of the candidate fail; events come as time
    passes."""

    def __init__(self, play: world.World) -> None:
        self.play, self.began = play, play.now

    def cursor(self) -> int:
        return int((self.play.now - self.began) * 20)

    def exposure(
        self, deployment: str, *, after: int, until: int | None = None
    ) -> tuple[int, list[answers.Exposure]]:
        newest = min(self.cursor(), until if until is not None else self.cursor())
        rows = [
            answers.Exposure(
                seq,
                self.began + seq / 20,
                ("canary", "stable")[seq % 2],
                None,
                None,
                500 - 300 * (seq % 2),
                0.01,
                None,
            )
            for seq in range(after + 1, newest + 1)
        ]
        return max(after, newest), rows


def test_a_candidate_that_lacks_one_pod_for_good_is_judged_by_what_the_others_answer(play):
    by_units = {**world.SHORT, "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}]}
    play.ask("b", scaling={"minReplicas": 2, "maxReplicas": 2}, strategy=by_units)
    play.look(until="Canary 25")
    play.cluster.pods[f"income-{revision(play, 'candidate')}"] = 1
    answered = Answered(play)
    play.restart(evidence=lambda namespace: answered)
    assert "errors" in play.look(until="RolledBack 0")["reason"]


def test_a_rollback_takes_the_traffic_away_although_other_objects_are_refused(play):
    play.ask("b")
    play.look(until="Canary 25")
    play.look(2)
    play.restart()
    play.cluster.refused = {"PodDisruptionBudget", "NetworkPolicy"}
    bad = revision(play, "candidate")
    play.cluster.crash(f"income-{bad}")
    assert play.look()["phase"] == "RollingBack"
    assert play.shares[bad] == pytest.approx(1e-6)


@pytest.mark.parametrize(
    "refused",
    [
        {"Deployment"},
        {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ControllerRevision"},
    ],
    ids=["Deployments", "all but the route"],
)
def test_a_promotion_reaches_the_route_although_every_server_object_is_refused(play, refused):
    play.ask("b")
    promoted = play.look(until="Baking 95")["candidate"]["revision"]
    play.cluster.refused = refused
    play.restart()  # the new operator writes all of them
    for _ in range(30):
        play.patient()
    assert play.status["phase"] == "Stable"
    assert (condition(play, "Stalled"), play.shares) == ("True", {promoted: 1.0})


def test_a_deleted_route_comes_back_although_deployments_are_refused(play):
    play.cluster.refused = {"Deployment"}
    play.cluster.delete("HTTPRoute", world.NAMESPACE, world.NAME)
    play.restart()
    play.patient()
    assert play.shares == {revision(play, "stable"): 1.0}


@pytest.mark.parametrize("kind", ["Deployment", "ControllerRevision"])
def test_a_refused_object_is_said_in_the_table_and_as_stalled_until_it_is_taken(play, kind):
    play.cluster.refused = {kind}
    play.ask("b")
    for _ in range(2):
        play.patient()
    stalled = next(found for found in play.status["conditions"] if found["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"], stalled["message"]) == (
        "True",
        "Refused",
        f"a webhook refused the {kind}",
    )
    assert play.status["reason"].endswith(f"; a webhook refused the {kind}")
    assert condition(play, "Ready") == "False"
    play.cluster.refused = set()
    play.look(3)
    assert condition(play, "Stalled") == "False"
    assert play.look(until="Stable 0")["stable"]["digest"] == f"sha256:{'b' * 64}"


def test_a_rollout_whose_guard_is_not_installed_any_more_says_so_and_keeps_its_route(play):
    play.ask("b")
    play.look(until="Canary 25")
    play.look(2)
    found, shares = play.cluster.objects["ModelDeployment", "income"], play.shares
    kept = json.loads(found["status"]["checkpoint"])
    kept["strategy"]["guards"] = [{"name": "profit", "type": "profit"}]
    found["status"]["checkpoint"] = json.dumps(kept)
    play.restart()
    play.patient()
    stalled = next(found for found in play.status["conditions"] if found["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "Refused")
    assert "what the rollout began with cannot be read (strategy.guards.0: " in stalled["message"]
    assert (play.status["phase"], play.shares) == ("Canary", shares)


def test_a_refusal_that_may_pass_by_itself_asks_for_a_person_only_where_it_stays(play):
    play.cluster.refused, play.cluster.refusal = (
        {"Deployment"},
        errors.Unavailable("the webhook does not answer"),
    )
    play.ask("b")
    stalled = []
    for _ in range(5):
        play.patient()
        stalled.append(condition(play, "Stalled"))
    assert stalled == ["False", "False", "True", "True", "True"]


def test_no_request_is_sent_to_a_revision_whose_service_is_refused(play):
    play.cluster.refused = {"Service"}
    play.ask("b")
    for _ in range(10):
        play.patient()
    assert (play.status["phase"], play.shares) == ("Starting", {revision(play, "stable"): 1.0})
    assert "its Service" in play.status["reason"]
    play.cluster.refused = set()
    assert play.look(until="Stable 0")["stable"]["digest"] == f"sha256:{'b' * 64}"


@pytest.mark.parametrize(
    "away",
    [errors.Unavailable("Prometheus does not answer"), errors.ConfigError("no such bucket")],
    ids=["away", "odd"],
)
def test_a_rollout_whose_counts_cannot_be_read_holds_and_still_takes_out_what_is_dead(play, away):
    play.ask("b")
    play.look(until="Canary 25")
    play.look(3)
    play.counts.away = away
    assert play.look()["verdict"] == "HOLD"
    play.cluster.crash(f"income-{revision(play, 'candidate')}")
    assert play.look()["weight"] == 0


def test_pods_stay_while_the_gateway_has_not_taken_the_route_without_them(play):
    play.ask("b")
    play.look(until="Canary 25")
    play.look(2)
    bad = revision(play, "candidate")
    play.cluster.accepts = False
    play.cluster.objects["HTTPRoute", "income"]["status"] = {}
    play.cluster.crash(f"income-{bad}")
    play.counts.away = errors.Unavailable("away")
    play.look(30)
    assert play.status["phase"] == "RolledBack"
    assert ("Deployment", f"income-{bad}") in play.cluster.objects


def test_a_paused_spec_begins_nothing_and_judges_on(play):
    play.ask("b", paused=True)
    play.look(5)
    assert (play.status["phase"], condition(play, "Stalled")) == ("Stable", "True")
    play.ask("b")
    play.look(until="Canary 25")
    play.ask("c", paused=True)
    play.look(until="Stable 0")
    assert play.status["stable"]["digest"] == f"sha256:{'b' * 64}"


def test_a_command_is_obeyed_once_and_a_wrong_one_changes_nothing(play):
    play.ask("b")
    play.look(until="Canary 25")
    found = play.cluster.objects["ModelDeployment", "income"]
    for wrong in (
        "abort!",
        '{"id": ' * 3000 + "1" + "}" * 3000,
        '{"id": ' + "[" * 900 + "]" * 900 + ', "verb": "abort"}',
        "[]",
        '"id"',
    ):
        found["metadata"]["annotations"] = {"fairway.dev/command": wrong}
        assert play.look()["phase"] == "Canary"
        found = play.cluster.objects["ModelDeployment", "income"]
    found = play.cluster.objects["ModelDeployment", "income"]
    found["metadata"]["annotations"] = {
        "fairway.dev/command": json.dumps(
            {"verb": "abort", "id": "1", "by": "jo", "why": "x" * 100_000}
        )
    }
    play.look(until="RolledBack 0")
    assert play.status["lastCommand"] == "1"


def test_the_status_says_whether_the_last_command_was_obeyed_whatever_its_words(play):
    play.ask("b")
    play.look(until="Canary 25")
    why = "the new copy changes nothing for users"
    for nonce, obeyed in (("1", True), ("2", False)):  # the second finds it paused already
        command = json.dumps({"verb": "pause", "id": nonce, "by": "jo", "why": why})
        play.cluster.objects["ModelDeployment", "income"]["metadata"]["annotations"] = {
            "fairway.dev/command": command
        }
        play.look()
        assert (play.status["lastCommand"], play.status["phase"]) == (nonce, "Paused")
        assert play.status["reply"]["obeyed"] is obeyed
        assert why in play.status["reply"]["sentence"]


def test_what_an_upgrade_brings_as_default_image_changes_nothing_that_runs(play):
    play.operator.installed.settings = world.OperatorSettings(server_image="server:2")
    before = revision(play, "stable")
    play.look(3)
    assert revision(play, "stable") == before


def test_a_checkpoint_of_another_version_is_read(play):
    found: dict[str, Any] = play.cluster.objects["ModelDeployment", "income"]
    kept = json.loads(found["status"]["checkpoint"])
    kept["state"]["unheard"] = 1
    del kept["state"]["segments"], kept["first"]
    found["status"]["checkpoint"] = json.dumps(kept)
    play.ask("b")
    play.look(until="Stable 0")


def test_a_late_rollback_that_cannot_return_says_so_and_lets_the_next_revision_in(play):
    found: dict[str, Any] = play.cluster.objects["ModelDeployment", "income"]
    kept = json.loads(found["status"]["checkpoint"])
    kept["state"] |= {
        "phase": "RollingBack",
        "previous": "aaaaaaaaaaaa",
        "since": play.now,
        "rejected": [kept["state"]["stable"]],
        "reason": "quality: worse",
    }
    found["status"]["checkpoint"] = json.dumps(kept)
    play.ask("b")
    play.look()
    assert "did not come back" in play.status["reason"]
    play.look(until="Stable 0")
    assert play.status["stable"]["digest"] == f"sha256:{'b' * 64}"


def test_a_first_revision_that_never_gets_ready_leaves_no_pods():
    play = world.World()
    play.ask("a", strategy={**world.SHORT, "progressDeadline": "10s"})
    play.look()
    play.cluster.pods = {name: 0 for kind, name in play.cluster.objects if kind == "Deployment"} | {
        f"income-{revision(play, 'candidate')}": 0
    }
    play.look(until="RolledBack 0")
    play.look(15)
    assert not [name for kind, name in play.cluster.objects if kind in ("Deployment", "Service")]


def test_what_others_install_or_take_away_is_noticed_by_and_by(play):
    assert ("ServiceMonitor", "income") not in play.cluster.objects
    play.cluster.kinds = {"ServiceMonitor"}
    play.look(40)
    assert ("ServiceMonitor", "income") in play.cluster.objects
    play.cluster.kinds = set()
    play.look(40)
    play.cluster.refused = {"ServiceMonitor"}
    play.ask("b")
    assert play.look(until="Stable 0")["stable"]["digest"] == f"sha256:{'b' * 64}"


def test_a_monitor_that_is_refused_keeps_no_rollout_from_moving(play):
    play.cluster.kinds, play.cluster.refused = {"ServiceMonitor"}, {"ServiceMonitor"}
    play.ask("b")
    for _ in range(60):
        with contextlib.suppress(errors.PlatformError):
            play.look()
    assert play.status["stable"]["digest"] == f"sha256:{'b' * 64}"


def until_stable(play: world.World) -> None:
    play.ask("a")
    play.look(until="Stable 0")


def test_a_first_revision_is_ready_once_the_gateway_has_taken_its_route_and_its_proxies_answer():
    play = world.World()
    play.cluster.accepts, play.counts.reached = False, False
    until_stable(play)
    assert (
        condition(play, "Ready"),
        condition(play, "Available"),
        condition(play, "RouteReady"),
    ) == (
        "False",
        "True",
        "False",
    )
    play.look()
    assert "no gateway has accepted the HTTPRoute yet" in play.status["reason"]
    play.cluster.accept()
    assert "its proxies have no pod to send requests to yet" in play.look()["reason"]
    assert condition(play, "Ready") == "False"
    play.counts.reached = True
    play.look()
    assert (condition(play, "Ready"), condition(play, "RouteReady"), play.counts.asked) == (
        "True",
        "True",
        [0, 0],
    )
    play.restart()
    play.look(5)
    # and is not asked for again at rest
    assert (condition(play, "Ready"), len(play.counts.asked)) == ("True", 2)


def test_a_route_that_the_gateway_refuses_makes_nothing_ready_and_its_sentence_is_in_the_table(
    play,
):
    play.cluster.accept(status="False", message="No listeners match this parent ref")
    assert (
        "gateway models does not take the HTTPRoute (No): No listeners match this parent ref"
        in play.look()["reason"]
    )
    assert (condition(play, "Ready"), condition(play, "Available")) == ("False", "True")
    play.cluster.accept()
    play.look()
    assert condition(play, "Ready") == "True"


def test_a_prometheus_that_cannot_tell_is_said_and_one_that_is_away_is_asked_again():
    play = world.World()
    until_stable(play)
    play.counts.away = errors.Unavailable("Prometheus does not answer")
    play.look()
    assert condition(play, "Ready") == "False"
    play.counts.away, play.counts.reached = None, None
    play.look()
    said = next(found for found in play.status["conditions"] if found["type"] == "RouteReady")
    assert (condition(play, "Ready"), said["reason"]) == ("True", "Accepted")
    assert "Prometheus keeps no envoy_cluster_membership_healthy" in said["message"]


@pytest.mark.parametrize("reached", [True, False], ids=["that say so", "of which nothing is heard"])
def test_a_candidate_s_share_comes_when_the_proxies_have_its_pods(play, reached):
    play.counts.reached = False
    play.ask("b")
    play.look(until="Canary 25")
    candidate = revision(play, "candidate")
    play.look(8)
    assert play.shares[candidate] == pytest.approx(1e-6)
    play.counts.reached = reached
    play.look(1 if reached else 10)
    assert play.shares[candidate] >= 0.25
    assert 1 in play.counts.asked


GATE = {"name": "gate", "url": "http://gate.models.svc/", "at": ["preStep"]}


def test_a_hook_outside_the_namespace_is_refused_before_anything_begins(play):
    before = revision(play, "stable")
    play.ask("b", strategy={**world.SHORT, "hooks": [{**GATE, "url": "http://gate.other.svc/"}]})
    play.look(3)
    assert (
        condition(play, "Accepted"),
        condition(play, "Available"),
        revision(play, "stable"),
    ) == (
        "False",
        "True",
        before,
    )
    said = next(
        found["message"] for found in play.status["conditions"] if found["type"] == "Accepted"
    )
    assert said == (
        "hook gate: the operator does not call host 'gate.other.svc': wanted a Service of the namespace, "
        "NAME.models.svc "
        "(operator.hookHosts of the chart)"
    )
    assert not any(found["phase"] == "Starting" for found in play.status["history"])


def test_a_hook_that_does_not_answer_holds_and_the_next_operator_goes_on_waiting(play):
    play.ask("b", strategy={**world.SHORT, "hooks": [GATE]})
    play.look(10)
    support.eventually(
        lambda: play.look()["reason"].endswith("there is no Service gate in the namespace"),
        seconds=10,
    )
    assert play.status["reason"].startswith("waiting for hook gate before the canary's next step: ")
    play.restart()
    play.look(10)
    assert (play.status["phase"], play.status["weight"]) == ("Starting", 0)
    assert play.shares == {revision(play, "stable"): 1.0}


def test_who_is_to_be_told_is_looked_for_while_nothing_else_moves(play):
    play.ask("b", strategy={**world.SHORT, "hooks": [{**GATE, "at": ["postPromotion"]}]})
    play.look(until="Stable 0")
    assert play.operator.reconcile(world.NAMESPACE, world.NAME, now=play.now + 300) == 2.0


class Busy(world.Cluster):
    """Its resource is written by somebody else just before each status is."""

    write: Any = None

    def replace_status(self, obj: Any) -> Any:
        now = self.objects["ModelDeployment", world.NAME]
        if self.write is not None and self.write(now):
            self._keep(("ModelDeployment", world.NAME), now)
        return super().replace_status(obj)


@pytest.fixture
def busy() -> world.World:
    made = world.World(cluster=Busy())
    made.ask("a")
    made.look(until="Stable 0")
    return made


def test_annotations_that_are_written_all_the_time_stop_no_rollout(busy):
    turns = itertools.count()

    def annotate(now: Any) -> bool:
        now["metadata"]["annotations"] = {"example.test/turn": str(turn := next(turns))}
        return turn % 8 != 7  # an API server does not lose every race

    busy.cluster.write = annotate
    busy.ask("b")
    assert busy.look(until="Stable 0")["stable"]["digest"] == f"sha256:{'b' * 64}"
    assert next(turns) > 50


@pytest.mark.parametrize(
    "change",
    [
        lambda now: now["metadata"].update(generation=now["metadata"]["generation"] + 1),
        lambda now: now["status"].update(weight=99),
    ],
    ids=["spec", "status"],
)
def test_nothing_is_stored_over_what_was_not_decided_on(busy, change):
    busy.ask("b")

    def once(now: Any) -> bool:
        change(now)
        busy.cluster.write = None
        return True

    busy.cluster.write = once
    with pytest.raises(api.Conflict):
        busy.look()
    assert busy.status["phase"] == "Stable"
    busy.look(until="Stable 0")


def test_a_new_resource_of_the_name_waits_until_the_objects_of_the_old_one_have_gone(busy):
    busy.ask("b")
    new = {"uid": "another"}
    busy.cluster.write = lambda now: (
        now["metadata"].update(new) or setattr(busy.cluster, "write", None) or True
    )
    with pytest.raises(api.Conflict):
        busy.look()
    busy.cluster.objects["ModelDeployment", world.NAME]["status"] = {}
    with pytest.raises(
        errors.Unavailable, match="belongs to an earlier ModelDeployment income, and goes with it"
    ):
        busy.look(30)
    assert (
        busy.cluster.objects["HTTPRoute", world.NAME]["metadata"]["ownerReferences"][0]["uid"]
        == "u"
    )
    busy.cluster.collect()
    assert busy.look(until="Stable 0")["stable"]["digest"] == f"sha256:{'b' * 64}"


def test_who_writes_faster_than_a_look_can_is_told_as_a_conflict(busy):
    busy.cluster.write = lambda now: True
    busy.ask("b")
    with pytest.raises(api.Conflict):
        busy.look()


OTHERS = {
    "an administrator's": {},
    "one that carries our labels": {
        "labels": {"fairway.dev/deployment": "income", "app.kubernetes.io/managed-by": "fairway"}
    },
    "another controller's": {
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": "income",
                "uid": "u2",
                "controller": True,
            }
        ]
    },
    "one that we own and do not control": {
        "ownerReferences": [{"kind": "ModelDeployment", "name": "income", "uid": "u"}]
    },
}


@pytest.mark.parametrize(
    "kind", ["HTTPRoute", "NetworkPolicy", "BackendTrafficPolicy", "ServiceMonitor"]
)
@pytest.mark.parametrize("metadata", OTHERS.values(), ids=OTHERS)
def test_an_object_that_is_another_s_is_never_taken_and_the_resource_says_so(kind, metadata):
    play = world.World()
    play.cluster.kinds.add("ServiceMonitor")
    theirs = {
        "kind": kind,
        "metadata": {
            "name": "income",
            "namespace": "models",
            "uid": "x",
            "generation": 1,
            **metadata,
        },
        "spec": {"theirs": True},
    }
    play.cluster._keep((kind, "income"), theirs)
    play.ask("a")
    for _ in range(10):
        with contextlib.suppress(errors.PlatformError):
            play.look()
    assert play.cluster.objects[kind, "income"]["spec"] == {"theirs": True}
    said = next(found for found in play.status["conditions"] if found["type"] == "Stalled")
    assert (said["status"], condition(play, "Ready")) == ("True", "False")
    assert said["message"].startswith(f"{kind} income is not fairway's: ")
    assert any(
        event.startswith(f"Stalled: {kind} income is not fairway's")
        for event in play.cluster.events
    )


def test_what_was_refused_is_made_and_the_condition_goes_when_the_name_is_free(play):
    del play.cluster.objects["NetworkPolicy", "income"]
    play.cluster._keep(
        ("NetworkPolicy", "income"),
        {"kind": "NetworkPolicy", "metadata": {"name": "income", "uid": "x", "generation": 1}},
    )
    play.restart()
    with pytest.raises(
        errors.PlatformError,
        match="NetworkPolicy income is not fairway's: no ModelDeployment controls it",
    ):
        play.look()
    del play.cluster.objects["NetworkPolicy", "income"]
    play.look()
    assert (condition(play, "Stalled"), condition(play, "Ready")) == ("False", "True")


def test_nothing_that_is_another_s_is_deleted_though_it_carries_our_labels(play):
    old = revision(play, "stable")
    play.cluster.objects["Service", f"income-{old}"]["metadata"]["ownerReferences"] = []
    stray = {
        "kind": "Deployment",
        "metadata": {
            "name": "shop",
            "uid": "x",
            "generation": 1,
            "labels": {"fairway.dev/deployment": "income", "fairway.dev/revision": "0123456789ab"},
        },
    }
    play.cluster._keep(("Deployment", "shop"), stray)
    play.ask("b")
    play.look(until="Stable 0")
    play.look(30)
    assert ("Deployment", f"income-{old}") not in play.cluster.objects
    assert {("Deployment", "shop"), ("Service", f"income-{old}")} <= play.cluster.objects.keys()


def test_whatever_ends_a_look_is_told_by_the_resource_itself(play, monkeypatch):
    def fails(*_: Any, **__: Any) -> Any:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(pods, "template", fails)
    for _ in range(3):
        with pytest.raises(RecursionError):
            play.look()
    assert [
        event
        for event in play.cluster.events
        if event.startswith("Stalled: a look at it failed (RecursionError)")
    ]
    said = next(found for found in play.status["conditions"] if found["type"] == "Stalled")
    assert (said["status"], said["reason"], play.status["phase"]) == ("True", "Fault", "Stable")
    monkeypatch.undo()
    play.look(2)
    assert condition(play, "Stalled") == "False"


@pytest.mark.parametrize(
    ("created", "stalled"),
    [("2026-01-01T00:00:00Z", "True"), ("2026-03-01T00:00:00Z", "False")],
    ids=["older", "younger"],
)
def test_a_route_that_takes_the_same_requests_is_the_reason_where_it_is_older(
    play, created, stalled
):
    ours = play.cluster.objects["HTTPRoute", "income"]
    ours["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    ours["status"]["parents"][0]["conditions"].append(
        {
            "type": "RouteRulesOverlap",
            "status": "True",
            "message": "Overlapping match conditions with route(s): HTTPRoute research/shop",
        }
    )
    play.cluster._keep(
        ("HTTPRoute", "shop"),
        {
            "kind": "HTTPRoute",
            "metadata": {
                "name": "shop",
                "namespace": "research",
                "uid": "x",
                "creationTimestamp": created,
                "labels": {},
            },
        },
    )
    play.look(3)
    assert (condition(play, "Stalled"), condition(play, "Ready")) == (
        stalled,
        "False" if stalled == "True" else "True",
    )
    assert any(
        "HTTPRoute research/shop takes the same requests" in event for event in play.cluster.events
    ) == (stalled == "True")


def test_looks_that_begin_at_once_all_know_what_the_cluster_serves():
    answering = threading.Barrier(2)

    class Slow:
        def serves(self, kind: str) -> bool:
            with contextlib.suppress(threading.BrokenBarrierError):
                answering.wait(timeout=0.2)  # the other look comes before there is an answer
            return True

    server: Any = Slow()
    found = installed.Installed(server, world.OperatorSettings(server_image="server:1"))

    def look(_: int) -> bool:
        found.discover(1000.0)
        return found.settings.cluster.keda

    with ThreadPoolExecutor(max_workers=2) as looks:
        assert list(looks.map(look, range(2))) == [True, True]

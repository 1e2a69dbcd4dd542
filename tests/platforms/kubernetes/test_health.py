"""What pods say of a revision, in the sentences that `kubectl get md` shows."""

from typing import Any

import pytest

from fairway.platforms.kubernetes import health


def deployment(
    available: int,
    *,
    generation: int = 1,
    observed: int = 1,
    conditions: tuple[dict[str, str], ...] = (),
) -> dict[str, Any]:
    return {
        "metadata": {"generation": generation},
        "status": {
            "observedGeneration": observed,
            "availableReplicas": available,
            "updatedReplicas": available,
            "conditions": list(conditions),
        },
    }


def pod(
    *containers: dict[str, Any],
    init: tuple[dict[str, Any], ...] = (),
    conditions: tuple[dict[str, str], ...] = (),
) -> dict[str, Any]:
    return {
        "status": {
            "containerStatuses": list(containers),
            "initContainerStatuses": list(init),
            "conditions": list(conditions),
        }
    }


def container(
    name: str = "server",
    *,
    restarts: int = 0,
    waiting: str = "",
    said: str = "",
    code: int = 1,
    reason: str = "Error",
) -> dict[str, Any]:
    state = {"waiting": {"reason": waiting, "message": "back-off"}} if waiting else {"running": {}}
    last = {"terminated": {"exitCode": code, "reason": reason, "message": said}} if restarts else {}
    return {
        "name": name,
        "image": "fairway/server:1",
        "restartCount": restarts,
        "state": state,
        "lastState": last,
    }


def test_a_revision_with_all_its_pods_is_ready():
    assert health.judge(deployment(2), [pod(container())], replicas=2) == health.Health(
        ready=True, available=2
    )


def test_one_whose_spec_was_not_seen_yet_is_not():
    assert not health.judge(deployment(2, generation=2, observed=1), [], replicas=2).ready


def test_a_package_that_does_not_match_is_told_in_its_own_words():
    fetch = container(
        "fetch",
        restarts=3,
        waiting="CrashLoopBackOff",
        said="fairway: the package's digest is sha256:1, wanted sha256:2",
    )
    found = health.judge(deployment(0), [pod(init=(fetch,))], replicas=2)
    assert (
        found.broken
        == "container fetch ended 3 times: exit status 1: fairway: the package's digest is sha256:1, wanted sha256:2"
    )


@pytest.mark.parametrize(
    ("found", "note"),
    [
        (
            pod(container(waiting="ImagePullBackOff")),
            "image fairway/server:1 cannot be pulled: back-off",
        ),
        (
            pod(container(restarts=1, code=137, reason="OOMKilled")),
            "container server ended 1 times: out of memory",
        ),
        (
            pod(
                conditions=(
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "message": "0/3 nodes: insufficient nvidia.com/gpu",
                    },
                )
            ),
            "no node takes its pod: 0/3 nodes: insufficient nvidia.com/gpu",
        ),
        (pod(container()), "1 of 2 pods are available"),
    ],
    ids=["image", "memory", "no node", "starting"],
)
def test_what_it_waits_for_is_said(found, note):
    seen = health.judge(deployment(1), [found], replicas=2)
    assert (seen.ready, seen.broken, seen.note) == (False, None, note)


def alone(container: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {**pod(*([container] if container else [])), **fields}


def down(reason: str = "OOMKilled", *, started: bool = False) -> dict[str, Any]:
    return {**container(restarts=1, code=137, reason=reason), "started": started}


@pytest.mark.parametrize(
    ("found", "ended"),
    [
        (alone(down()), "container server has ended: out of memory"),
        (
            alone({"name": "server", "restartCount": 0, "state": {"terminated": {"exitCode": 3}}}),
            "container server has ended: exit status 3",
        ),
        (alone(down(started=True)), None),
        (alone(down("Unknown")), None),
        (alone(down(), metadata={"deletionTimestamp": "2026-11-28T10:00:00Z"}), None),
        (
            alone(status={"phase": "Failed", "reason": "Evicted", "containerStatuses": [down()]}),
            None,
        ),
        (
            alone(
                status={
                    "conditions": [{"type": "DisruptionTarget", "status": "True"}],
                    "containerStatuses": [down()],
                }
            ),
            None,
        ),
        (alone(status={"phase": "Pending"}), None),
    ],
    ids=[
        "out of memory",
        "not restarted yet",
        "up again, not ready",
        "its node rebooted",
        "deleted",
        "evicted",
        "preempted",
        "a new pod",
    ],
)
def test_only_the_end_of_a_container_of_its_own_counts_against_a_revision(found, ended):
    assert health.judge(deployment(0), [found], replicas=1).ended == ended


def test_ends_in_a_pod_that_is_taken_away_condemn_nothing():
    leaving = alone(container(restarts=9), metadata={"deletionTimestamp": "2026-11-28T10:00:00Z"})
    assert health.judge(deployment(0), [leaving], replicas=1).broken is None


def test_a_quota_is_said_although_there_is_no_pod():
    quota = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods=2"}
    assert (
        health.judge(deployment(0, conditions=(quota,)), [], replicas=2).note
        == "its pods cannot be created: exceeded quota: pods=2"
    )


def test_an_image_that_can_never_be_had_is_given_up_at_once():
    found = health.judge(deployment(0), [pod(container(waiting="InvalidImageName"))], replicas=1)
    assert found.broken is not None
    assert "InvalidImageName" in found.broken


def test_old_restarts_do_not_condemn_a_revision_that_is_ready():
    assert health.judge(deployment(2), [pod(container(restarts=9))], replicas=2).broken is None


def test_the_facts_are_those_that_the_init_step_left():
    fetch = {
        "name": "fetch",
        "restartCount": 0,
        "state": {
            "terminated": {
                "exitCode": 0,
                "message": '{"name": "income", "championDisagreement": 0.04}',
            }
        },
    }
    assert health.judge(deployment(2), [pod(init=(fetch,))], replicas=2).facts == {
        "name": "income",
        "championDisagreement": 0.04,
    }

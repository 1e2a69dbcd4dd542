"""What Kubeflow Pipelines says of a run, in its client's own types, as a record."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from kfp_server_api import (
    GoogleRpcStatus,
    PipelineTaskDetailChildTask,
    V2beta1PipelineTaskDetail,
    V2beta1Run,
    V2beta1RunDetails,
    V2beta1RuntimeConfig,
)

from fairway.pipelines import compiled, remote_runs

NAMES = remote_runs.step_names(compiled.read(compiled.find("training.yaml")))
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
ZERO = datetime(1, 1, 1, tzinfo=UTC)  # Go's zero, which the API gives for a time that is not yet


def task(name: str, state: str, *, seconds: int | None = 60, **more: object):
    """Return a step's node and the pod below it, as the backend lists both."""
    ended = NOON + timedelta(seconds=seconds) if seconds is not None else ZERO
    child = PipelineTaskDetailChildTask(pod_name=f"wf-{name}-1")
    return [
        V2beta1PipelineTaskDetail(
            display_name=name,
            state=state,
            start_time=NOON,
            end_time=ended,
            child_tasks=[child],
            **more,
        ),
        V2beta1PipelineTaskDetail(display_name="executor", state=state, pod_name=f"wf-{name}-1"),
        V2beta1PipelineTaskDetail(display_name=f"{name}-driver", state="SUCCEEDED"),
    ]


def run(state: str, *tasks: list[V2beta1PipelineTaskDetail], **more: object) -> V2beta1Run:
    return V2beta1Run(
        run_id="0a1b",
        display_name="digits-training",
        state=state,
        created_at=NOON,
        finished_at=NOON + timedelta(minutes=5),
        runtime_config=V2beta1RuntimeConfig(parameters={"config": json.dumps({"name": "digits"})}),
        run_details=V2beta1RunDetails(task_details=[one for group in tasks for one in group]),
        **more,
    )


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        (["batch-predict", "notify"], "answered"),
        (["detect-drift", "decide-retraining", "tell-2", "notify"], "waited"),
        (["decide-retraining", "gate", "package", "notify"], "packaged"),
        (["decide-retraining", "gate", "refuse", "tell", "notify"], "refused"),
        (["package", "deploy", "notify"], "deployed"),
    ],
)
def test_a_green_run_ended_as_its_steps_say(steps, outcome):
    assert remote_runs.outcome_of("SUCCEEDED", dict.fromkeys(steps, "done")) == outcome


def test_steps_are_told_apart_from_drivers_and_have_the_pod_that_did_their_work():
    found = remote_runs.record(
        run("RUNNING", task("prepare", "SUCCEEDED"), task("train", "RUNNING", seconds=None)),
        names=NAMES,
    )
    assert [(one["step"], one["status"], one["seconds"], one["pod"]) for one in found["steps"]] == [
        ("prepare", "done", 60.0, "wf-prepare-1"),
        ("train", "running", None, "wf-train-1"),
    ]
    assert (found["deployment"], found["outcome"], found["reason"]) == ("digits", "running", "")


@pytest.mark.parametrize(
    ("state", "steps", "outcome"),
    [
        ("PENDING", {}, "running"),
        (None, {}, "running"),
        ("CANCELING", {"train": "running"}, "running"),
        ("CANCELED", {"train": "canceled"}, "interrupted"),
        ("SUCCEEDED", {"package": "done", "deploy": "skipped"}, "packaged"),
        ("SUCCEEDED", {"package": "done", "deploy": "done"}, "deployed"),
        ("SUCCEEDED", {"refuse": "done"}, "refused"),
        ("FAILED", {"refuse": "failed"}, "refused"),
        ("FAILED", {"train": "failed", "refuse": "skipped"}, "failed"),
        ("FAILED", {}, "failed"),
    ],
)
def test_how_a_run_ended_is_told_by_its_state_and_its_steps(state, steps, outcome):
    assert remote_runs.outcome_of(state, steps) == outcome


def test_a_step_is_told_when_its_status_changes():
    before = remote_runs.record(run("RUNNING", task("train", "RUNNING", seconds=None)), names=NAMES)
    after = remote_runs.record(run("RUNNING", task("train", "SUCCEEDED")), names=NAMES)
    first = [(told.step, told.status) for told in remote_runs.changes(None, before)]
    then = [(told.step, told.status, told.seconds) for told in remote_runs.changes(before, after)]
    assert first == [("train", "running")]
    assert then == [("train", "done", 60.0)]
    assert list(remote_runs.changes(after, after)) == []


REFUSED_LOG = "starting\nthe gate refused: accuracy is 0.1\ndone\n"
ROLLED_BACK = """starting
Traceback (most recent call last):
  File one
fairway.errors.Refused: revision ab12 was rolled back: errors
"""
BROKEN = ROLLED_BACK.replace("Refused: revision ab12 was rolled back", "DataError: no rows")


@pytest.mark.parametrize(
    ("state", "step", "log", "outcome", "reason"),
    [
        ("SUCCEEDED", task("refuse", "SUCCEEDED"), REFUSED_LOG, "refused", "accuracy is 0.1"),
        (
            "FAILED",
            task("watch-rollout", "FAILED"),
            ROLLED_BACK,
            "refused",
            "revision ab12 was rolled back: errors",
        ),
        ("FAILED", task("prepare", "FAILED"), BROKEN, "failed", "no rows: errors"),
        ("FAILED", task("prepare", "FAILED"), "", "failed", "exit status 1"),
    ],
    ids=["gate", "rolled-back", "failed", "no-log"],
)
def test_the_log_of_the_deciding_step_says_why(state, step, log, outcome, reason):
    error = GoogleRpcStatus(message="exit status 1") if state == "FAILED" else None
    found = remote_runs.record(run(state, step, error=error), names=NAMES)
    deciding = remote_runs.deciding(found)
    assert deciding is not None
    assert deciding["step"] == step[0].display_name
    told = remote_runs.explained(found, log=log)
    assert (told["outcome"], told["reason"]) == (outcome, reason)


def test_a_run_that_ended_well_asks_no_log():
    found = remote_runs.record(run("SUCCEEDED", task("package", "SUCCEEDED")), names=NAMES)
    assert remote_runs.deciding(found) is None

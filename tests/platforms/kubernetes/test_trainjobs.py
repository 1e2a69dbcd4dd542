import re

import pytest

from fairway import errors
from fairway.config import sections
from fairway.platforms.kubernetes import trainjobs
from fairway.platforms.kubernetes.objects import trainjob
from tests import definitions
from tests.operator import world

OWNER = trainjob.OwnerObject(
    api_version="argoproj.io/v1alpha1", kind="Workflow", name="training-7", uid="5f7c"
)
SCHEMA = definitions.schema("trainjobs.yaml", version="v1alpha1")


def step(**values):
    asked = {
        "run": "6f2c-11",
        "step": "train",
        "namespace": "models",
        "owner": OWNER,
        "image": "fairway/pipeline@sha256:" + "ab" * 32,
        "command": ("python", "-m", "fairway.training.node", "/config.json"),
        "nodes": 2,
        "processes": 4,
        "resources": sections.Resources(cpu="8", memory="64Gi", gpu=4),
        "environment": {"AWS_REGION": "eu-1"},
        "labels": {"kueue.x-k8s.io/queue-name": "research"},
        "claims": ("rows", "checkpoints"),
        "service_account": "pipeline-runner",
    }
    return trainjob.DistributedStep(**{**asked, **values})


def found(*conditions, **metadata):
    """Return the step's job as an API server has it, with these conditions True."""
    job = trainjob.trainjob(step())
    made = [
        {"type": type, "status": "True", "reason": reason, "message": message}
        for type, reason, message in conditions
    ]
    return {
        **job,
        "metadata": {**job["metadata"], "uid": "a", **metadata},
        "status": {"conditions": made},
    }


FAILED = ("Failed", "DeadlineExceeded", "job was active longer than specified deadline")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"resources": sections.Resources(), "claims": (), "environment": {}, "labels": {}},
        {"service_account": None, "nodes": 1, "processes": 1},
    ],
    ids=["all of it", "little of it", "one node"],
)
def test_the_real_definition_knows_every_field_of_a_trainjob(values):
    assert list(definitions.wrong(trainjob.trainjob(step(**values)), SCHEMA)) == []


def test_the_schema_refuses_what_trainer_took_before_and_a_number_as_text():
    job = trainjob.trainjob(step())
    job["spec"]["podTemplateOverrides"] = []
    job["spec"]["trainer"]["numNodes"] = "2"
    del job["spec"]["runtimeRef"]["name"]
    said = list(definitions.wrong(job, SCHEMA))
    assert sorted(line.partition(":")[0] for line in said) == [
        ".spec.podTemplateOverrides",
        ".spec.runtimeRef.name",
        ".spec.trainer.numNodes",
    ]


def test_each_try_of_a_step_has_one_name_and_no_other_step_or_run_has_it():
    names = {trainjob.name_of(run, one) for run in ("a", "b") for one in ("train", "train_2")}
    assert trainjob.name_of("a", "train") in names
    assert len(names) == 4
    long = trainjob.name_of("a", "Train of the Largest Model that there Ever Was" * 3)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", long)
    assert len(long) <= 40


def test_a_gpu_step_tolerates_the_taint_and_has_shared_memory_and_its_claims():
    job = trainjob.trainjob(step())
    patch = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]
    pod = patch["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert [one["key"] for one in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert sorted(mounts.values()) == ["/dev/shm", "/mnt/claims/checkpoints", "/mnt/claims/rows"]
    assert {one["name"] for one in pod["volumes"]} == mounts.keys()
    assert job["spec"]["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "4"


@pytest.mark.parametrize(
    ("there", "way"),
    [
        pytest.param(None, "create", id="none"),
        pytest.param(found(), "adopt", id="of an earlier try, under way"),
        pytest.param(found(("Suspended", "Queued", "")), "adopt", id="waits for its turn"),
        pytest.param(found(("Complete", "JobsCompleted", "")), "adopt", id="complete"),
        pytest.param(found(FAILED), "replace", id="of an earlier try, failed"),
        pytest.param(
            found(annotations={trainjob.ASKED: "else"}), "replace", id="asked for something else"
        ),
        pytest.param(found(deletionTimestamp="2026-01-01T00:00:00Z"), "await", id="being deleted"),
        pytest.param(found(ownerReferences=[]), "refuse", id="nobody's"),
        pytest.param(
            found(ownerReferences=[{"uid": "other", "controller": True}]), "refuse", id="another's"
        ),
    ],
)
def test_what_is_done_with_the_job_of_the_name(there, way):
    assert trainjobs.decide(there, wanted=trainjob.trainjob(step())) == way


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(trainjobs, "POLL_SECONDS", 0.01)


class Controlled(world.Cluster):
    """An API server whose controller says this of a job each time that it is read."""

    def __init__(self, *conditions):
        super().__init__()
        self.conditions = conditions

    def get(self, kind, namespace, name):
        job = super().get(kind, namespace, name)
        if job is not None:
            job["status"] = {"conditions": list(found(*self.conditions)["status"]["conditions"])}
        return job


def test_a_complete_job_is_given_back_and_adopted_by_the_next_try():
    server, wanted = Controlled(("Complete", "JobsCompleted", "")), trainjob.trainjob(step())
    first = trainjobs.run(server, wanted, timeout_seconds=5)
    again = trainjobs.run(server, wanted, timeout_seconds=5)
    assert first["metadata"]["uid"] == again["metadata"]["uid"]


def test_a_failed_job_is_told_in_the_words_of_its_condition():
    with pytest.raises(errors.TrainingError, match=r"failed .DeadlineExceeded: job was active"):
        trainjobs.run(Controlled(FAILED), trainjob.trainjob(step()), timeout_seconds=5)


def test_a_job_that_does_not_end_is_told_with_its_conditions():
    server, wanted = Controlled(("Suspended", "Queued", "")), trainjob.trainjob(step())
    server.create(wanted)
    with pytest.raises(errors.Unavailable, match="its conditions are Suspended, wanted Complete"):
        trainjobs.run(server, wanted, timeout_seconds=0)


def test_a_cancelled_step_deletes_its_job_and_an_error_leaves_it_to_the_next_try():
    class Cancelled(Controlled):
        raised: BaseException

        def create(self, obj, **_):
            super().create(obj)
            raise self.raised

    for raised, left in ((KeyboardInterrupt(), 0), (errors.PlatformError("no"), 1)):
        server = Cancelled()
        server.raised = raised
        with pytest.raises(type(raised)):
            trainjobs.run(server, trainjob.trainjob(step()), timeout_seconds=5)
        assert len(server.objects) == left


def test_a_job_of_its_name_that_another_made_is_refused():
    server, wanted = Controlled(), trainjob.trainjob(step())
    server.create({**wanted, "metadata": {**wanted["metadata"], "ownerReferences": []}})
    with pytest.raises(errors.PlatformError, match="is there and is not of this run"):
        trainjobs.run(server, wanted, timeout_seconds=5)

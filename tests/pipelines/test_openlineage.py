"""OpenLineage: what a real run tells a real endpoint, held to the classes of the client; and an
endpoint that takes nothing."""

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openlineage.client import event_v2, facet_v2

from fairway.config import loader
from fairway.pipelines import openlineage
from tests import receiver
from tests.cli.running import FEW

CLASSES = {
    "parent": facet_v2.parent_run.ParentRunFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "processing_engine": facet_v2.processing_engine_run.ProcessingEngineRunFacet,
    "tags": facet_v2.tags_run.TagsRunFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "dataSource": facet_v2.datasource_dataset.DatasourceDatasetFacet,
    "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
}
CONFIG = (
    "name: income\nnamespace: models\ndata: {source: csv, path: few.csv, target: income}\n"
    "training: {family: boosting, rounds: 5, threads: 1}\n"
    "evaluation: {gate: {maxCalibrationError: 1, beatZeroRule: false, threshold: 0.1}}\n"
)


def facets(found: dict[str, Any]) -> dict[str, Any]:
    """Return the facets as the client's own, which take no other key and name the same schema."""
    made = {}
    for name, said in found.items():
        kind = CLASSES[name]
        values = {key: value for key, value in said.items() if not key.startswith("_")}
        assert said["_schemaURL"] == kind._get_schema()
        assert said["_producer"]
        made[name] = kind(**values)
    return made


def known(event: dict[str, Any]) -> event_v2.RunEvent:
    """Return the event as the client's own; raises where it is none of the specification."""
    run, job = event["run"], event["job"]
    wanted = {"eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs"}
    assert event.keys() - {"contentType", "host", "authorization"} == wanted
    assert event["schemaURL"] == event_v2.RunEvent._get_schema()
    return event_v2.RunEvent(
        eventType=event_v2.RunState[event["eventType"]],
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=event_v2.Run(runId=run["runId"], facets=facets(run["facets"])),
        job=event_v2.Job(**{**job, "facets": facets(job["facets"])}),
        inputs=[
            event_v2.InputDataset(**{**one, "facets": facets(one["facets"])})
            for one in event["inputs"]
        ],
        outputs=[
            event_v2.OutputDataset(**{**one, "facets": facets(one["facets"])})
            for one in event["outputs"]
        ],
    )


def ran(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "few.csv").write_text(FEW)
    (folder / "fairway.yaml").write_text(CONFIG)
    (folder / "key").write_text("secret-key\n")
    return subprocess.run(
        [
            *(sys.executable, "-m", "fairway", "run", "training", "--reason", "ticket 9"),
            *("--set", "platform.lineage.apiKeyFile=key"),
            *arguments,
        ],
        cwd=folder,
        env={**os.environ, "OPENLINEAGE_URL": url, "OPENLINEAGE_ENDPOINT": "hook"},
        capture_output=True,
        text=True,
        timeout=320,
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    with receiver.receiver() as service:
        done = ran(tmp_path_factory.mktemp("told"), service.url.partition("/hook")[0])
        assert done.returncode == 0, done.stderr
        yield service.told


def test_every_event_is_one_of_the_specification(told: list[dict[str, Any]]) -> None:
    for event in told:
        known(event)
        assert event["authorization"] == "Bearer secret-key"


def test_the_run_and_each_step_begin_and_end_and_steps_name_their_run(
    told: list[dict[str, Any]],
) -> None:
    by_job: dict[str, list[str]] = {}
    for event in told:
        by_job.setdefault(event["job"]["name"], []).append(event["eventType"])
    assert by_job.keys() >= {f"income.training{step}" for step in ("", ".train", ".package")}
    assert all(kinds == ["START", "COMPLETE"] for kinds in by_job.values()), by_job
    own = told[0]["run"]["runId"]
    uuid.UUID(own)
    assert all(event["run"]["facets"]["parent"]["run"] == {"runId": own} for event in told[1:-1])
    said = {tag["key"]: tag["value"] for tag in told[-1]["run"]["facets"]["tags"]["tags"]}
    assert (said["why"], said["outcome"]) == ("ticket 9", "packaged")


def test_datasets_have_their_place_version_and_columns(told: list[dict[str, Any]]) -> None:
    last = told[-1]
    [source] = last["inputs"]
    assert source["namespace"] == "file"
    assert source["name"].endswith("/few.csv")
    assert [field["name"] for field in source["facets"]["schema"]["fields"]] == [
        "age",
        "sector",
        "income",
    ]
    [package] = last["outputs"]
    assert (package["namespace"], package["name"]) == ("models", "income.package")
    assert package["facets"]["version"]["datasetVersion"].startswith("sha256:")
    [trained] = [event for event in told if event["job"]["name"].endswith(".train")][1:]
    assert [one["name"] for one in trained["inputs"]] == ["income.dataset"]
    assert trained["inputs"][0]["facets"]["version"]["datasetVersion"].startswith("sha256:")


def test_an_endpoint_that_is_down_costs_one_warning_and_no_run(tmp_path: Path) -> None:
    done = ran(tmp_path, "http://127.0.0.1:9", "--set", "data.limit=150")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no OpenLineage events of this run are kept") == 1


def test_an_endpoint_that_never_answers_does_not_hold_a_run_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openlineage, "TIMEOUT_SECONDS", 0.2)
    said: list[str] = []
    with receiver.receiver(slow=threading.Event()) as service:
        sender = openlineage.EventSender(service.url, key=None, warn=said.append)
        for _ in range(50):
            sender.put({"subject": "one"})
        sender.close()
        assert len(service.told) == 1
    assert len(said) == 1


def record(outcome: str, *statuses: str, **more: Any) -> dict[str, Any]:
    steps = [{"step": "prepare", "status": status, "error": "no rows"} for status in statuses]
    return {"run": "one", "outcome": outcome, "reason": "no rows", "steps": steps, **more}


def test_a_run_that_answers_rows_reads_a_package_and_trains_nothing() -> None:
    config = loader.load(None, overrides=["name=digits", "data.source=digits", "data.target=digit"])
    left = {"answers": {"metadata": {"digest": "sha256:1b2c", "rows": 3}}}
    done = {"step": "batch-predict", "status": "done", "artifacts": left}
    after = {**record("answered"), "steps": [done], "pipeline": "batch"}
    now = "2026-01-01T00:00:00Z"
    found = list(openlineage.events(None, after, config=config, fields=[], now=now))
    for event in found:
        known(event)
    assert {event["job"]["name"] for event in found} == {
        "digits.batch",
        "digits.batch.batch-predict",
    }
    last = found[-1]
    [package], [answers] = last["inputs"], last["outputs"]
    assert package["name"] == "digits.package"
    assert package["facets"]["version"]["datasetVersion"] == "sha256:1b2c"
    assert answers["name"] == "digits.answers"


ENDS = {
    "it failed": (record("failed", "failed"), ["FAIL", "FAIL"]),
    "it was interrupted": (record("interrupted", "failed"), ["ABORT", "ABORT"]),
    "its gate refused": (record("refused", "done"), ["COMPLETE", "COMPLETE"]),
    "a step was refused": (record("refused", "failed"), ["FAIL", "FAIL"]),
    "it goes on": (record("running", "done"), ["COMPLETE"]),
}


@pytest.mark.parametrize("case", ENDS)
def test_how_a_run_ended_is_the_kind_of_its_last_event(case: str) -> None:
    after, kinds = ENDS[case]
    config = loader.load(None, overrides=["name=digits", "data.source=digits", "data.target=digit"])
    before = record("running", "running")
    found = [
        *openlineage.events(before, after, config=config, fields=[], now="2026-01-01T00:00:00Z")
    ]
    assert [event["eventType"] for event in found] == kinds
    for event in found:
        known(event)
        failed = event["run"]["facets"].get("errorMessage", {}).get("message")
        assert failed == ("no rows" if event["eventType"] == "FAIL" else None)
    repeated = openlineage.events(after, after, config=config, fields=[], now="")
    assert [*repeated] == []

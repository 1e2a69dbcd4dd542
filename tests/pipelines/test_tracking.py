"""MLflow: what a run tells a real server, and a server that does not answer."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway import errors
from fairway.addresses import mlflow
from fairway.config import loader, sections
from fairway.packaging import manifest, registered
from fairway.pipelines import tracking
from tests import receiver, tracking_servers
from tests.cli.running import FEW
from tests.packaging import buckets

CONFIG = (
    "name: income\nnamespace: models\ndata: {source: csv, path: few.csv, target: income}\n"
    "training: {family: boosting, rounds: 5, threads: 1}\nplatform: {tracking: {register: true}}\n"
    "evaluation: {gate: {maxCalibrationError: 1, beatZeroRule: false, threshold: 0.1}}\n"
)


def ran(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "few.csv").write_text(FEW)
    (folder / "fairway.yaml").write_text(CONFIG)
    return subprocess.run(
        [sys.executable, "-m", "fairway", *arguments],
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": url},
        capture_output=True,
        text=True,
        timeout=320,
        check=False,
    )


def trained(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ran(folder, url, "run", "training", "--reason", "ticket 9", *arguments)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracked")


@pytest.fixture(scope="module")
def server(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mlflow.MlflowServer]:
    """Return a server that was told of a run in the folder `place`."""
    with tracking_servers.served(tmp_path_factory.mktemp("mlflow")) as address:
        done = trained(place, address)
        assert done.returncode == 0, done.stderr
        assert "MLflow" not in done.stderr
        yield mlflow.MlflowServer(address, authorization=None)


def runs(server: mlflow.MlflowServer, name: str) -> list[dict[str, Any]]:
    found = server.get("experiments/get-by-name", experiment_name=name)["experiment"]
    return list(server.post("runs/search", experiment_ids=[found["experiment_id"]])["runs"])


def values(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in pairs}


def versions(server: mlflow.MlflowServer, name: str) -> list[dict[str, Any]]:
    return list(server.get("model-versions/search", filter=f"name = '{name}'")["model_versions"])


@pytest.mark.lengthy
@pytest.mark.timeout(900)  # of the first, whose environment is built
def test_a_run_has_its_params_metrics_tags_and_pages_there(
    server: mlflow.MlflowServer, place: Path
) -> None:
    [found] = runs(server, "income")
    [record] = map(json.loads, map(Path.read_text, place.glob(".fairway/runs/*/run.json")))
    assert found["info"]["status"] == "FINISHED"
    params, tags = values(found["data"]["params"]), values(found["data"]["tags"])
    lineage = json.loads((Path(record["package"]) / "manifest.json").read_text())["lineage"]
    assert params == {
        "family": "boosting",
        "seed": "0",
        "source": "few.csv",
        "dataset": lineage["datasetVersion"],
        "configuration": lineage["configurationDigest"],
    }
    assert 0 <= values(found["data"]["metrics"])["accuracy"] <= 1
    assert (tags["fairway.run"], tags["fairway.reason"]) == (record["run"], "ticket 9")
    assert (tags["fairway.package"], tags["fairway.outcome"]) == (record["digest"], "packaged")
    where = server.folder(found["info"]["artifact_uri"])
    with urllib.request.urlopen(f"{where}/run.json") as kept:
        assert json.loads(kept.read()) == record
    with urllib.request.urlopen(f"{where}/report.html") as kept:
        assert b"<html" in kept.read()


@pytest.mark.lengthy
@pytest.mark.timeout(900)
def test_its_package_is_a_version_once_however_often_it_is_told(
    server: mlflow.MlflowServer, place: Path
) -> None:
    [file] = place.glob(".fairway/runs/*/run.json")
    record, config = json.loads(file.read_text()), loader.load(place / "fairway.yaml", overrides=[])
    later = {**record, "revision": "income@1b2c3d4e5f60"}
    tracking.send(server, later, config=config, now=record["began"] + 60)
    assert len(runs(server, "income")) == 1
    [version] = versions(server, "income")
    assert values(version["tags"]) == {
        "fairway.run": record["run"],
        "fairway.package": record["digest"],
        "fairway.revision": "income@1b2c3d4e5f60",
    }
    with urllib.request.urlopen(f"{server.folder(version['source'])}/manifest.json") as kept:
        assert json.loads(kept.read())["name"] == "income"


@pytest.mark.lengthy
@pytest.mark.timeout(900)
def test_the_version_is_deployed_by_its_address_where_nothing_of_it_is(
    server: mlflow.MlflowServer, place: Path, tmp_path: Path
) -> None:
    [file] = place.glob(".fairway/runs/*/run.json")
    done = ran(tmp_path, server.url, "deploy", "models:/income/1", "-o", "json")
    assert done.returncode == 0, done.stderr
    digest = json.loads(file.read_text())["digest"]
    kept = tmp_path / ".fairway" / "packages" / digest.removeprefix("sha256:")
    assert manifest.load(kept).digest == digest


@pytest.mark.lengthy
@pytest.mark.timeout(900)
def test_a_later_deploy_tags_the_version_and_its_run(
    server: mlflow.MlflowServer, place: Path
) -> None:
    done = ran(place, server.url, "deploy", "-o", "json")
    assert (done.returncode, "MLflow" in done.stderr) == (0, False), done.stderr
    revision = json.loads(done.stdout)["revision"]
    [version] = versions(server, "income")
    assert values(version["tags"])["fairway.revision"] == revision
    [told] = [run for run in runs(server, "income") if run["info"]["run_id"] == version["run_id"]]
    assert values(told["data"]["tags"])["fairway.revision"] == revision


def test_a_deploy_beside_a_server_that_is_down_costs_one_warning(tmp_path: Path) -> None:
    said: list[str] = []
    tracking.deployed(
        a_config(url="http://127.0.0.1:9"),
        digest="sha256:1b2c",
        revision="digits-1b2c",
        warn=said.append,
        environment={},
    )
    assert len(said) == 1
    assert said[0].startswith("MLflow was not told of revision digits-1b2c (http://127.0.0.1:9/")


@pytest.mark.lengthy
@pytest.mark.timeout(900)
def test_with_a_store_the_version_is_the_package_there(
    server: mlflow.MlflowServer, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [file] = place.glob(".fairway/runs/*/run.json")
    record = json.loads(file.read_text())
    overrides = ["name=stored", "platform.store=s3://packages/models"]
    config = loader.load(place / "fairway.yaml", overrides=overrides)
    with buckets.serving(tmp_path / "log") as endpoint:
        buckets.client(endpoint).create_bucket(Bucket="packages")
        for name, value in buckets.variables(endpoint).items():
            monkeypatch.setenv(name, value)
        tracking.send(server, record, config=config, now=record["began"] + 60)
        [version] = versions(server, "stored")
        assert (
            version["source"] == f"s3://packages/models/{record['digest'].removeprefix('sha256:')}"
        )
        environment = {**os.environ, "MLFLOW_TRACKING_URI": server.url}
        kept = registered.fetched("models:/stored/1", packages=tmp_path, environment=environment)
    assert manifest.load(kept).digest == record["digest"]


ADDRESSES = ("gs://bucket/models/1b2c", "oci://registry.svc/models:1b2c", "pvc://claim/models/1b2c")


@pytest.mark.lengthy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("source", ADDRESSES)
def test_a_version_may_lie_in_every_sort_of_store(source: str, server: mlflow.MlflowServer) -> None:
    name = source.partition(":")[0]
    server.post("registered-models/create", name=name)
    server.post("model-versions/create", name=name, source=source)
    environment = {"MLFLOW_TRACKING_URI": server.url}
    assert mlflow.place(f"models:/{name}/1", environment=environment) == (source, None)


@pytest.mark.lengthy
@pytest.mark.timeout(900)
def test_a_run_that_failed_and_was_tried_again_is_one_run(
    server: mlflow.MlflowServer, tmp_path: Path
) -> None:
    failed = trained(tmp_path, server.url, "--set", "name=again", "--set", "data.target=gone")
    assert failed.returncode != 0
    [before] = runs(server, "again")
    assert before["info"]["status"] == "FAILED"
    ran(tmp_path, server.url, "runs", "retry")
    [after] = runs(server, "again")
    assert after["info"]["run_id"] == before["info"]["run_id"]
    assert after["info"]["end_time"] > before["info"]["end_time"]


def test_a_server_that_is_down_costs_one_warning_and_no_run(tmp_path: Path) -> None:
    done = trained(tmp_path, "http://127.0.0.1:9", "--set", "data.limit=150")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("MLflow was not told") == 1
    assert "http://127.0.0.1:9" in done.stderr


def a_config(**tracked: Any) -> sections.Config:
    digits = loader.load(None, overrides=["name=digits", "data.source=digits", "data.target=digit"])
    platform = digits.platform.model_copy(update={"tracking": sections.Tracking(**tracked)})
    return digits.model_copy(update={"platform": platform})


def a_record(outcome: str, status: str = "done", **more: Any) -> dict[str, Any]:
    steps = [{"step": "prepare", "status": status}]
    return {"run": "one", "outcome": outcome, "reason": "so", "steps": steps, "began": 7.0, **more}


def described(record: dict[str, Any], **evaluation: Any) -> tracking.TrackedRun:
    return tracking.described(
        record, config=a_config(), evaluation=evaluation, fitted=None, now=9.5
    )


STATUSES = {
    "packaged": (a_record("packaged"), "FINISHED"),
    "refused by the gate": (a_record("refused"), "FINISHED"),
    "refused by a step": (a_record("refused", "failed"), "FAILED"),
    "failed": (a_record("failed", "failed"), "FAILED"),
    "interrupted": (a_record("interrupted", "failed"), "KILLED"),
}


@pytest.mark.parametrize("case", STATUSES)
def test_how_a_run_ended_is_its_status(case: str) -> None:
    record, status = STATUSES[case]
    told = described(record)
    assert (told.status, told.tags["fairway.outcome"]) == (status, record["outcome"])
    assert (told.experiment, told.began, told.ended) == ("digits", 7000, 9500)


def test_metrics_are_numbers_that_are_finite_under_names_that_mlflow_takes() -> None:
    measured = {"accuracy": 0.9, "ndcg@10": 1, "gone": None, "nan": float("nan"), "r": {"a": 1}}
    told = described(a_record("packaged"), primary="accuracy", metrics=measured)
    assert told.metrics == {"accuracy": 0.9, "ndcg_10": 1.0}
    assert told.tags["fairway.metric"] == "accuracy"


def test_what_is_not_known_of_a_run_is_not_told() -> None:
    told = described(a_record("failed", digest=None, why="", commit=""))
    assert told.params == {"family": "tabular", "seed": "0", "source": "digits"}
    assert told.tags.keys() == {"fairway.run", "fairway.outcome", "mlflow.note.content"}


def test_params_are_few_and_a_long_one_is_cut() -> None:
    record = a_record("packaged")
    record["steps"][0]["artifacts"] = {"dataset": {"metadata": {"version": "v" * 1000}}}
    assert len(described(record).params["dataset"]) == 500


WORTH = {
    "a training": (a_record("packaged"), True),
    "one that goes on": (a_record("running"), False),
    "rows are answered": (a_record("answered") | {"steps": []}, False),
    "nothing came of it": (a_record("waited", "skipped"), False),
    "many deployments": (
        a_record("packaged") | {"steps": [{"step": "train", "status": "done"}] * 2},
        False,
    ),
}


@pytest.mark.parametrize("case", WORTH)
def test_a_run_of_one_training_that_ended_is_tracked(case: str) -> None:
    record, worth = WORTH[case]
    assert tracking.worth_tracking(record) == worth


def test_the_variable_goes_before_the_configuration_where_it_names_a_server() -> None:
    config = a_config(url="http://mlflow.models.svc:5000")
    for named, wanted in (
        ("https://other.svc", "https://other.svc"),
        ("sqlite:///mlflow.db", "http://mlflow.models.svc:5000"),
    ):
        found = tracking.server_of(config, environment={"MLFLOW_TRACKING_URI": named})
        assert found == wanted
    assert tracking.server_of(a_config(), environment={}) is None


def test_a_package_is_registered_where_its_files_can_be_kept(tmp_path: Path) -> None:
    nowhere = mlflow.MlflowServer("http://127.0.0.1:9", authorization=None)
    with pytest.raises(errors.UsageError, match="wanted platform"):
        tracking._source(nowhere, tmp_path, config=a_config(register=True), place=None)


def test_what_answers_otherwise_than_mlflow_costs_one_warning() -> None:
    said: list[str] = []
    with receiver.receiver(body=b"[]") as service:
        environment = {"MLFLOW_TRACKING_URI": service.url.partition("/hook")[0]}
        with tracking.tracked(a_config(), warn=said.append, environment=environment) as recorded:
            recorded(a_record("packaged"))
    assert len(said) == 1
    assert "MLflow" in said[0]

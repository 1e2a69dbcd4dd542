"""`fairway render`: what it prints can be read back, and applied."""

import json
from pathlib import Path

import pytest
import yaml

from fairway import artifacts
from fairway.config import resource
from tests.cli.running import FEW, assert_one_sentence, fairway, one_object
from tests.serving import support

CONFIGURATION = """
name: income
namespace: models
data: {source: csv, path: few.csv, target: income}
serving: {workers: 2}
strategy: {canary: {steps: [{weight: 5, minDuration: 2m}, {weight: 25}]}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Return a folder with a configuration, and a package's folder and digest."""
    folder = tmp_path_factory.mktemp("render")
    (folder / "few.csv").write_text(FEW)
    (folder / "fairway.yaml").write_text(CONFIGURATION)
    made = support.packaged(folder / "model")
    return folder, made.path, made.digest


def test_the_resource_says_what_the_configuration_says(place: tuple[Path, str, str]) -> None:
    folder, package, digest = place
    done = fairway(
        "render",
        package,
        "--uri",
        "s3://models/income",
        "--gateway",
        "edge/public",
        "--hostname",
        "income.example.com",
        where=folder,
    )
    found = yaml.safe_load(done.stdout)
    said = found["metadata"].pop("annotations")
    assert found["metadata"] == {"name": "income", "namespace": "models"}
    [own] = json.loads(said["fairway.dev/lineage"])
    assert (own["digest"], said.keys()) == (digest, {"fairway.dev/lineage"})
    spec = resource.Spec.model_validate(found["spec"])
    assert (spec.model.uri, spec.model.digest, spec.serving.workers) == (
        "s3://models/income",
        digest,
        2,
    )
    assert [step.weight for step in spec.strategy.canary.steps] == [5, 25]
    assert spec.gateway is not None
    assert (
        spec.gateway.parent_refs[0].namespace,
        spec.gateway.parent_refs[0].name,
        spec.gateway.hostnames,
    ) == (
        "edge",
        "public",
        ("income.example.com",),
    )


def test_the_run_that_made_the_package_is_told_as_deploy_tells_it(
    place: tuple[Path, str, str],
) -> None:
    folder, package, digest = place
    record = {
        "run": "income-1",
        "why": "ticket 9",
        "digest": digest,
        "package": package,
        "outcome": "packaged",
        "reason": "",
        "steps": [],
        "seconds": 1.0,
        "folder": "",
    }
    artifacts.write_json(folder / "other" / "runs" / "income-1" / "run.json", record)
    asked = ("render", package, "--uri", "s3://models/income", "--home", "other", "-o", "json")
    said = one_object(fairway(*asked, where=folder))["metadata"]["annotations"]
    assert (said["fairway.dev/run"], said["fairway.dev/reason"]) == ("income-1", "ticket 9")
    assert json.loads(said["fairway.dev/lineage"])[0]["run"] == "income-1"


def test_what_a_cluster_does_not_heed_is_said(place: tuple[Path, str, str]) -> None:
    folder, package, _ = place
    beside = ["--set", "monitoring.beside=[mmd, native]"]
    done = fairway("render", package, "--uri", "s3://models/income", *beside, where=folder)
    assert "fairway: monitoring.beside (mmd, native) is asked on one machine alone" in done.stderr
    assert "beside" not in done.stdout


def test_the_objects_are_all_of_one_deployment(place: tuple[Path, str, str]) -> None:
    folder, package, _ = place
    done = fairway(
        "render",
        package,
        "--uri",
        "s3://models/income",
        "--objects",
        "--output",
        "json",
        where=folder,
    )
    kinds = [item["kind"] for item in json.loads(done.stdout)["items"]]
    assert kinds == [
        "ControllerRevision",
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "ServiceMonitor",
        "HTTPRoute",
        "BackendTrafficPolicy",
    ]


def test_runtime_seldon_is_a_seldon_deployment(place: tuple[Path, str, str]) -> None:
    folder, package, _ = place
    done = fairway(
        "render",
        package,
        "--uri",
        "s3://models/income",
        "--objects",
        "--output",
        "json",
        "--set",
        "serving.runtime=seldon",
        where=folder,
    )
    found = {item["kind"]: item for item in json.loads(done.stdout)["items"]}
    assert "Deployment" not in found
    assert found["SeldonDeployment"]["spec"]["predictors"][0]["componentSpecs"][0]["spec"][
        "containers"
    ][0]["image"].startswith("fairway/seldon:")


def test_the_same_comes_as_documents_without_aliases(place: tuple[Path, str, str]) -> None:
    folder, package, _ = place
    done = fairway("render", package, "--uri", "pvc://packages/income", "--objects", where=folder)
    assert len(list(yaml.safe_load_all(done.stdout))) == 9
    assert "&id" not in done.stdout


MISTAKES = {
    "redacted": (("--set", "serving.events.redact=[aeg]"), 2, "redact names 'aeg', which is no"),
    "no place of a package": (("--uri", "ftp://models/income"), 2, "uri is 'ftp://models/income'"),
    "no place at all": ((), 2, "--uri"),
    "a name too long": (
        ("--uri", "s3://models/income", "--set", f"name={'a' * 51}"),
        2,
        "wanted at most 50",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_gets_one_sentence(case: str, place: tuple[Path, str, str]) -> None:
    folder, package, _ = place
    arguments, status, words = MISTAKES[case]
    assert_one_sentence(
        fairway("render", package, *arguments, where=folder), status=status, words=words
    )

"""From rows to a package, verb by verb, in one folder; what each verb prints for programs, and what
each refuses."""

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import FEW, assert_one_sentence, fairway, one_object

CONFIGURATION = """
name: few
data: {source: csv, path: few.csv, target: income}
training: {family: tabular, epochs: 2, threads: 1, seed: 7}
evaluation: {gate: {beatZeroRule: false, maxCalibrationError: 1}}
"""
UNREACHABLE = (
    "--set",
    "evaluation.gate.threshold=1",
    "--set",
    "evaluation.gate.maxCalibrationError=0",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("chain")
    (made / "few.csv").write_text(FEW)
    (made / "fairway.yaml").write_text(CONFIGURATION)
    return made


@pytest.fixture(scope="module")
def chain(folder: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """What the four verbs ended with, in their order."""
    return {
        verb: fairway(verb, "--output", "json", where=folder)
        for verb in ("prepare", "train", "evaluate", "package")
    }


@pytest.fixture(scope="module")
def records(chain: dict[str, subprocess.CompletedProcess[str]]) -> dict[str, dict[str, Any]]:
    return {verb: one_object(done) for verb, done in chain.items()}


@pytest.fixture
def changed(records: dict[str, dict[str, Any]], tmp_path: Path) -> Path:
    """The package with one byte of its model changed."""
    copy = tmp_path / "changed"
    shutil.copytree(records["package"]["path"], copy)
    model = copy / "model.onnx"
    model.chmod(0o644)
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    return copy


def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "again")
    return tmp_path / "again"


def test_each_verb_succeeds_and_says_nothing_on_stderr_where_a_program_reads(
    chain: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    assert {verb: (done.returncode, done.stderr) for verb, done in chain.items()} == dict.fromkeys(
        chain, (0, "")
    )


def test_a_file_is_answered_by_the_newest_package_and_what_cannot_be_is_one_sentence(
    records: dict[str, dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.parquet"
    asked = ("batch", "few.csv", "--out", str(out))
    done = fairway(*asked, "--output", "json", where=folder)
    assert (done.returncode, done.stderr) == (0, "")
    record = one_object(done)
    assert (record["path"], record["digest"]) == (str(out), records["package"]["digest"])
    assert record["rows"] == FEW.count("\n") - 1
    assert_one_sentence(
        fairway(*asked, "--keep", "name", where=folder), status=2, words="no column 'name' to keep"
    )


def test_the_records_follow_from_one_another(
    records: dict[str, dict[str, Any]], folder: Path
) -> None:
    prepared, trained, evaluated, package = (
        records[verb] for verb in ("prepare", "train", "evaluate", "package")
    )
    assert sum(prepared["rows"].values()) <= 200
    assert (
        prepared["version"]
        == trained["dataset_version"]
        == evaluated["evaluation"]["dataset_version"]
        == package["dataset_version"]
    )
    assert (trained["epochs"], trained["seed"], len(trained["history"])) == (2, 7, 2)
    assert evaluated["gate"]["promote"] is True
    assert Path(package["path"]) == folder / ".fairway" / "packages" / package[
        "digest"
    ].removeprefix("sha256:")
    assert (Path(package["path"]) / "manifest.json").exists()


def test_packaging_again_gives_the_same_package(
    records: dict[str, dict[str, Any]], folder: Path
) -> None:
    again = one_object(fairway("package", "--output", "json", where=folder))
    assert again == records["package"]
    assert (
        len(
            [
                kept
                for kept in (folder / ".fairway" / "packages").iterdir()
                if not kept.name.startswith(".")
            ]
        )
        == 1
    )


def test_a_refusing_gate_ends_with_status_three_and_no_package(
    records: dict[str, dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    again = copied(folder, tmp_path)
    shutil.rmtree(again / ".fairway" / "packages")
    asked = fairway("evaluate", "--output", "json", *UNREACHABLE, where=again)
    assert_one_sentence(asked, status=3, words="maxCalibrationError")
    assert one_object(asked)["gate"]["promote"] is False
    assert_one_sentence(fairway("package", where=again), status=3, words="maxCalibrationError")
    told = fairway("package", "--output", "json", where=again)
    assert_one_sentence(told, status=3, words="maxCalibrationError")
    assert one_object(told) == {"package": None, "gate": one_object(asked)["gate"]}
    assert list((again / ".fairway" / "packages").iterdir()) == []


def test_what_the_gate_said_of_a_model_does_not_let_another_one_through(
    records: dict[str, dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    again = copied(folder, tmp_path)
    shutil.rmtree(again / ".fairway" / "packages")
    model = again / ".fairway" / "work" / "few" / "checkpoint" / "model.onnx"
    model.write_bytes(model.read_bytes() + b" ")  # as another training would
    assert_one_sentence(
        fairway("package", where=again), status=2, words="run `fairway evaluate` again"
    )
    assert list((again / ".fairway" / "packages").iterdir()) == []


def test_deploying_a_changed_package_names_the_file_and_asks_for_nothing(
    changed: Path, folder: Path
) -> None:
    assert_one_sentence(fairway("deploy", str(changed), where=folder), status=1, words="model.onnx")
    assert one_object(fairway("status", "--output", "json", where=folder))["deployments"] == []


def test_serving_a_changed_package_names_the_file(changed: Path, folder: Path) -> None:
    assert_one_sentence(fairway("serve", str(changed), where=folder), status=1, words="model.onnx")


def test_a_taken_port_is_named(records: dict[str, dict[str, Any]], folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = fairway("serve", records["package"]["path"], "--port", str(port), where=folder)
    assert_one_sentence(done, status=2, words=f"port {port} is taken")


def test_predicting_while_nothing_runs_says_what_to_start(
    records: dict[str, dict[str, Any]], folder: Path
) -> None:
    assert_one_sentence(fairway("predict", where=folder), status=2, words="fairway up")


def test_status_and_check_print_one_object(
    records: dict[str, dict[str, Any]], folder: Path
) -> None:
    status = one_object(fairway("status", "--output", "json", where=folder))
    assert (status["running"], status["addresses"]) == (False, None)
    done = fairway("check", "--output", "json", where=folder)
    assert done.returncode == 0
    assert one_object(done)["sound"] is True


def test_deploying_a_package_twice_asks_once(
    records: dict[str, dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    again = copied(folder, tmp_path)
    asked = [one_object(fairway("deploy", "--output", "json", where=again)) for _ in range(2)]
    assert [one["changed"] for one in asked] == [True, False]
    assert asked[0]["revision"] == asked[1]["revision"]
    assert [
        one["name"]
        for one in one_object(fairway("status", "--output", "json", where=again))["deployments"]
    ] == ["few"]
    listed = one_object(fairway("rollout", "list", "--output", "json", where=again))["deployments"]
    assert [(one["deployment"], one["harm"], one["harmful"]) for one in listed] == [
        ("few", None, None)
    ]
    assert_one_sentence(
        fairway("rollout", "list", "--all-namespaces", where=again),
        status=2,
        words="--all-namespaces is about a cluster",
    )

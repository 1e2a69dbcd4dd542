"""The compiled training pipeline run on this machine, each branch of it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from fairway import artifacts, errors
from fairway.config import loader
from fairway.packaging import manifest
from fairway.pipelines import run
from tests.cli.running import FEW
from tests.serving import support

MODULE = """
    import time
    from sklearn.linear_model import LogisticRegression

    def fit(splits, *, seed):
        return LogisticRegression(max_iter=200).fit(splits.train.inputs("flat")["features"], splits.train.target)

    def fails(splits, *, seed):
        raise RuntimeError("the flux capacitor is cold")

    def no_rows(section):
        raise RuntimeError("the archive is on fire")

    def hangs(splits, *, seed):
        print("hanging")
        while True:
            time.sleep(1)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A user's own module, in a folder whose name has `python3` in it: kfp writes over that word in
    a step's command."""
    folder = tmp_path / "python3-code"
    folder.mkdir()
    (folder / "theirs.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def settings(function: str = "fit", *overrides: str):
    return loader.load(
        None,
        overrides=[
            "name=digits",
            "data.source=digits",
            "data.target=digit",
            "data.limit=600",
            "training.family=function",
            f"training.function=theirs:{function}",
            "evaluation.gate.maxCalibrationError=1",
            *overrides,
        ],
    )


def names(steps) -> list[str]:
    """Return the steps in their order, but for the champion's, which waits for none."""
    return [step["step"] for step in steps if step["step"] != "champion"]


def test_a_promoted_run_packages_deploys_and_leaves_its_record(promoted):
    record = promoted.record
    assert record.outcome == "deployed"
    assert names(record.steps) == [
        "import-data",
        "prepare",
        "train",
        "evaluate",
        "gate",
        "package",
        "deploy",
    ]
    assert all(step["status"] == "done" and step["seconds"] > 0 for step in record.steps)
    assert [told[:2] for told in promoted.told if len(told) < 4 or not told[3]] == [
        (step["step"], status) for step in record.steps for status in ("running", "done")
    ]
    assert [
        told[3].split(" validation")[0] for told in promoted.told if len(told) == 4 and told[3]
    ] == [
        "epoch 1",
        "epoch 2",
    ]
    by_name = {step["step"]: step for step in record.steps}
    package = manifest.load(promoted.package)
    assert package.digest == record.digest
    assert promoted.package.parent == promoted.home / "packages"
    assert record.revision is not None
    assert by_name["gate"]["parameters"] == {"Output": True}
    assert 0 < by_name["evaluate"]["artifacts"]["metrics"]["metadata"]["accuracy"] <= 1
    assert artifacts.read_json(Path(record.folder) / "run.json") == artifacts.as_json(record) | {
        "steps": list(record.steps),
        "warnings": list(record.warnings),
    }


def test_a_refused_run_takes_the_refusing_branch_and_packages_nothing(module, tmp_path):
    record = run.run_training(
        settings("fit", "evaluation.gate.threshold=0.9999"),
        home=tmp_path,
        champion=None,
        deploy=True,
    )
    assert record.outcome == "refused"
    assert "0.9999" in record.reason
    assert names(record.steps) == [
        "import-data",
        "prepare",
        "train",
        "evaluate",
        "gate",
        "refuse",
    ]
    assert (record.package, record.revision, (tmp_path / "packages").exists()) == (
        None,
        None,
        False,
    )
    assert record.warnings == ()


def test_a_run_tells_of_the_rows_that_it_left_out(module, tmp_path):
    (tmp_path / "few.csv").write_text(FEW + "30,state,\n" * 5)
    theirs = loader.load(
        None,
        overrides=[
            *("name=few", f"data.path={tmp_path / 'few.csv'}", "data.target=income"),
            *(
                "training.family=function",
                "training.function=theirs:fit",
                "evaluation.gate.threshold=0.9999",
            ),
        ],
    )
    record = run.run_training(theirs, home=tmp_path, champion=None, deploy=False)
    assert "5 of 205 rows have no income and were left out" in record.warnings


def test_a_failing_function_of_the_user_gives_its_own_sentence(module, tmp_path):
    with pytest.raises(
        errors.TrainingError, match=r"^step train failed: .*the flux capacitor is cold"
    ) as raised:
        run.run_training(settings("fails"), home=tmp_path, champion=None, deploy=False)
    kept = artifacts.read_json(next(tmp_path.glob("runs/*/run.json")))
    assert (kept["outcome"], kept["reason"], kept["package"]) == ("failed", str(raised.value), None)
    assert not (tmp_path / "packages").exists()
    ended = [(step["step"], step["status"]) for step in kept["steps"]]
    assert [one for one in ended if one[0] != "champion"] == [
        ("import-data", "done"),
        ("prepare", "done"),
        ("train", "failed"),
    ]


def test_a_failing_source_of_the_user_gives_its_own_sentence_and_leaves_no_package(
    module, tmp_path
):
    theirs = settings("fit", "data.source=function", "data.function=theirs:no_rows")
    with pytest.raises(
        errors.TrainingError,
        match=r"^step prepare failed: .*the archive is on fire.* \(log: .*pipeline\.log\)$",
    ) as raised:
        run.run_training(theirs, home=tmp_path, champion=None, deploy=True)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "packages").exists()
    kept = artifacts.read_json(next(tmp_path.glob("runs/*/run.json")))
    assert ("prepare", "failed") in [(step["step"], step["status"]) for step in kept["steps"]]


def test_steps_end_when_the_process_that_started_the_run_is_killed(module, tmp_path):
    code = textwrap.dedent(f"""
        from pathlib import Path
        from fairway.config import loader
        from fairway.pipelines import run
        config = loader.load(None, overrides=["name=digits", "data.source=digits", "data.target=digit",
                                              "training.family=function", "training.function=theirs:hangs"])
        run.run_training(config, home=Path({str(tmp_path)!r}), champion=None, deploy=False,
                         progress=lambda step, status, *rest: print(step, status, flush=True))
    """)
    source = str(Path(run.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{module}"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as starter:
        assert starter.stdout is not None
        for line in starter.stdout:
            if line == "train running\n":
                break
        steps = psutil.Process(starter.pid)
        support.eventually(lambda: len(steps.children(recursive=True)) >= 2)
        started = steps.children(recursive=True)
        starter.kill()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert len(started) >= 2
    assert alive == []

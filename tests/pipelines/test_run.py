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
from fairway.pipelines import run, run_records
from tests.cli.running import FEW
from tests.pipelines import runs

MODULE = """
    import pathlib
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
        while not pathlib.Path(__file__).with_name("go").exists():
            time.sleep(1)
        return fit(splits, seed=seed)
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
        "tune",
        "train",
        "evaluate",
        "gate",
        "package",
        "deploy",
        "notify",
    ]
    assert all(step["status"] == "done" and step["seconds"] > 0 for step in record.steps)
    assert [(told.step, told.status) for told in promoted.told if not told.message] == [
        (step["step"], status) for step in record.steps for status in ("running", "done")
    ]
    got_on = [told for told in promoted.told if told.status == "running" and told.message]
    assert [told.message.split(" validation")[0] for told in got_on] == ["epoch 1", "epoch 2"]
    assert all(step["exit"] == 0 and step["memory_bytes"] > 10 << 20 for step in record.steps)
    by_name = {step["step"]: step for step in record.steps}
    assert "progress: epoch 2 " in Path(by_name["train"]["log"]).read_text()
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
        "tune",
        "train",
        "evaluate",
        "gate",
        "refuse",
        "tell",
        "notify",
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
        ("tune", "done"),
        ("train", "failed"),
        ("notify", "done"),
    ]


def test_a_failing_source_of_the_user_gives_its_own_sentence_and_leaves_no_package(
    module, tmp_path
):
    theirs = settings("fit", "data.source=function", "data.function=theirs:no_rows")
    with pytest.raises(
        errors.TrainingError,
        match=r"^step prepare failed: .*the archive is on fire.* \(log: .*pipeline\.log\); "
        r"with the same data and functions another try ends the same: correct them, then `fairway run training`$",
    ) as raised:
        run.run_training(theirs, home=tmp_path, champion=None, deploy=True)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "packages").exists()
    kept = artifacts.read_json(next(tmp_path.glob("runs/*/run.json")))
    assert ("prepare", "failed") in [(step["step"], step["status"]) for step in kept["steps"]]


def test_a_run_that_was_killed_in_the_middle_says_so_and_goes_on_from_the_step(
    module, tmp_path, monkeypatch
):
    code = textwrap.dedent(f"""
        from pathlib import Path
        from fairway.config import loader
        from fairway.pipelines import run, run_records
        config = loader.load(None, overrides=["name=digits", "data.source=digits", "data.target=digit",
                                              "evaluation.gate.maxCalibrationError=1",
                                              "training.family=function", "training.function=theirs:hangs"])
        run.run_training(config, home=Path({str(tmp_path)!r}), champion=None, deploy=False,
                         progress=lambda told: print(told.step, told.status, flush=True))
    """)
    source = str(Path(run.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{module}"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as starter:
        assert starter.stdout is not None
        for line in starter.stdout:
            if line == "train says\n":
                break
        folder = next(tmp_path.glob("runs/*"))
        assert run_records.holder(folder) == starter.pid
        with pytest.raises(errors.UsageError, match=f"goes on in process {starter.pid}"):
            run.retry(folder)
        started = psutil.Process(starter.pid).children(recursive=True)
        starter.kill()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert len(started) >= 2
    assert alive == []

    cut = run_records.find(tmp_path, None)
    assert (cut["outcome"], cut["reason"]) == ("failed", run_records.CUT_OFF)
    assert run_records.step_of(cut, None)["step"] == "train"
    assert run_records.step_of(cut, None)["status"] == "failed"

    (module / "go").touch()
    again = run.retry(folder)
    assert (again.run, again.outcome, again.tries) == (folder.name, "packaged", 2)
    alone = sum(step["seconds"] for step in again.steps)  # of the last try
    assert again.seconds >= cut["seconds"] + alone - 0.1  # each is rounded
    assert {step["step"] for step in again.steps if step["status"] == "cached"} == {
        "import-data",
        "prepare",
        "tune",
        "champion",
    } & {step["step"] for step in cut["steps"] if step["status"] == "done"}
    assert [step["status"] for step in again.steps if step["step"] == "train"] == ["done"]
    with pytest.raises(errors.UsageError, match="ended as packaged: wanted one that failed"):
        run.retry(folder)


def test_an_interrupted_run_says_so_and_leaves_no_process(tmp_path):
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    before = set(psutil.Process().children(recursive=True))  # other tests' may outlive them
    with pytest.raises(KeyboardInterrupt):
        run.run_training(
            runs.settings(), home=tmp_path, champion=None, deploy=False, progress=interrupt
        )
    record = run_records.find(tmp_path, None)
    assert (record["outcome"], record["reason"]) == ("interrupted", "it was interrupted")
    assert [step["status"] for step in record["steps"]] == ["failed"]
    assert run_records.holder(Path(record["folder"])) is None
    assert set(psutil.Process().children(recursive=True)) <= before


def test_an_unchanged_training_is_not_done_twice(promoted):
    before = {path.name for path in promoted.home.glob("runs/*")}
    again = run.run_training(runs.settings(), home=promoted.home, champion=None, deploy=False)
    assert again.outcome == "packaged"
    assert again.digest == promoted.record.digest
    assert {step["step"] for step in again.steps if step["status"] == "cached"} == {
        "tune",
        "train",
        "evaluate",
        "gate",
    }
    assert again.reason == promoted.record.reason
    logs = [{step["step"]: step["log"] for step in made.steps} for made in (promoted.record, again)]
    assert logs[0]["train"] == logs[1]["train"]
    assert again.run not in before
    rows = run_records.compared(
        (artifacts.as_json(promoted.record), artifacts.as_json(again)),
    )
    told = {row["what"]: (row["a"], row["b"]) for row in rows}
    assert told["digest"][0] == told["digest"][1]
    assert told["outcome"] == ("deployed", "packaged")
    assert not [name for name in told if name.startswith("config.")]
    page = (Path(again.folder) / "run.html").read_text()
    assert again.run in page
    assert again.reason in page

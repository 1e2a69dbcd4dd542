"""`fairway runs`: records of runs read back, and what may not be done with them."""

import errno
import json
import shlex
import subprocess
from pathlib import Path

import click.testing
import pytest

from fairway import artifacts, errors
from fairway.cli import cli, main, options
from fairway.pipelines import run, run_records

CONFIG = "name: digits\ndata: {source: digits, target: digit}\n"


def step(name: str, status: str = "done", **more: object) -> artifacts.Json:
    plain = {"step": name, "status": status, "seconds": 1.5, "began": 1.0, "exit": 0}
    return plain | {"memory_bytes": 5 << 20, "error": "", "log": "none", "artifacts": {}} | more


@pytest.fixture
def home(tmp_path) -> Path:
    """Two runs: one that was refused, and a newer one that failed."""
    for number, (name, outcome, last) in enumerate(
        [("digits-1", "refused", "refuse"), ("digits-2", "failed", "train")]
    ):
        folder = tmp_path / "runs" / name
        log = folder / "logs" / f"{last}.log"
        log.parent.mkdir(parents=True)
        log.write_text("one\ntwo\n")
        status = "failed" if outcome == "failed" else "done"
        metrics = {"metrics": {"path": "", "metadata": {"accuracy": 0.5 + number / 10}}}
        steps = step("evaluate", artifacts=metrics), step(last, status, log=str(log))
        record = run.TrainingRun(
            run=name,
            outcome=outcome,
            reason=f"because of {last}",
            package=None,
            revision=None,
            steps=steps,
            seconds=3.0,
            folder=str(folder),
            deployment="digits",
            began=1e9 + number,
        )
        artifacts.write_json(folder / "run.json", record)
        config = json.dumps({"training": {"epochs": number}, "name": "digits"})
        artifacts.write_json(folder / "request.json", {"arguments": {"config": config}})
    return tmp_path


def asked(*arguments: str, home: Path) -> str:
    done = click.testing.CliRunner().invoke(cli, [*arguments, "--home", str(home)])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def told(*arguments: str, home: Path) -> artifacts.Json:
    found: artifacts.Json = json.loads(asked(*arguments, "-o", "json", home=home))
    return found


def test_runs_are_listed_the_newest_first(home):
    rows = told("runs", "list", home=home)["runs"]
    assert [(row["run"], row["outcome"]) for row in rows] == [
        ("digits-2", "failed"),
        ("digits-1", "refused"),
    ]
    assert rows[0]["began"] == "2001-09-09T01:46:41Z"
    assert told("runs", "list", "--limit", "1", home=home)["runs"] == rows[:1]
    assert told("runs", "list", "--deployment", "other", home=home)["runs"] == []


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"outcome": "running"}', "{"])
def test_a_file_that_is_no_record_hides_no_run(home, text):
    (home / "runs" / "zz").mkdir()
    (home / "runs" / "zz" / "run.json").write_text(text)
    assert len(told("runs", "list", home=home)["runs"]) == 2
    assert told("runs", "show", home=home)["run"] == "digits-2"


def test_who_only_asks_for_runs_makes_no_home(tmp_path):
    assert told("runs", "list", home=tmp_path / "new")["runs"] == []
    assert not (tmp_path / "new").exists()


def test_a_run_that_was_cut_off_is_shown_where_nothing_can_be_written(home, monkeypatch):
    going_on(home)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts, "write_json", full)
    assert told("runs", "show", home=home)["reason"] == run_records.CUT_OFF


def test_a_full_disk_is_said_with_what_to_do(monkeypatch, capsys):
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "main", full)
    with pytest.raises(SystemExit, match="1"):
        main(["runs", "list"])
    said = "the system refused: No space left on device; free some, or name another place (--home)"
    assert capsys.readouterr().err == f"fairway: {said}\n"


def test_a_run_is_shown_with_its_steps_by_default_the_newest(home):
    assert told("runs", "show", home=home)["run"] == "digits-2"
    lines = asked("runs", "show", "digits-1", home=home).splitlines()
    assert lines[1].split(maxsplit=1) == ["outcome", "refused: because of refuse"]
    assert lines[-1].split() == ["refuse", "done", "1.5", "s", "5", "MiB", "0"]


def test_the_log_of_a_refused_run_is_that_of_the_step_that_refused(home):
    file = home / "runs" / "digits-1" / "run.json"
    record = artifacts.read_json(file)
    artifacts.write_json(file, record | {"steps": [*record["steps"], step("tell"), step("notify")]})
    assert told("runs", "logs", "digits-1", home=home)["step"] == "refuse"
    assert asked("runs", "logs", "digits-1", home=home) == "one\ntwo\n"


def test_lines_of_a_list_are_cut_to_the_width_of_a_terminal():
    assert options.cut("short\na line of 20 letters", width=10) == "short\na line of…"


def test_an_address_of_a_cluster_is_refused_where_the_runs_here_are_meant(home, monkeypatch):
    with pytest.raises(
        errors.UsageError, match=r"--host, .* are of a cluster: add --on kubernetes"
    ):
        asked("runs", "list", "--host", "http://127.0.0.1:1", home=home)
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://127.0.0.1:1")
    assert len(told("runs", "list", home=home)["runs"]) == 2


def test_the_log_of_the_failed_step_is_printed(home):
    assert asked("runs", "logs", home=home) == "one\ntwo\n"
    found = told("runs", "logs", "--tail", "1", home=home)
    assert (found["step"], found["lines"]) == ("train", ["two"])


def test_two_runs_are_compared_by_what_differs(home):
    found = told("runs", "compare", "digits-1", "digits-2", home=home)["differences"]
    rows = {row["what"]: (row["a"], row["b"]) for row in found}
    assert rows["metrics.accuracy"] == (0.5, 0.6)
    assert rows["config.training.epochs"] == (0, 1)
    assert rows["outcome"] == ("refused", "failed")
    assert "config.name" not in rows


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "digits-3"), "run digits-3 is not in .*: wanted digits-2, digits-1"),
        (("logs", "--step", "gate"), "step gate did not run in digits-2: evaluate, train did"),
        (("logs", "--step", "evaluate"), "has no log at"),
        (("package",), r"digits-2 made no package: it ended as failed \(because of train\)"),
        (("retry", "digits-1"), "digits-1 ended as refused: wanted one that failed"),
        (("retry", "digits-2"), "is of an earlier version of fairway"),
        (("compare", "digits-1", "digits-1"), "digits-1 and digits-1 are one run: name two of"),
        (("cancel",), "digits-2 has ended as failed: there is nothing to cancel"),
        (("list", "--namespace", "models"), "of a cluster: add --on kubernetes"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said_in_a_sentence(home, arguments, words):
    with pytest.raises(errors.UsageError, match=words):
        asked("runs", *arguments, home=home)


def going_on(home: Path) -> Path:
    folder = home / "runs" / "digits-2"
    record = artifacts.read_json(folder / "run.json") | {"outcome": run_records.RUNNING}
    artifacts.write_json(folder / "run.json", record)
    return folder


def test_a_schedule_leaves_a_run_that_goes_on_alone(home, tmp_path):
    (tmp_path / "fairway.yaml").write_text(CONFIG)
    config = ("--config", str(tmp_path / "fairway.yaml"))
    with run_records.held(going_on(home)):
        found = told("run", "training", "--if-idle", *config, home=home)
    assert found == {"run": None, "goes_on": "digits-2"}


def test_a_run_whose_process_is_gone_is_said_to_be_cut_off(home):
    going_on(home)
    found = told("runs", "show", home=home)
    assert (found["outcome"], found["reason"]) == ("failed", run_records.CUT_OFF)


def test_the_line_for_crontab_is_one_that_a_shell_runs(home, tmp_path, monkeypatch):
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "fairway.yaml").write_text(CONFIG)
    monkeypatch.chdir(folder)
    line = asked("runs", "schedule", "0 3 * * *", "--set", "data.limit=99", "--deploy", home=home)
    assert line.startswith(f"0 3 * * * cd '{folder}' && ")
    command = line.removeprefix("0 3 * * * ").strip()
    with run_records.held(going_on(home)):
        done = subprocess.run(["sh", "-c", command], cwd="/", env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0
    assert (home / "logs" / "schedule.log").read_text() == "digits-2 goes on\n"
    assert shlex.split(command)[-6:-1] == [
        "data.limit=99",
        "--deploy",
        "--reason",
        "schedule 0 3 * * *",
        f">>{home}/logs/schedule.log",
    ]

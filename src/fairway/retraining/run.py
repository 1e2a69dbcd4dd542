"""A run of the training pipeline on this machine: the compiled YAML under kfp.local, in a process of its own.

kfp prints much, changes global state and keeps no record of a run; here its output goes to a log, and the run's folder
says what each step did, how long it took and which way the gate decided.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import artifacts, errors
from fairway.config import schema

POLL_SECONDS = 0.25
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
TASK = re.compile(r"^(\d\d):(\d\d):(\d\d\.\d+) - INFO - (?:Executing task '([a-z0-9-]+)'|Task '([a-z0-9-]+)' finished with status (\w+))")
RAISED = re.compile(r"^(?:fairway\.errors\.)?(\w*(?:Error|Exception|Refused|Busy|Unavailable)): (.+)$")
Progress = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One run as it ended."""

    run: str
    outcome: str                    # packaged | deployed | refused
    reason: str                     # the gate's
    package: str | None             # folder of the package
    revision: str | None            # where it was deployed
    steps: tuple[artifacts.Json, ...]  # step, status, seconds
    seconds: float
    folder: str


def run_training(
    config: schema.Config, *, home: Path, champion: Path | None, deploy: bool, progress: Progress | None = None, name: str | None = None
) -> TrainingRun:
    """Runs the pipeline and gives how it ended; raises TrainingError with the failed step's own sentence.

    The record and the log lie in `home/runs/<run>/`. Ctrl-C ends the steps too.
    """
    began = time.time()
    run = name or f"{config.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(began))}"
    folder = home / "runs" / run
    root = folder / "steps"
    shutil.rmtree(root, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    arguments = {"config": json.dumps(config.model_dump(mode="json", by_alias=True)), "champion": str(champion or ""),
                 "store": str(home / "packages"), "home": str(home), "deploy_package": deploy}
    artifacts.write_json(folder / "request.json", {"pipeline": str(compiled("training.yaml")), "root": str(root), "arguments": arguments})
    _execute(folder, progress=progress)
    record = _record(run, folder, root, seconds=time.time() - began)
    artifacts.write_json(folder / "run.json", record)
    return record


def compiled(name: str) -> Path:
    """Gives the compiled pipeline: of the installed package, else of the clone."""
    package = Path(__file__).parent / "pipelines" / name
    clone = Path(__file__).parents[3] / "pipelines" / name
    for place in (package, clone):
        if place.exists():
            return place
    raise errors.PlatformError(f"the compiled pipeline {name} is neither in {package.parent} nor in {clone.parent}: run `python -m pipelines.compile`")


def _execute(folder: Path, *, progress: Progress | None) -> None:
    """Runs the child and tells of its steps; raises TrainingError where it fails."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
    argv = [sys.executable, "-m", "fairway.retraining.submit", str(folder / "request.json")]
    log = folder / "pipeline.log"
    with log.open("wb") as out:
        child = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
        told: set[tuple[str, str]] = set()
        try:
            while child.poll() is None:
                _tell(log, told, progress)
                time.sleep(POLL_SECONDS)
        except BaseException:  # Ctrl-C among them: the steps are in another session, and end with us all the same
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(timeout=10)
            raise
    _tell(log, told, progress)
    if child.returncode != 0:
        failed = next((row["step"] for row in reversed(_steps(log)) if row["status"] != "done"), "pipeline")
        raise errors.TrainingError(f"step {failed} failed: {_words(log)} (log: {log})")


def _tell(log: Path, told: set[tuple[str, str]], progress: Progress | None) -> None:
    for row in _steps(log) if progress is not None else ():
        if (row["step"], row["status"]) not in told and progress is not None:
            told.add((row["step"], row["status"]))
            progress(row["step"], row["status"], row["seconds"])


def _steps(log: Path) -> list[artifacts.Json]:
    """Gives each step that kfp's log names, in order: step, status (running, done, failed), seconds it took."""
    rows: dict[str, artifacts.Json] = {}
    began: dict[str, float] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = TASK.match(COLOUR.sub("", line))
        if match is None:
            continue
        at = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
        step, status = match[4] or match[5], match[6]
        if status is None:
            began[step] = at
            rows[step] = {"step": step, "status": "running", "seconds": None}
        elif step in rows:
            rows[step] = {"step": step, "status": "done" if status == "SUCCESS" else "failed", "seconds": round((at - began[step]) % 86400, 2)}
    return list(rows.values())


def _record(run: str, folder: Path, root: Path, *, seconds: float) -> TrainingRun:
    """Gives the record from what the steps left; which branch ran is read, never assumed."""
    steps = tuple(_steps(folder / "pipeline.log"))
    ran = {str(row["step"]) for row in steps}
    decision = next(iter(root.glob("*/gate/decision")), None)
    if decision is None:
        raise errors.TrainingError(f"the run left no decision of the gate: see {folder / 'pipeline.log'}")
    reason = artifacts.read_json(decision)["reason"]
    promote = artifacts.read_json(decision)["promote"]
    if promote != ("package" in ran) or promote == ("refuse" in ran):
        raise errors.TrainingError(f"the gate decided {promote} and the steps {', '.join(sorted(ran))} ran: wanted package or refuse; see {folder / 'pipeline.log'}")
    package, revision = _output(root, "package"), _output(root, "deploy")
    outcome = "refused" if not promote else "deployed" if revision else "packaged"
    return TrainingRun(run=run, outcome=outcome, reason=reason, package=package, revision=revision, steps=steps, seconds=round(seconds, 1), folder=str(folder))


def _output(root: Path, step: str) -> str | None:
    for file in root.glob(f"*/**/{step}/executor_output.json"):
        values: dict[str, Any] = artifacts.read_json(file).get("parameterValues", {})
        return str(values["Output"]) if "Output" in values else None
    return None


def _words(log: Path) -> str:
    """Gives the sentence of the error that ended the run: the first raised by a step, without kfp's frames around it."""
    raised = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = RAISED.match(COLOUR.sub("", line).strip())
        if match:
            raised.append(match[2])
    return raised[0] if raised else "it left no error"

"""A run of the training pipeline on this machine: the compiled YAML under kfp.local, in a process
of its own.

kfp prints much, changes global state and keeps no record of a run; here its output goes to a log,
and the run's folder says what each step did, how long it took and which way the gate decided.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fairway import artifacts, errors
from fairway.config import sections
from fairway.pipelines import compiled, steps

PATIENCE_SECONDS = 5.0  # between asking the steps to end and ending them
# Linux takes 128 KiB in one argument, and kfp hands each step its inputs in one
CONFIG_BYTES = 100 * 1024
# outcomes of a record besides those of a run that ended by itself
RUNNING, FAILED = "running", "failed"
Progress = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One run as it ended; `run.json` holds the same while it goes on (outcome `running`) and where
    it failed (`failed`)."""

    run: str
    outcome: str  # packaged | deployed | refused
    reason: str  # the gate's
    package: str | None  # folder of the package
    revision: str | None  # where it was deployed
    steps: tuple[artifacts.Json, ...]  # step, status, seconds, began, parameters, artifacts
    seconds: float
    folder: str
    digest: str | None = None  # of the package
    warnings: tuple[
        str, ...
        # rows that were left out, what looks too good; what the gate's comparison could not know
    ] = ()


def run_training(
    config: sections.Config,
    *,
    home: Path,
    champion: Path | None,
    deploy: bool,
    watch: bool = False,
    progress: Progress | None = None,
    name: str | None = None,
) -> TrainingRun:
    """Run the pipeline and gives how it ended; raises TrainingError with the failed step's own
    sentence.

    `progress` is called with a step, its status (running, done, failed), its seconds so far and a
    message. The record and the log lie in `home/runs/<run>/`. Ctrl-C ends the steps too, and so
    does the end of this process, however it ends.
    """
    home = home.absolute()
    began = time.time()
    text = _configuration(config)
    run, folder, root = _begin(config, home=home, name=name, now=began)
    arguments = {
        "config": text,
        "compare_with": str(champion.absolute()) if champion else "none",
        "store": str(home / "packages"),
        "home": str(home),
        "deploy_package": deploy,
        "watch": watch,
    }
    artifacts.write_json(
        folder / "request.json",
        {
            "pipeline": str(compiled.find(compiled.TRAINING[False])),
            "root": str(root),
            "arguments": arguments,
        },
    )
    follower = steps.Follower()

    def record(outcome: str, reason: str) -> TrainingRun:
        made = _record(
            run, folder, root, follower, outcome=outcome, reason=reason, seconds=time.time() - began
        )
        artifacts.write_json(folder / "run.json", made)
        return made

    def tell(told: steps.Told) -> None:
        if not told.message:  # a step began or ended
            record(RUNNING, "")
        if progress is not None:
            progress(told.step, told.status, told.seconds, told.message)

    record(RUNNING, "")
    try:
        _execute(folder, follower, tell=tell)
        outcome, reason = _ending(root, follower, deploy=deploy, log=folder / "pipeline.log")
    except BaseException as error:
        record(FAILED, str(error) or type(error).__name__)
        raise
    return record(outcome, reason)


def close(folder: Path) -> artifacts.Json | None:
    """Return the record of a run whose process is gone, None where it left none; a record that
    still says `running` is ended as failed."""
    file = folder / "run.json"
    if not file.exists():
        return None
    record: artifacts.Json = artifacts.read_json(file)
    if record["outcome"] == RUNNING:
        ended = [
            {**step, "status": FAILED} if step["status"] == RUNNING else step
            for step in record["steps"]
        ]
        record |= {
            "outcome": FAILED,
            "reason": "cut off: its process ended before the run did",
            "steps": ended,
        }
        artifacts.write_json(file, record)
    return record


def _configuration(config: sections.Config) -> str:
    text = json.dumps(config.model_dump(mode="json", by_alias=True))
    if len(json.dumps(text).encode()) > CONFIG_BYTES:
        raise errors.ConfigError(
            f"the configuration has {len(text.encode())} bytes as JSON: wanted fewer than {CONFIG_BYTES}, which is "
            f"what a "
            "pipeline's step can be handed; shorten its longest list (data.features, data.ignore or data.extra)"
        )
    return text


def _begin(
    config: sections.Config, *, home: Path, name: str | None, now: float
) -> tuple[str, Path, Path]:
    """Return the run's name, folder and a folder for its steps that nothing was written to before."""
    run = name or f"{config.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    number = 1
    while name is None and (home / "runs" / run).exists():  # two runs in one second
        number += 1
        run = f"{run.rsplit('.', 1)[0]}.{number}"
    folder = home / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    tries = len(list(folder.glob("steps*")))
    return run, folder, folder / ("steps" if tries == 0 else f"steps.{tries + 1}")


def _execute(folder: Path, follower: steps.Follower, *, tell: Callable[[steps.Told], None]) -> None:
    """Run the child, keeps its log, tells of its steps; raises TrainingError where it fails."""
    source = str(Path(__file__).parents[2])
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
    }
    argv = [sys.executable, "-m", "fairway.pipelines.submit", str(folder / "request.json")]
    with (
        (folder / "pipeline.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
        ) as child,
    ):
        try:
            assert child.stdout is not None
            for line in child.stdout:
                log.write(line)
                log.flush()
                told = follower.read(line, now=time.time())
                if told is not None:
                    tell(told)
            child.wait()
        except BaseException:
            _end(child)
            raise
    if child.returncode != 0:
        step = follower.failed()
        where = f"step {step.name}" if step else "the pipeline"
        raise errors.TrainingError(
            f"{where} failed: {steps.sentence(step)} (log: {folder / 'pipeline.log'})"
        )


def _end(child: subprocess.Popen[str]) -> None:
    """End the child and its steps, which share its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=PATIENCE_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # also a step that outlived the child
        os.killpg(child.pid, signal.SIGKILL)


def _ending(root: Path, follower: steps.Follower, *, deploy: bool, log: Path) -> tuple[str, str]:
    """Return outcome and reason from what the steps left; which branch ran is read, never assumed."""
    done = {step.name for step in follower.steps if step.status == "done"}
    decision = next(iter(root.glob("*/gate/decision")), None)
    if decision is None:
        raise errors.TrainingError(f"the run left no decision of the gate: see {log}")
    made = artifacts.from_json(artifacts.GateDecision, artifacts.read_json(decision))
    wanted = {"package", *(["deploy"] if deploy else [])} if made.promote else {"refuse"}
    ran = done & {"package", "deploy", "refuse"}
    if ran != wanted:
        raise errors.TrainingError(
            f"the gate decided {'to promote' if made.promote else 'to refuse'}, and of its branches "
            f"{', '.join(sorted(ran)) or 'nothing'} ran: wanted {', '.join(sorted(wanted))}; see {log}"
        )
    outcome = "refused" if not made.promote else "deployed" if deploy else "packaged"
    return outcome, made.reason


def _record(
    run: str,
    folder: Path,
    root: Path,
    follower: steps.Follower,
    *,
    outcome: str,
    reason: str,
    seconds: float,
) -> TrainingRun:
    outputs = {step.name: _output(root, step.name) for step in follower.steps}
    package = outputs.get("package", {})
    metadata = _first(package.get("artifacts", {}).get("package", {})).get("metadata", {})
    return TrainingRun(
        run=run,
        outcome=outcome,
        reason=reason,
        package=package.get("parameterValues", {}).get("Output"),
        revision=outputs.get("deploy", {}).get("parameterValues", {}).get("Output"),
        digest=metadata.get("digest"),
        warnings=_warnings(root),
        steps=tuple(steps.as_json(step, output=outputs[step.name]) for step in follower.steps),
        seconds=round(seconds, 1),
        folder=str(folder),
    )


def _warnings(root: Path) -> tuple[str, ...]:
    """Return what the prepare step has to say of the rows, and the gate of its comparison; nothing
    of a step that left no record.
    """
    said = (("*/prepare/dataset/dataset.json", "warnings"), ("*/gate/decision", "notes"))
    return tuple(
        sentence
        for pattern, key in said
        for record in list(root.glob(pattern))[:1]
        for sentence in artifacts.read_json(record).get(key, ())
    )


def _output(root: Path, step: str) -> artifacts.Json:
    file = next(iter(root.glob(f"*/{step}/executor_output.json")), None)
    return artifacts.read_json(file) if file else {}


def _first(held: artifacts.Json) -> artifacts.Json:
    found: list[artifacts.Json] = held.get("artifacts", [])
    return found[0] if found else {}

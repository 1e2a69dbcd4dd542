"""A run of a pipeline on this machine: the compiled YAML under kfp.local, in a process
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
from typing import TextIO

from fairway import artifacts, errors, usercode
from fairway.config import sections
from fairway.pipelines import compiled, endings, notification, reuse, run_page, run_records, steps

PATIENCE_SECONDS = 5.0  # between asking the steps to end and ending them
# Linux takes 128 KiB in one argument, and kfp hands each step its inputs in one
CONFIG_BYTES = 100 * 1024
RAN = ("done", "cached")
LOGS = "logs"  # the folder of the steps' logs, in a run's
# errors of a step that the run ends with: the exit status is the step's own
KINDS = {
    "Refused": errors.Refused,
    "UsageError": errors.UsageError,
    "ConfigError": errors.UsageError,
}
Progress = Callable[[steps.Told], None]
Recorded = Callable[[artifacts.Json], None]


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One run as it ended; `run.json` holds the same while it goes on (outcome `running`) and where
    it failed (`failed`) or was ended (`interrupted`)."""

    run: str
    outcome: str  # packaged | deployed | refused; of others also waited | answered
    reason: str  # the gate's, or what else decided
    package: str | None  # folder of the package
    revision: str | None  # where it was deployed
    # step, status, seconds, began, exit, memory_bytes, error, log, parameters, artifacts
    steps: tuple[artifacts.Json, ...]
    seconds: float  # of all tries
    folder: str
    digest: str | None = None  # of the package
    warnings: tuple[
        str, ...
        # rows that were left out, what looks too good; what the gate's comparison could not know
    ] = ()
    deployment: str = ""  # the configuration's name
    began: float = 0.0  # of its first try
    tries: int = 1
    why: str = ""  # it began
    commit: str = ""  # of the repository in which it was asked for
    pipeline: str = "training"


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try of a run: its first, or one that goes on after a failure."""

    run: str
    folder: Path
    root: Path  # of the steps' folders; nothing was written to it before
    number: int
    began: float  # the run's first try
    spent_seconds: float  # by the tries before
    request: artifacts.Json


def run_training(
    config: sections.Config,
    *,
    home: Path,
    champion: Path | None,
    deploy: bool,
    watch: bool = False,
    cache: bool = True,
    progress: Progress | None = None,
    name: str | None = None,
    why: str = "",
    recorded: Recorded | None = None,
) -> TrainingRun:
    """Run the training pipeline as `run_pipeline` does."""
    arguments = {
        "compare_with": str(champion.absolute()) if champion else "none",
        "store": str(home.absolute() / "packages"),
        "deploy_package": deploy,
        "watch": watch,
    }
    return run_pipeline(
        config,
        pipeline="training",
        home=home,
        arguments=arguments,
        cache=cache,
        progress=progress,
        name=name,
        why=why,
        recorded=recorded,
    )


def run_pipeline(
    config: sections.Config,
    *,
    pipeline: str,
    home: Path,
    arguments: artifacts.Json,
    cache: bool = True,
    progress: Progress | None = None,
    name: str | None = None,
    why: str = "",
    recorded: Recorded | None = None,
) -> TrainingRun:
    """Run a pipeline with these arguments beside `config` and `home`, and give how it ended; raises
    TrainingError with the failed step's own sentence, Refused where the step was refused.

    `why` it began is kept with what it makes. `progress` is called with what is worth telling of
    each step, `recorded` with the record at each change. With `cache`, what train, evaluate and
    gate gave in an earlier run is taken where all that they depend on is the same. The record and
    the logs lie in `home/runs/<run>/`. Ctrl-C ends the steps too, and so does the end of this
    process, however it ends.
    """
    home = home.absolute()
    text = _configuration(config)
    run, folder = _folder(config, home=home, name=name, now=time.time())
    begun = compiled.circumstances(pipeline, why=why, commit=usercode.commit(Path.cwd()))
    reused = cache and not reuse.names_own_code(json.loads(text))
    asked = {
        "run": run,
        "deployment": config.name,
        "pipeline": str(compiled.find(f"{pipeline}.yaml")),
        "kept": str(folder / "kept"),
        "cache": str(home / "cache") if reused else None,
        "directory": str(Path.cwd()),  # where a user's own modules are found
        "arguments": {
            "config": text,
            "home": str(home),
            **compiled.shown(pipeline, config),
            **begun,
            **arguments,
        },
    }
    return _begin(folder, asked, progress=progress, recorded=recorded)


def retry(
    folder: Path, *, progress: Progress | None = None, recorded: Recorded | None = None
) -> TrainingRun:
    """Go on with a run that failed: its request again, without the steps that were done. What
    `run_training` gives and raises; UsageError where nothing failed."""
    record = run_records.read(folder)
    if record is None or not (folder / run_records.REQUEST).exists():
        raise errors.UsageError(f"{folder} has no run that can be tried again")
    if record["outcome"] not in (run_records.FAILED, run_records.INTERRUPTED, run_records.RUNNING):
        raise errors.UsageError(
            f"run {record['run']} ended as {record['outcome']}: wanted one that failed or was "
            "interrupted; `fairway run training` starts another"
        )
    asked = artifacts.read_json(folder / run_records.REQUEST)
    if "directory" not in asked:
        raise errors.UsageError(
            f"run {record['run']} is of an earlier version of fairway, which kept too little to go "
            "on with: start another with `fairway run training`"
        )
    spent = record["seconds"]
    return _begin(folder, asked, progress=progress, recorded=recorded, spent_seconds=spent)


def _begin(
    folder: Path,
    request: artifacts.Json,
    *,
    progress: Progress | None,
    recorded: Recorded | None,
    spent_seconds: float = 0.0,
) -> TrainingRun:
    with run_records.held(folder):
        number = 1 + len(list(folder.glob("steps*")))
        root = folder / ("steps" if number == 1 else f"steps.{number}")
        asked = {"began": time.time(), **request, "root": str(root)}
        artifacts.write_json(folder / run_records.REQUEST, asked)
        one = Try(
            run=asked["run"],
            folder=folder,
            root=root,
            number=number,
            began=asked["began"],
            spent_seconds=spent_seconds,
            request=asked,
        )
        return _follow(one, progress=progress, recorded=recorded)


def _follow(one: Try, *, progress: Progress | None, recorded: Recorded | None) -> TrainingRun:
    follower = steps.Follower()
    began = time.time()

    def record(outcome: str, reason: str) -> TrainingRun:
        seconds = one.spent_seconds + time.time() - began
        made = _record(one, follower, outcome=outcome, reason=reason, seconds=seconds)
        artifacts.write_json(one.folder / run_records.RECORD, made)
        if recorded is not None:
            recorded(artifacts.as_json(made))
        if outcome != run_records.RUNNING:
            run_page.write(one.folder / "run.html", artifacts.as_json(made))
        return made

    def tell(told: steps.Told) -> None:
        if not told.message:  # a step began or ended
            record(run_records.RUNNING, "")
        if progress is not None:
            progress(told)

    record(run_records.RUNNING, "")
    try:
        _execute(one, follower, tell=tell)
        outcome, reason = endings.of(
            Path(one.request["pipeline"]).stem,
            done={step.name for step in follower.steps if step.status in RAN},
            left=lambda name: _left(one, follower, name),
            arguments=one.request["arguments"],
            log=one.folder / "pipeline.log",
        )
    except KeyboardInterrupt:
        _stop(follower, now=time.time())
        record(run_records.INTERRUPTED, "it was interrupted")
        raise
    except BaseException as error:
        refused = isinstance(error, errors.Refused)
        _stop(follower, now=time.time())
        record("refused" if refused else run_records.FAILED, str(error) or type(error).__name__)
        raise
    return record(outcome, reason)


def _stop(follower: steps.Follower, *, now: float) -> None:
    """Note of the step that was under way that it did not end."""
    for step in follower.steps:
        if step.status == run_records.RUNNING:
            step.status, step.seconds = run_records.FAILED, round(now - step.began, 3)


def _configuration(config: sections.Config) -> str:
    text = json.dumps(config.model_dump(mode="json", by_alias=True))
    if len(json.dumps(text).encode()) > CONFIG_BYTES:
        raise errors.ConfigError(
            f"the configuration has {len(text.encode())} bytes as JSON: wanted fewer than {CONFIG_BYTES}, which is "
            f"what a "
            "pipeline's step can be handed; shorten its longest list (data.features, data.ignore or data.extra)"
        )
    return text


def _folder(
    config: sections.Config, *, home: Path, name: str | None, now: float
) -> tuple[str, Path]:
    """Return the run's name and folder."""
    run = name or f"{config.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    number = 1
    while name is None and (home / "runs" / run).exists():  # two runs in one second
        number += 1
        run = f"{run.rsplit('.', 1)[0]}.{number}"
    folder = home / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    return run, folder


def _execute(one: Try, follower: steps.Follower, *, tell: Callable[[steps.Told], None]) -> None:
    """Run the child, keeps its log, tells of its steps; raises TrainingError where it fails."""
    source = str(Path(__file__).parents[2])
    environment = {
        **os.environ,
        notification.RUN: one.run,
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
    }
    request = str(one.folder / run_records.REQUEST)
    log_file = one.folder / "pipeline.log"
    with (
        log_file.open("a", encoding="utf-8") as log,
        contextlib.ExitStack() as logs,
        subprocess.Popen(
            [sys.executable, "-m", "fairway.pipelines.execute", request],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,
            env=environment,
            cwd=one.request["directory"],
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
        ) as child,
    ):
        try:
            assert child.stdout is not None
            own: dict[str, TextIO] = {}
            for line in child.stdout:
                log.write(line)
                log.flush()
                told = follower.read(line, now=time.time())
                if told is not None and (told.status, told.seconds) == (run_records.RUNNING, None):
                    own[told.step] = logs.enter_context(_step_log(one, told.step))
                if follower.said is not None:
                    own[follower.steps[-1].name].write(follower.said + "\n")
                if told is not None:
                    tell(told)
            child.wait()
        except BaseException:
            _end(child)
            raise
    if child.returncode != 0:
        raise _failure(follower, pipeline=Path(one.request["pipeline"]).stem, log=log_file)


def _step_log(one: Try, step: str) -> TextIO:
    logs = one.folder / LOGS
    logs.mkdir(exist_ok=True)
    return (logs / f"{step}.log").open("w", encoding="utf-8", buffering=1)


def _failure(follower: steps.Follower, *, pipeline: str, log: Path) -> errors.FairwayError:
    """Return what the run ends with: the step's own kind where it is one of fairway's."""
    step = follower.failed()
    where = f"step {step.name}" if step else "the pipeline"
    kind = KINDS.get(step.kind, errors.TrainingError) if step else errors.TrainingError
    further = "; `fairway runs retry` goes on from it"
    if step is not None and step.kind == errors.DataError.__name__:
        further = (
            "; with the same data and functions another try ends the same: correct them, then "
            f"`fairway run {pipeline}`"
        )
    elif kind is not errors.TrainingError:  # the same request would end the same
        further = ""
    return kind(f"{where} failed: {steps.sentence(step)} (log: {log}){further}")


def _end(child: subprocess.Popen[str]) -> None:
    """End the child and its steps, which share its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=PATIENCE_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # also a step that outlived the child
        os.killpg(child.pid, signal.SIGKILL)


def _record(
    one: Try, follower: steps.Follower, *, outcome: str, reason: str, seconds: float
) -> TrainingRun:
    outputs = {step.name: _output(_left(one, follower, step.name)) for step in follower.steps}
    package = outputs.get("package", {})
    metadata = _first(package.get("artifacts", {}).get("package", {})).get("metadata", {})
    return TrainingRun(
        run=one.run,
        outcome=outcome,
        reason=reason,
        package=package.get("parameterValues", {}).get("Output"),
        revision=outputs.get("deploy", {}).get("parameterValues", {}).get("Output"),
        digest=metadata.get("digest"),
        warnings=_warnings(one, follower),
        steps=tuple(
            steps.as_json(step, output=outputs[step.name], log=_log(one, step))
            for step in follower.steps
        ),
        seconds=round(seconds, 1),
        folder=str(one.folder),
        deployment=one.request["deployment"],
        began=one.began,
        tries=one.number,
        why=one.request["arguments"].get("why", ""),
        commit=one.request["arguments"].get("commit", ""),
        pipeline=Path(one.request["pipeline"]).stem,
    )


def _log(one: Try, step: steps.PipelineStep) -> Path:
    """Return the step's log: of a cached step, that of the run which did it."""
    did = Path(step.folder).parents[2] if step.folder else one.folder  # RUN/steps/PIPELINE/STEP
    return did / LOGS / f"{step.name}.log"


def _left(one: Try, follower: steps.Follower, name: str) -> Path:
    """Return the folder of what a step left: in this try, or where its results were kept."""
    kept = (step.folder for step in follower.steps if step.name == name and step.folder)
    found = next(kept, None) or next(one.root.glob(f"*/{name}"), None)
    return Path(found) if found else one.root / name


def _warnings(one: Try, follower: steps.Follower) -> tuple[str, ...]:
    """Return what the prepare step has to say of the rows, the gate of its comparison, and whether
    nobody could be told of the run; nothing of a step that left no record.
    """
    told = [
        str(_output(_left(one, follower, name)).get("parameterValues", {}).get("Output", ""))
        for name in run_records.TELLING
    ]
    said = (
        (_left(one, follower, "prepare") / "dataset" / "dataset.json", "warnings"),
        (_left(one, follower, "gate") / "decision", "notes"),
    )
    found = [
        sentence
        for record, key in said
        if record.exists()
        for sentence in artifacts.read_json(record).get(key, ())
    ]
    return (*found, *(one for one in told if one.startswith(notification.UNTOLD)))


def _output(folder: Path) -> artifacts.Json:
    file = folder / "executor_output.json"
    return artifacts.read_json(file) if file.exists() else {}


def _first(held: artifacts.Json) -> artifacts.Json:
    found: list[artifacts.Json] = held.get("artifacts", [])
    return found[0] if found else {}

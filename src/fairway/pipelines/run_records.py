"""The records of runs on this machine: `HOME/runs/RUN/run.json`, and whether a run still goes on."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairway import artifacts, errors

RECORD, REQUEST, LOCK = "run.json", "request.json", "running.lock"
# outcomes of a record besides those of a run that ended by itself
RUNNING, FAILED, INTERRUPTED = "running", "failed", "interrupted"
TELLING = ("tell", "tell-2", "notify")  # the steps that tell people of a run
CUT_OFF = "cut off: its process ended before the run did"
# what is read of every record, and of each of its steps
HELD = frozenset({"run", "outcome", "reason", "package", "steps", "seconds", "folder"})
HELD_OF_STEP = frozenset({"step", "status", "seconds"})


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the run for this process, whose end, however it comes, lets go of it; raises UsageError
    where another one holds it."""
    with (folder / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.UsageError(
                f"run {folder.name} goes on in process {_holder(folder)}: wait for its end, or end "
                f"it with `fairway runs cancel {folder.name}`"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def holder(folder: Path) -> int | None:
    """Return the process that runs it, None where none does."""
    try:
        with (folder / LOCK).open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _holder(folder)
    return None


def close(folder: Path) -> artifacts.Json | None:
    """Return the record of a run whose process is gone, None where it left none; a record that
    still says `running` is ended as failed."""
    file = folder / RECORD
    if not file.exists():
        return None
    record: artifacts.Json = artifacts.read_json(file)
    if record["outcome"] == RUNNING:
        record = cut_off(record)
        artifacts.write_json(file, record)
    return record


def cut_off(record: artifacts.Json) -> artifacts.Json:
    """Return the record of a run whose process ended before it could say so."""
    ended = [
        {**step, "status": FAILED} if step["status"] == RUNNING else step
        for step in record["steps"]
    ]
    return {**record, "outcome": FAILED, "reason": CUT_OFF, "steps": ended}


def read(folder: Path) -> artifacts.Json | None:
    """Return the run's record as it stands now, None where there is none, or JSON that is none."""
    try:
        record: artifacts.Json = artifacts.read_json(folder / RECORD)
    except (OSError, ValueError):
        return None
    if not _is_record(record):
        return None
    if record["outcome"] != RUNNING or holder(folder) is not None:
        return record
    with contextlib.suppress(OSError):  # a disk that is full, or a reader who may not write
        return close(folder)
    return cut_off(record)


def newest_first(home: Path, *, deployment: str | None = None) -> list[artifacts.Json]:
    """Return the records of all runs, or of one deployment's."""
    folders = [folder for folder in (home / "runs").glob("*") if folder.is_dir()]
    found = [record for folder in folders if (record := read(folder)) is not None]
    wanted = [one for one in found if deployment in (None, one.get("deployment"))]
    return sorted(wanted, key=lambda record: record.get("began") or 0.0, reverse=True)


def find(home: Path, name: str | None) -> artifacts.Json:
    """Return the record of a run, by default of the newest; raises UsageError where it is not there."""
    found = newest_first(home)
    for record in found:
        if name in (None, record["run"]):
            return record
    wanted = "a run" if name is None else f"run {name}"
    there = ", ".join(record["run"] for record in found[:5])
    raise errors.UsageError(
        f"{wanted} is not in {home / 'runs'}: wanted {there or 'one of `fairway run training`'}"
    )


def step_of(record: artifacts.Json, name: str | None) -> artifacts.Json:
    """Return a step of a run, by default the one that failed, else the last that is not there to tell
    people of the others; raises UsageError for one that did not run."""
    steps: list[artifacts.Json] = record["steps"]
    failed = [step for step in steps if step["status"] == FAILED]
    acted = [step for step in steps if step["step"] not in TELLING]
    for step in steps if name else (failed or acted or steps)[-1:]:
        if name in (None, step["step"]):
            return step
    there = ", ".join(step["step"] for step in steps) or "no step"
    raise errors.UsageError(
        f"step {name or '(none named)'} did not run in {record['run']}: {there} did"
    )


def configuration(folder: Path) -> artifacts.Json:
    """Return the configuration that a run was asked with, empty where that was not kept."""
    try:
        asked = artifacts.read_json(folder / REQUEST)["arguments"]["config"]
        found: artifacts.Json = json.loads(asked)
    except (OSError, ValueError, KeyError):
        return {}
    return found


def compared(records: tuple[artifacts.Json, artifacts.Json]) -> list[artifacts.Json]:
    """Return what two runs differ in and what they measured: `what`, and the value of each."""
    sides = [_account(record) for record in records]
    names = dict.fromkeys([*sides[0], *sides[1]])
    rows = [{"what": name, "a": sides[0].get(name), "b": sides[1].get(name)} for name in names]
    return [
        row for row in rows if row["a"] != row["b"] or not str(row["what"]).startswith("config.")
    ]


def _account(record: artifacts.Json) -> dict[str, Any]:
    """Return of a run what is worth comparing, under dotted names."""
    steps = {step["step"]: step for step in record["steps"]}
    measured = _metadata(steps, "evaluate", "metrics")
    config = record.get("config") or configuration(Path(record["folder"]))
    return {
        "outcome": record["outcome"],
        "reason": record["reason"],
        "digest": record.get("digest"),
        "data": _metadata(steps, "prepare", "dataset").get("version"),
        "champion": _metadata(steps, "champion", "package").get("digest"),
        **{f"metrics.{name}": value for name, value in measured.items()},
        **{f"seconds.{name}": step["seconds"] for name, step in steps.items()},
        **{f"config.{name}": value for name, value in flat(config).items()},
    }


def _metadata(steps: Mapping[str, artifacts.Json], step: str, name: str) -> artifacts.Json:
    found: artifacts.Json = (
        steps.get(step, {}).get("artifacts", {}).get(name, {}).get("metadata", {})
    )
    return found


def flat(values: Mapping[str, Any], *, above: str = "") -> dict[str, Any]:
    """Return the leaves of nested maps under dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{above}{name}"
        inner = isinstance(value, Mapping) and value
        found |= flat(value, above=f"{dotted}.") if inner else {dotted: value}
    return found


def _is_record(found: Any) -> bool:
    """Say whether it has what the commands read of a run, however little the run came to."""
    if not (isinstance(found, dict) and found.keys() >= HELD):
        return False
    steps = found["steps"]
    return isinstance(steps, list) and all(
        isinstance(step, dict) and step.keys() >= HELD_OF_STEP for step in steps
    )


def _holder(folder: Path) -> int | None:
    text = (folder / LOCK).read_text(encoding="utf-8").strip()
    return int(text) if text.isdigit() else None

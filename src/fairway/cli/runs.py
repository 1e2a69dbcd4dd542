"""The runs of pipelines: what they did, and what may be done with them."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import click

from fairway import artifacts, errors
from fairway.cli import options, progress, stages

MOST_LISTED = 20
END_SECONDS = 30.0  # for a run's steps to end in: they are killed after 5
POLL_SECONDS = 0.1


@click.group()
def runs() -> None:
    """List, show, compare, retry or cancel runs of a pipeline; fetch their packages."""


NAMED = click.argument("name", metavar="[RUN]", required=False)


@runs.command("list")
@click.option("--deployment", default=None, help="Only the runs for this deployment.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=MOST_LISTED,
    show_default=True,
    help="How many, the newest first: what a screen holds.",
)
@options.home
@options.output
def listed(deployment: str | None, limit: int, root: Path, form: str) -> None:
    """List the newest runs."""
    from fairway.pipelines import run_records

    place = options.open_home(root)
    found = run_records.newest_first(place.root, deployment=deployment)[:limit]
    rows = [_row(record) for record in found]
    none = f"no run is in {place.runs}: start one with `fairway run training`"
    options.show({"runs": rows}, form=form, text=options.table(rows) or none)


@runs.command()
@NAMED
@options.home
@options.output
def show(name: str | None, root: Path, form: str) -> None:
    """Show a run, by default the newest: its steps with status, time, memory and exit status."""
    from fairway.pipelines import run_records

    record = run_records.find(options.open_home(root).root, name)
    options.show(record, form=form, text=_account(record))


@runs.command()
@NAMED
@click.option("--step", default=None, help="The step; by default the failed one, else the last.")
@click.option(
    "--tail",
    type=click.IntRange(min=1),
    default=None,
    metavar="LINES",
    help="Only the last lines; by default all.",
)
@options.home
@options.output
def logs(name: str | None, step: str | None, tail: int | None, root: Path, form: str) -> None:
    """Print what a step of a run wrote."""
    from fairway.pipelines import run_records

    record = run_records.find(options.open_home(root).root, name)
    found = run_records.step_of(record, step)
    file = Path(found["log"])
    if not file.exists():
        raise errors.UsageError(
            f"step {found['step']} of {record['run']} has no log at {file}: it is {found['status']}, "
            "and a cached step's log is of the run that did it"
        )
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = lines[-tail:] if tail else lines
    options.show(
        {"run": record["run"], "step": found["step"], "log": str(file), "lines": kept},
        form=form,
        text="\n".join(kept),
    )


@runs.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@options.home
@options.output
def compare(first: str, second: str, root: Path, form: str) -> None:
    """Compare two runs: configuration where it differs, data, metrics, times and how they ended."""
    from fairway.pipelines import run_records

    home = options.open_home(root).root
    pair = run_records.find(home, first), run_records.find(home, second)
    rows = run_records.compared(pair)
    named = [{"what": row["what"], first: row["a"], second: row["b"]} for row in rows]
    options.show(
        {"a": pair[0]["run"], "b": pair[1]["run"], "differences": rows},
        form=form,
        text=options.table(named),
    )


@runs.command()
@NAMED
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Copy it to this new folder, each file held against its digest; by default only its place is printed.",
)
@options.home
@options.output
def package(name: str | None, out: Path | None, root: Path, form: str) -> None:
    """Say where a run's package is, or copy it."""
    from fairway.packaging import fetch
    from fairway.pipelines import run_records

    record = run_records.find(options.open_home(root).root, name)
    if record["package"] is None:
        raise errors.UsageError(
            f"run {record['run']} made no package: it ended as {record['outcome']}"
            f" ({record['reason']})"
        )
    folder, digest = Path(record["package"]), record["digest"]
    if out is not None:
        fetch.fetch(folder.as_uri(), digest=digest, out=out)
    options.show(
        {"run": record["run"], "package": str(out or folder), "digest": digest},
        form=form,
        text=str(out or folder),
    )


@runs.command()
@NAMED
@options.home
@options.output
def retry(name: str | None, root: Path, form: str) -> None:
    """Go on with a run that failed or was interrupted, from the step that did not end; what was
    done stays. Exit 3 where the gate refuses."""
    from fairway.pipelines import run, run_records

    found = run_records.find(options.open_home(root).root, name)
    with options.interruptible(), progress.steps(quiet=form == "json") as report:
        record = run.retry(Path(found["folder"]), progress=report)
    stages.show_run(record, form=form)


@runs.command()
@NAMED
@options.home
@options.output
def cancel(name: str | None, root: Path, form: str) -> None:
    """End a run that goes on, as Ctrl-C does where it was started."""
    from fairway.pipelines import run_records

    record = run_records.find(options.open_home(root).root, name)
    folder = Path(record["folder"])
    process = run_records.holder(folder)
    if process is None:
        raise errors.UsageError(
            f"run {record['run']} has ended as {record['outcome']}: there is nothing to cancel"
        )
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
    until = time.monotonic() + END_SECONDS
    while run_records.holder(folder) is not None:
        if time.monotonic() > until:
            raise errors.PlatformError(
                f"run {record['run']} still goes on in process {process}, {END_SECONDS:.0f} s after "
                "it was asked to end"
            )
        time.sleep(POLL_SECONDS)
    ended = run_records.find(folder.parent.parent, record["run"])
    options.show(ended, form=form, text=f"run {record['run']}  {ended['reason']}")


def _row(record: artifacts.Json) -> dict[str, Any]:
    digest = record.get("digest")
    began = record.get("began")
    return {
        "run": record["run"],
        "outcome": record["outcome"],
        "began": _moment(began) if began else None,
        "seconds": record["seconds"],
        "package": digest.removeprefix("sha256:")[:12] if digest else None,
        "reason": record["reason"],
    }


def _account(record: artifacts.Json) -> str:
    head = {
        "run": record["run"],
        "outcome": record["outcome"] + (f": {record['reason']}" if record["reason"] else ""),
        "package": record["package"],
        "revision": record["revision"],
        "page": str(page) if (page := Path(record["folder"]) / "run.html").exists() else None,
    }
    steps = [
        {
            "step": step["step"],
            "status": step["status"],
            "time": None if step["seconds"] is None else f"{step['seconds']:.1f} s",
            "memory": progress.mebibytes(step.get("memory_bytes")),
            "exit": step.get("exit"),
        }
        for step in record["steps"]
    ]
    lines = [f"{key:<9}{value}" for key, value in head.items() if value is not None]
    return "\n".join([*lines, *(["", options.table(steps)] if steps else [])])


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))

"""The runs of pipelines: what they did, and what may be done with them."""

import contextlib
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import artifacts, errors
from fairway.cli import apis, options, progress

if TYPE_CHECKING:
    from fairway.cli import run_places

MOST_LISTED = 20


@click.group()
def runs() -> None:
    """List, show, compare, retry or cancel runs of a pipeline; fetch their packages."""


NAMED = click.argument("name", metavar="[RUN]", required=False)


@runs.command("list")
@click.option("--deployment", default=None, help="Only the runs for this deployment.")
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=200),
    default=MOST_LISTED,
    show_default=True,
    help="How many, the newest first: what a screen holds.",
)
@apis.runner
@options.home
@options.output
def listed(deployment: str | None, limit: int, where: apis.Runner, root: Path, form: str) -> None:
    """List the newest runs."""
    with _place(where, root) as place:
        found = place.newest(deployment=deployment, limit=limit)
    none = "there is no run: start one with `fairway run training`"
    rows = [_row(record) for record in found]
    options.show({"runs": rows}, form=form, text=options.fitted(options.table(rows)) or none)


@runs.command()
@NAMED
@apis.runner
@options.home
@options.output
def show(name: str | None, where: apis.Runner, root: Path, form: str) -> None:
    """Show a run, by default the newest: its steps with status, time, memory and exit status."""
    with _place(where, root) as place:
        record = place.find(name)
    options.show(record, form=form, text=_account(record))


@runs.command()
@NAMED
@click.option(
    "--step",
    default=None,
    help="The step; by default the failed one, else the last but those that tell people.",
)
@click.option(
    "--tail",
    type=click.IntRange(min=1),
    default=None,
    metavar="LINES",
    help="Only the last lines; by default all.",
)
@apis.runner
@options.home
@options.output
def logs(
    name: str | None,
    step: str | None,
    tail: int | None,
    where: apis.Runner,
    root: Path,
    form: str,
) -> None:
    """Print what a step of a run wrote."""
    from fairway.pipelines import run_records

    with _place(where, root) as place:
        record = place.find(name)
        found = run_records.step_of(record, step)
        lines = place.log(record, found).splitlines()
    kept = lines[-tail:] if tail else lines
    options.show(
        {"run": record["run"], "step": found["step"], "lines": kept},
        form=form,
        text="\n".join(kept),
    )


@runs.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@apis.runner
@options.home
@options.output
def compare(first: str, second: str, where: apis.Runner, root: Path, form: str) -> None:
    """Compare two runs: configuration where it differs, data, metrics, times and how they ended. Of
    runs on a cluster the API has no data and no metrics."""
    from fairway.pipelines import run_records

    with _place(where, root) as place:
        pair = place.find(first), place.find(second)
    if pair[0]["run"] == pair[1]["run"]:
        raise errors.UsageError(
            f"{first} and {second} are one run: name two of those that `fairway runs list` shows"
        )
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
@apis.runner
@options.home
@options.output
def package(name: str | None, out: Path | None, where: apis.Runner, root: Path, form: str) -> None:
    """Say where a run's package is, or fetch it."""
    from fairway.packaging import fetch

    with _place(where, root) as place:
        record = place.find(name)
    address, digest = place.package(record)
    if out is not None:
        fetch.fetch(address, digest=digest, out=out)
    there = str(out) if out is not None else address.removeprefix("file://")
    options.show({"run": record["run"], "package": there, "digest": digest}, form=form, text=there)


@runs.command()
@NAMED
@apis.runner
@options.home
@options.output
def retry(name: str | None, where: apis.Runner, root: Path, form: str) -> None:
    """Go on with a run that failed or was interrupted, from the step that did not end; what was
    done stays. Exit 3 where the gate refuses; on a cluster it is only started."""
    with _place(where, root) as place:
        place.retry(place.find(name), form=form)


@runs.command()
@NAMED
@apis.runner
@options.home
@options.output
def cancel(name: str | None, where: apis.Runner, root: Path, form: str) -> None:
    """End a run that goes on, as Ctrl-C does where it was started."""
    with _place(where, root) as place:
        record = place.find(name)
        if record["outcome"] != "running":
            raise errors.UsageError(
                f"run {record['run']} has ended as {record['outcome']}: there is nothing to cancel"
            )
        said = place.cancel(record)
    options.show({"run": record["run"], "said": said}, form=form, text=said)


@runs.command()
@click.argument("cron")
@click.option(
    "--pipeline",
    type=click.Choice(["training", "retraining", "monitoring"]),
    default="training",
    show_default=True,
    help="Which pipeline runs.",
)
@click.option("--deploy", is_flag=True, help="Deploy each package that the gate lets through.")
@click.option("--watch", is_flag=True, help="With --deploy: each run ends with its rollout.")
@click.option(
    "--remove",
    is_flag=True,
    help="Take the schedule away instead (--on kubernetes; CRON is not read, give '-').",
)
@apis.runner
@options.config
@options.home
@options.output
def schedule(
    cron: str,
    pipeline: str,
    deploy: bool,
    watch: bool,
    remove: bool,
    where: apis.Runner,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Have a pipeline run at the times of CRON ('0 3 * * *'), never two at once and none
    made up for. Here it prints the line for crontab; on a cluster it makes the recurring run."""
    from fairway.pipelines import submit

    config = options.load(path, overrides)
    # the loop's pipelines deploy by themselves, as the configuration says
    deploys = deploy or (pipeline != "training" and config.retraining.deploy)
    if watch and not deploys:
        raise errors.UsageError("--watch follows a rollout: add --deploy")
    if not where.remote:
        if remove:
            raise errors.UsageError(
                "--remove is for a cluster's schedule: take the line out of your crontab (`crontab -e`)"
            )
        submit.check_cron(cron)
        said = [*(part for override in overrides for part in ("--set", override))]
        said += [name for name, wish in (("--deploy", deploy), ("--watch", watch)) if wish]
        home = options.open_home(root).root  # cron's shell writes a log there before fairway begins
        line = _crontab(cron, pipeline, said, path=path, home=home)
        options.show({"name": config.name, "cron": cron, "crontab": line}, form=form, text=line)
        return
    if remove:
        options.show(submit.unschedule(config, access=where.access(), pipeline=pipeline), form=form)
        return
    asked = submit.Wishes(pipeline=pipeline, deploy=deploys, watch=watch, why=f"schedule {cron}")
    made = submit.schedule(config, cron=cron, access=where.access(), asked=asked)
    options.show(made, form=form)


def _crontab(cron: str, pipeline: str, said: list[str], *, path: Path, home: Path) -> str:
    """Return the line for crontab: of the folder it is asked in, which cron does not know."""
    argv = [
        *(sys.executable, "-m", "fairway", "run", pipeline, "--if-idle"),
        *("--config", str(path.resolve()), "--home", str(home), *said),
        *(("--reason", f"schedule {cron}") if pipeline == "training" else ()),
    ]
    log = shlex.quote(str(home / "logs" / "schedule.log"))
    command = f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(argv)} >>{log} 2>&1"
    return f"{cron} " + command.replace("%", r"\%")  # which crontab takes for the end of the line


def _place(
    where: apis.Runner, root: Path
) -> "contextlib.AbstractContextManager[run_places.Here | run_places.There]":
    from fairway.cli import run_places

    return run_places.there(where.access()) if where.remote else run_places.here(root.resolve())


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
        "package": record.get("package"),
        "revision": record.get("revision"),
        "page": _page(record),
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


def _page(record: artifacts.Json) -> str | None:
    page = Path(record["folder"]) / "run.html" if "folder" in record else None
    return str(page) if page and page.exists() else None


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))

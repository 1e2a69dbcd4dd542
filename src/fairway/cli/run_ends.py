"""How a run of a pipeline is shown, here and on a cluster."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairway import errors
from fairway.cli import apis, options

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.pipelines import submit
    from fairway.pipelines.run import TrainingRun


IF_IDLE = click.option(
    "--if-idle",
    is_flag=True,
    help="Do nothing while a run for this deployment goes on here, as a schedule wants; by default runs may overlap.",
)


def show_run(record: "TrainingRun", *, form: str) -> None:
    """Print how a run ended; raises Refused where its gate refused."""
    for warning in record.warnings if form == "text" else ():
        click.echo(f"warning: {warning}", err=True)
    options.show(record, form=form, text=told(record))
    if record.outcome == "refused":
        raise errors.Refused(f"the gate refused: {record.reason}")


def warn(sentence: str) -> None:
    click.echo(f"warning: {sentence}", err=True)


def reason() -> str:
    """Return why a run begins that no option gives a reason for."""
    return os.environ.get("FAIRWAY_REASON") or f"asked for by {options.user()}"


def submitted(
    config: "sections.Config",
    asked: "submit.Wishes",
    *,
    where: apis.Runner,
    upload: bool,
    wait: bool,
    form: str,
) -> None:
    """Start a run on a cluster, and follow it to its end where that is asked for."""
    from fairway.cli import waiting
    from fairway.pipelines import listeners, submit, travel

    sent = travel.uploaded(config) if upload else config
    started = submit.submit(sent, access=where.access(), asked=asked)
    if not wait:
        options.show(started, form=form)
        return
    with listeners.telling(config, warn=warn) as recorded:
        found = waiting.wait(
            where.access(), started["run"], quiet=form == "json", recorded=recorded
        )
    options.show(found, form=form, text=f"run      {found['run']}\noutcome  {found['outcome']}")
    waiting.ended(found)


def told(record: "TrainingRun") -> str:
    """Return how it ended, for people: also where nothing serves yet what was deployed."""
    lines = [f"run      {record.run}", f"outcome  {record.outcome}: {record.reason}"]
    if record.package:
        lines.append(f"package  {record.package}")
    if record.outcome == "deployed" and _waits(Path(record.folder)):
        lines.append(
            "served   not yet: no platform runs; `fairway up` starts it, and the rollout begins"
        )
    return "\n".join(lines)


def _waits(folder: Path) -> bool:
    """Say whether the run in the folder deployed on this machine, where no platform runs."""
    from fairway.pipelines import run_records
    from fairway.platforms.local import client
    from fairway.platforms.local.home import Home

    if run_records.configuration(folder).get("platform", {}).get("kind") != "local":
        return False
    return client.running(Home(folder.parents[1])) is None


def goes_on(home: Path, deployment: str, *, form: str) -> bool:
    """Say whether a run for the deployment goes on here, and print which."""
    from fairway.pipelines import run_records

    found = run_records.newest_first(home, deployment=deployment)
    going = [record["run"] for record in found if record["outcome"] == run_records.RUNNING]
    if going:
        options.show({"run": None, "goes_on": going[0]}, form=form, text=f"{going[0]} goes on")
    return bool(going)

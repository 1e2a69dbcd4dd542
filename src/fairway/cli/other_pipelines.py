"""The pipelines besides training, here or on a cluster: retraining, monitoring, batch prediction, many
models."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import errors
from fairway.cli import apis, options, run_ends, stages

if TYPE_CHECKING:
    from fairway.config import sections

LABELS = click.option(
    "--labels",
    default="",
    metavar="ADDRESS",
    help="CSV with request_id and label, which the event store need not know; by default its own alone.",
)
WATCH = click.option(
    "--watch", is_flag=True, help="The run ends with the rollout, red where it is rolled back."
)
WAIT = click.option(
    "--wait",
    is_flag=True,
    help="Follow the run to its end, with its exit status (--on kubernetes); by default it is only started.",
)
DEPLOY = click.option(
    "--deploy/--no-deploy",
    default=None,
    help="Deploy a challenger that is better; by default as retraining.deploy says.",
)
DEPLOY_EACH = click.option(
    "--deploy", is_flag=True, help="Deploy each package that its gate lets through."
)


@click.command()
@apis.runner
@LABELS
@DEPLOY
@WATCH
@WAIT
@run_ends.IF_IDLE
@options.config
@options.home
@options.output
def retraining(
    where: apis.Runner,
    labels: str,
    deploy: bool | None,
    watch: bool,
    wait: bool,
    if_idle: bool,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Run the retraining pipeline: late labels join their requests, a challenger is trained on them and
    must be better on the newest. Exit 3 where it is refused."""
    config = options.load(path, overrides)
    more = {"labels": _place(labels, where)}
    deploys = config.retraining.deploy if deploy is None else deploy
    asked = LoopRun(
        pipeline="retraining", more=more, deploy=deploys, watch=watch, wait=wait, if_idle=if_idle
    )
    _run(config, asked, where=where, root=root, form=form)


@click.command()
@apis.runner
@click.option(
    "--before",
    default="",
    help="What is held against: rows at an address, a package's folder, or what was served, such as "
    "income@2026-11-01..2026-11-02; by default the reference of the package in service.",
)
@click.option(
    "--after", default="", help="What it is held against; by default the newest requests."
)
@click.option(
    "--p-value",
    type=click.FloatRange(min=0.005, max=0.5),
    default=0.01,
    show_default=True,
    help="Of all looks without a shift, the share that may say drift.",
)
@LABELS
@DEPLOY
@WATCH
@WAIT
@run_ends.IF_IDLE
@options.config
@options.home
@options.output
def monitoring(
    where: apis.Runner,
    before: str,
    after: str,
    p_value: float,
    labels: str,
    deploy: bool | None,
    watch: bool,
    wait: bool,
    if_idle: bool,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Run the monitoring pipeline once: what moved, whether a challenger is due, and where it is, the
    retraining. For a schedule; exit 0 where it waits."""
    config = options.load(path, overrides)
    more = {
        "before": _place(before, where),
        "after": _place(after, where),
        "p_value": p_value,
        "labels": _place(labels, where),
    }
    deploys = config.retraining.deploy if deploy is None else deploy
    asked = LoopRun(
        pipeline="monitoring", more=more, deploy=deploys, watch=watch, wait=wait, if_idle=if_idle
    )
    _run(config, asked, where=where, root=root, form=form)


@click.command()
@click.argument("rows")
@apis.runner
@click.option(
    "--to",
    default="",
    metavar="ADDRESS",
    help="Where the answers (Parquet) go too, such as s3://bucket/answers.parquet; by default in the run "
    "alone.",
)
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="A column that goes with the answers."
)
@click.option(
    "--package",
    "folder",
    type=click.Path(path_type=Path),
    default=None,
    help="The package that answers (here); by default the one that serves.",
)
@WAIT
@options.config
@options.home
@options.output
def batch(
    rows: str,
    where: apis.Runner,
    to: str,
    keep: tuple[str, ...],
    folder: Path | None,
    wait: bool,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Answer every row of ROWS (csv or Parquet, a file or an address) with the model in service, without
    a server."""
    if folder is not None and where.remote:
        raise errors.UsageError(
            "--package is a folder of this machine, which no pod sees: leave it out, and the package of "
            "the ModelDeployment in service answers"
        )
    config = options.load(path, overrides)
    more = {"rows": _place(rows, where), "to": to, "keep": list(keep)}
    if where.remote:
        _submit("batch", config, more, where=where, wait=wait, form=form)
        return
    more["package"] = str(folder.resolve()) if folder is not None else ""
    _here("batch", config, more, root=root, form=form)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@apis.runner
@DEPLOY_EACH
@WATCH
@WAIT
@options.home
@options.output
def many(
    files: tuple[Path, ...],
    where: apis.Runner,
    deploy: bool,
    watch: bool,
    wait: bool,
    root: Path,
    form: str,
) -> None:
    """Train a model for each configuration of FILES: on a cluster in one run, `pipeline.parallel` of the
    first at a time; here one after the other. Exit 1 where one failed, else 3 where one was refused."""
    configs = [options.load(path, ()) for path in files]
    if where.remote:
        from fairway.pipelines import travel

        ready = [travel.ready(config, deploys=deploy) for config in configs]
        more = {"configs": [config.model_dump_json(by_alias=True) for config in ready]}
        _submit(
            "many", configs[0], more, where=where, deploy=deploy, watch=watch, wait=wait, form=form
        )
        return
    from fairway.pipelines import run as runner

    ended: list[dict[str, Any]] = []
    worst: errors.FairwayError | None = None
    place = options.open_home(root)
    for config in configs:
        outcome, reason = "", ""
        try:
            with options.interruptible():
                made = runner.run_training(
                    config,
                    home=place.root,
                    champion=stages.serving(root, config.name),
                    deploy=deploy,
                    watch=watch,
                )
            outcome, reason = made.outcome, made.reason
            if outcome == "refused":
                raise errors.Refused(f"the gate refused {config.name}: {reason}")
        except errors.FairwayError as error:
            refused = isinstance(error, errors.Refused)
            outcome, reason = ("refused" if refused else "failed"), reason or str(error)
            if worst is None or isinstance(worst, errors.Refused):
                worst = error
        ended.append({"deployment": config.name, "outcome": outcome, "reason": reason})
    options.show({"runs": ended}, form=form, text=options.table(ended))
    if worst is not None:
        raise worst


@dataclass(frozen=True, kw_only=True)
class LoopRun:
    """What is asked of a pipeline of the loop."""

    pipeline: str
    more: dict[str, Any]
    deploy: bool
    watch: bool
    wait: bool
    if_idle: bool


def _run(
    config: "sections.Config", asked: LoopRun, *, where: apis.Runner, root: Path, form: str
) -> None:
    if asked.watch and not asked.deploy:
        raise errors.UsageError("--watch follows a rollout: add --deploy")
    if where.remote:
        if asked.if_idle:
            raise errors.UsageError(
                "--if-idle is for schedules here: `fairway runs schedule --on kubernetes` runs one at a time"
            )
        _submit(
            asked.pipeline,
            config,
            asked.more,
            where=where,
            deploy=asked.deploy,
            watch=asked.watch,
            wait=asked.wait,
            form=form,
        )
        return
    if asked.wait:
        raise errors.UsageError("--wait is for runs elsewhere: one here is always waited for")
    if asked.if_idle and run_ends.goes_on(root.resolve(), config.name, form=form):
        return
    arguments = {
        **asked.more,
        "store": str(root.resolve() / "packages"),
        "deploy_package": asked.deploy,
        "watch": asked.watch,
    }
    _here(asked.pipeline, config, arguments, root=root, form=form)


def _here(
    pipeline: str, config: "sections.Config", arguments: dict[str, Any], *, root: Path, form: str
) -> None:
    from fairway.cli import progress
    from fairway.pipelines import run as runner

    place = options.open_home(root)
    with options.interruptible(), progress.steps(quiet=form == "json") as report:
        record = runner.run_pipeline(
            config, pipeline=pipeline, home=place.root, arguments=arguments, progress=report
        )
    run_ends.show_run(record, form=form)


def _submit(
    pipeline: str,
    config: "sections.Config",
    more: dict[str, Any],
    *,
    where: apis.Runner,
    wait: bool,
    form: str,
    deploy: bool = False,
    watch: bool = False,
) -> None:
    from fairway.pipelines import submit

    asked = submit.Wishes(pipeline=pipeline, more=more, deploy=deploy, watch=watch)
    run_ends.submitted(config, asked, where=where, upload=False, wait=wait, form=form)


def _place(text: str, where: apis.Runner) -> str:
    """Return what steps are told of a file: here its whole path, since they run in another folder; of
    what is no file, the text itself."""
    if "://" in text or not Path(text).exists() or not text:
        return text
    if where.remote:
        raise errors.UsageError(
            f"{text} is a file of this machine, which no pod sees: wanted an address such as "
            "s3://bucket/rows.csv"
        )
    return str(Path(text).resolve())


COMMANDS = (retraining, monitoring, batch, many)

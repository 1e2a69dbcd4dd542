"""The pipelines besides training, here or on a cluster: retraining, monitoring, batch prediction, many
models."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fairway import errors
from fairway.cli import apis, options, run_ends, stages

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.pipelines.run import TrainingRun

F = TypeVar("F", bound=Callable[..., Any])
LABELS = click.option(
    "--labels",
    default="",
    metavar="ADDRESS",
    help="CSV with request_id and label, which the event store need not know; by default its own alone.",
)
WAIT = click.option(
    "--wait",
    is_flag=True,
    help="Follow the run to its end, with its exit status (--on kubernetes); by default it is only started.",
)
FURTHER = (
    click.option(
        "--deploy/--no-deploy",
        default=None,
        help="Deploy what its gate lets through; by default as retraining.deploy says, of training and many nothing.",
    ),
    click.option(
        "--watch",
        is_flag=True,
        help="Where it deploys: the run ends with the rollout, red where it is rolled back.",
    ),
    click.option(
        "--fail-on-refusal",
        is_flag=True,
        help="Let the run end red where the gate refuses; by default it is a run that did what it should.",
    ),
    click.option(
        "--upload",
        is_flag=True,
        help="Put data that is a file of this machine in platform.store first (--on kubernetes).",
    ),
    WAIT,
    run_ends.IF_IDLE,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Further:
    """What is asked of a run besides the pipeline's own options."""

    deploy: bool | None
    watch: bool
    fail_on_refusal: bool
    upload: bool
    wait: bool
    if_idle: bool

    def deploys(self, usual: bool) -> bool:
        """Say whether it deploys; raises UsageError for what contradicts itself."""
        found = usual if self.deploy is None else self.deploy
        if self.watch and not found:
            raise errors.UsageError("--watch follows a rollout: add --deploy")
        return found

    def check(self, *, remote: bool) -> None:
        """Raise UsageError for what is of the other place."""
        if remote and self.if_idle:
            raise errors.UsageError(
                "--if-idle is for schedules here: `fairway runs schedule --on kubernetes` runs one at a time"
            )
        if self.wait and not remote:
            raise errors.UsageError("--wait is for runs elsewhere: one here is always waited for")
        if self.upload and not remote:
            raise errors.UsageError("--upload is for steps that run elsewhere: add --on kubernetes")


def further(function: F) -> F:
    """Add the options of FURTHER, as the argument `asked`."""

    @functools.wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        told = {field.name: named.pop(field.name) for field in dataclasses.fields(Further)}
        return function(*args, asked=Further(**told), **named)

    wrapped: Any = called
    for option in reversed(FURTHER):
        wrapped = option(wrapped)
    found: F = wrapped
    return found


@click.command()
@apis.runner
@LABELS
@further
@options.config
@options.home
@options.output
def retraining(
    where: apis.Runner,
    labels: str,
    asked: Further,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Run the retraining pipeline: late labels join their requests, a challenger is trained on them and
    must be better on the newest. Exit 3 where it is refused."""
    config = options.load(path, overrides)
    more = {"labels": _place(labels, where)}
    _loop("retraining", config, more, asked=asked, where=where, root=root, form=form)


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
@further
@options.config
@options.home
@options.output
def monitoring(
    where: apis.Runner,
    before: str,
    after: str,
    p_value: float,
    labels: str,
    asked: Further,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Run the monitoring pipeline once: what moved, whether a challenger is due, and where it is, the
    retraining. For a schedule; exit 0 where it waits."""
    config = options.load(path, overrides)
    sides = {"before": _place(before, where), "after": _place(after, where), "p_value": p_value}
    more = {**sides, "labels": _place(labels, where)}
    _loop("monitoring", config, more, asked=asked, where=where, root=root, form=form)


@click.command()
@click.argument("rows")
@apis.runner
@click.option(
    "--to",
    default="",
    metavar="ADDRESS",
    help="Where the answers (Parquet) go too, such as s3://bucket/answers.parquet, or here a file; by default in the "
    "run alone.",
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
    if wait and not where.remote:
        raise errors.UsageError("--wait is for runs elsewhere: one here is always waited for")
    config = options.load(path, overrides)
    more = {"rows": _place(rows, where), "to": _target(to, where), "keep": list(keep)}
    if where.remote:
        from fairway.pipelines import submit

        sent = submit.Wishes(pipeline="batch", more=more)
        run_ends.submitted(config, sent, where=where, upload=False, wait=wait, form=form)
        return
    more["package"] = str(folder.resolve()) if folder is not None else ""
    run_ends.show_run(_ran("batch", config, more, root=root, form=form), form=form)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@apis.runner
@further
@options.home
@options.output
def many(
    files: tuple[Path, ...], where: apis.Runner, asked: Further, root: Path, form: str
) -> None:
    """Train a model for each configuration of FILES: on a cluster in one run, `pipeline.parallel` of the
    first at a time; here one after the other. Exit 1 where one failed (2: was used wrongly), else 3 where
    one was refused."""
    asked.check(remote=where.remote)
    deploys = asked.deploys(False)
    configs = [options.load(path, ()) for path in files]
    if where.remote:
        from fairway.pipelines import travel

        configs = [travel.uploaded(one) if asked.upload else one for one in configs]
        ready = [travel.ready(config, deploys=deploys) for config in configs]
        more = {"configs": [config.model_dump_json(by_alias=True) for config in ready]}
        _send("many", configs[0], more, asked=asked, deploys=deploys, where=where, form=form)
        return
    if asked.if_idle and any(
        run_ends.goes_on(root.resolve(), config.name, form=form) for config in configs
    ):
        return
    ended: list[dict[str, str]] = []
    worst: errors.FairwayError | None = None
    for config in configs:
        champion = stages.serving(root, config.name)
        arguments = {
            "compare_with": str(champion.absolute()) if champion else "none",
            **_challenging(root, deploys=deploys, watch=asked.watch),
        }
        try:
            made = _ran("training", config, arguments, root=root, form=form)
            told = {"outcome": made.outcome, "reason": made.reason}
            if made.outcome == "refused":
                worst = worst or errors.Refused(f"the gate refused {config.name}: {made.reason}")
        except errors.FairwayError as error:
            refused = isinstance(error, errors.Refused)
            told = {"outcome": "refused" if refused else "failed", "reason": str(error)}
            worst = error if worst is None or not refused else worst
        ended.append({"deployment": config.name, **told})
    options.show({"runs": ended}, form=form, text=options.table(ended))
    if worst is not None:
        raise worst


def _loop(
    pipeline: str,
    config: "sections.Config",
    more: dict[str, Any],
    *,
    asked: Further,
    where: apis.Runner,
    root: Path,
    form: str,
) -> None:
    asked.check(remote=where.remote)
    deploys = asked.deploys(config.retraining.deploy)
    if where.remote:
        _send(pipeline, config, more, asked=asked, deploys=deploys, where=where, form=form)
        return
    if asked.if_idle and run_ends.goes_on(root.resolve(), config.name, form=form):
        return
    arguments = {**more, **_challenging(root, deploys=deploys, watch=asked.watch)}
    run_ends.show_run(_ran(pipeline, config, arguments, root=root, form=form), form=form)


def _challenging(root: Path, *, deploys: bool, watch: bool) -> dict[str, Any]:
    store = str(root.resolve() / "packages")
    return {"store": store, "deploy_package": deploys, "watch": watch}


def _ran(
    pipeline: str, config: "sections.Config", arguments: dict[str, Any], *, root: Path, form: str
) -> "TrainingRun":
    """Run it here, telling what its steps do."""
    from fairway.cli import progress
    from fairway.pipelines import listeners
    from fairway.pipelines import run as runner

    place = options.open_home(root)
    with (
        options.interruptible(),
        listeners.telling(config, warn=run_ends.warn) as recorded,
        progress.steps(quiet=form == "json") as report,
    ):
        return runner.run_pipeline(
            config,
            pipeline=pipeline,
            home=place.root,
            arguments=arguments,
            progress=report,
            why=run_ends.reason(),
            recorded=recorded,
        )


def _send(
    pipeline: str,
    config: "sections.Config",
    more: dict[str, Any],
    *,
    asked: Further,
    deploys: bool,
    where: apis.Runner,
    form: str,
) -> None:
    """Start it on a cluster, and follow it where that is asked for."""
    from fairway import usercode
    from fairway.pipelines import submit

    sent = submit.Wishes(
        pipeline=pipeline,
        why=run_ends.reason(),
        commit=usercode.commit(Path.cwd()),
        more=more,
        deploy=deploys,
        watch=asked.watch,
        fail_on_refusal=asked.fail_on_refusal,
    )
    upload = asked.upload and pipeline != "many"  # whose files were sent
    run_ends.submitted(config, sent, where=where, upload=upload, wait=asked.wait, form=form)


def _place(text: str, where: apis.Runner) -> str:
    """Return what steps are told of a file: here its whole path, since they run in another folder; of
    what is no file, the text itself."""
    if not text or "://" in text or not Path(text).exists():
        return text
    if where.remote:
        raise errors.UsageError(
            f"{text} is a file of this machine, which no pod sees: wanted an address such as "
            "s3://bucket/rows.csv"
        )
    return str(Path(text).resolve())


def _target(text: str, where: apis.Runner) -> str:
    """Return the address that answers go to: of a file of this machine too, where the steps run here."""
    if not text or "://" in text:
        return text
    if where.remote:
        raise errors.UsageError(
            f"--to {text} is a file of this machine, which no pod sees: wanted an address such as "
            "s3://bucket/answers.parquet"
        )
    return Path(text).resolve().as_uri()


COMMANDS = (retraining, monitoring, batch, many)

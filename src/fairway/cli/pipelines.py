"""The verb that runs a whole pipeline, here or on a cluster."""

from pathlib import Path

import click

from fairway import errors
from fairway.cli import apis, options, other_pipelines, run_ends, stages


@click.group()
def run() -> None:
    """Run a whole pipeline."""


@run.command()
@apis.runner
@click.option("--deploy", is_flag=True, help="Deploy the package where the gate lets it through.")
@click.option(
    "--watch",
    is_flag=True,
    help="With --deploy: the run ends with the rollout, red where it is rolled back.",
)
@click.option(
    "--fail-on-refusal",
    is_flag=True,
    help="Let the run end red where the gate refuses; by default it is a run that did what it should.",
)
@click.option(
    "--upload",
    is_flag=True,
    help="Put data that is a file of this machine in platform.store first (--on kubernetes).",
)
@click.option(
    "--champion",
    type=click.Path(path_type=Path),
    default=None,
    help="Package of the model in service (here); by default the one that serves.",
)
@click.option(
    "--no-champion", is_flag=True, help="Compare with no model, though one is in service."
)
@click.option(
    "--cache/--no-cache",
    default=True,
    help="Take what train, evaluate and gate gave before where code, versions, configuration and content of the data "
    "are the same; on a cluster, what Kubeflow Pipelines finds.  [default: cache]",
)
@click.option(
    "--wait",
    is_flag=True,
    help="Follow the run to its end, with its exit status (--on kubernetes); by default it is only started.",
)
@run_ends.IF_IDLE
@click.option(
    "--reason",
    "why",
    default=None,
    help="Why it begins, for the lineage of what it makes, such as a ticket; by default FAIRWAY_REASON, or who asked.",
)
@options.config
@options.home
@options.output
def training(
    where: apis.Runner,
    deploy: bool,
    watch: bool,
    fail_on_refusal: bool,
    upload: bool,
    champion: Path | None,
    no_champion: bool,
    cache: bool,
    wait: bool,
    if_idle: bool,
    why: str | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Run the training pipeline: import, prepare, train, evaluate, gate, package. Exit 3 where the
    gate refuses."""
    _check_run(
        where.remote,
        deploy=deploy,
        watch=watch,
        upload=upload,
        champion=champion,
        none=no_champion,
        wait=wait,
        if_idle=if_idle,
    )
    config = options.load(path, overrides)
    why = why or run_ends.reason()
    if where.remote:
        from fairway import usercode
        from fairway.pipelines import submit

        asked = submit.Wishes(
            deploy=deploy,
            watch=watch,
            fail_on_refusal=fail_on_refusal,
            compare=not no_champion,
            cache=cache,
            why=why,
            commit=usercode.commit(Path.cwd()),
        )
        run_ends.submitted(config, asked, where=where, upload=upload, wait=wait, form=form)
        return
    from fairway.cli import progress
    from fairway.pipelines import listeners
    from fairway.pipelines import run as runner

    place = options.open_home(root)
    if if_idle and run_ends.goes_on(place.root, config.name, form=form):
        return
    with (
        options.interruptible(),
        listeners.telling(config, warn=run_ends.warn) as recorded,
        progress.steps(quiet=form == "json") as report,
    ):
        record = runner.run_training(
            config,
            home=place.root,
            champion=None if no_champion else champion or stages.serving(root, config.name),
            deploy=deploy,
            watch=watch,
            cache=cache,
            progress=report,
            why=why,
            recorded=recorded,
        )
    run_ends.show_run(record, form=form)


def _check_run(
    remote: bool,
    *,
    deploy: bool,
    watch: bool,
    upload: bool,
    champion: Path | None,
    none: bool,
    wait: bool,
    if_idle: bool,
) -> None:
    if if_idle and remote:
        raise errors.UsageError(
            "--if-idle is for schedules here: `fairway runs schedule --on kubernetes` runs one at a time"
        )
    if wait and not remote:
        raise errors.UsageError("--wait is for runs elsewhere: one here is always waited for")
    if watch and not deploy:
        raise errors.UsageError("--watch follows a rollout: add --deploy")
    if champion is not None and none:
        raise errors.UsageError("--champion and --no-champion contradict: give one")
    if upload and not remote:
        raise errors.UsageError("--upload is for steps that run elsewhere: add --on kubernetes")
    if champion is not None and remote:
        raise errors.UsageError(
            "--champion is a folder of this machine, which no pod sees: leave it out, and the package of the "
            "ModelDeployment in service is taken"
        )
    if champion is not None and not (champion / "manifest.json").is_file():
        raise errors.UsageError(
            f"--champion {champion} has no manifest.json: wanted the folder of a package, such as "
            "`fairway runs package` names"
        )


for other in other_pipelines.COMMANDS:
    run.add_command(other)

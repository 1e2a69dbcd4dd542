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
@other_pipelines.further
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
    asked: other_pipelines.Further,
    champion: Path | None,
    no_champion: bool,
    cache: bool,
    why: str | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Run the training pipeline: import, prepare, train, evaluate, gate, package. Exit 3 where the
    gate refuses."""
    asked.check(remote=where.remote)
    deploys = asked.deploys(False)
    _check_champion(champion, none=no_champion, remote=where.remote)
    config = options.load(path, overrides)
    why = why or run_ends.reason()
    if where.remote:
        from fairway import usercode
        from fairway.pipelines import submit

        sent = submit.Wishes(
            deploy=deploys,
            watch=asked.watch,
            fail_on_refusal=asked.fail_on_refusal,
            compare=not no_champion,
            cache=cache,
            why=why,
            commit=usercode.commit(Path.cwd()),
        )
        run_ends.submitted(
            config, sent, where=where, upload=asked.upload, wait=asked.wait, form=form
        )
        return
    from fairway.cli import progress
    from fairway.pipelines import listeners
    from fairway.pipelines import run as runner

    place = options.open_home(root)
    if asked.if_idle and run_ends.goes_on(place.root, config.name, form=form):
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
            deploy=deploys,
            watch=asked.watch,
            cache=cache,
            progress=report,
            why=why,
            recorded=recorded,
        )
    run_ends.show_run(record, form=form)


def _check_champion(champion: Path | None, *, none: bool, remote: bool) -> None:
    if champion is None:
        return
    if none:
        raise errors.UsageError("--champion and --no-champion contradict: give one")
    if remote:
        raise errors.UsageError(
            "--champion is a folder of this machine, which no pod sees: leave it out, and the package of the "
            "ModelDeployment in service is taken"
        )
    if not (champion / "manifest.json").is_file():
        raise errors.UsageError(
            f"--champion {champion} has no manifest.json: wanted the folder of a package, such as "
            "`fairway runs package` names"
        )


for other in other_pipelines.COMMANDS:
    run.add_command(other)

"""The verbs of one deployment: deploy, retrain."""

from pathlib import Path

import click

from fairway import errors
from fairway.cli import options, run_ends
from fairway.cli import rollout as rollouts

options.need_posix()


@click.command()
@click.argument("package", type=click.Path(path_type=Path), required=False)
@click.option(
    "--wait/--no-wait",
    default=False,
    help="Follow the rollout until it has ended; exit 3 where it is rolled back.",
)
@click.option(
    "--timeout",
    default=None,
    metavar="DURATION",
    help="With --wait: give up after this long, such as 10m.",
)
@click.option("--note", default="", help="What to remember of this revision, such as a ticket.")
@options.uri
@options.cluster
@options.config
@options.home
@options.output
def deploy(
    package: Path | None,
    wait: bool,
    timeout: str | None,
    note: str,
    uri: str | None,
    where: options.Where,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Ask for PACKAGE (a folder, or models:/NAME/VERSION that a run registered) to be served, by default
    the newest that was built for this configuration; its rollout begins.

    On a cluster this applies the ModelDeployment that `fairway render` prints; the package must lie
    where it says.
    """
    from fairway.addresses import mlflow
    from fairway.packaging import manifest
    from fairway.pipelines import tracking
    from fairway.platforms.local import origins
    from fairway.platforms.local.home import Home

    config, seconds = options.load(path, overrides), options.seconds(timeout)
    packages = options.open_home(root).packages
    if package is not None and mlflow.names_model(str(package)):
        from fairway.packaging import registered

        package = registered.fetched(str(package), packages=packages)
    folder = package or options.newest(packages, config.name)
    platform = where.platform(config, root=root)
    made = manifest.read(folder)
    came = origins.of(Home(root.resolve()), made.digest)
    asked = platform.deploy(config, package=folder, uri=uri, note=note, origin=came)
    if asked.refusal is None and asked.revision is not None:
        tracking.deployed(config, digest=made.digest, revision=asked.revision, warn=run_ends.warn)
    if form == "text":
        click.echo("\n".join(asked.lines))
    elif not wait or asked.refusal is not None:
        options.show(asked.record, form=form)
    if asked.refusal is not None:
        raise errors.Refused(asked.refusal)
    if wait:
        rollouts.follow(platform, config.name, revision=asked.revision, seconds=seconds, form=form)


@click.command()
@click.option("--reason", default="", help="Why, for the history.")
@options.config
@options.home
@options.output
def retrain(reason: str, path: Path, overrides: tuple[str, ...], root: Path, form: str) -> None:
    """Train a challenger on old and newly labelled data now, whatever the policy says."""
    from fairway.platforms.local import client, state

    config = options.load(path, overrides)
    home = options.open_home(root)
    client.need(home)
    store = state.Store(home.state)
    deployment = store.deployment(config.name)
    if deployment is None or deployment.state.stable is None:
        raise errors.UsageError(f"nothing serves as {config.name}: deploy a package first")
    asked = f"asked for by {options.user()}" + (f": {reason}" if reason else "")
    store.save_retraining(config.name, {**deployment.retraining, "asked": asked})
    store.close()
    options.show(
        {"deployment": config.name, "asked": asked, "runs": str(home.runs)},
        form=form,
        text=f"asked; it begins when no rollout is on its way. Follow it in {home.runs} and with `fairway status`",
    )

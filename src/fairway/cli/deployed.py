"""The verbs of one deployment: deploy, monitor, retrain."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import artifacts, errors
from fairway.cli import options
from fairway.cli import rollout as rollouts

if TYPE_CHECKING:
    from fairway.platforms.local import state

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
    """Ask for PACKAGE to be served, by default the newest that was built for this configuration;
    its rollout begins.

    On a cluster this applies the ModelDeployment that `fairway render` prints; the package must lie
    where it says.
    """
    config, seconds = options.load(path, overrides), options.seconds(timeout)
    folder = package or _newest(options.open_home(root).packages, config.name)
    platform = where.platform(config, root=root)
    asked = platform.deploy(config, package=folder, uri=uri, note=note)
    if form == "text":
        click.echo("\n".join(asked.lines))
    elif not wait or asked.refusal is not None:
        options.show(asked.record, form=form)
    if asked.refusal is not None:
        raise errors.Refused(asked.refusal)
    if wait:
        rollouts.follow(platform, config.name, revision=asked.revision, seconds=seconds, form=form)


def _newest(store: Path, name: str) -> Path:
    """Return the newest package of this name in the store."""
    found = []
    for folder in store.iterdir() if store.exists() else ():
        file = folder / "manifest.json"
        if (
            not folder.name.startswith(".")
            and file.exists()
            and artifacts.read_json(file).get("name") == name
        ):
            found.append((file.stat().st_mtime, folder))
    if not found:
        raise errors.UsageError(
            f"there is no package of {name} in {store}: build one with `fairway run training`, or name it"
        )
    return max(found)[1]


@click.command()
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Windows to show."
)
@options.config
@options.home
@options.output
def monitor(limit: int, path: Path, overrides: tuple[str, ...], root: Path, form: str) -> None:
    """Show drift, realised loss (of classes: accuracy) and alerts of the deployment."""
    from fairway.monitoring.eventstore import places
    from fairway.platforms.local import client

    config = options.load(path, overrides)
    home = options.open_home(root)
    deployment = client.deployment(home, config.name)
    with contextlib.closing(places.to_read(home.events)) as store:
        serving = [
            _measured(store, config, revision, share=share)
            for revision, share in _shares(deployment)
            if revision
        ]
        most: dict[str, Any] = (
            serving[0]
            if serving
            else {"revision": None, "labelled": 0, "loss": None, "accuracy": None}
        )
        windows = (
            store.conclusions.drift(config.name, revision=most["revision"], limit=limit)
            if serving
            else []
        )
        known_alerts = [
            artifacts.as_json(alert) for alert in store.conclusions.alerts(deployment=config.name)
        ]
    record = {
        "deployment": config.name,
        **{key: most[key] for key in ("revision", "labelled", "loss", "accuracy")},
        "serving": serving,
        "retraining": deployment.retraining,
        "windows": windows,
        "alerts": known_alerts,
    }
    options.show(record, form=form, text=_monitored(record))


def _shares(deployment: "state.Deployment") -> list[tuple[str | None, int]]:
    """Return the revisions that answer and their shares in percent, the largest first."""
    from fairway.rollout import states

    current = deployment.state
    weight, _ = deployment.weights
    shares = [(current.stable, states.TOTAL - weight), (current.candidate, weight)]
    return sorted((share for share in shares if share[1]), key=lambda share: -share[1])


def _measured(store: Any, config: Any, revision: str, *, share: int) -> dict[str, Any]:
    """Return a revision that answers with its share of the requests and its realised loss by the
    newest labels."""
    known = store.history.realised(
        config.name, revision, namespace=config.namespace, limit=config.retraining.min_labels
    )
    loss = known.lost / known.rows if known.rows else None
    accuracy = 1 - loss if loss is not None and known.task is None else None
    return {
        "revision": revision,
        "share": share,
        "labelled": known.rows,
        "loss": loss,
        "accuracy": accuracy,
    }


def _monitored(record: dict[str, Any]) -> str:
    lines = [f"deployment  {record['deployment']}"]
    for one in record["serving"]:
        lines += [f"revision    {one['revision']}, {one['share']} % of the requests", _fares(one)]
    if not record["serving"]:
        lines.append("revision    no revision serves yet")
    if record["retraining"]:
        lines.append(f"retraining  {record['retraining'].get('reason')}")
    lines.append(
        f"windows     {len(record['windows'])} newest, {sum(bool(w.get('drifted')) for w in record['windows'])} drifted"
    )
    for alert in record["alerts"]:
        state = "open" if alert["resolved_at"] is None else "resolved"
        lines.append(f"{alert['severity']:<7} {state:<9} {alert['name']}: {alert['summary']}")
    return "\n".join(lines)


def _fares(one: dict[str, Any]) -> str:
    """Return the line of a revision's labels: accuracy of classes, mean loss of other answers."""
    if not one["labelled"]:
        return "labels      none yet"
    name = "loss" if one["accuracy"] is None else "accuracy"
    plural = "" if one["labelled"] == 1 else "s"
    return f"{name:<11} {one[name]:.3f} on {one['labelled']} label{plural}"


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

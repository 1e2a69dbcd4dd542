"""The verbs of the local platform: up, down, status, deploy, predict, label, outcome, retrain."""

import contextlib
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import artifacts, errors
from fairway.cli import alerts, options
from fairway.cli import rollout as rollouts

if TYPE_CHECKING:
    from fairway.platforms.local import requests, standing, state
    from fairway.platforms.local.home import Home


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="The gateway's port; 0 takes a free one, and keeps it from then on.",
)
@options.home
@options.output
def up(port: int, root: Path, form: str) -> None:
    """Start the local platform; where it runs already, say where it listens.

    Returns when what was in service answers again; exit 1 where it does not come back.
    """
    from fairway.platforms.local import client

    home = options.open_home(root)
    addresses, started = client.up(home, port=port)
    record = artifacts.as_json(addresses)
    options.show(
        record,
        form=form,
        text=f"{'started' if started else 'running already'}\ngateway    {addresses.gateway}\n"
        f"collector  {addresses.collector}\nmonitor    {addresses.monitor}/metrics",
    )
    trouble = _settled(home)
    if trouble is not None:
        raise errors.PlatformError(trouble)


def _settled(home: "Home") -> str | None:
    """Wait until what was in service answers or never will, for a minute at most; return what is
    still not as it should be.
    """
    from fairway.platforms.local import client

    deadline = time.monotonic() + client.UP_SECONDS
    while (stands := standing_of(home)[1]).first is not None:
        if (
            any(silence.lasting for silence in stands.silent.values())
            or time.monotonic() > deadline
        ):
            return stands.first
        time.sleep(client.POLL_SECONDS)
    return None


def standing_of(home: "Home") -> "tuple[list[state.Deployment], standing.Standing]":
    """Return the deployments, and how the platform stands, whatever was decided."""
    from fairway.platforms.local import standing, state

    with contextlib.closing(state.Store(home.state)) as store:
        deployments = store.deployments()
    return deployments, standing.read(home, deployments)


@click.command()
@options.home
@options.output
def down(root: Path, form: str) -> None:
    """Stop the local platform: gateway, servers, collector, monitor. What it knows stays."""
    from fairway.platforms.local import client

    stopped = client.down(options.open_home(root))
    options.show(
        {"stopped": stopped},
        form=form,
        text=f"stopped {', '.join(stopped)}" if stopped else "nothing ran",
    )


@click.command()
@options.home
@options.output
def status(root: Path, form: str) -> None:
    """Show what runs and where each deployment stands; exit 1 where something that should run or
    answer does not."""
    home = options.open_home(root)
    deployments, stands = standing_of(home)
    addresses, rows = stands.addresses, list[dict[str, Any]]()
    for deployment in deployments:
        current = deployment.state
        weight, mirror = deployment.weights
        rows.append(
            {
                "name": deployment.name,
                "stable": current.stable,
                "candidate": current.candidate,
                "phase": str(current.phase),
                "weight": weight,
                "mirror": mirror,
                "verdict": str(current.verdict.action) if current.verdict else None,
                "serves": current.stable is not None
                and stands.gateway is not None
                and deployment.name not in stands.silent,
                "reason": _reason(deployment, stands),
            }
        )
    record = {
        "running": addresses is not None,
        "addresses": artifacts.as_json(addresses) if addresses else None,
        "gateway": stands.gateway,
        "trouble": stands.trouble,
        "deployments": rows,
    }
    head = (
        f"gateway {addresses.gateway}   collector {addresses.collector}"
        if addresses
        else f"no platform runs in {home.root}: `fairway up`"
    )
    told = alerts.open_in(home.events)
    record["alerts"] = [artifacts.as_json(alert) for alert in told]
    lines = [
        options.table(rows) if rows else "nothing is deployed: `fairway deploy PACKAGE`",
        *map(alerts.line, told),
    ]
    options.show(record, form=form, text="\n".join([stands.trouble or head, *lines]))
    first = stands.first or next(
        (fault for one in deployments if (fault := one.fault) is not None), None
    )
    if first is not None:
        raise errors.PlatformError(first)


def _reason(deployment: "state.Deployment", stands: "standing.Standing") -> str:
    """Return why nobody gets an answer, or why nothing moves, else what was decided and why."""
    silence, decided = (
        stands.silent.get(deployment.name),
        deployment.fault or deployment.state.reason,
    )
    if silence is not None:
        return silence.why
    return decided if stands.gateway is not None else f"nothing runs; before that: {decided}"


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


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="Rows to send, csv or parquet; by default the test rows that `prepare` left.",
)
@click.option(
    "--rows", type=click.IntRange(min=1), default=5, show_default=True, help="How many of them."
)
@click.option(
    "--row",
    default=None,
    metavar="JSON",
    help='One row as a JSON object, such as {"age": 41, ...}.',
)
@options.config
@options.home
@options.output
def predict(
    data: Path | None,
    rows: int,
    row: str | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Send rows to the model in service, through the gateway."""
    from fairway.platforms.local import requests

    config = options.load(path, overrides)
    home = options.open_home(root)
    answers = requests.predict(home, config.name, data=data, limit=rows, row=row)
    options.show(answers, form=form, text=options.table(answers))


@click.command()
@click.argument("request_id", required=False)
@click.argument("label", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=None,
    help="Many labels: CSV with the columns request_id and label.",
)
@options.config
@options.home
@options.output
def label(
    request_id: str | None,
    label: str | None,
    file: Path | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Send the true LABEL of the prediction REQUEST_ID, or many from a file.

    Several labels of one row are a JSON list, such as '["bug", "login"]', or divided by
    data.separator.
    """
    from fairway.platforms.local import requests

    rows = _rows(
        file,
        {"request_id": request_id, "label": label},
        wanted="REQUEST_ID and LABEL, or --file with both as columns",
    )
    config = options.load(path, overrides)
    pairs = [(row["request_id"], row["label"]) for row in rows]
    sent = requests.send_labels(
        options.open_home(root),
        config.name,
        namespace=config.namespace,
        labels=pairs,
        now=time.time(),
        separator=config.data.separator,
    )
    options.show(sent._asdict(), form=form, text=_sent(sent, "labels"))


@click.command()
@click.argument("request_id", required=False)
@click.argument("name", required=False)
@click.argument("value", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=None,
    help="Many outcomes: CSV with the columns request_id, outcome and value.",
)
@options.config
@options.home
@options.output
def outcome(
    request_id: str | None,
    name: str | None,
    value: str | None,
    file: Path | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Send what became of REQUEST_ID (NAME such as purchase, VALUE a number), or many from a file;
    guards of type business read them.
    """
    from fairway.platforms.local import requests

    rows = _rows(
        file,
        {"request_id": request_id, "outcome": name, "value": value},
        wanted="REQUEST_ID, NAME and VALUE, or --file with them as columns",
    )
    config = options.load(path, overrides)
    outcomes = [
        (row["request_id"], row["outcome"], _finite(row["value"], of=row["request_id"]))
        for row in rows
    ]
    sent = requests.send_outcomes(
        options.open_home(root),
        config.name,
        namespace=config.namespace,
        outcomes=outcomes,
        now=time.time(),
    )
    options.show(sent._asdict(), form=form, text=_sent(sent, "outcomes"))


def _sent(sent: "requests.Sent", what: str) -> str:
    unknown = (
        f"; {sent.unknown} of requests that the store does not know: they count once the server's event comes"
        if sent.unknown
        else ""
    )
    return f"sent {sent.sent} {what}, {sent.new} of them new{unknown}"


def _rows(file: Path | None, given: dict[str, str | None], *, wanted: str) -> list[dict[str, str]]:
    """Return the rows of the file where there is one, else the one that the arguments are."""
    from fairway.platforms.local import requests

    if file is not None:
        return requests.read_rows(file, list(given))
    row = {column: value for column, value in given.items() if value is not None}
    if len(row) < len(given):
        raise errors.UsageError(f"wanted {wanted}")
    return [row]


def _finite(text: str, *, of: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise errors.UsageError(f"the outcome of request {of} is {text!r}: wanted a number")
    return number


@click.command()
@click.option("--reason", default="", help="Why, for the history.")
@options.config
@options.home
def retrain(reason: str, path: Path, overrides: tuple[str, ...], root: Path) -> None:
    """Train a challenger on old and newly labelled data now, whatever the policy says."""
    from fairway.platforms.local import client, state

    config = options.load(path, overrides)
    home = options.open_home(root)
    client.need(home)
    store = state.Store(home.state)
    deployment = store.deployment(config.name)
    if deployment is None or deployment.state.stable is None:
        raise errors.UsageError(f"nothing serves as {config.name}: deploy a package first")
    store.save_retraining(
        config.name,
        {
            **deployment.retraining,
            "asked": f"asked for by {options.user()}" + (f": {reason}" if reason else ""),
        },
    )
    store.close()
    click.echo(
        f"asked; it begins when no rollout is on its way. Follow it in {home.runs} and with `fairway status`"
    )


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


if sys.platform == "win32":  # process groups and rename over an open file are needed throughout
    raise errors.UsageError("the local platform runs on Linux and macOS; on Windows use WSL")

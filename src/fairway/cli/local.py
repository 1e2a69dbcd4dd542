"""The verbs of the local platform: up, down, status."""

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import artifacts, errors
from fairway.cli import alerts, options

if TYPE_CHECKING:
    from fairway.platforms.local import standing, state
    from fairway.platforms.local.home import Home

options.need_posix()


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

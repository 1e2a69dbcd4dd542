"""What `fairway monitor` says of the usual, and the verb that makes a shift the new usual."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from fairway import errors
from fairway.cli import options, past

if TYPE_CHECKING:
    from fairway.monitoring import acceptance, references

TRIES = 5  # while a monitor concludes in between


@click.command()
@click.argument("deployment", required=False)
@click.option("--why", required=True, help="Why the shift is fine, for the ticket and for others.")
@click.option(
    "--who",
    help="Your name, for the same; by default USER's or LOGNAME's, of which a pod has none.",
)
@past.origin
@options.output
def accept(
    deployment: str | None, why: str, who: str | None, origin: past.AskedOf, form: str
) -> None:
    """Take what DEPLOYMENT is asked and answers now for usual: after a shift that is fine and stays.

    DEPLOYMENT is the configuration's by default. At its next look the monitor forgets what was usual,
    closes an open drift ticket with your name and the reason, and learns anew from the requests since;
    no drift ticket opens before enough of them came (monitoring.learn). On a cluster it needs what
    `fairway labels sample` needs.
    """
    from fairway.monitoring import acceptance

    plain = acceptance.reason(why)
    name = acceptance.person(who if who is not None else options.person() or "")
    if deployment is not None and "@" in deployment:
        raise errors.UsageError(
            f"{errors.shortened(deployment)} names some requests: wanted the deployment alone, whose revision in "
            "service is meant"
        )
    with past.served(deployment, origin) as found:
        made, ticket = _accepted(found, who=name, why=plain)
    record = {
        "deployment": found.asked.meant.deployment,
        **dataclasses.asdict(made),
        "ticket": ticket,
    }
    options.show(record, form=form, text=_told(record))


def _accepted(
    found: past.PastRequests, *, who: str, why: str
) -> "tuple[acceptance.Acceptance, Mapping[str, Any] | None]":
    """Keep it; a monitor that concludes in between is waited for."""
    from fairway.monitoring import acceptance
    from fairway.monitoring.eventstore import batches

    asked, left = found.asked, TRIES
    name = asked.meant.deployment
    if not found.reference:
        raise errors.UsageError(
            f"{name}: nothing is watched, for the package of revision {asked.revision} has no reference.npz: "
            "package the model with a reference"
        )
    while True:
        left -= 1
        try:
            with found.writing():
                return acceptance.accept(
                    found.store,
                    found.learnt,
                    deployment=name,
                    namespace=asked.namespace,
                    revision=asked.revision,
                    who=who,
                    why=why,
                    now=time.time(),
                )
        except batches.Overtaken:
            if not left:
                raise


def _told(record: Mapping[str, Any]) -> str:
    ticket = record["ticket"]
    return "\n".join(
        [
            f"deployment  {record['deployment']}, revision {record['revision']}",
            f"accepted    by {record['who']}: {record['why']}",
            f"ticket      {'none is open' if ticket is None else ticket['summary']}",
            "next        the monitor takes it at its next look, and learns anew what is usual; `fairway monitor`"
            " (on a cluster the condition Monitored) says how much",
        ]
    )


def usual(mark: Mapping[str, Any], shelf: "references.Shelf") -> dict[str, Any]:
    """Return until when it was learnt what is usual, of which revision, since which acceptance, and all
    that was accepted, the newest first."""
    from fairway.monitoring import acceptance

    revision = mark.get("learnt")
    own = revision is not None and revision == mark.get("revision")
    return {
        "revision": revision,
        "until": mark["learning"]["last"] if own else None,
        "since": mark.get("accepted"),
        "accepted": [dataclasses.asdict(one) for one in acceptance.kept(shelf)],
    }


def described(usual: Mapping[str, Any]) -> Sequence[str]:
    """Return the lines of that."""
    lines = []
    if usual["until"] is not None:
        lines.append(f"usual       learnt until {_time(usual['until'])}")
    if usual["accepted"]:
        newest = usual["accepted"][0]
        waits = "" if newest == usual["since"] else "; the monitor takes it at its next look"
        lines.append(
            f"accepted    {_time(newest['at'])} by {newest['who']}: {newest['why']}{waits}"
        )
    return lines


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

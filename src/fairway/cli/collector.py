"""The verb `collector`: takes events and labels, and answers what a rollout is judged by."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairway import errors

if TYPE_CHECKING:
    from fairway.monitoring.eventstore import access


@click.command()
@click.option(
    "--store",
    required=True,
    envvar="FAIRWAY_STORE",
    show_envvar=True,
    metavar="PATH|URL",
    help="The event store: a file, or postgresql://user:password@host/database; a password is seen by everybody on "
    "the machine unless the "
    "variable holds it.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on, 0 for a free one.",
)
@click.option(
    "--auth",
    type=click.Choice(("token-file", "kubernetes", "none")),
    default="token-file",
    show_default=True,
    help="How callers are told apart: one token in a file, service accounts' tokens that the API server is asked "
    "about, or not at all.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    default=None,
    help="With --auth token-file: the token that callers must have; made where it is missing, readable by its owner "
    "alone.",
)
@click.option(
    "--retention", default=None, metavar="DURATION", help="Let events go that are older, such as 90d; by default none."
)
@click.option(
    "--max-bytes",
    default="8Gi",
    show_default=True,
    metavar="SIZE",
    help="Let the oldest events go beyond this size; what a PostgreSQL holds is its administrator's to say.",
)
@click.option(
    "--reserve/--no-reserve",
    default=True,
    show_default=True,
    help="Hold room on the store's volume, up to 128 MiB, to remove events with when it is full.",
)
def collector(
    store: str,
    host: str,
    port: int,
    auth: str,
    token_file: Path | None,
    retention: str | None,
    max_bytes: str,
    reserve: bool,
) -> None:
    """Collect predictions and labels from servers, and answer what a rollout is judged by."""
    from fairway.config import sections
    from fairway.monitoring.eventstore.collector import listening, upkeep

    try:
        keep = sections.parse_duration(retention) if retention else None
    except ValueError as error:
        raise errors.UsageError(f"--retention is {retention!r}: {error}") from error
    try:
        largest = upkeep.parse_bytes(max_bytes)
    except ValueError as error:
        raise errors.UsageError(f"--max-bytes is {error}") from error
    gate = _reviewed() if auth == "kubernetes" else listening.local_gate(auth, token_file=token_file)
    listening.serve(place=store, gate=gate, host=host, port=port, keep=keep, max_bytes=largest, reserve=reserve)


def _reviewed() -> "access.Access":
    from fairway.monitoring.eventstore import access
    from fairway.platforms.kubernetes import api, tokens

    return access.Reviewed(tokens.Reviews(api.connect()), clock=time.monotonic)

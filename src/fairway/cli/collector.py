"""The verb `collector`: takes events and labels, and answers what a rollout is judged by."""

import click

from fairway import errors


@click.command()
@click.option("--store", required=True, envvar="FAIRWAY_STORE", show_envvar=True, metavar="PATH|URL",
              help="The event store: a file, or postgresql://user:password@host/database; a password is seen by everybody on the machine unless the "
                   "variable holds it.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port to listen on, 0 for a free one.")
@click.option("--retention", default=None, metavar="DURATION", help="Let events go that are older, such as 90d; by default none.")
def collector(store: str, host: str, port: int, retention: str | None) -> None:
    """Collect predictions and labels from servers, and answer what a rollout is judged by."""
    from fairway.config import schema
    from fairway.monitoring import collector as collectors

    try:
        keep = schema.parse_duration(retention) if retention else None
    except ValueError as error:
        raise errors.UsageError(f"--retention is {retention!r}: {error}") from error
    collectors.serve(place=store, host=host, port=port, keep=keep)

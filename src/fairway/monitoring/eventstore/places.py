"""Where an event store is: a file, or the URL of a PostgreSQL."""

import os
from collections.abc import Mapping
from pathlib import Path

from fairway import errors
from fairway.monitoring.eventstore import archive, databases, sqlite_file

EVENTS = "FAIRWAY_EVENTS"  # the variable with the URL of a PostgreSQL, which a Secret gives


def of_steps(home: Path, *, environment: Mapping[str, str] = os.environ) -> archive.EventStore:
    """Return the store that a pipeline's step reads: at the URL in FAIRWAY_EVENTS, else the local
    platform's."""
    url = environment.get(EVENTS)
    if url and not is_file(url):
        return opened(url)
    file = home / "events.db"
    if not file.exists():
        raise errors.UsageError(
            f"there are no events: {EVENTS} is {'no' if url else 'not set to the'} URL of a PostgreSQL, and "
            f"{file} is not there; serve a model, or name the Secret in pipeline.secrets"
        )
    return opened(file)


def to_read(file: Path) -> archive.EventStore:
    """Return the store in the file as it is; raises PlatformError for one of an earlier version,
    which something that runs may write still.
    """
    return archive.EventStore(sqlite_file.SqliteFile(file, update=False))


def opened(place: str | Path, *, timeout_seconds: float = 5.0) -> archive.EventStore:
    """Return the store at the place, which is made where it is missing, and brought up to date
    where it is older."""
    if is_file(place):
        return archive.EventStore(
            sqlite_file.SqliteFile(Path(place), timeout_seconds=timeout_seconds)
        )
    return archive.EventStore(_server(str(place), timeout_seconds=timeout_seconds))


def is_file(place: str | Path) -> bool:
    return not str(place).startswith(("postgresql://", "postgres://"))


def _server(url: str, *, timeout_seconds: float) -> databases.Backend:
    try:
        from fairway.monitoring.eventstore import postgres_server
    except ImportError as error:
        raise errors.UsageError(
            f'a store in PostgreSQL needs psycopg ({error}): install it with `pip install "fairway[postgres]"`'
        ) from error
    return postgres_server.PostgresServer(url, timeout_seconds=timeout_seconds)

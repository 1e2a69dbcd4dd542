"""Where an event store is: a file, or the URL of a PostgreSQL."""

from pathlib import Path

from fairway import errors
from fairway.monitoring.eventstore import archive, databases, sqlite_file


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

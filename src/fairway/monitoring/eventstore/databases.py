"""What the event store needs of a database: transactions, its own SQL, and a way to insert. SQLite
and PostgreSQL are two."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fairway.monitoring.eventstore import cloudevents


class Result(Protocol):
    """What a statement gives."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection inside a transaction; parameters are named, as the dialect writes them."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Result: ...

    def stream(self, sql: str, parameters: Any, /) -> Iterable[Any]:
        """Return the rows of a query that the caller may stop to read."""


class Dialect(Protocol):
    """The statements of the event store in one database's SQL; `sqlite_sql` and `postgres_sql` have
    the same names.

    tests/monitoring/test_postgres.py runs every one of them on both.
    """

    # what is known of requests as their labels come
    NEWEST_LABELS: str
    ANSWERED: str
    SERVED_TASKS: str
    # what is in the store
    IDENTITY: str
    NEWEST: str
    NEWEST_AT: str
    OLDEST: str
    COUNTS: str
    # what a rollout is judged by: joins of what came after a cursor
    PAIRS: str
    FIRST_YOUNG: str
    UNPAIRED: str
    LABELLED: str
    OUTCOMES: str
    EXPOSURE: str
    # what the collector counts, of all deployments at once
    TALLIED: str
    UNJOINED: str
    # what the monitor and retraining read, the newest first
    WINDOW: str
    LAST: str
    ROWS: str
    FIRST_ANSWER: str
    GAUGE: str
    REALISED: str
    MATURE: str
    TRAINING: str
    # halves of other servers' predictions
    TAKE_HALF: str
    KEEP_HALF: str
    DROP_HALVES: str
    # what is let go
    OLDEST_EVENTS: str
    REMOVE_EVENTS: str
    REMOVE_PAYLOADS: str
    REMOVE_DRIFT: str
    REMOVE_ALERTS: str
    # what monitoring concluded
    REFRESH_ALERT: str
    OPEN_ALERT: str
    RESOLVE_ALERT: str
    ALERTS: str
    ADD_DRIFT: str
    DRIFT: str
    MARK: str
    SET_MARK: str
    REMOVE_MARK: str
    # what is read whole
    BLOB: str
    BLOB_DIGESTS: str
    SET_BLOB: str
    REMOVE_BLOB: str
    REMOVE_BLOBS: str
    TOUCH_BLOBS: str
    BLOB_SIZES: str
    REMOVE_PACKAGE: str


class Backend(Protocol):
    """One database that holds an event store; any number of threads of this process may share it."""

    @property
    def name(self) -> str:
        """Where it is, without a password."""

    @property
    def sql(self) -> Dialect: ...

    def reading(self) -> AbstractContextManager[Connection]:
        """Return the connection inside a read transaction: all of the block sees the same instant."""

    def writing(self) -> AbstractContextManager[Connection]:
        """Return the connection inside a write transaction: all of the block is stored, or nothing.
        Blocks may nest."""

    def insert(
        self, connection: Connection, rows: Sequence[cloudevents.EventRow], *, received: float
    ) -> list[cloudevents.EventRow]:
        """Insert the rows, and return those that were not there yet."""

    def used_bytes(self) -> int:
        """Return the size of events and conclusions, without room that waits to be used again."""

    def let_go(self) -> None:
        """Let go what is kept by days and whose events are gone."""

    def compact(self) -> None:
        """Give free room to the disk."""

    def damage(self) -> str | None:
        """Return what is wrong with the files, None where they are sound."""

    def close(self) -> None: ...

"""The event store in PostgreSQL, for more events than one file takes, or for several collectors.
Needs psycopg (`fairway[postgres]`).

Writers take turns, as they do in SQLite: a number that a reader has passed must never come into
being later, so numbers are given under a lock and become visible in their order.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from psycopg import conninfo

from fairway import errors
from fairway.monitoring.eventstore import (
    cloudevents,
    databases,
    postgres_days,
    postgres_sql,
    versions,
)

PASSING = (
    "53",
    "55",
    "57",
    "40",
    "08",
    "25",
)  # no room, a lock, an operator's intervention, a serialisation failure, the connection, read-only
# its state is not what was wanted, as where the server became a standby: a new connection is needed
TRANSACTION = "25"
PORTS = re.compile(r"[0-9,]*")
MALFORMED = (
    "the event store's URL cannot be read: wanted postgresql://user:password@host/database, and in the password %25 "
    "for %, %2F for /, %40 for @ "
    "(PGPASSWORD holds one as it is)"
)
STREAMED = 500  # rows that one round trip brings


def _read(url: str) -> dict[str, Any]:
    """Return what the URL says, as the library reads it; raises UsageError that shows nothing of
    it, for a password may be anywhere in what is malformed."""
    try:
        settings: dict[str, Any] = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise errors.UsageError(MALFORMED) from None
    # With a / or an @ that is not encoded, the rest of the password is taken for the port, the host
    # or the database.
    misplaced = any(
        "@" in str(settings.get(key, "")) for key in ("host", "dbname")
    ) or not PORTS.fullmatch(str(settings.get("port", "")))
    if misplaced:
        raise errors.UsageError(MALFORMED)
    return settings


class Session:
    """A connection that answers as the event store asks."""

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Any = (), /) -> databases.Result:
        return self.connection.execute(sql, parameters or None)

    def load(self, sql: str, parameters: Sequence[Any], /) -> list[Any]:
        """Return the rows of a statement that is prepared, its large parameters sent as they are."""
        cursor = psycopg.Cursor(self.connection)
        return cursor.execute(sql, parameters, prepare=True).fetchall()

    def stream(self, sql: str, parameters: Any, /) -> Iterator[Any]:
        with psycopg.ServerCursor(self.connection, "stream") as cursor:
            cursor.itersize = STREAMED
            cursor.execute(sql, parameters)
            yield from cursor


class PostgresServer:
    """One connection to the server, shared by threads; raises StoreBusy while it is away, and finds
    it again."""

    sql: databases.Dialect = postgres_sql

    def __init__(self, url: str, *, timeout_seconds: float = 5.0) -> None:
        self._settings = _read(url)
        self._url = url
        self.timeout_seconds = timeout_seconds
        self._lock = threading.RLock()
        self._depth = 0
        self._session: Session | None = None
        self._days = postgres_days.Days()
        try:
            with self._lock, self._translated():
                self._bring_up_to_date(self._connected())
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Where it is, without the password."""
        return f"{self._settings.get('host') or ''}/{self._settings.get('dbname') or ''}"

    def used_bytes(self) -> int:
        """Return 0: how much a database may hold is its administrator's to say."""
        return 0

    def let_go(self) -> None:
        """Drop the payloads of the days before the oldest event's."""
        self._days.let_go(self)

    def compact(self) -> None:
        """Do nothing: the database looks after its own room."""

    def damage(self) -> None:
        """Return None: the database looks after its own files."""

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.connection.close()

    def insert(
        self,
        connection: databases.Connection,
        rows: Sequence[cloudevents.EventRow],
        *,
        received: float,
    ) -> list[cloudevents.EventRow]:
        """Insert the rows, and return those that were not there yet."""
        if not rows:
            return []
        versioned = versions.numbered(connection, rows, sql=self.sql)
        if not versioned:
            return []
        day = self._days.make(connection, received)
        stored = cast(Session, connection).load(
            postgres_sql.INSERT, (received, day, *_columns(versioned))
        )
        return [versioned[place - 1][1] for (place,) in sorted(stored)]

    @contextmanager
    def reading(self) -> Iterator[databases.Connection]:
        """Return the connection inside a read transaction: all of the block sees the same instant."""
        with self._transaction(writing=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[databases.Connection]:
        """Return the connection inside a write transaction: all of the block is stored, or nothing.
        Blocks may nest."""
        with self._transaction(writing=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[databases.Connection]:
        with self._lock, self._translated():
            session = (
                self._begun(writing=writing) if self._depth == 0 else cast(Session, self._session)
            )
            self._depth += 1
            try:
                yield session
                if self._depth == 1:
                    session.execute("COMMIT")
            except BaseException:
                if self._depth == 1:
                    self._days.forget()
                    with suppress(psycopg.Error):
                        session.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def _begun(self, *, writing: bool) -> Session:
        """Return a connection inside a transaction; one that the server has ended in the meantime
        is replaced."""
        for attempt in (1, 2):
            session = self._connected()
            try:
                session.execute(
                    "BEGIN" if writing else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                )
                if writing:
                    session.execute(postgres_sql.LOCK_WRITERS)
                return session
            except psycopg.OperationalError:
                alive = not session.connection.closed
                session.connection.close()
                if alive or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def _connected(self) -> Session:
        if self._session is None or self._session.connection.closed:
            wait = max(1, int(self.timeout_seconds))
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                cursor_factory=psycopg.ClientCursor,
                connect_timeout=wait,
                application_name="fairway",
                tcp_user_timeout=int(2000 * self.timeout_seconds),
            )
            self._session = Session(connection)
            for setting, seconds in (
                ("lock_timeout", self.timeout_seconds),
                ("statement_timeout", 4 * self.timeout_seconds),
            ):
                self._session.execute(f"SET {setting} = {int(1000 * seconds)}")
            self._session.execute(f"SET search_path TO {postgres_sql.SCHEMA}")
            # of a history, the newest rows are read
            self._session.execute("SET cursor_tuple_fraction = 0.001")
            # compiling takes longer than what is asked: a window's first rows are a look into an index
            self._session.execute("SET jit = off")
        return self._session

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            said = str(error).strip().partition("\n")[0]
            for secret in filter(
                None, (self._settings.get("password"), self._settings.get("sslpassword"))
            ):
                said = said.replace(str(secret), "...")
            state = error.sqlstate or ""
            if state.startswith(TRANSACTION):
                self.close()
            if isinstance(error, psycopg.OperationalError) or state.startswith(PASSING):
                raise errors.StoreBusy(
                    f"the event store {self.name} cannot be used now ({said}); nothing was stored, try again"
                ) from error
            raise errors.PlatformError(
                f"the event store {self.name} refused ({said}): see its log and this user's rights"
            ) from error

    def _bring_up_to_date(self, session: Session) -> None:
        with session.connection.transaction():
            session.execute("SET LOCAL statement_timeout = 0")  # tables may be large
            session.execute(postgres_sql.LOCK)
            if (
                session.execute("SELECT to_regnamespace(%s)", (postgres_sql.SCHEMA,)).fetchone()[0]
                is None
            ):
                session.execute(f"CREATE SCHEMA {postgres_sql.SCHEMA}")
            session.execute("CREATE TABLE IF NOT EXISTS format (version INTEGER NOT NULL)")
            version = int(
                session.execute("SELECT coalesce(max(version), 0) FROM format").fetchone()[0]
            )
            if version > len(postgres_sql.MIGRATIONS):
                raise errors.PlatformError(
                    f"the event store {self.name} has format {version}, this version knows "
                    f"{len(postgres_sql.MIGRATIONS)}: upgrade fairway"
                )
            for number, statements in enumerate(
                postgres_sql.MIGRATIONS[version:], start=version + 1
            ):
                for statement in statements:
                    session.execute(statement)
                session.execute("INSERT INTO format VALUES (%s)", (number,))


def _columns(versioned: Sequence[tuple[int, cloudevents.EventRow]]) -> Iterator[str]:
    """Give the columns that INSERT wants as array literals: the library's own take four times as
    long, for they look at each value's type."""
    versions_, rows = zip(*versioned, strict=True)
    yield _of_numbers([int(row.inputs is not None) for row in rows])
    yield _of_numbers(versions_)
    for name, column in zip(cloudevents.EventRow._fields, zip(*rows, strict=True), strict=True):
        if name in (*postgres_sql.COLUMNS, *postgres_sql.PAYLOAD):
            yield _of_numbers(column) if name in postgres_sql.NUMBERS else _of_words(column)


def _of_numbers(values: Sequence[float | None]) -> str:
    return "{" + ",".join("NULL" if value is None else repr(value) for value in values) + "}"


def _of_words(values: Sequence[str | None]) -> str:
    if None not in values:  # quoted together: the store keeps no NUL
        return '{"' + _escaped("\0".join(cast(Sequence[str], values))).replace("\0", '","') + '"}'
    quoted = ("NULL" if value is None else f'"{_escaped(value)}"' for value in values)
    return "{" + ",".join(quoted) + "}"


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace('"', '\\"')

"""The event store in PostgreSQL, for more events than one file takes, or for several collectors. Needs psycopg (`fairway[postgres]`).

The queries are SQLite's, said in PostgreSQL's words. Writers take turns, as they do in SQLite: a number that a reader has passed
must never come into being later, so numbers are given under a lock and become visible in their order.
"""

import functools
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from psycopg import conninfo

from fairway import errors
from fairway.monitoring import database, events, store

SCHEMA = "fairway"  # of its own, in a database that others may use too
MIGRATIONS = (
    (
        """CREATE TABLE events (
            seq BIGINT PRIMARY KEY, received DOUBLE PRECISION NOT NULL, logged INTEGER NOT NULL,
            type TEXT NOT NULL, deployment TEXT NOT NULL, request_id TEXT NOT NULL, revision TEXT NOT NULL, role TEXT NOT NULL,
            namespace TEXT NOT NULL, unit TEXT, time DOUBLE PRECISION NOT NULL, status INTEGER, rows INTEGER NOT NULL, input_digest TEXT,
            latency DOUBLE PRECISION, labels TEXT)""",
        "CREATE UNIQUE INDEX event_once ON events (request_id, namespace, deployment, type, revision, role)",
        "CREATE INDEX event_of_arm ON events (namespace, deployment, revision, role, logged, seq)",
        "CREATE TABLE payloads (seq BIGINT PRIMARY KEY, inputs TEXT, probabilities TEXT)",
        # The newest number given; its row is the lock that writers take turns by.
        "CREATE TABLE progress (seq BIGINT NOT NULL)",
        "INSERT INTO progress VALUES (0)",
        """CREATE TABLE alerts (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL, deployment TEXT NOT NULL, severity TEXT NOT NULL,
            summary TEXT NOT NULL, description TEXT NOT NULL, opened_at DOUBLE PRECISION NOT NULL, updated_at DOUBLE PRECISION NOT NULL,
            times INTEGER NOT NULL DEFAULT 1, resolved_at DOUBLE PRECISION, resolution TEXT)""",
        "CREATE UNIQUE INDEX one_open_alert ON alerts (deployment, name) WHERE resolved_at IS NULL",
        """CREATE TABLE drift (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, deployment TEXT NOT NULL, revision TEXT NOT NULL,
            at DOUBLE PRECISION NOT NULL, drifted BOOLEAN NOT NULL, record TEXT NOT NULL)""",
        "CREATE INDEX drift_of_deployment ON drift (deployment, revision)",
        "CREATE TABLE marks (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        "CREATE TABLE identity (id TEXT NOT NULL)",
        "INSERT INTO identity VALUES (replace(gen_random_uuid()::text, '-', ''))",
    ),
    ("ALTER TABLE events ADD COLUMN client TEXT",),
)
COLUMNS = (
    "type",
    "deployment",
    "request_id",
    "revision",
    "role",
    "namespace",
    "unit",
    "time",
    "status",
    "rows",
    "input_digest",
    "latency",
    "client",
    "labels",
)
TYPES = ("text",) * 7 + ("double precision", "integer", "integer", "text", "double precision", "text", "text")
INSERT = f"""
INSERT INTO events (seq, received, logged, {", ".join(COLUMNS)})
SELECT seq, %s, logged, {", ".join(COLUMNS)}
FROM unnest(%s::bigint[], %s::integer[], {", ".join(f"%s::{type}[]" for type in TYPES)}) AS new (seq, logged, {", ".join(COLUMNS)})
ORDER BY seq ON CONFLICT (namespace, deployment, request_id, type, revision, role) DO NOTHING RETURNING seq"""  # noqa: S608 - constants of this module only
INSERT_PAYLOADS = "INSERT INTO payloads SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[])"
NEWEST = "SELECT seq FROM progress"
LOCK = "SELECT pg_advisory_xact_lock(7142389)"  # any number that nobody else takes: two processes that open a new store at once
PASSING = (
    "53",
    "55",
    "57",
    "40",
    "08",
    "25",
)  # no room, a lock, an operator's intervention, a serialisation failure, the connection, read-only
TRANSACTION = "25"  # its state is not what was wanted, as where the server became a standby: a new connection is needed
PORTS = re.compile(r"[0-9,]*")
MALFORMED = (
    "the event store's URL cannot be read: wanted postgresql://user:password@host/database, and in the password %25 for %, %2F for /, %40 for @ "
    "(PGPASSWORD holds one as it is)"
)
STREAMED = 500  # rows that one round trip brings


def _read(url: str) -> dict[str, Any]:
    """Return what the URL says, as the library reads it; raises UsageError that shows nothing of it, for a password may be anywhere in what is malformed."""
    try:
        settings: dict[str, Any] = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise errors.UsageError(MALFORMED) from None
    # With a / or an @ that is not encoded, the rest of the password is taken for the port, the host or the database.
    misplaced = any("@" in str(settings.get(key, "")) for key in ("host", "dbname")) or not PORTS.fullmatch(
        str(settings.get("port", ""))
    )
    if misplaced:
        raise errors.UsageError(MALFORMED)
    return settings


class Session:
    """A connection with the face of SQLite's."""

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Any = (), /) -> database.Rows:
        return self.connection.execute(_in_its_words(sql), _named(sql, parameters))

    def stream(self, sql: str, parameters: Any, /) -> Iterator[Any]:
        with psycopg.ServerCursor(self.connection, "stream") as cursor:
            cursor.itersize = STREAMED
            cursor.execute(_in_its_words(sql), parameters)
            yield from cursor


class PostgresStore(store.EventStore):
    """The events, alerts and drift records of one database; raises StoreBusy while it is away, and finds it again."""

    def __init__(self, url: str, *, timeout_seconds: float = 5.0) -> None:
        self._settings = _read(url)
        self._url = url
        self.timeout_seconds = timeout_seconds
        self._lock = threading.RLock()
        self._depth = 0
        self._session: Session | None = None
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

    def compact(self) -> None:
        """Do nothing: the database looks after its own room."""

    def damage(self) -> None:
        """Return None: the database looks after its own files."""

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.connection.close()

    def add_new(self, rows: Sequence[events.Row], *, at: float | None = None) -> list[events.Row]:
        """Store parsed events, all or nothing, and gives those that were not there yet."""
        received = time.time() if at is None else at
        with self.writing() as connection:
            start = self._newest(connection) + 1
            numbers = range(start, start + len(rows))
            columns = [list(column) for column in zip(*(row[: len(COLUMNS)] for row in rows), strict=True)] or [
                [] for _ in COLUMNS
            ]
            logged = [int(row.inputs is not None) for row in rows]
            fresh = {seq for (seq,) in connection.execute(INSERT, (received, list(numbers), logged, *columns))}
            heavy = [
                (seq, row.inputs, row.probabilities)
                for seq, row in zip(numbers, rows, strict=True)
                if seq in fresh and (row.inputs is not None or row.probabilities is not None)
            ]
            if heavy:
                connection.execute(INSERT_PAYLOADS, tuple(list(column) for column in zip(*heavy, strict=True)))
            if fresh:
                connection.execute("UPDATE progress SET seq = ?", (max(fresh),))
        return [row for seq, row in zip(numbers, rows, strict=True) if seq in fresh]

    def _newest(self, connection: database.Connection) -> int:
        return int(connection.execute(NEWEST).fetchone()[0])

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[database.Connection]:
        with self._lock, self._translated():
            session = self._begun(writing=writing) if self._depth == 0 else cast(Session, self._session)
            self._depth += 1
            try:
                yield session
                if self._depth == 1:
                    session.execute("COMMIT")
            except BaseException:
                if self._depth == 1:
                    with suppress(psycopg.Error):
                        session.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def _begun(self, *, writing: bool) -> Session:
        """Return a connection inside a transaction; one that the server has ended in the meantime is replaced."""
        for attempt in (1, 2):
            session = self._connected()
            try:
                session.execute("BEGIN" if writing else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                if writing:
                    session.execute("SELECT seq FROM progress FOR UPDATE")
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
            self._session.execute(f"SET search_path TO {SCHEMA}")
            self._session.execute("SET cursor_tuple_fraction = 0.001")  # of a history, the newest rows are read
        return self._session

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            said = str(error).strip().partition("\n")[0]
            for secret in filter(None, (self._settings.get("password"), self._settings.get("sslpassword"))):
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
            session.execute(LOCK)
            if session.execute("SELECT to_regnamespace(?)", (SCHEMA,)).fetchone()[0] is None:
                session.execute(f"CREATE SCHEMA {SCHEMA}")
            session.execute("CREATE TABLE IF NOT EXISTS format (version INTEGER NOT NULL)")
            version = int(session.execute("SELECT coalesce(max(version), 0) FROM format").fetchone()[0])
            if version > len(MIGRATIONS):
                raise errors.PlatformError(
                    f"the event store {self.name} has format {version}, this version knows {len(MIGRATIONS)}: upgrade fairway"
                )
            for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in statements:
                    session.execute(statement)
                session.execute("INSERT INTO format VALUES (?)", (number,))


@functools.cache
def _in_its_words(sql: str) -> str:
    """Return SQLite's SQL as psycopg wants it; all of it is constants of this package.

    SQLite reads joins in the order of CROSS JOIN, and by number where NOT INDEXED is said. PostgreSQL decides by statistics, which a young
    table lacks: it is told the same by subqueries that it must not flatten (OFFSET 0).
    """
    sql = re.sub(
        r"events AS (\w+)( NOT INDEXED)? CROSS JOIN events AS (\w+)",
        r"events AS \1\2 CROSS JOIN LATERAL (SELECT * FROM events WHERE request_id = \1.request_id OFFSET 0) AS \3",
        sql,
    )
    sql = re.sub(
        r"events AS (\w+) NOT INDEXED",
        r"(SELECT * FROM events WHERE seq > :after AND seq <= :cursor OFFSET 0) AS \1",
        sql,
    )
    sql = re.sub(r"\?(\d)", r"%(p\1)s", sql.replace(" NOT INDEXED", "")).replace("?", "%s")
    return re.sub(r"(?<![:\w]):(\w+)", r"%(\1)s", sql)


def _named(sql: str, parameters: Any) -> Any:
    return {f"p{number}": value for number, value in enumerate(parameters, start=1)} if "?1" in sql else parameters

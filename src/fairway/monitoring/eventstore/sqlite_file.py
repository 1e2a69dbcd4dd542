"""A SQLite file that several processes read and write at once.

The journal is a write-ahead log: readers never wait for the writer, nor the writer for them.
`synchronous=NORMAL` is enough for `kill -9`: a committed transaction is in the operating system's
page cache, and a killed process takes nothing of that with it. Only a power cut can lose the last
commits, and then whole ones: the file stays consistent.
"""

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from fairway import errors
from fairway.monitoring.eventstore import cloudevents, databases, sqlite_sql, versions

# SQLITE_IOERR too: a full disk also shows as an I/O error, when the shared memory beside the file
# cannot grow.
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR}
_FULL_BYTES = 2**20  # free on a disk that is called full
_VACUUM_PAGES = 8192  # given back at once: 32 MiB
_RETRY_SECONDS = 0.02


class Lite(sqlite3.Connection):
    """A connection to SQLite, which always reads row by row."""

    def stream(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        return self.execute(sql, parameters)


class SqliteFile:
    """One connection, shared by the threads of this process one at a time; an older file is brought
    up to date, or, without `update`, refused.
    """

    sql: databases.Dialect = sqlite_sql

    def __init__(self, path: Path, *, timeout_seconds: float = 5.0, update: bool = True) -> None:
        self.path, self._update = path, update
        self.timeout_seconds = timeout_seconds
        self._lock = threading.RLock()
        self._depth = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = self._open()

    @property
    def name(self) -> str:
        """Where it is."""
        return str(self.path)

    def insert(
        self,
        connection: databases.Connection,
        rows: Sequence[cloudevents.EventRow],
        *,
        received: float,
    ) -> list[cloudevents.EventRow]:
        """Insert the rows, and return those that were not there yet."""
        versioned = versions.numbered(connection, rows, sql=self.sql)
        newest = connection.execute(sqlite_sql.NEWEST).fetchone()
        start = newest[0] + 1 if newest else 1
        numbered = [(seq, version, row) for seq, (version, row) in enumerate(versioned, start)]
        # a loop in C each: a statement a row would take twice as long
        self._connection.executemany(
            sqlite_sql.INSERT,
            (
                (seq, received, row.inputs is not None, *row[:-3], version)
                for seq, version, row in numbered
            ),
        )
        fresh = {seq for (seq,) in connection.execute(sqlite_sql.INSERTED, (start,))}
        new = [(seq, row) for seq, _, row in numbered if seq in fresh]
        self._connection.executemany(
            sqlite_sql.INSERT_PAYLOAD,
            (
                (seq, row.inputs, row.probabilities)
                for seq, row in new
                if row.inputs is not None or row.probabilities is not None
            ),
        )
        return [row for _, row in new]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def used_bytes(self) -> int:
        """Return the size of events and conclusions, without the pages that wait to be used again:
        events are not to go because packages are large."""
        with self._lock, self._translated():
            pages, free, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
            blobs = int(self._connection.execute(sqlite_sql.BLOB_BYTES).fetchone()[0])
        return max(0, (pages - free) * size - blobs)

    def let_go(self) -> None:
        """Do nothing: payloads went with their events."""

    def compact(self) -> None:
        """Write the log back and give free pages to the disk, as far as others let it."""
        with self._lock, self._translated():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            with suppress(sqlite3.OperationalError):  # the log of that needs room as well
                self._connection.executescript(
                    f"PRAGMA incremental_vacuum({_VACUUM_PAGES});"
                )  # `execute` gives one page back only
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def damage(self) -> str | None:
        """Return what is wrong with the file, None where it is sound; reads all of it, on a
        connection of its own."""
        try:
            with closing(
                sqlite3.connect(
                    f"{self.path.absolute().as_uri()}?mode=ro",
                    uri=True,
                    timeout=self.timeout_seconds,
                )
            ) as connection:
                found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (
                sqlite3.SQLITE_CORRUPT,
                sqlite3.SQLITE_NOTADB,
            ):
                return None  # busy, or away: that says nothing of what is in it
            found = str(error)
        return (
            None
            if found == "ok"
            else f"the event store {self.path} is damaged ({' '.join(found.split())[:200]}); move it away, a new one "
            f"is made"
        )

    @contextmanager
    def writing(self) -> Iterator[databases.Connection]:
        """Return the connection inside a write transaction: all of the block is stored, or nothing.
        Blocks may nest."""
        with self._transaction(writing=True) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[databases.Connection]:
        """Return the connection inside a read transaction: all of the block sees the same instant."""
        with self._transaction(writing=False) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[databases.Connection]:
        with self._lock, self._translated():
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            self._depth += 1
            try:
                yield self._connection
                if self._depth == 1:
                    self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has already rolled back after some errors, a full disk among them.
                if self._depth == 1 and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._meaning(error) from error

    def _meaning(self, error: sqlite3.DatabaseError) -> Exception:
        if isinstance(error, sqlite3.ProgrammingError):
            return error  # a mistake of this program, such as a store that was closed
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _full(self.path)):
            return errors.StoreFull(
                f"the event store {self.path} is on a full disk ({error}); nothing was stored, try again"
            )
        if code in _PASSING:
            return errors.StoreBusy(
                f"the event store {self.path} cannot be used now ({error}); nothing was stored, try again"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return errors.StoreDamaged(
                f"the event store {self.path} is damaged ({error}); move it away, a new one is made"
            )
        if code in (
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_AUTH,
        ):
            return errors.PlatformError(
                f"the event store {self.path} cannot be written ({error}); check its permissions"
            )
        return errors.PlatformError(
            f"the event store {self.path} refused ({error}): is it used by another program, or by another version?"
        )

    def _open(self) -> Lite:
        with self._translated():
            _make(self.path)
            connection = sqlite3.connect(
                self.path,
                timeout=self.timeout_seconds,
                isolation_level=None,
                check_same_thread=False,
                factory=Lite,
            )
            try:
                self._configure(connection)
                self._migrate(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _configure(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + self.timeout_seconds
        connection.execute(
            "PRAGMA auto_vacuum=INCREMENTAL"
        )  # of a new file: what is pruned can be given back to the disk
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                # Turning the log on answers "locked" at once while another process does the same:
                # its own wait does not apply.
                if (
                    error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY
                    or time.monotonic() > deadline
                ):
                    raise
                time.sleep(_RETRY_SECONDS)
        connection.execute("PRAGMA synchronous=NORMAL")
        # 32 MiB: the inner pages of a million rows' index
        connection.execute("PRAGMA cache_size=-32768")
        connection.execute("PRAGMA mmap_size=268435456")
        connection.execute("PRAGMA journal_size_limit=67108864")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        migrations = sqlite_sql.MIGRATIONS
        if _version(connection) == len(migrations):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _version(connection)  # again: another process may have been first
            if version > len(migrations):
                raise errors.PlatformError(
                    f"the event store {self.path} has format {version}, this version knows {len(migrations)}: "
                    f"upgrade fairway"
                )
            if 0 < version < len(migrations) and not self._update:
                raise errors.PlatformError(
                    f"the event store {self.path} is of an earlier version, and what runs may write it still: "
                    "`fairway down` and `fairway up` bring it up to date"
                )
            for statement in (s for steps in migrations[version:] for s in steps):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(migrations)}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _FULL_BYTES
    except OSError:
        return False


def _make(path: Path) -> None:
    """Make the file where it is missing, the owner's alone: SQLite gives the log and the shared
    memory beside it the same mode.

    One that is there is not opened: closing it would drop all locks that this process has on it,
    and another process would take the log away.
    """
    if str(path) == ":memory:":
        return
    with suppress(OSError):  # SQLite then says what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])

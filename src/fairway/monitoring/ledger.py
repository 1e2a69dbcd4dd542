"""What monitoring concluded: drift records, alerts, and the marks that say how far a reader has come.

They live in the event store's file, so that one transaction can move a mark and open the alert that follows from it.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

from fairway.monitoring import database

Severity = Literal["ticket", "page"]

MIGRATION = (
    """CREATE TABLE alerts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, deployment TEXT NOT NULL, severity TEXT NOT NULL,
        summary TEXT NOT NULL, description TEXT NOT NULL, opened_at REAL NOT NULL, updated_at REAL NOT NULL,
        times INTEGER NOT NULL DEFAULT 1, resolved_at REAL, resolution TEXT)""",
    "CREATE UNIQUE INDEX one_open_alert ON alerts (deployment, name) WHERE resolved_at IS NULL",
    """CREATE TABLE drift (
        id INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, revision TEXT NOT NULL, at REAL NOT NULL,
        drifted INTEGER NOT NULL, record TEXT NOT NULL)""",
    "CREATE INDEX drift_of_deployment ON drift (deployment, revision)",
    "CREATE TABLE marks (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert; `resolved_at` is None while it is open. Times are seconds since the epoch."""

    id: int
    name: str
    deployment: str
    severity: Severity
    summary: str
    description: str
    opened_at: float
    updated_at: float
    times: int  # how often its condition was seen since it opened
    resolved_at: float | None
    resolution: str | None


_COLUMNS = tuple(field.name for field in dataclasses.fields(Alert))


class Ledger(database.Database):
    """The alerts, drift records and marks of one store."""

    def open_alert(
        self, *, name: str, severity: Severity, deployment: str, summary: str, description: str, at: float
    ) -> bool:
        """Open the alert and says True; while it is open already, refreshes its text and says False."""
        with self.writing() as connection:
            found = connection.execute(
                "UPDATE alerts SET summary=?, description=?, severity=?, updated_at=?, times=times+1"
                " WHERE deployment=? AND name=? AND resolved_at IS NULL",
                (summary, description, severity, at, deployment, name),
            ).rowcount
            if found:
                return False
            connection.execute(
                "INSERT INTO alerts (name, deployment, severity, summary, description, opened_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, deployment, severity, summary, description, at, at),
            )
            return True

    def resolve_alert(self, *, name: str, deployment: str, at: float, resolution: str | None = None) -> bool:
        """Resolve the open alert; False where none is open."""
        with self.writing() as connection:
            return bool(
                connection.execute(
                    "UPDATE alerts SET resolved_at=?, resolution=? WHERE deployment=? AND name=? AND resolved_at IS NULL",
                    (at, resolution, deployment, name),
                ).rowcount
            )

    def alerts(self, *, deployment: str | None = None, open_only: bool = False, limit: int = 100) -> list[Alert]:
        """Return the newest alerts first, the open ones before the resolved."""
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM alerts"  # noqa: S608 - the record's own field names
                " WHERE (?1 IS NULL OR deployment=?1) AND (NOT ?2 OR resolved_at IS NULL)"
                " ORDER BY resolved_at IS NOT NULL, id DESC LIMIT ?3",
                (deployment, open_only, limit),
            ).fetchall()
        return [_alert(row) for row in rows]

    def add_drift(self, record: dict[str, Any]) -> int:
        """Keep one window's verdict (`deployment`, `revision`, `at`, `drifted` and whatever else) and gives its number."""
        text = json.dumps(record, allow_nan=False)
        with self.writing() as connection:
            inserted = connection.execute(
                "INSERT INTO drift (deployment, revision, at, drifted, record) VALUES (?, ?, ?, ?, ?) RETURNING id",
                (record["deployment"], record["revision"], record["at"], bool(record["drifted"]), text),
            )
            return int(inserted.fetchall()[0][0])

    def drift(
        self, deployment: str, *, revision: str | None = None, after: int = 0, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return the newest `limit` windows' verdicts, oldest of them first; each with its number as `id`."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT id, record FROM drift WHERE deployment=?1 AND (?2 IS NULL OR revision=?2) AND id > ?3"
                " ORDER BY id DESC LIMIT ?4",
                (deployment, revision, after, limit),
            ).fetchall()
        return [{**json.loads(record), "id": number} for number, record in reversed(rows)]

    def mark(self, key: str) -> Any:
        """Return the JSON value kept under the key, or None."""
        with self.reading() as connection:
            row = connection.execute("SELECT value FROM marks WHERE key=?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_mark(self, key: str, value: Any) -> None:
        """Keep a JSON value under the key; None removes it."""
        with self.writing() as connection:
            if value is None:
                connection.execute("DELETE FROM marks WHERE key=?", (key,))
            else:
                connection.execute(
                    "INSERT INTO marks VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value=excluded.value",
                    (key, json.dumps(value, allow_nan=False)),
                )

    def _prune_ledger(self, connection: database.Connection, *, before: float) -> None:
        connection.execute("DELETE FROM drift WHERE at < ?", (before,))
        connection.execute("DELETE FROM alerts WHERE resolved_at < ?", (before,))


def _alert(row: tuple[Any, ...]) -> Alert:
    return Alert(**dict(zip(_COLUMNS, row, strict=True)))

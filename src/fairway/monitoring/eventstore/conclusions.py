"""What monitoring concluded: drift records, alerts, and the marks that say how far a reader has
come.

They live in the event store's file, so that one transaction can move a mark and open the alert that
follows from it.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

from fairway.monitoring.eventstore import databases

Severity = Literal["ticket", "page"]


@dataclass(frozen=True)
class Alert:
    """One alert, in the order of the columns of ALERTS. Times are seconds since the epoch."""

    id: int
    name: str
    deployment: str
    severity: Severity
    summary: str
    description: str
    opened_at: float
    updated_at: float
    times: int  # how often its condition was seen since it opened
    resolved_at: float | None  # None while it is open
    resolution: str | None


class Conclusions:
    """The alerts, drift records and marks of one store."""

    def __init__(self, backend: databases.Backend) -> None:
        self._backend, self._sql = backend, backend.sql

    def open_alert(
        self,
        *,
        name: str,
        severity: Severity,
        deployment: str,
        summary: str,
        description: str,
        at: float,
    ) -> bool:
        """Open the alert and say True; where it is open already, refresh its text and say False."""
        values = {
            "name": name,
            "severity": severity,
            "deployment": deployment,
            "summary": summary,
            "description": description,
            "at": at,
        }
        with self._backend.writing() as connection:
            if connection.execute(self._sql.REFRESH_ALERT, values).rowcount:
                return False
            connection.execute(self._sql.OPEN_ALERT, values)
            return True

    def resolve_alert(
        self, *, name: str, deployment: str, at: float, resolution: str | None = None
    ) -> bool:
        """Resolve the open alert; False where none is open."""
        values = {"name": name, "deployment": deployment, "at": at, "resolution": resolution}
        with self._backend.writing() as connection:
            return bool(connection.execute(self._sql.RESOLVE_ALERT, values).rowcount)

    def alerts(
        self, *, deployment: str | None = None, open_only: bool = False, limit: int = 100
    ) -> list[Alert]:
        """Return the newest alerts first, the open ones before the resolved."""
        values = {"deployment": deployment, "open_only": open_only, "limit": limit}
        with self._backend.reading() as connection:
            return [Alert(*row) for row in connection.execute(self._sql.ALERTS, values)]

    def add_drift(self, record: dict[str, Any]) -> int:
        """Keep one window's verdict (`deployment`, `revision`, `at`, `drifted` and more), and
        return its number."""
        values = {
            "deployment": record["deployment"],
            "revision": record["revision"],
            "at": record["at"],
            "drifted": bool(record["drifted"]),
            "record": json.dumps(record, allow_nan=False),
        }
        with self._backend.writing() as connection:
            return int(connection.execute(self._sql.ADD_DRIFT, values).fetchall()[0][0])

    def drift(
        self, deployment: str, *, revision: str | None = None, after: int = 0, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return the newest `limit` windows' verdicts, oldest of them first; each with its number
        as `id`."""
        values = {"deployment": deployment, "revision": revision, "after": after, "limit": limit}
        with self._backend.reading() as connection:
            rows = connection.execute(self._sql.DRIFT, values).fetchall()
        return [{**json.loads(record), "id": number} for number, record in reversed(rows)]

    def mark(self, key: str) -> Any:
        """Return the JSON value kept under the key, or None."""
        with self._backend.reading() as connection:
            row = connection.execute(self._sql.MARK, {"key": key}).fetchone()
        return None if row is None else json.loads(row[0])

    def set_mark(self, key: str, value: Any) -> None:
        """Keep a JSON value under the key; None removes it."""
        with self._backend.writing() as connection:
            if value is None:
                connection.execute(self._sql.REMOVE_MARK, {"key": key})
            else:
                connection.execute(
                    self._sql.SET_MARK, {"key": key, "value": json.dumps(value, allow_nan=False)}
                )

    def prune(self, *, before: float) -> None:
        """Remove what was concluded before the time. Open alerts stay."""
        with self._backend.writing() as connection:
            for statement in (self._sql.REMOVE_DRIFT, self._sql.REMOVE_ALERTS):
                connection.execute(statement, {"before": before})

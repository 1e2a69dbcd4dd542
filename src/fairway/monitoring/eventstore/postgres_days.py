"""The days of a PostgreSQL store: payloads lie in partitions by the day on which they came, and a
day's partition is dropped once its last event went.

Events stay in one table: an event sent again must meet its first coming and a label its answer,
whatever the day, so that partitions of them would take one look into an index a day for each event
that comes and for each label that is joined. Payloads are most of the bytes and are found by their
event, which has the day: nothing is looked for in any other partition, and letting them go takes no
deletes, no log of them and no vacuum.
"""

from contextlib import suppress

from fairway import errors
from fairway.monitoring.eventstore import databases, postgres_sql

SECONDS = 86_400
AHEAD = 1  # days made before they are needed: no batch waits for its table at midnight
PATIENCE_MILLISECONDS = 100  # for readers to end: while it waits, others wait behind it


class Days:
    """The partitions of one store, as one process knows them."""

    def __init__(self) -> None:
        self._made: set[int] = set()

    def make(self, connection: databases.Connection, received: float) -> int:
        """Return the day, whose partition is there by now, as the next day's is."""
        day = int(received // SECONDS)
        for one in range(day, day + AHEAD + 1):
            if one not in self._made:
                self._make(connection, one)
        return day

    def forget(self) -> None:
        """Look again for what is there: a transaction was rolled back, or partitions were dropped."""
        self._made.clear()

    def let_go(self, backend: databases.Backend) -> None:
        """Drop the days before the oldest event's; those that are read now go at the next call."""
        with backend.reading() as connection:
            gone = [name for (name,) in connection.execute(postgres_sql.DAYS_WITHOUT_EVENTS)]
        if gone:
            self.forget()
            with suppress(errors.StoreBusy), backend.writing() as connection:
                connection.execute(f"SET LOCAL lock_timeout = {PATIENCE_MILLISECONDS}")
                connection.execute(f"DROP TABLE IF EXISTS {', '.join(gone)}")

    def _make(self, connection: databases.Connection, day: int) -> None:
        """Make the day's partition where it is missing. Writers take turns: no other makes it now."""
        values = {"name": f"payloads_{day}"}
        if connection.execute(postgres_sql.DAY, values).fetchone()[0] is None:
            for statement in postgres_sql.MAKE_DAY:
                connection.execute(statement.format(day=day, next=day + 1))
        self._made.add(day)

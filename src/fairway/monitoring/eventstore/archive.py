"""The event store: predictions and labels as they come, and the joins that the rollout reads from
them.

One table of events with a sequence number that only grows: a reader keeps a cursor, asks for what
came after it, and reads each joined pair exactly once, because a pair belongs to its later half.
Only new rows are read, whatever the table's size.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from fairway.monitoring.eventstore import (
    answers,
    blobs,
    cloudevents,
    comparing,
    conclusions,
    databases,
    gauges,
    halves,
    history,
    loggers,
    namespaced,
    tally,
    versions,
    vocabulary,
)

# looked at in one answer: bounds its time and its size, whatever came since the reader's cursor (half
# a second of ten million events, where each is looked up in an index that is not in memory)
EVENTS_AT_ONCE = 25_000
UNPAIRED_MARK = "collector/unpaired"  # how far shadow answers were looked at for their other half
_PRUNE_ROWS = 2000  # in one transaction: keeps the write lock for a few milliseconds


class EventStore:
    """The events of one database, with their `history` and the `conclusions` that monitoring came
    to."""

    def __init__(self, backend: databases.Backend) -> None:
        self._backend, self._sql = backend, backend.sql
        self.history = history.History(backend)
        self.conclusions = conclusions.Conclusions(backend)
        self.blobs = blobs.Blobs(backend)

    @property
    def name(self) -> str:
        """Where it is."""
        return self._backend.name

    def reading(self) -> AbstractContextManager[databases.Connection]:
        """Return a read transaction: all of the block sees the same instant."""
        return self._backend.reading()

    def writing(self) -> AbstractContextManager[databases.Connection]:
        """Return a write transaction: all of the block is stored, or nothing. Blocks may nest."""
        return self._backend.writing()

    def used_bytes(self) -> int:
        """Return the size of what is in the store; 0 where its administrator bounds it."""
        return self._backend.used_bytes()

    def compact(self) -> None:
        """Give free room to the disk, as far as other processes let it."""
        self._backend.compact()

    def damage(self) -> str | None:
        """Return what is wrong with the store's files, None where they are sound; reads all of
        them."""
        return self._backend.damage()

    def close(self) -> None:
        self._backend.close()

    def within(self, namespace: str) -> namespaced.Within:
        """Return the store as a rollout in that namespace reads it."""
        return namespaced.Within(self, namespace)

    # -- events come -------------------------------------------------------------------------------

    def add(self, batch: Sequence[Mapping[str, Any]], *, at: float | None = None) -> int:
        """Store the batch of CloudEvents, all or nothing, and return how many of them were new."""
        return len(
            self.add_new(
                [cloudevents.parse(event, position=i) for i, event in enumerate(batch)], at=at
            )
        )

    def add_new(
        self, rows: Sequence[cloudevents.EventRow], *, at: float | None = None
    ) -> list[cloudevents.EventRow]:
        """Store parsed events, all or nothing, and return those that were not there yet; `at` is
        when they came (now). Raises DataError for a label that the task of its answer cannot read.
        """
        received = time.time() if at is None else at
        labels = [row for row in rows if row.type == "label"]
        others = [row for row in rows if row.type != "label"]
        with self.writing() as connection:
            vocabulary.remember(connection, others, sql=self._sql)
            new = self._backend.insert(connection, others, received=received)
            # the answers that came beside them are there by now
            readable = versions.readable(connection, labels, sql=self._sql)
            return [*new, *self._backend.insert(connection, readable, received=received)]

    def add_halves(
        self, given: Sequence[loggers.Half], *, at: float
    ) -> tuple[halves.Met, list[cloudevents.EventRow]]:
        """Store the predictions that the halves make whole, and keep the others for their other
        half; return what became of them, and the predictions that are new."""
        with self.writing() as connection:
            met = halves.meet(connection, given, received=at, sql=self._sql)
            return met, self.add_new(met.rows, at=at)

    def unanswered(self, rows: Sequence[cloudevents.EventRow]) -> int:
        """Return how many labels and outcomes are of requests that no server has told of: they wait
        for its event."""
        with self.reading() as connection:
            return versions.unanswered(connection, rows, sql=self._sql)

    def cursor(self) -> int:
        """Return the newest event's number: what comes after it is new."""
        with self.reading() as connection:
            return self._newest(connection)

    def position(self) -> answers.Position:
        """Return the identity of the store and its newest event's number."""
        with self.reading() as connection:
            identity = connection.execute(self._sql.IDENTITY).fetchone()[0]
            return answers.Position(str(identity), self._newest(connection))

    def newest_at(self) -> float | None:
        """Return when the newest event came, None where there is none."""
        with self.reading() as connection:
            row = connection.execute(self._sql.NEWEST_AT).fetchone()
        return float(row[0]) if row else None

    def counts(self, deployment: str | None = None) -> list[answers.ArmCount]:
        """Return the number of events of each arm, for a status page."""
        with self.reading() as connection:
            rows = connection.execute(self._sql.COUNTS, {"deployment": deployment}).fetchall()
        return [answers.ArmCount(deployment=d, revision=r, role=o, events=n) for d, r, o, n in rows]

    # -- a rollout reads ---------------------------------------------------------------------------

    def pairs(
        self,
        deployment: str,
        *,
        namespace: str = answers.NAMESPACE,
        stable: str,
        candidate: str,
        after: int,
    ) -> tuple[int, answers.Pairs]:
        """Return the new cursor, and the pairs whose later half came after the old one."""
        with self.reading() as connection:
            cursor = self._reach(connection, after=after)
            values = {
                **_span(deployment, namespace=namespace, after=after, cursor=cursor),
                "stable": stable,
                "candidate": candidate,
            }
            found = connection.execute(self._sql.PAIRS, values).fetchall()
        return cursor, comparing.pairs(found)

    def labelled(
        self,
        deployment: str,
        *,
        namespace: str = answers.NAMESPACE,
        after: int,
        until: int | None = None,
        by: str | None = None,
        gauge: str | None = None,
    ) -> tuple[int, list[answers.LabelledAnswer]]:
        """Return the new cursor (`until` at most), and the served answers whose label joined after
        the old one, in order.

        Shadow answers are not served. With a feature to go `by`, an answer with several of its
        values is given as several, one for each. Losses are measured as of the revision `gauge`: by
        its own facts a model that has learnt from wider data would lose less by the same error.
        """
        with self.reading() as connection:
            cursor = self._reach(connection, after=after, until=until)
            values = _span(deployment, namespace=namespace, after=after, cursor=cursor)
            rows = connection.execute(
                self._sql.LABELLED, {**values, "sliced": by is not None}
            ).fetchall()
            asked = {"namespace": namespace, "deployment": deployment, "revision": gauge}
            common = (
                connection.execute(self._sql.GAUGE, asked).fetchone()
                if gauge is not None and rows
                else None
            )
        joined = []
        for _, request_id, unit, revision, role, at, predicted, task, truth, inputs in rows:
            answer = comparing.first(predicted)
            by_task = gauges.shared(common[0] if common else None, task)
            for of, (known, wrong) in comparing.sliced(
                predicted, truth, inputs, by=by, task=by_task
            ).items():
                if known:
                    joined.append(
                        answers.LabelledAnswer(
                            request_id,
                            unit,
                            revision,
                            role,
                            at,
                            known,
                            wrong,
                            of,
                            answer,
                            task is not None,
                        )
                    )
        return cursor, joined

    def outcomes(
        self,
        deployment: str,
        *,
        namespace: str = answers.NAMESPACE,
        after: int,
        until: int | None = None,
    ) -> tuple[int, list[answers.Outcome]]:
        """Return the new cursor (`until` at most), and the outcomes that joined their served
        request after the old one."""
        with self.reading() as connection:
            cursor = self._reach(connection, after=after, until=until)
            values = _span(deployment, namespace=namespace, after=after, cursor=cursor)
            rows = connection.execute(self._sql.OUTCOMES, values).fetchall()
        return cursor, [
            answers.Outcome(name, unit, revision, at, json.loads(value)[0])
            for _, name, unit, revision, at, value in rows
        ]

    def exposure(
        self,
        deployment: str,
        *,
        namespace: str = answers.NAMESPACE,
        after: int,
        until: int | None = None,
    ) -> tuple[int, list[answers.Exposure]]:
        """Return the new cursor (`until` at most), and which arm each request after the old one met
        (never shadow)."""
        with self.reading() as connection:
            cursor = self._reach(connection, after=after, until=until)
            values = _span(deployment, namespace=namespace, after=after, cursor=cursor)
            rows = connection.execute(self._sql.EXPOSURE, values).fetchall()
        return cursor, [
            answers.Exposure(
                seq, at, role, unit, client, status, seconds or 0.0, comparing.first(predicted)
            )
            for seq, at, role, unit, client, status, seconds, predicted in rows
        ]

    def count_unpaired(self, *, before: float) -> list[answers.Unpaired] | None:
        """Return the shadow answers from before the time without a stable answer still; None where
        all are counted.

        Where the last count ended is a mark of the store: readers in several processes take turns,
        and share the counts.
        """
        with self.writing() as connection:
            after = int(self.conclusions.mark(UNPAIRED_MARK) or 0)
            span = {
                "after": after,
                "cursor": self._reach(connection, after=after),
                "before": before,
            }
            # A half that is too young ends the count, so that it is looked at again.
            young = connection.execute(self._sql.FIRST_YOUNG, span).fetchone()[0]
            cursor = span["cursor"] if young is None else young - 1
            if cursor <= after:
                return None
            found = connection.execute(
                self._sql.UNPAIRED, {"after": after, "cursor": cursor}
            ).fetchall()
            self.conclusions.set_mark(UNPAIRED_MARK, cursor)
        return [answers.Unpaired(*row) for row in found]

    def tally(self, *, before: float) -> tally.Joins | None:
        """Return what labels and answers from before the time say of quality, each pair once; None
        where all is told.

        As with `count_unpaired`, where the last tally ended is a mark of the store. No writer waits
        while the events are read: a reader that finds that another was faster has nothing to tell.
        """
        with self.reading() as connection:
            known = self.conclusions.mark(tally.MARK)
            after = max(0, self._newest(connection) - tally.BEGIN_WITHIN)
            after = after if known is None else int(known)
            cursor = self._settled(connection, after=after, before=before)
            if cursor <= after:
                return None
            found = tally.read(connection, after=after, cursor=cursor, sql=self._sql)
        with self.writing():
            if self.conclusions.mark(tally.MARK) != known:
                return tally.Joins([], [])
            self.conclusions.set_mark(tally.MARK, cursor)
        return found

    def let_halves_go(self, *, before: float) -> list[halves.Alone]:
        """Remove the halves that wait since before the time, and return how many of each deployment."""
        with self.writing() as connection:
            return halves.let_go(connection, before=before, sql=self._sql)

    # -- events go ---------------------------------------------------------------------------------

    def prune(self, before: float) -> int:
        """Remove the events and conclusions from before the time, and return the number of events.

        In steps, so that writers wait a few milliseconds at most. Open alerts stay.
        """
        removed = 0
        while number := self.prune_some(before):
            removed += number
        return removed

    def prune_some(self, before: float, *, rows: int = _PRUNE_ROWS) -> int:
        """Take one step of `prune`, and return the number of events removed: 0 where none left is
        old enough."""
        with self.writing() as connection:
            removed = self._remove_oldest(connection, rows=rows, before=before)
            self.conclusions.prune(before=before)
            self.blobs.prune(before=before)
        self._backend.let_go()
        return removed

    def prune_oldest(self, *, rows: int) -> int:
        """Remove the oldest events whatever their age, `rows` at most and a fiftieth of all, and
        return their number."""
        with self.writing() as connection:
            oldest = connection.execute(self._sql.OLDEST).fetchone()[0]
            if oldest is None:
                return 0
            # some may be pictures of megabytes
            share = (self._newest(connection) - int(oldest)) // 50 + 1
            return self._remove_oldest(connection, rows=min(rows, share), before=math.inf)

    def _remove_oldest(self, connection: databases.Connection, *, rows: int, before: float) -> int:
        oldest = connection.execute(self._sql.OLDEST_EVENTS, {"rows": rows}).fetchall()
        # Up to the first that is young enough: sequence numbers follow the time of arrival.
        old = [seq for seq, received in oldest if received < before]
        last = max(old, default=0)
        connection.execute(self._sql.REMOVE_EVENTS, {"last": last, "before": before})
        connection.execute(self._sql.REMOVE_PAYLOADS, {"last": last})
        return len(old)

    def _settled(self, connection: databases.Connection, *, after: int, before: float) -> int:
        """Return the number of the last event of one step that came before the time."""
        oldest = connection.execute(self._sql.OLDEST).fetchone()[0]
        start = max(after, (oldest or 1) - 1)  # what was pruned is no event to look at
        cursor = min(self._newest(connection), start + tally.STEP_EVENTS)
        span = {"after": after, "cursor": cursor, "before": before}
        young = connection.execute(self._sql.FIRST_YOUNG, span).fetchone()[0]
        return cursor if young is None else int(young) - 1

    def _newest(self, connection: databases.Connection) -> int:
        row = connection.execute(self._sql.NEWEST).fetchone()
        return int(row[0]) if row else 0

    def _reach(
        self, connection: databases.Connection, *, after: int, until: int | None = None
    ) -> int:
        """Return how far an answer goes: to the newest event, or as many further as one answer may
        look at."""
        oldest = connection.execute(self._sql.OLDEST).fetchone()[0]
        start = max(after, (oldest or 1) - 1)  # what was pruned is no event to look at
        return min(
            self._newest(connection),
            start + EVENTS_AT_ONCE,
            history.END if until is None else until,
        )


def _span(deployment: str, *, namespace: str, after: int, cursor: int) -> dict[str, Any]:
    return {"namespace": namespace, "deployment": deployment, "after": after, "cursor": cursor}

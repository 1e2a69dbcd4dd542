"""The event store: predictions and labels as they come, and the joins that the rollout and the monitor read from them.

One table of events with a sequence number that only grows: whoever reads keeps a cursor, asks for what came after it, and
reads each joined pair exactly once, because a pair belongs to its later half. Only new rows are read, whatever the table's size.
"""

import json
import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from fairway import errors
from fairway.monitoring import database, events, ledger, queries

MIGRATIONS = (
    (
        """CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, received REAL NOT NULL,
            type TEXT NOT NULL, deployment TEXT NOT NULL, request_id TEXT NOT NULL, revision TEXT NOT NULL, role TEXT NOT NULL,
            namespace TEXT NOT NULL, unit TEXT, time REAL NOT NULL, status INTEGER, rows INTEGER NOT NULL, input_digest TEXT,
            latency REAL, labels TEXT)""",
        "CREATE UNIQUE INDEX event_once ON events (deployment, request_id, type, revision, role)",
        "CREATE INDEX event_of_arm ON events (deployment, revision, role)",
        # Apart from the events, so that the joins do not read past a picture for each label they compare.
        "CREATE TABLE payloads (seq INTEGER PRIMARY KEY, inputs TEXT, probabilities TEXT)",
        *ledger.MIGRATION,
    ),
    (
        # Whether inputs were logged, in the index: else a window of a deployment that samples few would read past all the others.
        "ALTER TABLE events ADD COLUMN logged INTEGER NOT NULL DEFAULT 0",
        "UPDATE events SET logged = 1 WHERE seq IN (SELECT seq FROM payloads WHERE inputs IS NOT NULL)",
        "DROP INDEX event_of_arm",
        "CREATE INDEX event_of_arm ON events (deployment, revision, role, logged)",
    ),
    (
        # On a cluster one name may be deployed in two namespaces, with the same requests: none may take the other's for its own.
        "DROP INDEX event_once",
        "DROP INDEX event_of_arm",
        "CREATE UNIQUE INDEX event_once ON events (namespace, deployment, request_id, type, revision, role)",
        "CREATE INDEX event_of_arm ON events (namespace, deployment, revision, role, logged)",
    ),
    (
        # Numbers of two stores say nothing of each other: a cursor is read with the name of the store that gave it.
        "CREATE TABLE identity (id TEXT NOT NULL)",
        "INSERT INTO identity VALUES (lower(hex(randomblob(16))))",
    ),
    ("ALTER TABLE events ADD COLUMN client TEXT",),
)
NAMESPACE = "default"  # as in the configuration and in Kubernetes
# looked at in one answer: bounds its time and its size, whatever came since the reader's cursor
EVENTS_AT_ONCE = 50_000
LARGEST_PAYLOAD = 16 << 20  # characters of a request's logged inputs, or of its answers, that are read again
LONGEST_SLICE = 64  # characters of a feature's value that a slice is known by: a rollout's state holds them
UNPAIRED_MARK = "collector/unpaired"  # how far shadow answers were looked at for their other half
_END = 2**63 - 1
_PRUNE_ROWS = 2000  # in one transaction: keeps the write lock for a few milliseconds


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Shadow answers against the stable answers to the same requests."""

    compared: int = 0  # stable answered 2xx and the candidate did not fail
    disagreements: int = 0  # of those: another label in any row, or the candidate refused (4xx)
    candidate_failures: int = 0  # candidate 5xx, stable not
    stable_failures: int = 0  # stable 5xx, candidate not
    both_failed: int = 0
    mismatched_inputs: int = 0  # the two halves did not see the same inputs: counted here only
    incomparable: int = 0  # stable refused the request (4xx), or labels were not logged: counted here only

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})


class Position(NamedTuple):
    """Where a reader may begin: what is in the store already is passed over."""

    store: str  # identity of the store: random, made with it
    newest: int  # number of its newest event


class Unpaired(NamedTuple):
    """How many mirrored copies of one revision have no stable answer to pair with."""

    namespace: str
    deployment: str
    revision: str
    answers: int


class Labelled(NamedTuple):
    """A served answer whose label came."""

    request_id: str
    unit: str | None
    revision: str
    role: str  # stable | canary
    predicted_at: float  # when the request came, in seconds since the epoch
    rows: int  # rows whose label is known
    wrong: int  # of those
    slice: str | None = None  # value of the feature that was asked for; None where its inputs were not logged
    answer: str | None = None  # label of the first row


class Outcome(NamedTuple):
    """What became of a served answer."""

    name: str
    unit: str | None
    revision: str
    predicted_at: float  # when the request came, in seconds since the epoch
    value: float


class Exposure(NamedTuple):
    """Which arm a unit met, and what it got."""

    seq: int
    predicted_at: float  # when the request came, in seconds since the epoch
    role: str
    unit: str | None  # None: the client named no unit, and the request is one of its own
    client: str | None  # bucket of its address
    status: int  # HTTP
    seconds: float  # that the server took
    answer: str | None  # label of the first row; None where there is none


class Prediction(NamedTuple):
    """One logged request with its payload."""

    seq: int
    request_id: str
    time: float
    rows: int
    inputs: dict[str, list[Any]]
    labels: list[str] | None
    probabilities: list[list[float]] | None


class LabelledInputs(NamedTuple):
    """One logged request with its payload and its true labels, None where a row's is not known."""

    seq: int  # of the later half
    request_id: str
    inputs: dict[str, list[Any]]
    labels: list[str | None]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Realised accuracy of one revision."""

    rows: int = 0
    wrong: int = 0
    first_at: float | None = None  # when the earliest of the labelled answers was given
    last_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class ArmCount:
    """How many events one arm of one deployment has in the store; labels have neither revision nor role."""

    deployment: str
    revision: str
    role: str
    events: int


@dataclass(frozen=True)
class Within:
    """The store as the rollouts of one namespace read it, with cursors of the store `identity` (empty: of any)."""

    store: "EventStore"
    namespace: str
    identity: str = ""

    def of(self, identity: str) -> "Within":
        """Return the same for cursors of that store: a method raises StoreReplaced where they are another's."""
        return replace(self, identity=identity)

    def position(self) -> Position:
        return self.store.position()

    def cursor(self) -> int:
        with self._own():
            return self.store.cursor()

    def pairs(self, deployment: str, *, stable: str, candidate: str, after: int) -> tuple[int, Pairs]:
        with self._own(after):
            return self.store.pairs(
                deployment, namespace=self.namespace, stable=stable, candidate=candidate, after=after
            )

    def labelled(
        self, deployment: str, *, after: int, until: int | None = None, by: str | None = None
    ) -> tuple[int, list[Labelled]]:
        with self._own(after, until):
            return self.store.labelled(deployment, namespace=self.namespace, after=after, until=until, by=by)

    def outcomes(self, deployment: str, *, after: int, until: int | None = None) -> tuple[int, list[Outcome]]:
        with self._own(after, until):
            return self.store.outcomes(deployment, namespace=self.namespace, after=after, until=until)

    def exposure(self, deployment: str, *, after: int, until: int | None = None) -> tuple[int, list[Exposure]]:
        with self._own(after, until):
            return self.store.exposure(deployment, namespace=self.namespace, after=after, until=until)

    @contextmanager
    def _own(self, *cursors: int | None) -> Iterator[None]:
        """Keep one instant of the store in which the cursors are its own."""
        with self.store.reading():
            known(self.store.position(), identity=self.identity, cursors=cursors)
            yield


def known(position: Position, *, identity: str, cursors: Iterable[int | None]) -> None:
    """Raise StoreReplaced unless the cursors are numbers that the store has given."""
    furthest = max((cursor for cursor in cursors if cursor is not None), default=0)
    if identity not in ("", position.store):
        raise errors.StoreReplaced(f"the event store is another one now ({position.store[:8]}; it was {identity[:8]})")
    if furthest > position.newest:
        raise errors.StoreReplaced(
            f"the event store was set back: its newest event is {position.newest}, and {furthest} was read before"
        )


class EventStore(ledger.Ledger):
    """The events, alerts and drift records of one file; any number of processes may open it."""

    def __init__(self, path: Path, *, timeout_seconds: float = 5.0) -> None:
        super().__init__(path, migrations=MIGRATIONS, timeout_seconds=timeout_seconds)

    @property
    def name(self) -> str:
        """Where it is."""
        return str(self.path)

    def add(self, batch: Sequence[Mapping[str, Any]], *, at: float | None = None) -> int:
        """Store the batch of CloudEvents, all or nothing, and gives how many of them were new."""
        return self.add_rows([events.parse(event, position=i) for i, event in enumerate(batch)], at=at)

    def add_rows(self, rows: Sequence[events.Row], *, at: float | None = None) -> int:
        """Store parsed events, all or nothing, and gives how many were new; `at` is when they came (now)."""
        return len(self.add_new(rows, at=at))

    def add_new(self, rows: Sequence[events.Row], *, at: float | None = None) -> list[events.Row]:
        """Store parsed events, all or nothing, and gives those that were not there yet."""
        received = time.time() if at is None else at
        with self.writing() as connection:
            return [row for row in rows if _insert(connection, row, received=received)]

    def cursor(self) -> int:
        """Return the newest event's number: what comes after it is new."""
        with self.reading() as connection:
            return self._newest(connection)

    def position(self) -> Position:
        """Return the identity of the store and its newest event's number."""
        with self.reading() as connection:
            return Position(str(connection.execute("SELECT id FROM identity").fetchone()[0]), self._newest(connection))

    def newest_at(self) -> float | None:
        """Return when the newest event came, None where there is none."""
        with self.reading() as connection:
            row = connection.execute("SELECT received FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        return float(row[0]) if row else None

    def within(self, namespace: str) -> "Within":
        """Return the store as a rollout in that namespace reads it."""
        return Within(self, namespace)

    def pairs(
        self, deployment: str, *, namespace: str = NAMESPACE, stable: str, candidate: str, after: int
    ) -> tuple[int, Pairs]:
        """Return the new cursor, and the pairs whose later half came after the old one."""
        values = {
            "namespace": namespace,
            "deployment": deployment,
            "stable": stable,
            "candidate": candidate,
            "after": after,
        }
        with self.reading() as connection:
            cursor = self._reach(connection, after=after)
            counts = connection.execute(queries.PAIRS, {**values, "cursor": cursor}).fetchone()
        return cursor, Pairs(**dict(zip(Pairs.__dataclass_fields__, counts, strict=True)))

    def count_unpaired(self, *, before: float) -> list[Unpaired] | None:
        """Return the shadow answers that came before the time and have no stable answer still; None where all are counted.

        Where the last count ended is a mark of the store: readers in several processes take turns, and share the counts.
        """
        with self.writing() as connection:
            after = int(self.mark(UNPAIRED_MARK) or 0)
            span = {"after": after, "cursor": self._reach(connection, after=after), "before": before}
            # A half that is too young ends the count, so that it is looked at again.
            young = connection.execute(queries.FIRST_YOUNG, span).fetchone()[0]
            span["cursor"] = span["cursor"] if young is None else young - 1
            if span["cursor"] <= after:
                return None
            found = connection.execute(queries.UNPAIRED, span).fetchall()
            self.set_mark(UNPAIRED_MARK, span["cursor"])
        return [Unpaired(*row) for row in found]

    def labelled(
        self,
        deployment: str,
        *,
        namespace: str = NAMESPACE,
        after: int,
        until: int | None = None,
        by: str | None = None,
    ) -> tuple[int, list[Labelled]]:
        """Return the new cursor (`until` at most), and the served answers (never shadow) whose label joined after the old one, in that order.

        With a feature to go `by`, an answer with several of its values is given as several, one for each.
        """
        with self.reading() as connection:
            cursor = self._reach(connection, after=after, until=until)
            values = {
                "namespace": namespace,
                "deployment": deployment,
                "after": after,
                "cursor": cursor,
                "sliced": by is not None,
            }
            rows = connection.execute(queries.LABELLED, values).fetchall()
        joined = []
        for _, request_id, unit, revision, role, predicted_at, predicted, truth, inputs in rows:
            for of, (known, wrong) in _sliced(predicted, truth, inputs, by=by).items():
                if known:
                    joined.append(
                        Labelled(
                            request_id, unit, revision, role, predicted_at, known, wrong, of, _first_label(predicted)
                        )
                    )
        return cursor, joined

    def outcomes(
        self, deployment: str, *, namespace: str = NAMESPACE, after: int, until: int | None = None
    ) -> tuple[int, list[Outcome]]:
        """Return the new cursor (`until` at most), and the outcomes that joined their served request (never shadow) after the old one, in that order."""
        with self.reading() as connection:
            cursor = self._reach(connection, after=after, until=until)
            values = {"namespace": namespace, "deployment": deployment, "after": after, "cursor": cursor}
            rows = connection.execute(queries.OUTCOMES, values).fetchall()
        return cursor, [
            Outcome(name, unit, revision, at, json.loads(value)[0]) for _, name, unit, revision, at, value in rows
        ]

    def exposure(
        self, deployment: str, *, namespace: str = NAMESPACE, after: int, until: int | None = None
    ) -> tuple[int, list[Exposure]]:
        """Return the new cursor (`until` at most), and which arm each request after the old one met (never shadow)."""
        with self.reading() as connection:
            cursor = self._reach(connection, after=after, until=until)
            values = {"namespace": namespace, "deployment": deployment, "after": after, "cursor": cursor}
            rows = connection.execute(queries.EXPOSURE, values).fetchall()
        return cursor, [
            Exposure(seq, at, role, unit, client, status, seconds or 0.0, _first_label(labels))
            for seq, at, role, unit, client, status, seconds, labels in rows
        ]

    def window(
        self,
        deployment: str,
        *,
        namespace: str = NAMESPACE,
        revision: str,
        role: str = "stable",
        limit: int,
        after: int = 0,
        before: int | None = None,
    ) -> list[Prediction]:
        """Return the newest predictions with logged inputs that have `limit` rows together, oldest first.

        `after` and `before` bound the sequence numbers, both exclusive: a window after the last one's end shares no row with it.
        """
        found: list[Prediction] = []
        rows = 0
        for prediction in self.newest(
            deployment, namespace=namespace, revision=revision, role=role, after=after, before=before
        ):
            found.append(prediction)
            rows += prediction.rows
            if rows >= limit:
                break
        return found[::-1]

    def newest(
        self,
        deployment: str,
        *,
        namespace: str = NAMESPACE,
        revision: str,
        role: str = "stable",
        after: int = 0,
        before: int | None = None,
    ) -> Generator[Prediction, None, None]:
        """Give the predictions with logged inputs, the newest first, read one by one: a payload may be megabytes, and thousands of them make a window.

        A payload that cannot be read, or is larger than LARGEST_PAYLOAD, is empty.
        """
        values = {
            "namespace": namespace,
            "deployment": deployment,
            "revision": revision,
            "role": role,
            "after": after,
            "before": _END if before is None else before,
        }
        with self.reading() as connection:
            yield from map(_prediction, connection.stream(queries.WINDOW, values))

    def last(self, deployment: str, *, namespace: str = NAMESPACE, revision: str, after: int) -> int:
        """Return the number of the revision's newest event, `after` where it has none since."""
        values = {"namespace": namespace, "deployment": deployment, "revision": revision, "after": after}
        with self.reading() as connection:
            found = connection.execute(queries.LAST, values).fetchone()[0]
        return after if found is None else int(found)

    def accuracy(
        self, deployment: str, revision: str, *, namespace: str = NAMESPACE, limit: int | None = None, after: int = 0
    ) -> Accuracy:
        """Return the realised accuracy over the newest `limit` labelled rows of the revision whose label came after the cursor.

        Labels that came before the revision's first answer are not looked at: they are its predecessors', and may be many.
        """
        rows = wrong = 0
        times: list[float] = []
        values: dict[str, Any] = {
            "namespace": namespace,
            "deployment": deployment,
            "revision": revision,
            "after": after,
        }
        with self.reading() as connection:
            first = connection.execute(queries.FIRST_ANSWER, values).fetchone()[0]
            values["after"] = max(after, first or 0)
            for at, predicted, truth in connection.stream(queries.ACCURACY, values):
                known, mistakes = _compare(predicted, truth)
                if known:
                    rows, wrong = rows + known, wrong + mistakes
                    times.append(at)
                if limit is not None and rows >= limit:
                    break
        return Accuracy(rows=rows, wrong=wrong, first_at=min(times, default=None), last_at=max(times, default=None))

    def training_rows(
        self, deployment: str, *, namespace: str = NAMESPACE, limit: int, after: int = 0
    ) -> list[LabelledInputs]:
        """Return the newest labelled requests with logged inputs that have `limit` rows together, oldest first."""
        found: dict[str, LabelledInputs] = {}
        rows = 0
        with self.reading() as connection:
            wanted = {"namespace": namespace, "deployment": deployment, "after": after}
            for seq, request_id, inputs, truth in connection.stream(queries.TRAINING, wanted):
                if request_id in found:
                    continue  # both arms logged it (a retry): its inputs are the same, and it counts once
                found[request_id] = LabelledInputs(seq, request_id, json.loads(inputs), json.loads(truth))
                rows += len(found[request_id].labels)
                if rows >= limit:
                    break
        return list(found.values())[::-1]

    def counts(self, deployment: str | None = None) -> list[ArmCount]:
        """Return the number of events of each arm, for a status page."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT deployment, revision, role, count(*) FROM events WHERE (?1 IS NULL OR deployment=?1) AND type <> 'outcome'"
                " GROUP BY deployment, revision, role ORDER BY 1, 2, 3",
                (deployment,),
            ).fetchall()
        return [ArmCount(deployment=d, revision=r, role=o, events=n) for d, r, o, n in rows]

    def _newest(self, connection: database.Connection) -> int:
        row = connection.execute(queries.NEWEST).fetchone()
        return int(row[0]) if row else 0

    def _reach(self, connection: database.Connection, *, after: int, until: int | None = None) -> int:
        """Return how far an answer goes: to the newest event, or as many further as one answer may look at."""
        oldest = connection.execute("SELECT min(seq) FROM events").fetchone()[0]
        start = max(after, (oldest or 1) - 1)  # what was pruned is no event to look at
        return min(self._newest(connection), start + EVENTS_AT_ONCE, _END if until is None else until)

    def prune(self, before: float) -> int:
        """Remove the events that came before the time, and what was concluded before it; gives the number of events.

        In steps, so that writers wait a few milliseconds at most. Open alerts stay.
        """
        removed = 0
        while number := self.prune_some(before):
            removed += number
        return removed

    def prune_some(self, before: float, *, rows: int = _PRUNE_ROWS) -> int:
        """Take one step of `prune`, and gives the number of events removed: 0 where none is left that is old enough."""
        with self.writing() as connection:
            removed = self._remove_oldest(connection, rows=rows, before=before)
            self._prune_ledger(connection, before=before)
        return removed

    def prune_oldest(self, *, rows: int) -> int:
        """Remove the oldest events whatever their age, `rows` at most and a fiftieth of all, and return their number."""
        with self.writing() as connection:
            oldest = connection.execute("SELECT min(seq) FROM events").fetchone()[0]
            if oldest is None:
                return 0
            share = (self._newest(connection) - int(oldest)) // 50 + 1  # some may be pictures of megabytes
            return self._remove_oldest(connection, rows=min(rows, share), before=math.inf)

    def _remove_oldest(self, connection: database.Connection, *, rows: int, before: float) -> int:
        oldest = connection.execute("SELECT seq, received FROM events ORDER BY seq LIMIT ?", (rows,)).fetchall()
        # Up to the first that is young enough: sequence numbers follow the time of arrival.
        old = [seq for seq, received in oldest if received < before]
        last = max(old, default=0)
        connection.execute("DELETE FROM events WHERE seq <= ? AND received < ?", (last, before))
        connection.execute(queries.ORPHANED_PAYLOADS, (last, last))
        return len(old)


def _insert(connection: database.Connection, row: events.Row, *, received: float) -> int:
    inserted = connection.execute(queries.INSERT, (received, row.inputs is not None, *row[:-2])).fetchall()
    if inserted and (row.inputs is not None or row.probabilities is not None):
        connection.execute("INSERT INTO payloads VALUES (?, ?, ?)", (inserted[0][0], row.inputs, row.probabilities))
    return len(inserted)


def _compare(predicted: str, truth: str) -> tuple[int, int]:
    """Return the rows whose label is known and how many of them were wrong; none where the two differ in length."""
    if predicted == truth:
        return len(json.loads(predicted)) if "," in predicted else 1, 0
    answers, labels = json.loads(predicted), json.loads(truth)
    if len(answers) != len(labels):
        return 0, 0
    known = [(a, t) for a, t in zip(answers, labels, strict=True) if t is not None]
    return len(known), sum(a != t for a, t in known)


def _sliced(predicted: str, truth: str, inputs: str | None, *, by: str | None) -> dict[str | None, tuple[int, int]]:
    """Return `_compare` for each value of the feature; all of it under None where the value is not known."""
    column = json.loads(inputs).get(by) if inputs is not None and by is not None else None
    if column is None:
        return {None: _compare(predicted, truth)}
    answers, labels = json.loads(predicted), json.loads(truth)
    if not len(answers) == len(labels) == len(column):
        return {None: _compare(predicted, truth)}
    found: dict[str | None, tuple[int, int]] = {}
    for answer, label, value in zip(answers, labels, column, strict=True):
        if label is not None:
            of = str(value)[:LONGEST_SLICE]
            known, wrong = found.get(of, (0, 0))
            found[of] = known + 1, wrong + (answer != label)
    return found


def _first_label(labels: str | None) -> str | None:
    found = json.loads(labels) if labels else []
    return str(found[0]) if found else None


def _prediction(record: tuple[Any, ...]) -> Prediction:
    seq, request_id, at, rows, inputs, labels, probabilities = record
    return Prediction(seq, request_id, at, rows, _loaded(inputs) or {}, _loaded(labels), _loaded(probabilities))


def _loaded(text: str | None) -> Any:
    """Return what a payload holds; None where it was not logged, or is no JSON that can be read within bounds."""
    if not text or len(text) > LARGEST_PAYLOAD:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

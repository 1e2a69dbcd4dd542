"""The log of predictions: a queue in memory, a thread that delivers it to the collector, a spool on
disk for when it cannot.

Sending never slows a prediction: the hot path appends a record to a deque; making JSON, HTTP and
disk are the thread's business. Delivery is at least once, and idempotent for the collector by
(request id, revision, role). What is lost, and how it is counted
(`fairway_serving_events_dropped_total{reason}`): `queue` the thread cannot keep up and the queue is
full; `full` the spool has reached its bound; `disk` the disk is full; `refused` the collector will
never take the event. A server killed with -9 loses what it had not delivered or spooled: the last
`interval` (200 ms by default), and it cannot count that. With `writeAhead` it loses none: the event
is in the spool before the answer is sent, and the spool is what the thread delivers.
"""

import logging
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import prometheus_client

from fairway.config import sections
from fairway.serving import delivery, spool

log = logging.getLogger("fairway.serving.eventlog")

TYPE = "dev.fairway.prediction.v1"
# of requests' bodies behind the records in memory: clients choose how large they are
QUEUE_BYTES = 32 << 20
BATCH_BYTES = 4 << 20  # of them behind one delivery
# between two events that tell the classes: a collector that lost them knows them again soon
TELL_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 5.0  # a collector that is back gets the spool within seconds

LABELS = ("namespace", "deployment", "revision", "role")
SENT = prometheus_client.Counter(
    "fairway_serving_events_sent_total", "Events that the collector has acknowledged.", LABELS
)
SPOOLED = prometheus_client.Counter(
    "fairway_serving_events_spooled_total", "Events written to the spool on disk.", LABELS
)
DROPPED = prometheus_client.Counter(
    "fairway_serving_events_dropped_total", "Events lost, by reason.", (*LABELS, "reason")
)
QUEUED = prometheus_client.Gauge(
    "fairway_serving_events_queued", "Events in memory.", LABELS[:3], multiprocess_mode="livesum"
)
SPOOL_BYTES = prometheus_client.Gauge(
    "fairway_serving_spool_bytes",
    "Bytes of events on disk.",
    LABELS[:3],
    multiprocess_mode="livemax",
)


class Record(NamedTuple):
    """One answered request, as the hot path leaves it: no JSON is made before the thread takes it."""

    request_id: str
    unit: str | None
    role: str
    status: int
    at: float  # epoch seconds when it was answered
    seconds: float
    digest: str | None  # of the request's body; None where the body was not read
    rows: int = 0
    inputs: dict[str, "np.ndarray[Any, Any]"] | None = None
    # what the task answers: a word, a number or a list of words a row
    labels: list[Any] | None = None
    probabilities: "np.ndarray[Any, Any] | None" = None
    size: int = 0  # bytes of the request's body: what the record holds is a few times as much
    client: str | None = None  # bucket of the address that the gateway was asked from


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who the events are from, and what their answers are of."""

    namespace: str
    deployment: str
    revision: str
    # its name, and the facts that its losses need; None: answers are classes
    task: Mapping[str, Any] | None = None
    # all names of which answers are made, so that a label that is none of them is refused
    classes: Sequence[str] | None = None


class EventLog:
    """Takes records without waiting; delivers, spools or counts every one of them."""

    def __init__(
        self,
        settings: sections.Events,
        *,
        origin: Origin,
        collector: str,
        folder: Path | None,
        token: Path | None = None,
        certificates: Path | None = None,
        pod: str = "",
    ) -> None:
        self._settings = settings
        self._redact = frozenset(settings.redact)
        self._origin = origin
        self._enabled = bool(collector)
        self._sender = (
            delivery.Sender(collector, token=token, certificates=certificates, pod=pod)
            if collector
            else None
        )
        limit = settings.spool_mebibytes << 20 if folder else 0
        self._spool = spool.Spool(folder, limit_bytes=limit) if folder and limit else None
        self._queue: deque[Record] = deque()
        self._overflow: Counter[str] = Counter()
        # bytes, each counted by one thread alone; the difference is in the queue
        self._taken = self._flushed = 0
        self._closing = threading.Event()
        self._down_until = 0.0  # monotonic; nothing is sent before
        self._backoff = 0.0
        self._deadline: float | None = None
        self._told_until = 0.0  # monotonic; until then no event needs to tell the classes
        self._disk_complained = False
        self._thread = threading.Thread(target=self._run, name="fairway-events", daemon=True)

    def start(self) -> None:
        if self._enabled:
            self._thread.start()

    def append(self, record: Record) -> None:
        """Take the record, before its answer is sent; this is all that the hot path does."""
        if not self._enabled or (self._settings.write_ahead and self._written(record)):
            return
        if (
            len(self._queue) >= self._settings.queue
            or self._taken - self._flushed + record.size > QUEUE_BYTES
        ):
            self._overflow[record.role] += 1
        else:
            self._taken += record.size
            self._queue.append(record)

    def _written(self, record: Record) -> bool:
        """Write the event to the spool; where that is full, or the disk, says False: the event goes
        by memory, and is counted there if it is lost."""
        line = self._encoded(record)
        return self._spool is not None and self._spool.append([line]).reason is None

    def _encoded(self, record: Record) -> bytes:
        """Return the event, which tells the classes where none has for a while."""
        now = time.monotonic()
        tells = now >= self._told_until
        if tells:
            self._told_until = now + TELL_SECONDS
        return encode(
            record,
            origin=self._origin,
            sample=self._settings.sample,
            redact=self._redact,
            tells=tells,
        )

    def close(self, *, timeout_seconds: float = 5.0) -> None:
        """Deliver what is left within the time; what is not delivered goes to the spool."""
        if self._thread.is_alive():
            self._deadline = time.monotonic() + timeout_seconds
            self._closing.set()
            self._thread.join(timeout_seconds + delivery.HTTP_TIMEOUT_SECONDS + 1)

    def _run(self) -> None:
        interval = self._settings.interval.total_seconds()
        while not self._closing.wait(interval):
            self._tick()
        self._tick()
        if self._spool:
            self._spool.seal()
        if self._sender:
            self._sender.close()

    def _tick(self) -> None:
        try:
            self._count_overflow()
            self._flush()
            self._replay()
        except Exception:  # the thread must outlive any mistake, or every later event is lost
            log.exception("The event log goes on after an error of its own.")
        self._gauges()

    def _flush(self) -> None:
        while self._queue:
            batch = self._batch()
            encoded = [(record.role, self._encoded(record)) for record in batch]
            if not self._deliver(encoded):
                self._store(encoded)

    def _batch(self) -> list[Record]:
        """Take as many records as one delivery may have: large ones are few, for as JSON they are
        larger still."""
        batch: list[Record] = []
        size = 0
        while self._queue and len(batch) < self._settings.batch_size and size < BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += batch[-1].size
        self._flushed += size
        return batch

    def _replay(self) -> None:
        if self._spool is None or self._down():
            return
        # fresh events come first at every tick
        give_up = time.monotonic() + self._settings.interval.total_seconds()
        for segment in self._spool.replay():
            lines = [(role_of(line), line) for line in segment.lines()]
            size = self._settings.batch_size
            if not all(
                self._deliver(lines[start : start + size]) for start in range(0, len(lines), size)
            ):
                return
            segment.acknowledge()
            if (
                time.monotonic() > (self._deadline or give_up) and not self._settings.write_ahead
            ):  # else these are the fresh ones
                return

    def _deliver(self, lines: Sequence[tuple[str, bytes]]) -> bool:
        """Tell whether the batch is dealt with: acknowledged, or refused for good and counted."""
        if self._down() or self._sender is None:
            return False
        try:
            self._sender.post([line for _, line in lines])
        except delivery.Undelivered as error:
            if not error.permanent:
                self._back_off(error)
                return False
            return self._divide(lines, error=error)
        self._backoff = 0.0
        self._count(SENT, lines)
        return True

    def _divide(self, lines: Sequence[tuple[str, bytes]], *, error: delivery.Undelivered) -> bool:
        """Halve a refused batch until the event that spoils it is alone, and drops that one."""
        if len(lines) == 1:
            self._drop(Counter(role for role, _ in lines), reason="refused")
            log.warning("The collector refused an event for good, it is dropped: %s", error)
            return True
        middle = len(lines) // 2
        return self._deliver(lines[:middle]) and self._deliver(lines[middle:])

    def _store(self, lines: Sequence[tuple[str, bytes]]) -> None:
        outcome = (
            self._spool.append([line for _, line in lines])
            if self._spool
            else spool.Appended(written=0, reason="full")
        )
        self._count(SPOOLED, lines[: outcome.written])
        if outcome.reason is None:
            self._disk_complained = False
            return
        lost = Counter(role for role, _ in lines[outcome.written :])
        self._drop(lost, reason=outcome.reason)
        if not self._disk_complained:
            self._disk_complained = True
            cause = (
                "the disk refused them"
                if outcome.reason == "disk"
                else "the spool has reached serving.events.spoolMebibytes"
            )
            log.warning("Events are dropped and counted: the collector is away and %s.", cause)

    def _down(self) -> bool:
        return time.monotonic() < self._down_until or (
            self._deadline is not None and time.monotonic() > self._deadline
        )

    def _back_off(self, error: delivery.Undelivered) -> None:
        if self._backoff == 0.0:
            log.warning("The collector does not take events, they go to the spool: %s", error)
        self._backoff = min(LONGEST_BACKOFF_SECONDS, max(2 * self._backoff, 0.2))
        self._down_until = time.monotonic() + max(
            self._backoff, min(error.wait_seconds, LONGEST_BACKOFF_SECONDS)
        )

    def _labels(self, role: str) -> tuple[str, str, str, str]:
        return self._origin.namespace, self._origin.deployment, self._origin.revision, role

    def _count(
        self, counter: prometheus_client.Counter, lines: Iterable[tuple[str, bytes]]
    ) -> None:
        for role, number in Counter(role for role, _ in lines).items():
            counter.labels(*self._labels(role)).inc(number)

    def _drop(self, lost: Counter[str], *, reason: str) -> None:
        for role, number in lost.items():
            DROPPED.labels(*self._labels(role), reason).inc(number)

    def _count_overflow(self) -> None:
        if self._overflow:
            lost, self._overflow = self._overflow, Counter()
            self._drop(lost, reason="queue")

    def _gauges(self) -> None:
        labels = self._labels("")[:3]
        QUEUED.labels(*labels).set(len(self._queue))
        SPOOL_BYTES.labels(*labels).set(self._spool.bytes_used() if self._spool else 0)


def encode(
    record: Record,
    *,
    origin: Origin,
    sample: float,
    redact: frozenset[str] = frozenset(),
    tells: bool = False,
) -> bytes:
    """Return the CloudEvent of the record as one line of JSON; a missing number is null."""
    logged = record.inputs is not None and sampled(record.request_id, share=sample)
    event = {
        "specversion": "1.0",
        "type": TYPE,
        "id": f"{record.request_id}/{origin.revision}/{record.role}",
        "source": f"/fairway/{origin.namespace}/{origin.deployment}/{origin.revision}",
        "time": datetime.fromtimestamp(record.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "datacontenttype": "application/json",
        "data": {
            "requestId": record.request_id,
            "unitId": record.unit,
            "client": record.client,
            "deployment": origin.deployment,
            "namespace": origin.namespace,
            "revision": origin.revision,
            "role": record.role,
            "status": record.status,
            "rows": record.rows,
            "inputDigest": None if redact else record.digest,
            "inputs": {
                name: values.tolist() if values.dtype.kind in "OU" else np.ascontiguousarray(values)
                for name, values in record.inputs.items()
                if name not in redact
            }
            if logged and record.inputs
            else None,
            **({"redacted": sorted(redact)} if redact and logged else {}),
            "labels": record.labels,
            **({"task": origin.task} if origin.task is not None else {}),
            **({"classes": origin.classes} if tells and origin.classes else {}),
            "probabilities": record.probabilities,
            "latencySeconds": round(record.seconds, 6),
        },
    }
    return orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY)


def sampled(request_id: str, *, share: float) -> bool:
    """Tell whether the request's inputs are logged: the same answer for the same id, on every
    server."""
    return share >= 1.0 or zlib.crc32(request_id.encode()) < share * 2**32


def role_of(line: bytes) -> str:
    """Return the role that a spooled event's id ends with."""
    try:
        return str(orjson.loads(line)["data"]["role"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "shadow"  # the collector refuses such a line, and it is counted

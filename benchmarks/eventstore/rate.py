"""Events a second: servers' logs encode and send batches to a real collector, into SQLite and into
a real PostgreSQL, whose commits reach the disk as an administrator would have them."""

import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairway.config import sections
from fairway.serving import delivery, eventlog
from tests.monitoring import postgres, processes

FEATURES = 10  # of a row; a request has one row
SENDERS = 4  # servers that send at once
TICKS = os.sysconf("SC_CLK_TCK")
COLLECTOR = "fairway.monitoring.eventstore.collector"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What was sent and acknowledged, and the seconds of a processor that each side took."""

    events: int
    seconds: float
    collector: float
    senders: float
    database: float

    @property
    def a_second(self) -> float:
        return self.events / self.seconds

    @property
    def processors(self) -> float:
        """Return how many processors the machine had free for all of it, on average."""
        return (self.senders + self.collector + self.database) / self.seconds

    @property
    def a_processor_second(self) -> float:
        """Return the events for each second of a processor that collector and database took."""
        return self.events / (self.collector + self.database)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What one sender got acknowledged, and the seconds of a processor that it took."""

    events: int
    seconds: float
    processor: float


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a store is, and the process that is its server."""

    database: str
    place: str
    server: int | None = None


def measure(place: Place, *, seconds: float, source: Path, warm: float = 0.0) -> Rate:
    """Return the rate of the version whose package lies in `source`, into the store, sustained: after
    `warm` seconds of the same, for a collector reads a file that it opens whole for damage."""
    arguments = ("--store", place.place, "--auth", "none")
    with processes.started(COLLECTOR, *arguments, PYTHONPATH=str(source)) as running:
        if warm:
            with multiprocessing.get_context("spawn").Pool(SENDERS) as pool:
                pool.starmap(send, [(running.url, warm)] * SENDERS)
        watched = [running.process.pid, *([place.server] if place.server else [])]
        before = [_processor(pid) for pid in watched]
        with multiprocessing.get_context("spawn").Pool(SENDERS) as pool:
            sent = pool.starmap(send, [(running.url, seconds)] * SENDERS)
        taken = [_processor(pid) - spent for pid, spent in zip(watched, before, strict=True)]
        return Rate(
            events=sum(one.events for one in sent),
            seconds=max(one.seconds for one in sent),
            collector=taken[0],
            senders=sum(one.processor for one in sent),
            database=taken[1] if place.server else 0.0,
        )


def send(url: str, seconds: float) -> Sent:
    """Send batches as a server's log does, one after the other, for so long."""
    sender = delivery.Sender(url)
    origin = eventlog.Origin(namespace="default", deployment="income", revision="0123456789ab")
    records = Records()
    size = sections.Events().batch_size
    began, spent, events = time.monotonic(), time.process_time(), 0
    while time.monotonic() - began < seconds:
        lines = [eventlog.encode(records.drawn(), origin=origin, sample=1.0) for _ in range(size)]
        while not _posted(sender, lines):
            pass
        events += size
    sender.close()
    return Sent(
        events=events, seconds=time.monotonic() - began, processor=time.process_time() - spent
    )


def _posted(sender: delivery.Sender, lines: list[bytes]) -> bool:
    """Say whether the batch is acknowledged; where the machine was too busy it is sent again."""
    try:
        sender.post(lines)
    except delivery.Undelivered as error:
        if error.permanent:
            raise
        return False
    return True


class Records:
    """Records as the hot path leaves them; unseeded, for no two events may have one id."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng()

    def drawn(self) -> eventlog.Record:
        row = self._rng.normal(size=FEATURES).round(4)
        yes = float(self._rng.random())
        return eventlog.Record(
            request_id=self._rng.bytes(16).hex(),
            unit=None,
            role="stable",
            status=200,
            at=time.time(),
            seconds=0.002,
            digest=self._rng.bytes(8).hex(),
            rows=1,
            inputs={f"feature_{i}": row[i : i + 1] for i in range(FEATURES)},
            labels=["yes" if yes > 0.5 else "no"],
            probabilities=np.array([[1 - yes, yes]], dtype=np.float32),
            size=250,
        )


@contextlib.contextmanager
def opened(database: str) -> Iterator[Place]:
    """Give an empty store, with PostgreSQL's commits on the disk before they are acknowledged."""
    if database == "PostgreSQL":
        with postgres.running("-c", "max_wal_size=8GB") as server:
            server.empty()
            assert server.process is not None
            yield Place(database=database, place=server.url, server=server.process.pid)
        return
    with tempfile.TemporaryDirectory(prefix="fairway-bench-") as folder:
        yield Place(database=database, place=str(Path(folder) / "events.db"))


def _processor(pid: int) -> float:
    """Return the seconds of a processor that the process and all below it took."""
    family = [pid]
    for one in family:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                family += [int(child) for child in task.read_text().split()]
    return sum(map(_own_processor, family))


def _own_processor(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # utime, stime, and those of children that have ended
    return sum(int(field) for field in fields[11:15]) / TICKS

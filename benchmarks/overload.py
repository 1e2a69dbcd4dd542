"""Three times more requests than a server can answer, and uploads that never end: with and without
what bounds them, directly and through Envoy."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import orjson

from benchmarks import hot_path
from fairway.config import sections
from fairway.platforms.local import envoy, sockets
from fairway.platforms.local.processes import Processes
from fairway.platforms.local.xds import clusters
from fairway.rollout import traffic
from fairway.serving import command

# that clients keep: more than wait at a server within half a second, or the queue would be at the
# clients
CONNECTIONS = 2000
CLIENTS = 48  # that measure the capacity
TIMES = 3  # the capacity
PATIENCE = 30.0  # seconds after which a client gives up
SOON = 0.25  # an answer within this is normal again
HELD = 260  # uploads that never end
BEFORE = {
    "max_connections": 1024,
    "max_requests": 4096,
    "max_pending_requests": 4096,
    "max_retries": 1024,
}  # limits of an arm before there was admission
# a request; what a server answers in its event loop goes up to some 75 KB on a core of 2025, which
# are 1,300 rows
ROWS = {"400 rows, in the event loop": 400, "2,000 rows, in a thread": 2000}
Answer = tuple[float, float, int]  # when it was due, seconds until it was there, status (0: none)


@dataclass
class Side:
    """One way to serve."""

    bounded: bool
    gateway: bool
    url: str = ""
    server: str = ""
    answers: list[Answer] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{'bounded' if self.bounded else 'unbounded'}, {'through Envoy' if self.gateway else 'directly'}"


def overload(*, seconds: float) -> list[dict[str, object]]:
    """Return one row for each side and kind of work: what clients got in the peak, and how long
    after it they felt it."""
    return [
        row for work, rows in ROWS.items() for row in _overload(work, rows=rows, seconds=seconds)
    ]


def slow_bodies() -> list[dict[str, object]]:
    """Return one row a side: what neighbours got while uploads were held open."""
    rows: list[dict[str, object]] = []
    for bounded, gateway in ((False, False), (True, False), (True, True)):
        with serving(Side(bounded, gateway)) as side:
            rows.append(asyncio.run(_held(side)))
    return rows


@contextlib.contextmanager
def serving(side: Side) -> Iterator[Side]:
    """Serve the side until the block ends."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        _, made = hot_path._model(folder)
        port = sockets.free_port()
        environment = command.environment(
            package=Path(made.path),
            deployment="bench",
            namespace="default",
            revision="bench",
            collector="",
            spool=None,
            serving=sections.Serving(),
            home=folder / "bentoml",
        )
        target = command.SERVICE if side.bounded else "benchmarks.unbounded:Service"
        with open(os.devnull, "wb") as nowhere:
            server = subprocess.Popen(
                command.argv(port, target=target),
                env={**os.environ, **environment},
                stdout=nowhere,
                stderr=nowhere,
            )
        stack.callback(server.wait, timeout=60)
        stack.callback(server.terminate)
        stack.enter_context(_apart(server.pid))
        side.server = side.url = f"http://127.0.0.1:{port}"
        if side.gateway:
            side.url = stack.enter_context(_gateway(folder / "home", port, bounded=side.bounded))
        asyncio.run(_ready(side.server))
        yield side


@contextlib.contextmanager
def _apart(server: int) -> Iterator[None]:
    """Give the server a core of its own until the block ends: the load and the gateway, begun after
    it, have the others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(server, cores[:1])
        os.sched_setaffinity(0, cores[1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def _gateway(root: Path, port: int, *, bounded: bool) -> Iterator[str]:
    processes, limits = Processes(root), clusters.ARM_LIMITS
    gateway = envoy.Envoy(root, processes)
    try:
        clusters.ARM_LIMITS = limits if bounded else BEFORE
        gateway.start()
        route = traffic.route(
            deployment="bench", stable="bench", candidate=None, weight=0, mirror=0
        )
        gateway.apply({"bench": route}, endpoints={"bench": [("127.0.0.1", port)]})
        yield gateway.url
    finally:
        clusters.ARM_LIMITS = limits
        gateway.stop()


def _overload(work: str, *, rows: int, seconds: float) -> list[dict[str, object]]:
    body, found = _body(rows), []
    for bounded, gateway in ((False, False), (True, False), (False, True), (True, True)):
        with serving(Side(bounded, gateway)) as side:
            capacity = asyncio.run(_capacity(side, body))
            asyncio.run(_peak(side, body, capacity=capacity, seconds=seconds))
        peak = [answer for answer in side.answers if 1 <= answer[0] < 1 + seconds]
        times = sorted(took for _, took, status in peak if status == 200)
        statuses = [status for _, _, status in peak]
        late = [
            due
            for due, took, status in side.answers
            if due >= 1 + seconds and (status != 200 or took > SOON)
        ]
        found.append(
            {
                "work": work,
                "side": side.name,
                "capacity/s": round(capacity),
                "offered/s": round(len(peak) / seconds),
                "answered 200": f"{len(times) / seconds / capacity:.0%} of capacity",
                "p50 s": round(float(np.quantile(times, 0.5)), 2) if times else None,
                "p99 s": round(float(np.quantile(times, 0.99)), 2) if times else None,
                "429": f"{statuses.count(429) / len(peak):.0%}",
                "5xx": sum(status >= 500 for status in statuses),
                "no answer": statuses.count(0),
                "normal again after s": round(max(late) - 1 - seconds, 1) if late else 0.0,
            }
        )
    return found


async def _peak(side: Side, body: bytes, *, capacity: float, seconds: float) -> None:
    """Ask at half the capacity for a second, at three times for the peak, and at half again until
    it is calm."""
    calm = 5.0
    due = [
        *np.arange(0, 1, 2 / capacity),
        *np.arange(1, 1 + seconds, 1 / (TIMES * capacity)),
        *np.arange(1 + seconds, 1 + seconds + calm, 2 / capacity),
    ]
    pending, began = iter(due), time.perf_counter()

    async def client() -> None:
        connection = Connection(side.url)
        for at in pending:
            await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
            status = await connection.ask(body)
            side.answers.append((at, time.perf_counter() - began - at, status))
        connection.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


async def _capacity(side: Side, body: bytes) -> float:
    """Return the answers a second that clients get who ask without pause: enough of them that the
    server never waits, too few for it to refuse any."""
    answered, end = 0, time.perf_counter() + 4.0

    async def client() -> None:
        nonlocal answered
        connection = Connection(side.url)
        while time.perf_counter() < end:
            status = await connection.ask(body)
            answered += status == 200
        connection.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return answered / 4.0


async def _held(side: Side) -> dict[str, object]:
    """Hold uploads open, and asks as a neighbour meanwhile."""
    place, body = urlsplit(side.url), _body(1)
    head = b"POST /v2/models/bench/infer HTTP/1.1\r\nhost: bench\r\ncontent-length: 5000\r\n\r\n{"
    connections = [await asyncio.open_connection(place.hostname, place.port) for _ in range(HELD)]
    for _, writer in connections:
        writer.write(head)
    await asyncio.sleep(0.5)
    neighbour = Connection(side.url)
    statuses = [await neighbour.ask(body) for _ in range(200)]
    said = await asyncio.gather(*(_status(reader) for reader, _ in connections))
    for _, writer in connections:
        writer.close()
    return {
        "side": side.name,
        "neighbours answered 200": f"{statuses.count(200)} of {len(statuses)}",
        "uploads ended by": ", ".join(
            f"{said.count(status)} x {status or 'nothing'}" for status in sorted(set(said))
        ),
    }


class Connection:
    """One connection that stays open where the server lets it."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname, place.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes) -> int:
        """Return the status, 0 where there was no answer."""
        try:
            async with asyncio.timeout(PATIENCE):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(self._host, self._port)
                reader, writer = self._streams
                writer.write(
                    b"POST /v2/models/bench/infer HTTP/1.1\r\nhost: bench\r\nx-fairway-arm: "
                    b"stable\r\ncontent-length: %d\r\n\r\n" % len(body) + body
                )
                return await _status(reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.close()
            return 0

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _status(reader: asyncio.StreamReader) -> int:
    """Return the status of the next answer, its body read."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r")[0] or 0)
    await reader.readexactly(length)
    return int(head[9:12])


async def _ready(url: str) -> None:
    connection, deadline = Connection(url), time.monotonic() + 120
    while await connection.ask(_body(1)) != 200:
        if time.monotonic() > deadline:
            raise SystemExit(f"the server at {url} did not answer within 120 s")
        await asyncio.sleep(0.2)
    connection.close()


def _body(rows: int) -> bytes:
    values = np.random.default_rng(0).random((hot_path.FEATURES, rows)).round(4)
    return orjson.dumps(
        {
            "inputs": [
                {"name": f"x{i}", "datatype": "FP64", "shape": [rows], "data": values[i].tolist()}
                for i in range(hot_path.FEATURES)
            ]
        }
    )

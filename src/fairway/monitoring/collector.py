"""The collector: takes events and labels over HTTP and answers 202 only when they are in the store.

    python -m fairway.monitoring.collector --store events.db --port 0 --token-file token

One thread decodes and writes, so that a slow disk never stops the loop that answers; `parsing` reads larger bodies in a
process of their own. Delivery is at least once, and an event that comes twice is stored once. Where the store is locked or its
disk full the collector answers 503 and stores nothing of the batch.

    POST /v1/events, /v1/labels, /v1/outcomes   from servers, and from whoever knows the truth later
    GET  /v1/cursor, /v1/pairs, /v1/labelled, /v1/outcomes, /v1/exposure
                                                what a rollout is judged by; `monitoring.remote` asks for it

Readers have a thread and a connection of their own: a long answer keeps no event waiting. `access` says who a caller is and what it may; /livez,
/healthz and /metrics are open, and hold no event.
"""

import argparse
import asyncio
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
import prometheus_client
import uvicorn
from prometheus_client import exposition
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fairway import clocks, errors
from fairway.config import sections
from fairway.monitoring import access, bodies, events, parsing, store, upkeep
from fairway.serving import decoding

log = logging.getLogger("fairway.monitoring.collector")

MAX_BODY_BYTES = 64 * 2**20
MAX_WAITING = 64  # batches that wait for the writer: beyond it the sender is told to come back
MAX_BYTES_IN_WORK = 2 * MAX_BODY_BYTES  # of all whole bodies together: the memory limit is for as much, parsed
MAX_BYTES_COMING = MAX_BODY_BYTES  # of all bodies together that are under way still
UNPROVEN_BODY_BYTES = (
    2**20
)  # of a caller with neither a pod nor, where its query says, a role: only its body tells what it wants
TOO_LARGE = f"the body is larger than {MAX_BODY_BYTES} bytes: send fewer events at once; nothing was stored"
UNPROVEN = (
    f"the body is larger than {UNPROVEN_BODY_BYTES} bytes: for more, name in the query the namespace (and the deployment) in which your role is, such "
    "as ?namespace=shop; nothing was stored"
)
STORE_TIMEOUT_SECONDS = 1.0  # below the sender's patience, so that it hears "busy" rather than nothing
READ_TIMEOUT_SECONDS = 5.0
RETRY_AFTER_SECONDS = 1
# questions to the API server at once about tokens that are new, and as many about callers that it knows already
REVIEWERS = 4
NAMESPACE = store.NAMESPACE  # of a short form that names none
LOOPBACK = ("127.0.0.1", "localhost", "::1")
JSON_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
UPKEEP_SECONDS = 10.0  # between two looks at whether the store takes a write, and what must go of it
UNPAIRED_SECONDS = 60.0  # for the other half of a pair to come: a server delivers within one, or spools
CHECK_SECONDS = 6 * 3600.0  # between two readings of the whole file: a damaged one must not take what it may lose

Answer = dict[str, Any]
Question = Callable[[store.EventStore, Mapping[str, str]], Answer]


class NotJson(errors.DataError):
    """The body says that it is something else."""


class Reviewers:
    """Threads that ask the API server, and a bound on those who wait for them."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=REVIEWERS, thread_name_prefix=f"collector-{name}")
        self._waiting = 0

    async def ask(self, function: Callable[..., Any], *arguments: object) -> Any:
        if self._waiting >= MAX_WAITING:
            raise errors.Unavailable(f"{MAX_WAITING} callers wait for the API server already; try again")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        finally:
            self._waiting -= 1

    def shutdown(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Metrics:
    """The collector's series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        arm = ("namespace", "deployment", "revision", "role")
        registry = self.registry
        self.events = prometheus_client.Counter(
            "fairway_monitoring_events", "Events stored, each counted once.", ("type", *arm), registry=registry
        )
        self.duplicates = prometheus_client.Counter(
            "fairway_monitoring_events_duplicate",
            "Events that were in the store already.",
            ("type", *arm),
            registry=registry,
        )
        self.rejected = prometheus_client.Counter(
            "fairway_monitoring_batches_rejected",
            "Batches of which nothing was stored.",
            ("reason",),
            registry=registry,
        )
        self.seconds = prometheus_client.Histogram(
            "fairway_monitoring_store_seconds", "Time to decode and store one batch.", registry=registry
        )
        self.busy = prometheus_client.Gauge(
            "fairway_monitoring_store_busy",
            "1 while the last batch found the store locked or its disk full.",
            registry=registry,
        )
        self.pruned = prometheus_client.Counter(
            "fairway_monitoring_events_pruned",
            "Events let go, by reason: age, size (--max-bytes), or full (the disk took no more).",
            ("reason",),
            registry=registry,
        )
        self.bytes = prometheus_client.Gauge(
            "fairway_monitoring_store_bytes",
            "What the events take, without room that is free again; 0 for PostgreSQL.",
            registry=registry,
        )
        self.unpaired = prometheus_client.Counter(
            "fairway_monitoring_shadow_unpaired",
            "Shadow answers without the stable answer to the same request, a minute after they came.",
            arm[:3],
            registry=registry,
        )
        self.failed = prometheus_client.Counter(
            "fairway_monitoring_rounds_failed",
            "Rounds of the collector's own work that failed; the next one is tried all the same.",
            ("loop",),
            registry=registry,
        )
        for loop in ("upkeep", "check"):
            self.failed.labels(loop)

    def count(self, rows: list[events.Row], *, new: list[events.Row]) -> None:
        fresh = {id(row) for row in new}
        for row in rows:
            counter = self.events if id(row) in fresh else self.duplicates
            counter.labels(
                row.type, row.namespace, row.deployment, row.revision if row.type != "outcome" else "", row.role
            ).inc()


class Collector:
    """The application around one store; `keep` is how long events are kept, by default for ever, and `max_bytes` how many. On a volume of its own some
    room is held in `reserve`, to remove events with when it is full. `loopback`: only this machine's callers are served.

    When they came, and how long that is ago, is by a steady clock: whatever the machine's is set to, they are kept for nine tenths of it at least.
    """

    def __init__(
        self,
        place: str,
        *,
        gate: access.Access,
        keep: timedelta | None = None,
        max_bytes: int = upkeep.MAX_BYTES,
        reserve: bool = False,
        loopback: bool = True,
        source: clocks.Source = clocks.MACHINE,
    ) -> None:
        self._gate, self._loopback = gate, loopback
        self._store = _open(place, timeout_seconds=STORE_TIMEOUT_SECONDS)
        self._read_store = _open(place, timeout_seconds=READ_TIMEOUT_SECONDS)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-writer")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-reader")
        self._strangers, self._known = (
            Reviewers("strangers"),
            Reviewers("known"),
        )  # whoever makes up tokens waits with his like alone
        self._checker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-checker")
        self._parser = parsing.Parser()
        self._parsing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-parser")
        self._bodies = bodies.Bodies(most_bytes=MAX_BYTES_COMING)
        self._clock = clocks.Steady(source, start=self._read_store.newest_at())
        held = upkeep.Reserve(self._store.path.with_suffix(".reserve")) if reserve and _is_file(place) else None
        self._upkeep = upkeep.Upkeep(
            self._read_store, keep=keep, max_bytes=max_bytes, now=self._clock.now, reserve=held
        )
        self._full = asyncio.Event()
        self._ending = threading.Event()
        self._unwell: dict[str, str] = {}  # damage, room, refusal -> the sentence
        self.name = self._store.name
        self._waiting = self._asking = self._bytes = 0
        self.metrics = Metrics()
        self.app = Starlette(
            routes=[
                *(Route(f"/v1/{name}", partial(self._take, kind=name), methods=["POST"]) for name in parsing.READERS),
                *(Route(f"/v1/{name}", partial(self._evidence, ask)) for name, ask in QUESTIONS.items()),
                Route("/livez", _alive),
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._keep_up()), asyncio.create_task(self._keep_checking())]
        yield
        self._ending.set()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.close()

    def close(self) -> None:
        """End all threads and processes; what was begun is written."""
        self._ending.set()
        self._checker.shutdown(wait=False, cancel_futures=True)
        self._strangers.shutdown()
        self._known.shutdown()
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._parsing.shutdown(wait=True)
        self._parser.close()
        self._writer.shutdown(wait=True)
        self._read_store.close()
        self._store.close()

    async def _keep_up(self) -> None:
        """Take one round of the upkeep after the other, whatever becomes of each."""
        while True:
            try:
                await self._keep_up_once()
            except Exception as error:
                self._count_failure("upkeep", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), UPKEEP_SECONDS)

    async def _keep_up_once(self) -> None:
        """Let events go that must, a few at a time between the questions, and see whether the store takes a write."""
        if self._full.is_set():
            self._full.clear()
            await self._reading(self._upkeep.full)
        while (gone := await self._reading(self._upkeep.step)) is not None:
            self.metrics.pruned.labels(gone.reason).inc(gone.events)
        self.metrics.bytes.set(await self._reading(self._read_store.used_bytes))
        await self._writing(self._probe)
        await self._count_unpaired()

    async def _count_unpaired(self) -> None:
        count = partial(self._read_store.count_unpaired, before=self._clock.now() - UNPAIRED_SECONDS)
        while (found := await self._reading(count)) is not None:
            for alone in found:
                self.metrics.unpaired.labels(alone.namespace, alone.deployment, alone.revision).inc(alone.answers)

    def _count_failure(self, loop: str, error: Exception) -> None:
        """Count and tell the failure of one round: it is that round's alone."""
        self.metrics.failed.labels(loop).inc()
        if not isinstance(error, errors.FairwayError):
            log.error("A round of the collector's %s failed; the next one is tried.", loop, exc_info=error)
            return
        self._learn(error)
        if isinstance(error, errors.PlatformError):  # its rights, say: until the next look finds otherwise
            self._unwell["refusal"] = str(error)

    async def _keep_checking(self) -> None:
        """Read the whole file now and then; a damaged one takes no more events, for it may lose them."""
        found = None
        while found is None:
            try:
                found = await asyncio.get_running_loop().run_in_executor(self._checker, self._checked)
            except Exception as error:
                self._count_failure("check", error)
                await asyncio.sleep(UPKEEP_SECONDS)
        self._unwell["damage"] = found

    def _checked(self) -> str | None:
        """Return what is wrong with the file; where it is sound, after a while."""
        found = self._read_store.damage()
        if found is None:
            self._ending.wait(CHECK_SECONDS)
        return found

    def _probe(self) -> None:
        """Write something: whether that works is what a sender wants to know."""
        self._store.set_mark("collector/probe", self._clock.now())
        for passing in ("room", "refusal"):
            self._unwell.pop(passing, None)

    def _learn(self, error: errors.FairwayError) -> None:
        """Remember what a failure says of the store: most pass by themselves, or are the caller's, and say nothing."""
        if isinstance(error, errors.StoreFull):
            self._unwell["room"] = str(error)
            self._full.set()
        elif isinstance(error, errors.StoreDamaged):
            self._unwell["damage"] = str(error)

    async def _health(self, _: Request) -> Response:
        if self._unwell:
            return JSONResponse({"status": "unwell", "error": "; ".join(self._unwell.values())}, status_code=503)
        return JSONResponse({"status": "ok"})

    async def _reading(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._reader, function, *arguments)

    async def _metrics(self, _: Request) -> Response:
        return Response(exposition.generate_latest(self.metrics.registry), media_type=exposition.CONTENT_TYPE_LATEST)

    async def _take(self, request: Request, *, kind: str) -> Response:
        try:
            caller = await self._caller(request)
            _need_json(request)
            self._need_sound()
            self._need_place()
            accepted, new = await self._kept(request, caller=caller, kind=kind)
        except ClientDisconnect:
            return Response(status_code=400)
        except errors.FairwayError as error:
            self._learn(error)
            status, reason = meaning(error)
            self.metrics.rejected.labels(reason).inc()
            return _refusal(error, status=status)
        return JSONResponse({"accepted": accepted, "new": new}, status_code=202)

    async def _kept(self, request: Request, *, caller: access.Caller, kind: str) -> tuple[int, int]:
        """Return how many events came and how many of them were new, once they are in the store."""
        largest = await self._largest(request, caller=caller)
        body = await self._whole(request, caller=caller, largest=largest)
        with self._waits():
            rows = await self._rows(body, _form(request, kind=kind, largest=largest))
            with self._in_work(sum(map(_size, rows))):
                await self._permit(caller, _acts(rows))
                return await asyncio.shield(
                    self._writing(self._write, rows)
                )  # a client that hangs up must not cancel a write half-way

    async def _whole(self, request: Request, *, caller: access.Caller, largest: int) -> bytes:
        """Return the body when all of it has come."""
        too_large = TOO_LARGE if largest == MAX_BODY_BYTES else UNPROVEN
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > largest:
            raise bodies.TooLarge(too_large)
        address = request.client.host if request.client else ""
        return await self._bodies.read(
            request.stream(), caller=f"{caller.name} {address}", largest=largest, too_large=too_large
        )

    async def _rows(self, body: bytes, form: parsing.Form) -> list[events.Row]:
        """Return the events in the body, which counts as work until they are read."""
        with self._in_work(len(body)):
            if len(body) <= parsing.INLINE_BYTES and form.encoding.strip().lower() in decoding.IDENTITY:
                rows: list[events.Row] = await self._writing(parsing.parsed, body, form)
                return rows
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._parsing, self._parser.parsed, body, form)

    def _need_place(self) -> None:
        if self._waiting >= MAX_WAITING:
            raise errors.StoreBusy(
                f"{MAX_WAITING} batches wait for the event store already; nothing was stored, try again"
            )

    @contextmanager
    def _waits(self) -> Iterator[None]:
        """Hold a place among those that wait for the store."""
        self._need_place()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @contextmanager
    def _in_work(self, size: int) -> Iterator[None]:
        """Count what waits to be stored: a body that was compressed is many times larger now."""
        self._need_room(size)
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size

    def _need_room(self, size: int) -> None:
        if self._bytes + size > MAX_BYTES_IN_WORK:
            raise errors.StoreBusy(
                f"{MAX_BYTES_IN_WORK} bytes of events are in work already; nothing was stored, try again"
            )

    async def _largest(self, request: Request, *, caller: access.Caller) -> int:
        """Return how many bytes a body may have."""
        if caller.serves is not None:
            return MAX_BODY_BYTES
        query = request.query_params
        kind: access.Kind = "outcome" if request.url.path.endswith("/outcomes") else "label"
        try:
            await self._permit(
                caller, [access.Act(kind, query.get("namespace", NAMESPACE), query.get("deployment", ""))]
            )
        except access.Denied:
            return UNPROVEN_BODY_BYTES
        return MAX_BODY_BYTES

    async def _evidence(self, ask: Question, request: Request) -> Response:
        try:
            caller = await self._caller(request)
            await self._permit(caller, [access.Act("evidence", request.query_params.get("namespace", ""), "")])
            self._need_sound()
            if self._asking >= MAX_WAITING:
                raise errors.StoreBusy(f"{MAX_WAITING} questions wait for the event store already; try again")
            self._asking += 1
            try:
                answer = await self._reading(partial(_answered, ask=ask), self._read_store, request.query_params)
            finally:
                self._asking -= 1
        except errors.FairwayError as error:
            self._learn(error)
            return _refusal(error, status=meaning(error)[0])
        return Response(orjson.dumps(answer), media_type="application/json")

    def _need_sound(self) -> None:
        if "damage" in self._unwell:
            raise errors.StoreDamaged(self._unwell["damage"])

    async def _caller(self, request: Request) -> access.Caller:
        _need_no_page(request, loopback=self._loopback)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else None
        reviewers = self._known if self._gate.met(given) else self._strangers
        caller: access.Caller = self._gate.remembered(given) or await reviewers.ask(self._gate.caller, given)
        return caller

    async def _permit(self, caller: access.Caller, acts: Iterable[access.Act]) -> None:
        """Raise Denied unless the caller may do all of it; what is remembered waits for nobody."""
        unknown = self._gate.unknown(caller, acts)
        if unknown:
            await self._known.ask(self._gate.permit, caller, unknown)

    def _writing(self, function: Callable[..., Any], *arguments: object) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(self._writer, function, *arguments)

    def _write(self, rows: list[events.Row]) -> tuple[int, int]:
        with self.metrics.seconds.time():
            try:
                new = self._store.add_new(rows, at=self._clock.now())
            except errors.StoreBusy:
                self.metrics.busy.set(1)
                raise
        self.metrics.busy.set(0)
        self.metrics.count(rows, new=new)
        return len(rows), len(new)


def meaning(error: errors.FairwayError) -> tuple[int, str]:
    """Return the HTTP status of what was refused, and the reason in a word."""
    if isinstance(error, decoding.Undecodable):
        return error.status, "undecodable"
    kinds: tuple[tuple[type[errors.FairwayError], int, str], ...] = (
        (access.Unauthenticated, 401, "unauthenticated"),
        (access.Denied, 403, "denied"),
        (bodies.TooLarge, 413, "too_large"),
        (NotJson, 415, "invalid"),
        (bodies.Slow, 408, "slow"),
        (errors.DataError, 400, "invalid"),
        (errors.StoreReplaced, 410, "replaced"),
        (errors.StoreBusy, 503, "busy"),
        (errors.Unavailable, 503, "unavailable"),
        (errors.StoreDamaged, 503, "damaged"),
    )
    return next(((status, reason) for kind, status, reason in kinds if isinstance(error, kind)), (503, "refused"))


def _refusal(error: errors.FairwayError, *, status: int) -> Response:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER_SECONDS)}}.get(status)
    return JSONResponse({"error": str(error)}, status_code=status, headers=headers)


def _need_no_page(request: Request, *, loopback: bool) -> None:
    """Refuse what a browser sends for a page of somebody else's: it says so by Origin, and a name that was bent to this machine by Host."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None:
        raise access.Denied(
            f"the request is a web page's (Origin {events.shown(origin)}): wanted a program's, without Origin"
        )
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if loopback and name not in LOOPBACK:
        raise access.Denied(
            f"the request is for host {events.shown(host)}: wanted {' or '.join(LOOPBACK)}, where this collector listens"
        )


def _need_json(request: Request) -> None:
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() not in JSON_TYPES:
        raise NotJson(
            f"the Content-Type is {events.shown(given or None)}: wanted {JSON_TYPES[0]} or {JSON_TYPES[2]}; nothing was stored"
        )


def _acts(rows: list[events.Row]) -> set[access.Act]:
    """Return what the rows are about; only a prediction has a revision."""
    kinds: dict[str, access.Kind] = {"prediction": "prediction", "label": "label", "outcome": "outcome"}
    return {
        access.Act(kinds[row.type], row.namespace, row.deployment, row.revision if row.type == "prediction" else "")
        for row in rows
    }


def _size(row: events.Row) -> int:
    return sum(len(text) for text in (row.labels, row.inputs, row.probabilities) if text)


def _form(request: Request, *, kind: str, largest: int) -> parsing.Form:
    query = request.query_params
    return parsing.Form(
        kind=kind,
        encoding=", ".join(request.headers.getlist("content-encoding")),
        largest=largest,
        deployment=query.get("deployment"),
        namespace=query.get("namespace", NAMESPACE),
        now=time.time(),
    )


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _is_file(place: str) -> bool:
    return not place.startswith(("postgresql://", "postgres://"))


def _open(place: str, *, timeout_seconds: float) -> store.EventStore:
    """Return the store at a path, or at the URL of a PostgreSQL."""
    if _is_file(place):
        return store.EventStore(Path(place), timeout_seconds=timeout_seconds)
    try:
        from fairway.monitoring import postgres
    except ImportError as error:
        raise errors.UsageError(
            f'a store in PostgreSQL needs psycopg ({error}): install it with `pip install "fairway[postgres]"`'
        ) from error
    return postgres.PostgresStore(place, timeout_seconds=timeout_seconds)


def _answered(opened: store.EventStore, query: Mapping[str, str], *, ask: Question) -> Answer:
    """Return the answer with the identity of the store that its cursor is of; raise StoreReplaced where the query's cursors are another's."""
    with opened.reading():
        position = opened.position()
        cursors = [_number(query, key) for key in ("after", "until") if key in query]
        store.known(position, identity=query.get("store", ""), cursors=cursors)
        return {"store": position.store, **ask(opened, query)}


def _cursor(opened: store.EventStore, _: Mapping[str, str]) -> Answer:
    return {"cursor": opened.cursor()}


def _pairs(opened: store.EventStore, query: Mapping[str, str]) -> Answer:
    stable, candidate = _name(query, "stable"), _name(query, "candidate")
    cursor, pairs = opened.pairs(
        _name(query, "deployment"),
        namespace=_name(query, "namespace"),
        stable=stable,
        candidate=candidate,
        after=_number(query, "after"),
    )
    return {"cursor": cursor, "pairs": asdict(pairs)}


def _labelled(opened: store.EventStore, query: Mapping[str, str]) -> Answer:
    by = _name(query, "by") if "by" in query else None
    return _rows(store.Labelled, opened.labelled(_name(query, "deployment"), **_span(query), by=by))


def _outcomes(opened: store.EventStore, query: Mapping[str, str]) -> Answer:
    return _rows(store.Outcome, opened.outcomes(_name(query, "deployment"), **_span(query)))


def _exposure(opened: store.EventStore, query: Mapping[str, str]) -> Answer:
    return _rows(store.Exposure, opened.exposure(_name(query, "deployment"), **_span(query)))


def _span(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the namespace, and from which event to which is asked."""
    return {
        "namespace": _name(query, "namespace"),
        "after": _number(query, "after"),
        "until": _number(query, "until") if "until" in query else None,
    }


def _rows(kind: Any, answer: tuple[int, Sequence[tuple[Any, ...]]]) -> Answer:
    cursor, found = answer
    return {"cursor": cursor, "fields": kind._fields, "rows": [tuple(row) for row in found]}


QUESTIONS: dict[str, Question] = {
    "cursor": _cursor,
    "pairs": _pairs,
    "labelled": _labelled,
    "outcomes": _outcomes,
    "exposure": _exposure,
}


def _name(query: Mapping[str, str], key: str) -> str:
    value = query.get(key, "")
    if not 0 < len(value) <= events.LONGEST_NAME or not events.storable(value):
        raise errors.DataError(
            f"the query's {key} is {events.shown(value or None)}: wanted a name of 1 to {events.LONGEST_NAME} characters"
        )
    return value


def _number(query: Mapping[str, str], key: str) -> int:
    text = query.get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise errors.DataError(
            f"the query's {key} is {events.shown(text or None)}: wanted the cursor of the last answer, 0 for the first"
        )
    return int(text)


def serve(
    *,
    place: str,
    gate: access.Access,
    host: str,
    port: int,
    keep: timedelta | None = None,
    max_bytes: int = upkeep.MAX_BYTES,
    reserve: bool = False,
) -> None:
    """Answer until SIGTERM or SIGINT, finishes what was begun, and returns."""
    collector = Collector(place, gate=gate, keep=keep, max_bytes=max_bytes, reserve=reserve, loopback=host in LOOPBACK)
    try:
        listener = socket.create_server((host, port), backlog=512)
    except OSError as error:
        raise errors.UsageError(
            f"cannot listen on {host}:{port} ({error}): name another --port, or 0 for a free one"
        ) from error
    # uvicorn sends itself the signal again when it has finished; ending then is what we want, dying of it is not.
    signal.signal(signal.SIGTERM, _ignore)
    signal.signal(signal.SIGINT, _ignore)
    print(f"collector listens on http://{host}:{listener.getsockname()[1]}, stores to {collector.name}", flush=True)
    settings = uvicorn.Config(
        collector.app,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    uvicorn.Server(settings).run(sockets=[listener])


def local_gate(auth: str, *, token_file: Path | None) -> access.Access:
    """Return the access that needs no API server; the token file is made where it is missing."""
    if auth == "none":
        return access.Open()
    if token_file is None:
        raise errors.UsageError(
            "--auth token-file needs --token-file FILE (it is made where it is missing, readable by its owner alone): "
            "whoever reaches the collector would be believed otherwise; --auth none says that you want that"
        )
    try:
        return access.OwnersToken(access.make_token_file(token_file))
    except OSError as error:
        raise errors.UsageError(
            f"--token-file {token_file} cannot be made ({error.strerror}): name one that this process may write"
        ) from error


def _ignore(_: int, __: FrameType | None) -> None:
    pass


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fairway.monitoring.collector", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--store", required=True, help="the event store: a file, or postgresql://user:password@host/database"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="the port to listen on, 0 for a free one")
    parser.add_argument("--token-file", type=Path, help="the token that callers must have; made where it is missing")
    parser.add_argument(
        "--auth",
        choices=("token-file", "none"),
        default="token-file",
        help="how callers are told apart (default: %(default)s)",
    )
    parser.add_argument(
        "--retention", type=sections.parse_duration, help="let events go that are older, such as 90d (default: none)"
    )
    parser.add_argument(
        "--max-bytes",
        type=upkeep.parse_bytes,
        default=upkeep.MAX_BYTES,
        help="let the oldest events go beyond it, such as 8Gi (the default)",
    )
    parser.add_argument(
        "--reserve",
        action="store_true",
        help="hold room on the volume, up to 128 MiB, to remove events with when it is full",
    )
    arguments = parser.parse_args(argv)
    try:
        gate = local_gate(arguments.auth, token_file=arguments.token_file)
        serve(
            place=arguments.store,
            gate=gate,
            host=arguments.host,
            port=arguments.port,
            keep=arguments.retention,
            max_bytes=arguments.max_bytes,
            reserve=arguments.reserve,
        )
    except errors.FairwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())

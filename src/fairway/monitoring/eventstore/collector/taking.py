"""How a body becomes stored events: it comes whole, is parsed, its caller is permitted, and one
thread writes it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from starlette.requests import Request

from fairway import clocks, errors
from fairway.monitoring.eventstore import access, answers, archive, cloudevents, loggers
from fairway.monitoring.eventstore.collector import bodies, callers, joining, parsing, series
from fairway.serving import decoding

MAX_BODY_BYTES = 64 * 2**20
MAX_WAITING = 64  # batches that wait for the writer: beyond it the sender is told to come back
# of all whole bodies together: the memory limit is for as much, parsed
MAX_BYTES_IN_WORK = 2 * MAX_BODY_BYTES
MAX_BYTES_COMING = MAX_BODY_BYTES  # of all bodies together that are under way still
# of a caller with neither a pod nor, where its query says, a role: only its body tells what it
# wants
UNPROVEN_BODY_BYTES = 2**20
TOO_LARGE = (
    f"the body is larger than {MAX_BODY_BYTES} bytes: send fewer events at once; nothing was stored"
)
UNPROVEN = (
    f"the body is larger than {UNPROVEN_BODY_BYTES} bytes: for more, name in the query the namespace (and the "
    f"deployment) "
    "in which your role is, such as ?namespace=shop; nothing was stored"
)
BY_PATH: dict[str, access.Kind] = {"outcomes": "outcome", "payloads": "payload"}
KINDS: dict[str, access.Kind] = {"prediction": "prediction", "label": "label", "outcome": "outcome"}


class Taking:
    """The way of bodies into one store; `writer` is the thread that writes it."""

    def __init__(
        self,
        store: archive.EventStore,
        *,
        clock: clocks.Steady,
        writer: Executor,
        known: callers.Callers,
        counted: series.Series,
    ) -> None:
        self._store, self._clock, self._writer = store, clock, writer
        self._joining = joining.Joining(store, writer=writer)
        self._callers, self._series = known, counted
        self._bodies = bodies.Bodies(most_bytes=MAX_BYTES_COMING)
        self._parser = parsing.Parser()
        self._parsing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-parser")
        # one batch is read while the one before it waits for the database
        self._inline = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-inline")
        self._waiting = self._bytes = 0

    def close(self) -> None:
        self._inline.shutdown(wait=True)
        self._parsing.shutdown(wait=True)
        self._parser.close()

    async def take(
        self, request: Request, *, caller: access.Principal, kind: str
    ) -> dict[str, int]:
        """Return how many events came, were new and are of unknown requests, once all of them are
        in the store."""
        self._need_place()
        largest = await self._largest(request, caller=caller)
        body = await self._whole(request, caller=caller, largest=largest)
        with self._waits():
            rows = await self._rows(body, _form(request, kind=kind, largest=largest))
            with self._in_work(sum(map(_size, rows))):
                await self._callers.permit(caller, _acts(rows))
                take = self._take_events if kind != "payloads" else self._take_halves
                # A client that hangs up must not cancel a write half-way.
                return await asyncio.shield(take(rows))

    async def _largest(self, request: Request, *, caller: access.Principal) -> int:
        """Return how many bytes a body may have."""
        if caller.serves is not None:
            return MAX_BODY_BYTES
        query = request.query_params
        kind = BY_PATH.get(request.url.path.rpartition("/")[2], "label")
        act = access.Act(
            kind, query.get("namespace", answers.NAMESPACE), query.get("deployment", "")
        )
        try:
            await self._callers.permit(caller, [act])
        except access.Denied:
            return UNPROVEN_BODY_BYTES
        return MAX_BODY_BYTES

    async def _whole(self, request: Request, *, caller: access.Principal, largest: int) -> bytes:
        """Return the body when all of it has come."""
        too_large = TOO_LARGE if largest == MAX_BODY_BYTES else UNPROVEN
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > largest:
            raise bodies.TooLarge(too_large)
        address = request.client.host if request.client else ""
        return await self._bodies.read(
            request.stream(),
            caller=f"{caller.name} {address}",
            largest=largest,
            too_large=too_large,
        )

    async def _rows(self, body: bytes, form: parsing.Form) -> list[Any]:
        """Return the events in the body, which counts as work until they are read."""
        with self._in_work(len(body)):
            plain = form.encoding.strip().lower() in decoding.IDENTITY
            if plain and len(body) <= parsing.INLINE_BYTES:
                found = await _in(self._inline, parsing.parsed, body, form)
            else:
                found = await _in(self._parsing, self._parser.parsed, body, form)
        rows: list[parsing.Read] = found
        return rows

    async def _take_events(self, rows: list[cloudevents.EventRow]) -> dict[str, int]:
        new = await self._stored(partial(self._store.add_new, rows), rows=len(rows))
        self._series.count(rows, new=new)
        late = [row for row in rows if row.type != "prediction"]
        unknown = await _in(self._writer, self._unknown, late) if late else {}
        return {"accepted": len(rows), "new": len(new), **unknown}

    async def _take_halves(self, given: list[loggers.Half]) -> dict[str, int]:
        met, new = await self._stored(partial(self._store.add_halves, given), rows=len(given))
        self._series.count(met.rows, new=new)
        self._series.rejected.labels("rows").inc(len(met.apart))
        return {"accepted": len(given), "joined": len(met.rows), "new": len(new)}

    async def _stored(self, add: Callable[..., Any], *, rows: int) -> Any:
        """Return what `add` returns once what it has written is stored, with others' events."""
        with self._series.seconds.time():
            try:
                added = partial(add, at=self._clock.now())
                found = await asyncio.wrap_future(self._joining.put(added, rows=rows))
            except errors.StoreBusy:
                self._series.busy.set(1)
                raise
        self._series.busy.set(0)
        return found

    def _unknown(self, rows: list[cloudevents.EventRow]) -> dict[str, int]:
        """Return how many of the stored rows are of unknown requests; nothing where the store
        cannot tell now."""
        try:
            unknown = self._store.unanswered(rows)
        # the rows are stored: a sender who is refused would send them for nothing
        except errors.FairwayError:
            return {}
        return {"unknown": unknown} if unknown else {}

    def _need_place(self) -> None:
        if self._waiting >= MAX_WAITING:
            raise errors.StoreBusy(
                f"{MAX_WAITING} batches wait for the event store already; nothing was stored, try again"
            )

    @contextmanager
    def _waits(self) -> Iterator[None]:
        """Hold a place among the batches that wait for the store."""
        self._need_place()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @contextmanager
    def _in_work(self, size: int) -> Iterator[None]:
        """Count what waits to be stored: a body that was compressed is many times larger once it is
        read."""
        if self._bytes + size > MAX_BYTES_IN_WORK:
            raise errors.StoreBusy(
                f"{MAX_BYTES_IN_WORK} bytes of events are in work already; nothing was stored, try again"
            )
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size


def _form(request: Request, *, kind: str, largest: int) -> parsing.Form:
    query = request.query_params
    return parsing.Form(
        kind=kind,
        encoding=", ".join(request.headers.getlist("content-encoding")),
        largest=largest,
        deployment=query.get("deployment"),
        namespace=query.get("namespace", answers.NAMESPACE),
        now=time.time(),
        attributes=loggers.attributes(request.headers) if kind == "payloads" else None,
        told=tuple(loggers.told(query)) if kind == "payloads" else (),
    )


def _acts(rows: list[parsing.Read]) -> set[access.Act]:
    """Return what the rows are about; only a prediction has a revision."""
    return {_act(row) for row in rows}


def _act(row: parsing.Read) -> access.Act:
    if isinstance(row, loggers.Half):
        return access.Act("payload", row.namespace, row.deployment)
    revision = row.revision if row.type == "prediction" else ""
    return access.Act(KINDS[row.type], row.namespace, row.deployment, revision)


def _size(row: parsing.Read) -> int:
    return sum(len(text) for text in (row.labels, row.task, row.inputs, row.probabilities) if text)


def _in(
    threads: Executor, function: Callable[..., Any], *arguments: object
) -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().run_in_executor(threads, function, *arguments)

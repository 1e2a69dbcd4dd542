"""The collector as an application: its routes, and the threads behind them."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import orjson
from prometheus_client import exposition
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fairway import clocks, errors
from fairway.monitoring.eventstore import access, places
from fairway.monitoring.eventstore.collector import (
    callers,
    condition,
    keeping,
    parsing,
    peers,
    questions,
    refusals,
    series,
    taking,
    tending,
    upkeep,
)

# below the sender's patience, so that it hears "busy" rather than nothing
STORE_TIMEOUT_SECONDS = 1.0
READ_TIMEOUT_SECONDS = 5.0
MAX_ASKING = 64  # questions that wait for the reader


class Collector:
    """The application around one store.

    `packages`: servers are asked to show theirs, for a monitor that is elsewhere. `keep` is how
    long events are kept, by default for ever, and `max_bytes` how many. On a volume of its own some
    room is held in `reserve`, to remove events with when it is full. `loopback`:
    only this machine's callers are served; `proof` reads from a request what `gate` knows its
    caller by. When events came, and how long that is ago, is by a steady clock: whatever the
    machine's is set to, they are kept for nine tenths of it.
    """

    def __init__(
        self,
        place: str,
        *,
        gate: access.Access,
        proof: peers.ReadProof = peers.bearer,
        keep: timedelta | None = None,
        max_bytes: int = upkeep.MAX_BYTES,
        reserve: bool = False,
        packages: bool = False,
        loopback: bool = True,
        source: clocks.Source = clocks.MACHINE,
    ) -> None:
        self._store = places.opened(place, timeout_seconds=STORE_TIMEOUT_SECONDS)
        self._read_store = places.opened(place, timeout_seconds=READ_TIMEOUT_SECONDS)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-writer")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-reader")
        self._asking = 0
        self._callers = callers.Callers(gate, loopback=loopback, proof=proof)
        self._condition = condition.Condition()
        self.name = self._store.name
        self.series = series.Series()
        clock = clocks.Steady(source, start=self._read_store.newest_at())
        held = (
            upkeep.Reserve(Path(place).with_suffix(".reserve"))
            if reserve and places.is_file(place)
            else None
        )
        self._taking = taking.Taking(
            self._store, clock=clock, writer=self._writer, known=self._callers, counted=self.series
        )
        self._keeping = keeping.Keeping(
            self._store,
            self._read_store,
            clock=clock,
            writer=self._writer,
            reader=self._reader,
            known=self._callers,
            packages=packages,
        )
        self._tending = tending.Tending(
            self._read_store,
            bounds=upkeep.Upkeep(
                self._read_store, keep=keep, max_bytes=max_bytes, now=clock.now, reserve=held
            ),
            clock=clock,
            reader=self._reader,
            writer=self._writer,
            known=self._condition,
            counted=self.series,
        )
        self.app = Starlette(routes=self._routes(), lifespan=self._lifespan)

    def _routes(self) -> list[Route]:
        takers = [
            Route(f"/v1/{name}", partial(self._take, kind=name), methods=["POST"])
            for name in parsing.READERS
        ]
        kinds: tuple[tuple[access.Kind, dict[str, questions.Question]], ...] = (
            ("evidence", questions.QUESTIONS),
            ("inputs", questions.INPUTS),
        )
        askers = [
            Route(f"/v1/{name}", partial(self._evidence, ask, kind))
            for kind, asked in kinds
            for name, ask in asked.items()
        ]
        keepers = [
            Route(path, partial(self._keep, answer), methods=list(methods))
            for path, answer, methods in (
                ("/v1/packages", self._keeping.package, ("GET", "POST")),
                ("/v1/blobs", self._keeping.blob, ("GET", "PUT", "DELETE")),
                ("/v1/conclusions", self._keeping.conclude, ("POST",)),
            )
        ]
        return [
            *takers,
            *askers,
            *keepers,
            Route("/livez", _alive),
            Route("/healthz", self._health),
            Route("/metrics", self._metrics),
        ]

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self._tending.keep_up()),
            asyncio.create_task(self._tending.keep_checking()),
        ]
        yield
        self._tending.close()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.close()

    def close(self) -> None:
        """End all threads and processes; what was begun is written."""
        self._tending.close()
        self._callers.shutdown()
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._taking.close()
        self._writer.shutdown(wait=True)
        self._read_store.close()
        self._store.close()

    async def _take(self, request: Request, *, kind: str) -> Response:
        try:
            caller = await self._callers.caller(request)
            # an event in headers has the type of what another server was asked
            if kind != "payloads" or "ce-type" not in request.headers:
                refusals.need_json(request)
            self._condition.need_sound()
            taken = await self._taking.take(request, caller=caller, kind=kind)
        except ClientDisconnect:
            return Response(status_code=400)
        except errors.FairwayError as error:
            self._condition.learn(error)
            status, reason = refusals.meaning(error)
            self.series.rejected.labels(reason).inc()
            return refusals.answer(error, status=status)
        return JSONResponse(taken, status_code=202)

    async def _evidence(
        self, ask: questions.Question, kind: access.Kind, request: Request
    ) -> Response:
        try:
            caller = await self._callers.caller(request)
            query = request.query_params
            deployment = query.get("deployment", "") if kind == "inputs" else ""
            await self._callers.permit(
                caller, [access.Act(kind, query.get("namespace", ""), deployment)]
            )
            self._condition.need_sound()
            answer = await self._asked(ask, request)
        except errors.FairwayError as error:
            self._condition.learn(error)
            return refusals.answer(error, status=refusals.meaning(error)[0])
        return Response(orjson.dumps(answer), media_type="application/json")

    async def _keep(self, answer: keeping.Answer, request: Request) -> Response:
        try:
            caller = await self._callers.caller(request)
            self._condition.need_sound()
            return await answer(request, caller)
        except ClientDisconnect:
            return Response(status_code=400)
        except errors.FairwayError as error:
            self._condition.learn(error)
            return refusals.answer(error, status=refusals.meaning(error)[0])

    async def _asked(self, ask: questions.Question, request: Request) -> questions.Answer:
        if self._asking >= MAX_ASKING:
            raise errors.StoreBusy(
                f"{MAX_ASKING} questions wait for the event store already; try again"
            )
        self._asking += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._reader,
                partial(questions.answered, self._read_store, request.query_params, ask=ask),
            )
        finally:
            self._asking -= 1

    async def _health(self, _: Request) -> Response:
        if sentence := self._condition.sentence:
            return JSONResponse({"status": "unwell", "error": sentence}, status_code=503)
        return JSONResponse({"status": "ok"})

    async def _metrics(self, _: Request) -> Response:
        return Response(
            exposition.generate_latest(self.series.registry),
            media_type=exposition.CONTENT_TYPE_LATEST,
        )


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "ok"})

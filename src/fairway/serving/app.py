"""The hot path: a bare ASGI application that answers the Open Inference Protocol v2, without a
framework's layers.

One request is parsed, predicted and written by one plain function, `_answer`. It runs in the event
loop where it is fast, which saves two thread switches, and in a thread where it is not; `costs`
says which sizes of a body are fast on this machine. A request is in work once its body is
whole: `uploads` bounds what comes before, `admission` what waits.
"""

import asyncio
import contextlib
import functools
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from fairway import errors
from fairway.config import sections
from fairway.serving import (
    admission,
    command,
    costs,
    decoding,
    eventlog,
    headers,
    meters,
    predictor,
    protocol,
    uploads,
)
from fairway.serving.reply import InferenceReply

log = logging.getLogger("fairway.serving")

Scope = MutableMapping[str, Any]
Receive = uploads.Receive
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

UNPACKED_A_SECOND = 1 << 29  # bytes that zlib writes, about; how far that is off is learned
UNPACKS_TO = 1032  # times its size, at most: deflate's own bound
TICK_SECONDS = 1.0  # between two values of the gauges
# of a copy: it was not answered, so there is nothing to compare
NO_EVENT = {408, uploads.GONE, 429}


class Application:
    """Answers `/v2`: inference, health and metadata of one model."""

    def __init__(
        self,
        model: predictor.Predictor,
        *,
        settings: sections.Serving,
        origin: eventlog.Origin,
        events: eventlog.EventLog,
    ) -> None:
        self.ready = False
        self.draining = False
        self.costs = costs.Costs()
        self._model = model
        self._origin = origin
        self._revision = origin.revision.encode()
        self._events = events
        self._timeout = settings.timeout.total_seconds()
        self._lenient = settings.lenient
        self._largest = settings.max_body_mebibytes << 20
        self._turns = admission.Turns()
        self._uploads = uploads.Uploads(largest=self._largest, seconds=self._timeout)
        self._backlog = admission.Backlog(
            threads=settings.threads,
            timeout=self._timeout,
            most=-(-settings.max_concurrency // settings.workers),
        )
        self._unpacking = admission.Backlog(
            threads=1, timeout=self._timeout, most=settings.max_concurrency
        )
        self._shown = origin.revision if settings.reveal_revision else None
        self._routes = _routes({model.name, origin.deployment}, revision=origin.revision)
        self._most_rows = max(protocol.LARGEST_ANSWER // model.row_bytes, 1)
        self._meters = meters.Meters(origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = self._routes.get(scope["path"])
        if kind == "infer" and scope["method"] == "POST":
            await self._infer(scope, receive, send)
            return
        status, document = self._describe(kind, path=scope["path"], method=scope["method"])
        await self._send(send, status, orjson.dumps(document), ())
        if status == 404 and scope["method"] == "POST":
            self._log_unknown(scope)

    def calibrate(self) -> None:
        """Measure what requests cost; also warms the model."""
        self.costs = costs.by_size(self._model, answer=self._tried, timeout=self._timeout)
        self.costs = costs.by_form(self.costs, self._model, answer=self._tried)

    def _tried(self, body: bytes) -> None:
        with contextlib.suppress(protocol.Invalid):  # the dear one
            Application._answer(self, body, headers.RequestHead())

    def watch(self) -> None:
        """Keep the gauges of what waits; called in the event loop once, when the server is ready."""
        longest = max(self._turns.longest(), self._backlog.wait())
        self._meters.waiting(self._backlog.waiting, seconds=longest)
        asyncio.get_running_loop().call_later(TICK_SECONDS, self.watch)

    def close(self) -> None:
        self._backlog.close()
        self._unpacking.close()

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = headers.RequestHead()
        call.arrived = time.perf_counter()
        reply = await self._reply(call, scope, receive)
        seconds = time.perf_counter() - call.arrived
        if call.role != "named" and not (call.role == "shadow" and reply.status in NO_EVENT):
            self._events.append(
                eventlog.Record(
                    call.request_id,
                    call.unit,
                    call.role,
                    reply.status,
                    time.time(),
                    seconds,
                    call.digest,
                    reply.rows,
                    reply.columns,
                    reply.labels,
                    reply.raw,
                    call.size,
                    call.client,
                )
            )
        if reply.status != uploads.GONE:
            await self._send(send, reply.status, reply.body, self._headers(call, reply))
        self._meters.count(call.role, reply, seconds=seconds)

    def _log_unknown(self, scope: Scope) -> None:
        """Leave an event of a request to a path that this revision does not know and another may."""
        call = headers.RequestHead()
        with contextlib.suppress(protocol.Invalid):
            headers.read(scope["headers"], into=call, revision=self._revision)
        self._meters.count(call.role, InferenceReply(404, b""), seconds=0.0)
        if call.role == "named":
            return
        self._events.append(
            eventlog.Record(
                call.request_id,
                call.unit,
                call.role,
                404,
                time.time(),
                0.0,
                call.digest,
                client=call.client,
            )
        )

    async def _reply(
        self, call: headers.RequestHead, scope: Scope, receive: Receive
    ) -> InferenceReply:
        """Return the answer, whatever happens: every failure has its status and its sentence."""
        try:
            headers.read(scope["headers"], into=call, revision=self._revision)
            body = await self._uploads.read(receive, announced=call.content_length)
            call.arrived = time.perf_counter()
            longest = admission.longest_wait(self._timeout, shadow=call.role == "shadow")
            deadline = asyncio.get_running_loop().time() + self._timeout
            if call.encoding:
                body = await self._unpacked(body, call, longest=longest, deadline=deadline)
            if len(body) <= self.costs.inline_bytes:
                await self._turns.mine(cost=self.costs.of(len(body)), longest=longest)
                return self._answer(body, call)
            if (cost := self.costs.most(len(body), document=call.header_length)) > self._timeout:
                raise protocol.Invalid(
                    f"the request has {len(body)} bytes, about {cost:.1f} s of work: wanted at most "
                    f"{self._timeout:g} s of it "
                    "(serving.timeout), send fewer rows in each request",
                    status=413,
                )
            self._backlog.admit(longest=longest)
            return await self._backlog.run(
                functools.partial(self._answer, body, call), cost=cost, deadline=deadline
            )
        except (protocol.Invalid, decoding.Undecodable) as error:
            return InferenceReply(error.status, _error(str(error)))
        except TimeoutError:
            return InferenceReply(
                504,
                _error(
                    f"the answer took longer than {self._timeout:g} s: send fewer rows, or raise serving.timeout"
                ),
            )
        except errors.ModelError as error:
            log.error("Request %s failed: %s", call.request_id, error)
            return InferenceReply(500, _error(str(error)))
        except Exception:  # the edge: the client gets an answer, and the event log the failure
            log.exception("Request %s failed.", call.request_id)
            return InferenceReply(
                500, _error("the server failed on this request, its log says why")
            )

    async def _unpacked(
        self, body: bytes, call: headers.RequestHead, *, longest: float, deadline: float
    ) -> bytes:
        """Return the body as it was before it was compressed: what it costs shows only then, and
        the threads that predict do not wait for it."""
        self._unpacking.admit(longest=longest)
        return await self._unpacking.run(
            functools.partial(
                decoding.decoded, body, encoding=call.encoding, largest=self._largest
            ),
            cost=min(self._largest, UNPACKS_TO * len(body)) / UNPACKED_A_SECOND,
            deadline=deadline,
        )

    def _answer(self, body: bytes, call: headers.RequestHead) -> InferenceReply:
        note(body, call)
        request = protocol.parse(
            body,
            features=self._model.features,
            outputs=self._model.outputs,
            header_length=call.header_length,
            most_rows=self.costs.most_rows,
            lenient=self._lenient,
        )
        return self._predicted(request, call)

    def _predicted(self, request: protocol.Request, call: headers.RequestHead) -> InferenceReply:
        if request.rows > self._most_rows:
            raise protocol.Invalid(
                f"the request has {request.rows} rows: wanted at most {self._most_rows}, so that the answer stays in "
                f"bounds",
                status=413,
            )
        raw = self._model.predict(request.columns, unreadable=request.unreadable)
        labels = self._model.labels(raw)
        text, length = protocol.answer(
            request,
            outputs=self._model.outputs,
            value=lambda name: self._model.task.value(name, raw=raw, labels=labels),
            model=self._model.name,
            revision=self._shown,
            request_id=call.request_id,
        )
        reply = InferenceReply(200, text)
        reply.header_length, reply.columns, reply.rows = length, request.columns, request.rows
        reply.labels, reply.raw = labels, raw
        reply.unusual, reply.unreadable = self._model.unusual(request.columns), request.unreadable
        return reply

    def _headers(
        self, call: headers.RequestHead, reply: InferenceReply
    ) -> tuple[tuple[bytes, bytes], ...]:
        common: tuple[tuple[bytes, bytes], ...] = ((b"x-request-id", call.request_id.encode()),)
        if self._shown is not None:
            common = (*common, (b"x-fairway-revision", self._revision))
        if reply.header_length is not None:
            return (*common, (protocol.HEADER_LENGTH, b"%d" % reply.header_length))
        return (*common, (b"retry-after", b"1")) if reply.status in (429, 503) else common

    async def _send(
        self, send: Send, status: int, body: bytes, extra: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        binary = bool(extra) and extra[-1][0] == protocol.HEADER_LENGTH
        content_type = b"application/octet-stream" if binary else b"application/json"
        fields = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *extra]
        if self.draining or status == 408:
            # the client's next request finds a server that stays
            fields.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    def _describe(self, kind: str | None, *, path: str, method: str) -> tuple[int, Any]:
        """Return status and document of everything but inference."""
        if kind is None:
            return 404, {
                "error": f"{path} is not served here: wanted /v2/models/{self._model.name}/infer"
            }
        if kind == "infer":
            return 405, {"error": f"{path} was asked with {method}: wanted POST"}
        if kind == "live":
            return 200, {"live": True}
        if kind == "ready":
            ready = self.ready and not self.draining
            return (200 if ready else 503), {"name": self._model.name, "ready": ready}
        if kind == "server":
            return 200, command.SERVER
        return 200, self._model.metadata(revision=self._shown)


def _routes(names: set[str], *, revision: str) -> dict[str, str]:
    routes = {
        "/v2": "server",
        "/v2/": "server",
        "/v2/health/live": "live",
        "/v2/health/ready": "ready",
    }
    for name in names:
        for base in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{revision}"):
            routes |= {
                base: "model",
                f"{base}/": "model",
                f"{base}/ready": "ready",
                f"{base}/infer": "infer",
            }
    return routes


def note(body: bytes, call: headers.RequestHead) -> None:
    """Keep the plain body's digest and size for its event."""
    call.digest, call.size = hashlib.blake2b(body, digest_size=8).hexdigest(), len(body)


def _error(sentence: str) -> bytes:
    return orjson.dumps({"error": sentence})

"""The hot path: a bare ASGI application that answers the Open Inference Protocol v2, without a
framework's layers.

One request is parsed, predicted and written by one plain function, `_answer`. It runs in the event
loop where it is fast, which saves two thread switches, and in a thread where it is not; `calibrate`
measures which sizes of a body are fast on this machine. A request is in work once its body is
whole: `uploads` bounds what comes before, `admission` what waits.
"""

import asyncio
import contextlib
import functools
import hashlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson
import prometheus_client

from fairway import errors
from fairway.config import sections
from fairway.serving import (
    admission,
    command,
    decoding,
    eventlog,
    headers,
    predictor,
    protocol,
    uploads,
)

log = logging.getLogger("fairway.serving")

Scope = MutableMapping[str, Any]
Receive = uploads.Receive
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LABELS = eventlog.LABELS
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REQUESTS = prometheus_client.Counter(
    "fairway_serving_requests_total", "Requests answered, by status.", (*LABELS, "code")
)
SECONDS = prometheus_client.Histogram(
    "fairway_serving_request_seconds",
    "From a request's last byte to its answer, the wait included; requests refused for load are not in it.",
    LABELS,
    buckets=BUCKETS,
)
WAITING = prometheus_client.Gauge(
    "fairway_serving_waiting_requests",
    "Requests that wait for a thread.",
    LABELS[:3],
    multiprocess_mode="livesum",
)
WAIT = prometheus_client.Gauge(
    "fairway_serving_wait_seconds",
    "Longest that a request waited or would have to, within the last second.",
    LABELS[:3],
    multiprocess_mode="livemax",
)
ROWS = prometheus_client.Counter("fairway_serving_rows_total", "Rows predicted.", LABELS)
OUT_OF_RANGE = prometheus_client.Counter(
    "fairway_serving_out_of_range_total",
    "Rows beyond the training range or of an unseen category.",
    (*LABELS, "feature"),
)
UNREADABLE = prometheus_client.Counter(
    "fairway_serving_unreadable_total",
    "Rows with a value that could not be read and was taken as missing (serving.unreadable).",
    (*LABELS, "feature"),
)

# longest that one request may hold the event loop: what its neighbours then wait
INLINE_SECONDS = 0.002
INLINE_LARGEST = 1 << 20
LONGEST_SIZE = 64  # rows that calibration goes up to
# of what a body takes: the least of as many as fit
SAMPLES, FEWEST_SAMPLES, SAMPLE_SECONDS = 15, 3, 1.0
DEAR_BYTES = 1 << 14  # of the bodies that calibration takes for the dearest a client can make
UNPACKED_A_SECOND = 1 << 29  # bytes that zlib writes, about; how far that is off is learned
UNPACKS_TO = 1032  # times its size, at most: deflate's own bound
TICK_SECONDS = 1.0  # between two values of the gauges
# of a copy: it was not answered, so there is nothing to compare
NO_EVENT = {408, uploads.GONE, 429}


class InferenceReply:
    """What a request is answered with, and what the event log keeps of it."""

    __slots__ = (
        "body",
        "columns",
        "header_length",
        "labels",
        "raw",
        "rows",
        "status",
        "unreadable",
        "unusual",
    )

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body
        self.header_length: int | None = None
        self.columns: protocol.Columns | None = None
        self.rows = 0
        self.labels: list[Any] | None = None
        self.raw: protocol.Array | None = None
        self.unusual: dict[str, int] | None = None
        self.unreadable: Mapping[str, int] | None = None


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
        self.inline_bytes = 0
        self.most_rows = LONGEST_SIZE
        self._model = model
        self._origin = origin
        self._revision = origin.revision.encode()
        self._events = events
        self._timeout = settings.timeout.total_seconds()
        self._lenient = settings.unreadable == "missing"
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
        self._costs = (0.0, 0.0)  # seconds of a request, and of each byte of its body
        # seconds of each byte of JSON, where a client makes it as dear as it can
        self._dearest = 0.0
        self._shown = origin.revision if settings.reveal_revision else None
        self._routes = _routes({model.name, origin.deployment}, revision=origin.revision)
        self._most_rows = max(protocol.LARGEST_ANSWER // model.row_bytes, 1)
        self._children: dict[tuple[str, int], tuple[Any, Any, Any]] = {}

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
        """Measure what requests cost: which bodies the event loop may answer, and how many rows are
        too much work; also warms the model."""
        few, many = self._model.sample(rows=1), self._model.sample(rows=LONGEST_SIZE)
        sizes = [
            protocol.request_body(columns, features=self._model.features) for columns in (few, many)
        ]
        fast, slow = self._least(*sizes)
        more = max(slow - fast, 1e-9)
        per_byte = more / (len(sizes[1]) - len(sizes[0]))
        self._costs = (fast, per_byte)
        self.most_rows = _power_of_two(
            admission.WORK_SHARE * self._timeout / (more / (LONGEST_SIZE - 1))
        )
        dear = protocol.dear_bodies(self._model.features, size=DEAR_BYTES, most_rows=self.most_rows)
        self._dearest = max(
            cost / len(body) for cost, body in zip(self._least(*dear), dear, strict=True)
        )
        if fast <= INLINE_SECONDS:
            dearest = int(admission.ROUND_SECONDS / self._dearest)
            self.inline_bytes = min(
                INLINE_LARGEST, dearest, len(sizes[0]) + int((INLINE_SECONDS - fast) / per_byte)
            )

    def watch(self) -> None:
        """Keep the gauges of what waits; called in the event loop once, when the server is ready."""
        labels = (self._origin.namespace, self._origin.deployment, self._origin.revision)
        WAITING.labels(*labels).set(self._backlog.waiting)
        WAIT.labels(*labels).set(max(self._turns.longest(), self._backlog.wait()))
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
        self._count(call, reply, seconds)

    def _log_unknown(self, scope: Scope) -> None:
        """Leave an event of a request to a path that this revision does not know and another may."""
        call = headers.RequestHead()
        with contextlib.suppress(protocol.Invalid):
            headers.read(scope["headers"], into=call, revision=self._revision)
        self._count(call, InferenceReply(404, b""), 0.0)
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
            if len(body) <= self.inline_bytes:
                await self._turns.mine(cost=self._cost(len(body)), longest=longest)
                return self._answer(body, call)
            if (cost := self._most_cost(len(body), call)) > self._timeout:
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

    def _cost(self, size: int) -> float:
        request, byte = self._costs
        return request + byte * size

    def _most_cost(self, size: int, call: headers.RequestHead) -> float:
        """Return the seconds that a body of this size may take, if its JSON is as dear as JSON can
        be."""
        document = size if call.header_length is None else min(size, call.header_length)
        return max(self._cost(size), self._dearest * document)

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
            most_rows=self.most_rows,
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

    def _least(self, *bodies: bytes) -> list[float]:
        """Return the least seconds that each body took, of as many tries in turns as fit into a
        second (three at the least)."""
        least, until = [math.inf] * len(bodies), time.perf_counter() + SAMPLE_SECONDS
        for number in range(SAMPLES):
            if number >= FEWEST_SAMPLES and time.perf_counter() > until:
                break
            least = [
                min(known, self._timed(body)) for known, body in zip(least, bodies, strict=True)
            ]
        return least

    def _timed(self, body: bytes) -> float:
        """Return the seconds that the body takes on an idle machine.

        Of the clock and the processor's time the lesser: the clock goes on while a busy node lets
        others run, and a server that starts then would refuse what its replicas take; the
        processor's time is the sum of all threads'.
        """
        started, used = time.perf_counter(), time.process_time()
        with contextlib.suppress(protocol.Invalid):  # the dear one
            Application._answer(self, body, headers.RequestHead())
        return min(time.perf_counter() - started, time.process_time() - used)

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

    def _count(self, call: headers.RequestHead, reply: InferenceReply, seconds: float) -> None:
        key = (call.role, reply.status)
        children = self._children.get(key)
        if children is None:
            labels = (
                self._origin.namespace,
                self._origin.deployment,
                self._origin.revision,
                call.role,
            )
            children = (
                REQUESTS.labels(*labels, str(reply.status)),
                SECONDS.labels(*labels),
                ROWS.labels(*labels),
            )
            self._children[key] = children
        requests, latency, rows = children
        requests.inc()
        if reply.status == 429:
            return
        latency.observe(seconds)
        if reply.rows:
            rows.inc(reply.rows)
        for counter, found in ((OUT_OF_RANGE, reply.unusual), (UNREADABLE, reply.unreadable)):
            for feature, number in found.items() if found else ():
                counter.labels(
                    self._origin.namespace,
                    self._origin.deployment,
                    self._origin.revision,
                    call.role,
                    feature,
                ).inc(number)

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


def _power_of_two(number: float) -> int:
    """Return the power of two at or below the number: replicas that measure nearly the same then
    have the same bound."""
    return max(LONGEST_SIZE, 1 << int(math.log2(max(number, 1.0))))


def _error(sentence: str) -> bytes:
    return orjson.dumps({"error": sentence})

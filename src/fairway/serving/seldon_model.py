"""The server of the Seldon runtime: the class that Seldon's Python wrapper runs around a model
package.

    GRPC_WORKERS=0 seldon-core-microservice fairway.serving.seldon_model.Model --service-type MODEL

It reads the environment that `serving.command` writes; the package is looked for in /models/package
where none is named. Beside Seldon's own paths it answers `/v2` (inference, health, metadata) and
`/metrics` on the same port, by the same code as the BentoML runtime: one event log, one set of
limits, one set of series. The wrapper's gRPC is not served: with it the wrapper does not obey
SIGTERM.
"""

import asyncio
import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import flask
import orjson
import prometheus_client
from seldon_core.flask_utils import SeldonMicroserviceException
from werkzeug.exceptions import HTTPException

from fairway import errors
from fairway.model import tasks
from fairway.packaging import manifest
from fairway.serving import (
    app,
    command,
    eventlog,
    headers,
    predictor,
    proof,
    protocol,
    seldon_message,
    showing,
)
from fairway.serving.reply import InferenceReply

PACKAGE = "/models/package"
PREDICTIONS = ("/predict", "/api/v1.0/predictions", "/api/v0.1/predictions")
FEEDBACK = ("/send-feedback", "/api/v1.0/feedback", "/api/v0.1/feedback")
# Of the wrapper's own paths, those that read nothing of the request.
WRAPPERS = (
    "/health/ping",
    "/health/status",
    "/api/v1.0/health/status",
    "/metadata",
    "/api/v1.0/metadata",
)
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
FLUSH_SECONDS = 5.0
BOOT_ERROR = 3  # the status of a worker that gunicorn does not start again


class Model:
    """What the wrapper makes in its first process, and loads in the worker that answers."""

    def __init__(self) -> None:
        self._settings = _or_exit(_settings, os.environ)
        proof.required(self._settings.package)
        self._package = _or_exit(manifest.read, self._settings.package)
        self._worker: Worker | None = None
        # the one blueprint that the wrapper takes from a model
        self.model_error_handler = _blueprint(self)

    def load(self) -> None:
        """Make this process the one that answers; a package that changed since it was proven ends
        the server with its sentence."""
        try:
            self._worker = Worker(self._settings)
        except errors.FairwayError as error:
            print(f"fairway: {error}", file=sys.stderr)
            raise SystemExit(BOOT_ERROR) from None
        except AttributeError as error:  # which the wrapper takes for a model without a load()
            raise RuntimeError(f"the model was not loaded: {error}") from error
        self._worker.start()

    @property
    def largest(self) -> int:
        """Return how many bytes a body may have."""
        return int(self._settings.serving.max_body_mebibytes) << 20

    @property
    def worker(self) -> "Worker":
        """Return what answers requests; it is there before the first of them."""
        if self._worker is None:
            raise SeldonMicroserviceException(
                "the model is not loaded yet", status_code=503, reason="BUSY"
            )
        return self._worker

    def predict_raw(self, message: Any) -> Any:
        """Refuse: whatever comes over HTTP is answered before the wrapper reads it."""
        raise SeldonMicroserviceException(
            "gRPC is not served here: wanted JSON over HTTP",
            status_code=501,
            reason="NOT_IMPLEMENTED",
        )

    def health_status(self) -> list[str]:
        """Return the one word that /health/status shows; the probe that means ready is
        /v2/health/ready."""
        if self.worker.draining:
            raise SeldonMicroserviceException(
                "the server is ending", status_code=503, reason="BUSY"
            )
        return ["ready"]

    def init_metadata(self) -> dict[str, Any]:
        """Return the model's description in Seldon's form."""
        schema = self._package.schema
        names, said = (
            [feature.name for feature in schema.features],
            list(tasks.of(schema).columns(schema)),
        )
        told = (
            {"versions": [self._settings.revision], "custom": {"digest": self._package.digest}}
            if self._settings.serving.reveal_revision
            else {}
        )
        return {
            "name": self._package.name,
            **told,
            "platform": "onnx",
            "inputs": [{"messagetype": "ndarray", "schema": {"names": names}}],
            "outputs": [{"messagetype": "ndarray", "schema": {"names": said}}],
        }


@dataclass(frozen=True)
class SentAnswer:
    """What an application has sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Worker:
    """The process that answers: the model, its events, and an event loop that the wrapper's threads
    ask."""

    def __init__(self, settings: command.Settings) -> None:
        model = predictor.Predictor.load(settings.package, threads=settings.serving.threads)
        model.check_golden()
        settings.serving.events.need(feature.name for feature in model.schema.features)
        origin = eventlog.Origin(
            namespace=settings.namespace,
            deployment=settings.deployment,
            revision=settings.revision,
            task=tasks.gauge(model.schema),
            classes=tasks.classes(model.schema),
        )
        self._events = eventlog.EventLog(
            settings.serving.events,
            origin=origin,
            collector=settings.collector,
            token=settings.token,
            certificates=settings.certificates,
            pod=settings.pod,
            folder=settings.spool,
        )
        self._open_inference = app.Application(
            model, settings=settings.serving, origin=origin, events=self._events
        )
        self._seldon = Seldon(model, settings=settings.serving, origin=origin, events=self._events)
        self._infer = f"/v2/models/{model.name}/infer"
        self._largest = settings.serving.max_body_mebibytes << 20
        self._drain_seconds, self._settings = settings.drain_seconds, settings
        self._loop = asyncio.new_event_loop()

    @property
    def draining(self) -> bool:
        return self._open_inference.draining

    def start(self) -> None:
        for application in (self._open_inference, self._seldon):
            application.calibrate()
            application.ready = True
        self._events.start()
        showing.start(self._settings)
        threading.Thread(target=self._loop.run_forever, name="fairway-loop", daemon=True).start()
        atexit.register(self._events.close, timeout_seconds=FLUSH_SECONDS)
        self._drain_on_sigterm()

    def infer(self, request: flask.Request) -> SentAnswer:
        """Answer a path of the Open Inference Protocol."""
        return self._ask(self._open_inference, request, path=request.path, body=self._body(request))

    def predict(self, request: flask.Request, body: bytes | None = None) -> SentAnswer:
        """Answer a message of Seldon's; an error has Seldon's form too."""
        answer = self._ask(
            self._seldon,
            request,
            path=self._infer,
            body=self._body(request) if body is None else body,
            method="POST",
        )
        if answer.status == 200:
            return answer
        return SentAnswer(
            answer.status,
            answer.headers,
            seldon_message.failure(answer.status, orjson.loads(answer.body)["error"]),
        )

    def _body(self, request: flask.Request) -> bytes:
        """Return the body, or the beginning of one that is too large, which is enough to refuse it."""
        return (
            b""
            if (request.content_length or 0) > self._largest
            else request.stream.read(self._largest + 1)
        )

    def _ask(
        self,
        application: app.Application,
        request: flask.Request,
        *,
        path: str,
        body: bytes,
        method: str = "",
    ) -> SentAnswer:
        length = max(request.content_length or 0, len(body))
        scope = {
            "type": "http",
            "method": method or request.method,
            "path": path,
            "headers": _fields(request.headers.items(), length=length),
        }
        return asyncio.run_coroutine_threadsafe(
            _exchange(application, scope, body), self._loop
        ).result()

    def _drain_on_sigterm(self) -> None:
        """Not ready first, then gunicorn's own handler: it closes the door and waits for the
        requests in work."""
        close_the_door = signal.getsignal(signal.SIGTERM)

        def drain(number: int, frame: Any) -> None:
            if self.draining or not callable(close_the_door):
                return
            self._open_inference.draining = self._seldon.draining = True
            timer = threading.Timer(self._drain_seconds, close_the_door, (number, None))
            timer.daemon = True
            timer.start()

        signal.signal(signal.SIGTERM, drain)


class Seldon(app.Application):
    """The hot path for Seldon's messages: limits, deadline, events and series are the same."""

    def _answer(self, body: bytes, call: headers.RequestHead) -> InferenceReply:
        app.note(body, call)
        message = seldon_message.read(body, features=self._model.features)
        reply = self._predicted(
            protocol.read(
                message.request,
                features=self._model.features,
                outputs=self._model.outputs,
                most_rows=self.costs.most_rows,
                lenient=self._lenient,
            ),
            call,
        )
        if reply.header_length is not None:
            raise protocol.Invalid(
                "binary outputs do not fit into jsonData: wanted JSON outputs, or the request sent to /v2"
            )
        raw, labels, task = reply.raw, reply.labels, self._model.task
        assert raw is not None
        assert labels is not None
        columns = task.columns(self._model.schema)
        beside = [
            name for name in self._model.outputs if name != task.output and name not in columns
        ]
        reply.body = seldon_message.answer(
            message,
            reply.body,
            columns=columns,
            raw=raw,
            beside={name: task.value(name, raw=raw, labels=labels) for name in beside},
            revision=self._shown,
            request_id=call.request_id,
            unreadable=reply.unreadable,
        )
        return reply

    def calibrate(self) -> None:
        """Leave every request to the threads: the measured sizes are of the other protocol's
        bodies."""
        super().calibrate()
        self.costs = replace(self.costs, inline_bytes=0)


async def _exchange(application: app.Application, scope: app.Scope, body: bytes) -> SentAnswer:
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start, content = sent
    return SentAnswer(
        start["status"],
        [(name.decode(), value.decode()) for name, value in start["headers"]],
        content["body"],
    )


def _fields(given: Iterable[tuple[str, str]], *, length: int) -> list[tuple[bytes, bytes]]:
    """Return the headers as ASGI has them, with the length that was seen; Seldon's own id stands in
    where the gateway gave none."""
    named = {name.lower(): value for name, value in given} | {"content-length": str(length)}
    if "seldon-puid" in named:
        named.setdefault("x-request-id", named["seldon-puid"])
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]


def _blueprint(model: Model) -> flask.Blueprint:
    """Return what the wrapper puts into its application: our paths before its own, and 404 where it
    would answer 500."""
    blueprint = flask.Blueprint("fairway", __name__)

    @blueprint.record_once  # type: ignore[untyped-decorator]
    def bound(state: Any) -> None:
        state.app.config["MAX_CONTENT_LENGTH"] = (
            model.largest
        )  # of forms, which flask would read whole; ours are bounded where they are read

    @blueprint.before_app_request  # type: ignore[untyped-decorator]
    def answer() -> flask.Response | None:
        path = flask.request.path
        if path == "/v2" or path.startswith("/v2/"):
            return _response(model.worker.infer(flask.request))
        if path in PREDICTIONS and flask.request.method == "POST":
            form = flask.request.mimetype in FORMS
            return _response(
                model.worker.predict(flask.request, _message(flask.request.form) if form else None)
            )
        if path in FEEDBACK:  # a reward that is taken and kept nowhere would be a label lost
            sentence = "feedback is not kept here: send labels to the collector's /v1/labels, or with `fairway label`"
            return flask.Response(
                seldon_message.failure(404, sentence), status=404, mimetype="application/json"
            )
        if path == "/metrics":
            return flask.Response(
                prometheus_client.generate_latest(),
                headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST},
            )
        if path not in WRAPPERS:
            flask.abort(404)  # the wrapper's readers answer 500 to what they do not expect
        return None

    @blueprint.app_errorhandler(HTTPException)  # type: ignore[untyped-decorator]
    def refuse(error: HTTPException) -> flask.Response:
        status = error.code or 500
        wanted = "POST /api/v1.0/predictions or a path below /v2"
        sentence = (
            f"{flask.request.method} {flask.request.path} is not served here: wanted {wanted}"
        )
        return flask.Response(
            seldon_message.failure(status, sentence), status=status, mimetype="application/json"
        )

    return blueprint


def _message(form: Mapping[str, str]) -> bytes:
    """Return the message that a form holds: in its field `json`, or in a field for each of its
    parts."""
    if "json" in form:
        return form["json"].encode()
    return b"{%s}" % b",".join(
        orjson.dumps(name) + b":" + value.encode() for name, value in form.items()
    )


def _response(answer: SentAnswer) -> flask.Response:
    """Return flask's answer; it counts the bytes itself."""
    kept = [(name, value) for name, value in answer.headers if name != "content-length"]
    return flask.Response(answer.body, status=answer.status, headers=kept)


def _settings(environment: Mapping[str, str]) -> command.Settings:
    workers = environment.get("GUNICORN_WORKERS", "1")
    if workers != "1":
        raise errors.ServingError(
            f"GUNICORN_WORKERS is {workers}: wanted 1, since each worker would count its requests for itself; ask "
            f"for more replicas"
        )
    return command.read({"FAIRWAY_PACKAGE": PACKAGE, **environment})


def _or_exit(function: Any, *arguments: Any) -> Any:
    """Return what the function gives; a mistake of the user's ends the process with one sentence
    instead of a traceback."""
    try:
        return function(*arguments)
    except errors.FairwayError as error:
        print(f"fairway: {error}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None

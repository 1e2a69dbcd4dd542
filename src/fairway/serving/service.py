"""The BentoML service: its probes, metrics and lifetime are BentoML's, `/v2` goes past its layers
to the hot path.

`bentoml serve fairway.serving.service:Service`, configured by the environment that
`serving.command` writes. BentoML's middleware costs five times the prediction; the hot path brings
metrics, limits and a deadline of its own and is put in front of them.

This module is imported by BentoML's supervisor too, so it stays light: what answers requests is
imported in the worker.
"""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import bentoml

from fairway import errors
from fairway.serving import command, proof, showing

if TYPE_CHECKING:
    from fairway.serving import app

SERVING = command.serving(os.environ)
FLUSH_SECONDS = 5.0
# that a thread keeps the interpreter from the event loop, which asks for it at each socket: with 5
# ms it serves 50 while one works
SWITCH_SECONDS = 0.0005
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class WorkerState:
    """The worker's application, once it is ready to answer."""

    application: "app.Application | None" = None


class Hoist:
    """Puts the hot path in front of BentoML's middlewares: a middleware sits inside them, but it
    sees the application start."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["app"].middleware_stack = in_front_of(scope["app"].middleware_stack)
        await self._app(scope, receive, send)


def in_front_of(inner: Any) -> Any:
    """Return an application that answers `/v2` itself and leaves everything else to `inner`."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if (
            scope["type"] == "http"
            and scope["path"].startswith("/v2")
            and WorkerState.application is not None
        ):
            await WorkerState.application(scope, receive, send)
        else:
            await inner(scope, receive, send)

    return answer


@bentoml.service(
    name="fairway",
    workers=SERVING.workers,
    metrics={"enabled": True},
    logging={"access": {"enabled": False}},
    traffic={"timeout": SERVING.timeout.total_seconds()},
)
class Service:
    """One worker's model."""

    def __init__(self) -> None:
        from fairway.model import tasks
        from fairway.serving import app, eventlog, predictor

        _follow_the_supervisor()
        settings = _or_exit(command.read, os.environ)
        model = _or_exit(
            predictor.Predictor.load, settings.package, threads=settings.serving.threads
        )
        _or_exit(model.check_golden)
        origin = eventlog.Origin(
            namespace=settings.namespace,
            deployment=settings.deployment,
            revision=settings.revision,
            task=tasks.gauge(model.schema),
            classes=tasks.classes(model.schema),
        )
        self.events: eventlog.EventLog = eventlog.EventLog(
            settings.serving.events,
            origin=origin,
            collector=settings.collector,
            token=settings.token,
            certificates=settings.certificates,
            pod=settings.pod,
            folder=settings.spool,
        )
        self.application = app.Application(
            model, settings=settings.serving, origin=origin, events=self.events
        )
        self.application.calibrate()
        # the loop itself keeps tasks by weak references only
        self._tasks: list[asyncio.Task[None]] = []
        self.drain_seconds, self._settings = settings.drain_seconds, settings

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def prove() -> None:
        """In the supervisor, before there is a server: a package that cannot be served ends the
        process with its sentence."""
        from fairway.packaging import manifest

        settings = _or_exit(command.read, os.environ)
        proof.required(settings.package)
        features = [feature.name for feature in manifest.load(settings.package).features]
        _or_exit(settings.serving.events.need, features)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        self.events.start()
        showing.start(self._settings)
        self._open_and_close()
        _quieten()
        _tune_garbage_collection()
        sys.setswitchinterval(SWITCH_SECONDS)
        self.application.watch()
        WorkerState.application = self.application
        self.application.ready = True

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        self.application.ready = False
        await asyncio.to_thread(self.events.close, timeout_seconds=FLUSH_SECONDS)
        self.application.close()

    def __is_ready__(self) -> bool:
        return self.application.ready and not self.application.draining

    def _open_and_close(self) -> None:
        """Take many connections at once; at SIGTERM is not ready first, and then leaves the rest to
        uvicorn, which waits for the requests in work."""
        from fairway.serving import door

        close: Any = signal.getsignal(signal.SIGTERM)  # a method of uvicorn's server
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(door.widen(close.__self__)))

        async def leave() -> None:
            await door.leave(close.__self__, seconds=self.drain_seconds)
            close(signal.SIGTERM, None)

        def ask(number: int, frame: Any) -> None:
            if self.application.draining:
                return
            self.application.draining = True
            loop.call_soon_threadsafe(lambda: self._tasks.append(loop.create_task(leave())))

        signal.signal(signal.SIGTERM, ask)


Service.add_asgi_middleware(Hoist)  # type: ignore[attr-defined]


def _or_exit(function: Any, *arguments: Any, **keywords: Any) -> Any:
    """Return what the function gives; a mistake of the user's ends the process with one sentence
    instead of a traceback."""
    try:
        return function(*arguments, **keywords)
    except errors.FairwayError as error:
        print(f"fairway: {error}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None


def _follow_the_supervisor() -> None:
    """Have the kernel end this worker (SIGTERM, so it drains) when BentoML's supervisor dies: it is
    in a session of its own, and would go on serving with nobody left who can stop it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _quieten() -> None:
    # uvicorn looks at each connection whether anyone listens
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False


def _tune_garbage_collection() -> None:
    """Take what start-up made out of the collector's sight: its full passes took 125 to 175 ms, at
    p99."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)

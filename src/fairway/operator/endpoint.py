"""Where the kubelet and Prometheus ask the operator: /healthz, /readyz, /metrics."""

import http.server
import threading
from collections.abc import Callable

import prometheus_client
from prometheus_client import exposition, registry

from fairway import errors


class Endpoint:
    """The operator's own series and its health, over HTTP."""

    def __init__(self, *, host: str, port: int, rollouts: registry.Collector | None = None) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        if rollouts is not None:
            self.registry.register(rollouts)
        self._looks = prometheus_client.Histogram(
            "fairway_operator_look_seconds",
            "Time of one look at one ModelDeployment.",
            registry=self.registry,
        )
        self._failures = prometheus_client.Counter(
            "fairway_operator_looks_failed",
            "Looks that could not be finished and are taken again.",
            ("reason",),
            registry=self.registry,
        )
        self._leader = prometheus_client.Gauge(
            "fairway_operator_leader",
            "1 while this process holds the Lease.",
            registry=self.registry,
        )
        self._waiting = prometheus_client.Gauge(
            "fairway_operator_queue_length",
            "ModelDeployments that wait for their next look.",
            registry=self.registry,
        )
        self._alive: Callable[[], bool] = lambda: True
        self._is_ready = False
        try:
            self._server = http.server.ThreadingHTTPServer((host, port), self._handler())
        except OSError as error:
            raise errors.UsageError(
                f"cannot listen on {host}:{port} ({error}): name another --port"
            ) from error
        threading.Thread(target=self._server.serve_forever, name="endpoint", daemon=True).start()

    def watch(
        self, *, alive: Callable[[], bool], leads: Callable[[], bool], waiting: Callable[[], int]
    ) -> None:
        """Say whom to ask."""
        self._alive = alive
        self._leader.set_function(lambda: float(leads()))
        self._waiting.set_function(lambda: float(waiting()))

    def ready(self) -> None:
        self._is_ready = True

    def count(self, reason: str) -> None:
        self._failures.labels(reason).inc()

    def observe(self, seconds: float) -> None:
        self._looks.observe(seconds)

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        match path:
            case "/metrics":
                return (
                    200,
                    exposition.CONTENT_TYPE_LATEST,
                    exposition.generate_latest(self.registry),
                )
            case "/healthz":
                alive = self._alive()
                return (
                    (200 if alive else 500),
                    "text/plain",
                    b"ok\n"
                    if alive
                    else b"nothing is heard of the cluster, or every look hangs, for minutes\n",
                )
            case "/readyz":
                return (
                    (200 if self._is_ready else 503),
                    "text/plain",
                    b"ok\n" if self._is_ready else b"starting\n",
                )
        return 404, "text/plain", b"there is /healthz, /readyz and /metrics\n"

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                status, content, body = endpoint._answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", content)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes are no news."""

        return Handler

"""Where the kubelet, Prometheus and Alertmanager find a monitor: /healthz, /readyz, /metrics, and
POST /v1/alerts for those that show the token."""

import hmac
import http.server
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import prometheus_client
from prometheus_client import exposition

from fairway import errors
from fairway.monitoring import receiver

log = logging.getLogger("fairway.monitoring.listener")

LARGEST_BODY = 1 << 20  # bytes of a message: Alertmanager's are some kilobytes
Ask = Callable[[receiver.Firing], str | None]  # None: it cannot be said yet


class Said(NamedTuple):
    status: int
    content: str
    body: bytes


class Listener:
    """The address of one monitor; `token` is the file with what Alertmanager shows, without which
    no alert is taken."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: prometheus_client.CollectorRegistry,
        token: Path | None,
    ) -> None:
        self._registry, self._token = registry, token
        self._refusal = (
            f"wanted `Authorization: Bearer TOKEN` with the token in {token}"
            if token
            else "no alert is taken: wanted --alerts-token, the file with the token that Alertmanager shows"
        )
        self._alive: Callable[[], bool] = lambda: True
        self._ask: Ask = lambda _: None
        self._is_ready = False
        try:
            self._server = http.server.ThreadingHTTPServer((host, port), self._handler())
        except OSError as error:
            raise errors.UsageError(
                f"cannot listen on {host}:{port} ({error}): name another --port, 0 for a free one"
            ) from error
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="listener", daemon=True).start()

    def watch(self, *, alive: Callable[[], bool], ask: Ask) -> None:
        """Say whom to ask; from now on it is ready."""
        self._alive, self._ask, self._is_ready = alive, ask, True

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, path: str) -> Said:
        match path:
            case "/metrics":
                text = exposition.generate_latest(self._registry)
                return Said(200, exposition.CONTENT_TYPE_LATEST, text)
            case "/healthz" if self._alive():
                return _plain(200, "ok")
            case "/healthz":
                return _plain(500, "no look has ended for minutes")
            case "/readyz":
                return _plain(200, "ok") if self._is_ready else _plain(503, "starting")
        return _plain(404, "there is /healthz, /readyz, /metrics and POST /v1/alerts")

    def post(self, path: str, *, authorization: str, body: bytes) -> Said:
        """Take a message of Alertmanager's."""
        if path != "/v1/alerts":
            return _plain(404, "there is POST /v1/alerts")
        if not self._knows(authorization):
            return _plain(401, self._refusal)
        try:
            answers = [(one, self._ask(one)) for one in receiver.read(body)]
        except errors.DataError as error:
            return _plain(400, f"{error}; nothing was started")
        if any(answer is None for _, answer in answers):
            return _plain(503, "no look has shown yet which deployments are watched: try again")
        said = [f"{one.namespace}/{one.deployment}: {answer}" for one, answer in answers]
        for sentence in said:
            log.info("alert for %s", sentence)
        return _plain(200, "\n".join(said) or "no alert that fires names a deployment")

    def _knows(self, authorization: str) -> bool:
        try:
            token = self._token.read_text(encoding="ascii").strip() if self._token else ""
        except (OSError, UnicodeDecodeError) as error:
            log.error("the token for alerts cannot be read: %s", error)
            return False
        given = f"Bearer {token}".encode()
        return bool(token) and hmac.compare_digest(authorization.encode(), given)

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                self._send(listener.get(self.path.partition("?")[0]))

            def do_POST(self) -> None:
                length = _bytes(self.headers.get("content-length", ""))
                if length is None or length > LARGEST_BODY:
                    self.close_connection = True
                    self._send(_plain(413, f"wanted a body of at most {LARGEST_BODY} bytes"))
                    return
                body = self.rfile.read(length)
                self._send(
                    listener.post(
                        self.path.partition("?")[0],
                        authorization=self.headers.get("authorization", ""),
                        body=body,
                    )
                )

            def _send(self, answer: Said) -> None:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes are no news."""

        return Handler


def _plain(status: int, text: str) -> Said:
    return Said(status, "text/plain", f"{text}\n".encode())


def _bytes(said: str) -> int | None:
    """Return the number that a header says: `²` is a digit too, and of thousands int makes none."""
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else None

"""A user's own service that hooks call: it keeps what it was told, and answers as the test wants."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """One HTTP service on loopback."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    slow: threading.Event | None = None  # answers wait for it
    url: str = ""

    def at(self, point: str) -> list[dict[str, Any]]:
        """Return the events of one point."""
        return [event for event in list(self.told) if event["subject"] == point]


@contextlib.contextmanager
def receiver(**answers: Any) -> Iterator[Receiver]:
    """Return a service that listens until the block ends."""
    made = Receiver(**answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.told.append(
                {
                    **json.loads(self.rfile.read(int(self.headers["content-length"]))),
                    "contentType": self.headers["content-type"],
                    "host": self.headers["host"],
                    "authorization": self.headers["authorization"],
                }
            )
            if made.slow is not None:
                made.slow.wait(30)
            self.send_response(made.status)
            for name, value in {"content-length": str(len(made.body)), **made.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked may have gone
                self.wfile.write(made.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the test reads what was told."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hook?team=models"
    try:
        yield made
    finally:
        if made.slow is not None:
            made.slow.set()
        server.shutdown()
        thread.join()
        server.server_close()

"""What waits for several answers waits no longer than it may for all of them."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from fairway import budget, errors
from fairway.monitoring.eventstore import remote
from fairway.platforms.kubernetes import prometheus


@contextlib.contextmanager
def trickling() -> Iterator[str]:
    """Return the address of something that answers every request for ever, a byte now and then."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever asked has had enough
                while not over.wait(0.02):
                    self.wfile.write(b" ")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        over.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "ask",
    [
        lambda url: remote.RemoteEvidence(url, "models", timeout_seconds=0.3).cursor(),
        lambda url: prometheus.Prometheus(
            url, gateway={"namespace": "gateways"}, timeout_seconds=0.3
        ).ask("up", read=len),
    ],
    ids=["collector", "Prometheus"],
)
def test_an_answer_that_never_ends_is_given_up(ask):
    with trickling() as url:
        began = time.monotonic()
        with pytest.raises(errors.Unavailable, match=r"an answer was not complete after 0[.]3 s"):
            ask(url)
        assert time.monotonic() - began < 3


def test_many_answers_that_do_not_come_take_no_longer_than_one_look_may():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = prometheus.Prometheus(
            f"http://127.0.0.1:{silent.getsockname()[1]}",
            gateway={"namespace": "gateways"},
            timeout_seconds=5.0,
        )
        began, failed = time.monotonic(), 0
        with budget.within(60), budget.within(0.3):
            for _ in range(36):
                with pytest.raises(errors.Unavailable):
                    source.ask("up", read=len)
                failed += 1
            with pytest.raises(
                errors.Unavailable, match="took all the time that one look may take"
            ):
                budget.timeout(5.0)
        assert (failed, time.monotonic() - began < 3) == (36, True)
    assert budget.timeout(5.0) == 5.0

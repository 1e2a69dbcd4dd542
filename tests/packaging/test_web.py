"""What is read over HTTP has a least rate: what drips is left, and a large file may take its time."""

import http.server
import itertools
import threading
from collections.abc import Iterator

import pytest

from fairway import errors
from fairway.addresses import web

MINUTES = 60.0
SMALL, LARGE = 59 << 10, 3 << 20  # bytes; 60 KiB in a minute are the least


@pytest.fixture
def site() -> Iterator[str]:
    """Send as many bytes as the path says, and then nothing until the reader leaves."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(LARGE))
            self.end_headers()
            size = int(self.path.partition("?")[0].strip("/"))
            self.wfile.write(bytes(size))
            self.connection.recv(1)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def taken(url: str, *, clock: Iterator[float]) -> int:
    pieces = web.body(web.answered(url, headers={}), url=url, clock=lambda: next(clock))
    return sum(len(piece) for piece in pieces)


def test_a_server_that_drips_is_left_with_a_sentence(site: str) -> None:
    a_minute_at_each_look = itertools.count(0.0, MINUTES)
    with pytest.raises(
        errors.Unavailable,
        match=r"/\d+ was left after \d+ bytes: it sent less than 1024 bytes a second for 60 seconds",
    ):
        taken(f"{site}/{SMALL}?signature=secret", clock=a_minute_at_each_look)


def test_a_file_that_takes_hours_at_a_fair_rate_arrives(site: str) -> None:
    seconds = itertools.count(0.0, 0.5)  # of each piece, of at least 8 KiB on loopback
    assert taken(f"{site}/{LARGE}", clock=seconds) == LARGE


def test_time_that_the_reader_takes_is_not_the_servers(site: str) -> None:
    # a look before each read and one after it: no time between them, an hour after them
    looks = itertools.chain.from_iterable((hour, hour) for hour in itertools.count(0.0, 3600.0))
    assert taken(f"{site}/{LARGE}", clock=looks) == LARGE


@pytest.mark.parametrize(
    ("rate", "slow"), [(1, True), (1023, True), (1024, False), (1 << 20, False)]
)
def test_the_rate_is_judged_once_a_minute(rate: int, slow: bool) -> None:
    slowness = web._Slowness()
    told = [slowness.after(rate, seconds=1.0) for _ in range(180)]
    assert [index + 1 for index, said in enumerate(told) if said] == [60, 120, 180] * slow

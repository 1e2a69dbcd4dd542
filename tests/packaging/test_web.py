"""What is read over HTTP has a least rate: what drips is left, and a large file may take its time."""

import contextlib
import http.server
import itertools
import signal
import threading
from collections.abc import Iterator

import pytest

from fairway import errors
from fairway.addresses import s3, web
from tests.packaging import buckets

MINUTES = 60.0
SMALL, LARGE = 59 << 10, 3 << 20  # bytes; 60 KiB in a minute are the least


@contextlib.contextmanager
def served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


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

    with served(Handler) as url:
        yield url


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


@pytest.fixture
def drip(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Answer with headers of which one never ends, or with a chunk whose size never does."""
    monkeypatch.setattr(web, "STRETCH_SECONDS", 0.2)
    left = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            if self.path == "/chunks":
                self.wfile.write(b"transfer-encoding: chunked\r\n\r\n4\r\nrows\r\n")
            with contextlib.suppress(OSError):
                while not left.wait(0.01):
                    self.wfile.write(b"0")
            self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    with served(Handler) as url:
        yield url
        left.set()


@pytest.mark.parametrize("part", ["headers", "chunks"])
def test_headers_and_sizes_of_chunks_that_drip_are_left(drip: str, part: str) -> None:
    url = f"{drip}/{part}"
    with pytest.raises(errors.Unavailable, match=rf"/{part} does not answer \(0\.2 s\)"):
        list(web.body(web.answered(url, headers={}), url=url))


def test_ctrl_c_ends_the_wait_for_a_chunk_whose_size_drips(
    drip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "STRETCH_SECONDS", 60.0)
    url = f"{drip}/chunks"
    pieces = web.body(web.answered(url, headers={}), url=url)
    assert next(pieces) == b"rows"
    before, ours = set(threading.enumerate()), threading.get_ident()

    def interrupt() -> None:
        while set(threading.enumerate()) <= before | {threading.current_thread()}:
            pass  # the reader has not begun
        signal.pthread_kill(ours, signal.SIGINT)

    waits = threading.Thread(target=interrupt)
    waits.start()
    with pytest.raises(KeyboardInterrupt):
        next(pieces)
    waits.join()


def test_a_bucket_whose_answer_drips_is_left(drip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "ANSWER_SECONDS", 0.2)
    for name, value in buckets.variables(drip).items():
        monkeypatch.setenv(name, value)
    bucket = s3.Bucket("rows", prefix="", environment=buckets.variables(drip))
    with pytest.raises(errors.Unavailable, match=r"s3://rows/a\.csv does not answer \(0\.2 s\)"):
        list(bucket.chunks("a.csv"))


def test_chunks_come_each_in_its_time_and_a_fault_is_the_readers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(web.paced(iter([b"a", b"b"]), size=1, what="rows")) == [b"a", b"b"]

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise ConnectionResetError("it broke off")

    with pytest.raises(ConnectionResetError, match="it broke off"):
        list(web.paced(broken(), size=1, what="rows"))
    monkeypatch.setattr(web, "STRETCH_SECONDS", 0.2)
    never = threading.Event()
    silent = iter(lambda: b"a" if never.wait() else b"", b"")
    with pytest.raises(errors.Unavailable, match="rows does not answer"):
        list(web.paced(silent, size=1, what="rows"))
    never.set()

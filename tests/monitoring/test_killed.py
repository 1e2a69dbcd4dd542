"""`kill -9` of each side on the way of an event, with both databases: what a server has taken is
stored in the end, and once."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.monitoring.eventstore import archive, places
from tests.monitoring import postgres, processes

ROOT = Path(__file__).parents[2]


class Sender:
    """A server's log that goes on after each kill, with the spool that it left."""

    def __init__(self, url: str, folder: Path, *, first: int = 0) -> None:
        self.url, self.folder, self.taken = url, folder, first
        self._start()

    def _start(self) -> None:
        named = ("--url", self.url, "--folder", str(self.folder), "--first", str(self.taken))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.monitoring.sending", *named],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.taken += line.endswith("\n")

    def take(self, number: int) -> None:
        """Return when so many more are taken."""
        wanted = self.taken + number
        processes.eventually(lambda: self.taken >= wanted, seconds=60)

    def kill(self) -> None:
        """End the process, and count what it took before."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait(30) == -signal.SIGKILL
        self._reading.join(30)

    def restart(self) -> None:
        self.kill()
        self._start()


class Site:
    """A collector on a port of its own and the database behind it."""

    def __init__(self, place: str, server: postgres.Server | None) -> None:
        self.place, self.server = place, server
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.collector = self._stack.enter_context(processes.collector(self.place, port=self.port))

    def kill(self) -> None:
        self.collector.kill()
        self._stack.close()

    def stored(self) -> list[str]:
        """Return the ids of the events, as often as each is there."""
        opened: archive.EventStore = places.opened(self.place)
        with contextlib.closing(opened), opened.reading() as connection:
            return [name for (name,) in connection.execute("SELECT request_id FROM events")]


@pytest.fixture(
    params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.cluster)],
)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres.running()) if request.param == "PostgreSQL" else None
        found = Site(server.url if server else str(tmp_path / "events.db"), server)
        found.start()
        yield found
        found.kill()


@pytest.mark.timeout(300)
def test_what_a_server_took_is_stored_once_whoever_is_killed(site: Site, tmp_path: Path) -> None:
    sender = Sender(site.url, tmp_path / "spool")
    try:
        sender.take(500)
        sender.restart()
        sender.take(500)
        site.kill()
        sender.take(200)  # while nobody takes them
        sender.restart()
        site.start()
        sender.take(500)
        if site.server is not None:
            site.server.kill()
            sender.take(200)
            site.server.start()
        sender.take(300)
    finally:
        sender.kill()
    last = Sender(site.url, tmp_path / "spool", first=sender.taken)  # delivers what the others left
    try:
        wanted = {f"r{number}" for number in range(sender.taken)}
        processes.eventually(lambda: wanted <= set(site.stored()), seconds=120)
    finally:
        last.kill()
    found = site.stored()
    assert len(found) == len(set(found))

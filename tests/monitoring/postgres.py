"""A PostgreSQL of its own, from the machine's package: a real server on a socket in a folder."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairway import errors
from fairway.monitoring.eventstore import archive, places
from tests.monitoring import processes

DEBIAN = "/usr/lib/postgresql"
HASTY = ("-c", "fsync=off")  # of a database that need not outlive the machine


@dataclass
class Server:
    """A server on a socket in a folder of its own."""

    folder: Path
    binaries: Path
    settings: Sequence[str] = HASTY
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={self.folder}&user=fairway"

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        # It refuses to run as root.
        user = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                [self.binaries / command[0], *command[1:]],
                user=user,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def start(self) -> None:
        data, sockets = str(self.folder / "data"), str(self.folder)
        where = ("-D", data, "-k", sockets, "-c", "listen_addresses=")
        self.process = self.run("postgres", *where, *self.settings)
        processes.eventually(self.answers)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(2)  # "fast": ends the connections
            self.process.wait(30)
            self.process = None

    def kill(self) -> None:
        """End it as the machine's memory manager does, and wait until its backends have noticed."""
        assert self.process is not None
        backends = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        left = [Path("/proc") / pid for pid in backends.read_text().split()]
        self.process.kill()
        self.process.wait(30)
        processes.eventually(lambda: not any(one.exists() for one in left))

    def answers(self) -> bool:
        with contextlib.suppress(errors.StoreBusy), contextlib.closing(self.open()):
            return True
        return False

    def open(self) -> archive.EventStore:
        return places.opened(self.url, timeout_seconds=1)

    def empty(self) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS fairway CASCADE")


@contextlib.contextmanager
def running(*settings: str, folder: Path | None = None) -> Iterator[Server]:
    """Start a server with the settings (`HASTY` by default) and end it."""
    found = shutil.which("initdb") or next(
        map(str, sorted(Path(DEBIAN).glob("*/bin/initdb"), reverse=True)), None
    )
    assert found, "no initdb: install PostgreSQL (Debian: apt-get install postgresql)"
    # short: a socket's path has 107 characters at most
    with tempfile.TemporaryDirectory(prefix="fairway-pg-", dir=folder) as name:
        server = Server(Path(name), Path(found).parent, settings or HASTY)
        if os.getuid() == 0:
            os.chown(name, pwd.getpwnam("nobody").pw_uid, -1)
        data = str(server.folder / "data")
        who = ("-U", "fairway", "--auth=trust", "--no-sync", "--encoding=UTF8")
        made = server.run("initdb", "-D", data, *who).wait(120)
        assert made == 0, (server.folder / "log").read_text()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture
def events(server: Server) -> Iterator[archive.EventStore]:
    """Return a store with nothing in it."""
    server.empty()
    with contextlib.closing(server.open()) as opened:
        yield opened

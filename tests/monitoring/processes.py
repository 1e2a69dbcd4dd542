"""The collector and the monitor as the processes that they are."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

SRC = Path(__file__).parents[2] / "src"


@dataclass
class Running:
    """A process that said where it answers."""

    process: subprocess.Popen[str]
    url: str
    said: str = ""

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def started(module: str, *arguments: str, port: int = 0, **environment: str) -> Iterator[Running]:
    """Start the module on the port, 0 for a free one, and wait for the line that names it."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC), **environment},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"https?://[^/,\s]+", line)
        assert found, f"{module} said {line!r}"
        yield Running(process, found[0], line)
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


@contextlib.contextmanager
def collector(path: Path | str, *arguments: str, port: int = 0) -> Iterator[Running]:
    """Start a collector; without a `--token-file` everybody may do everything."""
    access = () if "--token-file" in arguments else ("--auth", "none")
    with started(
        "fairway.monitoring.eventstore.collector",
        "--store",
        str(path),
        *access,
        *arguments,
        port=port,
    ) as running:
        eventually(lambda: _healthy(running.url))
        yield running


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url + "/healthz").status_code == 200
    except httpx.TransportError:
        return False


def eventually(condition: Callable[[], object], *, seconds: float = 30) -> None:
    """Return when the condition holds; fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        select.select([], [], [], 0.02)

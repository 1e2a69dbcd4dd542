"""Prometheus and Alertmanager as processes of the test, on loopback."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

HOW = "Debian: apt-get install prometheus prometheus-alertmanager"


def program(*names: str) -> str:
    """Return where the first of the programs is that is there."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found is not None, f"there is no {names[0]} on PATH: {HOW}"
    return found


@contextlib.contextmanager
def prometheus(folder: Path) -> Iterator[httpx.Client]:
    """Give a client of a Prometheus that scrapes nothing and has the blocks of the folder."""
    (folder / "prometheus.yml").write_text("global: {}\n", encoding="utf-8")
    port = free()
    arguments = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'blocks'}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with running([program("prometheus"), *arguments], port=port, ready="/-/ready") as client:
        yield client


@contextlib.contextmanager
def alertmanager(folder: Path, *, config: Path) -> Iterator[httpx.Client]:
    """Give a client of an Alertmanager with that configuration."""
    port = free()
    arguments = (
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    command = [program("prometheus-alertmanager", "alertmanager"), *arguments]
    with running(command, port=port, ready="/-/ready") as client:
        yield client


@contextlib.contextmanager
def running(command: list[str], *, port: int, ready: str) -> Iterator[httpx.Client]:
    """Give a client of the process, which ends with the block."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    try:
        deadline = time.monotonic() + 60
        while not answers(client, ready):
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < deadline, f"{command[0]} does not become ready"
            time.sleep(0.05)
        yield client
    finally:
        client.close()
        process.terminate()
        process.communicate(timeout=30)


def answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A real container registry (CNCF distribution) and a server of Google's storage protocol, built from
their Go modules as the cluster's programs are."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.cluster import binaries
from tests.monitoring import processes
from tests.packaging import buckets, published
from tests.serving import support

# of reader:secret, with bcrypt's least cost
PASSWORDS = "reader:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"


@contextlib.contextmanager
def serving(folder: Path, auth: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Give the host of a registry without images; by default its user is `published.LOGIN`."""
    (folder / "passwords").write_text(PASSWORDS)
    basic = {"htpasswd": {"realm": "registry", "path": str(folder / "passwords")}}
    host = f"127.0.0.1:{support.free_port()}"
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host, "secret": "of-the-tests"},
        "auth": auth or basic,
    }
    (folder / "registry.json").write_text(json.dumps(settings))
    program = binaries.folder("registry") / "registry"
    with running([str(program), "serve", str(folder / "registry.json")], f"http://{host}/v2/"):
        yield host


@contextlib.contextmanager
def google(folder: Path) -> Iterator[str]:
    """Give the address of a storage server without buckets."""
    port = support.free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(binaries.folder("fake-gcs-server") / "fake-gcs-server"), "-scheme", "http"),
        *("-backend", "memory", "-host", "127.0.0.1", "-port", str(port), "-external-url", url),
        *("-log-level", "error"),
    ]
    with running(command, f"{url}/storage/v1/b"):
        yield url


@contextlib.contextmanager
def running(command: list[str], url: str) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        processes.eventually(lambda: buckets.answers(url), seconds=60)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def login(host: str, secret: str = published.LOGIN) -> dict[str, str]:
    """Return what makes every client of registries known to this one."""
    return {"DOCKER_AUTH_CONFIG": json.dumps({"auths": {host: {"auth": secret}}})}

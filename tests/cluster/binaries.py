"""Kubernetes and its kin, built from pinned Go modules; once, then taken from the cache.

Each folder under `binaries/` is a Go module whose go.mod names its commands as tools, or is a
command itself, or both; go.sum pins every byte.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster import places

MODULES = Path(__file__).parent / "binaries"
KUBERNETES = "1.34.4"
VERSION = "k8s.io/component-base/version"
# Clients compare the server's version: without these it says v0.0.0.
LDFLAGS = {
    "kubernetes": f"-X {VERSION}.gitVersion=v{KUBERNETES} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=34"
}
# Prometheus without the clients of a dozen clouds
TAGS = {"watching": "remove_all_sd,enable_kubernetes_sd"}


def folder(*modules: str) -> Path:
    """Return the folder that holds the programs of the modules (all that a cluster needs by
    default), built where they are missing."""
    links = places.CACHE / "bin"
    links.mkdir(parents=True, exist_ok=True)
    for module in modules or NEEDED:
        for program in build(module).iterdir():
            link = links / program.name
            if not link.is_symlink() or link.readlink() != program:
                fresh = links / f".{program.name}-{os.getpid()}"
                fresh.symlink_to(program)
                fresh.rename(link)
    return links


NEEDED = ("kubernetes", "helm", "envoy-gateway", "coredns", "kind", "pause")


def build(module: str) -> Path:
    """Return the folder with one module's programs; named by what they are built from."""
    source = MODULES / module
    digest = hashlib.sha256((LDFLAGS.get(module, "") + TAGS.get(module, "")).encode())
    for file in sorted(file for file in source.rglob("*") if file.is_file()):
        digest.update(str(file.relative_to(source)).encode() + file.read_bytes())
    place = places.CACHE / "modules" / f"{module}-{digest.hexdigest()[:16]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{module}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once build it once
        if not place.exists():
            _compile(source, place)
    return place


def _compile(source: Path, place: Path) -> None:
    began = time.monotonic()
    print(f"building {source.name} (minutes, once)", file=sys.stderr, flush=True)
    made = Path(tempfile.mkdtemp(dir=place.parent))
    try:
        flags = [
            "-trimpath",
            "-tags",
            TAGS.get(source.name, ""),
            "-ldflags",
            f"-s -w {LDFLAGS.get(source.name, '')}",
        ]
        subprocess.run(
            ["go", "build", *flags, "-o", f"{made}/", *_commands(source)],
            cwd=source,
            check=True,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
        )
        made.chmod(0o755)
        made.rename(place)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    print(f"built {source.name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def _commands(source: Path) -> list[str]:
    """Return the packages to build: the commands of others that go.mod names, and those that lie in
    the folder."""
    tools = "\ntool " in (source / "go.mod").read_text()
    return [*(["tool"] if tools else []), *(["./..."] if any(source.rglob("*.go")) else [])]


if __name__ == "__main__":
    print(folder(*sys.argv[1:]))

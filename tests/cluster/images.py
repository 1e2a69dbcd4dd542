"""The images that the cluster runs: the project's own, from its own Dockerfile, and the programs
that no registry can give us here.

Each is a file in the cache, named by what it was made from, so that a second run makes none.
"""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster import binaries, places

BASE = "localhost/fairway-base:bookworm"
OWN = {
    "fairway/operator": "operator",
    "fairway/monitor": "monitor",
    "fairway/server": "serve",
    "fairway/seldon": "seldon",
}  # image -> target of components/Dockerfile
SOURCES = (
    "src",
    "components",
    "requirements.lock",
    "requirements-seldon.lock",
    "pyproject.toml",
    "pipelines",
)
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates,passwd"
ENVIRONMENT = {"BUILDAH_ISOLATION": "chroot"}


def files() -> list[Path]:
    """Return the archives of every image, made where they are missing."""
    bin_ = binaries.folder()
    own = [
        _cached(
            image.replace("/", "-"), tag(), lambda path, i=image, t=target: _build_own(i, t, path)
        )
        for image, target in OWN.items()
    ]
    return [
        *own,
        _program("fairway.test/pause:1", {"/pause": bin_ / "pause"}, entrypoint=["/pause"]),
        _program("fairway.test/coredns:1", {"/coredns": bin_ / "coredns"}, entrypoint=["/coredns"]),
        _program(
            "fairway.test/envoy-gateway:1",
            {"/usr/local/bin/envoy-gateway": bin_ / "envoy-gateway"},
            entrypoint=["/usr/local/bin/envoy-gateway"],
        ),
        _program(
            "fairway.test/envoy:1",
            {"/usr/local/bin/envoy": _envoy()},
            entrypoint=["/usr/local/bin/envoy"],
            base=BASE,
        ),
        _program(
            "fairway.test/prometheus:1",
            {"/usr/bin/prometheus": Path("/usr/bin/prometheus")},
            entrypoint=["/usr/bin/prometheus"],
            base=BASE,
        ),
    ]


def watching() -> list[Path]:
    """Return the archives of what measures and watches pods; only the tests of scaling and of
    monitors need them."""
    bin_ = binaries.folder("watching")
    return [
        # Debian's has no Kubernetes discovery, which monitors need; it stays where it does, so that
        # an old and a new Prometheus are both tried.
        _program(
            "fairway.test/prometheus3:1",
            {"/bin/prometheus": bin_ / "prometheus"},
            entrypoint=["/bin/prometheus"],
        ),
        _program(
            "fairway.test/prometheus-operator:1",
            {"/bin/operator": bin_ / "operator"},
            entrypoint=["/bin/operator"],
        ),
        _program(
            "fairway.test/prometheus-config-reloader:1",
            {"/bin/prometheus-config-reloader": bin_ / "prometheus-config-reloader"},
            entrypoint=["/bin/prometheus-config-reloader"],
        ),
        _program(
            "fairway.test/metrics-server:1",
            {"/metrics-server": bin_ / "metrics-server"},
            entrypoint=["/metrics-server"],
        ),
    ]


@functools.cache
def tag() -> str:
    """Return the tag of the project's own images: what they are made of, so that a change of it
    rolls out by itself. It begins with a letter: helm takes digits alone for a number."""
    return f"t{_fingerprint(*SOURCES)[:15]}"


def chart_values() -> str:
    """Return what `helm --set` takes, so that the chart runs the project's own images as they are
    now."""
    return ",".join(
        f"{image}.tag={tag()}"
        for image in ("operator.image", "monitor.image", "server.image", "server.seldonImage")
    )


def _program(
    name: str, content: dict[str, Path], *, entrypoint: list[str], base: str = "scratch"
) -> Path:
    """Return the archive of an image with a few files."""
    digest = hashlib.sha256(f"{name}{sorted(content)}{entrypoint}{base}".encode())
    for file in content.values():
        digest.update(
            f"{file.resolve()}{file.stat().st_size}".encode()
        )  # the resolved name carries the digest of the sources

    def make(path: Path) -> None:
        if base == BASE:
            _base()
        container = _buildah("from", base)
        try:
            for place, file in content.items():
                _buildah(
                    "copy", "--quiet", "--chmod", "0755", container, str(file.resolve()), place
                )
            _buildah(
                "config", "--entrypoint", str(entrypoint).replace("'", '"'), "--cmd", "", container
            )
            image = _buildah("commit", "--quiet", container)
        finally:
            _buildah("rm", container)
        _buildah("push", "--quiet", image, f"docker-archive:{path}:{name}")

    return _cached(name.partition(":")[0].replace("/", "-"), digest.hexdigest(), make)


def _build_own(image: str, target: str, path: Path) -> None:
    """Build one target of the project's Dockerfile from what a commit would hold, not from what
    lies about."""
    _base()
    with tempfile.TemporaryDirectory() as context:
        for name in (*SOURCES, "README.md", "LICENSE"):
            source, copy = places.ROOT / name, Path(context) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        _buildah(
            "bud",
            "--layers",
            "--build-arg",
            f"BASE={BASE}",
            "--target",
            target,
            "--tag",
            f"localhost/{image}:{tag()}",
            "--file",
            f"{context}/components/Dockerfile",
            context,
            quiet=False,
        )
    _buildah(
        "push", "--quiet", f"localhost/{image}:{tag()}", f"docker-archive:{path}:{image}:{tag()}"
    )


def _base() -> None:
    """Make the stand-in for the public Python image, which cannot be pulled here: the same Python,
    from Debian's packages."""
    if (
        subprocess.run(
            ["buildah", "inspect", "--type", "image", BASE], capture_output=True, check=False
        ).returncode
        == 0
    ):
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)],
            check=True,
            stdout=sys.stderr,
        )
        (root / "usr/bin/python").symlink_to("python3")
        (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)
        shutil.copy(
            "/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt"
        )  # this machine's own authorities
        for waste in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(root / waste, ignore_errors=True)
        container = _buildah("from", "scratch")
        _buildah("copy", "--quiet", container, str(root), "/")
        for variable in (
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            "PIP_CERT=/etc/ssl/certs/ca-certificates.crt",
        ):
            _buildah("config", "--env", variable, container)
        _buildah("commit", "--quiet", container, BASE)
        _buildah("rm", container)


def _envoy() -> Path:
    from fairway.platforms.local import envoy

    return envoy.binary()


def _cached(name: str, fingerprint: str, make: Callable[[Path], None]) -> Path:
    path = places.CACHE / "images" / f"{name}-{fingerprint[:16]}.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        began, fresh = time.monotonic(), path.with_suffix(f".{os.getpid()}")
        print(f"making the image {name}", file=sys.stderr, flush=True)
        fresh.unlink(missing_ok=True)
        make(fresh)
        for old in path.parent.glob(f"{name}-{'?' * 16}.tar"):
            old.unlink()
        fresh.rename(path)
        print(
            f"made {name} in {time.monotonic() - began:.0f} s, {path.stat().st_size / 2**20:.0f} MiB",
            file=sys.stderr,
            flush=True,
        )
    return path


def _fingerprint(*names: str) -> str:
    digest = hashlib.sha256(BASE.encode())
    for name in names:
        root = places.ROOT / name
        for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(places.ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()


def _buildah(*arguments: str, quiet: bool = True) -> str:
    done = subprocess.run(
        ["buildah", *arguments],
        env={**os.environ, **ENVIRONMENT},
        text=True,
        check=False,
        stdout=subprocess.PIPE if quiet else sys.stderr,
        stderr=subprocess.PIPE if quiet else None,
    )
    if done.returncode:
        sys.exit(f"buildah {arguments[0]} failed: {(done.stderr or 'see above').strip()[-2000:]}")
    return (done.stdout or "").strip()


if __name__ == "__main__":
    for file in files():
        print(file)
    print(binaries.folder("registry"))  # a test asks for it later

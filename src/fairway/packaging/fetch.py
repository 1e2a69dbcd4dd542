"""Brings a model package from where it was published: every byte of it checked before it is there.

    file:///folder                      a folder of this machine, such as a mounted volume
    http(s)://host/folder?query         a folder on a web server; the query goes with every file (a signed address)
    s3://bucket/prefix                  with the usual AWS_ variables; AWS_ENDPOINT_URL for what only speaks S3
    oci://registry/repository[:tag]     as `oras push` writes it; the tag is the digest's 64 characters by default

The manifest comes first and is held against the digest that was asked for; then the files it lists,
each against its own.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from fairway import errors
from fairway.packaging import manifest, oci, web

ATTEMPTS = 6  # one and five more: with the pauses, half a minute of a registry that restarts
PAUSE_SECONDS = 1.0  # before the second attempt, twice as long before each further one
CHUNK_BYTES = 1 << 20
LARGEST_PACKAGE = 64 << 30  # a bound on what a wrong address may write to disk
MOST_FILES = 10_000
T = TypeVar("T")


class PackageSource(Protocol):
    """Where a package lies."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """Return the bytes of a file; raises Unavailable where another attempt may succeed, and
        Permanent where none will."""


def fetch(
    uri: str,
    *,
    digest: str,
    out: Path,
    environment: Mapping[str, str] = os.environ,
    pause_seconds: float = PAUSE_SECONDS,
) -> manifest.Manifest:
    """Return the package with that digest in the folder `out`: downloaded, or found there already.
    All of it is there, or nothing."""
    if not manifest.HEX.fullmatch(digest.removeprefix("sha256:")) or not digest.startswith(
        "sha256:"
    ):
        raise errors.UsageError(
            f"the digest is {digest!r}: wanted sha256: and 64 hexadecimal digits, as `fairway package` prints it"
        )
    out = out.absolute()
    source = open_source(uri, digest=digest, environment=environment)
    if _full(out):
        return _there(out, digest=digest)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        if _full(out):  # by a fetch that was faster
            return _there(out, digest=digest)
        temporary = out.with_name(f".{out.name}.fetching")
        shutil.rmtree(temporary, ignore_errors=True)  # of a fetch that was killed
        temporary.mkdir()
        try:
            _download(source, uri=uri, digest=digest, folder=temporary, pause_seconds=pause_seconds)
            manifest.load(temporary)
            os.rename(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return manifest.read(out)


def open_source(uri: str, *, digest: str, environment: Mapping[str, str]) -> PackageSource:
    """Return the source that the address names; nothing is asked of it yet."""
    place = urlsplit(uri)
    if place.username or place.password:
        raise errors.UsageError(
            f"{web.shown(uri)}: wanted no password in an address; FAIRWAY_FETCH_AUTHORIZATION holds the header to send"
        )
    if place.scheme == "file" and place.netloc in ("", "localhost"):
        return Folder(Path(unquote(place.path)))
    if place.scheme in ("http", "https") and place.hostname:
        return web.Site(uri, authorization=environment.get("FAIRWAY_FETCH_AUTHORIZATION"))
    if place.scheme == "s3" and place.netloc:
        from fairway.packaging import s3  # whose library is heavy

        return s3.Bucket(place.netloc, prefix=place.path.strip("/"), environment=environment)
    if place.scheme == "oci" and place.netloc and place.path.strip("/"):
        return oci.Repository(uri, tag=digest.removeprefix("sha256:"), environment=environment)
    raise errors.UsageError(
        f"{uri!r} is no address of a package: wanted file:///folder, http(s)://host/folder, s3://bucket/prefix or "
        f"oci://registry/repository"
    )


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def chunks(self, name: str) -> Iterator[bytes]:
        try:
            with (self.path / name).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise errors.PackageError(
                f"{self.path / name} is missing: wanted the folder of a model package, as `fairway package` writes it"
            ) from error


def _full(out: Path) -> bool:
    return out.is_dir() and any(out.iterdir())


def _there(out: Path, *, digest: str) -> manifest.Manifest:
    found = manifest.load(out)
    if found.digest != digest:
        raise errors.PackageError(
            f"{out} holds the package {found.digest}: wanted {digest}; delete it, or name another folder"
        )
    return found


def _download(
    source: PackageSource, *, uri: str, digest: str, folder: Path, pause_seconds: float
) -> None:
    uri = web.shown(uri)

    def take(name: str, *, largest: int) -> tuple[int, str]:
        return patiently(
            lambda: _write(source, name, to=folder / name, largest=largest),
            pause_seconds=pause_seconds,
        )

    room = LARGEST_PACKAGE - take(manifest.NAME, largest=manifest.LARGEST_MANIFEST)[0]
    listed = manifest.read(folder)
    if listed.digest != digest:
        raise errors.PackageError(
            f"{uri} holds the package {listed.digest}: wanted {digest}; another package was put in its place"
        )
    if len(listed.files) > MOST_FILES:
        raise errors.PackageError(
            f"{uri} lists {len(listed.files)} files: wanted at most {MOST_FILES}"
        )
    for name, wanted in listed.files.items():
        size, seen = take(name, largest=room)
        room -= size
        if seen != wanted:
            raise errors.PackageError(
                f"{name} of {uri} has the digest {seen}: the manifest says {wanted}; publish the package again"
            )


def _write(source: PackageSource, name: str, *, to: Path, largest: int) -> tuple[int, str]:
    """Write one file, and gives its size and digest."""
    to.parent.mkdir(parents=True, exist_ok=True)
    size, seen = 0, hashlib.sha256()
    with to.open("wb") as file:
        for chunk in source.chunks(name):
            size += len(chunk)
            if size > largest:
                raise errors.PackageError(
                    f"{name} is larger than the {largest} bytes that are allowed here: is this the address of a "
                    f"package?"
                )
            seen.update(chunk)
            file.write(chunk)
    return size, f"sha256:{seen.hexdigest()}"


def patiently(function: Callable[[], T], *, pause_seconds: float) -> T:
    """Call the function until it succeeds, with growing pauses; the last attempt's Unavailable goes
    to the caller."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return function()
        except errors.Unavailable:
            time.sleep(pause_seconds * 2**attempt)
    return function()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Make another fetch to the same folder wait until this one has ended, however it ends."""
    with out.with_name(f".{out.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Brings a model package from where it was published: every byte of it checked before it is there. Addresses are as
fairway.addresses says; a registry's tag is the digest's 64 characters by default.

The manifest comes first and is held against the digest that was asked for; then the files it lists,
each against its own.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fairway import addresses, errors
from fairway.addresses import web
from fairway.packaging import manifest

LARGEST_PACKAGE = 64 << 30  # a bound on what a wrong address may write to disk
MOST_FILES = 10_000


def fetch(
    uri: str,
    *,
    digest: str,
    out: Path,
    environment: Mapping[str, str] = os.environ,
    pause_seconds: float = addresses.PAUSE_SECONDS,
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
    source = addresses.folder(uri, tag=digest.removeprefix("sha256:"), environment=environment)
    if _full(out):
        return _there(out, digest=digest)
    if out.exists() and not out.is_dir():
        raise errors.UsageError(f"{out} is a file: wanted the name of a new folder")
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
    source: addresses.AnyFolder, *, uri: str, digest: str, folder: Path, pause_seconds: float
) -> None:
    uri = web.shown(uri)

    def take(name: str, *, largest: int) -> tuple[int, str]:
        return addresses.patiently(
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


def _write(source: addresses.AnyFolder, name: str, *, to: Path, largest: int) -> tuple[int, str]:
    try:
        return addresses.take(source, name, to=to, largest=largest)
    except errors.MissingFile as error:
        raise errors.PackageError(
            f"{error}: wanted the folder of a model package, as `fairway package` writes it"
        ) from error
    except errors.AddressError as error:
        raise errors.PackageError(str(error)) from error


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Make another fetch to the same folder wait until this one has ended, however it ends."""
    with out.with_name(f".{out.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

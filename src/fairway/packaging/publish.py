"""Puts a model package where a cluster finds it: below the store's address, under its digest.

    s3://bucket/prefix              with the usual AWS_ variables; AWS_ENDPOINT_URL for what only speaks S3
    pvc://claim/folder              in a pod that has the claim mounted below CLAIMS
    file:///folder                  a folder of this machine

The manifest is written last: what it lists is there before it is, so that nobody finds half a package, and a
publication that was cut off is simply made again.
"""

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from fairway import errors, files
from fairway.packaging import fetch, manifest, web

CLAIMS = Path("/mnt/claims")  # where a pod has `pvc://claim` mounted, below the claim's name


class PackageStore(Protocol):
    """Where a package is put; every method raises Unavailable where another attempt may succeed."""

    def put(self, name: str, file: Path) -> None:
        """Write the file in the place of one that is there."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """Return the bytes of a file; raises PackageError where there is none."""


def publish(
    folder: Path,
    *,
    store: str,
    environment: Mapping[str, str] = os.environ,
    claims: Path = CLAIMS,
    pause_seconds: float = fetch.PAUSE_SECONDS,
) -> str:
    """Return the address of the package in the store; one that is there already is left as it is.

    The package is verified first, and the manifest is read back afterwards. Raises UsageError for an
    address that takes no package, PackageError where the store refuses, Unavailable where it does not
    answer.
    """
    made = manifest.load(folder)
    uri = address(store, digest=made.digest)
    target = _open(uri, environment=environment, claims=claims)
    if _is_there(target, folder, pause_seconds=pause_seconds):
        return uri
    for name in (*made.files, manifest.NAME):
        put = functools.partial(target.put, name, folder / name)
        fetch.patiently(put, pause_seconds=pause_seconds)
    if not _is_there(target, folder, pause_seconds=pause_seconds):
        raise errors.PackageError(
            f"{uri} does not give back what was put there: see who else writes to it"
        )
    return uri


def address(store: str, *, digest: str) -> str:
    """Return where the package with that digest lies in the store: one repository holds all of a
    registry's, for there the digest is the tag."""
    if store.startswith("oci://"):
        return store
    return f"{store.rstrip('/')}/{digest.removeprefix('sha256:')}"


def _open(uri: str, *, environment: Mapping[str, str], claims: Path) -> PackageStore:
    place = urlsplit(uri)
    if place.scheme == "s3" and place.netloc:
        from fairway.packaging import s3  # whose library is heavy

        return s3.Bucket(place.netloc, prefix=place.path.strip("/"), environment=environment)
    if place.scheme == "file" and place.netloc in ("", "localhost"):
        return WritableFolder(Path(unquote(place.path)))
    if place.scheme == "pvc" and place.netloc:
        mounted = claims / place.netloc
        if not mounted.is_dir():
            raise errors.UsageError(
                f"{uri} is written in a pod that has the claim {place.netloc} mounted at {mounted}, and that folder is "
                "not here: put the package there by a pod of yours, or name another platform.store"
            )
        return WritableFolder(mounted / unquote(place.path).strip("/"))
    hint = "; push the folder with oras, and give its address to `fairway deploy --uri`"
    raise errors.UsageError(
        f"{web.shown(uri)} takes no package: wanted s3://bucket/prefix, pvc://claim/folder or file:///folder"
        f"{hint if place.scheme == 'oci' else ''}"
    )


def _is_there(target: PackageStore, folder: Path, *, pause_seconds: float) -> bool:
    """Say whether the store gives back the package's manifest, which was written after all it
    lists."""
    wanted = (folder / manifest.NAME).read_bytes()

    def is_same() -> bool:
        found = b""
        for chunk in target.chunks(manifest.NAME):
            found += chunk
            if len(found) > len(wanted):
                return False
        return found == wanted

    try:
        return fetch.patiently(is_same, pause_seconds=pause_seconds)
    except errors.PackageError:  # there is none
        return False


class WritableFolder(fetch.Folder):
    """A folder of this machine, or of a claim that is mounted here."""

    def put(self, name: str, file: Path) -> None:
        place = self.path / name
        try:
            files.write_bytes(place, file.read_bytes())
        except OSError as error:
            raise errors.PackageError(f"{place} cannot be written: {error.strerror}") from error

"""Where files lie besides this machine's folders: one module for each kind of address.

    file:///folder                  a folder of this machine, such as a mounted volume
    pvc://claim/folder              in a pod that has the claim mounted below CLAIMS
    http(s)://host/folder?query     a folder on a web server; the query goes with every file (a signed address)
    s3://bucket/prefix              with the usual AWS_ variables; AWS_ENDPOINT_URL for what only speaks S3
    gs://bucket/prefix              with Google's usual ones; STORAGE_EMULATOR_HOST for what only speaks its protocol
    minio://bucket/prefix           an artifact of Kubeflow Pipelines' own store: s3:// at AWS_ENDPOINT_URL
    oci://registry/repository:tag   an artifact, as `oras push` writes it
    models:/NAME/VERSION            of an MLflow registry (MLFLOW_TRACKING_URI), or models:/NAME@ALIAS

An address holds no credentials: the environment gives them, and on a cluster a Secret or a service account.
"""

import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from fairway import errors, files
from fairway.addresses import mlflow, oci, web

CLAIMS = Path("/mnt/claims")  # where a pod has `pvc://claim` mounted, below the claim's name
ATTEMPTS = 6  # one and five more: with the pauses, half a minute of a registry that restarts
PAUSE_SECONDS = 1.0  # before the second attempt, twice as long before each further one
CHUNK_BYTES = 1 << 20
T = TypeVar("T")


class AnyFolder(Protocol):
    """A folder somewhere."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """Return the bytes of a file; raises Unavailable where another attempt may succeed, and
        Permanent where none will."""


class WritableFolder(AnyFolder, Protocol):
    """A folder somewhere that takes files."""

    def put(self, name: str, file: Path) -> None:
        """Write the file in the place of one that is there; raises as `chunks` does."""

    def finish(self) -> None:
        """Show what was put, where a place shows its files together only."""


class Folder:
    """A folder of this machine, or of a claim that is mounted here."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def chunks(self, name: str) -> Iterator[bytes]:
        try:
            with (self._path / name).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise errors.MissingFile(f"{self._path / name} is missing") from error

    def put(self, name: str, file: Path) -> None:
        place = self._path / name
        try:
            files.write_bytes(place, file.read_bytes())
        except OSError as error:
            raise errors.AddressError(f"{place} cannot be written: {error.strerror}") from error

    def finish(self) -> None: ...


def folder(
    uri: str,
    *,
    tag: str = "",
    environment: Mapping[str, str] = os.environ,
    claims: Path = CLAIMS,
) -> AnyFolder:
    """Return the folder that the address names, of which nothing is asked yet; `tag` is taken of a
    registry's where the address names none. Raises UsageError for what is no address."""
    place = urlsplit(uri)
    if place.username or place.password:
        raise errors.UsageError(
            f"{web.shown(uri)}: wanted no password in an address; FAIRWAY_FETCH_AUTHORIZATION holds the header to send"
        )
    if place.scheme == mlflow.SCHEME:
        there, authorization = mlflow.place(uri, environment=environment)
        if authorization is not None:
            return web.Site(there, authorization=authorization)
        return folder(there, environment=environment, claims=claims)
    if place.scheme in ("http", "https") and place.hostname:
        return web.Site(uri, authorization=environment.get("FAIRWAY_FETCH_AUTHORIZATION"))
    found = writable(uri, tag=tag, environment=environment, claims=claims)
    if found is not None:
        return found
    raise errors.UsageError(
        f"{uri!r} is no address: wanted file:///folder, pvc://claim/folder, http(s)://host/folder, s3://bucket/prefix, "
        "gs://bucket/prefix or oci://registry/repository"
    )


def writable(
    uri: str,
    *,
    tag: str = "",
    environment: Mapping[str, str] = os.environ,
    claims: Path = CLAIMS,
) -> WritableFolder | None:
    """Return the folder that the address names, None for an address whose files are written by other
    means."""
    place = urlsplit(uri)
    if place.scheme in ("s3", "minio") and place.netloc:
        from fairway.addresses import s3  # whose library is heavy

        if place.scheme == "minio" and not environment.get("AWS_ENDPOINT_URL"):
            raise errors.UsageError(
                f"{uri} names no server: wanted AWS_ENDPOINT_URL, such as http://minio-service.kubeflow:9000"
            )
        return s3.Bucket(place.netloc, prefix=place.path.strip("/"), environment=environment)
    if place.scheme == "gs" and place.netloc:
        from fairway.addresses import gcs  # as heavy

        return gcs.GoogleBucket(place.netloc, prefix=place.path.strip("/"))
    if place.scheme == "oci" and place.netloc and place.path.strip("/"):
        return oci.Repository(uri, tag=tag, environment=environment)
    if place.scheme == "file" and place.netloc in ("", "localhost"):
        return Folder(Path(unquote(place.path)))
    if place.scheme == "pvc" and place.netloc:
        mounted = claims / place.netloc
        if not mounted.is_dir():
            raise errors.UsageError(
                f"{uri} is found in a pod that has the claim {place.netloc} mounted at {mounted}, and that folder is "
                "not here"
            )
        return Folder(mounted / unquote(place.path).strip("/"))
    return None


def put_all(
    place: WritableFolder, content: Mapping[str, Path], *, pause_seconds: float = PAUSE_SECONDS
) -> None:
    """Write the files in their order, so that none is seen before those ahead of it."""
    for name, file in content.items():
        patiently(functools.partial(place.put, name, file), pause_seconds=pause_seconds)
    patiently(place.finish, pause_seconds=pause_seconds)


def below(store: str, *parts: str) -> str:
    """Return the address of a folder in the store; a repository has tags for folders."""
    if not store.startswith("oci://"):
        return "/".join((store.rstrip("/"), *parts))
    repository, tag, digest = oci.parted(urlsplit(store).path)
    if tag or digest or not repository:
        raise errors.UsageError(
            f"{store} is no store: wanted oci://registry/repository, without a tag or a digest"
        )
    return f"{store.rstrip('/')}:{'-'.join(parts)}"


def need_writable(uri: str) -> WritableFolder:
    """Return the folder that the address names; raises UsageError for one that takes no files."""
    found = writable(uri)
    if found is None:
        raise errors.UsageError(f"{uri} takes no files: wanted s3:// or pvc://")
    return found


def take(place: AnyFolder, name: str, *, to: Path, largest: int) -> tuple[int, str]:
    """Write one file of the place, and return its size in bytes and its digest. Raises AddressError
    where it is larger than allowed."""
    to.parent.mkdir(parents=True, exist_ok=True)
    size, seen = 0, hashlib.sha256()
    with to.open("wb") as file:
        for chunk in place.chunks(name):
            size += len(chunk)
            if size > largest:
                raise errors.AddressError(
                    f"{name} is larger than the {largest} bytes that are allowed here: is this the right address?"
                )
            seen.update(chunk)
            file.write(chunk)
    return size, f"sha256:{seen.hexdigest()}"


def parted(uri: str) -> tuple[str, str]:
    """Return the address of a file's folder, and the file's name."""
    place = urlsplit(uri)
    parent, _, name = place.path.rstrip("/").rpartition("/")
    if not name:
        raise errors.UsageError(f"{web.shown(uri)} names no file: wanted one after the last /")
    return urlunsplit(place._replace(path=parent, fragment="")), unquote(name)


def patiently(function: Callable[[], T], *, pause_seconds: float = PAUSE_SECONDS) -> T:
    """Call the function until it succeeds, with growing pauses; the last attempt's Unavailable goes
    to the caller."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return function()
        except errors.Unavailable:
            time.sleep(pause_seconds * 2**attempt)
    return function()

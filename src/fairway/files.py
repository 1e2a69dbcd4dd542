"""Files and folders that a reader sees whole or not at all, and the digests that name their
content."""

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway import errors


def canonical(data: Any) -> bytes:
    """Return the one byte form that a digest is taken of."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest_bytes(data: bytes) -> str:
    """Return the digest of these bytes, as `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return the digest of a file's content."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write all of `data` or nothing: to a temporary file beside `path`, which is then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def workshop(parent: Path, *, prefix: str) -> Iterator[Path]:
    """Give an empty folder in `parent` to build in; whatever is left in it afterwards is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def replacing(out: Path, *, records: tuple[str, ...]) -> Iterator[Path]:
    """Give an empty folder that takes the place of `out` when the block ends well, and vanishes
    otherwise.

    A folder that is there already is replaced only where it is empty or holds one of `records`, the
    files that a stage leaves in its folder; otherwise UsageError is raised, and `out` stays as it
    was.
    """
    with workshop(out.parent, prefix=f".{out.name}.") as folder:
        yield folder
        folder.chmod(0o755)
        _put(folder, out, records)


def _put(folder: Path, out: Path, records: tuple[str, ...]) -> None:
    if not out.exists():
        folder.rename(out)
        return
    if not _replaceable(out, records):
        wanted = ", ".join(records)
        raise errors.UsageError(
            f"{out} is there and holds none of {wanted}: wanted a new folder, or an old one of this stage"
        )
    if not exchange(folder, out):
        _move_aside(folder, out)


def _replaceable(out: Path, records: tuple[str, ...]) -> bool:
    if not out.is_dir():
        return False
    return not any(out.iterdir()) or any((out / record).is_file() for record in records)


def _move_aside(folder: Path, out: Path) -> None:
    """Replace `out` in two steps, where the system has no exchange: for a moment there is no `out`."""
    with workshop(out.parent, prefix=f".{out.name}.old.") as old:
        out.rename(old / "replaced")
        folder.rename(out)


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders' names in one step; return False where the system cannot (it is not Linux)."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), swap) == 0)

"""How a package comes to be on disk: built beside its place, verified, renamed. Nobody sees half of
one."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from fairway import artifacts, errors, files
from fairway.packaging import manifest

PREFIX = ".building-"


def workshop(store: Path) -> AbstractContextManager[Path]:
    """Return an empty folder beside the packages, which is taken away afterwards, whatever
    happened."""
    return files.workshop(store, prefix=PREFIX)


def put(
    store: Path, *, folder: Path, describe: Callable[[dict[str, str]], artifacts.Json]
) -> manifest.Manifest:
    """Write the manifest of the files in `folder`, and moves them to the store under their digest.

    `describe` gives the manifest for the files' digests. A package that is there already is
    verified and given back.
    """
    there = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    digests = {file.relative_to(folder).as_posix(): files.digest_file(file) for file in there}
    data = describe(digests)
    digest = files.digest_bytes(files.canonical(data))
    artifacts.write_json(folder / manifest.NAME, data)
    for file in folder.rglob("*"):
        # immutable: a change would not go unnoticed, but need not happen
        file.chmod(0o755 if file.is_dir() else 0o444)
    folder.chmod(0o755)
    place = store / digest.removeprefix("sha256:")
    if not place.exists():
        manifest.load(folder)
        _rename(folder, place)
    return manifest.load(place)


def copy(source: Path, *, target: Path) -> None:
    """Copy the bytes of a file, through to the disk."""
    if not source.is_file():
        raise errors.PackageError(
            f"{source} is missing: wanted it for the package; run the stage that writes it"
        )
    files.write_bytes(target, source.read_bytes())


def _rename(folder: Path, place: Path) -> None:
    try:
        os.rename(folder, place)
    except OSError:
        # another process built the same package in the meantime: the same bytes by definition
        if not place.exists():
            raise

"""A folder of files at an address: sent with an index of their digests, taken whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from fairway import addresses, errors, files

INDEX = "index.json"  # written after all that it lists
LARGEST_INDEX = 16 << 20


def send(
    folder: Path, *, to: addresses.WritableFolder, pause_seconds: float = addresses.PAUSE_SECONDS
) -> None:
    """Write the folder's files; those that an earlier try has sent are not sent again."""
    index = {
        path.relative_to(folder).as_posix(): files.digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if not index:
        raise errors.UsageError(f"{folder} has no files: wanted some to send")
    there = _index(to, pause_seconds=pause_seconds) or {}
    for name, digest in index.items():
        if there.get(name) != digest:
            addresses.patiently(
                lambda name=name: to.put(name, folder / name),  # type: ignore[misc]
                pause_seconds=pause_seconds,
            )
    with files.workshop(folder.parent, prefix=".index-") as workshop:
        (workshop / INDEX).write_bytes(files.canonical(index))
        addresses.patiently(lambda: to.put(INDEX, workshop / INDEX), pause_seconds=pause_seconds)


def take(
    place: addresses.AnyFolder,
    *,
    out: Path,
    named: str,
    largest: int,
    pause_seconds: float = addresses.PAUSE_SECONDS,
) -> None:
    """Write the files to `out`, which is built beside its place and then renamed.

    Raises AddressError where there is no parcel, or a file is another than the index says; `named` is
    the place for people, `largest` the bytes of one file.
    """
    index = _index(place, pause_seconds=pause_seconds)
    if index is None:
        raise errors.MissingFile(f"{named} has no {INDEX}: wanted what `send` wrote there")
    with files.replacing(out, records=(*index,)) as folder:
        for name, digest in index.items():
            _, seen = addresses.patiently(
                lambda name=name: addresses.take(  # type: ignore[misc]
                    place, name, to=folder / name, largest=largest
                ),
                pause_seconds=pause_seconds,
            )
            if seen != digest:
                raise errors.AddressError(
                    f"{named}/{name} has the digest {seen}: wanted {digest}, as {INDEX} says"
                )


def _index(place: addresses.AnyFolder, *, pause_seconds: float) -> Mapping[str, str] | None:
    """Return the digest of each file, None where there is no parcel."""

    def read() -> bytes:
        found = b""
        for chunk in place.chunks(INDEX):
            found += chunk
            if len(found) > LARGEST_INDEX:
                raise errors.AddressError(f"{INDEX} is larger than {LARGEST_INDEX} bytes")
        return found

    try:
        text = addresses.patiently(read, pause_seconds=pause_seconds)
    except errors.MissingFile:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(map(_is_listed, found.items())):
        raise errors.AddressError(f"{INDEX} is no index of a parcel: wanted file names and digests")
    return found


def _is_listed(item: tuple[object, object]) -> bool:
    name, digest = item
    path = PurePosixPath(str(name))
    return isinstance(digest, str) and not path.is_absolute() and ".." not in path.parts

"""Rows that lie elsewhere: brought to this machine before a source reads them."""

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairway import addresses, artifacts, errors
from fairway.addresses import web
from fairway.config import sections

LARGEST_FILE = 256 << 30  # bytes: a bound on what a wrong address may write to disk
RECORD, UNFINISHED = "brought.json", ".part"
LABELLED = "labelled.parquet"  # newly labelled rows beside what was brought


def bring(
    section: sections.Data,
    *,
    out: Path,
    environment: Mapping[str, str] = os.environ,
    claims: Path = addresses.CLAIMS,
    pause_seconds: float = addresses.PAUSE_SECONDS,
) -> tuple[artifacts.Json, ...]:
    """Write the files that the section names by address to the folder `out`, and return of each its
    `key`, `address`, `digest`, `bytes` and `file` below `out`.

    Raises DataError for a file that is not there or refused, Unavailable where an address does not
    answer.
    """
    found = []
    for key, address in section.addresses().items():
        folder, name = addresses.parted(address)
        # two keys may name two files of one name
        file = out / hashlib.sha256(address.encode()).hexdigest()[:16] / name
        try:
            place = addresses.folder(folder, environment=environment, claims=claims)
            take = functools.partial(_take, place, name, file)
            size, digest = addresses.patiently(take, pause_seconds=pause_seconds)
        except errors.AddressError as error:
            raise errors.DataError(f"data.{key}: {error}") from error
        found.append(
            {
                "key": key,
                "address": web.shown(address),
                "digest": digest,
                "bytes": size,
                "file": str(file.relative_to(out)),
            }
        )
    artifacts.write_json(out / RECORD, found)
    return tuple(found)


def brought(section: sections.Data, *, folder: Path) -> sections.Data:
    """Return the section with the files that were brought to the folder in the place of addresses,
    and the newly labelled rows that lie beside them."""
    if (folder / LABELLED).exists():
        kept = tuple(path for path in section.extra if path.name != LABELLED)
        section = section.model_copy(update={"extra": (*kept, folder / LABELLED)})
    if not section.addresses():
        return section
    record: Any = artifacts.read_json(folder / RECORD)
    return section.brought({one["key"]: folder / one["file"] for one in record})


def _take(place: addresses.AnyFolder, name: str, file: Path) -> tuple[int, str]:
    """Write all of the file or nothing."""
    part = file.with_name(file.name + UNFINISHED)
    try:
        said = addresses.take(place, name, to=part, largest=LARGEST_FILE)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
    return said

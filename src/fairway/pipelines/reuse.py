"""Results that are kept: of a run's own steps, from which it goes on after a failure, and of earlier
runs' pure steps, where everything that they depend on is the same.

A step's key has its code, its arguments and the content of its artifacts, wherever they lie: rows
that changed under an unchanged path are another content. What is taken is held against the digest
that it had. Between runs the key has fairway's own sources and every installed version too.
"""

import functools
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import artifacts, files

# of a stage's record: where it lies and what its rows' file was called, nothing of what it is
PLACES = frozenset({"path", "source"})
SECTIONS = ("data", "training", "evaluation")


@dataclass(frozen=True)
class Results:
    """Results by key, a file each."""

    folder: Path

    def find(self, key: str) -> artifacts.Json | None:
        """Return the result, None where there is none or its artifacts are not what they were."""
        try:
            found = artifacts.read_json(self.folder / f"{key}.json")
            there = {path: content(Path(path)) for path in found["content"]}
        except (OSError, ValueError, KeyError):
            return None
        return found if there == found["content"] else None

    def put(
        self,
        key: str,
        *,
        folder: Path,
        outputs: artifacts.Json,
        content: Mapping[str, str | None],
    ) -> None:
        """Keep what the step left in the folder; `content` has the digest of each artifact's path."""
        found = {"folder": str(folder), "outputs": outputs, "content": dict(content)}
        artifacts.write_json(self.folder / f"{key}.json", found)


def key(*parts: Any) -> str:
    """Return one digest of values that JSON can hold."""
    return hashlib.sha256(files.canonical(list(parts))).hexdigest()


def content(path: Path) -> str | None:
    """Return the digest of a file or of a folder's files with their names, None where neither is."""
    if path.is_file():
        return _content_of(path)
    if not path.is_dir():
        return None
    found = {
        str(file.relative_to(path)): _content_of(file)
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
    return key(found)


def placeless(record: Mapping[str, Any]) -> artifacts.Json:
    """Return a copy of a record, or of an artifact's metadata, without the names of its places."""
    return {name: value for name, value in record.items() if name not in PLACES}


def names_own_code(config: Mapping[str, Any]) -> bool:
    """Say whether the configuration names a function of the user's, whose modules nobody lists."""
    return any((config.get(section) or {}).get("function") for section in SECTIONS)


@functools.cache
def code() -> str:
    """Return the digest of what runs here: fairway's sources, Python, and the installed versions."""
    source = Path(__file__).parents[1]
    ours = [
        [str(file.relative_to(source)), files.digest_file(file)]
        for file in sorted(source.rglob("*"))
        if file.is_file() and file.suffix != ".pyc"
    ]
    places = {Path(place) for place in sys.path if place}
    installed = {found.name for place in places for found in place.glob("*.dist-info")}
    return key(ours, sorted(installed), sys.version)


def _content_of(file: Path) -> str:
    if file.name not in artifacts.RECORDS:
        return files.digest_file(file)
    record = placeless(artifacts.read_json(file))
    lineage = record.get("lineage", {})
    if "files" in lineage:  # digests by the files' names
        record["lineage"] = {**lineage, "files": sorted(lineage["files"].values())}
    return key(record)

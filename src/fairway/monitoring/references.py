"""What windows are held against, as files: the reference of a package, and what was learnt of a
deployment's traffic.
"""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fairway import errors
from fairway import files as filesystem
from fairway.model.schema import Feature
from fairway.monitoring.detectors import base
from fairway.packaging import golden

log = logging.getLogger("fairway.monitoring.references")
WORDS = "words of "  # the beginning of the name of an array that holds a column's words
USUAL, LEARNING = "usual", "learning"  # what windows are held against, and what is not whole yet
ACCEPTED = "accepted"  # what people took for the new usual (`acceptance`)


class Shelf(Protocol):
    """Where the files of one deployment are kept."""

    def read(self, name: str) -> bytes | None:
        """Return the file, None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Keep all of the file or nothing."""

    def remove(self, name: str) -> None:
        """Forget the file; one that is not there is none."""


@dataclass(frozen=True)
class FolderShelf:
    """A shelf that is a folder, for the files of all deployments."""

    path: Path
    deployment: str

    def read(self, name: str) -> bytes | None:
        file = self._file(name)
        return file.read_bytes() if file.exists() else None

    def write(self, name: str, content: bytes) -> None:
        filesystem.write_bytes(self._file(name), content)

    def remove(self, name: str) -> None:
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        kind = "json" if name == ACCEPTED else "npz"
        return self.path / f"{self.deployment}{'' if name == USUAL else f'.{name}'}.{kind}"


def local(home: Path, deployment: str) -> FolderShelf:
    """Return what the monitor of the local platform keeps of a deployment."""
    return FolderShelf(home / "monitor", deployment)


def trained(
    package: Path,
    *,
    files: Mapping[str, Any],
    features: Sequence[Feature],
    largest: int = golden.LARGEST_REFERENCE,
) -> dict[str, Any]:
    """Return the package's reference, images in their shape so that a finding names the place in
    the picture; empty where it has none."""
    if "reference.npz" not in files:
        log.warning("package %s has no reference.npz, its drift is not watched", package)
        return {}
    arrays = golden.read_reference(package / "reference.npz", largest=largest)
    shapes = {feature.name: feature.shape for feature in features if feature.shape}
    return {
        name: values.reshape(len(values), *shapes[name]) if name in shapes else values
        for name, values in arrays.items()
    }


def read(shelf: Shelf, name: str) -> dict[str, Any] | None:
    """Return what was learnt, None where there is nothing that can be read."""
    content = shelf.read(name)
    if content is None:
        return None
    try:
        return {
            key.removeprefix(WORDS): _words(values) if key.startswith(WORDS) else values
            for key, values in golden.read_reference(io.BytesIO(content)).items()
        }
    except (errors.PackageError, ValueError) as error:
        log.warning("it is learnt again: %s", error)
        return None


def write(shelf: Shelf, name: str, arrays: Mapping[str, Any]) -> None:
    """Write what was learnt, all of it or nothing; words as JSON: numpy's own take as much for each
    as for the longest, and pickled ones could be anything."""
    plain = dict(_plain(key, values) for key, values in arrays.items())
    shelf.write(name, golden.archived(plain))


def _plain(name: str, values: Any) -> tuple[str, Any]:
    if values.dtype.kind != "O":
        return name, values
    return WORDS + name, np.frombuffer(json.dumps(values.tolist()).encode(), dtype=np.uint8)


def _words(content: Any) -> Any:
    """Return a column of words, equal ones held once; ValueError where it is none."""
    held: dict[str, str] = {}
    column = [held.setdefault(word, word) for word in json.loads(content.tobytes())]
    values = np.empty(len(column), dtype=object)
    values[:] = column
    return values


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether two references have the same inputs in the same shapes."""
    shapes = [
        {
            name: (values.shape[1:], values.dtype.kind in "OUS")
            for name, values in arrays.items()
            if base.is_feature(name)
        }
        for arrays in (one, other)
    ]
    return shapes[0] == shapes[1]

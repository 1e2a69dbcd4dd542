"""What rows may be of, so that they can be held against others: the reference of a package, and
what a deployment was asked and answered.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.data import agreement
from fairway.model.schema import Schema
from fairway.monitoring import references, stretch, windows
from fairway.monitoring.detectors import base
from fairway.monitoring.eventstore import answers
from fairway.packaging import manifest

MOST_NUMBERS = 20_000_000  # of all rows: of large pictures fewer are read


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """What a package tells of the rows that its model answers."""

    name: str
    digest: str
    where: str  # in words
    schema: Schema
    trained: dict[str, Any]  # its reference; empty where it has none
    confusion: list[list[int]] | None  # of its test rows, [true, answered] counts


class PastInputs(Protocol):
    """What an event store tells of the past of deployments, here or at a collector."""

    def newest(
        self, deployment: str, *, namespace: str, revision: str, role: str
    ) -> Generator[answers.Prediction, None, None]: ...


@dataclass(frozen=True, kw_only=True)
class Population:
    """Rows of one origin: raw columns in the order of their time, answers among them."""

    name: str  # as it was asked for
    columns: dict[str, NDArray[Any]]
    schema: Schema
    rows: int
    of: str  # in words
    package: Packaged | None = None  # whose model gave the answers
    served: bool = False  # or they are a package's reference
    remarks: list[str] = field(default_factory=list)
    misread: tuple[agreement.Misread, ...] = ()  # of a file
    changes: tuple[agreement.SchemaChange, ...] = ()  # of a file's columns that are left out


def packaged(
    made: manifest.Manifest, *, files: Mapping[str, Any] | None = None, where: str | None = None
) -> Packaged:
    """Return what a package tells; `files` are those of it that are there, by default all that it
    lists. Raises PackageError where its reference is damaged."""
    here = made.files if files is None else files
    return Packaged(
        name=made.name,
        digest=made.digest,
        where=where or str(made.path),
        schema=made.schema,
        trained=references.trained(made.path, files=here, features=made.features),
        confusion=_confusion(made) if "evaluation.json" in here else None,
    )


def of_package(folder: Path) -> Population:
    """Return the reference of a package: test rows with the model's answers. Raises PackageError
    where it has none, or is damaged."""
    package = packaged(manifest.load(folder))
    columns = {name: values for name, values in package.trained.items() if _is_compared(name)}
    if not columns:
        raise errors.PackageError(
            f"{folder} has no reference window: wanted reference.npz, which `fairway package` writes; hold "
            "rows of its training data against the others instead"
        )
    rows = len(next(iter(columns.values())))
    return Population(
        name=str(folder),
        columns=columns,
        schema=package.schema,
        rows=rows,
        of=f"package {package.name} {package.digest.removeprefix('sha256:')[:12]}: test rows",
        package=package,
    )


def in_service(
    past: PastInputs,
    wanted: stretch.Meant,
    *,
    text: str,
    namespace: str,
    revisions: Sequence[str],
    package_of: Callable[[str], Packaged],
) -> Population:
    """Return the rows that a deployment served.

    `revisions` are those that are meant, the newest first. Those that take other inputs than the
    newest of them are left out. Raises DataError where there is nothing.
    """
    known_of = functools.cache(package_of)  # of both roles one: a collector sends its files
    package: Packaged | None = None
    parts: list[tuple[str, windows.Window]] = []
    remarks: list[str] = []
    left = wanted.rows or (stretch.MOST_ROWS if wanted.timed else stretch.NEWEST_ROWS)
    for revision in revisions:
        for role in ("stable", "canary") if wanted.revision else ("stable",):
            newest = past.newest(
                wanted.deployment, namespace=namespace, revision=revision, role=role
            )
            with contextlib.closing(newest):
                chosen = stretch.within(newest, wanted)
                first = next(chosen, None)
                if first is None or left <= 0:
                    continue
                known = known_of(revision)
                if package is None:
                    package = known
                    left = min(left, _most(known.trained))
                elif not references.alike(package.trained, known.trained):
                    remarks.append(f"revision {revision} takes other inputs: it is left out")
                    continue
                window, _ = windows.gather(
                    itertools.chain([first], chosen), reference=package.trained, rows=left
                )
            left -= window.rows
            parts.append((revision, window))
    if package is None:
        kind = errors.NothingServed if revisions else errors.DataError
        raise kind(_unserved(wanted, text, revisions, package_of))
    return _joined(parts, text=text, package=package, remarks=remarks)


def _joined(
    parts: Sequence[tuple[str, windows.Window]],
    *,
    text: str,
    package: Packaged,
    remarks: list[str],
) -> Population:
    readable = [(revision, window) for revision, window in parts if window.rows]
    unreadable = sum(window.unreadable for _, window in parts)
    if not readable:
        raise errors.DataError(
            f"{text}: the inputs of all {unreadable} requests do not fit the schema of {package.where}: "
            "package the model again with the inputs that are sent"
        )
    if unreadable:
        remarks.append(f"{text}: {unreadable} requests do not fit the schema, and are left out")
    readable.sort(key=lambda part: part[1].first_at)
    names = set.intersection(*(set(window.arrays) for _, window in readable))
    columns = {
        name: np.concatenate([window.arrays[name] for _, window in readable])
        for name in readable[0][1].arrays
        if name in names
    }
    revisions = list(dict.fromkeys(revision for revision, _ in readable))
    span = [
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
        for at in (readable[0][1].first_at, max(window.last_at for _, window in readable))
    ]
    return Population(
        name=text,
        columns=columns,
        schema=package.schema,
        rows=len(next(iter(columns.values()))),
        of=f"revision {', '.join(revisions)} from {span[0]} to {span[1]} UTC",
        package=package if len(revisions) == 1 else None,
        served=True,
        remarks=remarks,
    )


def _most(reference: base.Arrays) -> int:
    """Return how many rows may be read of such inputs."""
    numbers = sum(max(values[:1].size, 1) for values in reference.values())
    return max(MOST_NUMBERS // max(numbers, 1), 1)


def _unserved(
    wanted: stretch.Meant,
    text: str,
    revisions: Sequence[str],
    package_of: Callable[[str], Packaged],
) -> str:
    if not revisions:
        return f"{text}: {wanted.deployment} has no such revision; `fairway status` shows them"
    when = " at that time" if wanted.timed else ""
    return (
        f"{text}: no prediction of {wanted.deployment} with logged inputs is there{when}: send requests, or "
        f"name other times; the reference of its package is {package_of(revisions[0]).where}"
    )


def _is_compared(name: str) -> bool:
    return base.is_feature(name) or name == base.ANSWERS


def _confusion(made: manifest.Manifest) -> list[list[int]] | None:
    """Return how the test rows were answered; None where the package does not say."""
    found = manifest.document(made.path / "evaluation.json").get("confusion")
    size = len(made.schema.classes)
    rows = found if isinstance(found, list) and len(found) == size >= 2 else []
    whole = all(
        isinstance(row, list) and len(row) == size and all(type(n) is int and n >= 0 for n in row)
        for row in rows
    )
    return rows if rows and whole else None

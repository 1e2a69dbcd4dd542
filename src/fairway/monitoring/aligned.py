"""Two populations made comparable: the columns that both have, read one way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import agreement, histories, pairs
from fairway.model.schema import Feature, Schema
from fairway.model.tasks import classification
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import labelshift
from fairway.monitoring.drift.measures import Kind
from fairway.monitoring.populations import Population

LOSS = "loss of the answers"
KNOWN_SUFFIXES = (".csv", ".gz", ".tsv", ".txt", ".parquet", ".pq", ".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Two populations with the same columns."""

    before: Population
    after: Population
    schema: Schema
    roles: Mapping[str, Kind] = field(default_factory=dict)  # of columns that are no inputs
    changes: tuple[agreement.SchemaChange, ...] = ()
    labels: labelshift.LabelShift | None = None
    remarks: tuple[str, ...] = ()


def sides(
    before: str,
    after: str,
    *,
    columns: histories.Columns,
    section: sections.Data,
    ordered: bool,
    population: Callable[[str], Population],
) -> Aligned:
    """Return both sides with the columns that they have in common; a file is read as the other side's
    schema says, and what is no file is asked of `population`."""
    paths = [Path(text) if is_file(text) else None for text in (before, after)]
    if paths[0] is not None and paths[1] is not None:
        return files(paths[0], paths[1], columns=columns, section=section, ordered=ordered)
    known = [
        None if path is not None else population(text)
        for text, path in zip((before, after), paths, strict=True)
    ]
    other = known[0] or known[1]
    if other is None:  # one of them is no file
        raise AssertionError("a side is a file or a population")
    found = [
        one or file_like(Path(text), other, columns=columns, section=section)
        for text, one in zip((before, after), known, strict=True)
    ]
    return populated(found[0], found[1])


def is_file(text: str) -> bool:
    """Say whether a file is meant, which may not be there."""
    if Path(text).is_dir():
        return False
    return Path(text).exists() or Path(text).suffix in KNOWN_SUFFIXES


def files(
    before: Path,
    after: Path,
    *,
    columns: histories.Columns,
    section: sections.Data,
    ordered: bool = True,
) -> Aligned:
    """Return the rows of two files; with labels and answers, what the answers lose is a column."""
    pair = pairs.pair(before, after, columns=columns, section=section, ordered=ordered)
    sides = [_columns(pair.before), _columns(pair.after)]
    schema = pair.schema
    roles: dict[str, Kind] = {}
    if columns.label is not None:
        roles[columns.label] = "label"
    if columns.prediction is not None:
        roles[columns.prediction] = "prediction"
    losses = [served.losses for served in (pair.before, pair.after)]
    if all(lost is not None and np.isfinite(lost).any() for lost in losses):
        roles[LOSS] = "concept"
        schema = replace(schema, features=(*schema.features, _loss_feature(losses)))
        for side, lost in zip(sides, losses, strict=True):
            side[LOSS] = np.asarray(lost)
    one, other = (
        Population(
            name=str(path),
            columns=side,
            schema=schema,
            rows=served.rows,
            of="file",
            misread=served.misread,
        )
        for path, side, served in (
            (before, sides[0], pair.before),
            (after, sides[1], pair.after),
        )
    )
    return Aligned(
        before=one,
        after=other,
        schema=schema,
        roles=roles,
        changes=tuple(pair.changes),
        labels=_by_files(pair),
        remarks=tuple(pair.remarks),
    )


def file_like(
    path: Path, other: Population, *, columns: histories.Columns, section: sections.Data
) -> Population:
    """Return the rows of a file as the other's schema reads them."""
    if columns.label is not None or columns.prediction is not None:
        raise errors.UsageError(
            "--label and --prediction name columns of two files: wanted two, or neither option"
        )
    served, remarks = pairs.read_as(path, schema=other.schema, time=columns.time, section=section)
    return Population(
        name=str(path),
        columns=served.columns,
        schema=other.schema,
        rows=served.rows,
        of="file",
        remarks=remarks,
        misread=served.misread,
        changes=served.changes,
    )


def populated(before: Population, after: Population) -> Aligned:
    """Return two populations with the columns that both have in one shape; their answers where
    both models answer alike.

    Raises DataError where they have nothing in common.
    """
    remarks = [*before.remarks, *after.remarks]
    changes = [*before.changes, *after.changes]
    inputs = [[name for name in side.columns if name != base.ANSWERS] for side in (before, after)]
    known = {change.column for change in changes}
    changes += [
        change
        for change in agreement.gone(inputs[0], inputs[1], name=after.name)
        if change.column not in known
    ]
    common = []
    for name in [name for name in before.columns if name in after.columns]:
        if name == base.ANSWERS and not _answer_alike(before, after):
            remarks.append("the two models answer other things: their answers are left out")
        elif before.columns[name].shape[1:] != after.columns[name].shape[1:]:
            changes.append(_reshaped(name, before, after))
        else:
            common.append(name)
    remarks += [
        f"{name} is only in {after.name}: it is left out"
        for name in inputs[1]
        if name not in (*inputs[0], *known)
    ]
    if not common:
        raise errors.DataError(
            f"{before.name} and {after.name} have no column in common: wanted the same inputs"
        )
    one, other = (
        replace(side, columns={name: side.columns[name] for name in common})
        for side in (before, after)
    )
    return Aligned(
        before=one,
        after=other,
        schema=before.schema,
        changes=tuple(changes),
        labels=_by_package(one, other),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _reshaped(name: str, before: Population, after: Population) -> agreement.SchemaChange:
    was, now = (list(side.columns[name].shape[1:]) for side in (before, after))
    sentence = f"{name} has the shape {now} in {after.name}: it was {was} in {before.name}"
    return agreement.SchemaChange(column=name, change="shape", sentence=sentence)


def _columns(served: histories.Served) -> dict[str, NDArray[Any]]:
    return dict(served.columns)


def _loss_feature(losses: list[NDArray[np.float64] | None]) -> Feature:
    known = np.concatenate([lost[np.isfinite(lost)] for lost in losses if lost is not None])
    wrong_or_right = set(np.unique(known).tolist()) <= {0.0, 1.0}
    return Feature(name=LOSS, kind="boolean" if wrong_or_right else "number")


def _answer_alike(one: Population, other: Population) -> bool:
    return (one.schema.task, one.schema.classes, one.schema.target) == (
        other.schema.task,
        other.schema.classes,
        other.schema.target,
    )


def _by_files(pair: pairs.TwoFiles) -> labelshift.LabelShift | None:
    """Return how common each class is in the second file: by its labels or, where it has none, by
    its answers and how the first file's rows were answered."""
    if pair.answered is None:
        return None
    before, after = pair.answered
    labelled = [[label for label in side.labels if label] for side in pair.answered]
    if min(map(len, labelled)) >= labelshift.LEAST_ANSWERS:
        return labelshift.counted(labelled[0], labelled[1], answers=after.answers)
    known = [
        (label, answer)
        for label, answer in zip(before.labels, before.answers, strict=True)
        if label and answer
    ]
    names = sorted({name for row in known for name in row})
    place = {name: index for index, name in enumerate(names)}
    answers = [place[answer] for answer in after.answers if answer in place]
    if len(answers) < len([answer for answer in after.answers if answer]):
        return labelshift.LabelShift(
            refusal="the second file has answers that the first has not: of those nobody knows what they mean"
        )
    pairs = np.array([[place[label], place[answer]] for label, answer in known], dtype=np.int64)
    table = classification.confusion(
        pairs.reshape(-1, 2)[:, 1], pairs.reshape(-1, 2)[:, 0], classes=len(names)
    )
    return labelshift.estimate(table.tolist(), np.array(answers, dtype=np.int64), classes=names)


def _by_package(before: Population, after: Population) -> labelshift.LabelShift | None:
    """Return how common each class is in service, where the answers are of the model whose test
    rows they are held against."""
    if before.package is None or after.package is None or not after.served or before.served:
        return None
    if before.package.digest != after.package.digest or base.ANSWERS not in after.columns:
        return None
    if after.schema.task != "classification":
        return None
    table = after.package.confusion
    if table is None:
        return None
    answers = after.columns[base.ANSWERS].argmax(axis=1).astype(np.int64)
    return labelshift.estimate(table, answers, classes=after.schema.classes)

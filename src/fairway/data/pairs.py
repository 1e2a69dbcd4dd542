"""Two files whose rows are held against each other, and one that is held against a package."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from fairway import errors
from fairway.config import sections
from fairway.data import agreement, histories
from fairway.data.histories import MANY, Columns, Served
from fairway.model.schema import Feature, Schema


@dataclass(frozen=True, kw_only=True)
class LabelledWords:
    """Labels and answers of a file as words, where both are classes; "" where one is missing."""

    labels: list[str]
    answers: list[str]


@dataclass(frozen=True, kw_only=True)
class TwoFiles:
    """Two files whose rows are held against each other, label and answer among their columns."""

    before: Served
    after: Served
    schema: Schema
    remarks: list[str]
    changes: list[agreement.SchemaChange]
    answered: tuple[LabelledWords, LabelledWords] | None = None


def pair(
    before: Path, after: Path, *, columns: Columns, section: sections.Data, ordered: bool
) -> TwoFiles:
    """Return two files whose rows are held against each other; kinds are learnt from the first, and
    labels may be in that alone.

    A column that counts the rows of both is left out; so is one that goes on as their time does,
    where they are `ordered`. Raises as `histories.read` does.
    """
    histories.check_apart(columns)
    one = histories.frame_of(before, columns, section=section)
    other = histories.frame_of(after, replace(columns, label=None), section=section)
    if columns.label in other.columns and other[columns.label].isna().all():
        other = other.drop(columns=columns.label)
    gone = _gone(one, other, columns=columns, section=section, name=str(after))
    unknown = [columns.label] if columns.label not in (None, *other.columns) else []
    features, remarks = histories.features_of(
        one.drop(columns=[*unknown, *(change.column for change in gone)]),
        list(map(str, other.columns)),
        columns=Columns(time=columns.time),
        section=section,
    )
    classes = {columns.label, columns.prediction} if _are_classes(one, columns) else set()
    features = [
        Feature(name=one.name, kind="category", missing=section.missing_values)
        if one.name in classes
        else one
        for one in features
    ]
    schema = Schema(target="", features=tuple(features))
    spread = histories.spread_of(one, columns, path=before)
    parts = [
        histories.part_of(frame, said, schema=schema, spread=spread, section=section, path=path)
        for frame, said, path in (
            (one, columns, before),
            (other, columns if not unknown else replace(columns, label=None), after),
        )
    ]
    remarks += [f"{change.sentence}: it is left out" for change in parts[0].changes]
    worded = [one.name for one in features if one.kind in agreement.WORDS]
    known = {name: set(parts[0].columns.get(name, ())) for name in worded}
    parts[1] = _with_words(parts[1], other, known=known, section=section, name=str(after))
    passing = set(_passing(parts, features, ordered=ordered)) - set(columns.named)
    remarks += map(agreement.passing, sorted(passing))
    changes = [*gone, *parts[1].changes]
    dropped = {*passing, *(change.column for change in (*parts[0].changes, *changes))}
    left = tuple(one for one in features if one.name not in dropped)
    if not left:
        because = "; ".join([*(change.sentence for change in changes), *remarks][:3])
        raise errors.DataError(
            f"{before} and {after} have no column in common that can be compared: {because}"
        )
    return TwoFiles(
        before=_without(parts[0], dropped),
        after=_without(parts[1], dropped),
        schema=replace(schema, features=left),
        remarks=remarks,
        changes=changes,
        answered=_answered(one, other, columns) if classes else None,
    )


def read_as(
    path: Path, *, schema: Schema, time: str | None, section: sections.Data
) -> tuple[Served, list[str]]:
    """Return a file's rows as a schema reads them, of the columns that it has and that are what they
    were, and a remark for each that is no input; raises as `histories.read` does."""
    frame = histories.frame_of(path, Columns(time=time), section=section)
    there = [feature for feature in schema.features if feature.name in frame.columns]
    if not there:
        wanted = ", ".join(feature.name for feature in schema.features[:5])
        raise errors.DataError(f"{path} has no column of the model's: wanted {wanted}")
    inputs = {feature.name for feature in there} | {time, schema.target}
    remarks = [
        f"{name} is no input of the model: it is left out"
        for name in map(str, frame.columns)
        if name not in inputs
    ]
    part = histories.part_of(
        frame,
        Columns(time=time),
        schema=replace(schema, features=tuple(there)),
        spread=None,
        section=section,
        path=path,
    )
    known = {one.name: set(one.categories) for one in there if one.kind in agreement.WORDS}
    return _with_words(part, frame, known=known, section=section, name=str(path)), remarks


def _gone(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    columns: Columns,
    section: sections.Data,
    name: str,
) -> list[agreement.SchemaChange]:
    known = {*section.ignore, columns.time, columns.label}
    names = [
        [one for one in map(str, side.columns) if one not in known] for side in (before, after)
    ]
    return agreement.gone(names[0], names[1], name=name)


def _with_words(
    part: Served,
    frame: pd.DataFrame,
    *,
    known: Mapping[str, set[str]],
    section: sections.Data,
    name: str,
) -> Served:
    """Return a file's rows without the columns of known words that became something else."""
    changed = agreement.no_longer_words(
        frame, part.columns, known=known, section=section, name=name
    )
    part = _without(part, {change.column for change in changed})
    return replace(part, changes=(*part.changes, *changed))


def _without(part: Served, names: set[str]) -> Served:
    kept = {name: values for name, values in part.columns.items() if name not in names}
    return replace(part, columns=kept)


def _passing(
    parts: Sequence[Served], features: Sequence[Feature], *, ordered: bool
) -> Iterator[str]:
    """Give the columns that count the rows or, where these are ordered, tell their time."""
    before, after = (part.columns for part in parts)
    for one in features:
        name = one.name
        if not {name} <= before.keys() & after.keys():
            continue
        if agreement.passes(one, before[name], after[name], ordered=ordered):
            yield name


def _are_classes(frame: pd.DataFrame, columns: Columns) -> bool:
    """Say whether labels or, without labels, answers are words, or few numbers."""
    name = columns.label or columns.prediction
    if name is None:
        return False
    return not pd.api.types.is_numeric_dtype(frame[name]) or frame[name].nunique() <= MANY


def _answered(
    before: pd.DataFrame, after: pd.DataFrame, columns: Columns
) -> tuple[LabelledWords, LabelledWords] | None:
    if columns.label is None or columns.prediction is None:
        return None
    one, other = (
        LabelledWords(
            labels=list(histories.words_of(side[columns.label]))
            if columns.label in side
            else [""] * len(side),
            answers=list(histories.words_of(side[columns.prediction])),
        )
        for side in (before, after)
    )
    return one, other

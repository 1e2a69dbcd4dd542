"""Rows that were served once, in the order of their time, and the reference that they are held
against: two files, read one way."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import frames, infer, sources
from fairway.model import spelling
from fairway.model.schema import RESERVED, Feature, Schema

MANY = 20  # different labels: more, all of them numbers, are quantities
MOST_CELLS = 1 << 19  # of a file that are read at a time
MOSTLY = 0.5  # of labels that are numbers: the others are mistakes, no classes
LEAST_SPREAD = 1e-12


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a command line says of the columns that are no features."""

    time: str | None = None
    label: str | None = None
    prediction: str | None = None

    @property
    def named(self) -> list[str]:
        return [name for name in (self.time, self.label, self.prediction) if name is not None]


@dataclass(frozen=True, kw_only=True)
class Served:
    """Raw columns of features; the time of each row in seconds since 1970, and its loss from 0 to
    1 (NaN where its label is missing), where they are asked for."""

    columns: dict[str, NDArray[Any]]
    at: NDArray[np.float64] | None
    losses: NDArray[np.float64] | None
    rows: int
    parts: Iterable[dict[str, NDArray[Any]]] = ()  # in place of columns: rows after rows


@dataclass(frozen=True, kw_only=True)
class HistoryParts:
    """The features of a file, read some rows at a time and as often as they are asked for."""

    table: Any  # as `sources.batched` gives it
    schema: Schema
    section: sections.Data
    path: Path

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        names = [feature.name for feature in self.schema.features]
        rows = max(MOST_CELLS // max(len(names), 1), 1)
        for frame in self.table.batches(rows=rows, names=names):
            tidy = frames.tidied(frame, missing=self.section.missing_values)
            yield _raw(tidy, schema=self.schema, path=self.path)


@dataclass(frozen=True, kw_only=True)
class LabelledWords:
    """Labels and answers as words, where both are classes; "" where one is missing."""

    labels: list[str]
    answers: list[str]


@dataclass(frozen=True, kw_only=True)
class TwoFiles:
    """Two files whose rows are held against each other, label and answer among their columns."""

    before: Served
    after: Served
    schema: Schema
    remarks: list[str]
    answered: LabelledWords | None = None  # of the first file
    answers: list[str] | None = None  # of the second, beside it


def read(
    served: Path, reference: Path, *, columns: Columns, section: sections.Data
) -> tuple[Served, Served, Schema, list[str]]:
    """Return the served rows, those of the reference, their schema, and a remark for each column
    that is left out.

    Kinds are learnt from the reference. Raises UsageError for a file or column that is not there,
    DataError for values that cannot be read, or rows that are not in the order of their time.
    """
    _check_apart(columns)
    earlier, later = (_table(path, columns, section=section) for path in (reference, served))
    before = _whole(earlier, section=section)
    features, remarks = _features(before, later.names, columns=columns, section=section)
    schema = Schema(target=columns.label or "", features=tuple(features))
    spread = _spread(before, columns, path=reference)
    known = _part(before, columns, schema=schema, spread=spread, section=section, path=reference)
    del before
    # of what was served only these columns are held: the others may be more than memory
    named = _whole(later, section=section, names=columns.named)
    after = _part(
        named,
        columns,
        schema=replace(schema, features=()),
        spread=spread,
        section=section,
        path=served,
    )
    if after.at is not None:
        _check_passes(after.at, path=served, name=columns.time)
    parts = HistoryParts(table=later, schema=schema, section=section, path=served)
    after = replace(after, rows=later.rows, parts=parts)
    return after, known, schema, remarks + _unlabelled([after, known], columns, (served, reference))


def pair(before: Path, after: Path, *, columns: Columns, section: sections.Data) -> TwoFiles:
    """Return two files whose rows are held against each other; kinds are learnt from the first, and
    labels may be in that alone.

    A column that counts the rows of both says nothing, and is left out. Raises as `read` does.
    """
    _check_apart(columns)
    one = _frame(before, columns, section=section)
    other = _frame(after, replace(columns, label=None), section=section)
    if columns.label in other.columns and other[columns.label].isna().all():
        other = other.drop(columns=columns.label)
    counting = [name for name in one.columns if _counts(one, other, str(name))]
    unknown = [columns.label] if columns.label not in (None, *other.columns) else []
    ignored = section.model_copy(
        update={"ignore": (*section.ignore, *map(str, (*counting, *unknown)))}
    )
    features, remarks = _features(
        one, _names(other), columns=Columns(time=columns.time), section=ignored
    )
    remarks += [f"{name} counts the rows of both files: it is left out" for name in counting]
    spread = _spread(one, columns, path=before)
    classes = {columns.label, columns.prediction} if _are_classes(one, columns) else set()
    schema = Schema(
        target="",
        features=tuple(
            Feature(name=feature.name, kind="category", missing=section.missing_values)
            if feature.name in classes
            else feature
            for feature in features
        ),
    )
    parts = [
        _part(frame, said, schema=schema, spread=spread, section=section, path=path)
        for frame, said, path in (
            (one, columns, before),
            (other, _there(other, columns), after),
        )
    ]
    answered, answers = _answered(one, other, columns, classes=bool(classes))
    return TwoFiles(
        before=parts[0],
        after=parts[1],
        schema=schema,
        remarks=remarks,
        answered=answered,
        answers=answers,
    )


def read_as(
    path: Path, *, schema: Schema, time: str | None, section: sections.Data
) -> tuple[Served, list[str]]:
    """Return a file's rows as a schema reads them, of the columns that it has, and a remark for each
    column that is left out; raises as `read` does."""
    frame = _frame(path, Columns(time=time), section=section)
    there = [feature for feature in schema.features if feature.name in frame.columns]
    if not there:
        wanted = ", ".join(feature.name for feature in schema.features[:5])
        raise errors.DataError(f"{path} has no column of the model's: wanted {wanted}")
    remarks = [
        f"{feature.name} is not in {path}: it is left out"
        for feature in schema.features
        if feature not in there
    ]
    known = {feature.name for feature in there} | {time, schema.target}
    remarks += [
        f"{name} is no input of the model: it is left out"
        for name in map(str, frame.columns)
        if name not in known
    ]
    common = replace(schema, features=tuple(there))
    columns = Columns(time=time)
    return _part(frame, columns, schema=common, spread=None, section=section, path=path), remarks


def read_reference(
    path: Path, *, time: str | None, section: sections.Data
) -> tuple[Served, Schema, list[str]]:
    """Return the rows of a reference, their schema, and a remark for each column that is left out;
    raises as `read` does."""
    columns = Columns(time=time)
    frame = _frame(path, columns, section=section)
    features, remarks = _features(frame, _names(frame), columns=columns, section=section)
    schema = Schema(target="", features=tuple(features))
    part = _part(frame, columns, schema=schema, spread=None, section=section, path=path)
    if part.at is not None:
        _check_passes(part.at, path=path, name=time)
    return part, schema, remarks


def _part(
    frame: pd.DataFrame,
    columns: Columns,
    *,
    schema: Schema,
    spread: float | None,
    section: sections.Data,
    path: Path,
) -> Served:
    return Served(
        columns=_raw(frame, schema=schema, path=path),
        at=_times(frame, columns.time, section=section, path=path),
        losses=_losses(frame, columns, spread=spread, path=path),
        rows=len(frame),
    )


def _frame(path: Path, columns: Columns, *, section: sections.Data) -> pd.DataFrame:
    reading = sources.section_of(path, missing_values=section.missing_values)
    rows = sources.raw_rows(reading)
    if rows.frame.empty:
        raise errors.DataError(f"{path} has no rows: wanted some to hold against each other")
    frame = frames.tidied(rows.frame, missing=section.missing_values)
    _check(_names(frame), columns.named, path=path)
    return frame


def _table(path: Path, columns: Columns, *, section: sections.Data) -> Any:
    table = sources.batched(sources.section_of(path, missing_values=section.missing_values))
    if not table.rows:
        raise errors.DataError(f"{path} has no rows: wanted some to hold against each other")
    _check(table.names, columns.named, path=path)
    return table


def _whole(
    table: Any, *, section: sections.Data, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return all rows of the columns that are named, all by default."""
    if names is not None and not names:
        return pd.DataFrame(index=range(table.rows))
    columns = table.names if names is None else names
    batches = table.batches(rows=max(MOST_CELLS // len(columns), 1), names=names)
    return frames.tidied(pd.concat(list(batches)), missing=section.missing_values)


def _check(present: Sequence[str], names: Sequence[str], *, path: Path) -> None:
    for name in names:
        if name not in present:
            raise errors.UsageError(f"{path} has no column {name!r}{infer.near(name, present)}")


def _check_apart(columns: Columns) -> None:
    chosen = {"--time": columns.time, "--label": columns.label, "--prediction": columns.prediction}
    by_column: dict[str, str] = {}
    for option, name in chosen.items():
        if name is None:
            continue
        if name in by_column:
            raise errors.UsageError(
                f"{by_column[name]} and {option} are both {name!r}: wanted a column each"
            )
        by_column[name] = option


def _raw(frame: pd.DataFrame, *, schema: Schema, path: Path) -> dict[str, NDArray[Any]]:
    try:
        return frames.to_raw(frame, schema=schema)
    except errors.DataError as error:
        raise errors.DataError(
            f"{path}: {error}, as in the reference; correct it, add it to data.missingValues, or "
            "leave the column out with data.ignore"
        ) from error


def _features(
    before: pd.DataFrame, after: Sequence[str], *, columns: Columns, section: sections.Data
) -> tuple[list[Feature], list[str]]:
    features, remarks = [], []
    for name in map(str, before.columns):
        if name in columns.named or name in section.ignore:
            continue
        if name in RESERVED:
            remarks.append(f"{name} is left out: fairway has a column of that name, rename it")
            continue
        if name not in after:
            remarks.append(f"{name} is only in the reference: it is left out")
            continue
        try:
            features.append(_feature(before[name], section=section))
        except errors.DataError as error:
            remarks.append(f"{name} is left out: {error}")
    remarks += [
        f"{name} is not in the reference: it is left out"
        for name in after
        if name not in before.columns and name not in (*columns.named, *section.ignore)
    ]
    if not features:
        raise errors.DataError(
            "the two files have no column in common that can be read" + _because(remarks)
        )
    return features, remarks


def _feature(column: "pd.Series[Any]", *, section: sections.Data) -> Feature:
    """Return what a column is; one with more words than a feature may have is words all the same."""
    try:
        return infer.feature(column, section=section)
    except infer.TooMany:
        return Feature(name=str(column.name), kind="category", missing=section.missing_values)


def _times(
    frame: pd.DataFrame, name: str | None, *, section: sections.Data, path: Path
) -> NDArray[np.float64] | None:
    if name is None:
        return None
    moments = infer.moments(frame[name], section=section, said_in=f"{path}: --time")
    at: NDArray[np.float64] = moments.astype(np.float64)
    if not np.isfinite(at).all():
        row = int(np.flatnonzero(~np.isfinite(at))[0])
        raise errors.DataError(f"{path}: {name} has no time in row {row}: wanted one in each row")
    earlier = np.flatnonzero(np.diff(at) < 0)
    if len(earlier):
        row = int(earlier[0]) + 1
        raise errors.DataError(
            f"{path}: {name} in row {row} is earlier than in the row before "
            f"({frame[name].iloc[row]!s} after {frame[name].iloc[row - 1]!s}): "
            "wanted rows in the order of their time, sort the file"
        )
    return at


def _check_passes(at: NDArray[np.float64], *, path: Path, name: str | None) -> None:
    """The budget is spent as time goes by: without, nothing could ever be told."""
    if len(at) > 1 and at[0] == at[-1]:
        raise errors.DataError(
            f"{path}: {name} is the same in all {len(at)} rows: wanted the time of each; without "
            "--time the rows are even"
        )


def _spread(frame: pd.DataFrame, columns: Columns, *, path: Path) -> float | None:
    """Return how far apart the labels lie where they are quantities, None where they are classes."""
    if columns.label is None:
        return None
    known = frame[columns.label].dropna()
    if known.nunique() > MANY and _are_numbers(known).mean() > MOSTLY:
        _check_numbers(known, path=path)
    if not pd.api.types.is_numeric_dtype(known) or known.nunique() <= MANY:
        return None
    low, high = np.quantile(known.to_numpy(dtype=np.float64), [0.05, 0.95])
    return max(float(high - low), LEAST_SPREAD)


def _check_numbers(known: "pd.Series[Any]", *, path: Path) -> None:
    numbers = _are_numbers(known)
    if numbers.all():
        return
    row = known.index[~numbers][0]
    raise errors.DataError(
        f"{path}: --label {known.name} is {errors.excerpt(known[row])!r} in row {row}: wanted a number, "
        "as the reference's labels are; correct it, or add it to data.missingValues"
    )


def _are_numbers(known: "pd.Series[Any]") -> "pd.Series[bool]":
    return pd.to_numeric(known, errors="coerce").notna()


def _unlabelled(parts: Sequence[Served], columns: Columns, paths: Sequence[Path]) -> list[str]:
    return [
        f"{path}: {columns.label} has no label in any row: no loss is told"
        for part, path in zip(parts, paths, strict=True)
        if part.losses is not None and not np.isfinite(part.losses).any()
    ]


def _losses(
    frame: pd.DataFrame, columns: Columns, *, spread: float | None, path: Path
) -> NDArray[np.float64] | None:
    """Return how wrong each answer is: of classes 0 or 1, of quantities the distance in parts of
    the labels' spread, 1 at most."""
    if columns.label is None or columns.prediction is None:
        return None
    if spread is None:
        pairs = zip(_words(frame[columns.label]), _words(frame[columns.prediction]), strict=True)
        return np.array([float(label != answer) if label else np.nan for label, answer in pairs])
    _check_numbers(frame[columns.label].dropna(), path=path)
    label, answer = (
        pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        for name in (columns.label, columns.prediction)
    )
    lost = np.minimum(np.abs(answer - label) / spread, 1.0)
    return np.where(np.isfinite(label), np.nan_to_num(lost, nan=1.0), np.nan)


def _words(column: "pd.Series[Any]") -> Iterator[str]:
    return (spelling.text(value) for value in frames.plain(column))


def _counts(before: pd.DataFrame, after: pd.DataFrame, name: str) -> bool:
    """Say whether a column rises by one from row to row in both files, and goes on."""
    if name not in after.columns:
        return False
    for column in (before[name], after[name]):
        if column.dtype.kind not in "iu" or len(column) < 2 or (np.diff(column) != 1).any():
            return False
    return True


def _are_classes(frame: pd.DataFrame, columns: Columns) -> bool:
    """Say whether labels or, without labels, answers are words, or few numbers."""
    name = columns.label or columns.prediction
    if name is None:
        return False
    return not pd.api.types.is_numeric_dtype(frame[name]) or frame[name].nunique() <= MANY


def _there(frame: pd.DataFrame, columns: Columns) -> Columns:
    return columns if columns.label in frame.columns else replace(columns, label=None)


def _answered(
    before: pd.DataFrame, after: pd.DataFrame, columns: Columns, *, classes: bool
) -> tuple[LabelledWords | None, list[str] | None]:
    if columns.label is None or columns.prediction is None or not classes:
        return None, None
    known = LabelledWords(
        labels=list(_words(before[columns.label])), answers=list(_words(before[columns.prediction]))
    )
    return known, list(_words(after[columns.prediction]))


def _names(frame: pd.DataFrame) -> list[str]:
    return list(map(str, frame.columns))


def _because(remarks: Sequence[str]) -> str:
    return f": {'; '.join(remarks[:3])}" if remarks else ""

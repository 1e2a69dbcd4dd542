"""Rows that were served once, in the order of their time, and the reference that they are held
against: two files, read one way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import agreement, frames, infer, sources
from fairway.data.sources import base
from fairway.model import spelling
from fairway.model.schema import RESERVED, Feature, Schema

MANY = 20  # different labels: more, all of them numbers, are quantities
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
    misread: tuple[agreement.Misread, ...] = ()
    changes: tuple[agreement.SchemaChange, ...] = ()  # of columns that are left out for it
    answers: NDArray[Any] | None = None  # in words, where they are asked for


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """A file whose rows are read as they are asked for, and never held all; what is said of each row
    is, as in `Served`."""

    path: Path
    rows: int
    at: NDArray[np.float64] | None
    losses: NDArray[np.float64] | None
    answers: NDArray[Any] | None
    file: base.Batched
    schema: Schema
    missing: Sequence[str]
    remarks: list[str] = field(default_factory=list)  # of cells, once all rows have been read

    @property
    def at_once(self) -> int:
        """Return how many rows are held at a time."""
        return self.file.at_once(len(self.schema.features))

    def batches(self, rows: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Give the raw columns of the features, so many rows at a time; raises DataError after the last
        where most of a column cannot be read."""
        reading = agreement.Reading(self.schema)
        names = [one.name for one in self.schema.features]
        for frame in self.file.some(names, rows):
            yield reading.columns(frames.tidied(frame, missing=self.missing))
        misread, changes = reading.told(str(self.path))
        self.remarks.extend(all_read(misread, changes, path=self.path))


def read(
    served: Path, reference: Path, *, columns: Columns, section: sections.Data
) -> tuple[Streamed, Served, Schema, list[str]]:
    """Return the served rows, those of the reference, their schema, and a remark for each column
    that is left out, or has cells of the reference that cannot be read.

    Kinds are learnt from the reference. Raises UsageError for a file or column that is not there,
    DataError for values that cannot be read, or rows that are not in the order of their time.
    """
    check_apart(columns)
    before = frame_of(reference, columns, section=section)
    file = sources.batched(sources.section_of(served, missing_values=section.missing_values))
    _check(file.columns, len(file.index), columns.named, path=served)
    features, remarks = features_of(before, file.columns, columns=columns, section=section)
    schema = Schema(target=columns.label or "", features=tuple(features))
    spread = spread_of(before, columns, path=reference)
    part = part_of(before, columns, schema=schema, spread=spread, section=section, path=reference)
    remarks += all_read(part.misread, part.changes, path=reference)
    rising = [one for one in features if agreement.rises(one, part.columns[one.name])]
    said = _said(
        file,
        [*columns.named, *(one.name for one in rising)],
        missing=section.missing_values,
    )
    passing = _passing(rising, part, said)
    remarks += map(agreement.passing, passing)
    part, schema = _without(part, schema, passing, remarks=remarks)
    streamed = Streamed(
        path=served,
        rows=len(said),
        at=_times(said, columns.time, section=section, path=served),
        losses=_losses(said, columns, spread=spread, path=served),
        answers=_answers(said, columns),
        file=file,
        schema=schema,
        missing=section.missing_values,
    )
    if streamed.at is not None:
        _check_passes(streamed.at, path=served, name=columns.time)
    remarks += _unlabelled({served: streamed.losses, reference: part.losses}, label=columns.label)
    return streamed, part, schema, remarks


def _passing(rising: Sequence[Feature], before: Served, said: pd.DataFrame) -> list[str]:
    """Return the columns that count the rows or tell their time, of those that might."""
    return [
        one.name
        for one in rising
        if agreement.passes(
            one, before.columns[one.name], frames.column(said[one.name], one, lost=[])
        )
    ]


def _without(
    part: Served, schema: Schema, names: Sequence[str], *, remarks: Sequence[str]
) -> tuple[Served, Schema]:
    left = tuple(one for one in schema.features if one.name not in names)
    if not left:
        raise errors.DataError(
            "the two files have no column in common that can be compared" + _because(remarks)
        )
    columns = {name: values for name, values in part.columns.items() if name not in names}
    return replace(part, columns=columns), replace(schema, features=left)


def _said(file: base.Batched, names: Sequence[str], *, missing: Sequence[str]) -> pd.DataFrame:
    """Return these columns, of all rows."""
    if not names:
        return pd.DataFrame(index=file.index)
    parts = file.some(names, file.at_once(len(names)))
    return frames.tidied(pd.concat(parts), missing=missing)


def read_reference(
    path: Path, *, time: str | None, section: sections.Data
) -> tuple[Served, Schema, list[str]]:
    """Return the rows of a reference, their schema, and a remark for each column that is left out;
    raises as `read` does."""
    columns = Columns(time=time)
    frame = frame_of(path, columns, section=section)
    names = list(map(str, frame.columns))
    features, remarks = features_of(frame, names, columns=columns, section=section)
    schema = Schema(target="", features=tuple(features))
    part = part_of(frame, columns, schema=schema, spread=None, section=section, path=path)
    remarks += all_read(part.misread, part.changes, path=path)
    if part.at is not None:
        _check_passes(part.at, path=path, name=time)
    return part, schema, remarks


def part_of(
    frame: pd.DataFrame,
    columns: Columns,
    *,
    schema: Schema,
    spread: float | None,
    section: sections.Data,
    path: Path,
) -> Served:
    raw, misread, changes = agreement.columns(frame, schema=schema, name=str(path))
    return Served(
        columns=raw,
        at=_times(frame, columns.time, section=section, path=path),
        losses=_losses(frame, columns, spread=spread, path=path),
        rows=len(frame),
        misread=tuple(misread),
        changes=tuple(changes),
        answers=_answers(frame, columns),
    )


def frame_of(path: Path, columns: Columns, *, section: sections.Data) -> pd.DataFrame:
    reading = sources.section_of(path, missing_values=section.missing_values)
    frame = sources.raw_rows(reading).frame
    _check(list(map(str, frame.columns)), len(frame), columns.named, path=path)
    return frames.tidied(frame, missing=section.missing_values)


def _check(present: Sequence[str], rows: int, names: Sequence[str], *, path: Path) -> None:
    if not rows or not present:
        raise errors.DataError(f"{path} has no rows: wanted some to hold against each other")
    for name in names:
        if name not in present:
            raise errors.UsageError(f"{path} has no column {name!r}{infer.near(name, present)}")


def check_apart(columns: Columns) -> None:
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


def all_read(
    misread: Sequence[agreement.Misread], changes: Sequence[agreement.SchemaChange], *, path: Path
) -> list[str]:
    """Return a remark for each column with cells that cannot be read; raises DataError where most
    of one cannot."""
    for change in changes:
        raise errors.DataError(
            f"{path}: {change.sentence}; correct them, add them to data.missingValues, or leave the column out "
            "with data.ignore"
        )
    return [
        f"{path}: {one.share:.2%} of {one.column} cannot be read, such as {one.example}, and count as missing"
        for one in misread
    ]


def features_of(
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
            features.append(agreement.feature(before[name], section=section))
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


def spread_of(frame: pd.DataFrame, columns: Columns, *, path: Path) -> float | None:
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


def _unlabelled(
    losses: Mapping[Path, NDArray[np.float64] | None], *, label: str | None
) -> list[str]:
    return [
        f"{path}: {label} has no label in any row: no loss is told"
        for path, lost in losses.items()
        if lost is not None and not np.isfinite(lost).any()
    ]


def _answers(frame: pd.DataFrame, columns: Columns) -> NDArray[Any] | None:
    if columns.prediction is None:
        return None
    return np.array(list(words_of(frame[columns.prediction])), dtype=object)


def _losses(
    frame: pd.DataFrame, columns: Columns, *, spread: float | None, path: Path
) -> NDArray[np.float64] | None:
    """Return how wrong each answer is: of classes 0 or 1, of quantities the distance in parts of
    the labels' spread, 1 at most."""
    if columns.label is None or columns.prediction is None:
        return None
    if spread is None:
        pairs = zip(
            words_of(frame[columns.label]), words_of(frame[columns.prediction]), strict=True
        )
        return np.array([float(label != answer) if label else np.nan for label, answer in pairs])
    _check_numbers(frame[columns.label].dropna(), path=path)
    label, answer = (
        pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        for name in (columns.label, columns.prediction)
    )
    lost = np.minimum(np.abs(answer - label) / spread, 1.0)
    return np.where(np.isfinite(label), np.nan_to_num(lost, nan=1.0), np.nan)


def words_of(column: "pd.Series[Any]") -> Iterator[str]:
    return (spelling.text(value) for value in frames.plain(column))


def _because(remarks: Sequence[str]) -> str:
    return f": {'; '.join(remarks[:3])}" if remarks else ""

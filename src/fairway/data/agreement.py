"""How the columns of two files agree: what each is, which are gone or became something else, which
cells cannot be read, which only count the rows or tell their time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import frames, infer
from fairway.model import kinds
from fairway.model.schema import Feature, Schema

MOSTLY = 0.5  # of the known cells: so many of another kind are no mistakes, the column is another
WORDS = ("category", "text")  # kinds that take whatever is written


@dataclass(frozen=True, kw_only=True)
class SchemaChange:
    """A column that is not what it was."""

    column: str
    change: Literal["gone", "kind", "shape"]
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Misread:
    """Cells that are none of their column's kind: they count as missing."""

    column: str
    share: float  # of the rows
    example: str


def feature(column: "pd.Series[Any]", *, section: sections.Data) -> Feature:
    """Return what a column is by the cells that can be read; with more words than a feature may
    have it is a text where these are sentences, else words all the same. Raises DataError."""
    if column.dtype.kind == "f":
        column = column.where(np.isfinite(column))
    try:
        return infer.feature(column, section=section)
    except infer.TooMany:
        kind = "text" if infer.is_prose(column) else "category"
        return Feature(name=str(column.name), kind=kind, missing=section.missing_values)
    except infer.Undecided as error:
        if not error.odd:
            raise
        return infer.feature(column.mask(column.isin(error.odd)), section=section)


def columns(
    frame: pd.DataFrame, *, schema: Schema, name: str
) -> tuple[dict[str, NDArray[Any]], list[Misread], list[SchemaChange]]:
    """Return the schema's features as raw columns, the cells that are missing there because they
    cannot be read, and the columns left out because most of them cannot. `name` is the file's."""
    reading = Reading(schema)
    raw = reading.columns(frame)
    misread, changes = reading.told(name)
    changed = {change.column for change in changes}
    return (
        {column: values for column, values in raw.items() if column not in changed},
        misread,
        changes,
    )


class Reading:
    """A file as a schema reads it, some rows at a time, and which cells could not be read so far."""

    def __init__(self, schema: Schema) -> None:
        self._features = schema.features
        self._rows = 0
        self._known = Counter[str]()  # cells, by column
        self._lost = Counter[str]()
        self._examples: dict[str, str] = {}

    def columns(self, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
        """Return the next rows as raw columns; cells that cannot be read are missing there."""
        self._rows += len(frame)
        return {one.name: self._column(frame[one.name], one) for one in self._features}

    def told(self, name: str) -> tuple[list[Misread], list[SchemaChange]]:
        """Return what could not be read, and the columns of which that is most. `name` is the
        file's."""
        misread, changes = [], []
        for one in self._features:
            lost, known = self._lost[one.name], self._known[one.name]
            if not lost:
                continue
            example = self._examples[one.name]
            if lost < MOSTLY * known:
                misread.append(Misread(column=one.name, share=lost / self._rows, example=example))
                continue
            sentence = (
                f"{one.name} is {kinds.of(one).noun}, but {lost:,} of {known:,} values of {name} are none, "
                f"such as {example}"
            )
            changes.append(SchemaChange(column=one.name, change="kind", sentence=sentence))
        return misread, changes

    def _column(self, cells: "pd.Series[Any]", one: Feature) -> NDArray[Any]:
        lost: list[int] = []
        values = frames.column(cells, one, lost=lost)
        self._known[one.name] += int(cells.notna().sum())
        self._lost[one.name] += len(lost)
        if lost and one.name not in self._examples:
            value, row = cells.iloc[lost[0]], cells.index[lost[0]]
            self._examples[one.name] = f"{errors.excerpt(value)!r} in row {row}"
        return values


def no_longer_words(
    frame: pd.DataFrame,
    raw: Mapping[str, NDArray[Any]],
    *,
    known: Mapping[str, set[str]],
    section: sections.Data,
    name: str,
) -> list[SchemaChange]:
    """Return the columns of words, of which these are known, that became something else in a file
    whose raw columns are given: mostly none of the words."""
    changes = []
    for column, words in known.items():
        if column not in raw:
            continue
        try:
            kind = kinds.of(feature(frame[column], section=section))
        except errors.DataError:
            continue
        values = [value for value in raw[column].tolist() if value]
        unseen = len(values) - sum(value in words for value in values)
        if kind.name not in WORDS and unseen > MOSTLY * len(values):
            sentence = (
                f"{column} is words, but each value of {name} is {kind.noun}, such as {values[0]}"
            )
            changes.append(SchemaChange(column=column, change="kind", sentence=sentence))
    return changes


def gone(before: Sequence[str], after: Sequence[str], *, name: str) -> list[SchemaChange]:
    """Return the columns that `after`, of this name, has no more, and which are new there."""
    new = [column for column in after if column not in before]
    more = f" and {len(new) - 3} more" if len(new) > 3 else ""
    renamed = f", which has {', '.join(new[:3])}{more} instead: renamed?" if new else ""
    return [
        SchemaChange(column=column, change="gone", sentence=f"{column} is not in {name}{renamed}")
        for column in before
        if column not in after
    ]


def passes(
    one: Feature, before: NDArray[Any], after: NDArray[Any], *, ordered: bool = True
) -> bool:
    """Say whether a column rises from row to row on both sides and counts the rows of each or, where
    these are `ordered`, has values that do not overlap, as their number or time does."""
    if not (rises(one, before) and rises(one, after)):
        return False
    if ordered and (after[0] >= before[-1] or after[-1] <= before[0]):
        return True
    return all(bool((np.diff(side) == 1).all()) for side in (before, after))


def passing(name: str) -> str:
    """Return the remark of a column that passes."""
    return (
        f"{name} rises from row to row, as their number or time does: it is left out; where it is their time, say "
        f"--time {name}"
    )


def rises(one: Feature, side: NDArray[Any]) -> bool:
    """Say whether a column rises from row to row; moments may stay the same for some rows."""
    if one.kind not in ("number", "datetime") or len(side) < 2:
        return False
    steps = np.diff(side)
    rising = (steps >= 0 if one.kind == "datetime" else steps > 0).all()
    return bool(rising) and bool(side[-1] > side[0])

"""What a file of rows holds: the task of its target, what to do with each column, and the split that
suits it, each with its reason. `draft` writes it down as a `fairway.yaml`."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fairway import errors
from fairway.config import sections
from fairway.data import frames, hints, infer, leakage, sources
from fairway.model import adorned, kinds, tasks
from fairway.model.schema import Feature
from fairway.model.tasks.base import percent

Use = Literal["feature", "ignore"]

IDENTIFIER = re.compile(
    r"(^|[_\W])(id|uuid|guid|key|index|rownum|row|no|nr)$|^unnamed: 0$|(?<=[a-z])I[Dd]$",
    re.IGNORECASE,
)
OWNERS = "user|customer|client|patient|subject|session|device|account|household|person|member"
GROUP = re.compile(rf"({OWNERS})([_\W]?(id|key|no|nr))?$", re.IGNORECASE)
# a text column with at least as many rows a value is a category, even with more than the usual 100
# values
FEW_ROWS_A_VALUE = 20
USUAL_CATEGORIES: int = sections.Data.model_fields["max_categories"].default
# of init by itself, and the largest that a configuration may set
MOST_CATEGORIES, LARGEST_LIMIT = 1000, 10_000
FEWEST_SIBLINGS = 2  # columns like the target beside it; fewer happen by chance
SIBLING = "holds 0 and 1 beside {target}, which does too: if it is another label of the same rows, add it to ignore"
USELESS = "it cannot be used"
NAMES = "{distinct:,} different texts in {rows:,} rows: an identifier or free text"
FEW_CODES = 10  # whole numbers with as few different values may be codes
TWO = 2
NEARLY_ALL = 0.9  # share of rows with a value of their own from which it names the row
JOINTS = "|;,"  # what stands between several labels of one cell
# negative numbers that files write for none
STAND_INS = frozenset({-1, -9, -99, -999, -9999, -99999})
SOME = 0.01  # share of rows from which a value or a joint is no slip


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column, what to do with it, and why."""

    name: str
    use: Use
    found: str  # kind, range or values, missing share
    why: str = ""  # why it is left out, or what to look at
    categories: int = 0
    # of one that is left out: what else it takes to use it, beside taking its line away
    needs: str = ""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the file holds, and the split that suits it."""

    path: Path
    source: str
    rows: int
    target: str
    keys: dict[str, Any]  # what was said of the target besides its name
    task: str
    task_why: str
    shown: str  # what the target holds, in words
    remark: str  # what to look at in the target, "" where nothing
    classes: int  # 0 of a task that has none
    rarest: float | None  # share of the rarest class, of a task that has some
    columns: tuple[Column, ...]
    method: Literal["stratified", "group", "time"]
    split_column: str | None
    split_why: str

    @property
    def ignored(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.use == "ignore")

    @property
    def features(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.use == "feature")


def inspect(path: Path, *, target: str, **keys: Any) -> Findings:
    """Return what is found in a csv or parquet file, `keys` being other keys of the data section
    that say what is predicted; raises UsageError or DataError where it cannot be used."""
    section = sources.section_of(path, target=target, max_categories=MOST_CATEGORIES, **keys)
    whole = sources.read(section).frame
    frame = whole[whole[target].notna()].reset_index(drop=True)
    if frame.empty:
        raise errors.DataError(f"{path} has no row with a {target}: wanted a label in each")
    task, task_why = infer.task_of(frame, section=section)
    if task.name == tasks.USUAL:
        hints.unmixed(whole[target])
    joined = _joined(frame[target]) if task.name == tasks.USUAL else ""
    try:
        known = infer.learnt(task, frame, section=section)
    except errors.DataError as error:
        raise (errors.DataError(f"{error}; {joined}") if joined else error) from error
    codes = task.encode(infer.labels(frame, task=task, section=section), known)
    names = [str(name) for name in frame.columns if name != target]
    method, column, split_why = _split(frame, names, group=section.group)
    siblings = _siblings(frame, target)
    lost = hints.codes_lost(whole, section=section)
    remarks = (
        joined,
        hints.ranked(frame, target=target, group=section.group),
        hints.blank(frame[target], separator=section.separator),
        lost.get(target, ""),
    )
    columns = tuple(
        _column(
            frame[name],
            target=codes,
            task=task,
            section=section,
            splits=name == column,
            lost=lost.get(name, ""),
            sibling=name in siblings,
        )
        for name in names
    )
    if not any(one.use == "feature" for one in columns):
        why = (
            "; ".join(f"{one.name}: {one.why}" for one in columns[:3])
            or "it holds the target alone"
        )
        raise errors.DataError(
            f"{path} has no column to predict {target} from ({why}): wanted a number or a category"
        )
    return Findings(
        path=path,
        source=section.source,
        rows=len(frame),
        target=target,
        keys=keys,
        columns=columns,
        method=method,
        split_column=column,
        split_why=split_why,
        task=task.name,
        task_why=task_why,
        shown=task.describe(codes, known),
        remark="; ".join(filter(None, remarks)),
        classes=len(known.classes),
        rarest=task.rarest(codes, known),
    )


def _column(
    column: "pd.Series[Any]",
    *,
    target: np.ndarray[Any, Any],
    task: tasks.Task,
    section: sections.Data,
    splits: bool,
    sibling: bool,
    lost: str,
) -> Column:
    name = str(column.name)
    known = column.dropna()
    distinct = _distinct(known)
    values = f"{distinct:,} different values"
    if splits:
        return Column(
            name=name,
            use="ignore",
            found=values,
            why="it divides the rows, see split",
            needs=USELESS,
        )

    def left_out(why: str, *, found: str = values) -> Column:
        needs = _needs(column, section=section, distinct=distinct)
        return Column(name=name, use="ignore", found=found, why=why, needs=needs)

    if distinct <= 1:
        seen = (
            "no value in any row" if known.empty else f"{known.iloc[0]!s} in every row that has it"
        )
        return left_out(f"{seen}: nothing to learn from it", found=seen)
    try:
        feature = infer.feature(column, section=section)
    except errors.DataError as error:
        return left_out(_short(error, distinct=distinct, rows=len(known)))
    found = _describe(feature, column)
    why = _unusable(feature, known, distinct=distinct) or _leak(
        feature, column, target=target, task=task
    )
    if why:
        return left_out(why, found=found)
    raw = frames.column(column, feature)
    told = kinds.of(feature).remark(feature, raw) or _stand_in(feature, raw)
    remark = (
        lost
        or told
        or _remark(feature, distinct)
        or (SIBLING.format(target=section.target) if sibling else "")
    )
    return Column(
        name=name, use="feature", found=found, why=remark, categories=len(feature.categories)
    )


def _needs(column: "pd.Series[Any]", *, section: sections.Data, distinct: int) -> str:
    """Return what else it takes to use a column that is left out: nothing, a larger limit, or no
    configuration can."""
    codes = {"categorical": (str(column.name),)}
    name = str(column.name)
    prose = [
        (
            USUAL_CATEGORIES,
            {"kinds": {name: "text"}},
            f"to use it, say in kinds that it is text: {{{name}: text}}",
        )
    ]
    tries: list[tuple[int, dict[str, Any], str]] = [
        (USUAL_CATEGORIES, {}, ""),
        *(prose if infer.is_prose(column) else []),
        (distinct, {}, f"to use it, set maxCategories to {distinct} at least"),
        (USUAL_CATEGORIES, codes, "to use it, list it in categorical"),
        (
            distinct,
            codes,
            f"to use it, list it in categorical and set maxCategories to {distinct} at least",
        ),
    ]
    named = not infer.is_prose(column) and _names_rows(column, distinct)
    for limit, also, advice in tries[:1] if named else tries:
        if limit > LARGEST_LIMIT:
            continue
        try:
            infer.feature(
                column, section=section.model_copy(update={"max_categories": limit, **also})
            )
        except infer.Undecided as error:
            return f"to use it, {error.advice}"
        except errors.DataError:
            continue
        return advice
    return USELESS


def _names_rows(column: "pd.Series[Any]", distinct: int) -> bool:
    """Say whether texts are another in nearly every row: no limit makes a category of them."""
    texts = [value for value in column.dropna() if isinstance(value, str)]
    return len(texts) > FEW_CODES and distinct > NEARLY_ALL * column.notna().sum()


def _siblings(frame: pd.DataFrame, target: str) -> frozenset[str]:
    """Return the columns that may be other labels of the same rows: two or more beside the target,
    0 and 1 as it is."""
    names = list(frame.columns)
    place = names.index(target)
    if not _is_switch(frame[target]):
        return frozenset()
    before = itertools.takewhile(lambda name: _is_switch(frame[name]), reversed(names[:place]))
    after = itertools.takewhile(lambda name: _is_switch(frame[name]), names[place + 1 :])
    found = frozenset(map(str, (*before, *after)))
    return found if len(found) >= FEWEST_SIBLINGS else frozenset()


def _is_switch(column: "pd.Series[Any]") -> bool:
    """Say whether the column holds 0 and 1, or false and true, and nothing else."""
    known = column.dropna()
    return not pd.api.types.is_object_dtype(known) and set(known.unique().tolist()) == {0, 1}


def _unusable(feature: Feature, known: "pd.Series[Any]", *, distinct: int) -> str:
    """Say why a column is a row's name rather than a property of it, or "" where it is not."""
    rows = len(known)
    if feature.categories:
        usual = distinct <= USUAL_CATEGORIES or rows >= FEW_ROWS_A_VALUE * distinct
        unit = None if usual else adorned.shared(feature.categories)
        return "" if usual else unit or NAMES.format(distinct=distinct, rows=rows)
    if feature.dtype != "int" or distinct != rows or rows <= FEW_CODES:
        return ""
    consecutive = (feature.maximum or 0) - (feature.minimum or 0) + 1 == distinct
    named = consecutive or IDENTIFIER.search(feature.name)
    return "a different whole number in every row: it names the row" if named else ""


def _leak(
    feature: Feature, column: "pd.Series[Any]", *, target: np.ndarray[Any, Any], task: tasks.Task
) -> str:
    told = leakage.telling(feature, frames.column(column, feature), target, task=task)
    return f"alone {told}: likely only known afterwards" if told is not None else ""


def _remark(feature: Feature, distinct: int) -> str:
    """Say that a few whole numbers with gaps between them may be codes, or "" where they are not."""
    if feature.dtype != "int" or not 2 < distinct <= FEW_CODES:
        return ""
    gaps = distinct < (feature.maximum or 0) - (feature.minimum or 0) + 1
    return f"{distinct} different values: list it in categorical if they are codes" if gaps else ""


def _stand_in(feature: Feature, values: np.ndarray[Any, Any]) -> str:
    """Say that the one negative number may stand for none, or "" where there is no such number."""
    if feature.minimum not in STAND_INS:
        return ""
    share = float((values == feature.minimum).mean())
    others = values[values != feature.minimum]
    if share < SOME or not (others[~np.isnan(others)] >= 0).all():
        return ""
    return (
        f"{feature.minimum:g} in {percent(share)} of the rows and nothing else below 0: add it to missingValues if it "
        "stands for none"
    )


def _joined(target: "pd.Series[Any]") -> str:
    """Say that cells hold several labels with a joint between them, or "" where they do not."""
    cells = [cell for cell in target.tolist() if isinstance(cell, str)]
    for joint in JOINTS if cells else "":
        parts = {part.strip() for cell in cells for part in cell.split(joint)}
        share = sum(joint in cell for cell in cells) / len(target)
        if share >= SOME and TWO * len(parts) <= len(set(cells)):
            return (
                f"{joint!r} stands in {percent(share)} of the cells, between {len(parts):,} different words: where "
                f"they are several labels of a row, init with --separator {joint!r}"
            )
    return ""


def _describe(feature: Feature, column: "pd.Series[Any]") -> str:
    share = float(column.isna().mean())
    missing = f"; {percent(share)} missing" if share else ""
    return f"{kinds.of(feature).describe(feature)}{missing}"


def _split(
    frame: pd.DataFrame, names: Sequence[str], *, group: str | None
) -> tuple[Literal["stratified", "group", "time"], str | None, str]:
    """Return the split method, its column, and the reason in words."""
    if group is not None:
        return "group", group, f"rows of one {group} stay in one split"
    passed = "no column names groups or moments"
    for name in names:
        if not _is_moment(frame[name]):
            continue
        why_not = hints.no_event(name, _seconds(frame[name]))
        if not why_not:
            return (
                "time",
                name,
                f"{name} holds moments: the model is tested on what came after its training rows, as in service",
            )
        passed = (
            f"the moments of {name} {why_not}, which looks like a property of the row; where they say when it came to "
            f"be, set method to time and column to {name}"
        )
    for name in names:
        distinct = _distinct(frame[name].dropna())
        if GROUP.search(name) and FEW_CODES < distinct <= len(frame) / 2:
            return (
                "group",
                name,
                f"{name} has {distinct:,} values in {len(frame):,} rows: rows of one of them stay in one split",
            )
    return (
        "stratified",
        None,
        f"each split keeps the target's distribution; {passed}",
    )


def _is_moment(column: "pd.Series[Any]") -> bool:
    if column.isna().any() or _distinct(column) <= FEW_CODES:
        return False
    try:
        return kinds.named("datetime").notation_of(frames.plain(column)) is not None
    except kinds.Ambiguous:
        return False


def _seconds(column: "pd.Series[Any]") -> np.ndarray[Any, Any]:
    kind = kinds.named("datetime")
    values = frames.plain(column)
    notation = kind.notation_of(values) or ""
    return kind.read(values, Feature(name=str(column.name), kind=kind.name, notation=notation))


def _distinct(known: "pd.Series[Any]") -> int:
    try:
        return int(known.nunique())
    except TypeError:  # lists and the like
        return len(known)


def _short(error: errors.DataError, *, distinct: int, rows: int) -> str:
    """Return why a column cannot be used as it is; a limit that is init's own, not the
    configuration's, is none."""
    if isinstance(error, infer.TooMany):
        return NAMES.format(distinct=distinct, rows=rows)
    return str(error).removeprefix("feature ")

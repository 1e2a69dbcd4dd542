"""The schema of raw rows, as the rows themselves show it: kinds, types, ranges, categories, what
may be missing."""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import frames
from fairway.model import adorned, kinds, tasks
from fairway.model.schema import Feature, Schema

FALLBACK = "category"  # the kind of what no other knows
# share of values of no other kind up to which they are mistakes in a column of it
FEW_MISTAKES = 0.1
SOME = 100  # different values that show whether a column may be mostly of a kind
FEW_CODES = 10  # different values up to which numbers beside words are codes as the words are
SOME_ROWS, WORDS_OF_PROSE = 1000, 3  # a text of as many words on average is read, not looked up


class TooMany(errors.DataError):
    """A column with more different values than the configuration allows."""


class Undecided(errors.DataError):
    """A column that a person can decide about; `advice` says how, in words that go on after "to use
    it,". `odd` are values that are likely mistakes."""

    def __init__(self, sentence: str, *, advice: str, odd: Sequence[Any] = ()) -> None:
        super().__init__(sentence)
        self.advice, self.odd = advice, odd


def infer(
    frame: pd.DataFrame, *, section: sections.Data, image_shape: tuple[int, ...] | None
) -> Schema:
    """Return the schema of these rows; raises DataError for a target or a feature that cannot be
    learnt from."""
    names = _names(frame, section=section)
    features = tuple(
        feature(frame[name], section=section, image_shape=image_shape) for name in names
    )
    task, _ = task_of(frame, section=section)
    return learnt(task, frame, section=section, features=features)


def task_of(frame: pd.DataFrame, *, section: sections.Data) -> tuple[tasks.Task, str]:
    """Return what is learnt of the target, and why; raises DataError where the section names no
    task."""
    if section.task is not None:
        return tasks.named(section.task), "data.task says so"
    return tasks.proposed(_known(frame, section), declared(section))


def learnt(
    task: tasks.Task,
    frame: pd.DataFrame,
    *,
    section: sections.Data,
    features: tuple[Feature, ...] = (),
) -> Schema:
    """Return the schema of these features and of the target; raises DataError for a target that
    cannot be learnt."""
    facts = task.learn(_known(frame, section), declared(section))
    classes = tuple(facts.get("classes", ()))
    return Schema(
        target=section.target,
        task=task.name,
        features=features,
        classes=classes,
        facts=facts.get("facts", {}),
    )


def declared(section: sections.Data) -> tasks.Declared:
    """Return what the section says of the target."""
    return tasks.Declared(
        target=section.target,
        group=section.group,
        parents=section.parents,
        coverage=section.coverage,
        notation=section.notations.get(section.target, ""),
    )


def labels(frame: pd.DataFrame, *, task: tasks.Task, section: sections.Data) -> list[Any]:
    """Return the label of each row, with its group where the task's labels have one."""
    values = _target(frame[section.target], section)
    if section.group is None:
        return task.read(values)
    if section.group not in frame.columns:
        hint = near(section.group, [str(name) for name in frame.columns])
        raise errors.DataError(f"data.group is {section.group!r}, which is no column{hint}")
    return task.read(task.grouped(values, frames.plain(frame[section.group])))


def _known(frame: pd.DataFrame, section: sections.Data) -> NDArray[Any]:
    return _target(frame[section.target].dropna(), section)


def _target(column: "pd.Series[Any]", section: sections.Data) -> NDArray[Any]:
    """Return a target's values, numbers where it is said how they are written."""
    notation = section.notations.get(section.target)
    if notation is None:
        return frames.plain(column)
    if notation not in kinds.named("number").notations:
        wanted = " or ".join(one for one in kinds.named("number").notations if one)
        raise errors.DataError(
            f"data.notations.{section.target} is {notation!r}: wanted {wanted}, of the numbers to predict"
        )
    return frames.column(column, Feature(name=section.target, kind="number", notation=notation))


def _names(frame: pd.DataFrame, *, section: sections.Data) -> Sequence[str]:
    """Return the feature columns in order."""
    present = [str(name) for name in frame.columns]
    for option in ("features", "categorical", "kinds", "notations", "ignore"):
        unknown = [name for name in getattr(section, option) or () if name not in present]
        if unknown:
            raise errors.DataError(
                f"data.{option} names {unknown[0]!r}, which is no column{near(unknown[0], present)}"
            )
    left_out = {section.target, *section.ignore}
    divided = section.division
    # A group's name says nothing of new groups, a moment nothing of later ones.
    if divided.method == "group" or (divided.method == "time" and section.features is None):
        left_out.add(divided.column or "")
    left_out.add(section.group or "")
    names = [name for name in (section.features or present) if name not in left_out]
    if not names:
        raise errors.DataError(
            f"no column is left to predict {section.target} from: the data has {', '.join(present[:20])}"
        )
    return names


def feature(
    column: "pd.Series[Any]", *, section: sections.Data, image_shape: tuple[int, ...] | None = None
) -> Feature:
    """Return what a column shows of itself; raises DataError where it cannot be learnt from."""
    name = str(column.name)
    if image_shape is not None and (section.kinds.get(name) == "image" or _holds_lists(column)):
        picture = Feature(name=name, kind="image", shape=image_shape)
        return kinds.of(picture).learn(name, frames.column(column, picture), nullable=False)
    if not column.notna().any():
        raise errors.DataError(f"feature {name} has no value in any row: add it to data.ignore")
    kind, notation = _kind(column, section=section)
    blank = Feature(name=name, kind=kind.name, missing=section.missing_values, notation=notation)
    raw = frames.column(column, blank)
    gaps = kind.gaps(raw)
    if gaps.all():
        raise errors.DataError(f"feature {name} has no value in any row: add it to data.ignore")
    learnt = kind.learn(name, raw[~gaps], nullable=bool(gaps.any()))
    if len(learnt.categories) > section.max_categories:
        unit = adorned.shared(learnt.categories)
        if unit is not None:
            raise Undecided(
                f"feature {name} {unit}: wanted the numbers alone; write them so, or add it to data.ignore",
                advice="write its numbers alone",
            )
        raise TooMany(
            f"feature {name} has {len(learnt.categories)} different values, more than data.maxCategories "
            f"({section.max_categories}): it is likely an identifier; add it to data.ignore, or raise the limit"
        )
    return dataclasses.replace(learnt, missing=blank.missing, notation=notation)


def _kind(column: "pd.Series[float]", *, section: sections.Data) -> tuple[kinds.Kind, str]:
    """Return the kind of a column and how its values are written.

    The first kind is taken that knows all of them; whole numbers may be codes, which only a person
    knows.
    """
    name = str(column.name)
    values = frames.plain(column.dropna())
    said = section.kinds.get(name) or ("category" if name in section.categorical else None)
    if said is not None and said not in kinds.found():
        raise errors.DataError(
            f"data.kinds.{name} is {said!r}, which is no kind{near(said, list(kinds.found()))}"
        )
    others = [kind for kind in kinds.found().values() if kind.name != FALLBACK]
    candidates = [kinds.named(said)] if said is not None else [*others, kinds.named(FALLBACK)]
    notation = section.notations.get(name)
    if notation is not None:
        fitting = [kind for kind in candidates if notation in kind.notations]
        if not fitting:
            known = sorted({one for kind in candidates for one in kind.notations if one})
            raise errors.DataError(
                f"data.notations.{name} is {notation!r}: wanted {' or '.join(known) or 'none, of this kind'}"
            )
        return fitting[0], notation
    for kind in candidates:
        try:
            found = kind.notation_of(values)
        except kinds.Ambiguous as error:
            ways = " or ".join(f"{{{name}: {one}}}" for one in kind.notations if one)
            raise Undecided(
                f"feature {name} is {error}, which can be read in more than one way: say which in data.notations, "
                f"{ways}",
                advice=f"say in notations how it is written: {ways}",
            ) from error
        if found is not None:
            if said is None:
                _unmixed(values, column=column, kind=kind)
            return kind, found
    if said is not None:
        return candidates[0], ""  # a value that is none of it is told when it is read
    different = sorted({type(value).__name__ for value in values})
    raise errors.DataError(
        f"feature {name} holds values of type {' and '.join(different)}: wanted numbers, words, booleans or dates; "
        "add it to data.ignore, or write its values as text"
    )


def _unmixed(
    values: "np.ndarray[Any, Any]", *, column: "pd.Series[float]", kind: kinds.Kind
) -> None:
    """Raise DataError where the words of a column are mistakes among values of another kind:
    `unknown` in an age."""
    if kind.name != FALLBACK:
        return
    types = set(map(type, values.tolist()))
    if bool in types and len(types) > 1:
        raise Undecided(
            f"feature {column.name} holds booleans among other values: wanted one kind of them; correct the rows, or "
            "list it in data.categorical to take all as words",
            advice="list it in categorical",
        )
    counts = Counter(values.tolist())
    some = list(counts)[:SOME]
    for other in kinds.found().values():
        if (
            other.name == FALLBACK
            or sum(is_none_of(other, value) for value in some) > len(some) / 2
        ):
            continue
        few = [value for value in counts if is_none_of(other, value)]
        wrong = sum(counts[value] for value in few)
        if few and wrong < FEW_MISTAKES * len(values) and len(counts) - len(few) > FEW_CODES:
            row = column.index[(column == few[0]).to_numpy()][0]
            raise Undecided(
                f"feature {column.name} is {other.noun} in {len(values) - wrong} rows, and {few[0]!r} in row {row}: "
                f"wanted {other.noun}; correct it, add it to data.missingValues, or list {column.name} in "
                "data.categorical",
                advice=f"add {', '.join(map(repr, few[:5]))} to missingValues, or correct the rows",
                odd=few,
            )


def is_none_of(kind: kinds.Kind, value: Any) -> bool:
    """Say whether a value is written as none of the kind is."""
    one = np.empty(1, dtype=object)
    one[0] = value
    try:
        return kind.notation_of(one) is None
    except kinds.Ambiguous:
        return False


def is_prose(column: "pd.Series[Any]") -> bool:
    """Say whether the values are sentences rather than names."""
    texts = [value for value in column.dropna().head(SOME_ROWS) if isinstance(value, str)]
    return bool(texts) and sum(len(text.split()) for text in texts) >= WORDS_OF_PROSE * len(texts)


def moments(
    column: "pd.Series[Any]", *, section: sections.Data, said_in: str = "data.split.column"
) -> "np.ndarray[Any, Any]":
    """Return the column that orders the rows, as numbers; raises DataError where it holds no
    moments, with `said_in`: where it was chosen."""
    name, kind = str(column.name), kinds.named("datetime")
    notation = section.notations.get(name)
    try:
        found = notation if notation is not None else kind.notation_of(frames.plain(column))
        return kind.read(
            frames.plain(column), Feature(name=name, kind=kind.name, notation=found or "")
        )
    except kinds.Ambiguous as error:
        ways = " or ".join(f"{{{name}: {one}}}" for one in kind.notations if one)
        raise errors.DataError(
            f"{said_in} {name} is {error}, which can be read in more than one way: say which in "
            f"data.notations, {ways}"
        ) from error
    except kinds.Unreadable as error:
        raise errors.DataError(
            f"{said_in} {name} is not a moment in each row: {errors.excerpt(error.value)!r} in row "
            f"{column.index[error.row]}; wanted seconds since 1970, or dates such as 2024-05-31"
        ) from error


def _holds_lists(column: "pd.Series[float]") -> bool:
    return (
        column.dtype == object and len(column) > 0 and isinstance(column.iloc[0], np.ndarray | list)
    )


def near(name: str, names: Sequence[str]) -> str:
    """Return the end of a sentence about a wrong name: the near ones, or the first few there are."""
    folded = {other.casefold(): other for other in names}
    close = [
        folded[match] for match in difflib.get_close_matches(name.casefold(), list(folded), n=3)
    ]
    if close:
        return f"; did you mean {' or '.join(repr(other) for other in close)}?"
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f": there are {', '.join(map(repr, names[:12]))}{more}"

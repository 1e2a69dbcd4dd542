"""The schema of raw rows, as the rows themselves show it: kinds, types, ranges, categories, what may be missing."""

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import frames
from fairway.model import kinds, tasks
from fairway.model.schema import Feature, Schema


def infer(frame: pd.DataFrame, *, section: sections.Data, image_shape: tuple[int, ...] | None) -> Schema:
    """Return the schema of these rows; raises DataError for a target or a feature that cannot be learnt from."""
    names = _names(frame, section=section)
    features = tuple(feature(frame[name], section=section, image_shape=image_shape) for name in names)
    task, _ = task_of(frame, section=section)
    return learnt(task, frame, section=section, features=features)


def task_of(frame: pd.DataFrame, *, section: sections.Data) -> tuple[tasks.Task, str]:
    """Return what is learnt of the target, and why; raises DataError where the section names no task."""
    if section.task is not None:
        return tasks.named(section.task), "data.task says so"
    return tasks.proposed(_known(frame, section), declared(section))


def learnt(
    task: tasks.Task, frame: pd.DataFrame, *, section: sections.Data, features: tuple[Feature, ...] = ()
) -> Schema:
    """Return the schema of these features and of the target; raises DataError for a target that cannot be learnt."""
    facts = task.learn(_known(frame, section), declared(section))
    classes = tuple(facts.get("classes", ()))
    return Schema(
        target=section.target, task=task.name, features=features, classes=classes, facts=facts.get("facts", {})
    )


def declared(section: sections.Data) -> tasks.Declared:
    """Return what the section says of the target."""
    return tasks.Declared(
        target=section.target, group=section.group, parents=section.parents, coverage=section.coverage
    )


def labels(frame: pd.DataFrame, *, task: tasks.Task, section: sections.Data) -> list[Any]:
    """Return the label of each row, with its group where the task's labels have one."""
    values = frames.plain(frame[section.target])
    if section.group is None:
        return task.read(values)
    if section.group not in frame.columns:
        hint = near(section.group, [str(name) for name in frame.columns])
        raise errors.DataError(f"data.group is {section.group!r}, which is no column{hint}")
    return task.read(task.grouped(values, frames.plain(frame[section.group])))


def _known(frame: pd.DataFrame, section: sections.Data) -> NDArray[Any]:
    return frames.plain(frame[section.target].dropna())


def _names(frame: pd.DataFrame, *, section: sections.Data) -> Sequence[str]:
    """Return the feature columns in order."""
    present = [str(name) for name in frame.columns]
    for option in ("features", "categorical", "ignore"):
        unknown = [name for name in getattr(section, option) or () if name not in present]
        if unknown:
            raise errors.DataError(f"data.{option} names {unknown[0]!r}, which is no column{near(unknown[0], present)}")
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


def feature(column: "pd.Series[Any]", *, section: sections.Data, image_shape: tuple[int, ...] | None = None) -> Feature:
    """Return what a column shows of itself; raises DataError where it cannot be learnt from."""
    name = str(column.name)
    if image_shape is not None and _holds_lists(column):
        picture = Feature(name=name, kind="image", shape=image_shape)
        return kinds.of(picture).learn(name, frames.column(column, picture), nullable=False)
    known = column.dropna()
    if known.empty:
        raise errors.DataError(f"feature {name} has no value in any row: add it to data.ignore")
    nullable = len(known) < len(column)
    blank = Feature(name=name, kind=_kind(column, section=section))
    found = kinds.of(blank).learn(name, frames.column(known, blank), nullable=nullable)
    if len(found.categories) > section.max_categories:
        raise errors.DataError(
            _too_many(known, name=name, distinct=len(found.categories), limit=section.max_categories)
        )
    return found


def _kind(column: "pd.Series[float]", *, section: sections.Data) -> str:
    """Return the kind that a column's type shows; whole numbers may be codes, which only a person knows."""
    if pd.api.types.is_bool_dtype(column):
        return "number"
    if pd.api.types.is_numeric_dtype(column) and column.name not in section.categorical:
        return "number"
    return "category"


def _holds_lists(column: "pd.Series[float]") -> bool:
    return column.dtype == object and len(column) > 0 and isinstance(column.iloc[0], np.ndarray | list)


def near(name: str, names: Sequence[str]) -> str:
    """Return the end of a sentence about a wrong name: the near ones, or the first few there are."""
    folded = {other.casefold(): other for other in names}
    close = [folded[match] for match in difflib.get_close_matches(name.casefold(), list(folded), n=3)]
    if close:
        return f"; did you mean {' or '.join(repr(other) for other in close)}?"
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f": there are {', '.join(map(repr, names[:12]))}{more}"


def _too_many(known: "pd.Series[float]", *, name: str, distinct: int, limit: int) -> str:
    numeric = pd.to_numeric(known, errors="coerce")
    wrong = known[numeric.isna()]
    if 0 < len(wrong) < 0.1 * len(known):
        return (
            f"feature {name} is a number in {len(known) - len(wrong)} rows, and {wrong.iloc[0]!r} in row "
            f"{wrong.index[0]}: "
            "wanted a number; correct it, or add it to data.missingValues"
        )
    return (
        f"feature {name} has {distinct} different values, more than data.maxCategories ({limit}): "
        "it is likely an identifier; add it to data.ignore, or raise the limit"
    )

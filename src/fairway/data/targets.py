"""Targets that are several labels at once: made of columns of 0 and 1, or of words side by side in
one cell."""

from typing import Any

import pandas as pd

from fairway import errors
from fairway.config import sections
from fairway.data import infer

SWITCHES = {0: False, 1: True, "0": False, "1": True, "false": False, "true": True}


def joined(frame: pd.DataFrame, section: sections.Data, *, origin: str) -> pd.DataFrame:
    """Return the frame whose target holds each row's labels as a tuple, nothing where they are not
    known.

    Raises DataError for a column that is not there, or that is none of labels.
    """
    if section.targets:
        labels = _of_columns(frame, section, origin=origin)
        return frame.drop(columns=list(section.targets)).assign(**{section.target: labels})
    if section.target not in frame.columns:
        return frame  # said where any target is missed
    words = [_words(value, section.separator or "") for value in frame[section.target].tolist()]
    return frame.assign(**{section.target: pd.Series(words, index=frame.index, dtype=object)})


def _of_columns(frame: pd.DataFrame, section: sections.Data, *, origin: str) -> "pd.Series[Any]":
    present = [str(name) for name in frame.columns]
    unknown = [name for name in section.targets if name not in present]
    if unknown:
        raise errors.DataError(
            f"{origin} has no column {unknown[0]!r} to predict{infer.near(unknown[0], present)}"
        )
    switches = {name: _switches(frame[name], name) for name in section.targets}
    rows = [_row(values, section.targets) for values in zip(*switches.values(), strict=True)]
    return pd.Series(rows, index=frame.index, dtype=object)


def _row(values: tuple[bool | None, ...], names: tuple[str, ...]) -> tuple[str, ...] | None:
    if any(value is None for value in values):
        return None
    return tuple(name for name, value in zip(names, values, strict=True) if value)


def _switches(column: "pd.Series[Any]", name: str) -> list[bool | None]:
    found: list[bool | None] = []
    for row, value in zip(column.index, column.tolist(), strict=True):
        if pd.isna(value):
            found.append(None)
            continue
        key = value.strip().lower() if isinstance(value, str) else value
        if key not in SWITCHES:
            raise errors.DataError(
                f"target {name} is {errors.excerpt(value)!r} in row {row}: wanted 0 or 1, whether the row has the label"
            )
        found.append(SWITCHES[key])
    return found


def _words(value: Any, separator: str) -> tuple[str, ...] | None:
    if value is None or (isinstance(value, float) and value != value):
        return None
    words = [word.strip() for word in str(value).split(separator)]
    return tuple(dict.fromkeys(word for word in words if word))

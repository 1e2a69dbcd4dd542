"""What may be otherwise than it seems, in words for a person: rows that are ranked, a code that is
read as missing, moments that are no times of events, a target with a stray word."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import frames, infer, sources
from fairway.model import kinds
from fairway.model.metrics.orders import HIGHEST
from fairway.model.tasks.base import percent

QUERY = re.compile(
    r"(query|qid|search|session|request|impression)s?([_\W]?(id|key|no|nr))?$", re.IGNORECASE
)
MOST_GRADES = 10
CODE = re.compile(r"[A-Z]{2}")
NAMIBIA = "NA"
FEWEST_CODES = 3  # different codes beside it; fewer are initials or answers
FEW_STRAYS = 0.1  # share of rows up to which words are mistakes among numbers
SOME_NUMBERS = 10  # different numbers from which a target is no list of codes
BIRTH = re.compile(r"(^|[_\W])(birth|born|dob|bday)|birth(day|date)?", re.IGNORECASE)
LEADING = re.compile(r"0\d")
IN_ORDER = 0.9  # share of neighbours in the file that are in order in time
DAY = 86400.0
RECENT = 10 * 365.2425 * DAY  # seconds back from the newest that events' times mostly lie within
RECENT_SHARE = 0.95
YEAR = 365.2425 * DAY


def ranked(frame: pd.DataFrame, *, target: str, group: str | None) -> str:
    """Say that a target of grades beside a column of queries may be a ranking, or "" where nothing
    looks like one."""
    grades = frame[target]
    if group is not None or not pd.api.types.is_numeric_dtype(grades) or grades.dtype.kind == "b":
        return ""
    different = set(grades.unique().tolist())
    whole = all(float(value).is_integer() for value in different)
    if not whole or not 2 < len(different) <= MOST_GRADES or min(different) < 0:
        return ""
    for name in map(str, frame.columns):
        rows = len(frame[name]) / max(1, frame[name].nunique())
        if name != target and QUERY.search(name) and 2 <= rows < len(frame):
            low, high = min(different), min(max(different), HIGHEST)
            return (
                f"{low:g} to {high:g} are grades as it seems, in rows of one {name}: where these are to be put in "
                f"order, init with --group {name!r} (ranking)"
            )
    return ""


def codes_lost(frame: pd.DataFrame, *, section: sections.Data) -> dict[str, str]:
    """Return the columns whose NA may be a country as others are, with the sentence that says so.

    The rows are read once more where a column has nothing but codes of two letters, and gaps.
    """
    suspects = [str(name) for name in frame.columns if _are_codes(frame[name])]
    if not suspects or NAMIBIA not in section.missing_values:
        return {}
    kept = tuple(word for word in section.missing_values if word != NAMIBIA)
    written = sources.read(section.model_copy(update={"missing_values": kept})).frame
    counts = {name: int((written[name] == NAMIBIA).sum()) for name in suspects}
    listed = ", ".join(f'"{word}"' for word in kept)
    return {
        name: f"NA is read as missing, in {count:,} rows beside codes of two letters: where it is a code too "
        f"(Namibia), set missingValues to [{listed}]"
        for name, count in counts.items()
        if count
    }


def _are_codes(column: "pd.Series[Any]") -> bool:
    if column.dtype != object or not column.isna().any():
        return False
    different = column.dropna().unique().tolist()
    return len(different) >= FEWEST_CODES and all(
        isinstance(value, str) and CODE.fullmatch(value) for value in different
    )


def no_event(name: str, seconds: NDArray[Any]) -> str:
    """Say why moments are no times at which rows came to be, or "" where they may be."""
    if BIRTH.search(name):
        return "are births by its name"
    steps = np.diff(seconds)
    in_order = max((steps >= 0).mean(), (steps <= 0).mean()) if len(steps) else 1.0
    if in_order >= IN_ORDER:
        return ""
    recent = float((seconds >= seconds.max() - RECENT).mean())
    if recent >= RECENT_SHARE:
        return ""
    years = (seconds.max() - seconds.min()) / YEAR
    return f"are in no order of the file and over {years:,.0f} years"


def blank(target: "pd.Series[Any]", *, separator: str | None) -> str:
    """Say that rows without a label are rows with none of the labels, or "" where there are no such
    rows."""
    if separator is None:
        return ""
    share = float((target.map(len) == 0).mean())
    if not share:
        return ""
    return (
        f"empty in {percent(share)} of the rows: taken as rows with none of the labels, not as rows whose labels are "
        "unknown"
    )


def unmixed(target: "pd.Series[Any]") -> None:
    """Raise DataError where a few words stand among the numbers of a target: inf, or `unknown`."""
    values = frames.plain(target)
    if values.dtype.kind == "f" and np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        _refuse(target, value=values[row], row=row)
    if values.dtype != object:
        return
    counts = Counter(value for value in values.tolist() if not kinds.is_missing(value))
    known = list(counts)[: infer.SOME]
    if not known or any(not isinstance(value, str | int | float) for value in known):
        return
    number = kinds.named("number")
    if sum(infer.is_none_of(number, value) for value in known) > FEW_STRAYS * len(known):
        return
    strays = [value for value in counts if infer.is_none_of(number, value)]
    if any(LEADING.match(str(value)) for value in strays):  # codes, of which some look like numbers
        return
    share = sum(counts[value] for value in strays) / sum(counts.values())
    if strays and share < FEW_STRAYS and len(counts) - len(strays) > SOME_NUMBERS:
        row = int(np.flatnonzero(values == strays[0])[0])
        _refuse(target, value=strays[0], row=row)


def _refuse(target: "pd.Series[Any]", *, value: Any, row: int) -> None:
    shown = errors.excerpt(value)
    raise errors.DataError(
        f"the target {target.name} is {shown!r} in row {target.index[row]} and a number in most rows: "
        "wanted a number in each; correct it, or leave the cell empty: rows without a target are left out"
    )

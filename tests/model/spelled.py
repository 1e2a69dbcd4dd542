"""Values of every kind, and the ways in which files and clients write them."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies

from fairway.config import sections

MISSING = ("", "?", "-999")
NONE: tuple[Any, ...] = (None, math.nan, "", "  ", "?", " ? ", "-999", "-999.0", -999, -999.0)
SHAPE = (1, 2, 2)


@dataclass(frozen=True)
class Spelled:
    """What one kind's values are, and how each can be written; a file's cells are written in the
    ways that are text."""

    values: strategies.SearchStrategy[Any]
    ways: Callable[[Any], Sequence[Any]]
    fixed: tuple[Any, ...]  # values that every column has, so that its kind shows
    inferred: bool = True  # from the cells of a csv file
    said: bool = False  # in data.kinds, since the cells do not show it


def number(value: float | None) -> Sequence[Any]:
    if value is None:
        return NONE
    ways: list[Any] = [value, repr(value), f" {value!r}  ", Decimal(repr(value)), np.float64(value)]
    ways.append(repr(value).replace("-", "\u2212", 1) if value < 0 else repr(value))
    if value.is_integer() and abs(value) < 2**53:
        whole = int(value)
        ways += [
            whole,
            str(whole),
            f"{whole}.0",
            f"{whole:,}".replace(",", " "),
            np.int64(whole),
            f"{whole}.00",
        ]
    if f"{float(np.float32(value))!r}" == repr(value):
        ways.append(np.float32(value))
    return ways


def category(word: str | None) -> Sequence[Any]:
    if word is None:
        return NONE
    ways: list[Any] = [word, f" {word}", f"{word}\t ", word.encode()]
    if word == "True":
        ways += [True, "true", "TRUE", np.True_]
    elif word == "3":
        ways += [3, 3.0, "3.0", " 3.00", Decimal("3.0"), np.int8(3), np.float32(3)]
    elif word == "2.5":
        ways += [2.5, Decimal("2.50"), np.float32(2.5)]
    elif word == str(2**53 + 1):
        ways += [2**53 + 1, np.int64(2**53 + 1), Decimal(2**53 + 1)]
    return ways


def text(words: str | None) -> Sequence[Any]:
    return NONE if words is None else [words, f" {words}\t", f"{words} ", words.encode()]


def boolean(value: bool | None) -> Sequence[Any]:
    if value is None:
        return NONE
    word = str(value)
    return [
        value,
        np.bool_(value),
        word,
        word.lower(),
        f" {word.upper()} ",
        int(value),
        float(value),
        word.encode(),
    ]


def moment(at: datetime | None) -> Sequence[Any]:
    if at is None:
        return NONE
    east = at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    ways: list[Any] = [
        at,
        east,
        at.replace(tzinfo=None),
        at.isoformat(),
        east.isoformat(),
        f" {at:%Y-%m-%d %H:%M:%S.%f} ",
    ]
    ways += [
        f"{east:%d/%m/%Y %H:%M:%S.%f %z}",
        f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
        f"{east:%a, %d %b %Y %H:%M:%S.%f %z}",
        f"{at:%Y/%m/%d %H:%M:%S.%f}",
        (at - EPOCH) / timedelta(microseconds=1) / 1e6,
    ]
    if at.microsecond == 0:
        ways += [int(at.timestamp()), f"{at:%d/%m/%Y %I:%M:%S %p}", f"{at:%Y-%m-%d %H:%M:%S UTC}"]
    return ways


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def image(pixels: tuple[float, ...]) -> Sequence[Any]:
    block = np.array(pixels, dtype=np.float32).reshape(SHAPE)
    return [list(pixels), block.tolist(), json.dumps(block.tolist())]


pixel = strategies.floats(0, 1, width=32)
SPELLED = {
    "number": Spelled(
        values=strategies.none()
        | strategies.floats(-1e12, 1e12)
        .map(lambda value: value + 0.0)
        .filter(lambda value: value != -999)
        | strategies.integers(-1000, 10**9).map(float).filter(lambda value: value != -999),
        ways=number,
        fixed=(1.5, 7.0, -2.0, None),
    ),
    "category": Spelled(
        values=strategies.sampled_from(
            ["b", "3", "2.5", "00501", "True", "Zürich", "no", "a, b", str(2**53 + 1), None]
        ),
        ways=category,
        fixed=("b", "3", "00501", None),
    ),
    "boolean": Spelled(
        values=strategies.sampled_from([True, False, None]), ways=boolean, fixed=(True, False, None)
    ),
    "datetime": Spelled(
        values=strategies.none()
        | strategies.datetimes(
            datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=strategies.just(UTC)
        )
        | strategies.datetimes(
            datetime(2000, 1, 1), datetime(2030, 1, 1), timezones=strategies.just(UTC)
        ).map(lambda at: at.replace(microsecond=0)),
        ways=moment,
        fixed=(
            datetime(2024, 5, 31, tzinfo=UTC),
            datetime(2023, 12, 1, 17, 5, 9, tzinfo=UTC),
            None,
        ),
    ),
    "text": Spelled(
        values=strategies.none()
        | strategies.lists(
            strategies.sampled_from(["late", "Never", "zu spät", "ok,", "fine!"]), min_size=2
        ).map(" ".join),
        ways=text,
        fixed=("late again", "never late", None),
        said=True,
    ),
    "image": Spelled(
        values=strategies.tuples(pixel, pixel, pixel, pixel),
        ways=image,
        fixed=((0.0, 0.25, 0.5, 1.0),),
        inferred=False,
    ),
}


def frame(section: sections.Data) -> pd.DataFrame:
    """Return the rows of a JSON file as they are written, values of several types side by side:
    `data.function`."""
    assert isinstance(section.path, Path)  # type: ignore[attr-defined]
    rows = json.loads(section.path.read_text())  # type: ignore[attr-defined]
    made = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in rows.items()})
    made.attrs["image_shape"] = SHAPE
    return made

"""What the cells of a text file are: numbers, booleans or words, a column at a time."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway.model import spelling

OBJECT = np.dtype(object)
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*|(?=\.[0-9]))(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")


def dtypes(
    parts: Iterable[pd.DataFrame], *, words: set[str], missing: set[str]
) -> tuple[dict[str, np.dtype[Any]], int]:
    """Return what each column is by all of its cells, those of `words` being words, and how many rows
    there are."""
    seen: dict[str, _Shown] = {}
    rows = 0
    for part in parts:
        rows += len(part)
        for name in part.columns:
            shown = seen.setdefault(name, _Shown())
            if name not in words:
                shown.add(part[name], missing=missing)
    return {name: shown.dtype for name, shown in seen.items()}, rows


def typed(
    part: pd.DataFrame, *, dtypes: Mapping[str, np.dtype[Any]], missing: set[str]
) -> pd.DataFrame:
    """Return some rows with numbers and booleans where their column is such."""
    columns = {
        name: _typed(part[name], dtypes[name], missing=missing) for name in map(str, part.columns)
    }
    return pd.DataFrame(columns, index=part.index)


@dataclass
class _Shown:
    """What the cells of a column show: numbers or booleans where all are such, words otherwise.

    A number is what is plainly one: 00501 is a word, and so is a whole number that a float cannot
    hold exactly.
    """

    some: bool = False
    complete: bool = True  # none is missing
    numbers: bool = True
    whole: bool = True
    large: bool = False  # numbers beyond those that a float tells apart
    inexact: bool = False  # whole ones
    switches: bool = True

    def add(self, cells: "pd.Series[Any]", *, missing: set[str]) -> None:
        words = {word.strip() for word in cells.unique()}
        known = words - missing
        self.some |= bool(known)
        self.complete &= len(known) == len(words)
        self.switches = self.switches and {word.lower() for word in known} <= {"true", "false"}
        self.numbers = self.numbers and all(map(NUMBER.fullmatch, known))
        if self.numbers:
            self._measure(known)

    def _measure(self, known: set[str]) -> None:
        largest = max(map(abs, map(float, known)), default=0.0)
        self.numbers = math.isfinite(largest)
        self.whole = self.whole and all(map(WHOLE.fullmatch, known))
        if self.numbers and largest >= spelling.EXACT:
            self.large |= largest > spelling.EXACT
            self.inexact |= any(
                abs(int(word)) > spelling.EXACT for word in known if WHOLE.fullmatch(word)
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        if self.some and self.numbers and not (self.large and self.inexact):
            return np.dtype(np.int64 if self.whole and self.complete else np.float64)
        return np.dtype(bool) if self.some and self.complete and self.switches else OBJECT


def _typed(cells: "pd.Series[Any]", dtype: np.dtype[Any], *, missing: set[str]) -> NDArray[Any]:
    """Return a column's cells as numbers, booleans or words. Decimals are rounded as JSON's are, to the
    nearest double: pandas' own way is off by one place now and then."""
    places, different = pd.factorize(cells)
    words = [word.strip() for word in different]
    if dtype.kind == "b":
        table = np.array([word.lower() == "true" for word in words], dtype=bool)
    elif dtype.kind == "O":
        table = np.array(words, dtype=object)
    else:
        table = np.array([np.nan if word in missing else float(word) for word in words])
    found: NDArray[Any] = table.astype(dtype)[places]
    return found

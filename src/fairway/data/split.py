"""Rows divided into training, validation and test: pure functions of arrays, giving the rows' positions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections

Positions = NDArray[np.int64]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Parts:
    """Positions of the rows of each split, ascending, disjoint."""

    train: Positions
    validation: Positions
    test: Positions


def divide(
    section: sections.Split,
    *,
    target: NDArray[np.int64],
    identity: NDArray[Any],
    column: NDArray[Any] | None,
    seed: int,
) -> Parts:
    """Return the splits. `identity` is equal for rows that are the same in every feature: they stay together, so that no
    test row was seen in training. `column` holds the groups or the times."""
    rows = len(target)
    if rows < 10:
        raise errors.DataError(f"there are {rows} rows: wanted at least ten, to have some in each split")
    rng = np.random.default_rng(seed)
    if section.method == "time":
        parts = _by_time(section, column=_present(column, section), rows=rows)
    elif section.method == "group":
        parts = _by_unit(section, unit=_codes(_present(column, section)), rng=rng)
    elif section.method == "random":
        parts = _by_unit(section, unit=_codes(identity), rng=rng)
    else:
        parts = _stratified(section, target=target, unit=_codes(identity), rng=rng)
    for name in SPLITS:
        if not len(getattr(parts, name)):
            raise errors.DataError(
                f"the {name} split would be empty ({rows} rows, method {section.method}): wanted more rows, or another share"
            )
    return parts


def _stratified(
    section: sections.Split, *, target: NDArray[np.int64], unit: NDArray[np.int64], rng: np.random.Generator
) -> Parts:
    """Divide each class apart; rows that are the same go with the first of them, whatever their class."""
    first = np.zeros(unit.max() + 1, dtype=np.int64)
    first[unit[::-1]] = np.arange(len(unit))[::-1]
    of_unit = target[first]
    chosen = np.zeros(len(first), dtype=np.int64)
    for label in np.unique(of_unit):
        units = np.flatnonzero(of_unit == label)
        chosen[rng.permutation(units)] = _assign(len(units), section)
    return _parts(chosen[unit])


def _by_unit(section: sections.Split, *, unit: NDArray[np.int64], rng: np.random.Generator) -> Parts:
    count = int(unit.max()) + 1
    chosen = np.zeros(count, dtype=np.int64)
    chosen[rng.permutation(count)] = _assign(count, section)
    return _parts(chosen[unit])


def _by_time(section: sections.Split, *, column: NDArray[Any], rows: int) -> Parts:
    """Oldest first; rows of one moment stay on one side of a border, `purge` rows are left out at each."""
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    borders = []
    for share in (1 - section.validation - section.test, 1 - section.test):
        border = round(share * rows)
        while 0 < border < rows and ordered[border] == ordered[border - 1]:
            border += 1
        borders.append(border)
    first, second = borders
    train, validation = order[: max(0, first - section.purge)], order[first : max(first, second - section.purge)]
    return Parts(np.sort(train), np.sort(validation), np.sort(order[second:]))


def _assign(count: int, section: sections.Split) -> NDArray[np.int64]:
    """Return 0 (train), 1 (validation) or 2 (test) for `count` shuffled units."""
    test = round(section.test * count)
    validation = round(section.validation * count)
    if count >= 3:
        test, validation = max(1, test), max(1, validation)
    return np.repeat(np.array([2, 1, 0]), [test, validation, count - test - validation])


def _parts(chosen: NDArray[np.int64]) -> Parts:
    return Parts(*(np.flatnonzero(chosen == number) for number in range(3)))


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number to each different value, in order of appearance: one changed row must not reshuffle all the others."""
    _, first, codes = np.unique(values, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[codes]


def _present(column: NDArray[Any] | None, section: sections.Split) -> NDArray[Any]:
    if column is None:
        raise errors.DataError(f"data.split.column is {section.column!r}: the data has no such column")
    return column

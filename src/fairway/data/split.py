"""Rows divided into training, validation and test: pure functions of arrays, giving the rows'
positions.

The division belongs to the data. A row's side follows from a hash of what it holds (method group:
of its group) and from `data.seed` alone, so it stays on its side when rows are added and whatever
the seed of the training is: a challenger is never tested on rows that its champion has learnt from.
Only a class of fewer than `SMALL` rows (of method group: fewer groups) is cut at exact shares,
where chance would leave it lopsided; as it grows a few of its rows change sides.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections

Positions = NDArray[np.int64]
SPLITS = ("train", "validation", "test")
# rows of a class (units of a division): from here on chance keeps the shares within a few points
SMALL = 200
# rows a combination on average: with few combinations, a test of unseen ones would test nothing
# that comes
COPIES = 10
# how far a class's share in a split may be off before equal rows are taken apart
FAR_SIGMAS, FAR_SHARE = 5.0, 0.05


@dataclass(frozen=True)
class Parts:
    """Positions of the rows of each split, ascending, disjoint; whether rows that are equal had to
    be divided."""

    train: Positions
    validation: Positions
    test: Positions
    apart: bool = False


def divide(
    section: sections.Split,
    *,
    strata: NDArray[np.int64],
    identity: NDArray[Any],
    column: NDArray[Any] | None,
    seed: int,
) -> Parts:
    """Return the splits; raises DataError where one would be empty.

    `identity` is equal for rows that are the same in every feature: they stay together, so that no
    test row was seen in training, unless the classes' shares could not be kept then (method
    stratified). `column` holds the groups or the times.
    """
    rows = len(strata)
    if rows < 10:
        raise errors.DataError(
            f"there are {rows} rows: wanted at least ten, to have some in each split"
        )
    if section.method == "time":
        parts = _by_time(section, column=_present(column, section), rows=rows)
    elif section.method == "group":
        parts = _by_unit(section, key=_hashed(_present(column, section)), seed=seed)
    elif section.method == "random":
        parts = _by_unit(section, key=identity, seed=seed)
    else:
        parts = _stratified(section, strata=strata, key=identity, seed=seed)
    for name in SPLITS:
        if not len(getattr(parts, name)):
            raise errors.DataError(
                f"the {name} split would be empty ({rows} rows, method {section.method}): wanted more rows, "
                "or another share"
            )
    return parts


def _stratified(
    section: sections.Split, *, strata: NDArray[np.int64], key: NDArray[Any], seed: int
) -> Parts:
    """Divide each stratum apart.

    Equal rows go with the first of them, unless they are all that there is or a split misses the
    classes' shares then.
    """
    keys, first, unit = np.unique(key, return_index=True, return_inverse=True)
    together = _parts(_by_stratum(section, strata=strata[first], key=keys, seed=seed)[unit])
    few = len(keys) < SMALL and len(key) > COPIES * len(keys)
    if not few and (len(keys) == len(key) or not _lopsided(together, strata)):
        return together
    return _parts(
        _by_stratum(section, strata=strata, key=_numbered(unit, keys), seed=seed), apart=True
    )


def _by_stratum(
    section: sections.Split, *, strata: NDArray[np.int64], key: NDArray[Any], seed: int
) -> NDArray[np.int64]:
    sides = np.zeros(len(strata), dtype=np.int64)
    for stratum in np.unique(strata):
        of_stratum = np.flatnonzero(strata == stratum)
        sides[of_stratum] = _sides(section, key=key[of_stratum], seed=seed)
    return sides


def _by_unit(section: sections.Split, *, key: NDArray[Any], seed: int) -> Parts:
    keys, unit = np.unique(key, return_inverse=True)
    return _parts(_sides(section, key=keys, seed=seed)[unit])


def _sides(section: sections.Split, *, key: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Return 0 (train), 1 (validation) or 2 (test) for different keys: the lowest places are test,
    the next validation."""
    place = places(key, seed=seed)
    if len(key) >= SMALL:
        return np.where(
            place < section.test, 2, np.where(place < section.test + section.validation, 1, 0)
        )
    sides = np.empty(len(key), dtype=np.int64)
    sides[np.argsort(place, kind="stable")] = _assign(len(key), section)
    return sides


def places(key: NDArray[Any], *, seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each key, as good as random (splitmix64: Steele, Lea and Flood
    2014, figure 16)."""
    mixed = key.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    places: NDArray[np.float64] = (mixed >> np.uint64(11)) * 2.0**-53
    return places


def _lopsided(parts: Parts, strata: NDArray[np.int64]) -> bool:
    """Say whether a class's share in a split is further from its share of all rows than chance
    brings it."""
    share = np.bincount(strata) / len(strata)
    for name in SPLITS:
        chosen = strata[getattr(parts, name)]
        off = np.abs(np.bincount(chosen, minlength=len(share)) / max(len(chosen), 1) - share)
        if (
            off
            > np.maximum(FAR_SHARE, FAR_SIGMAS * np.sqrt(share * (1 - share) / max(len(chosen), 1)))
        ).any():
            return True
    return False


def _numbered(unit: NDArray[np.int64], keys: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a key of its own for each row: that of its unit and how many equal rows came before
    it."""
    order = np.argsort(unit, kind="stable")
    begins = np.r_[0, np.cumsum(np.bincount(unit))[:-1]]
    before = np.empty(len(unit), dtype=np.uint64)
    before[order] = np.arange(len(unit)) - begins[unit[order]]
    numbered: NDArray[np.uint64] = keys[unit].astype(np.uint64) + before * np.uint64(
        0xD1B54A32D192ED03
    )
    return numbered


def _by_time(section: sections.Split, *, column: NDArray[Any], rows: int) -> Parts:
    """Oldest first; rows of one moment stay on one side of a border, `purge` rows are left out at
    each."""
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    borders = []
    for share in (1 - section.validation - section.test, 1 - section.test):
        border = round(share * rows)
        while 0 < border < rows and ordered[border] == ordered[border - 1]:
            border += 1
        borders.append(border)
    first, second = borders
    train, validation = (
        order[: max(0, first - section.purge)],
        order[first : max(first, second - section.purge)],
    )
    return Parts(np.sort(train), np.sort(validation), np.sort(order[second:]))


def _assign(count: int, section: sections.Split) -> NDArray[np.int64]:
    """Return 0 (train), 1 (validation) or 2 (test) for `count` units in the order of their places."""
    test = round(section.test * count)
    validation = round(section.validation * count)
    if count >= 3:
        test, validation = max(1, test), max(1, validation)
    return np.repeat(np.array([2, 1, 0]), [test, validation, count - test - validation])


def _parts(sides: NDArray[np.int64], *, apart: bool = False) -> Parts:
    train, validation, test = (np.flatnonzero(sides == number) for number in range(3))
    return Parts(train, validation, test, apart)


def _hashed(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a hash of each value that is the same on every machine."""
    different, places = np.unique(values.astype(str), return_inverse=True)
    hashes = [
        int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest())
        for value in different.tolist()
    ]
    hashed: NDArray[np.uint64] = np.array(hashes, dtype=np.uint64)[places]
    return hashed


def _present(column: NDArray[Any] | None, section: sections.Split) -> NDArray[Any]:
    if column is None:
        raise errors.DataError(
            f"data.split.column is {section.column!r}: the data has no such column"
        )
    return column

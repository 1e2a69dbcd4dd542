"""The kinds of features. Each is one module that says all that differs between kinds; everything else asks
`kinds.of`."""

from typing import Any

from fairway import errors
from fairway.model.kinds.base import Array, Compared, Count, Kind, Unfit, Unreadable, counted, declared_word, is_missing
from fairway.model.kinds.category import Category
from fairway.model.kinds.image import Image
from fairway.model.kinds.number import Number
from fairway.model.schema import Feature

__all__ = [
    "KINDS",
    "Array",
    "Compared",
    "Count",
    "Kind",
    "Unfit",
    "Unreadable",
    "counted",
    "declared_word",
    "guessed",
    "is_missing",
    "listed",
    "named",
    "of",
]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Number(), Category(), Image())}


def of(feature: Feature) -> Kind:
    """Return the feature's kind."""
    return KINDS[feature.kind]


def named(name: Any) -> Kind:
    """Return the kind of this name; raises DataError where there is no such kind."""
    if not isinstance(name, str) or name not in KINDS:
        raise errors.DataError(f"the kind of a feature is {name!r}: wanted {listed()}")
    return KINDS[name]


def guessed(values: Array) -> Kind:
    """Return the kind that an array of raw values looks like, where no schema says it."""
    if values.ndim > 1 and values.shape[1:] != (1,):
        return KINDS["image"]
    return KINDS["category" if values.dtype.kind in "OSUb" else "number"]


def listed() -> str:
    """Return the names of all kinds, for a sentence."""
    first, last = list(KINDS)[:-1], list(KINDS)[-1]
    return f"{', '.join(first)} or {last}"

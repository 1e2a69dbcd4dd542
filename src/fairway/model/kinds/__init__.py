"""The kinds of features. Each is one module that says all that differs between kinds; everything
else asks `kinds.of`.

A package adds a kind with an entry point in the group `fairway.kinds` that names its subclass of
`Kind`.
"""

import functools
from collections.abc import Mapping
from typing import Any

from fairway import errors, plugins
from fairway.model.kinds.base import (
    Ambiguous,
    Array,
    Compared,
    Count,
    Kind,
    Unreadable,
    declared_word,
    is_missing,
)
from fairway.model.kinds.boolean import Boolean
from fairway.model.kinds.category import Category
from fairway.model.kinds.image import Image
from fairway.model.kinds.moment import Moment
from fairway.model.kinds.number import Number
from fairway.model.kinds.tensors import BOUNDS, Unfit, counted, declared
from fairway.model.kinds.text import Text
from fairway.model.schema import Feature

__all__ = [
    "BOUNDS",
    "Ambiguous",
    "Array",
    "Compared",
    "Count",
    "Kind",
    "Unfit",
    "Unreadable",
    "counted",
    "declared",
    "declared_word",
    "found",
    "guessed",
    "is_missing",
    "listed",
    "named",
    "of",
]

OURS: Mapping[str, Kind] = {
    kind.name: kind for kind in (Boolean(), Number(), Moment(), Category(), Text(), Image())
}


@functools.cache
def found() -> Mapping[str, Kind]:
    """Return every kind by name: ours, and those of installed packages."""
    return plugins.beside("kinds", OURS, kind=Kind)


def of(feature: Feature) -> Kind:
    """Return the feature's kind."""
    return found()[feature.kind]


def named(name: Any) -> Kind:
    """Return the kind of this name; raises DataError where there is no such kind."""
    if not isinstance(name, str) or name not in found():
        raise errors.DataError(f"the kind of a feature is {name!r}: wanted {listed()}")
    return found()[name]


def guessed(values: Array) -> Kind:
    """Return the kind that an array of raw values looks like, where no schema says it."""
    if values.ndim > 1 and values.shape[1:] != (1,):
        return OURS["image"]
    return OURS["category" if values.dtype.kind in "OSUb" else "number"]


def listed() -> str:
    """Return the names of all kinds, for a sentence."""
    *others, last = found()
    return f"{', '.join(others)} or {last}"

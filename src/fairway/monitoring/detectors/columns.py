"""Turns features as they are logged into columns that a univariate test can take: no missing value
is passed on."""

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from fairway import errors
from fairway.model import kinds as all_kinds
from fairway.model import tasks
from fairway.model.kinds import Compared
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base

Array = npt.NDArray[Any]


def columns(reference: base.Arrays, window: base.Arrays, *, schema: Schema) -> list[Compared]:
    """Return the columns to test; the ones that never vary are left out, since both windows agree
    on them.

    The kind of a feature that the schema has not is taken from its values.
    """
    found: list[Compared] = []
    kinds = {feature.name: feature.kind for feature in schema.features}
    for name, values in reference.items():
        if name == base.ANSWERS:
            answers = window.get(name)
            if answers is not None and len(answers):
                found += tasks.of(schema).compared(values, answers, schema)
        elif base.is_feature(name):
            found += _feature(name, values, _present(name, window), kind=kinds.get(name))
    return found


def _feature(name: str, reference: Array, window: Array, *, kind: str | None) -> Iterator[Compared]:
    known = all_kinds.named(kind) if kind is not None else all_kinds.guessed(reference)
    return known.compared(name, reference, window)


def _present(name: str, window: base.Arrays) -> Array:
    if name not in window:
        raise errors.DataError(
            f"the window has no feature {name}: wanted the reference's features; were its inputs logged?"
        )
    return window[name]

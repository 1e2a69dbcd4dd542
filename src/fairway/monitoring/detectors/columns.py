"""Turns features as they are logged into columns that a univariate test can take: no missing value is passed on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from fairway import errors
from fairway.model import kinds
from fairway.model.kinds import Compared, number
from fairway.monitoring.detectors import base

Array = npt.NDArray[Any]


def columns(
    reference: base.Arrays, window: base.Arrays, *, kinds: Mapping[str, str], classes: Sequence[str]
) -> list[Compared]:
    """Return the columns to test; the ones that never vary are left out, since both windows agree on them."""
    found: list[Compared] = []
    for name, values in reference.items():
        if name == base.PROBABILITIES:
            found += _probabilities(values, window.get(name), classes=classes)
        elif not name.startswith("__"):
            found += _feature(name, values, _present(name, window), kind=kinds.get(name))
    return found


def _feature(name: str, reference: Array, window: Array, *, kind: str | None) -> Iterator[Compared]:
    known = kinds.named(kind) if kind is not None else kinds.guessed(reference)
    return known.compared(name, reference, window)


def _probabilities(reference: Array, window: Array | None, *, classes: Sequence[str]) -> Iterator[Compared]:
    if window is None or not len(window):
        return
    # Two classes say the same thing twice: one test is enough, and costs less of the window's false-alarm budget.
    for i in range(1 if reference.shape[1] == 2 else 0, reference.shape[1]):
        name = classes[i] if i < len(classes) else str(i)
        yield from number.compared(f"probability[{name}]", reference[:, i], window[:, i], kind="probability")


def _present(name: str, window: base.Arrays) -> Array:
    if name not in window:
        raise errors.DataError(
            f"the window has no feature {name}: wanted the reference's features; were its inputs logged?"
        )
    return window[name]

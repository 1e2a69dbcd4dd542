"""What a deployment's traffic usually looks like: windows of it, spread over a day, become the
reference. Pure.

What is learnt is kept as plain arrays and read without pickle.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairway.config import sections
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import yardstick

AT = "__at__"  # the array with the time of each row
CHUNK = "__chunk__"  # and of one number: rows that followed each other


@dataclass(frozen=True, kw_only=True)
class Plan:
    """So many windows of so many rows are learnt from, not sooner after each other."""

    windows: int
    rows: int  # of one window: rows that were served one after the other
    seconds: float  # from the beginning of one to that of the next

    @classmethod
    def of(cls, section: sections.Monitoring) -> "Plan":
        """Return the plan whose windows are the largest that `learn.rows` has enough of."""
        wanted = max(section.learn.rows, min(section.scales) * yardstick.LEAST_WINDOWS)
        fitting = [size for size in section.scales if size * yardstick.LEAST_WINDOWS <= wanted]
        size = max(fitting)
        windows = -(-wanted // size)
        return cls(
            windows=windows,
            rows=size,
            seconds=section.learn.duration.total_seconds() / windows,
        )

    def due(self, *, last: float | None, now: float) -> bool:
        """Say whether the next window may be learnt from."""
        return last is None or now - last >= self.seconds


def joined(
    known: base.Arrays | None, window: base.Arrays, *, at: NDArray[np.float64]
) -> dict[str, NDArray[np.generic]]:
    """Return what was learnt with one more window."""
    fresh = {**window, AT: at}
    if known is None:
        return {**fresh, CHUNK: np.array([len(at)], dtype=np.int64)}
    return {
        **{name: np.concatenate([known[name], fresh[name]]) for name in fresh},
        CHUNK: np.asarray(known[CHUNK]),
    }


def first(known: base.Arrays | None, *, windows: int) -> dict[str, NDArray[np.generic]] | None:
    """Return the first windows of what was learnt, None where they are none."""
    if known is None or not windows:
        return None
    rows = windows * rows_of(known)
    return {name: values if name == CHUNK else values[:rows] for name, values in known.items()}


def rows_of(known: base.Arrays) -> int:
    """Return the rows of each window that was learnt from."""
    return int(known[CHUNK][0])


def windows_of(known: base.Arrays) -> int:
    """Return how many windows were learnt from."""
    return len(known[AT]) // rows_of(known)


def size(known: base.Arrays) -> int:
    """Return the bytes that are held of what was learnt, its words included."""
    return sum(
        values.nbytes + (sum(map(sys.getsizeof, values.tolist())) if values.dtype == object else 0)
        for values in known.values()
    )


def columns(known: base.Arrays) -> dict[str, NDArray[np.generic]]:
    """Return the columns of what was learnt, without its times."""
    return {name: values for name, values in known.items() if name not in (AT, CHUNK)}


def usable(scales: Sequence[int], known: base.Arrays) -> tuple[int, ...]:
    """Return the scales at which no window of the reference spans a pause between two chunks."""
    return tuple(size for size in scales if rows_of(known) % size == 0)

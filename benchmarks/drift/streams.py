"""What the detectors are shown: one number a row, as traffic has it, and a shift where one is
wanted."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Draw = Callable[[int, np.random.Generator], Floats]

ROWS_A_MONTH = 100_000  # 2,000 windows of 50: with one ticket a month, one in 2,000 windows
MONTH_SECONDS = 30 * 86_400.0
SECONDS = MONTH_SECONDS / ROWS_A_MONTH  # from one row to the next
REFERENCE = 20_000  # rows: six days
CYCLE = 0.3  # standard deviations that the day adds at noon, and takes away at midnight


def independent(rows: int, rng: np.random.Generator) -> Floats:
    return rng.normal(size=rows)


def autoregressive(memory: float) -> Draw:
    """Return rows of variance 1 that hang on the row before by `memory`."""

    def draw(rows: int, rng: np.random.Generator) -> Floats:
        from scipy import signal

        new = rng.normal(size=rows) * np.sqrt(1 - memory**2)
        new[0] /= np.sqrt(1 - memory**2)
        found: Floats = signal.lfilter([1.0], [1.0, -memory], new)
        return found

    return draw


def daily(rows: int, rng: np.random.Generator) -> Floats:
    days = np.arange(rows) * SECONDS / 86_400.0
    return rng.normal(size=rows) + CYCLE * np.sin(2 * np.pi * days)


STREAMS: dict[str, Draw] = {
    "independent": independent,
    "AR(1) .5": autoregressive(0.5),
    "AR(1) .9": autoregressive(0.9),
    "daily cycle of .3 sd": daily,
}


def drawn(
    name: str, *, rows: int, seed: int, shift: float = 0.0, first: int = 0
) -> tuple[Floats, Floats]:
    """Return the reference, and `rows` served after it, shifted from row `first` on."""
    rng = np.random.default_rng([seed, list(STREAMS).index(name)])
    whole = STREAMS[name](REFERENCE + rows, rng)
    whole[REFERENCE + first :] += shift
    return whole[:REFERENCE], whole[REFERENCE:]

"""A fleet of models over a month: false tickets under the fleet's budget, and shifts of one feature
found within a day."""

from dataclasses import dataclass

import numpy as np

from benchmarks.drift import ours

MODELS, FEATURES, DAYS = 20, 20, 30
ROWS_AN_HOUR = 200
DAY = 24 * ROWS_AN_HOUR
SECONDS = 3600.0 / ROWS_AN_HOUR
REFERENCE = 10_000  # rows: two days
A_MONTH = 1.0  # tickets, of the whole fleet
SHIFT = 0.5  # standard deviations of one feature
USUAL = DAY // 2  # rows at most before the shift begins


@dataclass(frozen=True)
class Watched:
    """What one model came to: tickets of a month without a shift, and rows until a shift of one
    feature was found, none where it was not."""

    false: int
    delay: int | None


def watch(job: tuple[int, int]) -> Watched:
    """Return what one model of one fleet came to; the job is seed and model."""
    rng = np.random.default_rng([*job, 20])
    calm = rng.normal(size=(REFERENCE + DAYS * DAY, FEATURES))
    false = ours.tickets(
        calm[:REFERENCE], calm[REFERENCE:], a_month=A_MONTH / MODELS, seconds=SECONDS
    )
    moved = rng.normal(size=(REFERENCE + USUAL + DAY, FEATURES))
    first = int(rng.integers(USUAL))
    moved[REFERENCE + first :, int(rng.integers(FEATURES))] += SHIFT
    found = ours.tickets(
        moved[:REFERENCE], moved[REFERENCE:], a_month=A_MONTH / MODELS, seconds=SECONDS
    )
    delays = [row + 1 - first for row in found if first <= row < first + DAY]
    return Watched(false=len(false), delay=delays[0] if delays else None)

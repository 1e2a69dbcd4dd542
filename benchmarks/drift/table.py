"""The table of streams: false tickets and delays of each detector on each of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.drift import ours, peers, streams
from benchmarks.drift.streams import Floats

Tickets = Callable[[Floats, Floats], list[int]]

WINDOW, WINDOWS = 50, 4_000  # rows of a window, and windows of one history
SHIFTS = (0.25, 0.5)
FIRST, AFTER = 5_000, 20_000  # rows before and after the shift begins
# of alibi's online test, which takes .2 ms a row: rows without a shift; before and after each
ALIBI_ROWS, ALIBI_FIRST, ALIBI_AFTER = 20_000, 500, 5_000


def always(reference: Floats, served: Floats) -> list[int]:
    """Return a ticket for each window: what a delay is worth nothing beside."""
    return list(range(WINDOW - 1, len(served), WINDOW))


DETECTORS: dict[str, Tickets] = {
    "fairway, 1 a month": ours.tickets,
    "KS, p .01 twice in a row": peers.kolmogorov_smirnov,
    "PSI above .2": peers.population_stability,
    "ADWIN .002 (river)": peers.adwin,
    "always": always,
}
FAIRWAY, ALIBI = "fairway, 1 a month", f"alibi MMD online, ERT {peers.ERT}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One detector on one stream: false tickets, of how many rows, and rows until a shift was found
    (infinite where it was not), by shift."""

    stream: str
    detector: str
    false: int
    rows: int
    delays: dict[float, Floats]

    @property
    def a_month(self) -> float:
        return self.false / self.rows * streams.ROWS_A_MONTH

    def row(self) -> dict[str, object]:
        return {
            "rows": self.stream,
            "detector": self.detector,
            "false tickets": f"{self.false:,} in {self.rows // WINDOW:,} windows",
            "a month": f"{self.a_month:,.0f}" if self.a_month >= 10 else f"{self.a_month:.2g}",
            **{f"{shift} sd": _delay(self.delays[shift]) for shift in SHIFTS},
        }


def measure(job: tuple[str, str, int, int, int]) -> Cell:
    """Return the cell of stream, detector, seed, histories without a shift and with each."""
    stream, detector, seed, calm, shifted = job
    slow = detector == ALIBI
    found = _alibi(stream, seed=seed) if slow else DETECTORS[detector]
    rows, histories = (ALIBI_ROWS, 1) if slow else (WINDOW * WINDOWS, calm)
    first, after = (ALIBI_FIRST, ALIBI_AFTER) if slow else (FIRST, AFTER)

    def delayed(shift: float, *, history: int) -> float:
        """Return the rows from the shift to the first ticket that opens after it."""
        drawn = streams.drawn(stream, rows=first + after, seed=history, shift=shift, first=first)
        return next((float(row + 1 - first) for row in found(*drawn) if row >= first), np.inf)

    return Cell(
        stream=stream,
        detector=detector,
        false=sum(
            len(found(*streams.drawn(stream, rows=rows, seed=seed * 1000 + history)))
            for history in range(histories)
        ),
        rows=rows * histories,
        delays={
            shift: np.array(
                [delayed(shift, history=seed * 1000 + 500 + history) for history in range(shifted)]
            )
            for shift in SHIFTS
        },
    )


def _alibi(stream: str, *, seed: int) -> Tickets:
    """Return alibi's test of one reference, for it takes half a minute to calibrate."""
    test = peers.AlibiOnline(streams.drawn(stream, rows=1, seed=seed)[0])
    return lambda _, served: test.tickets(served)


def _delay(delays: Floats) -> str:
    known = delays[np.isfinite(delays)]
    if not len(known):
        return "none"
    lack = len(delays) - len(known)
    return f"{np.median(known):,.0f}" + (f", none in {lack} of {len(delays)}" if lack else "")

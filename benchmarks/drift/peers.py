"""What is used otherwise, on the same rows: each gives the rows at which it opens a ticket."""

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW = 200  # rows; at 50 PSI would be above its limit without any shift
LEVEL, IN_A_ROW = 0.01, 2  # as fairway had it before: windows after each other, and as many to end
PSI_LIMIT, PSI_BINS = 0.2, 10  # the rule of thumb for a shift that matters
ERT = 1_000  # rows between false alarms that alibi is asked for; for more it wants more bootstraps
ALIBI_REFERENCE, ALIBI_WINDOW = 500, 50  # with 2,000 its calibration takes 18 GB
ALIBI_BOOTSTRAPS = 2_000


def kolmogorov_smirnov(reference: Floats, served: Floats) -> list[int]:
    """Return the tickets of a test of each window at p .01, two windows in a row."""
    from scipy import stats

    windows = np.sort(_windows(served), axis=1)
    ordered = np.sort(reference)
    steps = np.arange(1, WINDOW + 1) / WINDOW
    upper = np.searchsorted(ordered, windows, side="right") / len(ordered)
    lower = np.searchsorted(ordered, windows, side="left") / len(ordered)
    distance = np.maximum((steps - upper).max(axis=1), (lower - steps + 1 / WINDOW).max(axis=1))
    together = len(reference) * WINDOW / (len(reference) + WINDOW)
    drifted = stats.kstwo.sf(distance, np.round(together)) < LEVEL
    return list(_episodes(drifted, in_a_row=IN_A_ROW))


def population_stability(reference: Floats, served: Floats) -> list[int]:
    """Return the tickets of a population stability index above .2 in a window, by tenths of the
    reference."""
    edges = np.quantile(reference, np.arange(1, PSI_BINS) / PSI_BINS)
    tenth = np.searchsorted(edges, _windows(served))
    counts = np.stack([(tenth == place).sum(axis=1) for place in range(PSI_BINS)], axis=1)
    share = np.maximum(counts / WINDOW, 0.5 / WINDOW)
    expected = 1 / PSI_BINS
    index = ((share - expected) * np.log(share / expected)).sum(axis=1)
    return list(_episodes(index > PSI_LIMIT, in_a_row=1))


def adwin(reference: Floats, served: Floats) -> list[int]:
    """Return the changes that ADWIN says (Bifet and Gavalda 2007; river's, delta .002) while it
    sees the reference first; values between 0 and 1, as its bound asks."""
    from river import drift

    low, high = float(reference.min()), float(reference.max())
    scaled = np.clip((np.concatenate([reference, served]) - low) / (high - low), 0.0, 1.0)
    detector = drift.ADWIN()
    found = []
    for row, value in enumerate(scaled.tolist()):
        detector.update(value)
        if detector.drift_detected and row >= len(reference):
            found.append(row - len(reference))
    return found


class AlibiOnline:
    """alibi-detect's online test of the maximum mean discrepancy, calibrated once."""

    def __init__(self, reference: Floats) -> None:
        from fairway.monitoring.detectors.alibi import library

        some = reference[:: max(len(reference) // ALIBI_REFERENCE, 1)][:ALIBI_REFERENCE]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._detector = library.load().MMDDriftOnline(
                some.astype(np.float32)[:, None],
                ert=ERT,
                window_size=ALIBI_WINDOW,
                n_bootstraps=ALIBI_BOOTSTRAPS,
                backend="pytorch",
                device="cpu",
                verbose=False,
            )

    def tickets(self, served: Floats) -> list[int]:
        """Return the rows at which it says drift; it begins anew after each."""
        self._detector.reset_state()
        found = []
        for row, value in enumerate(served.astype(np.float32)[:, None]):
            if self._detector.predict(value, return_test_stat=False)["data"]["is_drift"]:
                found.append(row)
                self._detector.reset_state()
        return found


def _windows(served: Floats) -> Floats:
    return served[: len(served) // WINDOW * WINDOW].reshape(-1, WINDOW)


def _episodes(drifted: NDArray[np.bool_], *, in_a_row: int) -> Iterator[int]:
    """Return the last row of each window that opens a ticket: after so many that drifted in a row
    while none is open, which so many in a row that did not have ended."""
    opened, streak = False, 0
    for place, moved in enumerate(drifted.tolist()):
        streak = streak + 1 if moved != opened else 0
        if streak < in_a_row:
            continue
        if moved:
            yield (place + 1) * WINDOW - 1
        opened, streak = moved, 0

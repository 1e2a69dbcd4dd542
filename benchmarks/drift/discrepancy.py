"""The permutation test of the maximum mean discrepancy: ours beside alibi-detect's, one thread
each."""

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import threadpoolctl

from fairway.monitoring.detectors import mmd
from fairway.monitoring.detectors.alibi import library

COLUMNS, PERMUTATIONS, LEVEL = 10, 100, 0.05
SHIFTS = {"unshifted": 0.0, "shifted by .1 sd": 0.1}
ROUNDS = 150_000  # rows of ours, of which the best time counts: others share the machine


@dataclass(frozen=True, kw_only=True)
class Side:
    """Seconds of the processor and of the clock, the estimate, and the verdicts by shift."""

    processor: float
    clock: float
    squared: dict[str, float]
    drifted: dict[str, bool]


def measure(rows: int, *, seed: int) -> tuple[Side, Side]:
    """Return our side and alibi's, on `rows` of which a sixth are the window's.

    Alibi's detector has its reference's kernel matrix before the time begins. It gets the 32-bit
    numbers that it is faster with; estimates are compared on the same rows in 64 bits.
    """
    rng = np.random.default_rng([seed, rows])
    after = rows // 6
    reference = rng.normal(size=(rows - after, COLUMNS)).astype(np.float32)
    window = rng.normal(size=(after, COLUMNS)).astype(np.float32)
    windows = {name: window + np.float32(shift) for name, shift in SHIFTS.items()}
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _ours(reference, windows), _theirs(reference, windows)


def _ours(reference: Any, windows: dict[str, Any]) -> Side:
    taken, found = [], {}
    for name, window in windows.items():
        for _ in range(ROUNDS // len(reference)):
            began = time.process_time(), time.perf_counter()
            found[name] = mmd.compare(reference, window, permutations=PERMUTATIONS)
            taken.append((time.process_time() - began[0], time.perf_counter() - began[1]))
    return Side(
        processor=min(processor for processor, _ in taken),
        clock=min(clock for _, clock in taken),
        squared={name: one.squared for name, one in found.items()},
        drifted={name: one.p_value <= LEVEL for name, one in found.items()},
    )


def _theirs(reference: Any, windows: dict[str, Any]) -> Side:
    detector = _detector(reference, permutations=PERMUTATIONS)
    exact = _detector(reference.astype(np.float64), permutations=1)
    taken, squared, drifted = [], {}, {}
    for name, window in windows.items():
        began = time.process_time(), time.perf_counter()
        drifted[name] = bool(detector.predict(window)["data"]["is_drift"])
        taken.append((time.process_time() - began[0], time.perf_counter() - began[1]))
        squared[name] = float(exact.predict(window.astype(np.float64))["data"]["distance"])
    return Side(
        processor=min(processor for processor, _ in taken),
        clock=min(clock for _, clock in taken),
        squared=squared,
        drifted=drifted,
    )


def _detector(reference: Any, *, permutations: int) -> Any:
    return library.load().MMDDrift(
        reference, p_val=LEVEL, n_permutations=permutations, backend="pytorch", device="cpu"
    )

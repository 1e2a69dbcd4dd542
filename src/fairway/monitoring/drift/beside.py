"""Well-known detectors of a risen loss beside ours, for comparison: they alarm nobody.

ADWIN (Bifet and Gavalda 2007), Page-Hinkley (Page 1954) and KSWIN (Raab, Heusinger and Schleif
2020), as river has them with its defaults. None has a budget: how often each alarms by chance hangs on
how many labels come, and KSWIN is made for quantities rather than for right and wrong.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors

SEED = 0  # of KSWIN, which draws


def _made() -> dict[str, Callable[[], Any]]:
    """Return what makes each detector; Page-Hinkley looks for a rise alone, as we do."""
    try:
        from river import drift
    except ImportError as error:
        raise errors.UsageError(
            f'--beside asks river for its detectors ({error}): `pip install "river>=0.23,<0.24"`, or '
            "leave the option out"
        ) from error
    return {
        "adwin": drift.ADWIN,
        "page-hinkley": lambda: drift.PageHinkley(mode="up"),
        "kswin": lambda: drift.KSWIN(seed=SEED),
    }


NAMES = ("adwin", "page-hinkley", "kswin")


def chosen(text: str) -> list[str]:
    """Return the detectors that a list separated by commas names; raises UsageError for others."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in NAMES:
            raise errors.UsageError(f"--beside has {name!r}: wanted some of {', '.join(NAMES)}")
    return list(dict.fromkeys(names))


def alarms(losses: NDArray[np.float64], names: Sequence[str]) -> dict[str, list[int]]:
    """Return the rows at which each detector would have alarmed, by the losses in order; rows
    without a label (NaN) say nothing."""
    made = _made() if names else {}
    rows = np.flatnonzero(np.isfinite(losses)).tolist()
    return {name: _alarms(made[name](), losses, rows) for name in names}


def _alarms(detector: Any, losses: NDArray[np.float64], rows: Sequence[int]) -> list[int]:
    found = []
    for row in rows:
        detector.update(float(losses[row]))
        if detector.drift_detected:
            found.append(row)
    return found

"""Calibration: whether a model that says 80 % is right 8 times in 10. Pure, numpy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
BINS = 15  # as Guo et al. 2017, On Calibration of Modern Neural Networks, section 2


def reliability(probabilities: Floats, truth: Ints, *, bins: int = BINS) -> list[dict[str, float]]:
    """Return, for each equal-width bin of confidence that has rows: its share of the rows, mean
    confidence and accuracy."""
    confidence, right = (
        probabilities.max(axis=1).astype(np.float64),
        probabilities.argmax(axis=1) == truth,
    )
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for number in np.unique(place):
        inside = place == number
        rows.append(
            {
                "share": float(inside.mean()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    return rows


def error(probabilities: Floats, truth: Ints, *, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean gap between confidence and accuracy, weighted
    by the bins' rows.

    >>> error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]))  # says 90 %, is right in 50 %
    0.4
    """
    return float(
        sum(
            row["share"] * abs(row["confidence"] - row["accuracy"])
            for row in reliability(probabilities, truth, bins=bins)
        )
    )

"""How far a share or a mean loss may truly be from what was counted. Pure, numpy only."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def of_losses(losses: NDArray[Any], *, confidence: float) -> float:
    """Return the one-sided upper bound of the mean of losses in [0, 1].

    Of losses that are 0 or 1 it is exact; of others it is Hoeffding's (1963, theorem 1), which holds for any.
    """
    total = len(losses)
    if np.isin(losses, (0.0, 1.0)).all():
        return upper_bound(int(losses.sum()), total, confidence=confidence)
    return min(1.0, float(losses.mean()) + math.sqrt(-math.log(1 - confidence) / (2 * total)))


def upper_bound(count: int, total: int, *, confidence: float) -> float:
    """Return the one-sided exact upper bound of a share (Clopper & Pearson 1934): above it, a count this small would be
    rarer than 1 - confidence."""
    if count >= total:
        return 1.0
    k = np.arange(count + 1)
    choose = np.array([math.lgamma(total + 1) - math.lgamma(i + 1) - math.lgamma(total - i + 1) for i in k])
    low, high = count / total, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        tail = np.exp(choose + k * math.log(middle) + (total - k) * math.log1p(-middle)).sum()
        low, high = (middle, high) if tail > 1 - confidence else (low, middle)
    return high

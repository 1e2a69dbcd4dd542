"""How far a share or a mean loss may truly be from what was counted. Pure, numpy only."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def of_losses(losses: NDArray[Any], *, confidence: float) -> float:
    """Return the one-sided upper bound of the mean of losses in [0, 1]: exact where each is 0 or 1,
    else of any."""
    total = len(losses)
    if np.isin(losses, (0.0, 1.0)).all():
        return upper_bound(int(losses.sum()), total, confidence=confidence)
    return of_mean(float(losses.sum()), total, confidence=confidence)


def of_mean(lost: float, total: int, *, confidence: float) -> float:
    """Return the one-sided upper bound of the mean of any losses in [0, 1], of which the sum is
    known.

    Hoeffding's (1963, inequality 2.1): were the mean q, one this small would be rarer than
    exp(-total kl(mean, q)). Near 0 and 1 it is much closer than his theorem 2, which has the
    squared distance there.
    """
    mean = min(1.0, lost / total)
    allowed = -math.log(1 - confidence) / total
    low, high = mean, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(mean, middle) < allowed else (low, middle)
    return high


def _divergence(mean: float, other: float) -> float:
    """Return the divergence of a coin of one mean from that of another."""
    found = mean * math.log(mean / other) if mean > 0 else 0.0
    if mean < 1:
        found += (1 - mean) * math.log((1 - mean) / (1 - other)) if other < 1 else math.inf
    return found


def upper_bound(count: int, total: int, *, confidence: float) -> float:
    """Return the one-sided exact upper bound of a share (Clopper & Pearson 1934): above it, a count
    this small would be rarer than 1 - confidence."""
    if count >= total:
        return 1.0
    k = np.arange(count + 1)
    choose = np.array(
        [math.lgamma(total + 1) - math.lgamma(i + 1) - math.lgamma(total - i + 1) for i in k]
    )
    low, high = count / total, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        tail = np.exp(choose + k * math.log(middle) + (total - k) * math.log1p(-middle)).sum()
        low, high = (middle, high) if tail > 1 - confidence else (low, middle)
    return high

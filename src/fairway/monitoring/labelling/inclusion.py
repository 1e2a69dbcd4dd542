"""How likely each request is to be drawn for a label, and the draw. Pure.

Poisson sampling: each request is drawn or not by itself, with a probability that is known and never
0 (Hájek 1964; Särndal, Swensson and Wretman 1992, section 3.5), as active inference wants it (Zrnic
and Candès 2024, section 3). The number drawn differs from the number wanted by chance.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EVEN = 0.5  # of the draw that no score moves: a label weighs at most twice an even draw's
SMALLEST = 1e-12


def probabilities(scores: Array, *, count: int) -> Array:
    """Return how likely each request is to be drawn, of which `count` are expected: half of it alike
    for all, half in proportion to the scores, 1 at most.

    Scores that are all 0 draw evenly.
    """
    requests = len(scores)
    if count >= requests:
        return np.ones(requests)
    total = float(scores.sum())
    even = np.full(requests, 1 / requests)
    shares = even if total <= 0 else EVEN * even + (1 - EVEN) * scores / total
    sure = np.zeros(requests, dtype=bool)
    while True:
        scale = (count - int(sure.sum())) / float(shares[~sure].sum())
        found = np.where(sure, 1.0, scale * shares)
        more = (found >= 1) & ~sure
        if not more.any():
            return found
        sure |= more


def drawn(probability: Array, *, seed: int | Sequence[int]) -> NDArray[np.int64]:
    """Return the places of the requests that are drawn, in an order that says nothing: labels of the
    first so many are a draw too."""
    rng = np.random.default_rng(seed)
    return rng.permutation(np.flatnonzero(rng.random(len(probability)) < probability))


def importance(expected: Array) -> Array:
    """Return the largest deviation that a loss from 0 to 1 with this mean can have (of a class that is
    right or wrong: the deviation), in proportion to which labels are worth most (Zrnic and Candès
    2024, section 3)."""
    known = expected.clip(0, 1)
    deviations: Array = np.sqrt(known * (1 - known))
    return deviations

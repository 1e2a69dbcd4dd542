"""Evidence that grows while windows go on surprising, and of which the false alarms are counted in
advance.

The rank of a window's score among those of the reference is a conformal p-value (Vovk, Gammerman
and Shafer 2005, section 2.2). The calibrator that mixes k p^(k-1) over k makes an e-value of it
(Vovk and Wang 2021, section 2), and e-values of successive windows make a Shiryaev-Roberts
e-detector (Shin, Ramdas and Rinaldo 2024, section 2):

    R <- (R + spend) * e

Without a change R exceeds what was spent by nothing on average, so a stream reaches 1 at most as
often as was spent on it: the budget of a month is spent as the month goes by, over the streams as
over time, whatever depends on what. The sum of the streams' evidence obeys the same bound.

Calibration grows with what is served, late: a window joins once it is `DELAY` windows old, so that
a shift is found before it is taken for usual.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DELAY = 50  # windows before one joins those that the next are ranked among
MOST = 1_000  # scores of one stream that are kept, and
MOST_OF_ALL = 200_000  # of all streams of one scale: memory is bounded whatever is watched
IDLE = 10.0  # times what one window spends: evidence below is chance's
LEAST = 0.5  # of an e-value: what it tends to where a window is the least surprising


def e_value(p: float) -> float:
    """Return the e-value of a p-value: of a uniform p its mean is 1."""
    if p > 1 - 1e-6:
        return LEAST
    log = math.log(p)
    return (1 - p + p * log) / (p * log * log)


def e_values(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the e-value of each p-value, as `e_value` does."""
    log = np.log(np.minimum(p, 1 - 1e-6))
    return np.where(p > 1 - 1e-6, LEAST, (1 - p + p * log) / (p * log * log))


def kept(streams: int) -> int:
    """Return how many scores of each stream are kept, where there are so many streams."""
    return max(min(MOST, MOST_OF_ALL // max(streams, 1)), 1)


class EDetector:
    """The evidence of the streams of one scale. `weights` say how the budget is shared among them;
    their sum is this scale's part of the deployment's budget.
    """

    def __init__(self, calibration: NDArray[np.float64], *, weights: Sequence[float]) -> None:
        self.weights = list(weights)
        self.values = [0.0] * len(weights)
        self.began: list[float | None] = [None] * len(weights)  # since when it has not been idle
        self._limit = kept(len(weights))
        self._sorted = [sorted(column[-self._limit :]) for column in calibration.T.tolist()] or [
            [] for _ in weights
        ]
        self._waiting: list[list[float]] = []
        self.joined = 0  # windows, since the reference

    @property
    def total(self) -> float:
        return math.fsum(self.values)

    @property
    def windows(self) -> int:
        """Return among how many windows the next is ranked."""
        return min((len(scores) for scores in self._sorted), default=0)

    def look(self, scores: Sequence[float], *, spend: float, at: float) -> None:
        """Take in one window, where `spend` (false tickets) of the budget has become due."""
        for place, score in enumerate(scores):
            known = self._sorted[place]
            ahead = len(known) - bisect_left(known, score)
            before = self.values[place]
            self.values[place] = (before + spend * self.weights[place]) * e_value(
                (1 + ahead) / (1 + len(known))
            )
            idle = self.values[place] <= IDLE * spend * self.weights[place]
            self.began[place] = None if idle else self.began[place] or at
        self._waiting.append(list(scores))
        if len(self._waiting) > DELAY:
            self._join(self._waiting.pop(0))

    def bound(self, most: float) -> None:
        """Keep the evidence of each stream at most so high."""
        self.values = [min(value, most) for value in self.values]

    def restart(self) -> None:
        """Begin anew after a ticket: what was spent on it is gone."""
        self.values = [0.0] * len(self.values)
        self.began = [None] * len(self.values)

    def dump(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return {
            "values": self.values,
            "began": self.began,
            "joined": self.joined,
            "waiting": [[_short(value) for value in scores] for scores in self._waiting],
        }

    def usual(self) -> list[list[float]]:
        """Return the scores that the next window is ranked among, by stream."""
        return [[_short(value) for value in scores] for scores in self._sorted]

    def restore(self, state: Mapping[str, Any], *, usual: Sequence[Sequence[float]]) -> None:
        """Go on from what `dump` and `usual` gave; raises ValueError where they are another's."""
        if len(state["values"]) != len(self.values) or len(usual) != len(self.values):
            raise ValueError(
                f"the state has {len(state['values'])} streams: wanted {len(self.values)}"
            )
        self.values, self.began = list(state["values"]), list(state["began"])
        self.joined = int(state["joined"])
        self._sorted = [sorted(scores) for scores in usual]
        self._waiting = [list(scores) for scores in state["waiting"]]

    def _join(self, scores: Sequence[float]) -> None:
        self.joined += 1
        for place, score in enumerate(scores):
            if len(self._sorted[place]) < self._limit:
                insort(self._sorted[place], score)


def _short(value: float) -> float:
    return float(f"{value:.7g}")

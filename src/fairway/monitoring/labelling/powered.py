"""The mean loss of requests of which some were drawn and labelled, by the labels alone and with the
model's own estimate of each loss; an interval for both. Pure.

With L the loss, F the model's estimate of it, and each label weighing one by its probability:

    mean of all F times lambda + weighted mean of (L - lambda F) over the labels

(prediction-powered inference: Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023; with inclusion
probabilities: Zrnic and Candès 2024, section 3). Lambda makes its variance smallest (PPI++:
Angelopoulos, Duchi and Zrnic 2023, section 6), so that an F that says nothing is not used, whatever it
says. Weighted means are by the sum of the weights (Hájek 1971): how many were drawn by chance cancels.

Only the draw is random: the requests may hang together as they like, and the mean is theirs, not that
of others to come. Intervals are Wilson's (1927), with the number of labels that the variance is worth.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
LEVEL = 0.95
LEAST = 10  # labels: fewer tell nothing
# losses of 1, or as many smaller ones as weigh the same: below it the variance is not known, nor what
# the model's estimate is worth (with 5 of them 89 to 92 % of such intervals hold the mean)
FEW = 10
TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class LabelledRequests:
    """Requests that were drawn and whose label came; an entry each."""

    lost: Array  # the sum of the losses of its rows, each from 0 to 1
    rows: Array
    expected: Array  # the same sum, as the model estimates it
    probability: Array  # of being drawn


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean loss a row, and its interval at 95 %."""

    value: float
    low: float
    high: float

    def beside(self, *, lost: float, rows: float, of: float) -> "Estimate":
        """Return the mean of these `of` rows and of others, whose loss is known."""
        total = of + rows
        return Estimate(
            value=(self.value * of + lost) / total,
            low=(self.low * of + lost) / total,
            high=(self.high * of + lost) / total,
        )


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """The mean loss by the labels alone, and with the model's own estimate."""

    labels: Estimate
    powered: Estimate
    tuning: float  # lambda; 0 where the model's estimate is not used
    few: bool  # too few losses to use it


@dataclass(frozen=True, kw_only=True)
class _Weighed:
    """Labels, the weight of each, and what its square adds to the variance of a weighted sum."""

    known: LabelledRequests
    weight: Array
    squared: Array
    left: float  # share of the requests that were not labelled

    @property
    def total(self) -> float:
        return float(self.weight @ self.known.rows)

    def mean(self, values: Array) -> float:
        return float(self.weight @ values) / self.total

    def apart(self, values: Array) -> Array:
        return values - self.known.rows * self.mean(values)

    def variance(self, apart: Array, *, free: int) -> float:
        """Return the variance of the mean whose residuals these are, by Taylor's linearisation
        (Särndal, Swensson and Wretman 1992, section 5.6)."""
        found = float(self.squared @ apart**2) / self.total**2
        return found * len(apart) / free


def estimate(
    known: LabelledRequests, *, drawn: int, requests: int, rows: float, expected: float
) -> Estimates | None:
    """Return both estimates of the mean loss of all `rows`, of which the model expects `expected` to
    be lost; None of fewer than `LEAST` labels.

    Of those `drawn`, the ones without a label yet are thought to be like the others.
    """
    labels = len(known.lost)
    if labels < LEAST:
        return None
    share = known.probability * labels / drawn
    weighed = _Weighed(
        known=known, weight=1 / share, squared=(1 - share) / share**2, left=1 - labels / requests
    )
    apart = weighed.apart(known.lost)
    value = weighed.mean(known.lost)
    spread = weighed.variance(apart, free=labels - 1)
    few = _worth(weighed.weight * known.lost) < FEW
    tuning = 0.0 if few else _tuning(weighed, apart)
    powered, narrowed = value, spread
    if tuning:
        rest = apart - tuning * weighed.apart(known.expected)
        powered = value + tuning * (expected / rows - weighed.mean(known.expected))
        narrowed = weighed.variance(rest, free=labels - 2)
    return Estimates(
        labels=_interval(value, spread, weighed, few=few, free=labels - 1),
        powered=_interval(powered, narrowed, weighed, few=few, free=labels - 1 - bool(tuning)),
        tuning=tuning,
        few=few,
    )


def _tuning(weighed: _Weighed, apart: Array) -> float:
    """Return how much of the model's estimate to use: the slope of the losses by it."""
    own = weighed.apart(weighed.known.expected)
    spread = float(weighed.squared @ own**2)
    return float(weighed.squared @ (apart * own)) / spread if spread > TINY else 0.0


def _worth(parts: Array) -> float:
    """Return how many equal parts scatter as these do (Kish 1965, section 11.7)."""
    squares = float(parts @ parts)
    return float(parts.sum()) ** 2 / squares if squares > 0 else 0.0


def _interval(
    value: float, variance: float, weighed: _Weighed, *, few: bool, free: int
) -> Estimate:
    """Return the interval of as many labels as the variance is worth; where losses are few, of as many
    as there would be if each weighed as much as the heaviest."""
    value = min(max(value, 0.0), 1.0)
    if weighed.left <= 0:
        return Estimate(value=value, low=value, high=value)
    largest = value * (1 - value)
    if few or variance <= TINY or largest <= 0:
        heaviest = float((weighed.weight * weighed.known.rows).max())
        worth = weighed.total / heaviest / weighed.left
    else:
        worth = largest / variance
    quantile = float(special.stdtrit(free, (1 + LEVEL) / 2))
    squared = quantile**2 / worth
    middle = (value + squared / 2) / (1 + squared)
    half = np.sqrt(squared * largest + squared**2 / 4) / (1 + squared)
    return Estimate(
        value=value,
        low=min(value, max(0.0, float(middle - half))),
        high=max(value, min(1.0, float(middle + half))),
    )

"""What every detector answers: whether a window drifted, by which features, and how far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fairway.model.kinds.base import Test
from fairway.model.schema import RESERVED
from fairway.packaging import golden

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
ANSWERS = golden.ANSWERS  # the key of the answers beside the features


def is_feature(name: str) -> bool:
    """Say whether an array of a reference is a feature's, and none of fairway's own."""
    return name not in RESERVED


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """One feature's test.

    `effect` is how far it moved, whatever the number of rows: for numbers the difference of the
    means in pooled standard deviations (signed), for categories the share of rows that changed
    category (total variation, 0 to 1), for missing values and probabilities the difference of the
    shares and of the means.
    """

    name: str  # of the feature; image[0,3,4] for one pixel, probability[cat] for one class
    kind: Test
    p_value: float  # of this test alone
    effect: float
    # Kolmogorov-Smirnov distance, chi squared, or the odds ratio for missing values
    statistic: float
    drifted: bool  # after the correction for all tests of the window


@dataclass(frozen=True, kw_only=True)
class DriftResult:
    """The verdict over one window; `p_value` is corrected for the number of tests, to be compared
    with `threshold` as it is."""

    drifted: bool
    p_value: float
    threshold: float
    features: tuple[FeatureDrift, ...]  # the most surprising first

    @property
    def moved(self) -> tuple[FeatureDrift, ...]:
        return tuple(feature for feature in self.features if feature.drifted)


class Detector(Protocol):
    """Compares a window with a reference, both arrays of rows by feature name."""

    def check(self, reference: Arrays, window: Arrays) -> DriftResult:
        """Return the verdict; the same arrays give the same verdict."""
        ...


def threshold_of_one(p_value: float, *, tests: int) -> float:
    """Return Bonferroni's threshold of one test: the chance of any false alarm in the window stays
    under `p_value`."""
    return p_value / max(tests, 1)


def effect_of_numbers(reference: npt.NDArray[Any], window: npt.NDArray[Any]) -> float:
    """Return the difference of the means in pooled standard deviations (Cohen 1988, section 2.2): a
    reference that hardly varies does not make every change look enormous. Where neither varies, of
    both together: a constant that moved is no zero."""
    spread = float(np.sqrt((np.var(reference) + np.var(window)) / 2)) or float(
        np.std(np.concatenate([reference, window]))
    )
    return float((np.mean(window) - np.mean(reference)) / spread) if spread else 0.0


def effect_of_counts(reference: npt.NDArray[Any], window: npt.NDArray[Any]) -> float:
    """Return the total variation distance of two tables of counts."""
    return float(
        np.abs(reference / max(reference.sum(), 1) - window / max(window.sum(), 1)).sum() / 2
    )

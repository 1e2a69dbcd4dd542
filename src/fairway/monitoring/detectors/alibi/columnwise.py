"""One test for each column: Kolmogorov-Smirnov, Cramer-von Mises, chi-squared, Fisher's exact test."""

import numpy as np

from fairway.model.schema import Schema
from fairway.monitoring.detectors import base, univariate
from fairway.monitoring.detectors.alibi import library
from fairway.monitoring.detectors.base import Array


class AlibiDetector(univariate.UnivariateDetector):
    """Alibi Detect's univariate detectors."""

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        super().__init__(p_value=p_value, schema=schema)
        # now: the import takes some ten seconds, which the first window should not wait for
        library.load()

    def check(self, reference: base.Arrays, window: base.Arrays) -> base.DriftResult:
        with library.steady():
            return super().check(reference, window)

    def numbers(self, reference: Array, window: Array) -> tuple[Array, Array]:
        p_values, statistics = library.load().KSDrift(reference, p_val=0.05).score(window)
        return p_values, statistics

    def categories(self, reference: Array, window: Array) -> tuple[Array, Array]:
        p_values, statistics = library.load().ChiSquareDrift(reference, p_val=0.05).score(window)
        return p_values, statistics


class CramerVonMises(AlibiDetector):
    """Cramer-von Mises for numbers: it sees the middle of a distribution better than its edges."""

    def numbers(self, reference: Array, window: Array) -> tuple[Array, Array]:
        one, other = _untied(reference, window)
        p_values, statistics = library.load().CVMDrift(one, p_val=0.05).score(other)
        return p_values, statistics


class Fisher(AlibiDetector):
    """Fisher's exact test for columns of two values, which the chi-squared test only approximates."""

    def categories(self, reference: Array, window: Array) -> tuple[Array, Array]:
        both = [
            self._two(reference[:, place], window[:, place])
            if len(np.unique(np.concatenate([reference[:, place], window[:, place]]))) == 2
            else super(Fisher, self).categories(reference[:, [place]], window[:, [place]])
            for place in range(reference.shape[1])
        ]
        return (
            np.concatenate([p_values for p_values, _ in both]),
            np.concatenate([statistics for _, statistics in both]),
        )

    def _two(self, reference: Array, window: Array) -> tuple[Array, Array]:
        second = max(reference.max(), window.max())
        one, other = (
            (side == second).astype(np.int64).reshape(-1, 1) for side in (reference, window)
        )
        detector = library.load().FETDrift(one, p_val=0.05, alternative="two-sided")
        p_values, statistics = detector.score(other)
        return p_values, np.nan_to_num(statistics, nan=0.0, posinf=0.0)


def _untied(reference: Array, window: Array) -> tuple[Array, Array]:
    """Return the ranks of each column's values in both together, equal ones in a seeded order: the
    test's p-value is of values that differ, and of 0/1 columns was 0 without a shift."""
    rows = np.concatenate([reference, window])
    order = np.random.default_rng(library.SEED).random(rows.shape)
    ranks = np.empty(rows.shape)
    for place in range(rows.shape[1]):
        by_value = np.lexsort((order[:, place], rows[:, place]))
        ranks[by_value, place] = np.arange(len(rows))
    return ranks[: len(reference)], ranks[len(reference) :]


DETECTOR = AlibiDetector

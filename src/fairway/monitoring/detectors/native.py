"""The engine of our own: the same univariate tests by scipy, for those who have no licence for
Alibi Detect.

It starts at once and needs neither torch nor alibi-detect.
"""

import numpy as np
from scipy import stats

from fairway.monitoring.detectors import univariate
from fairway.monitoring.detectors.base import Array


class NativeDetector(univariate.UnivariateDetector):
    """Kolmogorov-Smirnov and chi-squared tests of scipy."""

    def numbers(self, reference: Array, window: Array) -> tuple[Array, Array]:
        tests = stats.ks_2samp(reference, window, axis=0, method="asymp")
        return np.asarray(tests.pvalue), np.asarray(tests.statistic)

    def categories(self, reference: Array, window: Array) -> tuple[Array, Array]:
        tests = [
            stats.chi2_contingency(_counts(reference[:, i], window[:, i]))
            for i in range(reference.shape[1])
        ]
        return np.array([test.pvalue for test in tests]), np.array(
            [test.statistic for test in tests]
        )


def _counts(reference: Array, window: Array) -> Array:
    """Return how often each code is in either window, of the codes that are in one of them."""
    codes = np.unique(np.concatenate([reference, window]))
    return np.array([[(side == code).sum() for code in codes] for side in (reference, window)])


DETECTOR = NativeDetector

"""Alibi Detect as the engine: the one place that imports it.

Its Kolmogorov-Smirnov and chi-squared detectors are used feature by feature. Alibi Detect 0.13 is
under the Business Source License 1.1.
"""

import warnings
from typing import Any

import numpy as np

from fairway import errors
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base, univariate
from fairway.monitoring.detectors.base import Array

SEED = 0


class AlibiDetector(univariate.UnivariateDetector):
    """Alibi Detect's univariate detectors."""

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        super().__init__(p_value=p_value, schema=schema)
        # now: the import takes some ten seconds, which the first window should not wait for
        _engine()

    def check(self, reference: base.Arrays, window: base.Arrays) -> base.DriftResult:
        np.random.seed(SEED)  # the generator that the library would draw from
        return super().check(reference, window)

    def numbers(self, reference: Array, window: Array) -> tuple[Array, Array]:
        p_values, statistics = _engine().KSDrift(reference, p_val=0.05).score(window)
        return p_values, statistics

    def categories(self, reference: Array, window: Array) -> tuple[Array, Array]:
        p_values, statistics = _engine().ChiSquareDrift(reference, p_val=0.05).score(window)
        return p_values, statistics


def _engine() -> Any:
    """Return `alibi_detect.cd`, imported once, on one thread, without the warnings of the libraries
    below it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torch
            from alibi_detect import cd
        except ImportError as error:
            raise errors.PlatformError(
                f"drift detection needs alibi-detect ({error}): install fairway[drift]"
            ) from error
    # two threads on small matrices are slower, and some of its routines then hang
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    return cd


DETECTOR = AlibiDetector

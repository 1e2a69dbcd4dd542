"""Alibi Detect as the engine: the one place that imports it.

Its Kolmogorov-Smirnov and chi-squared detectors are used feature by feature, made safe around: a NaN would silence
its test, so missing values are left out and their share has an exact test of its own; columns that never vary are
left out; all tests of a window share one Bonferroni correction. Alibi Detect 0.13 is under the Business Source
License 1.1.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fairway import errors
from fairway.model import kinds
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base, columns

Array = npt.NDArray[Any]
SEED = 0


class UnivariateDetector:
    """One test per feature, pixel and predicted probability: Kolmogorov-Smirnov for numbers, chi-squared for
    categories."""

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        self._p_value = p_value
        self._schema = schema
        _engine()  # now: the import takes some ten seconds, which the first window should not wait for

    def check(self, reference: base.Arrays, window: base.Arrays) -> base.DriftResult:
        np.random.seed(SEED)  # the generator that the library would draw from
        tested = columns.columns(reference, window, schema=self._schema)
        limit = base.threshold_of_one(self._p_value, tests=len(tested))
        features = sorted(_features(tested, limit=limit), key=lambda feature: feature.p_value)
        smallest = min((feature.p_value for feature in features), default=1.0)
        return base.DriftResult(
            drifted=smallest < limit,
            p_value=min(1.0, smallest * max(len(tested), 1)),
            threshold=self._p_value,
            features=tuple(features),
        )


def _features(tested: Sequence[kinds.Compared], *, limit: float) -> Iterator[base.FeatureDrift]:
    numbers = [column for column in tested if column.kind in ("number", "probability")]
    categories = [column for column in tested if column.kind == "category"]
    results = [
        *_together(numbers, test=_kolmogorov_smirnov),
        *_together(categories, test=_chi_squared),
        *((column, *_fisher(column)) for column in tested if column.kind == "missing"),
    ]
    for column, p_value, statistic in results:
        if not (np.isfinite(p_value) and np.isfinite(statistic)):
            raise errors.DataError(
                f"the test of {column.name} gave p {p_value} and the statistic {statistic}: wanted numbers"
            )
        yield base.FeatureDrift(
            name=column.name,
            kind=column.kind,
            p_value=p_value,
            effect=_effect(column),
            statistic=statistic,
            drifted=p_value < limit,
        )


def _together(
    tested: Sequence[kinds.Compared], *, test: Callable[[Array, Array], tuple[Array, Array]]
) -> Iterator[tuple[kinds.Compared, float, float]]:
    """Test the columns of one length in one call; those that lack rows have other lengths and go by themselves."""
    groups: dict[tuple[int, int], list[kinds.Compared]] = {}
    for column in tested:
        groups.setdefault((len(column.reference), len(column.window)), []).append(column)
    for group in groups.values():
        p_values, statistics = test(_matrix(c.reference for c in group), _matrix(c.window for c in group))
        for column, p_value, statistic in zip(group, p_values, statistics, strict=True):
            yield column, float(p_value), float(statistic)


def _matrix(values: Iterator[Array]) -> Array:
    return np.stack(list(values), axis=1)


def _kolmogorov_smirnov(reference: Array, window: Array) -> tuple[Array, Array]:
    detector = _engine().KSDrift(reference, p_val=0.05)
    p_values, statistics = detector.score(window)
    return p_values, statistics


def _chi_squared(reference: Array, window: Array) -> tuple[Array, Array]:
    detector = _engine().ChiSquareDrift(reference, p_val=0.05)
    p_values, statistics = detector.score(window)
    return p_values, statistics


def _fisher(column: kinds.Compared) -> tuple[float, float]:
    """Return the exact p-value that both windows lack values equally often, and the odds ratio (0 where it is not
    finite)."""
    from scipy import stats

    lost, losing = int(column.reference.sum()), int(column.window.sum())
    table = [[lost, len(column.reference) - lost], [losing, len(column.window) - losing]]
    odds, p_value = stats.fisher_exact(table)
    return float(p_value), float(odds) if np.isfinite(odds) else 0.0


def _effect(column: kinds.Compared) -> float:
    if column.kind == "category":
        size = int(max(column.reference.max(), column.window.max())) + 1
        return base.effect_of_counts(
            np.bincount(column.reference, minlength=size), np.bincount(column.window, minlength=size)
        )
    if column.kind == "number":
        return base.effect_of_numbers(column.reference, column.window)
    return float(column.window.mean() - column.reference.mean())


def _engine() -> Any:
    """Return `alibi_detect.cd`, imported once, on one thread, without the warnings of the libraries below it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torch
            from alibi_detect import cd
        except ImportError as error:
            raise errors.PlatformError(
                f"drift detection needs alibi-detect ({error}): install fairway[drift]"
            ) from error
    torch.set_num_threads(1)  # two threads on small matrices are slower, and some of its routines then hang
    torch.manual_seed(SEED)
    return cd

"""One test for each column of features and answers, made safe around: what every engine of such
tests shares.

A NaN would silence its test, so missing values are left out and their share has an exact test of
its own; columns that never vary are left out; all tests of a window share one Bonferroni
correction.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from fairway import errors
from fairway.model import kinds
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base, columns
from fairway.monitoring.detectors.base import Array


class UnivariateDetector(ABC):
    """Kolmogorov-Smirnov for numbers and probabilities, chi-squared for categories, Fisher's exact
    test for missing values."""

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        self._p_value = p_value
        self._schema = schema

    def check(self, reference: base.Arrays, window: base.Arrays) -> base.DriftResult:
        """Return the verdict over the window; raises DataError where a test gives no number."""
        tested = columns.columns(reference, window, schema=self._schema)
        limit = base.threshold_of_one(self._p_value, tests=len(tested))
        features = sorted(self._features(tested, limit=limit), key=lambda feature: feature.p_value)
        smallest = min((feature.p_value for feature in features), default=1.0)
        return base.DriftResult(
            drifted=smallest < limit,
            p_value=min(1.0, smallest * max(len(tested), 1)),
            threshold=self._p_value,
            features=tuple(features),
        )

    @abstractmethod
    def numbers(self, reference: Array, window: Array) -> tuple[Array, Array]:
        """Return p-value and distance of each column [rows, columns]."""

    @abstractmethod
    def categories(self, reference: Array, window: Array) -> tuple[Array, Array]:
        """Return p-value and chi squared of each column of codes [rows, columns]."""

    def _features(
        self, tested: Sequence[kinds.Compared], *, limit: float
    ) -> Iterator[base.FeatureDrift]:
        numbers = [column for column in tested if column.kind in ("number", "probability")]
        categories = [column for column in tested if column.kind == "category"]
        results = [
            *_together(numbers, test=self.numbers),
            *_together(categories, test=self.categories),
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
    """Test the columns of one length in one call; those that lack rows have other lengths and go by
    themselves."""
    groups: dict[tuple[int, int], list[kinds.Compared]] = {}
    for column in tested:
        groups.setdefault((len(column.reference), len(column.window)), []).append(column)
    for group in groups.values():
        before, after = (
            np.stack([getattr(column, side) for column in group], axis=1) for side in SIDES
        )
        p_values, statistics = test(before, after)
        for column, p_value, statistic in zip(group, p_values, statistics, strict=True):
            yield column, float(p_value), float(statistic)


def _fisher(column: kinds.Compared) -> tuple[float, float]:
    """Return the exact p-value that both windows lack values equally often, and the odds ratio (0
    where it is not finite)."""
    lost, losing = int(column.reference.sum()), int(column.window.sum())
    table = [[lost, len(column.reference) - lost], [losing, len(column.window) - losing]]
    odds, p_value = stats.fisher_exact(table)
    return float(p_value), float(odds) if np.isfinite(odds) else 0.0


def _effect(column: kinds.Compared) -> float:
    if column.kind == "category":
        size = int(max(column.reference.max(), column.window.max())) + 1
        return base.effect_of_counts(
            np.bincount(column.reference, minlength=size),
            np.bincount(column.window, minlength=size),
        )
    if column.kind == "number":
        return base.effect_of_numbers(column.reference, column.window)
    return float(column.window.mean() - column.reference.mean())


SIDES = ("reference", "window")

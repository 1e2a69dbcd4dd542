"""One test of all columns together, made safe around: what every detector of that sort shares.

Columns become bounded numbers, missing values with a number of their own (`drift.measures`), so that
neither NaN nor one enormous value decides; rows are thinned evenly, for these tests take time with
their square. They take rows for independent, which those of a log are not.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base, mmd
from fairway.monitoring.drift.measures import TOGETHER, Measures

Rows = NDArray[np.float64]
LEAST_ROWS = 20
PERMUTATIONS = 199
SEED = 0


class TogetherDetector(ABC):
    """A test of two samples of rows."""

    most_rows: ClassVar[int] = 2_000  # of each side
    name: ClassVar[str] = TOGETHER  # of what moved

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        self._p_value, self._schema = p_value, schema

    def check(self, reference: base.Arrays, window: base.Arrays) -> base.DriftResult:
        """Return the verdict over the window; raises DataError for fewer than 20 rows."""
        measured = Measures(reference, schema=self._schema)
        one = thinned(measured.standardised(reference, own=True), most=self.most_rows)
        other = thinned(measured.standardised(window), most=self.most_rows)
        if not np.concatenate([one, other]).any(axis=None):  # nothing varies, and nothing moved
            return self._result(1.0, 0.0)
        return self._result(*self.test(one, other))

    @abstractmethod
    def test(self, reference: Rows, window: Rows) -> tuple[float, float]:
        """Return p-value and statistic of two samples [rows, numbers] without missing values."""

    def _result(self, p_value: float, statistic: float) -> base.DriftResult:
        if not (np.isfinite(p_value) and np.isfinite(statistic)):
            raise errors.DataError(
                f"the test of all columns gave p {p_value} and the statistic {statistic}: wanted numbers"
            )
        feature = base.FeatureDrift(
            name=self.name,
            kind="number",
            p_value=p_value,
            effect=statistic,
            statistic=statistic,
            drifted=p_value < self._p_value,
        )
        return base.DriftResult(
            drifted=feature.drifted,
            p_value=p_value,
            threshold=self._p_value,
            features=(feature,),
        )


class NativeMmd(TogetherDetector):
    """The maximum mean discrepancy by one matrix product, see `mmd`."""

    def test(self, reference: Rows, window: Rows) -> tuple[float, float]:
        found = mmd.compare(reference, window, permutations=PERMUTATIONS, seed=SEED)
        return found.p_value, found.squared


def thinned(rows: Rows, *, most: int) -> Rows:
    """Return `most` of the rows at even distances; raises DataError for fewer than 20 rows."""
    if len(rows) < LEAST_ROWS:
        raise errors.DataError(
            f"{len(rows)} rows are too few to be tested together: wanted at least {LEAST_ROWS}"
        )
    kept = np.linspace(0, len(rows) - 1, num=min(len(rows), most)).round().astype(np.int64)
    return rows[kept]

"""The `evaluation` section: what is measured, and what the gate wants of it."""

import itertools
from typing import Annotated

from pydantic import AfterValidator, Field

from fairway.config.sections.base import Fraction, Section


class Gate(Section):
    """What a challenger must show before it is packaged."""

    FORMER = {  # noqa: RUF012 - a constant
        "minAccuracy": "threshold",
        "maxAccuracyDrop": "maxDrop",
        "minSliceAccuracy": "sliceThreshold",
    }

    threshold: float | None = None
    """What the primary metric must reach: at least this where higher is better, at most this where
    lower is; none by default, since only you know it."""
    max_calibration_error: Fraction | None = 0.15
    """Above 15 % the confidence is of no use to the reader of a prediction."""
    beat_zero_rule: bool = True
    """A model no better than the most frequent class is broken."""
    max_drop: Fraction = 0.01
    """How much worse than the model in service the primary metric may be, in points of a share
    (accuracy) and as a share of any other (RMSE); a point is within the noise of most test sets."""
    worst_drop: Fraction = 0.03
    """What the primary metric of a challenger that is let through may be worse by, surely (95 %). One
    that may be worse than this but is not surely worse (90 %) is undecided: the rows are too few, and
    its shadow and canary decide."""
    better: bool = False
    """On: a challenger must be better than the model in service on the test rows, whatever `maxDrop`
    and `maxCalibrationError` say. Runs that retraining begins set it, where the test rows are the
    newest labelled ones; a run begun by hand may have other reasons than a better figure."""
    slice_threshold: float | None = None
    """What every slice with enough rows must reach in the primary metric; none by default."""


def _in_order(levels: tuple[float, ...]) -> tuple[float, ...]:
    wanted = (
        "wanted shares between 0 and 1, each once and the smallest first, such as [0.1, 0.5, 0.9]"
    )
    wrong = [level for level in levels if not 0 < level < 1]
    if wrong:
        raise ValueError(f"{wrong[0]:g} is no quantile: {wanted}")
    for one, other in itertools.pairwise(levels):
        if one >= other:
            said = "is there twice" if one == other else f"comes after {one:g}"
            raise ValueError(f"{other:g} {said}: {wanted}")
    return levels


class Evaluation(Section):
    """What is measured on the test split."""

    metric: str | None = None
    """The primary metric, which gates and orders slices: the task's first by default (accuracy,
    RMSE). Of rare classes `average_precision` or `balanced_accuracy` say more, and `fairway init`
    then writes one."""
    quantiles: Annotated[tuple[float, ...], AfterValidator(_in_order)] = ()
    """Of a regression: the quantiles whose pinball loss is measured, such as `[0.1, 0.5, 0.9]`: each
    is the answer shifted by that quantile of the validation rows' errors. They are not served."""
    slices: tuple[str, ...] = ()
    """Columns whose values are judged apart; categories with few values by default."""
    min_slice_rows: Annotated[int, Field(ge=1)] = 30
    """Smaller slices are shown but not judged: their accuracy is noise."""
    gate: Gate = Gate()

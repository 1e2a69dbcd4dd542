"""The `evaluation` section: what is measured, and what the gate wants of it."""

from typing import Annotated

from pydantic import (
    Field,
)

from fairway.config.sections.base import Fraction, Section


class Gate(Section):
    """What a challenger must show before it is packaged."""

    min_accuracy: Fraction | None = None
    """An absolute floor; none by default, since only you know it."""
    max_calibration_error: Fraction | None = 0.15
    """Above 15 % the confidence is of no use to the reader of a prediction."""
    beat_zero_rule: bool = True
    """A model no better than the most frequent class is broken."""
    max_accuracy_drop: Fraction = 0.01
    """How much worse than the model in service it may be; a point is within the noise of most test sets."""
    min_slice_accuracy: Fraction | None = None
    """A floor for every slice with enough rows; none by default."""


class Evaluation(Section):
    """What is measured on the test split."""

    slices: tuple[str, ...] = ()
    """Columns whose values are judged apart; categories with few values by default."""
    min_slice_rows: Annotated[int, Field(ge=1)] = 30
    """Smaller slices are shown but not judged: their accuracy is noise."""
    gate: Gate = Gate()

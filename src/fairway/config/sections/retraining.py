"""The `retraining` section: when a challenger is trained."""

from datetime import timedelta
from typing import Annotated

from pydantic import (
    Field,
)

from fairway.config.sections.base import Duration, Fraction, Section


class Retraining(Section):
    """When a new model is trained, and on what."""

    FORMER = {"maxAccuracyDrop": "maxLossIncrease"}  # noqa: RUF012 - a constant

    enabled: bool = True
    """On: the decision is recorded either way."""
    min_labels: Annotated[int, Field(ge=1)] = 200
    """Labelled predictions before realised loss is judged."""
    max_loss_increase: Fraction = 0.05
    """Rise of the realised mean loss above that of the test split that starts a run; of classes,
    the fall of accuracy."""
    false_starts_per_month: Annotated[float, Field(gt=0, le=10)] = 0.05
    """Runs in 30 days that begin although the loss has not risen by more than `maxLossIncrease`: one
    in twenty months is less than other causes start."""
    on_drift: bool = False
    """Drift alone does not start a run by default: inputs may shift without harm."""
    cool_down: Duration = timedelta(hours=6)
    """Shortest time between two runs."""
    max_new_rows: Annotated[int, Field(ge=1)] = 100_000
    """Newest labelled rows that join the training data."""
    deploy: bool = True
    """A challenger that passes the gate starts its rollout."""

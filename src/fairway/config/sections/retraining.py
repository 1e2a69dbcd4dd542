"""The `retraining` section: when a challenger is trained."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, model_validator

from fairway.config.sections.base import Duration, Fraction, Section, format_duration


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
    cycle: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=1)
    """After which losses repeat: labels of whole cycles, at least 50, are judged together, so that a
    usual noon starts no run. A fall to twice the odds of what is tolerated is told within some
    hundred labels whatever it is. Minutes, where answers of all hours lose alike."""
    on_drift: bool = False
    """Drift alone does not start a run by default: inputs may shift without harm."""
    alerts: Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=16)] = (
        "RealisedQualityBurn",
    )
    """Alerts that start a run when Alertmanager says that they fire; drift alone is none of them."""
    cool_down: Duration = timedelta(hours=6)
    """Shortest time between two runs."""
    most_cool_down: Duration = timedelta(days=28)
    """The cool-down doubles after each run whose challenger was not deployed, up to this: what was
    not better yesterday is hardly better today."""
    refresh: Duration | None = timedelta(days=35)
    """A challenger is trained this long after the last run, or the deployment's first label, though
    no loss has risen: a rise that is slow or tolerated is not told otherwise. It costs a training,
    and is not deployed unless it is better on the newest rows. On `benchmarks.elec` five weeks kept
    what weekly training gains in a fifth of the runs; null for none."""
    most_age: Annotated[Duration, Field(gt=timedelta(0))] | None = None
    """A model that has been in service for longer is told (`StaleModel`), whatever its challengers
    came to. Null: it may grow old as long as challengers are tried; it is told where none was for
    `refresh` and a fifth of it."""
    held_out: Annotated[int, Field(ge=20)] = 336
    """Newest labelled rows that a challenger is compared on with the model in service, and never
    trained on; three in ten of the labelled ones at most. 300 tell a difference of five points where
    two models differ in a fifth of the rows; more make the challenger older."""
    sliding: bool = True
    """New rows take the place of the oldest that a challenger learns from, as many as the source has:
    old rows teach what is no longer so, and on `benchmarks.elec` cost a point. Off: it learns from all
    rows, which is better where nothing changes."""
    max_new_rows: Annotated[int, Field(ge=1)] = 100_000
    """Newest labelled rows that are read, at most: what a machine of 2 GiB holds in memory."""
    deploy: bool = True
    """A challenger that passes the gate starts its rollout."""

    @model_validator(mode="after")
    def _rests_in_order(self) -> "Retraining":
        least = format_duration(self.cool_down)
        if self.most_cool_down < self.cool_down:
            raise ValueError(
                f"mostCoolDown {format_duration(self.most_cool_down)} is shorter than coolDown {least}, "
                "which doubles up to it: wanted it as long at least"
            )
        if self.refresh is not None and self.refresh < self.cool_down:
            raise ValueError(
                f"refresh {format_duration(self.refresh)} is shorter than coolDown {least}, before which "
                "no run begins: wanted it as long at least, or null"
            )
        return self

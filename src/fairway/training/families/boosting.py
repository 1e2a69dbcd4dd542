"""Family `boosting`: gradient-boosted trees (LightGBM; Ke et al. 2017).

It learns from the common preprocessing, as the networks do: the server prepares a request in one
way whatever model stands behind, missing numbers are filled in before, and a scale is nothing to a
tree. Categories come as their index and are split by LightGBM itself, so that a word that training
never saw goes the way of "none of these".
"""

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from fairway.config import sections
from fairway.training.families import base


class BoostingTraining(sections.Training):
    """Gradient-boosted trees (LightGBM), until the validation loss stops falling."""

    TORCH: ClassVar[bool] = False
    BUDGET: ClassVar[str] = "rounds"

    family: Literal["boosting"] = "boosting"
    """The usual first try on rows of a table: little to set, seconds to train."""
    rounds: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Upper bound; early stopping usually ends before."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of each tree that is added; half of LightGBM's own 0.1, which early stopping pays for
    with rounds."""
    leaves: Annotated[int, Field(ge=2, le=131_072)] = 31
    """Leaves of a tree at most; LightGBM's own default."""
    min_leaf_rows: Annotated[int, Field(ge=1)] = 20
    """Rows of a leaf at least; LightGBM's own default. Lower it for a few hundred rows."""
    features: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the features that each tree may use, drawn with the seed; all by default."""
    patience: Annotated[int, Field(ge=1)] = 30
    """Rounds without a better validation loss before it stops; a round is a smaller step than an
    epoch."""

    older_rows: bool = True
    """Where retraining has put old rows aside (`data.sliding`), trees of all rows and trees of the
    newest half are fitted beside those of the newest, and the mean of the three scores answers: what
    lasts, what is usual, what is new (after paired learners: Bach and Maloof 2008). On
    `benchmarks.elec` it gains more than training each week does; it takes three times the time."""

    @property
    def most_epochs(self) -> int:
        return self.rounds


SECTION = BoostingTraining


def unfit(inputs: Collection[str]) -> str | None:
    return base.without_image("boosting", inputs)


def fit(section: BoostingTraining, *, run: base.Run) -> Any:
    from fairway.training import rounds

    return rounds.fit(section, run=run)

"""The `training` section: the family and how it is trained.

Each family has keys of its own: it is a module of `fairway.training.families`, or of an installed
package, found by the entry-point group `fairway.families`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from fairway.config.sections.base import Fraction, Section
from fairway.config.sections.variants import Variants

USUAL_FAMILY = "tabular"  # where `family` is left out


class Augmentation(Section):
    """Label-preserving changes of training images (torchvision)."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees either way; none by default, because not every picture may be turned."""
    translation: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the picture's size either way; none by default."""
    erasing: Fraction = 0.0
    """Probability of blanking a random rectangle; none by default."""


class Training(Section):
    """How a model is fitted; each family has keys of its own besides."""

    family: str = USUAL_FAMILY
    """The module of `fairway.training.families`, or of an installed package, that fits the model:
    `tabular` and `convolutional` are networks, `boosting` is gradient-boosted trees (LightGBM),
    `function` is your own code."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Fixes every draw, of weights, order and augmentation: the same seed gives the same model on
    the same machine."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs the loss by inverse class frequency; it costs calibration, so not by
    default."""
    threads: Annotated[int, Field(ge=0)] = 1
    """CPU threads; 0 leaves the library's choice. One by default: two made small networks up to six
    times slower on a busy machine, never faster."""

    @property
    def most_epochs(self) -> int:
        """Return how many epochs there are at most; 0 where nobody knows."""
        return 0

    @classmethod
    def of(cls, **values: Any) -> "Training":
        """Return the section of the family that the values name; raises pydantic's ValidationError."""
        section: Training = TypeAdapter(TrainingOfFamily).validate_python(values)
        return section


def _drop(section: type[Training], field: str, value: Any, values: Mapping[str, Any]) -> bool:
    """Drop another family's key: the group that was chosen first may have said it, before another
    family was."""
    return False


FAMILIES = Variants(
    "families", of=Training, noun="family", tag="family", usual=USUAL_FAMILY, keep=_drop
)
TrainingOfFamily = Annotated[Training, FAMILIES]

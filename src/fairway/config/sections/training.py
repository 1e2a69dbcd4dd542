"""The `training` section: the family and how it is trained.

Each family has keys of its own: it is a module of `fairway.training.families`, or of an installed
package, found by the entry-point group `fairway.families`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

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


class Tune(Section):
    """A search among settings before the training, judged on the validation rows alone."""

    choices: Annotated[
        Mapping[str, Annotated[tuple[Any, ...], Field(min_length=1, max_length=100)]],
        Field(min_length=1, max_length=20),
    ]
    """Keys of the family with the values to choose from, such as
    `{learningRate: [0.001, 0.003], hidden: [[32], [64, 64]]}`."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 20
    """Settings that are tried, those of the section first, others drawn with `training.seed`. Twenty
    hold one of the best tenth in nine of ten searches."""
    method: Literal["random", "halving"] = "random"
    """`random` fits every trial wholly. `halving` fits all of them for few epochs or rounds, and the
    best third with three times as many until one has had all: some times cheaper, and wrong where slow
    learners win in the end."""


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
    tune: Tune | None = None
    """Which settings are searched before the model is fitted; none by default."""
    threads: Annotated[int, Field(ge=0)] = 1
    """CPU threads; 0 leaves the library's choice. One by default: two made small networks up to six
    times slower on a busy machine, never faster."""

    # whether it computes with torch, which then takes `threads`
    TORCH: ClassVar[bool] = True
    # the key of what `halving` gives trials little of; empty where a family has none
    BUDGET: ClassVar[str] = ""

    @model_validator(mode="after")
    def _choices_are_settings(self) -> "Training":
        if self.tune is None:
            return self
        if self.tune.method == "halving" and not self.BUDGET:
            raise ValueError(f"training.tune.method halving: family {self.family} counts no epochs")
        plain = self.model_dump(by_alias=True, exclude={"tune"})
        for name, values in self.tune.choices.items():
            if name not in plain or name == "family":
                raise ValueError(
                    f"training.tune.choices has {name!r}: wanted keys of family {self.family}, such as "
                    f"{', '.join(sorted(plain)[:5])}"
                )
            for value in values:
                try:
                    type(self).model_validate({**plain, name: value})
                except ValidationError as error:
                    said = error.errors()[0]["msg"].removeprefix("Value error, ")
                    raise ValueError(
                        f"training.tune.choices.{name} has {value!r}: {said[:1].lower()}{said[1:]}"
                    ) from error
        return self

    @property
    def most_epochs(self) -> int:
        """Return how many epochs there are at most; 0 where nobody knows."""
        return 0

    def chosen(self, settings: Mapping[str, Any]) -> "Training":
        """Return the section with settings that a search found, and nothing left to tune."""
        plain = self.model_dump(mode="json", by_alias=True)
        return type(self).model_validate({**plain, **settings, "tune": None})

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

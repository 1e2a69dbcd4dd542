"""The `training` section: the family and how it is trained."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from fairway.config.sections.base import Fraction, Section


class Augmentation(Section):
    """Label-preserving changes of training images (torchvision)."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees either way; none by default, because not every picture may be turned."""
    translation: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the picture's size either way; none by default."""
    erasing: Fraction = 0.0
    """Probability of blanking a random rectangle; none by default."""


class Training(Section):
    """How a model is fitted."""

    family: Literal["convolutional", "tabular", "function"] = "tabular"
    """Our two torch families, or `function`: your own code."""
    function: str | None = None
    """`package.module:fit`, called as fit(splits, seed=...); returns a torch module, a scikit-learn estimator or an
    ONNX path."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Fixes weights, order of batches and augmentation: the same seed gives the same model on the same machine."""
    epochs: Annotated[int, Field(ge=1, le=10000)] = 30
    """Upper bound; early stopping usually ends before."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """64 fits small data; raise it with the rows."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 3e-3
    """Peak of the one-cycle schedule; 3e-3 is safe for AdamW on networks of this size."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """AdamW's decay; its usual value for small networks."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64,)
    """Widths of the fully connected layers."""
    channels: tuple[Annotated[int, Field(ge=1)], ...] = (16, 32)
    """Widths of the convolutions (family convolutional)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Before the last layer; 0.1 costs nothing and steadies small data."""
    patience: Annotated[int, Field(ge=1)] = 8
    """Epochs without a better validation loss before it stops."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs the loss by inverse class frequency; it costs calibration, so not by default."""
    augmentation: Augmentation = Augmentation()
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes the accelerator that is there."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is bfloat16 on GPUs that have it, float32 elsewhere."""
    threads: Annotated[int, Field(ge=0)] = 1
    """CPU threads; 0 leaves torch's choice. One by default: two made small networks up to six times slower on a busy
    machine, never faster."""

    @model_validator(mode="after")
    def _function_named(self) -> "Training":
        if self.family == "function" and not self.function:
            raise ValueError("training.family function needs training.function")
        return self

"""Family `convolutional`: convolutions with batch norm and pooling, then fully connected layers."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field

from fairway.config import sections
from fairway.training.families import base


class ConvolutionalTraining(base.NetworkTraining):
    """A network for pictures (PyTorch)."""

    family: Literal["convolutional"] = "convolutional"
    """The usual network for pictures of 8 by 8 and larger."""
    network: base.Network = "convolutions"
    """Convolutions, then fully connected layers; a package may add others."""
    channels: tuple[Annotated[int, Field(ge=1)], ...] = (16, 32)
    """Widths of the convolutions."""
    augmentation: sections.Augmentation = sections.Augmentation()


SECTION = ConvolutionalTraining


def unfit(inputs: Collection[str]) -> str | None:
    if "image" in inputs:
        return None
    return f"training.family convolutional needs an image feature, the data has {', '.join(inputs)}: use tabular"


def fit(section: ConvolutionalTraining, *, run: base.Run) -> Any:
    from fairway.training import descent

    return descent.fit(section, run=run)

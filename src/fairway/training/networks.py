"""The two networks that ship with fairway, and the augmentation of pictures. Graph inputs by name:
numbers, categories, image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torchvision.transforms.v2 as transforms
from torch import Tensor, nn

from fairway.config import sections
from fairway.training.families import base
from fairway.training.families.convolutional import ConvolutionalTraining

TOGETHER = 8  # pictures that share a draw: fewer cost more time than the training itself


class Convolutional(nn.Module):
    """Convolutions with batch norm and pooling, then fully connected layers; for pictures of 8 by 8
    and larger."""

    def __init__(
        self,
        *,
        shape: Sequence[int],
        channels: Sequence[int],
        hidden: Sequence[int],
        outputs: int,
        dropout: float,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        depth, height, width = shape
        for channel in channels:
            layers += [nn.Conv2d(depth, channel, 3, padding=1), nn.BatchNorm2d(channel), nn.ReLU()]
            depth = channel
            if min(height, width) >= 4:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = _dense(depth * height * width, hidden=hidden, outputs=outputs, dropout=dropout)

    def forward(self, image: Tensor) -> Tensor:
        """Return the outputs, [n, outputs]."""
        result: Tensor = self.head(self.body(image))
        return result


class Tabular(nn.Module):
    """An embedding for each category beside the numbers, then fully connected layers (Guo &
    Berkhahn 2016)."""

    def __init__(
        self,
        *,
        numbers: int,
        cardinalities: Sequence[int],
        hidden: Sequence[int],
        outputs: int,
        dropout: float,
    ) -> None:
        super().__init__()
        sizes = [min(32, (cardinality + 1) // 2) for cardinality in cardinalities]
        self.embeddings = nn.ModuleList(
            nn.Embedding(count, size) for count, size in zip(cardinalities, sizes, strict=True)
        )
        self.head = _dense(numbers + sum(sizes), hidden=hidden, outputs=outputs, dropout=dropout)

    def forward(self, numbers: Tensor | None = None, categories: Tensor | None = None) -> Tensor:
        """Return the outputs, [n, outputs]."""
        parts = [] if numbers is None else [numbers]
        if categories is not None:
            parts += [embedding(categories[:, i]) for i, embedding in enumerate(self.embeddings)]
        result: Tensor = self.head(torch.cat(parts, dim=1))
        return result


class Augmentation:
    """Random changes of a batch. torchvision draws once for all that it is given: a few pictures at
    a time get a draw of their own."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self._change = change

    def __call__(self, image: Tensor) -> Tensor:
        return torch.cat([self._change(part) for part in torch.split(image, TOGETHER)])


def build(
    section: base.NetworkTraining,
    *,
    shapes: Mapping[str, Sequence[int]],
    cardinalities: Sequence[int],
    outputs: int,
) -> nn.Module:
    """Return the configured network for inputs of these shapes, which its family takes."""
    if isinstance(section, ConvolutionalTraining):
        return Convolutional(
            shape=shapes["image"],
            channels=section.channels,
            hidden=section.hidden,
            outputs=outputs,
            dropout=section.dropout,
        )
    return Tabular(
        numbers=shapes.get("numbers", (0,))[0],
        cardinalities=cardinalities,
        hidden=section.hidden,
        outputs=outputs,
        dropout=section.dropout,
    )


def augmentation(section: sections.Augmentation) -> Augmentation | None:
    """Return what changes a batch of training pictures and leaves their labels true, or None."""
    steps: list[Any] = []
    if section.rotation or section.translation:
        moved = (section.translation, section.translation) if section.translation else None
        steps.append(
            transforms.RandomAffine(
                degrees=section.rotation,
                translate=moved,
                interpolation=transforms.InterpolationMode.BILINEAR,
            )
        )
    if section.erasing:
        steps.append(transforms.RandomErasing(p=section.erasing, scale=(0.02, 0.15)))
    return Augmentation(transforms.Compose(steps)) if steps else None


def _dense(width: int, *, hidden: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(width, outputs))

"""Random changes of a batch of training pictures that leave their labels true."""

from collections.abc import Callable
from typing import Any

import torch
import torchvision.transforms.v2 as transforms
from torch import Tensor

from fairway.config import sections

TOGETHER = 8  # pictures that share a draw: fewer cost more time than the training itself


class Changes:
    """The changes of a batch. torchvision draws once for all that it is given: a few pictures at a
    time get a draw of their own."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self._change = change

    def __call__(self, image: Tensor) -> Tensor:
        return torch.cat([self._change(part) for part in torch.split(image, TOGETHER)])


def changes(section: sections.Augmentation) -> Changes | None:
    """Return what the section asks for, None where that is nothing."""
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
    return Changes(transforms.Compose(steps)) if steps else None

"""The loss: cross entropy, its classes weighed equally where the configuration asks for it."""

import torch
from torch import Tensor, nn

from fairway.config import sections


def build(section: sections.Training, *, target: Tensor, classes: int) -> nn.CrossEntropyLoss:
    """Return the training loss in nats, with the weights of `training.classWeights`."""
    return nn.CrossEntropyLoss(
        weight=balanced(target, classes=classes) if section.class_weights == "balanced" else None
    )


def balanced(target: Tensor, *, classes: int) -> Tensor:
    """Return rows / (classes * rows of the class): each class then counts the same in total, and the mean weight of a row is 1."""
    counts = torch.bincount(target, minlength=classes).clamp(min=1).float()
    return len(target) / (classes * counts)

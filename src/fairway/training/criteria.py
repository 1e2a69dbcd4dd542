"""What the training of a network makes less, by task: losses as torch's modules."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def classes(weights: NDArray[Any] | None, *, place: torch.device) -> nn.Module:
    """Return the cross entropy, with these weights of the classes."""
    return nn.CrossEntropyLoss(
        weight=None if weights is None else torch.from_numpy(weights).to(place)
    )


class Labels(nn.Module):
    """The binary cross entropy of each label, of those that a row has with a weight of its own."""

    def __init__(self, weight: Tensor | None) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        truth = target.to(outputs.dtype)
        return nn.functional.binary_cross_entropy_with_logits(
            outputs, truth, pos_weight=self.weight
        )


class Standardised(nn.Module):
    """The mean squared error in standard deviations."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return nn.functional.mse_loss(
            outputs[:, 0], ((target - self.mean) / self.std).to(outputs.dtype)
        )


class Relevance(Standardised):
    """The same of a target that has the group first."""

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        return super().forward(outputs, target[:, 1])

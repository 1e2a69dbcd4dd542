"""What networks have in common."""

from collections.abc import Sequence

from torch import nn


def dense(width: int, *, hidden: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    """Return fully connected layers from inputs of this width to the outputs."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(width, outputs))

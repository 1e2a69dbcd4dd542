"""Component `train_distributed`."""

from components.training.train_distributed.component import train_distributed

__all__ = ["train_distributed"]

"""Component `train`."""

from components.training.train.component import train

__all__ = ["train"]

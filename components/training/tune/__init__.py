"""Component `tune`."""

from components.training.tune.component import tune

__all__ = ["tune"]

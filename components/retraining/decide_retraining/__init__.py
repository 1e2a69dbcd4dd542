"""Component `decide_retraining`."""

from components.retraining.decide_retraining.component import decide_retraining

__all__ = ["decide_retraining"]

"""Component `champion`."""

from components.evaluation.champion.component import champion

__all__ = ["champion"]

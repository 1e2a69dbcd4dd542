"""Component `refuse`."""

from components.evaluation.refuse.component import refuse

__all__ = ["refuse"]

"""Component `gate`."""

from components.evaluation.gate.component import gate

__all__ = ["gate"]

"""Component `tell`."""

from components.operations.tell.component import tell

__all__ = ["tell"]

"""Component `prepare`."""

from components.data.prepare.component import prepare

__all__ = ["prepare"]

"""Component `notify`."""

from components.operations.notify.component import notify

__all__ = ["notify"]

"""Component `label_data`."""

from components.data.label_data.component import label_data

__all__ = ["label_data"]

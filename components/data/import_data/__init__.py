"""Component `import_data`."""

from components.data.import_data.component import import_data

__all__ = ["import_data"]

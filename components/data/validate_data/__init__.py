"""Component `validate_data`."""

from components.data.validate_data.component import validate_data

__all__ = ["validate_data"]

"""Component `package`."""

from components.packaging.package.component import package

__all__ = ["package"]

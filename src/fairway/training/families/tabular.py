"""Family `tabular`: an embedding for each category beside the numbers, then fully connected layers."""

from collections.abc import Collection
from typing import Any, Literal

from fairway.training.families import base


class TabularTraining(base.NetworkTraining):
    """A network for numbers and categories (PyTorch)."""

    family: Literal["tabular"] = "tabular"
    """The usual network for rows of a table."""
    network: base.Network = "embeddings"
    """An embedding for each category beside the numbers, then fully connected layers; a package may
    add others."""


SECTION = TabularTraining


def unfit(inputs: Collection[str]) -> str | None:
    return base.without_image("tabular", inputs)


def fit(section: TabularTraining, *, run: base.Run) -> Any:
    from fairway.training import descent

    return descent.fit(section, run=run)

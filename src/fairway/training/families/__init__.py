"""What can be trained: one module for each family, found by the entry-point group
`fairway.families`.

A family module has

    SECTION                  a subclass of sections.Training whose `family` is the module's name: what only it needs
    unfit(inputs)            why it cannot learn from graph inputs of these names, None where it can
    fit(section, run=...)    the fitted model, as export.Made; raises TrainingError where there is none

It is imported to check a configuration, so torch and its like are imported inside `fit`.
"""

from collections.abc import Collection
from typing import Any

from fairway import plugins
from fairway.config import sections


def unfit(family: str, *, inputs: Collection[str]) -> str | None:
    """Return why the family cannot learn from inputs of these names, None where it can."""
    said: str | None = plugins.load("families", family).unfit(inputs)
    return said


def fit(section: sections.Training, *, run: Any) -> Any:
    """Return what the section's family makes of the run's data."""
    return plugins.load("families", section.family).fit(section, run=run)

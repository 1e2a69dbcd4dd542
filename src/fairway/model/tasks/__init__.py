"""What models are asked to do. Each task is one module that says all that differs; everything else asks `tasks.of`.

A package adds a task with an entry point in the group `fairway.tasks` that names its subclass of `Task`.
"""

import functools
from collections.abc import Mapping
from typing import Any

from fairway import errors, plugins
from fairway.model.schema import Schema
from fairway.model.tasks.base import Metric, Output, Task
from fairway.model.tasks.classification import Classification

__all__ = ["USUAL", "Metric", "Output", "Task", "found", "listed", "named", "of"]

OURS: Mapping[str, Task] = {task.name: task for task in (Classification(),)}
USUAL = Classification.name  # of a schema or record that is older than tasks


@functools.cache
def found() -> Mapping[str, Task]:
    """Return every task by name: ours, and those of installed packages."""
    return plugins.beside("tasks", OURS, kind=Task)


def of(schema: Schema) -> Task:
    """Return the schema's task; raises DataError where there is no such task."""
    return named(schema.task)


def named(name: Any) -> Task:
    """Return the task of this name; raises DataError where there is no such task."""
    if not isinstance(name, str) or name not in found():
        raise errors.DataError(f"the task is {name!r}: wanted {listed()}")
    return found()[name]


def listed() -> str:
    """Return the names of all tasks, for a sentence."""
    return " or ".join(found())

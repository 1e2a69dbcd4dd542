"""What models are asked to do. Each task is one module that says all that differs between tasks; everything else asks
it."""

from typing import Any

from fairway import errors
from fairway.model.schema import Schema
from fairway.model.tasks.base import Metric, Output, Task
from fairway.model.tasks.classification import Classification

__all__ = ["TASKS", "USUAL", "Metric", "Output", "Task", "named", "of"]

TASKS: dict[str, Task] = {task.name: task for task in (Classification(),)}
USUAL = Classification.name  # of a schema or record that is older than tasks


def of(schema: Schema) -> Task:
    """Return the schema's task; raises DataError where there is no such task."""
    return named(schema.task)


def named(name: Any) -> Task:
    """Return the task of this name; raises DataError where there is no such task."""
    if not isinstance(name, str) or name not in TASKS:
        raise errors.DataError(f"the task is {name!r}: wanted {' or '.join(TASKS)}")
    return TASKS[name]

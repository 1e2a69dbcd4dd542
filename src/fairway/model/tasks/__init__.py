"""What models are asked to do. Each task is one module that says all that differs; everything else
asks `tasks.of`.

A package adds a task with an entry point in the group `fairway.tasks` that names its subclass of
`Task`.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fairway import errors, plugins
from fairway.model.schema import Schema
from fairway.model.tasks.base import Declared, Output, Task
from fairway.model.tasks.classification import Classification
from fairway.model.tasks.hierarchical import Hierarchical
from fairway.model.tasks.multilabel import Multilabel
from fairway.model.tasks.ranking import Ranking
from fairway.model.tasks.regression import Regression

__all__ = [
    "USUAL",
    "Declared",
    "Output",
    "Task",
    "classes",
    "found",
    "gauge",
    "listed",
    "named",
    "of",
    "proposed",
]

Array = NDArray[Any]
OURS: Mapping[str, Task] = {
    task.name: task
    for task in (Classification(), Hierarchical(), Multilabel(), Ranking(), Regression())
}
# characters of facts that every event carries: it has a request's inputs besides
LONGEST_GAUGE = 65_000
SWITCH = 2  # values of a target that is yes or no, however it is written
# of a schema or record that is older than tasks, and of a target that nothing else suits
USUAL = Classification.name


@functools.cache
def found() -> Mapping[str, Task]:
    """Return every task by name: ours, and those of installed packages."""
    return plugins.beside("tasks", OURS, kind=Task)


def of(schema: Schema) -> Task:
    """Return the schema's task; raises DataError where there is no such task."""
    return named(schema.task)


def gauge(schema: Schema) -> dict[str, Any] | None:
    """Return what travels with each answer: the task's name, and what its losses need; None where
    answers are classes.

    Facts of more than LONGEST_GAUGE characters stay behind: without them answers are not compared
    where they arrive.
    """
    if schema.task == USUAL:
        return None
    facts = of(schema).gauge(schema)
    few = len(json.dumps(facts)) <= LONGEST_GAUGE
    return {"name": schema.task, **(facts if few else {})}


def classes(schema: Schema) -> tuple[str, ...] | None:
    """Return the names that answers are made of, where there are some, few enough to be told beside
    an answer."""
    few = len(json.dumps(schema.classes)) <= LONGEST_GAUGE
    return schema.classes if schema.classes and few else None


def named(name: Any) -> Task:
    """Return the task of this name; raises DataError where there is no such task."""
    if not isinstance(name, str) or name not in found():
        raise errors.DataError(f"the task is {name!r}: wanted {listed()}")
    return found()[name]


def proposed(values: Array, declared: Declared) -> tuple[Task, str]:
    """Return the task that a target column with these known values suits, and why in words."""
    reasons = ((task, task.suits(values, declared)) for task in found().values())
    return next(
        ((task, why) for task, why in reasons if why is not None),
        (named(USUAL), _told_apart(values)),
    )


def _told_apart(values: Array) -> str:
    """Return why values are classes, in words; whole numbers may be a quantity, which only a person
    knows."""
    names = named(USUAL).read(values)
    found = f"classes to tell apart: {len(set(names)):,} different {'whole numbers' if _are_whole(names) else 'values'}"
    order = "; where they are counts or grades, set task to regression"
    return found + (order if _are_whole(names) and len(set(names)) > SWITCH else "")


def _are_whole(names: list[Any]) -> bool:
    return all(name.removeprefix("-").isdigit() for name in names)


def listed() -> str:
    """Return the names of all tasks, for a sentence."""
    return " or ".join(found())

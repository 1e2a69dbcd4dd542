"""How wrong answers are, and how far two are apart, where they are no classes: from 0 to 1, as
their task measures it.

A server sends its task's name, and the facts that its losses need, with every answer. An answer
without them is a class: it is right or wrong, which needs no task. A task that is not installed
here, or facts that it cannot work with, measure nothing: such answers are incomparable, and the log
says so once.
"""

import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairway import errors
from fairway.model import tasks
from fairway.model.schema import Schema

log = logging.getLogger("fairway.eventstore")
_said: set[tuple[str, str]] = set()  # tasks and reasons that the log has

KEPT = 256  # gauges: each revision has one
MOST_REASONS = 5  # that the log has of one task: each may name another bad value
ROUNDING = 1e-9  # beyond 0 and 1, which a mean of shares may be by
SO = "its answers are not compared and its labels not counted"


@dataclass(frozen=True)
class Gauge:
    """One task with what it knows of the target."""

    task: tasks.Task
    schema: Schema

    def label(self, value: Any) -> Any:
        """Return the label that a value means, None where it means none."""
        try:
            return None if value is None else self.task.label(value, self.schema)
        except Exception as error:  # the task's own: a package wrote it
            say(self.task.name, f"{type(error).__name__}: {error}")
            return None

    def wanted(self) -> str:
        """Return what a label may be."""
        return self.task.wanted(self.schema)

    def losses(self, answers: Sequence[Any], labels: Sequence[Any]) -> list[float] | None:
        """Return how wrong each answer is, None where that cannot be said."""
        return self._measured(self.task.loss, answers, labels)

    def apart(self, one: Sequence[Any], other: Sequence[Any]) -> float | None:
        """Return how far two models' answers to the same rows are apart on average, None where that
        cannot be said."""
        if not one or len(one) != len(other):
            return None
        found = self._measured(self.task.differ, one, other)
        return sum(found) / len(found) if found else None

    def _measured(
        self, how: Callable[..., Any], one: Sequence[Any], other: Sequence[Any]
    ) -> list[float] | None:
        try:
            with np.errstate(divide="raise", invalid="raise", over="raise"):
                found = np.asarray(how(one, other, self.schema), dtype=np.float64)
        except Exception as error:  # the task's own, or of facts that a server made up
            say(self.task.name, f"{type(error).__name__}: {error}")
            return None
        if found.shape != (len(one),) or not np.all((found >= -ROUNDING) & (found <= 1 + ROUNDING)):
            say(self.task.name, "wanted a number from 0 to 1 for each row")
            return None
        clipped: list[float] = found.clip(0, 1).tolist()
        return clipped


@functools.lru_cache(maxsize=KEPT)
def read(text: str) -> Gauge | None:
    """Return the gauge that an answer came with; None where its task is not known here."""
    facts: Mapping[str, Any] = json.loads(text)
    try:
        task = tasks.named(facts["name"])
    except errors.FairwayError as error:
        log.warning("%s, where answers are compared; %s: install its package here too.", error, SO)
        return None
    rest = {key: value for key, value in facts.items() if key != "name"}
    return Gauge(task, Schema(target="", features=(), task=task.name, facts=rest))


@functools.lru_cache(maxsize=KEPT)
def name(text: str) -> str:
    """Return the name of the task that an answer came with."""
    return str(json.loads(text)["name"])


def shared(one: str | None, other: str | None) -> str | None:
    """Return the first, by which both arms are measured, where it is of the second's task, else the
    second."""
    if one is None or other is None or one == other:
        return other
    return one if name(one) == name(other) else other


def say(task: str, why: str) -> None:
    """Say why some answers of the task are not measured: a few reasons each, however many bad values
    there are."""
    said = sum(1 for name, _ in _said if name == task)
    if (task, why) in _said or said >= MOST_REASONS or len(_said) >= KEPT:
        return
    _said.add((task, why))
    log.warning("The task %r cannot measure some answers (%s): %s.", task, why, SO)

"""What a metric must say: its name, which side is better, and its value for answers and their truth."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from fairway.model.schema import Schema

if TYPE_CHECKING:
    from fairway.model.tasks.base import Task  # which imports this module

Array = NDArray[Any]
LARGEST_SPELT = 1e15  # numbers from here on are written with an exponent


@dataclass(frozen=True, kw_only=True)
class AnsweredRows:
    """Rows that a model has answered, and their truth."""

    raw: Array  # what the graph answers, float32 [n, width]
    target: Array  # the truth as numbers, as the task encodes it
    schema: Schema
    task: "Task"

    @cached_property
    def answers(self) -> Sequence[Any]:
        """Return the label that the model gives each row."""
        return self.task.answers(self.raw, self.schema)


class Metric(ABC):
    """One number that says how good a model is."""

    name: str
    better: Literal["high", "low"]
    words: str  # in sentences
    compared: bool = True  # of baselines and slices too, and may be the primary metric
    share: bool = False  # bounded, from 0 to 1, and said in percent
    tasks: tuple[str, ...] = ()  # that are measured by it besides those that name it themselves

    @abstractmethod
    def measure(self, rows: AnsweredRows) -> float | None:
        """Return the value, None where these rows or answers do not tell it."""

    def worse(self, value: float, *, by: float) -> float:
        """Return a value that is worse by so many points of a share, or by this share of any other
        value."""
        step = by if self.share else by * abs(value)
        return value - step if self.better == "high" else value + step

    def drop(self, value: float, *, below: float) -> float | None:
        """Return by how much a value is worse than another, as `worse` takes it: points of a share,
        else a share of the other; None where that is 0."""
        drop = below - value if self.better == "high" else value - below
        if self.share:
            return drop
        return drop / abs(below) if below else None

    def shown(self, value: float) -> str:
        """Return the value as a person reads it."""
        return f"{100 * value:.2f} %" if self.share else figure(value)


def figure(value: float, *, digits: int = 4) -> str:
    """Return a number with so many significant digits, and all before the point: prices are not
    written with an e."""
    large = 10**digits <= abs(value) < LARGEST_SPELT
    return f"{value:,.0f}" if large else f"{value:,.{digits}g}"

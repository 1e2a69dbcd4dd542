"""What a task must say: how its target is learnt, what a model answers, how good an answer is, and
how two answers differ.

Three forms of one thing travel between the stages, a row for each row:

    labels    what a target column or a client says: class names, for one; in parquet, events and answers
    target    labels as numbers that a model learns from
    raw       what the graph answers, float32 [n, width]
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts, errors
from fairway.model import metrics, traits
from fairway.model.kinds.base import Compared
from fairway.model.metrics import Metric
from fairway.model.schema import Schema
from fairway.model.traits import Trait

Array = NDArray[Any]
Json = dict[str, Any]
Scores = dict[str, float]
DRAW = 0  # seed of the answers of rules
LONGEST_NAME = 256  # characters of a class


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a configuration says of the target besides its name."""

    target: str
    group: str | None = None  # the column whose rows are ranked against one another
    parents: Mapping[str, str] = field(default_factory=dict)  # of classes
    coverage: float | None = None  # of intervals
    notation: str = ""  # how its numbers are written, where that is said


@dataclass(frozen=True)
class Output:
    """One tensor of an answer."""

    name: str
    datatype: str  # of the Open Inference Protocol
    shape: tuple[int, ...] = ()  # of one row


class Task(ABC):
    """One task. Methods are pure; a schema says what only the data knows, such as the classes."""

    name: ClassVar[str]  # in schema.json, the manifest and the metadata
    output: ClassVar[str]  # of the graph
    # the names of its metrics; the first one gates and slices where no other is chosen
    measured_by: ClassVar[tuple[str, ...]]
    # training's side of it, as `package.module:Class`: what needs torch is imported there alone
    side: ClassVar[str]
    declares: ClassVar[tuple[str, ...]]  # the keys of a schema file that say what `learn` learns
    # the baselines' names, in words; the gate wants the zero rule beaten
    rules: ClassVar[Mapping[str, str]]

    # answers are a quantity, of which an evaluation may state quantiles
    quantifies: ClassVar[bool] = False

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Return its metrics, and those that installed packages add to it."""
        return metrics.of(self.name, named=self.measured_by)

    def measured(self, scores: Mapping[str, float]) -> tuple[Metric, ...]:
        """Return the metrics of these scores, in order."""
        return tuple(metric for metric in self.metrics if metric.name in scores)

    def metric(self, name: str | None) -> Metric:
        """Return the metric of this name, the task's first where none is named; raises DataError
        for another."""
        found = [
            metric for metric in self.metrics if metric.compared and name in (None, metric.name)
        ]
        if not found:
            names = ", ".join(metric.name for metric in self.metrics if metric.compared)
            raise errors.DataError(f"evaluation.metric is {name!r}: {self.name} has {names}")
        return found[0]

    # The target

    def suits(self, values: Array, declared: Declared) -> str | None:
        """Return why a target column with these known values is of this task, in words, None where
        it is not."""
        return None

    @abstractmethod
    def learn(self, values: Array, declared: Declared) -> Json:
        """Return what the schema keeps of a target column's known values: `classes`, `facts`, or
        both.

        Raises DataError where they cannot be learnt.
        """

    @abstractmethod
    def read(self, values: Array) -> list[Any]:
        """Return the labels of a target column, however its values are written."""

    def grouped(self, values: Array, groups: Array) -> Array:
        """Return the target column's values with the group of each, where the labels have one."""
        return values

    @abstractmethod
    def label(self, value: Any, schema: Schema) -> Any:
        """Return the label that a value of JSON means, however a client writes it; None where it
        means none."""

    @abstractmethod
    def wanted(self, schema: Schema) -> str:
        """Return what a label may be, for a sentence that refuses one."""

    @abstractmethod
    def encode(self, labels: Sequence[Any], schema: Schema) -> Array:
        """Return the target; a label that the schema does not know is marked as `known` sees it."""

    @abstractmethod
    def known(self, target: Array) -> NDArray[np.bool_]:
        """Return which rows have a label that the schema knows."""

    @abstractmethod
    def strata(self, target: Array) -> NDArray[np.int64]:
        """Return the groups of which each split gets its share."""

    @abstractmethod
    def lacking(self, target: Array, schema: Schema) -> list[str]:
        """Return what the rows of a split do not show, in words; nothing may be lacking in
        training."""

    @abstractmethod
    def unlearnable(self, target: Array, schema: Schema) -> str | None:
        """Return why nothing can be learnt from these training rows, or None where something can."""

    @abstractmethod
    def profile(self, target: Array, schema: Schema) -> Json:
        """Return the target's distribution that a person looks at first."""

    @abstractmethod
    def describe(self, target: Array, schema: Schema) -> str:
        """Return the target's distribution in a few words."""

    def rarest(self, target: Array, schema: Schema) -> float | None:
        """Return the share of the rarest answer, None where answers are not counted."""
        return None

    @abstractmethod
    def told_by(self, bins: NDArray[np.int64], target: Array) -> str | None:
        """Return, in words, how much of the target a feature tells alone, where that is
        suspiciously much."""

    @abstractmethod
    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        """Return what `learn` would, from the keys `declares` of an imported model's schema file.

        Raises PackageError.
        """

    # Answers

    @abstractmethod
    def width(self, schema: Schema) -> int:
        """Return how many numbers the graph answers each row with."""

    @abstractmethod
    def answers(self, raw: Array, schema: Schema) -> list[Any]:
        """Return the label that the model gives each row."""

    @abstractmethod
    def translated(self, raw: Array, *, given: Schema, wanted: Schema) -> Array:
        """Return another model's answers as one of the wanted schema gives them."""

    @abstractmethod
    def outputs(self, schema: Schema) -> tuple[Output, ...]:
        """Return the tensors of an answer, in order."""

    @abstractmethod
    def value(self, output: str, *, raw: Array, labels: list[Any]) -> Any:
        """Return one tensor's values: a list of words, or an array."""

    def columns(self, schema: Schema) -> tuple[str, ...]:
        """Return what the numbers of a raw answer are called."""
        return tuple(output.name for output in self.outputs(schema))

    @abstractmethod
    def told(self, outputs: Mapping[str, Any]) -> Json:
        """Return a row's answer as a person reads it, `answer` and what it comes with, from the
        row's output tensors."""

    @abstractmethod
    def row_bytes(self, schema: Schema, *, number: int) -> int:
        """Return how many bytes of an answer a row takes at most, where a number takes `number` of
        them."""

    @abstractmethod
    def improper(self, raw: Array) -> str | None:
        """Return why these are no answers of this task, or None where they may be."""

    def unit(self, schema: Schema) -> float:
        """Return what differences of raw answers are measured in: about as much as they can differ
        by."""
        return 1.0

    # Measuring

    def measure(self, raw: Array, target: Array, schema: Schema) -> Scores:
        """Return every metric by name; those that these answers do not tell are left out."""
        return self._scores(self.metrics, raw, target, schema)

    def compare(self, raw: Array, target: Array, schema: Schema) -> Scores:
        """Return the metrics by which baselines and slices are compared."""
        return self._scores(self._compared, raw, target, schema)

    @property
    def _compared(self) -> list[Metric]:
        return [metric for metric in self.metrics if metric.compared]

    def _scores(
        self, chosen: Iterable[Metric], raw: Array, target: Array, schema: Schema
    ) -> Scores:
        rows = metrics.AnsweredRows(raw=raw, target=target, schema=schema, task=self)
        return metrics.measure(chosen, rows)

    def rank(self, scores: Mapping[str, float], *, by: Metric) -> tuple[float, ...]:
        """Return what orders models by their scores, the best last: by this metric, then by the
        others."""
        others = [metric for metric in self.metrics if metric.compared and metric != by]
        ordered = [metric for metric in (by, *others) if metric.name in scores]
        return tuple(
            scores[metric.name] if metric.better == "high" else -scores[metric.name]
            for metric in ordered
        )

    def baselines(self, train: Array, target: Array, schema: Schema) -> dict[str, Scores]:
        """Return what the simplest rules, learnt from the training target, reach on this one.

        What is not known without drawing is measured on their answers.
        """
        expected = self.expected(train, target, schema)
        answered = self.ruled(train, rows=len(target), schema=schema)
        return {
            rule: self._rule(expected.get(rule, {}), answered[rule], target, schema)
            for rule in self.rules
        }

    def _rule(self, known: Scores, raw: Array, target: Array, schema: Schema) -> Scores:
        others = [metric for metric in self._compared if metric.name not in known]
        scores = known | self._scores(others, raw, target, schema)
        return {
            metric.name: scores[metric.name] for metric in self._compared if metric.name in scores
        }

    def expected(self, train: Array, target: Array, schema: Schema) -> dict[str, Scores]:
        """Return what each rule reaches on average, of the metrics of which it is known."""
        return {}

    @abstractmethod
    def ruled(self, train: Array, *, rows: int, schema: Schema) -> dict[str, Array]:
        """Return each rule's raw answers to so many rows; the same ones each time."""

    @abstractmethod
    def details(self, raw: Array, target: Array, schema: Schema) -> Json:
        """Return the report's part: tables and curves as plain JSON."""

    def gauge(self, schema: Schema) -> Json:
        """Return the facts that `loss` and `differ` need, few: they travel with each answer into
        the event store.

        There the schema has these facts and nothing else, no classes either. `label` takes any word
        then.
        """
        return {}

    @abstractmethod
    def loss(self, answers: Sequence[Any], labels: Sequence[Any], schema: Schema) -> Array:
        """Return how wrong each answer is, from 0 to 1."""

    def expected_loss(self, raw: Array, schema: Schema) -> Array:
        """Return how wrong each answer is on average, from 0 to 1, as the model itself has it; 0 where
        its answers do not say."""
        return np.zeros(len(raw))

    def uncertainty(self, raw: Array, schema: Schema) -> Array:
        """Return how unsure the model is of each answer, from 0 on; 0 where its answers do not say."""
        return np.zeros(len(raw))

    def together(self, labels: Sequence[Any]) -> list[Array] | None:
        """Return the places of the rows that a client sends in one request, None where each row is
        by itself."""
        return None

    @abstractmethod
    def differ(self, one: Sequence[Any], other: Sequence[Any], schema: Schema) -> Array:
        """Return how far two models' answers to each row are apart, from 0 to 1; the order of the
        two does not matter."""

    # Watching

    @abstractmethod
    def compared(self, reference: Array, window: Array, schema: Schema) -> Iterator[Compared]:
        """Return the columns of the answers that a drift test takes."""

    def traits(self, reference: Array, schema: Schema) -> Iterator[Trait]:
        """Return what the monitor measures of each answer: of two classes the second says all."""
        width = reference.shape[1]
        for place in range(1 if width == 2 and schema.classes else 0, width):
            known = place < len(schema.classes)
            name = f"probability[{schema.classes[place]}]" if known else f"answer[{place}]"
            yield from traits.numbers(
                name if schema.classes or width > 1 else "answer",
                reference,
                read=functools.partial(_column, place),
                ranged=not schema.classes,
            )

    # A manifest's claims

    @abstractmethod
    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        """Return the key of a manifest that cannot be, its value and what is wanted; None where all
        may be."""


def _column(place: int, answers: Array) -> NDArray[np.float64]:
    column: NDArray[np.float64] = answers[:, place].astype(np.float64)
    return column


def drawn(train: Array, rows: int) -> Array:
    """Return the targets of so many rows of training, drawn with replacement; the same each time."""
    found: Array = train[np.random.default_rng(DRAW).integers(len(train), size=rows)]
    return found


def percent(share: float) -> str:
    """Return a share in words."""
    if 0 < 1 - share < 0.001:
        return "over 99.9 %"
    return f"{share:.1%}".replace("%", " %") if share >= 0.001 else "under 0.1 %"


def refused_names(names: Any, *, key: str, most: int) -> tuple[str, Any, str] | None:
    """Return what a manifest claims in place of different names of bounded length, and what is
    wanted."""
    wanted = f"1 to {most} different names of at most {LONGEST_NAME} characters"
    if not isinstance(names, list) or not artifacts.is_plain(names, kinds={str}):
        return key, names, wanted
    if not 1 <= len(names) <= most or len(set(names)) < len(names):
        return key, names, wanted
    wrong = [name for name in names if not name or len(name) > LONGEST_NAME]
    return (key, wrong[0], wanted) if wrong else None

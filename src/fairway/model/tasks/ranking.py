"""Ranking: the rows of a group in order of their relevance, by a score of each row."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model.metrics.orders import HIGHEST, groups, ndcg
from fairway.model.schema import Schema
from fairway.model.tasks import base, regression
from fairway.model.tasks.base import Array, Declared, Json, Output, Scores


class Ranking(regression.Regression):
    """As a regression of the relevance, whose scores order a group. Of a prepared row the label has
    its group too; the rows of a request are one group, and their labels are numbers.

    An answer's loss is 1 less its group's NDCG (Jarvelin & Kekalainen 2002, with the gains of
    Burges et al. 2005).
    """

    name = "ranking"
    output = "score"
    side = "fairway.training.losses:RankingSide"
    measured_by: ClassVar[tuple[str, ...]] = ("ndcg", "top1")
    quantifies: ClassVar[bool] = False
    declares: ClassVar[tuple[str, ...]] = ("range",)
    rules = {"zero_rule": "no order", "random": "any order"}  # noqa: RUF012 - a constant

    def suits(self, values: Array, declared: Declared) -> str | None:
        if declared.group is None or values.dtype.kind not in "iuf":
            return None
        return f"rows of one {declared.group} are ranked against one another"

    def learn(self, values: Array, declared: Declared) -> Json:
        relevance = np.array([_relevance(label) for label in self.read(values)], dtype=np.float64)
        if len(relevance) and not (relevance.min() >= 0 and relevance.max() <= HIGHEST):
            raise errors.DataError(
                f"the target {declared.target} has {relevance.min():g} to {relevance.max():g}: wanted relevance from 0 "
                f"to {HIGHEST}, of which the largest comes first"
            )
        learnt = super().learn(relevance, declared)
        return {"facts": {**learnt["facts"], "coverage": None}}

    def grouped(self, values: Array, groups: Array) -> Array:
        pairs = np.empty(len(values), dtype=object)
        both = zip(groups.tolist(), values.tolist(), strict=True)
        pairs[:] = [{"group": str(group), "relevance": value} for group, value in both]
        return pairs

    def read(self, values: Array) -> list[Any]:
        """Return the relevance of each row, with its group where it came with one; None where
        missing."""
        plain = values.tolist()
        if not any(isinstance(value, Mapping) for value in plain):
            return super().read(values)
        numbers = super().read(
            np.array([value and value["relevance"] for value in plain], dtype=object)
        )
        return [
            None if number is None else {"group": str(value["group"]), "relevance": number}
            for value, number in zip(plain, numbers, strict=True)
        ]

    def encode(self, labels: Sequence[Any], schema: Schema) -> Array:
        """Return the group's number and the relevance of each row."""
        groups = np.unique([_group(label) for label in labels], return_inverse=True)[1]
        return np.column_stack(
            [groups, super().encode([_relevance(label) for label in labels], schema)]
        )

    def known(self, target: Array) -> NDArray[np.bool_]:
        return super().known(target[:, 1])

    def strata(self, target: Array) -> NDArray[np.int64]:
        return super().strata(target[:, 1])

    def unlearnable(self, target: Array, schema: Schema) -> str | None:
        return super().unlearnable(target[:, 1], schema)

    def profile(self, target: Array, schema: Schema) -> Json:
        return super().profile(target[:, 1], schema)

    def describe(self, target: Array, schema: Schema) -> str:
        return (
            f"{super().describe(target[:, 1], schema)}, in {len(np.unique(target[:, 0])):,} groups"
        )

    def told_by(self, bins: NDArray[np.int64], target: Array) -> str | None:
        return super().told_by(bins, target[:, 1])

    def outputs(self, schema: Schema) -> tuple[Output, ...]:
        return (Output("score", "FP32"),)

    def value(self, output: str, *, raw: Array, labels: list[Any]) -> Any:
        return raw[:, 0]

    def told(self, outputs: Mapping[str, Any]) -> Json:
        return {"answer": outputs["score"]}

    def expected(self, train: Array, target: Array, schema: Schema) -> dict[str, Scores]:
        """Return what any order reaches on average, which is what none reaches: nothing simpler is
        known of a group's rows."""
        none = np.zeros((len(target), 1), dtype=np.float32)
        own = [metric for metric in self.metrics if metric.name in self.measured_by]
        reached = self._scores(own, none, target, schema)
        return {"random": reached, "zero_rule": reached}

    def ruled(self, train: Array, *, rows: int, schema: Schema) -> dict[str, Array]:
        any_order = np.random.default_rng(base.DRAW).random((rows, 1), dtype=np.float32)
        return {"random": any_order, "zero_rule": np.zeros((rows, 1), dtype=np.float32)}

    def details(self, raw: Array, target: Array, schema: Schema) -> Json:
        return super().details(raw, target[:, 1], schema)

    def loss(self, answers: Sequence[Any], labels: Sequence[Any], schema: Schema) -> Array:
        scores, relevance = (
            np.asarray(answers, dtype=np.float64),
            [_relevance(label) for label in labels],
        )
        lost = np.zeros(len(scores))
        for rows in self.together(labels) or ():
            lost[rows] = 1 - ndcg(scores[rows], np.asarray(relevance, dtype=np.float64)[rows])
        return lost

    def expected_loss(self, raw: Array, schema: Schema) -> Array:
        """Return 0: a score does not say how sure its place is."""
        return np.zeros(len(raw))

    uncertainty = expected_loss

    def together(self, labels: Sequence[Any]) -> list[Array] | None:
        return groups(np.unique([_group(label) for label in labels], return_inverse=True)[1])

    def differ(self, one: Sequence[Any], other: Sequence[Any], schema: Schema) -> Array:
        """Return how many places each row is from its other place, of as many as there are; rows
        of one score share the mean of their places, a single row's scores are compared as a
        regression's."""
        if len(one) < 2:
            return super().loss(one, other, schema)
        moved: Array = np.abs(_places(one) - _places(other)) / (len(one) - 1)
        return moved


def _places(scores: Sequence[Any]) -> Array:
    """Return the place of each row: of rows with one score the mean, whatever order they came in."""
    tie, rows = np.unique(
        -np.asarray(scores, dtype=np.float64), return_inverse=True, return_counts=True
    )[1:]
    last = np.cumsum(rows)
    means: Array = last - (rows + 1) / 2
    return means[tie]


def _group(label: Any) -> str:
    return str(label["group"]) if isinstance(label, Mapping) else ""


def _relevance(label: Any) -> Any:
    return label["relevance"] if isinstance(label, Mapping) else label

"""Training's side of each task: the loss, what turns a network's outputs into answers, what an
estimator answers.

What a task answers beyond a model's own outputs (the interval of a regression) is put into the
graph at the end. Trees are fitted by the same sides: torch is imported where a network is.
"""

import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.model import tasks
from fairway.model.schema import Schema
from fairway.training import proto

if TYPE_CHECKING:
    from torch import Tensor, nn

Array = NDArray[Any]
SUMMED = 1e-4  # how far the sum of a row's probabilities is from 1 at most


@dataclass(frozen=True, kw_only=True)
class Boosted:
    """What one booster (LightGBM) is told of a task; what turns its sums into answers follows from
    the objective."""

    parameters: Mapping[str, Any]  # objective and metric in LightGBM's words, and what these need
    label: Array  # of the training rows
    held_out: Array
    weights: Array | None = None  # of the training rows, where all classes are to count the same
    loss: str  # the metric that stops the training
    scale: float = 1.0  # of that loss, by which it is divided
    # what a person looks at, from metrics
    besides: tuple[str, Callable[[Mapping[str, float]], float]] | None = None


class Side(ABC):
    """What torch and scikit-learn do differently from task to task."""

    estimator: ClassVar[str]  # what a user's function may return of scikit-learn
    outputs: ClassVar[str]  # what a network gives, in sentences

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    @property
    def width(self) -> int:
        """Return how many numbers a network, an estimator or a file gives each row."""
        return tasks.of(self.schema).width(self.schema)

    @abstractmethod
    def loss(self, section: sections.Training, *, target: "Tensor") -> "nn.Module":
        """Return the training loss of a network's outputs against the target."""

    @abstractmethod
    def answer(self, outputs: "Tensor") -> "Tensor":
        """Return the answers that the exported graph gives, [n, width]."""

    @abstractmethod
    def measure(self, outputs: "Tensor", target: "Tensor") -> dict[str, float]:
        """Return `validation_loss`, which stops the training, and what a person looks at besides."""

    def boosted(self, target: Array, held_out: Array) -> Sequence[Boosted]:
        """Return how boosters learn the targets of the training and held-out rows, a booster for
        each column of answers or one for all; none where they do not."""
        return ()

    def mistaken(self, outputs: "Tensor") -> str | None:
        """Return what a user's network gives in place of its outputs, or None where nothing looks
        wrong."""
        return None

    @abstractmethod
    def takes(self, estimator: Any) -> bool:
        """Say whether a scikit-learn estimator can answer."""

    @abstractmethod
    def unfit(self, estimator: Any) -> str | None:
        """Return why a fitted estimator cannot be exported, or None where it can."""

    @abstractmethod
    def options(self, estimator: Any) -> dict[str, Any]:
        """Return what skl2onnx must be told of the estimator."""

    @abstractmethod
    def predict(self, estimator: Any, rows: Array) -> Array:
        """Return the estimator's own answers, [n, width]."""

    def improper(self, answers: Array) -> str | None:
        """Return why a file's answers are none of this task, or None where they may be."""
        return tasks.of(self.schema).improper(answers)

    def finish(self, model: Any, *, answers: Array, target: Array) -> bool:
        """Put into the graph what the task answers beyond these answers to the validation rows, and
        say whether it does."""
        return False


class ProbabilitySide(Side):
    """What answers with a probability of each class or label."""

    def takes(self, estimator: Any) -> bool:
        return hasattr(estimator, "predict_proba")

    def options(self, estimator: Any) -> dict[str, Any]:
        return {"zipmap": False}

    def predict(self, estimator: Any, rows: Array) -> Array:
        return np.asarray(estimator.predict_proba(rows))


class ClassificationSide(ProbabilitySide):
    """Cross entropy, its classes weighed equally where the configuration asks for it; answers are
    the softmax of logits."""

    estimator = "classifier with predict_proba"
    outputs = "logits"

    def loss(self, section: sections.Training, *, target: "Tensor") -> "nn.Module":
        from fairway.training import criteria

        weighed = section.class_weights == "balanced"
        weights = balanced(target.cpu().numpy(), classes=self.width) if weighed else None
        return criteria.classes(weights, place=target.device)

    def answer(self, outputs: "Tensor") -> "Tensor":
        return outputs.softmax(dim=1)

    def measure(self, outputs: "Tensor", target: "Tensor") -> dict[str, float]:
        from fairway.training import criteria

        right = (outputs.argmax(1) == target).float().mean()
        loss = criteria.classes(None, place=target.device)(outputs, target)
        return {"validation_loss": float(loss), "validation_accuracy": float(right)}

    def boosted(self, target: Array, held_out: Array) -> Sequence[Boosted]:
        weights = balanced(target, classes=self.width)[target]
        kind = "binary" if self.width == 2 else "multi"
        objective = (
            {"objective": "binary"}
            if self.width == 2
            else {"objective": "multiclass", "num_class": self.width}
        )
        loss, error = f"{kind}_logloss", f"{kind}_error"
        made = Boosted(
            parameters={**objective, "metric": [loss, error]},
            label=target,
            held_out=held_out,
            weights=weights,
            loss=loss,
            besides=("accuracy", lambda measured: 1 - measured[error]),
        )
        return (made,)

    def mistaken(self, outputs: "Tensor") -> str | None:
        off = (outputs.sum(dim=1) - 1).abs()
        if not (outputs >= 0).all() or not (off <= SUMMED).all():
            return None
        advice = "leave its softmax out, the export adds one"
        return f"rows that add up to 1, probabilities as it seems: wanted logits; {advice}"

    def unfit(self, estimator: Any) -> str | None:
        seen = getattr(estimator, "classes_", None)
        if seen is not None and list(seen) == list(range(self.width)):
            return None
        known = (
            "no classes: it is not fitted" if seen is None else f"the classes {[*map(str, seen)]}"
        )
        return f"knows {known}: wanted 0 to {self.width - 1}; fit it on splits.train.target"


class MultilabelSide(ProbabilitySide):
    """Binary cross entropy of each label; answers are the sigmoid of logits."""

    estimator = "classifier with predict_proba of each label"
    outputs = "logits"

    def loss(self, section: sections.Training, *, target: "Tensor") -> "nn.Module":
        from fairway.training import criteria

        if section.class_weights != "balanced":
            return criteria.Labels(None)
        found = target.float().mean(dim=0).clamp(min=1 / len(target), max=1 - 1 / len(target))
        return criteria.Labels((1 - found) / found)

    def answer(self, outputs: "Tensor") -> "Tensor":
        return outputs.sigmoid()

    def measure(self, outputs: "Tensor", target: "Tensor") -> dict[str, float]:
        from fairway.training import criteria

        right = ((outputs > 0) == (target > 0)).float().mean()
        loss = criteria.Labels(None)(outputs, target)
        return {"validation_loss": float(loss), "validation_accuracy": float(right)}

    def boosted(self, target: Array, held_out: Array) -> Sequence[Boosted]:
        return [_one_label(target[:, place], held_out[:, place]) for place in range(self.width)]

    def unfit(self, estimator: Any) -> str | None:
        seen = len(getattr(estimator, "classes_", ()))
        return (
            None
            if seen == self.width
            else f"knows {seen} labels: wanted {self.width}; fit it on splits.train.target"
        )


def _one_label(target: Array, held_out: Array) -> Boosted:
    found = float(np.clip(target.mean(), 1 / len(target), 1 - 1 / len(target)))
    return Boosted(
        parameters={"objective": "binary", "metric": ["binary_logloss", "binary_error"]},
        label=target,
        held_out=held_out,
        weights=np.where(target > 0, (1 - found) / found, 1.0),
        loss="binary_logloss",
        besides=("accuracy", lambda measured: 1 - measured["binary_error"]),
    )


class RegressionSide(Side):
    """Squared error of the standardised target; answers are in its own unit, with a split conformal
    interval.

    The interval's half width is the quantile of the validation rows' errors that holds the next
    row's error as often as stated (Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018, algorithm 2).
    Early stopping has looked at the same rows, which makes it narrower by what a choice among some
    epochs can.
    """

    estimator = "regressor with predict"
    outputs = "values in the target's standard deviations from its mean"

    @property
    def width(self) -> int:
        return 1

    def loss(self, section: sections.Training, *, target: "Tensor") -> "nn.Module":
        from fairway.training import criteria

        return criteria.Standardised(self.schema.facts["mean"], self.schema.facts["std"])

    def answer(self, outputs: "Tensor") -> "Tensor":
        mean, std = float(self.schema.facts["mean"]), float(self.schema.facts["std"])
        return outputs * std + mean

    def measure(self, outputs: "Tensor", target: "Tensor") -> dict[str, float]:
        loss = float(self.loss(sections.Training(), target=target)(outputs, target))
        return {
            "validation_loss": loss,
            "validation_rmse": math.sqrt(loss) * self.schema.facts["std"],
        }

    def boosted(self, target: Array, held_out: Array) -> Sequence[Boosted]:
        made = Boosted(
            parameters={"objective": "regression", "metric": ["l2"]},
            label=target,
            held_out=held_out,
            loss="l2",
            scale=float(self.schema.facts["std"]) ** 2,
            besides=("rmse", lambda measured: math.sqrt(measured["l2"])),
        )
        return (made,)

    def takes(self, estimator: Any) -> bool:
        return hasattr(estimator, "predict") and not hasattr(estimator, "predict_proba")

    def unfit(self, estimator: Any) -> str | None:
        return None

    def options(self, estimator: Any) -> dict[str, Any]:
        return {}

    def predict(self, estimator: Any, rows: Array) -> Array:
        return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(len(rows), -1)

    def improper(self, answers: Array) -> str | None:
        return None

    def finish(self, model: Any, *, answers: Array, target: Array) -> bool:
        coverage = self.schema.facts.get("coverage")
        if coverage is None:
            return False
        proto.widen(model, half=conformal(np.abs(answers[:, 0] - target), coverage=coverage))
        return True


class RankingSide(RegressionSide):
    """A score for each row by itself, learnt as its relevance."""

    def loss(self, section: sections.Training, *, target: "Tensor") -> "nn.Module":
        from fairway.training import criteria

        return criteria.Relevance(self.schema.facts["mean"], self.schema.facts["std"])

    def boosted(self, target: Array, held_out: Array) -> Sequence[Boosted]:
        return super().boosted(target[:, 1], held_out[:, 1])


def conformal(off: Array, *, coverage: float) -> float:
    """Return the error that the next row's exceeds with probability 1 - coverage at most, where
    rows are exchangeable."""
    place = math.ceil((len(off) + 1) * coverage)
    if place > len(off):
        raise errors.TrainingError(
            f"{len(off)} validation rows cannot give intervals of coverage {coverage:g}: wanted "
            f"{math.ceil(coverage / (1 - coverage))} at least; prepare more, lower data.coverage, or set it to null"
        )
    return float(np.sort(off)[place - 1])


def of(schema: Schema) -> Side:
    """Return training's side of the schema's task."""
    side: Side = pkgutil.resolve_name(tasks.of(schema).side)(schema)
    return side


def balanced(target: Array, *, classes: int) -> Array:
    """Return rows / (classes * rows of the class): each class then counts the same, and the mean
    weight of a row is 1."""
    counts = np.bincount(target, minlength=classes).clip(min=1).astype(np.float32)
    weights: Array = len(target) / (classes * counts)
    return weights

"""Training's side of each task: the loss, what turns a network's outputs into answers, what an estimator answers."""

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairway.config import sections
from fairway.model import tasks

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Boosted:
    """What gradient boosting (LightGBM) is told of a task; what turns its sums into answers follows from the
    objective."""

    parameters: Mapping[str, Any]  # objective and metric in LightGBM's words, and what these need
    loss: str  # the metric that stops the training
    error: str | None = None  # a metric of wrong answers, where the task has one
    weights: Array | None = None  # of the training rows, where all classes are to count the same


class Side(ABC):
    """What torch and scikit-learn do differently from task to task. `width` is the number of a network's outputs."""

    estimator: ClassVar[str]  # what a user's function may return of scikit-learn
    outputs: ClassVar[str]  # what a network gives, in sentences

    @abstractmethod
    def loss(self, section: sections.Training, *, target: Tensor, width: int) -> nn.Module:
        """Return the training loss of a network's outputs against the target."""

    @abstractmethod
    def answer(self, outputs: Tensor) -> Tensor:
        """Return the answers that the exported graph gives, [n, width]."""

    @abstractmethod
    def measure(self, outputs: Tensor, target: Tensor) -> dict[str, float]:
        """Return `validation_loss`, which stops the training, and what a person looks at besides."""

    def boosted(self, target: Array, *, width: int) -> Boosted | None:
        """Return how gradient boosting learns the training target, or None where it does not."""
        return None

    def mistaken(self, outputs: Tensor) -> str | None:
        """Return what a user's network gives in place of its outputs, or None where nothing looks wrong."""
        return None

    @abstractmethod
    def takes(self, estimator: Any) -> bool:
        """Say whether a scikit-learn estimator can answer."""

    @abstractmethod
    def unfit(self, estimator: Any, *, width: int) -> str | None:
        """Return why a fitted estimator cannot be exported, or None where it can."""

    @abstractmethod
    def options(self, estimator: Any) -> dict[str, Any]:
        """Return what skl2onnx must be told of the estimator."""

    @abstractmethod
    def predict(self, estimator: Any, rows: Array) -> Array:
        """Return the estimator's own answers, [n, width]."""


class Classification(Side):
    """Cross entropy, its classes weighed equally where the configuration asks for it; answers are the softmax of
    logits."""

    estimator = "classifier with predict_proba"
    outputs = "logits"

    def loss(self, section: sections.Training, *, target: Tensor, width: int) -> nn.Module:
        weighed = section.class_weights == "balanced"
        return nn.CrossEntropyLoss(weight=balanced(target, classes=width) if weighed else None)

    def answer(self, outputs: Tensor) -> Tensor:
        return torch.softmax(outputs, dim=1)

    def measure(self, outputs: Tensor, target: Tensor) -> dict[str, float]:
        right = (outputs.argmax(1) == target).float().mean()
        loss = nn.functional.cross_entropy(outputs, target)
        return {"validation_loss": float(loss), "validation_accuracy": float(right)}

    def boosted(self, target: Array, *, width: int) -> Boosted:
        weights = balanced(torch.from_numpy(target), classes=width).numpy()[target]
        if width == 2:
            names: dict[str, Any] = {"objective": "binary", "metric": ["binary_logloss", "binary_error"]}
            return Boosted(parameters=names, loss="binary_logloss", error="binary_error", weights=weights)
        names = {"objective": "multiclass", "num_class": width, "metric": ["multi_logloss", "multi_error"]}
        return Boosted(parameters=names, loss="multi_logloss", error="multi_error", weights=weights)

    def mistaken(self, outputs: Tensor) -> str | None:
        sums = outputs.sum(dim=1)
        if not (outputs >= 0).all() or not torch.allclose(sums, torch.ones(len(outputs)), atol=1e-4):
            return None
        advice = "leave its softmax out, the export adds one"
        return f"rows that add up to 1, probabilities as it seems: wanted logits; {advice}"

    def takes(self, estimator: Any) -> bool:
        return hasattr(estimator, "predict_proba")

    def unfit(self, estimator: Any, *, width: int) -> str | None:
        seen = getattr(estimator, "classes_", None)
        if seen is not None and list(seen) == list(range(width)):
            return None
        known = "no classes: it is not fitted" if seen is None else f"the classes {[*map(str, seen)]}"
        return f"knows {known}: wanted 0 to {width - 1}; fit it on splits.train.target"

    def options(self, estimator: Any) -> dict[str, Any]:
        return {"zipmap": False}

    def predict(self, estimator: Any, rows: Array) -> Array:
        return np.asarray(estimator.predict_proba(rows))


def of(task: tasks.Task) -> Side:
    """Return training's side of the task."""
    side: Side = pkgutil.resolve_name(task.side)()
    return side


def balanced(target: Tensor, *, classes: int) -> Tensor:
    """Return rows / (classes * rows of the class): each class then counts the same, and the mean weight of a row is
    1."""
    counts = torch.bincount(target, minlength=classes).clamp(min=1).float()
    return len(target) / (classes * counts)

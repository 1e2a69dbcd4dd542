"""The numbers: accuracy, log loss, confusion, per class. Pure, numpy only."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
FLOOR = 1e-7  # a probability of 0 for what happened would make the loss infinite


def accuracy(probabilities: Floats, truth: Ints) -> float:
    """Return the share of rows whose likeliest class is the true one."""
    return float((probabilities.argmax(axis=1) == truth).mean())


def log_loss(probabilities: Floats, truth: Ints) -> float:
    """Return the mean negative log probability of the true class, in nats."""
    chosen = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.clip(chosen, FLOOR, 1.0)).mean())


def confusion(predicted: Ints, truth: Ints, *, classes: int) -> Ints:
    """Return the counts, [true class, predicted class]."""
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (truth, predicted), 1)
    return table


def upper_bound(count: int, total: int, *, confidence: float) -> float:
    """Return the one-sided exact upper bound of a share (Clopper & Pearson 1934): above it, a count this small would be
    rarer than 1 - confidence."""
    if count >= total:
        return 1.0
    k = np.arange(count + 1)
    choose = np.array([math.lgamma(total + 1) - math.lgamma(i + 1) - math.lgamma(total - i + 1) for i in k])
    low, high = count / total, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        tail = np.exp(choose + k * math.log(middle) + (total - k) * math.log1p(-middle)).sum()
        low, high = (middle, high) if tail > 1 - confidence else (low, middle)
    return high


def per_class(table: Ints, *, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return rows, precision, recall and F1 of each class; what has no rows to be measured on is 0."""
    right, asked, said = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    precision, recall = right / np.maximum(said, 1), right / np.maximum(asked, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return [
        {
            "class": name,
            "rows": int(asked[i]),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
        }
        for i, name in enumerate(names)
    ]

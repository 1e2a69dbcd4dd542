"""Metrics of rows that may have several labels."""

import numpy as np

from fairway.model.metrics.base import AnsweredRows, Array, Metric

THRESHOLD = 0.5  # probability from which a row is said to have a label


class MicroF1(Metric):
    name = "micro_f1"
    better = "high"
    words = "F1 over all labels"
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return micro_f1(said(rows.raw), rows.target)


class MacroF1(Metric):
    name = "macro_f1"
    better = "high"
    words = "mean F1 of the labels"
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return macro_f1(said(rows.raw), rows.target)


class Exact(Metric):
    name = "exact"
    better = "high"
    words = "rows whose labels are all right"
    compared = False
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return float((said(rows.raw) == rows.target).all(axis=1).mean())


class HammingLoss(Metric):
    name = "hamming_loss"
    better = "low"
    words = "labels that are wrong"
    compared = False
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return float((said(rows.raw) != rows.target).mean())


def said(probabilities: Array) -> Array:
    """Return which labels each row is said to have."""
    there: Array = probabilities >= THRESHOLD
    return there


def micro_f1(said: Array, target: Array) -> float:
    """Return the F1 of all labels taken together."""
    both = (said & (target == 1)).sum()
    return float(2 * both / max(said.sum() + target.sum(), 1))


def macro_f1(said: Array, target: Array) -> float:
    """Return the mean of the labels' F1."""
    both = (said & (target == 1)).sum(axis=0)
    return float((2 * both / np.maximum(said.sum(axis=0) + target.sum(axis=0), 1)).mean())

"""Metrics of classes: what the likeliest class of a row is worth, and the probabilities."""

import numpy as np

from fairway.model.metrics import calibration
from fairway.model.metrics.base import AnsweredRows, Array, Metric

FLOOR = 1e-7  # a probability of 0 for what happened would make the loss infinite


class Accuracy(Metric):
    name = "accuracy"
    better = "high"
    words = "accuracy"
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return accuracy(rows.raw, rows.target)


class LogLoss(Metric):
    """Of classes, and of labels of which a row may have several."""

    name = "log_loss"
    better = "low"
    words = "log loss"

    def measure(self, rows: AnsweredRows) -> float:
        several = rows.target.ndim > 1
        return (labels_loss if several else log_loss)(rows.raw, rows.target)


class BalancedAccuracy(Metric):
    name = "balanced_accuracy"
    better = "high"
    words = "balanced accuracy"
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return balanced_accuracy(rows.raw.argmax(axis=1), rows.target)


class AveragePrecision(Metric):
    name = "average_precision"
    better = "high"
    words = "average precision"
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return average_precision(rows.raw, rows.target)


class CalibrationError(Metric):
    name = "calibration_error"
    better = "low"
    words = "calibration error"
    compared = False
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return calibration.error(rows.raw, rows.target)


def accuracy(probabilities: Array, target: Array) -> float:
    """Return the share of rows whose likeliest class is the true one."""
    return float((probabilities.argmax(axis=1) == target).mean())


def log_loss(probabilities: Array, target: Array) -> float:
    """Return the mean negative log probability of the true class, in nats."""
    chosen = probabilities[np.arange(len(target)), target].astype(np.float64)
    return float(-np.log(np.clip(chosen, FLOOR, 1.0)).mean())


def labels_loss(probabilities: Array, target: Array) -> float:
    """Return the mean negative log probability of what each row has and has not of the labels."""
    chosen = np.where(target == 1, probabilities, 1 - probabilities.astype(np.float64))
    return float(-np.log(np.clip(chosen, FLOOR, 1.0)).mean())


def balanced_accuracy(predicted: Array, target: Array) -> float:
    """Return the mean over the classes that are there of the share of their rows that is found."""
    return float(
        np.mean([(predicted[target == place] == place).mean() for place in np.unique(target)])
    )


def average_precision(probabilities: Array, target: Array) -> float:
    """Return the area under precision by recall: of the rarer of two classes, of more the mean over
    those that are there."""
    counts = np.bincount(target, minlength=probabilities.shape[1])
    places = [_rarer(counts)] if len(counts) == 2 else np.flatnonzero(counts)
    return float(
        np.mean([_average_precision(probabilities[:, place], target == place) for place in places])
    )


def positives(shares: Array) -> float:
    """Return the average precision of answers that are the same for every row."""
    return float(shares[_rarer(shares)]) if len(shares) == 2 else float(shares[shares > 0].mean())


def _rarer(counts: Array) -> int:
    """Return the place of the rarer of two classes, of the other one where it has no row at all."""
    rarer = int(np.argmin(counts))
    return rarer if counts[rarer] else 1 - rarer


def _average_precision(scores: Array, hits: Array) -> float:
    """Return the precision at each different score, weighted by the recall that it adds."""
    order = np.argsort(-scores, kind="stable")
    found, last = np.cumsum(hits[order]), np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    precision, recall = found[last] / (last + 1), found[last] / hits.sum()
    return float((precision * np.diff(np.r_[0.0, recall])).sum())

"""Metrics of rows in an order, over the groups in which there is something to find."""

from collections.abc import Callable

import numpy as np

from fairway.model.metrics.base import AnsweredRows, Array, Metric

FIRST = 10  # places of a group that count
HIGHEST = 31  # relevance: the gain of a row is 2 to its power, less 1


class Ndcg(Metric):
    name = "ndcg"
    better = "high"
    words = f"NDCG of the first {FIRST}"
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return _mean(ndcg, rows)


class Top1(Metric):
    name = "top1"
    better = "high"
    words = "groups whose first row is a most relevant one"
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        return _mean(top1, rows)


def ndcg(scores: Array, relevance: Array) -> float:
    """Return the discounted gain of the rows in order of their scores, by that of the best order; 1
    where there is nothing to find (Jarvelin & Kekalainen 2002, with the gains of Burges et al.
    2005).

    Rows of one score share the gain of their places (McSherry & Najork 2008): the order that they
    came in says nothing.
    """
    gains = np.exp2(np.clip(relevance, 0, HIGHEST)) - 1
    discounts = np.where(np.arange(len(gains)) < FIRST, 1 / np.log2(np.arange(len(gains)) + 2), 0)
    best = float(np.sort(gains)[::-1] @ discounts)
    if best <= 0:
        return 1.0
    order = np.argsort(-scores, kind="stable")
    tie = np.r_[0, np.cumsum(np.diff(scores[order]) != 0)]
    each = np.bincount(tie, weights=gains[order]) / np.bincount(tie)
    return float(each @ np.bincount(tie, weights=discounts)) / best


def top1(scores: Array, relevance: Array) -> float:
    """Return the share of the rows with the highest score that are most relevant."""
    return float((relevance[scores == scores.max()] == relevance.max()).mean())


def groups(numbers: Array) -> list[Array]:
    """Return the places of each group's rows, from the number of each row's group."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(numbers) else []


def _mean(value: Callable[[Array, Array], float], rows: AnsweredRows) -> float:
    scores, relevance = rows.raw[:, 0], rows.target[:, 1]
    found = [
        value(scores[places], relevance[places])
        for places in groups(rows.target[:, 0])
        if relevance[places].max() > 0
    ]
    return float(np.mean(found)) if found else 1.0

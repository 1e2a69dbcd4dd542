"""Metrics of classes with parents."""

import numpy as np

from fairway.model.metrics.base import AnsweredRows, Metric


class HierarchicalF(Metric):
    """1 less the mean loss of the answers, see the task."""

    name = "hierarchical_f"
    better = "high"
    words = "hierarchical F"
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        truth = [rows.schema.classes[place] for place in rows.target]
        return 1 - float(rows.task.loss(rows.answers, truth, rows.schema).mean())


class ClassShare(Metric):
    name = "class_share"
    better = "high"
    words = "answers that are a class and no ancestor"
    compared = False
    share = True

    def measure(self, rows: AnsweredRows) -> float:
        classes = set(rows.schema.classes)
        return float(np.mean([answer in classes for answer in rows.answers]))

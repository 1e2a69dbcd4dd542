"""Slices: parts of the test rows that may fare worse than the whole."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.config import schema
from fairway.data import splits
from fairway.evaluation import metrics

FEW = 12      # categories with at most this many values are sliced without being asked
PARTS = 4     # a number is cut at its quartiles


def measure(section: schema.Evaluation, *, data: splits.Splits, probabilities: NDArray[Any]) -> list[dict[str, Any]]:
    """Gives accuracy and log loss of each slice, worst first; small ones are marked as not judged."""
    test = data.test
    rows = []
    for name in _columns(section, data):
        for label, inside in _values(data, name):
            count = int(inside.sum())
            if count:
                rows.append({"slice": label, "rows": count, "accuracy": metrics.accuracy(probabilities[inside], test.target[inside]),
                             "log_loss": metrics.log_loss(probabilities[inside], test.target[inside]), "judged": count >= section.min_slice_rows})
    return sorted(rows, key=lambda row: (not row["judged"], row["accuracy"]))


def _columns(section: schema.Evaluation, data: splits.Splits) -> Sequence[str]:
    known = {feature.name: feature for feature in data.schema.features}
    unknown = [name for name in section.slices if name not in known]
    if unknown:
        raise errors.DataError(f"evaluation.slices names {unknown[0]!r}: wanted one of {', '.join(known)}")
    return section.slices or [f.name for f in data.schema.features if f.kind == "category" and len(f.categories) <= FEW]


def _values(data: splits.Splits, name: str) -> list[tuple[str, NDArray[Any]]]:
    column = data.test.columns[name]
    feature = next(f for f in data.schema.features if f.name == name)
    if feature.kind == "category":
        return [(f"{name} = {value or '(missing)'}", column == value) for value in sorted(set(column.tolist()))]
    if feature.kind != "number":
        raise errors.DataError(f"evaluation.slices names {name}, which is an image: wanted a number or a category")
    edges = np.unique(np.nanquantile(column, np.linspace(0, 1, PARTS + 1)))
    parts = [(f"{name} in {low:g} to {high:g}", (column >= low) & ((column < high) if high != edges[-1] else (column <= high)))
             for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return [*parts, (f"{name} = (missing)", np.isnan(column))]

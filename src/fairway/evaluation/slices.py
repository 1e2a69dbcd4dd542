"""Slices: parts of the test rows that may fare worse than the whole."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import splits
from fairway.evaluation import metrics
from fairway.model.schema import Feature

FEW = 12  # categories with at most this many values are sliced without being asked
PARTS = 4  # a number is cut at its quartiles, or by value where it has no more values than that


def measure(section: sections.Evaluation, *, data: splits.Splits, probabilities: NDArray[Any]) -> list[dict[str, Any]]:
    """Return accuracy and log loss of each slice, worst first; small ones are marked as not judged."""
    rows = []
    for feature in _sliced(section.slices, data):
        for label, inside in parts(data.test.columns[feature.name], feature=feature):
            count = int(inside.sum())
            if count:
                answers, truth = probabilities[inside], data.test.target[inside]
                rows.append(
                    {
                        "slice": label,
                        "rows": count,
                        "accuracy": metrics.accuracy(answers, truth),
                        "log_loss": metrics.log_loss(answers, truth),
                        "judged": count >= section.min_slice_rows,
                    }
                )
    return sorted(rows, key=lambda row: (not row["judged"], row["accuracy"]))


def parts(column: NDArray[Any], *, feature: Feature) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return each part of a column with its label; every row is in exactly one."""
    if feature.kind == "category":
        texts = np.array([value or "" for value in column.tolist()], dtype=object)
        return [(f"{feature.name} = {value or '(missing)'}", texts == value) for value in sorted(set(texts.tolist()))]
    absent = np.isnan(column)
    return [*_ranges(column, feature.name, present=column[~absent]), (f"{feature.name} = (missing)", absent)]


def _ranges(column: NDArray[Any], name: str, *, present: NDArray[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    values = np.unique(present)
    if len(values) <= PARTS:
        return [(f"{name} = {value:g}", column == value) for value in values]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, PARTS + 1)))
    pairs = list(itertools.pairwise(edges))
    inner = [(f"{name} from {low:g} to below {high:g}", (column >= low) & (column < high)) for low, high in pairs[:-1]]
    low, high = pairs[-1]
    return [*inner, (f"{name} from {low:g} to {high:g}", (column >= low) & (column <= high))]


def _sliced(names: Sequence[str], data: splits.Splits) -> list[Feature]:
    known = {feature.name: feature for feature in data.schema.features}
    if not names:
        return [feature for feature in known.values() if feature.kind == "category" and len(feature.categories) <= FEW]
    for name in names:
        if name not in known:
            raise errors.DataError(f"evaluation.slices names {name!r}: wanted some of {', '.join(known)}")
        if known[name].kind == "image":
            raise errors.DataError(
                f"evaluation.slices names {name!r}, which is an image: wanted a number or a category"
            )
    return [known[name] for name in names]

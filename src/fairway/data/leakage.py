"""Leaks: what a model could know in training and cannot know in service. Each finding is a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.data import split
from fairway.model import kinds
from fairway.model.schema import Feature, Schema

SUSPICIOUS = 0.99  # share of rows that one feature alone predicts; real single features stay far below
MANY = 0.9  # share of different values from which a whole number looks like a row's name


@dataclass(frozen=True)
class Telling:
    """How much of the target one feature tells by itself."""

    share: float  # of the rows whose class it tells
    base: float  # share of the most frequent class, which no feature is needed for

    def __str__(self) -> str:
        return f"tells the class of {self.share:.1%} of the rows (the most frequent class: {self.base:.1%})"


def telling(feature: Feature, values: NDArray[Any], target: NDArray[np.int64]) -> Telling | None:
    """Return how much the feature alone tells where that is nearly everything, else None."""
    bins = kinds.of(feature).bins(values)
    return _telling(bins[0], target) if bins is not None else None


def too_good(raw: Mapping[str, NDArray[Any]], target: NDArray[np.int64], *, schema: Schema) -> tuple[str, ...]:
    """Return a sentence for each feature whose value alone tells the class of nearly every row, or that numbers the rows."""
    found = []
    for feature in schema.features:
        found_bins = kinds.of(feature).bins(raw[feature.name])
        if found_bins is None:
            continue
        bins, distinct = found_bins
        if feature.dtype == "int" and distinct > MANY * len(target) and len(target) > 100:
            found.append(
                f"feature {feature.name} has a different value in nearly every row: "
                "if it names the row, add it to data.ignore"
            )
        told = _telling(bins, target)
        if told is not None:
            found.append(f"feature {feature.name} alone {told}: if it is only known afterwards, add it to data.ignore")
    return tuple(found)


def shared(values: NDArray[Any], parts: split.Parts, *, what: str, remedy: str) -> tuple[str, ...]:
    """Return a sentence where rows held out for validation or test have values that training rows have too."""
    held_out = np.concatenate([parts.validation, parts.test])
    count = int(np.isin(values[held_out], values[parts.train]).sum())
    if not count:
        return ()
    return (
        f"{count} of the {len(held_out)} validation and test rows {what}, so that their scores flatter the model: {remedy}",
    )


def _telling(bins: NDArray[np.int64], target: NDArray[np.int64]) -> Telling | None:
    told = Telling(share=_alone(bins, target), base=float(np.bincount(target).max() / len(target)))
    return told if told.share > max(SUSPICIOUS, told.base + 0.05) else None


def _alone(bins: NDArray[np.int64], target: NDArray[np.int64]) -> float:
    """Return the accuracy of the best rule that looks at this feature only."""
    table = np.zeros((int(bins.max()) + 1, int(target.max()) + 1))
    np.add.at(table, (bins, target), 1)
    return float(table.max(axis=1).sum() / len(target))

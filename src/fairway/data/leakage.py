"""Leaks: what a model could know in training and cannot know in service. Each finding is a
sentence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.data import split
from fairway.model import kinds, tasks
from fairway.model.schema import Feature, Schema

MANY = 0.9  # share of different values from which a whole number looks like a row's name


def telling(
    feature: Feature, values: NDArray[Any], target: NDArray[Any], *, task: tasks.Task
) -> str | None:
    """Return, in words, how much of the target the feature tells alone where that is nearly
    everything, else None."""
    bins = kinds.of(feature).bins(values)
    return task.told_by(bins[0], target) if bins is not None else None


def too_good(
    raw: Mapping[str, NDArray[Any]], target: NDArray[Any], *, schema: Schema
) -> tuple[str, ...]:
    """Return a sentence for each feature whose value alone tells the class of nearly every row, or
    that numbers the rows."""
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
        told = tasks.of(schema).told_by(bins, target)
        if told is not None:
            found.append(
                f"feature {feature.name} alone {told}: if it is only known afterwards, add it to data.ignore"
            )
    return tuple(found)


def shared(values: NDArray[Any], parts: split.Parts, *, what: str, remedy: str) -> tuple[str, ...]:
    """Return a sentence where rows held out for validation or test have values that training rows
    have too."""
    held_out = np.concatenate([parts.validation, parts.test])
    count = int(np.isin(values[held_out], values[parts.train]).sum())
    if not count:
        return ()
    return (
        f"{count} of the {len(held_out)} validation and test rows {what}, so that their scores flatter the "
        f"model: {remedy}",
    )

"""Preprocessing fitted: the steps of each feature, from the training split's rows and no others."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fairway.model.preprocessing import Preprocessor
from fairway.model.schema import Array, Feature, Schema

# Numbers are clipped this many ranges beyond those of training: a wild value must not drown the others, a shift still shows.
REACH = 1.5


def fit(columns: Mapping[str, Array], *, schema: Schema) -> Preprocessor:
    """Return the fitted preprocessing.

    Numbers: the median where missing, clipped well beyond the training range, mean 0 and deviation 1. Categories: their
    index, one more where values are missing. Images: from their range to 0..1.
    """
    return Preprocessor(
        [
            {"name": f.name, "kind": f.kind, "shape": list(f.shape), "steps": _steps(f, columns[f.name])}
            for f in schema.features
        ]
    )


def _steps(feature: Feature, values: Array) -> list[dict[str, Any]]:
    if feature.kind == "category":
        seen = {None if value is None or value == "" or value != value else value for value in values.tolist()}
        names = [
            name for name in feature.categories if name in seen
        ]  # one of the test rows' alone is as unknown as any other
        missing = {"missing": len(names) + 1} if None in seen else {}
        return [{"op": "encode", "categories": names, **missing}]
    if feature.kind == "image":
        low, high = float(values.min()), float(values.max())
        return [{"op": "scale", "offset": low, "factor": 1.0 / (high - low) if high > low else 1.0}]
    known = values[~np.isnan(values)].astype(np.float64)
    median = float(np.median(known)) if len(known) else 0.0
    filled = np.where(np.isnan(values), median, values)
    low, high, deviation = float(filled.min()), float(filled.max()), float(filled.std())
    reach = REACH * (high - low) if high > low else 1.0
    return [
        {"op": "impute", "value": median},
        {"op": "clip", "low": low - reach, "high": high + reach},
        {"op": "scale", "mean": float(filled.mean()), "std": deviation if deviation > 0 else 1.0},
    ]

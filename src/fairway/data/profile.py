"""The profile of a split: what a person looks at first, and what a later split can be compared with."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.model.schema import Feature, Schema

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP = 20


def describe(raw: Mapping[str, NDArray[Any]], target: list[str], *, schema: Schema) -> dict[str, Any]:
    """Return rows, class shares, and per feature its missing share and distribution."""
    counts = Counter(target)
    return {
        "rows": len(target),
        "classes": {label: counts.get(label, 0) for label in schema.classes},
        "features": {feature.name: _feature(raw[feature.name], feature) for feature in schema.features},
    }


def _feature(values: NDArray[Any], feature: Feature) -> dict[str, Any]:
    if feature.kind == "category":
        counts = Counter(values.tolist())
        missing = counts.pop("", 0)
        return {"missing": missing / max(1, len(values)), "distinct": len(counts), "top": dict(counts.most_common(TOP))}
    flat = values.astype(np.float64).ravel()
    known = flat[~np.isnan(flat)]
    if not len(known):
        return {"missing": 1.0}
    quantiles = {str(q): float(v) for q, v in zip(QUANTILES, np.quantile(known, QUANTILES), strict=True)}
    return {
        "missing": 1 - len(known) / len(flat),
        "mean": float(known.mean()),
        "std": float(known.std()),
        "min": float(known.min()),
        "max": float(known.max()),
        "quantiles": quantiles,
    }

"""The profile of a split: what a person looks at first, and what a later split can be compared with."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fairway.model import kinds
from fairway.model.schema import Schema


def describe(raw: Mapping[str, NDArray[Any]], target: list[str], *, schema: Schema) -> dict[str, Any]:
    """Return rows, class shares, and per feature its missing share and distribution."""
    counts = Counter(target)
    return {
        "rows": len(target),
        "classes": {label: counts.get(label, 0) for label in schema.classes},
        "features": {feature.name: kinds.of(feature).profile(raw[feature.name]) for feature in schema.features},
    }

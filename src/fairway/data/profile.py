"""The profile of a split: what a person looks at first, and what a later split can be compared
with."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fairway.model import kinds, tasks
from fairway.model.schema import Schema


def describe(
    raw: Mapping[str, NDArray[Any]], labels: list[Any], *, schema: Schema
) -> dict[str, Any]:
    """Return rows, the target's distribution, and per feature its missing share and distribution."""
    task = tasks.of(schema)
    return {
        "rows": len(labels),
        **task.profile(task.encode(labels, schema), schema),
        "features": {
            feature.name: kinds.of(feature).profile(raw[feature.name])
            for feature in schema.features
        },
    }


def remarks(raw: Mapping[str, NDArray[Any]], *, schema: Schema) -> tuple[str, ...]:
    """Return a sentence for each feature of which a person should know something."""
    found = (
        (feature.name, kinds.of(feature).remark(feature, raw[feature.name]))
        for feature in schema.features
    )
    return tuple(f"feature {name} {remark}" for name, remark in found if remark is not None)

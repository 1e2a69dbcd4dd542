"""Slices: parts of the test rows that may fare worse than the whole."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import splits
from fairway.model import kinds, tasks
from fairway.model.schema import Feature


def measure(
    section: sections.Evaluation, *, data: splits.Splits, raw: NDArray[Any]
) -> list[dict[str, Any]]:
    """Return the metrics of each slice, worst first; small ones are marked as not judged. `raw` is
    what the graph answers."""
    task = tasks.of(data.schema)
    primary = task.metric(section.metric)
    rows = []
    for feature in _sliced(section.slices, data):
        for label, inside in kinds.of(feature).parts(data.test.columns[feature.name], feature):
            count = int(inside.sum())
            if count:
                scores = task.compare(raw[inside], data.test.target[inside], data.schema)
                rows.append(
                    {
                        "slice": label,
                        "rows": count,
                        **scores,
                        "judged": count >= section.min_slice_rows and primary.name in scores,
                    }
                )
    return sorted(rows, key=lambda row: (not row["judged"], task.rank(row, by=primary)[0]))


def _sliced(names: Sequence[str], data: splits.Splits) -> list[Feature]:
    known = {feature.name: feature for feature in data.schema.features}
    if not names:
        return [feature for feature in known.values() if kinds.of(feature).is_sliced(feature)]
    for name in names:
        if name not in known:
            raise errors.DataError(
                f"evaluation.slices names {name!r}: wanted some of {', '.join(known)}"
            )
        kind = kinds.of(known[name])
        if not kind.sliceable:
            raise errors.DataError(
                f"evaluation.slices names {name!r}, which is {kind.noun}: wanted a number or a category"
            )
    return [known[name] for name in names]

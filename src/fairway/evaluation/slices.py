"""Slices: parts of the test rows that may fare worse than the whole."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import splits
from fairway.evaluation import metrics
from fairway.model import kinds
from fairway.model.schema import Feature


def measure(section: sections.Evaluation, *, data: splits.Splits, probabilities: NDArray[Any]) -> list[dict[str, Any]]:
    """Return accuracy and log loss of each slice, worst first; small ones are marked as not judged."""
    rows = []
    for feature in _sliced(section.slices, data):
        for label, inside in kinds.of(feature).parts(data.test.columns[feature.name], feature):
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


def _sliced(names: Sequence[str], data: splits.Splits) -> list[Feature]:
    known = {feature.name: feature for feature in data.schema.features}
    if not names:
        return [feature for feature in known.values() if kinds.of(feature).is_sliced(feature)]
    for name in names:
        if name not in known:
            raise errors.DataError(f"evaluation.slices names {name!r}: wanted some of {', '.join(known)}")
        kind = kinds.of(known[name])
        if not kind.sliceable:
            raise errors.DataError(
                f"evaluation.slices names {name!r}, which is {kind.noun}: wanted a number or a category"
            )
    return [known[name] for name in names]

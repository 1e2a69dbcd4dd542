"""Predictions for a file's worth of rows: chunks of columns in, chunks of answers out, one in
memory at a time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairway import errors
from fairway.packaging import golden
from fairway.serving import predictor


@dataclass(frozen=True, kw_only=True)
class ChunkAnswers:
    """The answers to one chunk, row by row."""

    labels: list[Any]
    values: dict[str, Any]  # of each output tensor, by its name
    unusual: dict[str, int]  # rows beyond the training range, by feature
    # rows whose value could not be read and was taken as missing, by feature
    unreadable: dict[str, int]


def predict(
    model: predictor.Predictor, chunks: Iterable[Mapping[str, Any]], *, lenient: bool = False
) -> Iterator[ChunkAnswers]:
    """Return the answers of each chunk (columns by feature name, others are ignored).

    Raises DataError for a missing column, and for a value that cannot be read; the latter is
    missing and counted where the reading is lenient, as `serving.unreadable` says.
    """
    features = model.package.features
    for chunk in chunks:
        missing = [feature.name for feature in features if feature.name not in chunk]
        if missing:
            raise errors.DataError(
                f"the rows have no column {missing[0]!r}: wanted every feature of {model.name}; rename or add it"
            )
        try:
            unreadable: dict[str, int] | None = {} if lenient else None
            columns = golden.columns_of(chunk, features=features, unreadable=unreadable)
        except (TypeError, ValueError) as error:
            raise errors.DataError(
                f"the rows do not fit the schema of {model.name}: {error}"
            ) from error
        raw = model.predict(columns, unreadable=unreadable or {})
        labels = model.labels(raw)
        values = {name: model.task.value(name, raw=raw, labels=labels) for name in model.outputs}
        yield ChunkAnswers(
            labels=labels,
            values=values,
            unusual=model.unusual(columns),
            unreadable=unreadable or {},
        )

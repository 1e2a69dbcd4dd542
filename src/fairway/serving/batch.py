"""Predictions for a file's worth of rows: chunks of columns in, chunks of answers out, one chunk in memory at a
time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairway import errors
from fairway.packaging import golden
from fairway.serving import predictor


@dataclass(frozen=True, kw_only=True)
class ChunkAnswers:
    """The answers to one chunk, row by row."""

    labels: list[str]
    confidence: "np.ndarray[Any, Any]"
    probabilities: "np.ndarray[Any, Any]"
    unusual: dict[str, int]  # rows beyond the training range, by feature


def predict(model: predictor.Predictor, chunks: Iterable[Mapping[str, Any]]) -> Iterator[ChunkAnswers]:
    """Return the answers of each chunk (columns by feature name, others are ignored); raises DataError for a missing
    column."""
    features = model.package.features
    for chunk in chunks:
        missing = [feature.name for feature in features if feature.name not in chunk]
        if missing:
            raise errors.DataError(
                f"the rows have no column {missing[0]!r}: wanted every feature of {model.name}; rename or add it"
            )
        try:
            columns = golden.columns_of(chunk, features=features)
        except (TypeError, ValueError) as error:
            raise errors.DataError(f"the rows do not fit the schema of {model.name}: {error}") from error
        probabilities = model.predict(columns)
        yield ChunkAnswers(
            labels=model.labels(probabilities),
            confidence=probabilities.max(axis=1),
            probabilities=probabilities,
            unusual=model.unusual(columns),
        )

"""Raw columns held against the schema, in one sentence for the first that does not fit. numpy only, for the model server."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fairway import artifacts, errors
from fairway.data.schema import Array, Feature, Schema


def load(path: Path) -> Schema:
    """Return the schema in a `schema.json`; raises DataError where it cannot be read."""
    try:
        return Schema.from_json(artifacts.read_json(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.DataError(f"{path} cannot be read as a schema ({error!r}): prepare the data again") from error


def columns(given: Mapping[str, Array], *, schema: Schema) -> None:
    """Return where raw columns fit the schema; raises DataError naming the feature, its value and what was wanted.

    Values beyond the training range and unknown categories pass: the preprocessing has an answer for both.
    """
    names = [feature.name for feature in schema.features]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise errors.DataError(f"{unknown[0]!r} is none of the model's features: wanted {', '.join(names)}")
    rows = -1
    for feature in schema.features:
        if feature.name not in given:
            raise errors.DataError(f"feature {feature.name!r} is missing: wanted a column for every feature")
        column = given[feature.name]
        _shape(column, feature)
        if rows not in (-1, len(column)):
            seen = f"{len(column)} rows, the ones before it {rows}"
            raise errors.DataError(f"feature {feature.name!r} has {seen}: wanted one number")
        rows = len(column)
        CHECKS[feature.kind](column, feature)


def _number(column: Array, feature: Feature) -> None:
    if column.dtype.kind not in "iufb":
        wrong = [value for value in column.tolist() if value is not None and type(value) not in (int, float)]
        if wrong:
            raise errors.DataError(f"feature {feature.name!r} has the value {wrong[0]!r}: wanted a number")
    values = column.astype(np.float64)
    if np.isinf(values).any():
        raise errors.DataError(f"feature {feature.name!r} has an infinite value: wanted a finite number")
    if not feature.nullable and np.isnan(values).any():
        raise errors.DataError(
            f"feature {feature.name!r} has a missing value: wanted a number, as in every row of the dataset"
        )


def _category(column: Array, feature: Feature) -> None:
    for value in column.tolist():
        if value is None or value == "" or value != value:
            if not feature.nullable:
                known = ", ".join(feature.categories[:3])
                raise errors.DataError(f"feature {feature.name!r} has a missing value: wanted one such as {known}")
        elif not isinstance(value, str):
            raise errors.DataError(f"feature {feature.name!r} has the value {value!r}: wanted a string")


def _image(column: Array, feature: Feature) -> None:
    if column.dtype.kind not in "iuf":
        raise errors.DataError(f"feature {feature.name!r} has values of type {column.dtype}: wanted numbers")
    if not np.isfinite(column).all():
        raise errors.DataError(f"feature {feature.name!r} has a pixel that is not finite: wanted finite numbers")


def _shape(column: Array, feature: Feature) -> None:
    shape = feature.shape if feature.kind == "image" else ()
    if column.shape[1:] != shape and not (shape and column.shape[1:] == (math.prod(shape),)):
        wanted = ", ".join(map(str, ("n", *shape)))
        raise errors.DataError(f"feature {feature.name!r} has shape {list(column.shape)}: wanted [{wanted}]")


CHECKS = {"number": _number, "category": _category, "image": _image}

"""A data frame's columns as the raw arrays that everything after the data stage works on."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.model import kinds
from fairway.model.schema import Feature, Schema


def to_raw(frame: pd.DataFrame, *, schema: Schema) -> dict[str, NDArray[Any]]:
    """Return the schema's features as raw columns; raises DataError naming the value that is none."""
    return {feature.name: column(frame[feature.name], feature) for feature in schema.features}


def column(values: "pd.Series[Any]", feature: Feature) -> NDArray[Any]:
    """Return one column, read as its feature's kind reads values."""
    try:
        return kinds.of(feature).read(plain(values), feature)
    except kinds.Unreadable as error:
        row = values.index[error.row]
        raise errors.DataError(
            f"feature {feature.name} is {errors.excerpt(error.value)!r} in row {row}: wanted {error.wanted}"
        ) from error


def plain(values: "pd.Series[Any]") -> NDArray[Any]:
    """Return the values as numpy or Python has them, missing ones as NaN or None."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iufb":
        return values.to_numpy()
    unknown: Any = None
    return values.astype(object).where(values.notna(), unknown).to_numpy()

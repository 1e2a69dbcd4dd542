"""A data frame's columns as the raw arrays that everything after the data stage works on."""

import contextlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.model import kinds, spelling
from fairway.model.schema import Feature, Schema


def tidied(frame: pd.DataFrame, *, missing: Iterable[str]) -> pd.DataFrame:
    """Return the frame with text for bytes, numbers for decimals, and NaN or None for what stands
    for no value."""
    gaps = Feature(name="", kind="category", missing=tuple(missing))
    changed = {name: _tidied(frame[name], gaps) for name in frame.columns}
    return frame.assign(
        **{str(name): column for name, column in changed.items() if column is not frame[name]}
    )


def _tidied(column: "pd.Series[Any]", gaps: Feature) -> "pd.Series[Any]":
    if pd.api.types.is_bool_dtype(column):
        return column
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.isin(gaps.missing_numbers)
        return column.mask(numbers) if numbers.any() else column
    if column.dtype != object and not pd.api.types.is_string_dtype(column):
        return column
    values = [_value(value) for value in column]
    absent = np.array(
        [value is pd.NA or value is pd.NaT or gaps.lacks(value) for value in values], dtype=bool
    )
    if any(type(value) is Decimal for value in values):
        return _decimals(
            pd.Series(values, column.index, dtype=object, name=column.name).mask(absent)
        )
    changed = absent.any() or any(new is not old for new, old in zip(values, column, strict=True))
    return (
        pd.Series(values, column.index, dtype=object, name=column.name).mask(absent, None)
        if changed
        else column
    )


def _value(value: Any) -> Any:
    """Return the text of bytes, and everything else as it is."""
    if not isinstance(value, bytes):
        return value
    with contextlib.suppress(UnicodeDecodeError):
        return value.decode("utf-8")
    return value


def _decimals(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return decimals as whole numbers or floats; those that a float cannot hold stay, and are told
    of."""
    known = column.dropna()
    if not all(isinstance(value, Decimal | int | float) for value in known):
        return column
    whole = all(value == int(value) for value in known)
    if whole and any(abs(value) > spelling.EXACT for value in known):
        return known.map(int).reindex(column.index).astype(object)
    return column.astype("int64" if whole and len(known) == len(column) else "float64")


def to_raw(frame: pd.DataFrame, *, schema: Schema) -> dict[str, NDArray[Any]]:
    """Return the schema's features as raw columns; raises DataError naming the value that is none."""
    return {feature.name: column(frame[feature.name], feature) for feature in schema.features}


def column(
    values: "pd.Series[Any]", feature: Feature, *, lost: list[int] | None = None
) -> NDArray[Any]:
    """Return one column, read as its feature's kind reads values; a value that is none raises
    DataError or, where `lost` is given, is missing, and its place is added there."""
    try:
        return kinds.of(feature).read(plain(values), feature, lost=lost)
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

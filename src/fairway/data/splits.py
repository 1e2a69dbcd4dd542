"""The prepared splits, read back: what training, evaluation and packaging work on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fairway import artifacts, errors
from fairway.model import preprocessing, tasks
from fairway.model.schema import Feature, Schema

ROW = "__row__"
OLDER = "older"
NEW = -1  # in place of a row number: newly labelled, not of the source


@dataclass(frozen=True)
class Split:
    """One split: raw columns, the labels, the target as the task encodes them (class indices), and
    the row's number in the source (-1: newly labelled)."""

    columns: Mapping[str, NDArray[Any]]
    labels: list[Any]
    target: NDArray[Any]
    rows: NDArray[np.int64]
    preprocessor: preprocessing.Preprocessor = field(repr=False)

    def inputs(self, layout: str = "named") -> dict[str, NDArray[Any]]:
        """Return the preprocessed inputs of a graph: numbers, categories and image; or the matrix
        `features`, where a category is one-hot (layout flat) or one column with its index (layout
        columns)."""
        named = self.preprocessor.transform(self.columns)
        if layout == "named":
            return dict(named)
        return {
            "features": preprocessing.flat(named)
            if layout == "flat"
            else preprocessing.beside(named)
        }

    def at(self, places: NDArray[np.int64]) -> "Split":
        """Return the rows at these places."""
        return Split(
            {name: values[places] for name, values in self.columns.items()},
            [self.labels[place] for place in places],
            self.target[places],
            self.rows[places],
            self.preprocessor,
        )

    def after(self, other: "Split") -> "Split":
        """Return the other's rows and then these."""
        return Split(
            {
                name: np.concatenate([other.columns[name], self.columns[name]])
                for name in self.columns
            },
            [*other.labels, *self.labels],
            np.concatenate([other.target, self.target]),
            np.concatenate([other.rows, self.rows]),
            self.preprocessor,
        )

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Splits:
    """A prepared dataset."""

    path: Path
    schema: Schema
    preprocessor: preprocessing.Preprocessor = field(repr=False)

    @cached_property
    def train(self) -> Split:
        return self._read("train")

    @cached_property
    def validation(self) -> Split:
        return self._read("validation")

    @cached_property
    def test(self) -> Split:
        return self._read("test")

    @cached_property
    def recent(self) -> Split | None:
        """Newly labelled rows that were kept for evaluation, where there are any."""
        return self._optional("recent")

    @cached_property
    def older(self) -> Split | None:
        """What `data.sliding` took out of training and validation, where it did."""
        return self._optional(OLDER)

    def _optional(self, name: str) -> Split | None:
        return self._read(name) if (self.path / f"{name}.parquet").exists() else None

    def _read(self, name: str) -> Split:
        raw, labels, rows = read(self.path / f"{name}.parquet", schema=self.schema)
        return Split(
            raw, labels, tasks.of(self.schema).encode(labels, self.schema), rows, self.preprocessor
        )


def load(path: Path) -> Splits:
    """Return the prepared dataset in `path`; raises DataError where a file of it is missing."""
    try:
        schema = Schema.from_json(artifacts.read_json(path / "schema.json"))
        preprocessor = preprocessing.Preprocessor.load(
            artifacts.read_json(path / "preprocessing.json")
        )
    except (OSError, ValueError, KeyError) as error:
        raise errors.DataError(
            f"{path} is no prepared dataset ({error}): run `fairway prepare`"
        ) from error
    return Splits(path, schema, preprocessor)


def columns(path: Path, name: str) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the raw columns of one split and the rows' numbers in the source."""
    raw, _, rows = read(path / f"{name}.parquet", schema=load(path).schema)
    return raw, rows


def read(
    file: Path, *, schema: Schema
) -> tuple[dict[str, NDArray[Any]], list[Any], NDArray[np.int64]]:
    """Return raw columns (NaN and "" where missing), labels and row numbers of a file that
    `frame_to_table` wrote."""
    try:
        # `read_table` would import pyarrow's datasets, and they pandas
        with pq.ParquetFile(file) as opened:  # type: ignore[no-untyped-call]
            table = opened.read()
    except (OSError, pa.ArrowInvalid) as error:
        raise errors.DataError(
            f"{file} cannot be read ({error}): run `fairway prepare` again"
        ) from error
    raw = {feature.name: _column(table[feature.name], feature) for feature in schema.features}
    rows = _numbers(table[ROW]) if ROW in table.column_names else np.full(table.num_rows, -1)
    return raw, table[schema.target].to_pylist(), rows.astype(np.int64)


def write(
    file: Path,
    *,
    raw: Mapping[str, NDArray[Any]],
    labels: list[Any],
    rows: NDArray[np.int64],
    schema: Schema,
) -> None:
    """Write one split; the same content gives the same bytes."""
    arrays = {feature.name: _arrow(raw[feature.name]) for feature in schema.features}
    table = pa.table({**arrays, schema.target: pa.array(labels), ROW: pa.array(rows, pa.int64())})
    pq.write_table(table, file, compression="zstd")  # type: ignore[no-untyped-call]


def _arrow(values: NDArray[Any]) -> pa.Array:
    """Return numbers with null for NaN, words with null for the empty one, and blocks of numbers
    side by side."""
    if values.ndim > 1:
        flat = values.reshape(len(values), -1).astype(np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
    if values.dtype == object:
        return pa.array([value or None for value in values.tolist()], pa.string())
    return pa.array(values.astype(np.float64), from_pandas=True)


def _column(values: pa.ChunkedArray, feature: Feature) -> NDArray[Any]:
    if pa.types.is_fixed_size_list(values.type):
        flat = _numbers(values.combine_chunks().flatten())
        return flat.reshape(len(values), *feature.shape).astype(np.float32, copy=False)
    if pa.types.is_string(values.type):
        return np.array([value or "" for value in values.to_pylist()], dtype=object)
    return _numbers(values.cast(pa.float64()))


def _numbers(values: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """Return the numbers, NaN where one is missing. `to_numpy` gives the same and imports pandas."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return np.from_dlpack(whole.fill_null(math.nan) if whole.null_count else whole)

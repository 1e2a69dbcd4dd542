"""Batch prediction: every row of a file answered by a package, without a server."""

import functools
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairway import addresses, artifacts, errors, files
from fairway.addresses import web
from fairway.data import importing, sources
from fairway.serving import batch, predictor

ROW = "row"
Progress = Callable[[int, int], None]  # rows that are done, of so many


def answer(
    package: Path,
    *,
    rows: Path,
    out: Path,
    keep: Sequence[str] = (),
    lenient: bool = False,
    progress: Progress = lambda done, total: None,
) -> artifacts.BatchPrediction:
    """Answer every row of a file with a package and write the answers to `out` (Parquet): the number
    of the row from 0, the columns to keep as text, and the model's outputs. Equal rows and package give equal
    bytes; `out` is whole or not there.

    Raises UsageError for a file or a column to keep that is not there or would be an output, and what
    `batch.predict` raises.
    """
    out = _place(out, rows=rows)
    model = predictor.Predictor.load(package)
    model.check_golden()
    file = sources.batched(sources.section_of(rows))
    if not len(file.index):
        raise errors.DataError(f"{rows} has no rows: wanted one at least")
    _check(keep, file.columns, outputs=list(model.outputs), path=rows)
    unusual, unreadable = Counter[str](), Counter[str]()
    try:
        with (
            files.workshop(out.parent, prefix=f".{out.name}-") as folder,
            _Writer(folder / out.name) as part,
        ):
            for frame in file.some(None, file.at_once()):
                columns = {name: frame[name].tolist() for name in frame.columns}
                chunk = _answered(model, columns, lenient=lenient, path=rows, first=part.rows)
                part.write(chunk, kept={name: columns[name] for name in keep})
                unusual.update(chunk.unusual)
                unreadable.update(chunk.unreadable)
                progress(part.rows, len(file.index))
            part.close()
            os.replace(part.path, out)
    except OSError as error:
        raise errors.DataError(f"{out} cannot be written: {error.strerror or error}") from error
    return artifacts.BatchPrediction(
        path=str(out),
        model=model.name,
        digest=model.package.digest,
        rows=part.rows,
        unusual=dict(unusual),
        unreadable=dict(unreadable),
    )


def _place(out: Path, *, rows: Path) -> Path:
    """Return where the answers go, behind a link its file; raises UsageError for what is no place of a
    file, or the rows' own."""
    place = out.resolve()
    if not out.name or place.is_dir():
        raise errors.UsageError(
            f"{out} is a folder: wanted the answers' file, such as answers.parquet"
        )
    if place.exists() and not place.is_file():
        raise errors.UsageError(
            f"{out} is no regular file, and would be replaced by one: name another"
        )
    if place.exists() and rows.exists() and place.samefile(rows):
        raise errors.UsageError(
            f"{out} holds the rows themselves: name another file for the answers"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _answered(
    model: predictor.Predictor, columns: Mapping[str, Any], *, lenient: bool, path: Path, first: int
) -> batch.ChunkAnswers:
    try:
        (chunk,) = batch.predict(model, [columns], lenient=lenient)
    except errors.DataError as error:
        counted = f", rows counted from {first}" if first else ""
        raise errors.DataError(f"{path}{counted}: {error}") from error
    return chunk


class _Writer:
    """A Parquet file that grows by tables of one form."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self._writer: Any = None

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, chunk: batch.ChunkAnswers, *, kept: Mapping[str, list[Any]]) -> None:
        table = _table(chunk, kept=kept, first=self.rows)
        if self._writer is None:
            self._writer = pq.ParquetWriter(  # type: ignore[no-untyped-call]
                self.path, table.schema, compression="zstd"
            )
        self._writer.write_table(table)
        self.rows += table.num_rows

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def answer_address(
    package: Path,
    *,
    rows: str,
    to: str,
    out: Path,
    keep: Sequence[str] = (),
    lenient: bool = False,
    environment: Mapping[str, str] = os.environ,
    claims: Path = addresses.CLAIMS,
) -> artifacts.BatchPrediction:
    """Answer every row of the file at an address, or of this machine, as `answer` does, and put the
    answers where `to` says too (empty: only in `out`).

    Raises besides AddressError and Unavailable where an address does not give or take its file.
    """
    own = rows if "://" in rows else Path(rows).resolve().as_uri()
    if to and to in (rows, own):
        raise errors.UsageError(
            f"{web.shown(to)} holds the rows themselves: name another file for the answers"
        )
    target = _target(to, environment=environment, claims=claims)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(rows)
        if "://" in rows:
            folder, name = addresses.parted(rows)
            place = addresses.folder(folder, environment=environment, claims=claims)
            file = Path(scratch) / name
            take = functools.partial(
                addresses.take, place, name, to=file, largest=importing.LARGEST_FILE
            )
            addresses.patiently(take)
        record = answer(package, rows=file, out=out, keep=keep, lenient=lenient)
    if target is not None:
        target(out)
    return record


def _target(
    to: str, *, environment: Mapping[str, str], claims: Path
) -> Callable[[Path], None] | None:
    """Return what puts a file at the address, None where that is empty; raises UsageError for an
    address that takes none, before a row is answered."""
    if not to:
        return None
    folder, name = addresses.parted(to)
    place = addresses.writable(folder, environment=environment, claims=claims)
    if place is None or not name:
        raise errors.UsageError(
            f"{web.shown(to)} takes no answers: wanted a file in s3://, gs://, pvc:// or file:///, such as "
            "s3://bucket/answers.parquet"
        )
    return lambda file: addresses.put_all(place, {name: file})


def _check(keep: Sequence[str], columns: Sequence[str], *, outputs: list[str], path: Path) -> None:
    for name in keep:
        if name not in columns:
            raise errors.UsageError(
                f"{path} has no column {name!r} to keep: it has {', '.join(columns)}"
            )
        if name in (ROW, *outputs):
            raise errors.UsageError(
                f"column {name!r} cannot be kept: an output of the model has that name; rename it in {path}"
            )


def _table(chunk: batch.ChunkAnswers, *, kept: Mapping[str, list[Any]], first: int) -> pa.Table:
    """Return the answers as columns; several numbers of a row are a list."""
    rows = len(chunk.labels)
    return pa.table(
        {
            ROW: pa.array(range(first, first + rows), pa.int64()),
            **{name: _words(name, values) for name, values in kept.items()},
            **{name: _column(values) for name, values in chunk.values.items()},
        }
    )


def _words(name: str, values: list[Any]) -> pa.Array:
    """Return a kept column as text, null where it is missing; raises UsageError where it holds more
    than one value a row."""
    for value in values:
        if isinstance(value, list | tuple | dict | np.ndarray):
            raise errors.UsageError(
                f"column {name!r} cannot be kept: it holds {type(value).__name__}s; keep columns of one value a row"
            )
    missing = pd.isna(pd.Series(values, dtype=object)).to_numpy()
    words = [None if lost else str(value) for value, lost in zip(values, missing, strict=True)]
    return pa.array(words, pa.string())


def _column(values: Any) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(values).ravel()), values.shape[1]
        )
    return pa.array(values)

"""Batch prediction: every row of a file answered by a package, without a server."""

import functools
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fairway import addresses, artifacts, errors
from fairway.addresses import web
from fairway.data import importing, sources
from fairway.data.sources import base
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
    of the row from 0, the columns to keep, and the model's outputs. Equal rows and package give equal
    bytes; `out` is whole or not there.

    Raises UsageError for a file or a column to keep that is not there or would be an output, and what
    `batch.predict` raises.
    """
    model = predictor.Predictor.load(package)
    model.check_golden()
    file = sources.batched(sources.section_of(rows))
    if not len(file.index):
        raise errors.DataError(f"{rows} has no rows: wanted one at least")
    _check(keep, file.columns, outputs=list(model.outputs), path=rows)
    done, unusual, unreadable = 0, Counter[str](), Counter[str]()
    part = out.with_name(f".{out.name}.writing")
    part.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    try:
        for frame in file.some(None, base.at_once(len(file.columns))):
            columns = {name: frame[name].tolist() for name in frame.columns}
            try:
                (chunk,) = batch.predict(model, [columns], lenient=lenient)
            except errors.DataError as error:
                counted = f", rows counted from {done}" if done else ""
                raise errors.DataError(f"{rows}{counted}: {error}") from error
            table = _table(chunk, kept={name: columns[name] for name in keep}, first=done)
            writer = writer or pq.ParquetWriter(  # type: ignore[no-untyped-call]
                part, table.schema, compression="zstd"
            )
            writer.write_table(table)  # type: ignore[no-untyped-call]
            done += table.num_rows
            unusual.update(chunk.unusual)
            unreadable.update(chunk.unreadable)
            progress(done, len(file.index))
        assert writer is not None
        writer.close()  # type: ignore[no-untyped-call]
        part.replace(out)
    except OSError as error:
        raise errors.DataError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return artifacts.BatchPrediction(
        path=str(out),
        model=model.name,
        digest=model.package.digest,
        rows=done,
        unusual=dict(unusual),
        unreadable=dict(unreadable),
    )


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
            f"{web.shown(to)} takes no answers: wanted a file in s3://, pvc:// or file:///, such as "
            "s3://bucket/answers.parquet"
        )
    return lambda file: addresses.patiently(lambda: place.put(name, file))


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
            **{name: pa.array(map(_word, values), pa.string()) for name, values in kept.items()},
            **{name: _column(values) for name, values in chunk.values.items()},
        }
    )


def _word(value: Any) -> str | None:
    return None if value is None or value != value else str(value)


def _column(values: Any) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(values).ravel()), values.shape[1]
        )
    return pa.array(values)

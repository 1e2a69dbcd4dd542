"""Source `parquet`: one Parquet file."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fairway import errors, files
from fairway.config import sections
from fairway.data.sources import base
from fairway.model import spelling

if TYPE_CHECKING:
    import pandas as pd

MAGIC = b"PAR1"
BUFFER = 1 << 16  # bytes of one column that are read at a time, where its rows are


class ParquetData(sections.Data):
    """Rows of a Parquet file."""

    source: Literal["parquet"] = "parquet"
    """A Parquet file keeps types, so less has to be inferred than from csv."""
    path: sections.Location
    """The file."""


SECTION = ParquetData


def read(section: ParquetData) -> base.Rows:
    path = base.file(section.path, what="data.path")
    return base.Rows(
        frame(path, what="data.path"), None, path.name, {path.name: files.digest_file(path)}
    )


def batched(section: ParquetData) -> base.Batched:
    import pyarrow.parquet

    path = base.file(section.path, what="data.path")
    parquet: Any = pyarrow.parquet  # it has no types
    with _read(path):
        file = parquet.ParquetFile(path, buffer_size=BUFFER)
        index = file.read(columns=[], use_pandas_metadata=True).to_pandas().index
        names = tuple(map(str, file.schema_arrow.empty_table().to_pandas().columns))
        lacking, row_size = _lacking(file), _row_size(file)

    def some(chosen: Sequence[str] | None, rows: int) -> "Iterator[pd.DataFrame]":
        first = 0
        with _read(path):
            for batch in file.iter_batches(batch_size=rows, columns=chosen):
                found = _named(batch.to_pandas())
                found = exact(found, schema=batch.schema, as_stored=batch.select)
                found.index = index[first : first + len(found)]
                first += len(found)
                yield found.astype({name: object for name in lacking if name in found})

    return base.Batched(names, index, some, row_size)


def _row_size(file: Any) -> float:
    """Return how many bytes a row has where rows are longest, of the columns whose values are not
    all of one size. What the file says of itself is of values that are written once each."""
    from pyarrow import types

    names = [field.name for field in file.schema_arrow if not types.is_primitive(field.type)]
    parts = file.iter_batches(batch_size=base.STRETCH, columns=names) if names else ()
    return max((part.nbytes for part in parts), default=0) / base.STRETCH


def _lacking(file: Any) -> list[str]:
    """Return the columns of true and false that lack some: pandas has Python's own in all of their
    rows, and would not in those alone that lack none."""
    from pyarrow import types

    names = [field.name for field in file.schema_arrow if types.is_boolean(field.type)]
    if not names:
        return []
    table = file.read(columns=names)  # bits
    return [name for name in names if table[name].null_count]


def recognises(path: Path, start: bytes) -> bool:
    return start.startswith(MAGIC) or path.suffix in (".parquet", ".pq")


def frame(path: Path, *, what: str) -> "pd.DataFrame":
    """Return the rows of a Parquet file; raises DataError where it is none."""
    import pandas as pd
    import pyarrow.parquet

    parquet: Any = pyarrow.parquet
    with _read(path):
        found = _named(pd.read_parquet(base.file(path, what=what)))
        schema = parquet.read_schema(path)
        return exact(
            found, schema=schema, as_stored=lambda names: parquet.read_table(path, columns=names)
        )


def _named(found: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows with the names that the file has: pandas makes numbers of those that were."""
    return found.set_axis(list(map(str, found.columns)), axis="columns")


def exact(
    found: "pd.DataFrame", *, schema: Any, as_stored: Callable[[list[str]], Any]
) -> "pd.DataFrame":
    """Return the rows with the whole numbers that pandas rounds as they are stored: those with gaps,
    which it takes for floats, from 2^53 on."""
    import pandas as pd
    from pyarrow import types

    rounded = [
        field.name
        for field in schema
        if types.is_integer(field.type)
        and field.name in found
        and found[field.name].dtype.kind == "f"
        and found[field.name].abs().max() >= spelling.EXACT
    ]
    if not rounded:
        return found
    table = as_stored(rounded)
    exact = {
        name: pd.Series(table[name].to_pylist(), found.index, dtype=object) for name in rounded
    }
    return found.assign(**exact)


@contextlib.contextmanager
def _read(path: Path) -> Iterator[None]:
    """Say of what fails in the block that the file is no Parquet file."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise errors.DataError(
            f"{path} is not a parquet file: {' '.join(str(error).split())[:200]}"
        ) from error

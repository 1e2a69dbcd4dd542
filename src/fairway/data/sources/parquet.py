"""Source `parquet`: one Parquet file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fairway import errors, files
from fairway.config import sections
from fairway.data.sources import base
from fairway.model import spelling

if TYPE_CHECKING:
    import pandas as pd

MAGIC = b"PAR1"


class ParquetData(sections.Data):
    """Rows of a Parquet file."""

    source: Literal["parquet"] = "parquet"
    """A Parquet file keeps types, so less has to be inferred than from csv."""
    path: Path
    """The file."""


SECTION = ParquetData


def read(section: ParquetData) -> base.Rows:
    path = base.file(section.path, what="data.path")
    return base.Rows(
        frame(path, what="data.path"), None, path.name, {path.name: files.digest_file(path)}
    )


class Batched:
    """The rows of the file, a batch at a time."""

    def __init__(self, section: ParquetData) -> None:
        import pyarrow.parquet

        path = self._path = base.file(section.path, what="data.path")
        try:
            self._file: Any = pyarrow.parquet.ParquetFile(path)  # type: ignore[no-untyped-call]
        except (ValueError, OSError) as error:
            raise _none(path, error) from error
        schema = self._file.schema_arrow
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        self.names = [name for name in schema.names if name not in index]
        self.rows: int = self._file.metadata.num_rows

    def batches(self, *, rows: int, names: Sequence[str] | None = None) -> Iterator["pd.DataFrame"]:
        import pandas as pd
        import pyarrow

        first = 0
        chosen = self.names if names is None else list(names)
        for batch in self._file.iter_batches(batch_size=rows, columns=chosen):
            found = pyarrow.Table.from_batches([batch]).replace_schema_metadata(None)
            frame = found.to_pandas()
            exact = {
                name: pd.Series(found[name].to_pylist(), dtype=object)
                for name in _rounded(found.schema, frame)
            }
            yield frame.assign(**exact).set_index(pd.RangeIndex(first, first + len(frame)))
            first += len(frame)


def recognises(path: Path, start: bytes) -> bool:
    return start.startswith(MAGIC) or path.suffix in (".parquet", ".pq")


def _rounded(schema: Any, found: "pd.DataFrame") -> list[str]:
    """Return the columns of whole numbers that pandas rounds: those with gaps, as floats, from 2^53
    on."""
    from pyarrow import types

    numbers = [field.name for field in schema if types.is_integer(field.type)]
    return [
        name
        for name in numbers
        if name in found
        and found[name].dtype.kind == "f"
        and found[name].abs().max() >= spelling.EXACT
    ]


def _exact(path: Path, found: "pd.DataFrame") -> dict[str, Any]:
    """Return the columns that were rounded as they are in the file."""
    import pandas as pd
    import pyarrow.parquet

    read: Any = pyarrow.parquet  # it has no types
    rounded = _rounded(read.read_schema(path), found)
    table = read.read_table(path, columns=rounded) if rounded else {}
    return {name: pd.Series(table[name].to_pylist(), found.index, dtype=object) for name in rounded}


def frame(path: Path, *, what: str) -> "pd.DataFrame":
    """Return the rows of a Parquet file; raises DataError where it is none."""
    import pandas as pd

    try:
        found = pd.read_parquet(base.file(path, what=what))
        return found.assign(**_exact(path, found))
    except (ValueError, OSError) as error:
        raise _none(path, error) from error


def _none(path: Path, error: Exception) -> errors.DataError:
    return errors.DataError(f"{path} is not a parquet file: {' '.join(str(error).split())[:200]}")

"""Source `parquet`: one Parquet file."""

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
    path: sections.Location
    """The file."""


SECTION = ParquetData


def read(section: ParquetData) -> base.Rows:
    path = base.file(section.path, what="data.path")
    return base.Rows(
        frame(path, what="data.path"), None, path.name, {path.name: files.digest_file(path)}
    )


def recognises(path: Path, start: bytes) -> bool:
    return start.startswith(MAGIC) or path.suffix in (".parquet", ".pq")


def _exact(path: Path, found: "pd.DataFrame") -> dict[str, Any]:
    """Return the columns of whole numbers that pandas would round: those with gaps, as floats, from
    2^53 on."""
    import pandas as pd
    import pyarrow.parquet
    from pyarrow import types

    read: Any = pyarrow.parquet  # it has no types
    numbers = [field.name for field in read.read_schema(path) if types.is_integer(field.type)]
    rounded = [
        name
        for name in numbers
        if name in found
        and found[name].dtype.kind == "f"
        and found[name].abs().max() >= spelling.EXACT
    ]
    table = read.read_table(path, columns=rounded) if rounded else {}
    return {name: pd.Series(table[name].to_pylist(), found.index, dtype=object) for name in rounded}


def frame(path: Path, *, what: str) -> "pd.DataFrame":
    """Return the rows of a Parquet file; raises DataError where it is none."""
    import pandas as pd

    try:
        found = pd.read_parquet(base.file(path, what=what))
        return found.assign(**_exact(path, found))
    except (ValueError, OSError) as error:
        raise errors.DataError(
            f"{path} is not a parquet file: {' '.join(str(error).split())[:200]}"
        ) from error

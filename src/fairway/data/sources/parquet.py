"""Source `parquet`: one Parquet file."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fairway import errors, files
from fairway.config import sections
from fairway.data.sources import base

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


def recognises(path: Path, start: bytes) -> bool:
    return start.startswith(MAGIC) or path.suffix in (".parquet", ".pq")


def frame(path: Path, *, what: str) -> "pd.DataFrame":
    """Return the rows of a Parquet file; raises DataError where it is none."""
    import pandas as pd

    try:
        return pd.read_parquet(base.file(path, what=what))
    except (ValueError, OSError) as error:
        raise errors.DataError(
            f"{path} is not a parquet file: {' '.join(str(error).split())[:200]}"
        ) from error

"""Source `csv`: a text file with a header line and separated cells."""

import csv
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fairway import errors, files
from fairway.config import sections
from fairway.data.sources import base

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"


class CsvData(sections.Data):
    """Rows of a text file, plain or gzipped, its cells separated by commas, semicolons, tabs or bars."""

    source: Literal["csv"] = "csv"
    """The format that most files have."""
    path: Path
    """The file; its first line names the columns."""


SECTION = CsvData


def read(section: CsvData) -> base.Rows:
    path = base.file(section.path, what="data.path")
    frame = _frame(path, missing=list(section.missing_values))
    for name in frame.select_dtypes("object").columns:
        stripped = frame[name].str.strip()
        frame[name] = stripped.mask(stripped.isin(section.missing_values))
    return base.Rows(frame, None, path.name, {path.name: files.digest_file(path)})


def _frame(path: Path, *, missing: list[str]) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_csv(
            path,
            sep=_separator(path),
            na_values=missing,
            keep_default_na=False,
            skipinitialspace=True,
            low_memory=False,
            index_col=False,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError as error:
        raise errors.DataError(f"{path} is empty: wanted a header line and rows") from error
    except pd.errors.ParserError as error:
        raise errors.DataError(f"{path} is not a CSV file that can be read: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise errors.DataError(f"{path} is not UTF-8 text (byte {error.start}): convert it, or use parquet") from error


def _separator(path: Path) -> str:
    """Return the separator of a CSV file after looking at every line.

    pandas mends short, long and doubled lines without a word; here each is a DataError.
    """
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        separator = max(SEPARATORS, key=first.count)  # a comma where the line has no separator
        file.seek(0)
        lines = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            doubled = sorted({name for name in header if name and header.count(name) > 1})
            if doubled:
                raise errors.DataError(f"{path.name} has the column {doubled[0]!r} twice: rename one of them")
            for cells in lines:
                blank = len(cells) <= 1 and not "".join(cells).strip()
                if len(cells) != len(header) and not blank:
                    raise errors.DataError(
                        f"{path.name} has {len(cells)} cells in line {lines.line_num}: "
                        f"wanted {len(header)}, as in its header; correct the line"
                    )
        except csv.Error as error:
            raise errors.DataError(
                f"{path.name} cannot be read at line {lines.line_num} ({error}): correct the line"
            ) from error
    return separator

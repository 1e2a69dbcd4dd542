"""Source `csv`: a text file with a header line and separated cells."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fairway import errors, files
from fairway.config import sections
from fairway.data.sources import base

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
WORDS = ("category", "text")  # kinds of which a cell is a value as it is written
LONGEST_CELL = 1 << 26  # characters; the usual 131,072 are fewer than a document has


class CsvData(sections.Data):
    """Rows of a text file, plain or gzipped, its cells separated by commas, semicolons, tabs or
    bars."""

    source: Literal["csv"] = "csv"
    """The format that most files have."""
    path: sections.Location
    """The file; its first line names the columns."""


SECTION = CsvData


def read(section: CsvData) -> base.Rows:
    import pandas as pd

    path = base.file(section.path, what="data.path")
    file = batched(section)
    parts = file.some(None, file.at_once())
    return base.Rows(pd.concat(parts), None, path.name, {path.name: files.digest_file(path)})


def batched(section: CsvData) -> base.Batched:
    """Return the rows some at a time. The file is read twice: what a column is shows in all of its
    cells."""
    import pandas as pd

    from fairway.data import cells

    path = base.file(section.path, what="data.path")
    layout = _layout(path)
    missing = {"", *section.missing_values}
    dtypes, rows = cells.dtypes(
        _parts(path, separator=layout.separator, rows=layout.at_once),
        words=_said(section),
        missing=missing,
    )

    def some(chosen: Sequence[str] | None, rows: int) -> "Iterator[pd.DataFrame]":
        for part in _parts(path, separator=layout.separator, rows=rows, columns=chosen):
            yield cells.typed(part, dtypes=dtypes, missing=missing)

    return base.Batched(tuple(dtypes), pd.RangeIndex(rows), some, layout.row_size)


def written(path: Path) -> "pd.DataFrame":
    """Return the cells as a client that copies them sends them: words, without the spaces around."""
    import pandas as pd

    layout = _layout(path)
    cells = pd.concat(_parts(path, separator=layout.separator, rows=layout.at_once))
    for name in cells.columns:
        cells[name] = cells[name].str.strip()
    return cells


def _said(section: sections.Data) -> set[str]:
    """Return the columns of which the section says what their words are: 1.10 is no 1.1 as a code,
    and 1.234 is a thousand and more where points stand between groups."""
    words = {name for name, kind in section.kinds.items() if kind in WORDS}
    return {*section.categorical, *section.notations, *words}


def _parts(
    path: Path, *, separator: str, rows: int, columns: Sequence[str] | None = None
) -> "Iterator[pd.DataFrame]":
    """Give the cells as they are written, so many rows at a time; of a file without any, an empty
    part."""
    import pandas as pd

    try:
        with pd.read_csv(
            path,
            sep=separator,
            usecols=None if columns is None else list(columns),
            chunksize=rows,
            dtype=str,
            na_filter=False,
            skipinitialspace=True,
            index_col=False,
            encoding="utf-8-sig",
        ) as parts:
            yield from parts
    except pd.errors.EmptyDataError as error:
        raise errors.DataError(f"{path} is empty: wanted a header line and rows") from error
    except pd.errors.ParserError as error:
        raise errors.DataError(
            f"{path} is not a CSV file that can be read: {' '.join(str(error).split())}"
        ) from error


def separator_of(header: str) -> str:
    """Return what stands most often in the header line of a file, a comma where nothing does."""
    return max(SEPARATORS, key=header.count)


@dataclass(frozen=True)
class _Layout:
    """How a CSV file is written: its separator, how many columns, and characters in a row where
    rows are longest."""

    separator: str
    width: int
    row_size: float

    @property
    def at_once(self) -> int:
        return base.at_once(self.width, row_size=self.row_size)


def _layout(path: Path) -> _Layout:
    """Return how a CSV file is written, after looking at every line.

    pandas mends short, long and doubled lines without a word; here each is a DataError.
    """
    usual = csv.field_size_limit(LONGEST_CELL)  # of the whole process, whose other tables are small
    try:
        return _looked_through(path)
    except UnicodeDecodeError as error:
        raise errors.DataError(
            f"{path} is not UTF-8 text (byte {error.start}): convert it, or use parquet"
        ) from error
    finally:
        csv.field_size_limit(usual)


def _looked_through(path: Path) -> _Layout:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        separator = separator_of(first)
        file.seek(0)
        lines = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            doubled = sorted({name for name in header if name and header.count(name) > 1})
            if doubled:
                raise errors.DataError(
                    f"{path.name} has the column {doubled[0]!r} twice: rename one of them"
                )
            longest = stretch = 0
            for number, cells in enumerate(lines):
                stretch = sum(map(len, cells)) + (stretch if number % base.STRETCH else 0)
                longest = max(longest, stretch)
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
    return _Layout(separator, len(header), longest / base.STRETCH)

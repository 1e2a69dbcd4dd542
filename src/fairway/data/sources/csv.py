"""Source `csv`: a text file with a header line and separated cells."""

import contextlib
import csv
import gzip
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fairway import errors, files
from fairway.config import sections
from fairway.data.sources import base
from fairway.model import spelling

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
WORDS = ("category", "text")  # kinds of which a cell is a value as it is written
LONGEST_CELL = 1 << 26  # characters; the usual 131,072 are fewer than a document has
LOOKED_THROUGH = 2_000  # rows at a time
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*|(?=\.[0-9]))(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")


class CsvData(sections.Data):
    """Rows of a text file, plain or gzipped, its cells separated by commas, semicolons, tabs or
    bars."""

    source: Literal["csv"] = "csv"
    """The format that most files have."""
    path: Path
    """The file; its first line names the columns."""


SECTION = CsvData


def read(section: CsvData) -> base.Rows:
    path = base.file(section.path, what="data.path")
    cells = written(path)
    said = _said(section)
    for name in cells.columns:
        if name not in said:
            cells[name] = _typed(cells[name], missing={"", *section.missing_values})
    return base.Rows(cells, None, path.name, {path.name: files.digest_file(path)})


class Batched:
    """The rows of the file, a batch at a time. What a column is, all of its cells decide: they are
    looked through first."""

    def __init__(self, section: CsvData) -> None:
        path = self._path = base.file(section.path, what="data.path")
        self._missing = {"", *section.missing_values}
        self._columns: dict[str, ColumnOfCells] = {}
        self.rows, said = 0, _said(section)
        with _readable(path):
            self._separator = _separator(path)
            for cells in self._pieces(rows=LOOKED_THROUGH):
                self.rows += len(cells)
                for name in cells.columns:
                    column = self._columns.setdefault(name, ColumnOfCells(plain=name not in said))
                    column.look(cells[name].unique(), missing=self._missing)

    @property
    def names(self) -> list[str]:
        return list(self._columns)

    def batches(self, *, rows: int, names: Sequence[str] | None = None) -> Iterator["pd.DataFrame"]:
        for cells in self._pieces(rows=rows, names=names):
            for name in cells.columns:
                column = self._columns[name]
                cells[name] = _typed(cells[name], missing=self._missing, column=column)
            yield cells

    def _pieces(self, *, rows: int, names: Sequence[str] | None = None) -> Iterator["pd.DataFrame"]:
        pieces = _cells(self._path, self._separator, rows=rows, names=names)
        with pieces:
            yield from map(_stripped, pieces)


def written(path: Path) -> "pd.DataFrame":
    """Return the cells as a client that copies them sends them: words, without the spaces around."""
    with _readable(path):
        return _stripped(_cells(path, _separator(path)))


def _stripped(cells: "pd.DataFrame") -> "pd.DataFrame":
    for name in cells.columns:
        cells[name] = cells[name].str.strip()
    return cells


def _said(section: sections.Data) -> set[str]:
    """Return the columns of which the section says what their words are: 1.10 is no 1.1 as a code,
    and 1.234 is a thousand and more where points stand between groups."""
    words = {name for name, kind in section.kinds.items() if kind in WORDS}
    return {*section.categorical, *section.notations, *words}


@dataclass
class ColumnOfCells:
    """What the cells of a column are, by those that were looked at: numbers or booleans where all are
    such, and the words that they are otherwise.

    A number is what is plainly one: 00501 is a word, and so is a whole number that a float cannot
    hold exactly. Decimals are rounded as JSON's are, to the nearest double: pandas' own way is off
    by one place now and then.
    """

    plain: bool = True  # nothing says that they are words
    known: bool = False  # some cell has a value
    numbers: bool = True
    whole: bool = True
    booleans: bool = True

    def look(self, words: Iterable[str], *, missing: set[str]) -> None:
        """Take in different words of the column."""
        words = list(words)
        known = [word for word in words if word not in missing]
        complete = len(known) == len(words)
        self.known = self.known or bool(known)
        self.numbers = self.numbers and all(map(NUMBER.fullmatch, known)) and _exact(known)
        self.whole = self.whole and complete and all(map(WHOLE.fullmatch, known))
        self.booleans = (
            self.booleans and complete and {word.lower() for word in known} <= {"true", "false"}
        )

    def read(self, places: Any, words: Iterable[str], *, missing: set[str]) -> Any:
        """Return the values of cells, which are those words at these places."""
        import numpy as np

        if self.plain and self.known and self.numbers:
            table = np.array([float(word) if word not in missing else np.nan for word in words])
            return (table.astype(np.int64) if self.whole else table)[places]
        if self.plain and self.known and self.booleans:
            return np.array([word.lower() == "true" for word in words])[places]
        return np.array(words, dtype=object)[places]


def _typed(
    cells: "pd.Series[Any]", *, missing: set[str], column: ColumnOfCells | None = None
) -> "pd.Series[Any]":
    """Return a column's cells as what they are; `column` knows it where these are not all."""
    import pandas as pd

    places, words = pd.factorize(cells)
    if column is None:
        column = ColumnOfCells()
        column.look(words, missing=missing)
    values = column.read(places, words, missing=missing)
    return pd.Series(values, index=cells.index, name=cells.name)


def _exact(known: list[str]) -> bool:
    """Say whether a float holds each of the numbers, near enough where it is no whole one."""
    import numpy as np

    table = np.array(list(map(float, known)))
    return bool(np.isfinite(table).all()) and not _inexact(known, table)


def _inexact(known: list[str], table: Any) -> bool:
    """Say whether whole numbers are among them of which a float is only near."""
    return bool((abs(table) > spelling.EXACT).any()) and any(
        abs(int(word)) > spelling.EXACT for word in known if WHOLE.fullmatch(word)
    )


def _cells(
    path: Path, separator: str, *, rows: int | None = None, names: Sequence[str] | None = None
) -> Any:
    """Return the cells as they are written; with `rows`, what gives so many at a time."""
    import pandas as pd

    return pd.read_csv(
        path,
        sep=separator,
        dtype=str,
        na_filter=False,
        skipinitialspace=True,
        index_col=False,
        encoding="utf-8-sig",
        chunksize=rows,
        usecols=None if names is None else list(names),
    )


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise DataError where the file cannot be read within the block."""
    import pandas as pd

    try:
        yield
    except pd.errors.EmptyDataError as error:
        raise errors.DataError(f"{path} is empty: wanted a header line and rows") from error
    except pd.errors.ParserError as error:
        raise errors.DataError(
            f"{path} is not a CSV file that can be read: {' '.join(str(error).split())}"
        ) from error
    except UnicodeDecodeError as error:
        raise errors.DataError(
            f"{path} is not UTF-8 text (byte {error.start}): convert it, or use parquet"
        ) from error


def _separator(path: Path) -> str:
    """Return the separator of a CSV file after looking at every line.

    pandas mends short, long and doubled lines without a word; here each is a DataError.
    """
    usual = csv.field_size_limit(LONGEST_CELL)  # of the whole process, whose other tables are small
    try:
        return _looked_through(path)
    finally:
        csv.field_size_limit(usual)


def _looked_through(path: Path) -> str:
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
                raise errors.DataError(
                    f"{path.name} has the column {doubled[0]!r} twice: rename one of them"
                )
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

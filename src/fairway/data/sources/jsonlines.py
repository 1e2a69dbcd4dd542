"""Source `jsonl`: a text file with a JSON object in each line, plain or gzipped."""

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fairway import errors, files
from fairway.config import sections
from fairway.data.sources import base
from fairway.model import spelling

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


class JsonLinesData(sections.Data):
    """Rows of a text file with a JSON object in each line; a key that a line lacks is missing."""

    source: Literal["jsonl"] = "jsonl"
    """What logs and exports of services are written as."""
    path: sections.Location
    """The file."""


SECTION = JsonLinesData


def read(section: JsonLinesData) -> base.Rows:
    path = base.file(section.path, what="data.path")
    return base.Rows(_frame(path), None, path.name, {path.name: files.digest_file(path)})


def recognises(path: Path, start: bytes) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    rows = _rows(path)
    if not rows:
        raise errors.DataError(f"{path} is empty: wanted a JSON object in each line")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})


def _rows(path: Path) -> list[dict[str, Any]]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    rows = []
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(_row(line, where=f"{path.name}, line {number}"))
    except UnicodeDecodeError as error:
        raise errors.DataError(
            f"{path} is not UTF-8 text (byte {error.start}): convert it, or use parquet"
        ) from error
    except (OSError, EOFError) as error:
        raise errors.DataError(f"{path} cannot be read ({error})") from error
    return rows


def _row(line: str, *, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(f"{where} is no JSON ({error}): correct the line") from error
    if not isinstance(row, dict):
        raise errors.DataError(f'{where} is no object: wanted a row such as {{"age": 39}}')
    for name, value in row.items():
        if isinstance(value, list | dict):
            raise errors.DataError(
                f"{where} has a {type(value).__name__} for {name}: wanted a number, a word, true, false or null"
            )
    return row


def _held(value: float) -> bool:
    """Say whether a float holds the number exactly, as far as it was one."""
    return type(value) is float or abs(value) <= spelling.EXACT


def _column(values: list[Any]) -> "pd.Series[Any]":
    """Return a column of numbers where all known values are such and a float holds them, of booleans
    where none lacks, and else of what they are."""
    import numpy as np
    import pandas as pd

    known = [value for value in values if value is not None]
    types = set(map(type, known))
    if types == {bool} and len(known) == len(values):
        return pd.Series(np.array(values, dtype=bool))
    if known and types <= {int, float} and all(map(_held, known)):
        whole = types == {int} and len(known) == len(values)
        numbers = [np.nan if value is None else value for value in values]
        return pd.Series(np.array(numbers, dtype=np.int64 if whole else np.float64))
    return pd.Series(values, dtype=object)

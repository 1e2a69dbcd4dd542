"""Where rows come from: files, scikit-learn's digits, MNIST's format, or the user's own function."""

import csv
import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fairway import errors, files, usercode
from fairway.config import sections
from fairway.data import infer

IDX_IMAGES, IDX_LABELS = 2051, 2049


@dataclass(frozen=True)
class Rows:
    """Rows as they came: a frame with the target in it, the shape of an image column, and where they are from."""

    frame: pd.DataFrame
    image_shape: tuple[int, ...] | None
    origin: str
    digests: dict[str, str]


def read(section: sections.Data) -> Rows:
    """Return the rows of the configured source; raises UsageError for a wrong file or name, DataError for unusable content."""
    rows = _READERS[section.source](section)
    frame = rows.frame
    doubled = frame.columns[frame.columns.duplicated()].tolist()
    if doubled:
        raise errors.DataError(f"{rows.origin} has the column {doubled[0]!r} twice: rename one of them")
    if section.target not in frame.columns:
        hint = infer.near(section.target, [str(name) for name in frame.columns])
        raise errors.DataError(f"{rows.origin} has no column {section.target!r} to predict{hint}")
    if frame.empty:
        raise errors.DataError(f"{rows.origin} has a header but no rows: wanted some to learn from")
    return rows


def _csv(section: sections.Data) -> Rows:
    path = _file(section.path, what="data.path")
    try:
        separator = _separator(path)
        frame = pd.read_csv(
            path,
            sep=separator,
            na_values=list(section.missing_values),
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
    for name in frame.select_dtypes("object").columns:
        stripped = frame[name].str.strip()
        frame[name] = stripped.mask(stripped.isin(section.missing_values))
    return Rows(frame, None, str(path.name), {path.name: files.digest_file(path)})


def _separator(path: Path) -> str:
    """Return the separator of a CSV file after looking at every line: pandas mends short, long and doubled ones without a word."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        separator = max(",;\t|", key=first.count)  # a comma where there is none of them
        file.seek(0)
        lines = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            doubled = sorted({name for name in header if name and header.count(name) > 1})
            if doubled:
                raise errors.DataError(f"{path.name} has the column {doubled[0]!r} twice: rename one of them")
            for cells in lines:
                if len(cells) != len(header) and not (len(cells) <= 1 and not "".join(cells).strip()):
                    raise errors.DataError(
                        f"{path.name} has {len(cells)} cells in line {lines.line_num}: "
                        f"wanted {len(header)}, as in its header; correct the line"
                    )
        except csv.Error as error:
            raise errors.DataError(
                f"{path.name} cannot be read at line {lines.line_num} ({error}): correct the line"
            ) from error
    return separator


def parquet(path: Path | None, *, what: str) -> pd.DataFrame:
    """Return the rows of a parquet file."""
    path = _file(path, what=what)
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise errors.DataError(f"{path} is not a parquet file: {' '.join(str(error).split())[:200]}") from error


def _parquet(section: sections.Data) -> Rows:
    frame, path = parquet(section.path, what="data.path"), _file(section.path, what="data.path")
    return Rows(frame, None, path.name, {path.name: files.digest_file(path)})


def first_rows(file: Path, *, limit: int) -> list[dict[str, Any]]:
    """Return the first rows of a csv or parquet file as plain Python values, missing ones as NaN or None."""
    source: Literal["parquet", "csv"] = "parquet" if file.suffix == ".parquet" else "csv"
    frame = _READERS[source](sections.Data(source=source, path=file)).frame.head(limit)
    plain = (
        {str(key): value.tolist() if hasattr(value, "tolist") else value for key, value in row.items()}
        for row in frame.to_dict("records")
    )
    return list(plain)


def _digits(section: sections.Data) -> Rows:
    from sklearn.datasets import load_digits

    data = load_digits()
    images = data.images.astype(np.float32).reshape(len(data.images), -1)
    frame = pd.DataFrame({"image": list(images), section.target: data.target.astype(str)})
    return Rows(frame, (1, 8, 8), "scikit-learn's digits (UCI, 1,797 handwritten digits of 8 by 8)", {})


def _idx(section: sections.Data) -> Rows:
    images_path, labels_path = _file(section.path, what="data.path"), _file(section.labels, what="data.labels")
    images, labels = _idx_array(images_path, magic=IDX_IMAGES), _idx_array(labels_path, magic=IDX_LABELS)
    if len(images) != len(labels):
        raise errors.DataError(
            f"{images_path.name} has {len(images)} images and {labels_path.name} {len(labels)} labels: wanted as many of each"
        )
    flat = images.reshape(len(images), -1).astype(np.float32)
    frame = pd.DataFrame({"image": list(flat), section.target: labels.astype(str)})
    digests = {path.name: files.digest_file(path) for path in (images_path, labels_path)}
    return Rows(frame, (1, *images.shape[1:]), images_path.name, digests)


def _idx_array(path: Path, *, magic: int) -> np.ndarray[Any, Any]:
    """Return the array of an IDX file, plain or gzipped (the format of MNIST: big-endian magic, sizes, bytes)."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise errors.DataError(f"{path} cannot be unpacked: {error}") from error
    dimensions = 3 if magic == IDX_IMAGES else 1
    if len(raw) < 4 + 4 * dimensions or struct.unpack(">I", raw[:4])[0] != magic:
        kind = "images" if dimensions == 3 else "labels"
        raise errors.DataError(f"{path} is no IDX file of {kind}: wanted the magic number {magic}")
    sizes = struct.unpack(f">{dimensions}I", raw[4 : 4 + 4 * dimensions])
    values = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * dimensions)
    if values.size != int(np.prod(sizes)):
        raise errors.DataError(f"{path} says {sizes} and holds {values.size} bytes: it is cut off")
    return values.reshape(sizes)


def _function(section: sections.Data) -> Rows:
    named = section.function or ""
    made = usercode.call(named, section, what="data.function")
    if not isinstance(made, pd.DataFrame):
        raise errors.DataError(
            f"data.function {named} returned a {type(made).__name__}: wanted a pandas DataFrame with the target in it"
        )
    shape = made.attrs.get("image_shape")
    return Rows(made.reset_index(drop=True), tuple(shape) if shape else None, f"data.function {named}", {})


def _file(path: Path | None, *, what: str) -> Path:
    if path is None or not path.is_file():
        raise errors.UsageError(f"{what} is {path}: there is no such file; wanted the path of the data")
    return path


_READERS: dict[str, Callable[[sections.Data], Rows]] = {
    "csv": _csv,
    "parquet": _parquet,
    "digits": _digits,
    "idx": _idx,
    "function": _function,
}

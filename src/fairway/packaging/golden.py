"""Golden rows, which a server must reproduce before it is ready, and the reference window that
drift is measured against."""

import io
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fairway import artifacts, errors, files
from fairway.model import kinds, tasks
from fairway.model.kinds.category import LONGEST_WORD
from fairway.model.schema import RESERVED, Feature, Schema
from fairway.packaging import manifest

Array = np.ndarray[Any, Any]
NPY: Any = np.lib.format  # which has no types
Columns = dict[str, Array]
Answer = Callable[[Columns], Array]

ANSWERS = "__probabilities__"  # the array of the answers in a reference window, whatever the task
ROWS = 8
# a window of 200 against 1,000 loses little power to the reference's own noise
REFERENCE_ROWS = 1000
LARGEST_REFERENCE = 256 << 20  # bytes unpacked; of large pictures fewer rows are kept
MOST_ARRAYS = 10_000  # of a reference window, one a feature
MOST_AXES = 5
LARGEST_TOLERANCE = 0.01  # in units of the task; beyond it golden rows would prove nothing
# another processor's kernels differ by 1e-6; a wrong scale or category by far more
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Rows, their answers, and how far a server may be off."""

    columns: Columns
    answers: Array
    tolerance: float


def read(path: Path, *, schema: Schema) -> Golden:
    """Return the golden rows of a package; raises PackageError where they do not fit its schema."""
    data = manifest.document(path)
    features, output = schema.features, tasks.of(schema).output
    try:
        columns = columns_of(_plain_rows(data["inputs"], features=features), features=features)
        answers = np.atleast_1d(np.asarray(data[output], dtype=np.float32))
        tolerance = float(data["tolerance"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise errors.PackageError(
            f"{path} does not hold golden rows of this schema ({error!r}): package the model again"
        ) from error
    if (
        answers.ndim != 2
        or not len(answers)
        or any(len(column) != len(answers) for column in columns.values())
    ):
        raise errors.PackageError(
            f"{path} has {len(answers)} answers, which its inputs do not match: package the model again"
        )
    largest = LARGEST_TOLERANCE * tasks.of(schema).unit(schema)
    if not 0 <= tolerance <= largest or not np.isfinite(answers).all():
        wanted = f"wanted finite answers and a tolerance of at most {largest:g}"
        raise errors.PackageError(
            f"{path} allows a difference of {tolerance:g}: {wanted}; package the model again"
        )
    return Golden(columns=columns, answers=answers, tolerance=tolerance)


def _plain_rows(inputs: Mapping[str, Any], *, features: Sequence[Feature]) -> Mapping[str, Any]:
    """Return the rows where each holds what its feature's kind may; ValueError otherwise."""
    for feature in features:
        kind = kinds.of(feature)
        if not artifacts.is_plain(
            inputs[feature.name], kinds=kind.plain, levels=kind.levels(feature)
        ):
            raise ValueError(f"values of {feature.name} are of another kind")
    return inputs


def document(columns: Mapping[str, Array], *, answers: Array, schema: Schema) -> artifacts.Json:
    """Return `golden.json`: a missing number is null."""
    inputs = {
        name: [_plain(value) for value in values.tolist()] for name, values in columns.items()
    }
    task = tasks.of(schema)
    return {
        "inputs": inputs,
        task.output: answers.tolist(),
        "tolerance": TOLERANCE * task.unit(schema),
    }


def columns_of(
    values: Mapping[str, Any],
    *,
    features: Sequence[Feature],
    unreadable: dict[str, int] | None = None,
) -> Columns:
    """Return raw columns as servers have them, a block of numbers side by side.

    Raises ValueError for a value that is none; where `unreadable` is given, takes it as missing and
    counts it there.
    """
    columns = {}
    for feature in features:
        lost: list[int] | None = None if unreadable is None else []
        columns[feature.name] = _read(values[feature.name], feature, lost)
        if unreadable is not None and lost:
            unreadable[feature.name] = len(lost)
    return columns


def _read(values: Any, feature: Feature, lost: list[int] | None) -> Array:
    try:
        column = kinds.of(feature).read(values, feature, lost=lost)
    except kinds.Unreadable as error:
        raise ValueError(f"{feature.name} has the value {error}") from error
    return column.reshape(len(column), -1) if column.ndim > 1 else column


def spread(total: int, *, wanted: int) -> Array:
    """Return the row numbers of at most `wanted` rows, evenly over all: the same for the same data,
    no seed needed."""
    return np.unique(np.linspace(0, total - 1, num=min(wanted, total)).round().astype(np.int64))


def read_reference(path: Path | BinaryIO, *, largest: int = LARGEST_REFERENCE) -> Columns:
    """Return the reference window's arrays. Nothing in the file is executed, and nothing is
    unpacked before what it claims was added up."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > largest or len(members) > MOST_ARRAYS:
                raise ValueError(
                    f"{len(members)} arrays unpack to {total} bytes: wanted at most {MOST_ARRAYS} and "
                    f"{largest}"
                )
            return {
                member.filename.removesuffix(".npy"): _array(
                    _unpacked(archive, member), name=member.filename
                )
                for member in members
            }
    except (
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise errors.PackageError(
            f"{path} is no reference window ({error}): package the model again"
        ) from error


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return as many bytes as the member says that it has: read without a number, one that lies
    would be unpacked as a whole."""
    with archive.open(member) as file:
        return file.read(member.file_size)


def _array(content: bytes, *, name: str) -> Array:
    """Return the array that the bytes hold; its header is believed only where it says what is
    there."""
    file = io.BytesIO(content)
    version = NPY.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{name} has format {version}: wanted 1.0")
    shape, fortran, dtype = NPY.read_array_header_1_0(file)  # a header of at most 10,000 bytes
    if (
        dtype.kind not in "iufU"
        or len(shape) > MOST_AXES
        or math.prod(shape) * dtype.itemsize != len(content) - file.tell()
    ):
        raise ValueError(
            f"{name} says that it holds {dtype} of shape {shape}: wanted numbers or words that fill its "
            f"{len(content)} bytes"
        )
    return np.frombuffer(content, dtype=dtype, offset=file.tell()).reshape(
        shape, order="F" if fortran else "C"
    )


def reference_bytes(columns: Mapping[str, Array], *, answers: Array, rows: Array) -> bytes:
    """Return `reference.npz`: numbers and images as they are, strings as unicode (missing is
    empty), nothing pickled, no clock."""
    arrays: Columns = {}
    for name, values in columns.items():
        if name in RESERVED:
            raise errors.PackageError(
                f"a column is called {name}, as a part of every reference window is: rename it"
            )
        words = values.dtype.kind in "OU"
        plain = (
            np.asarray([(value or "")[:LONGEST_WORD] for value in values.tolist()], dtype=np.str_)
            if words
            else values
        )
        arrays[name] = plain
    arrays[ANSWERS] = np.asarray(answers, dtype=np.float32)
    arrays["__row__"] = np.asarray(rows, dtype=np.int64)
    return archived(arrays)


def archived(arrays: Columns) -> bytes:
    """Return the arrays as `np.savez_compressed` writes them, whatever they are called: it has a
    parameter `file` of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                NPY.write_array(file, values, allow_pickle=False)
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    return None if kinds.is_missing(value) else value


def write(folder: Path, columns: Columns, *, answer: Answer, schema: Schema) -> None:
    """Write `golden.json`: a few of the rows, with the answers of the serving path."""
    chosen = spread(_rows(columns), wanted=ROWS)
    few = {name: values[chosen] for name, values in columns.items()}
    artifacts.write_json(folder / "golden.json", document(few, answers=answer(few), schema=schema))


def write_reference(folder: Path, columns: Columns, *, numbers: Array, answer: Answer) -> None:
    """Write `reference.npz`: at most REFERENCE_ROWS of the rows, with answers; `numbers` are their
    row numbers in the source."""
    row_bytes = sum(
        4 * LONGEST_WORD if values.dtype.kind in "OU" else values[:1].nbytes
        for values in columns.values()
    )
    chosen = spread(
        _rows(columns),
        wanted=max(min(REFERENCE_ROWS, LARGEST_REFERENCE // 2 // max(row_bytes, 1)), 1),
    )
    many = {name: values[chosen] for name, values in columns.items()}
    data = reference_bytes(many, answers=answer(many), rows=np.asarray(numbers)[chosen])
    files.write_bytes(folder / "reference.npz", data)


def _rows(columns: Columns) -> int:
    total = len(next(iter(columns.values())))
    if not total:
        raise errors.PackageError(
            "there are no rows to take golden rows from: wanted at least one; check the test split"
        )
    return total

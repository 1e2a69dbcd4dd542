"""What a client sends: datatypes of the Open Inference Protocol, and values that are what their tensor
says."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.model.schema import Feature

Array = NDArray[Any]

NUMBERS = {  # of the Open Inference Protocol
    "FP64": "<f8",
    "FP32": "<f4",
    "FP16": "<f2",
    "INT64": "<i8",
    "INT32": "<i4",
    "INT16": "<i2",
    "INT8": "<i1",
    "UINT64": "<u8",
    "UINT32": "<u4",
    "UINT16": "<u2",
    "UINT8": "<u1",
}
# of what is no block of numbers: all that a client may send
DATATYPES = ("BYTES", "BOOL", *NUMBERS)
BOUNDS = {  # of what a client writes as a number in JSON; the others hold whatever JSON can say
    **{
        name: (np.iinfo(code).min, np.iinfo(code).max)
        for name, code in NUMBERS.items()
        if "INT" in name
    },
    **{
        name: (-float(np.finfo(code).max), float(np.finfo(code).max))
        for name, code in (("FP32", "f4"), ("FP16", "f2"))
    },
}


class Unfit(ValueError):
    """What a client sent does not fit its feature; the message goes on after the tensor's name."""


def declared(values: list[Any], datatype: str) -> None:
    """Raise Unfit where a number in JSON is none of the datatype that its tensor is said to have:
    INT8 3.7 or 1000."""
    low, high = BOUNDS[datatype]
    whole = not datatype.startswith("FP")
    types = set(map(type, values))
    if len(types) == 1 and int in types and low <= min(values) <= max(values) <= high:
        return
    numbers = [value for value in values if type(value) in (int, float)]
    if not numbers or (
        low <= min(numbers) <= max(numbers) <= high and not (whole and _fractions(numbers))
    ):
        return
    wrong = next((value for value in numbers if not low <= value <= high), None)
    seen = next(iter(_fractions(numbers))) if wrong is None else wrong
    raise Unfit(f"holds {seen!r}, which is no {datatype}: wanted {_span(low, high, whole)}")


def _fractions(numbers: list[Any]) -> list[float]:
    return [value for value in numbers if type(value) is float and not value.is_integer()]


def _span(low: float, high: float, whole: bool) -> str:
    return f"{'whole numbers' if whole else 'numbers'} from {low:.6g} to {high:.6g}, or another datatype"


def numeric(raw: memoryview, datatype: str) -> Array:
    """Return the numbers, or the booleans, of a binary tensor."""
    if datatype == "BOOL":
        switches = np.frombuffer(raw, dtype=np.uint8)
        if (switches > 1).any():
            raise Unfit(f"holds the byte {int(switches.max())}: wanted 0 and 1 for BOOL")
        return switches.astype(bool)
    dtype = np.dtype(NUMBERS[datatype])
    if len(raw) % dtype.itemsize:
        raise Unfit(f"has {len(raw)} bytes: wanted a multiple of {dtype.itemsize} for {datatype}")
    return np.frombuffer(raw, dtype=dtype)


def strings(raw: memoryview) -> list[str]:
    """Return the strings of a binary tensor: before each, its length in four bytes."""
    values, position = [], 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise Unfit("ends within a length: wanted 4 bytes of length before each string")
        (length,) = struct.unpack_from("<I", raw, position)
        position += 4
        if position + length > len(raw):
            raise Unfit(f"announces a string of {length} bytes, {len(raw) - position} are left")
        try:
            values.append(str(raw[position : position + length], "utf-8"))
        except UnicodeDecodeError as error:
            raise Unfit("holds bytes that are not UTF-8: wanted UTF-8 strings") from error
        position += length
    return values


def counted(count: int, rows: int, feature: Feature) -> None:
    """Raise Unfit where a tensor has not as many values as its shape says."""
    if count != rows * feature.size:
        raise Unfit(f"holds {count} values: wanted {rows * feature.size} for its shape")

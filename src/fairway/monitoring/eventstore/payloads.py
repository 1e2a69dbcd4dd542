"""What another server was asked and what it answered, as columns: the bodies of the Open Inference
Protocol (V2), of V1 and of Seldon's. Pure.

    {"inputs": [{"name", "shape", "datatype", "data"}]}, {"outputs": [...]}   V2
    {"instances": [...]}, {"predictions": [...]}                              V1
    {"data": {"names", "ndarray" | "tensor"}}, {"jsonData": ...}              Seldon's

A tensor [n, k] is k columns, NAME_0 on; a row of V1 is a value, a list of values or an object.
Columns without a name are `feature_0`, `feature_1` and so on. A column of pictures has a list a row.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fairway import errors
from fairway.model import labels
from fairway.monitoring.eventstore import cloudevents

UNNAMED = "feature"
MOST_CELLS = 1 << 22  # rows times columns; a row may leave columns out, which costs nothing
SUMS_TO_ONE = (
    1e-3  # how far from 1 a row of probabilities may add up, as float32 and rounding have it
)
REQUESTS = ("inputs", "instances", "data", "jsonData")
RESPONSES = ("outputs", "predictions", "data", "jsonData")
NUMBERS: set[type] = {int, float}
Values = list[Any]


@dataclass(frozen=True, kw_only=True)
class Payload:
    """The columns of one body; `named`: their names came with them."""

    values: Mapping[str, Values]
    named: bool

    @property
    def rows(self) -> int:
        return len(next(iter(self.values.values())))


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was answered, as an event has it: classes, or numbers with their task."""

    rows: int
    labels: Values | None
    probabilities: list[Values] | None
    task: Mapping[str, Any] | None


def inputs(body: Any) -> Payload:
    """Return the columns of a request; raise DataError for what is none that is known here."""
    return _columns(body, REQUESTS)


def answers(body: Any) -> Answers:
    """Return what a response says; raise DataError for what is none that is known here.

    Words and whole numbers are classes, other numbers quantities, and columns that add up to 1
    the probabilities of classes, of which the largest is the answer. Other columns say nothing.
    """
    found = _columns(body, RESPONSES)
    words = [column for column in found.values.values() if set(map(type, column)) <= {str, bool}]
    numbers = {
        name: column for name, column in found.values.items() if set(map(type, column)) <= NUMBERS
    }
    shares = _shares(numbers)
    said: Values | None = None
    task = None
    if words:
        said = [labels.word(value) for value in words[0]]
    elif len(numbers) == 1:
        (said,) = numbers.values()
        if set(map(type, said)) == {int}:
            said = [labels.word(value) for value in said]
        else:
            said, task = list(map(float, said)), {"name": "regression"}
    elif shares:
        names = list(numbers) if found.named else list(map(str, range(len(numbers))))
        said = [names[row.index(max(row))] for row in shares]
    if said is not None and None in said:  # an empty word
        said = None
    return Answers(rows=found.rows, labels=said, probabilities=shares, task=task)


def _shares(numbers: Mapping[str, Values]) -> list[Values] | None:
    rows = [list(row) for row in zip(*numbers.values(), strict=True)]
    if len(numbers) < 2 or not all(
        min(row) >= 0 and abs(sum(row) - 1) <= SUMS_TO_ONE for row in rows
    ):
        return None
    return rows


def _columns(body: Any, keys: Sequence[str]) -> Payload:
    if not isinstance(body, Mapping):
        _refuse("the payload", body, "a JSON object")
    key = next((key for key in keys if key in body), None)
    if key is None:
        said = ", ".join(map(str, list(body)[:8])) or "nothing"
        raise errors.DataError(
            f"the payload has {errors.shortened(said)}: wanted one of {', '.join(keys)}; it was not stored"
        )
    given = body[key]
    if key == "jsonData" and isinstance(given, Mapping) and any(one in given for one in keys[:2]):
        return _columns(given, keys[:2])
    if key == "jsonData":
        found = _of_rows(given if isinstance(given, list) else [given], names=None)
    elif key == "data":
        found = _of_data(given)
    elif key in ("inputs", "outputs"):
        found = _of_tensors(given)
    else:
        found = _of_rows(given, names=None)
    return _checked(found)


def _checked(found: Payload) -> Payload:
    """Raise DataError for columns without rows, of several lengths, or of more than the store keeps."""
    sizes = {len(column) for column in found.values.values()}
    if not sizes or sizes == {0}:
        raise errors.DataError("the payload has no rows: wanted at least one; it was not stored")
    if len(sizes) > 1:
        raise errors.DataError(
            f"the payload's columns have {' and '.join(map(str, sorted(sizes)))} rows: wanted one number; it was not "
            f"stored"
        )
    for name, column in found.values.items():
        if not cloudevents.is_feature(column) or not 0 < len(name) <= cloudevents.LONGEST_NAME:
            _refuse(
                f"column {errors.shortened(name)!r}", column, "values, or lists of values a row"
            )
    return found


def _of_tensors(tensors: Any) -> Payload:
    if not isinstance(tensors, list) or not tensors:
        _refuse("inputs or outputs", tensors, "a list of tensors")
    found: dict[str, Values] = {}
    for tensor in tensors:
        if not isinstance(tensor, Mapping) or not isinstance(tensor.get("name"), str):
            _refuse("a tensor", tensor, "an object with name, shape, datatype and data")
        name = tensor["name"]
        if "data" not in tensor:
            _refuse(f"{name}.data", None, "its values in JSON; binary tensors are not read here")
        found.update(_unfolded(name, tensor.get("shape"), _flat(tensor["data"]), names=None))
    return Payload(values=found, named=True)


def _of_data(data: Any) -> Payload:
    if not isinstance(data, Mapping):
        _refuse("data", data, "an object with names and an ndarray or a tensor")
    names = data.get("names") or None
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        _refuse("data.names", names, "a list of names")
    tensor = data.get("tensor")
    if isinstance(tensor, Mapping):
        values = _flat(tensor.get("values"))
        found = _unfolded(UNNAMED, tensor.get("shape"), values, names=names)
        return Payload(values=found, named=names is not None)
    return _of_rows(data.get("ndarray"), names=names)


def _of_rows(rows: Any, *, names: Sequence[str] | None) -> Payload:
    if not isinstance(rows, list) or not rows:
        _refuse("the payload's rows", rows, "a list of at least one")
    kinds = set(map(type, rows))
    if kinds == {dict}:
        return Payload(values=_by_name(rows), named=True)
    if kinds != {list}:
        return Payload(values={_named(names, 0, 1): rows}, named=names is not None)
    if any(isinstance(value, list) for value in rows[0]):  # a picture a row
        return Payload(values={_named(names, 0, 1): rows}, named=names is not None)
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        _refuse("the payload's rows", rows, f"as many values in each as in the first, {width}")
    return Payload(
        values={_named(names, i, width): [row[i] for row in rows] for i in range(width)},
        named=names is not None,
    )


def _by_name(rows: list[Mapping[str, Any]]) -> dict[str, Values]:
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    if len(rows) * len(names) > MOST_CELLS:
        raise errors.DataError(
            f"the payload has {len(rows)} rows of {len(names)} columns: wanted at most {MOST_CELLS} values, those "
            f"left out included; it was not stored"
        )
    return {name: [row.get(name) for row in rows] for name in names}


def _unfolded(
    name: str, shape: Any, values: Values, *, names: Sequence[str] | None
) -> dict[str, Values]:
    """Return the columns of a tensor: of [n] and [n, 1] one, of [n, k] k, of more axes one with a
    list a row."""
    if (
        not isinstance(shape, list)
        or not shape
        or not all(type(size) is int and size > 0 for size in shape)
        or math.prod(shape) != len(values)
    ):
        _refuse(f"the shape of {name}", shape, f"axes whose product is {len(values)}, its values")
    rows, width = shape[0], len(values) // shape[0]
    if width == 1 and names is None and name != UNNAMED:
        return {name: values}
    if len(shape) > 2:
        pictures = [values[row * width : (row + 1) * width] for row in range(rows)]
        return {_named(names, 0, 1) if name == UNNAMED else name: pictures}
    return {_named(names, i, width, prefix=name): values[i::width] for i in range(width)}


def _named(names: Sequence[str] | None, number: int, width: int, *, prefix: str = UNNAMED) -> str:
    if names is None:
        return f"{prefix}_{number}"
    if len(names) != width:
        _refuse("data.names", list(names), f"{width}, one for each column")
    return names[number]


def _flat(values: Any) -> Values:
    """Return the values of lists in lists one after the other."""
    if not isinstance(values, list):
        _refuse("a tensor's values", values, "a list")
    for _ in range(cloudevents.MOST_LEVELS):
        if set(map(type, values)) != {list}:
            break
        values = [value for row in values for value in row]
    found: Values = values
    return found


def _refuse(what: str, seen: Any, wanted: str) -> NoReturn:
    raise errors.DataError(
        f"{what} is {cloudevents.shown(seen)}: wanted {wanted}; the payload was not stored"
    )

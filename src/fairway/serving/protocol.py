"""The Open Inference Protocol v2: request bodies to columns, answers to response bodies; JSON and
the binary tensor extension.

One input tensor per feature, `[n]` or `[n, 1]`, of any datatype: a value is read as its feature's
kind reads it (`model.kinds`), however it is written, and means what it meant in training. A missing
one is `null` in JSON, NaN in binary, empty, or what the schema says. Images: a numeric datatype,
`[n, c, h, w]` or `[n, c*h*w]`. A value that cannot be read refuses the request, or is missing and
told in the answer (`serving.unreadable`). Outputs are the task's: of a classification `label` BYTES
`[n]`, `probabilities` FP32 `[n, k]`, `confidence` FP32 `[n]`.
"""

import itertools
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from fairway import errors
from fairway.model import kinds
from fairway.model.schema import Feature
from fairway.model.tasks import Output

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]
Json = dict[str, Any]

ONE_ROW = [1]
UNBOUNDED = ("FP64", "BYTES")  # what most requests hold
LONGEST_ID = 256  # characters of what is sent back
NUMBER_BYTES = 16  # of a float32 in JSON, with its comma
# bytes; what a request may be answered with, whatever its rows and the model's classes
LARGEST_ANSWER = 64 << 20
NOTHING = memoryview(b"")
HEADER_LENGTH = b"inference-header-content-length"


class Invalid(errors.Permanent):
    """The request cannot be answered as it is; the message is what the client is told, `status` the
    HTTP status."""

    def __init__(self, sentence: str, *, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """A request's rows by column, and which outputs it wants in which form."""

    columns: Columns
    rows: int
    id: str | None
    outputs: tuple[tuple[str, bool], ...]  # name, binary
    # rows of a feature that are taken as missing, where there are some
    unreadable: Mapping[str, int]


def parse(
    body: bytes,
    *,
    features: Mapping[str, Feature],
    outputs: Mapping[str, Output],
    header_length: int | None = None,
    most_rows: int | None = None,
    lenient: bool = False,
) -> Request:
    """Return the rows of a request body.

    Raises Invalid with the sentence for the client, before more rows than `most_rows` are read.
    """
    head, tail = _split(body, header_length)
    return read(
        _document(head),
        features=features,
        outputs=outputs,
        tail=tail,
        most_rows=most_rows,
        lenient=lenient,
    )


def read(
    document: Json,
    *,
    features: Mapping[str, Feature],
    outputs: Mapping[str, Output],
    tail: memoryview = NOTHING,
    most_rows: int | None = None,
    lenient: bool = False,
) -> Request:
    """Return the rows of a request, `most_rows` at most; `tail` is the binary data that follows its
    JSON.

    A lenient reader takes values that it cannot read as missing, and counts them.
    """
    columns: Columns = {}
    unreadable: dict[str, int] = {}
    rows = -1
    for entry in _entries(document):
        feature = _feature(entry, features)
        if feature.name in columns:
            raise Invalid(
                f"input tensor {feature.name!r} is given twice: wanted one tensor per feature"
            )
        _check_most(entry, feature, most_rows)
        lost: list[int] | None = [] if lenient else None
        column, tail = _tensor(entry, feature, tail, lost)
        if lost:
            unreadable[feature.name] = len(lost)
        if rows not in (-1, len(column)):
            raise Invalid(
                f"input tensor {feature.name!r} has {len(column)} rows, the tensors before it have {rows}: "
                "wanted one number"
            )
        rows = len(column)
        columns[feature.name] = column
    if len(tail):
        raise Invalid(
            f"{len(tail)} bytes follow the last binary tensor: wanted binary_data_size to add up to the body's length"
        )
    if len(columns) < len(features):
        missing = [name for name in features if name not in columns]
        raise Invalid(
            f"input tensors {_names(missing)} are missing: wanted one per feature; a missing value is null in "
            "its tensor"
        )
    if rows < 1:
        raise Invalid("the input tensors have no rows: wanted at least one")
    return Request(
        columns, rows, _id(document.get("id")), _outputs(document, list(outputs)), unreadable
    )


def _split(body: bytes, header_length: int | None) -> tuple[bytes, memoryview]:
    if header_length is None:
        return body, NOTHING
    if not 0 < header_length <= len(body):
        raise Invalid(
            f"inference-header-content-length is {header_length}, the body has {len(body)} bytes: wanted the "
            "length of its JSON"
        )
    return body[:header_length], memoryview(body)[header_length:]


def _document(head: bytes) -> Json:
    try:
        document = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        raise Invalid(
            f"the request is not JSON ({error}); NaN and Infinity are not JSON either, a missing number is null"
        ) from error
    if not isinstance(document, dict):
        raise Invalid('the request is no JSON object: wanted {"inputs": [...]}')
    return document


def _entries(document: Json) -> list[Json]:
    entries = document.get("inputs")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid(
            'the request has no list "inputs": wanted [{"name", "datatype", "shape", "data"}, ...]'
        )
    return entries


def _feature(entry: Json, features: Mapping[str, Feature]) -> Feature:
    name = entry.get("name")
    feature = features.get(name) if isinstance(name, str) else None
    if feature is None:
        raise Invalid(
            f"input tensor {_short(name)} is none of the model's: wanted {_names(list(features))}"
        )
    return feature


def _check_most(entry: Json, feature: Feature, most: int | None) -> None:
    shape = entry.get("shape")
    if (
        most is not None
        and isinstance(shape, list)
        and shape
        and type(shape[0]) is int
        and shape[0] > most
    ):
        raise Invalid(
            f"input tensor {feature.name!r} has {_short(shape[0])} rows: wanted at most {most}, which is what "
            "can be answered in time; "
            "send them in several requests, or raise serving.timeout",
            status=413,
        )


def _tensor(
    entry: Json, feature: Feature, tail: memoryview, lost: list[int] | None
) -> tuple[Array, memoryview]:
    """Return the tensor's column, and the binary data that follows it."""
    datatype = entry.get("datatype")
    _check_datatype(datatype, feature)
    rows = _rows(entry.get("shape"), feature)
    parameters = entry.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return _from_json(entry.get("data"), str(datatype), rows, feature, lost), tail
    if type(size) is not int or not 0 <= size <= len(tail):
        raise Invalid(
            f"binary_data_size of {feature.name!r} is {_short(size)}, {len(tail)} bytes are left: wanted its size"
        )
    return _from_binary(tail[:size], str(datatype), rows, feature, lost), tail[size:]


def _check_datatype(datatype: Any, feature: Feature) -> None:
    kind = kinds.of(feature)
    if not isinstance(datatype, str) or datatype not in kind.datatypes:
        raise Invalid(
            f"input tensor {feature.name!r} has datatype {_short(datatype)}: wanted {kind.datatype_wanted}"
        )


def _rows(shape: Any, feature: Feature) -> int:
    if shape == ONE_ROW and type(shape[0]) is int and not feature.shape:
        return 1
    if isinstance(shape, list) and shape and all(type(size) is int and size >= 0 for size in shape):
        rest = tuple(shape[1:])
        if (feature.shape and rest in (feature.shape, (feature.size,))) or (
            not feature.shape and rest in ((), (1,))
        ):
            return int(shape[0])
    wanted = (
        f"[n, {', '.join(map(str, feature.shape))}] or [n, {feature.size}]"
        if feature.shape
        else "[n] or [n, 1]"
    )
    raise Invalid(f"input tensor {feature.name!r} has shape {_short(shape)}: wanted {wanted}")


def _from_json(
    data: Any, datatype: str, rows: int, feature: Feature, lost: list[int] | None
) -> Array:
    kind = kinds.of(feature)
    if not isinstance(data, list):
        raise Invalid(
            f'input tensor {feature.name!r} has no list "data": wanted its values, row by row'
        )
    try:
        bounds = None if datatype in UNBOUNDED else kinds.BOUNDS.get(datatype)
        if rows == 1 and len(data) == 1:
            value = data[0]
            if bounds is None or (type(value) is int and bounds[0] <= value <= bounds[1]):
                column = kind.single(value, feature)
                if column is not None:
                    return column
        values = _flat(data, feature)
        kinds.counted(len(values), rows, feature)
        if bounds is not None:
            kinds.declared(values, datatype)
        return kind.from_json(values, rows, feature, lost=lost)
    except kinds.Unfit as error:
        raise Invalid(f"input tensor {feature.name!r} {error}") from error


def _from_binary(
    raw: memoryview, datatype: str, rows: int, feature: Feature, lost: list[int] | None
) -> Array:
    try:
        return kinds.of(feature).from_binary(raw, datatype, rows, feature, lost=lost)
    except kinds.Unfit as error:
        raise Invalid(f"input tensor {feature.name!r} {error}") from error


def _flat(data: list[Any], feature: Feature) -> list[Any]:
    """Return the values of nested lists in their order; no array is made of what was not looked at,
    and no list is nested deeper than its tensor."""
    deepest = max(len(feature.shape), 1) + 1  # [n, 1], or [n, c, h, w]
    for _ in range(deepest - 1):
        kinds = set(map(type, data))
        if list not in kinds:
            return data
        if kinds != {list}:
            raise Invalid(
                f"input tensor {feature.name!r} holds lists beside values: wanted one list, or lists of the same depth"
            )
        if len(set(map(len, data))) > 1:
            raise Invalid(
                f"input tensor {feature.name!r} has rows of different lengths: wanted rows of one length"
            )
        data = list(itertools.chain.from_iterable(data))
    if list in set(map(type, data)):
        raise Invalid(
            f"input tensor {feature.name!r} is nested deeper than its shape: wanted {deepest} levels of lists at most"
        )
    return data


def _outputs(document: Json, known: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    parameters = document.get("parameters")
    binary = isinstance(parameters, dict) and bool(parameters.get("binary_data_output"))
    wanted = document.get("outputs")
    if not wanted:
        return tuple((name, binary) for name in known)
    if not isinstance(wanted, list) or not all(isinstance(entry, dict) for entry in wanted):
        raise Invalid(f'"outputs" is no list of objects: wanted [{{"name": "{known[0]}"}}, ...]')
    outputs = tuple(_output(entry, binary, known) for entry in wanted)
    if len({name for name, _ in outputs}) < len(outputs):
        raise Invalid(
            f'"outputs" has {len(outputs)} entries, some of one name: wanted each of {_names(known)} once at most'
        )
    return outputs


def _output(entry: Json, binary: bool, known: Sequence[str]) -> tuple[str, bool]:
    name, parameters = entry.get("name"), entry.get("parameters")
    if name not in known:
        raise Invalid(
            f"output tensor {_short(name)} is none of the model's: wanted {_names(known)}"
        )
    return str(name), bool(parameters.get("binary_data", binary)) if isinstance(
        parameters, dict
    ) else binary


def _id(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    if len(value) > LONGEST_ID:
        raise Invalid(f'"id" has {len(value)} characters: wanted at most {LONGEST_ID}')
    return value


def _short(value: Any) -> str:
    return errors.shortened(repr(errors.excerpt(value)))


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def answer(
    request: Request,
    *,
    outputs: Mapping[str, Output],
    value: Callable[[str], Any],
    model: str,
    revision: str | None,
    request_id: str,
) -> tuple[bytes, int | None]:
    """Return the response body, and the length of its JSON part where binary tensors follow it.

    `value` gives an output's values by its name. Without a revision the answer does not tell which
    one gave it.
    """
    entries, blobs = [], []
    for name, binary in request.outputs:
        values, datatype = value(name), outputs[name].datatype
        shape = [len(values)] if isinstance(values, list) else list(values.shape)
        entry: Json = {"name": name, "datatype": datatype, "shape": shape}
        if binary:
            blob = _blob(values)
            entry["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            entry["data"] = values if isinstance(values, list) else values.ravel()
        entries.append(entry)
    told: Json = {} if revision is None else {"revision": revision}
    document: Json = {
        "model_name": model,
        **({} if revision is None else {"model_version": revision}),
    }
    if request.id is not None:
        document["id"] = request.id
    document["parameters"] = {**told, "request_id": request_id}
    if request.unreadable:
        document["parameters"]["unreadable"] = request.unreadable
    document["outputs"] = entries
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((head, *blobs)), len(head)) if blobs else (head, None)


def _blob(value: Any) -> bytes:
    if isinstance(value, list):
        encoded = [text.encode() for text in value]
        return b"".join(struct.pack("<I", len(one)) + one for one in encoded)
    return np.ascontiguousarray(value, dtype="<f4").tobytes()


def datatype_of(feature: Feature) -> str:
    """Return the datatype that the feature's tensor has in the model's metadata."""
    return kinds.of(feature).datatype

"""Seldon's protocol: its messages to requests of the Open Inference Protocol, and our answers back.
Pure.

    {"data": {"names": [...], "ndarray": [[39, "state"], ...]}}    a list for each row; no names: the features in order
    {"data": {"names": [...], "tensor": {"shape": [n, k], "values": [...]}}}   numbers only, row by row
    {"jsonData": {"age": 39, ...}} or a list of them                       a row for each, by feature
    {"jsonData": {"inputs": [...]}}                                        a request of the Open Inference Protocol

`data` is answered in the form it came in, with a column for each class; `jsonData` with the Open
Inference Protocol's answer. The labels, their confidence and the revision are in `meta.tags`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fairway import errors
from fairway.model.schema import Feature
from fairway.serving import protocol

Json = dict[str, Any]

MOST_AXES = 4  # of a tensor: rows of pictures
# rows times features; a row may leave features out, which costs the sender nothing
MOST_CELLS = 1 << 22
FORMS = ("data", "jsonData", "strData", "binData")
REASONS = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "NOT_ALLOWED",
    408: "TIMEOUT",
    413: "TOO_LARGE",
    429: "BUSY",
    503: "BUSY",
    504: "TIMEOUT",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A message's rows as an Open Inference request, and the form that its answer must have."""

    form: str  # ndarray | tensor | jsonData
    request: Json


def read(body: bytes, *, features: Mapping[str, Feature]) -> Message:
    """Return the message's rows; raises Invalid with the sentence for the client. What the tensors
    hold is checked by `protocol.parse`."""
    document = _document(body)
    found = [form for form in FORMS if form in document]
    if found == ["jsonData"]:
        return Message("jsonData", _from_json(document["jsonData"], features))
    if found != ["data"]:
        raise protocol.Invalid(
            f"the message has {' and '.join(found) or 'neither data nor jsonData'}: wanted one of data and jsonData"
        )
    data = document["data"]
    if not isinstance(data, dict):
        raise protocol.Invalid(
            'data is no object: wanted {"names": [...], "ndarray": [[...], ...]}'
        )
    names = _names(data.get("names"), features)
    if isinstance(data.get("tensor"), dict):
        return Message("tensor", _from_tensor(data["tensor"], names, features))
    if isinstance(data.get("ndarray"), list):
        return Message("ndarray", _from_rows(data["ndarray"], names, features))
    raise protocol.Invalid("data has neither an ndarray nor a tensor: wanted one of them")


def answer(
    message: Message,
    open_inference: bytes,
    *,
    columns: Sequence[str],
    raw: protocol.Array,
    beside: Mapping[str, Any],
    revision: str | None,
    request_id: str,
    unreadable: Mapping[str, int] | None = None,
) -> bytes:
    """Return the answer's body: the raw answers by their columns, and the outputs beside them as
    tags.

    `open_inference` is the same answer in the other protocol.
    """
    told: Json = {} if revision is None else {"revision": revision}
    if unreadable:
        told["unreadable"] = unreadable
    tags = {**told, **beside}
    meta = {"puid": request_id, "tags": tags}
    if message.form == "jsonData":
        return _bytes({"jsonData": orjson.Fragment(open_inference), "meta": meta})
    values: Any = raw
    if message.form == "tensor":
        values = {"shape": list(raw.shape), "values": raw.ravel()}
    return _bytes({"data": {"names": list(columns), message.form: values}, "meta": meta})


def failure(status: int, sentence: str) -> bytes:
    """Return the body that Seldon's clients find an error in."""
    return _bytes(
        {
            "status": {
                "status": "FAILURE",
                "code": status,
                "reason": REASONS.get(status, "INTERNAL_ERROR"),
                "info": sentence,
            }
        }
    )


def _document(body: bytes) -> Json:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise protocol.Invalid(
            f"the request is not JSON ({error}); NaN and Infinity are not JSON either, a missing number is null"
        ) from error
    if not isinstance(document, dict):
        raise protocol.Invalid(
            'the request is no JSON object: wanted {"data": {"ndarray": [[...], ...]}}'
        )
    return document


def _names(given: Any, features: Mapping[str, Feature]) -> list[str]:
    if not given:
        return list(features)
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise protocol.Invalid(
            "data.names is no list of names: wanted the features' names, or none for their own order"
        )
    return given


def _from_rows(rows: list[Any], names: Sequence[str], features: Mapping[str, Feature]) -> Json:
    if _is_image(names, features):
        return _inputs({names[0]: rows}, len(rows), features)
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            has = f"has {len(row)} values" if isinstance(row, list) else "is no list"
            raise protocol.Invalid(
                f"row {number} of ndarray {has}: wanted {len(names)}, one for each of {', '.join(names[:8])}"
            )
    return _inputs(
        {name: [row[column] for row in rows] for column, name in enumerate(names)},
        len(rows),
        features,
        given=names,
    )


def _from_tensor(tensor: Json, names: Sequence[str], features: Mapping[str, Feature]) -> Json:
    shape, values = tensor.get("shape"), tensor.get("values")
    if (
        not isinstance(shape, list)
        or not 2 <= len(shape) <= MOST_AXES
        or not all(type(size) is int and size >= 0 for size in shape)
    ):
        raise protocol.Invalid(
            f"tensor.shape is {errors.excerpt(shape)!r}: wanted [rows, columns], or [rows, channels, height, width]"
        )
    if not isinstance(values, list) or len(values) != math.prod(shape):
        has = f"{len(values)} values" if isinstance(values, list) else "no list of values"
        raise protocol.Invalid(f"tensor has {has}: wanted {math.prod(shape)} for its shape {shape}")
    if _is_image(names, features):
        return _inputs({names[0]: values}, shape[0], features)
    if shape[1:] != [len(names)]:
        raise protocol.Invalid(
            f"tensor.shape is {shape}: wanted [rows, {len(names)}], a column for each of {', '.join(names[:8])}"
        )
    return _inputs(
        {name: values[column :: len(names)] for column, name in enumerate(names)},
        shape[0],
        features,
        given=names,
    )


def _from_json(data: Any, features: Mapping[str, Feature]) -> Json:
    if isinstance(data, dict) and "inputs" in data:
        return data
    rows = data if isinstance(data, list) else [data]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise protocol.Invalid(
            'jsonData is no row: wanted {"feature": value, ...}, a list of such, or {"inputs": [...]}'
        )
    names = list(dict.fromkeys(name for row in rows for name in row))
    unknown = next((name for name in names if name not in features), None)
    if unknown is not None:
        raise protocol.Invalid(
            f"jsonData names {errors.shortened(unknown)!r}, which is none of the model's features: wanted "
            f"{', '.join(list(features)[:8])}"
        )
    if len(rows) * len(names) > MOST_CELLS:
        raise protocol.Invalid(
            f"jsonData has {len(rows)} rows of {len(names)} features: wanted at most {MOST_CELLS} values, those left "
            f"out included",
            status=413,
        )
    return _inputs({name: [row.get(name) for row in rows] for name in names}, len(rows), features)


def _is_image(names: Sequence[str], features: Mapping[str, Feature]) -> bool:
    """Tell whether the whole array is one feature's: it has more than a number for each row."""
    return len(names) == 1 and names[0] in features and bool(features[names[0]].shape)


def _inputs(
    columns: Mapping[str, list[Any]],
    rows: int,
    features: Mapping[str, Feature],
    *,
    given: Sequence[str] = (),
) -> Json:
    if len(given) != len(set(given)):
        raise protocol.Invalid("data.names has a name twice: wanted one column for each feature")
    return {
        "inputs": [_input(name, data, rows, features.get(name)) for name, data in columns.items()]
    }


def _input(name: str, data: list[Any], rows: int, feature: Feature | None) -> Json:
    if feature is None:
        return {"name": name}  # refused by its name, with those that are wanted
    return {
        "name": name,
        "datatype": protocol.datatype_of(feature),
        "shape": [rows, *feature.shape],
        "data": data,
    }


def _bytes(document: Json) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)

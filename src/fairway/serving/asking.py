"""Requests of the Open Inference Protocol as a client writes them, to measure a server with."""

from collections.abc import Mapping
from typing import Any

import orjson

from fairway.model import kinds
from fairway.model.schema import Feature
from fairway.serving import protocol


def request_body(
    columns: Mapping[str, protocol.Array], *, features: Mapping[str, Feature]
) -> bytes:
    """Return the JSON request for the columns, as a client would send it; a NaN becomes null."""
    inputs = []
    for name, feature in features.items():
        values = columns[name]
        data = kinds.of(feature).to_json(values)
        shape = [len(values), *feature.shape]
        inputs.append(
            {"name": name, "datatype": protocol.datatype_of(feature), "shape": shape, "data": data}
        )
    return orjson.dumps({"inputs": inputs}, option=orjson.OPT_SERIALIZE_NUMPY)


def dear_bodies(features: Mapping[str, Feature], *, size: int, most_rows: int) -> list[bytes]:
    """Return bodies of about that many bytes which are as dear as a client can make them: short
    lists without end, refused once they are counted, and, for each kind of feature, short texts of
    which no two are the same."""
    one = {feature.kind: feature for feature in features.values()}
    lists = orjson.Fragment(b"[" + b",".join([b"[0]"] * (size // 4)) + b"]")
    rows = min(size // 9, most_rows)
    texts = (
        [f"{n:x}x" for n in range(rows)],
        [f"{n}.0" for n in range(rows)],
        [_date(n) for n in range(rows)],
    )
    return [
        _dear(next(iter(features.values())), 1, lists),
        *(
            _dear(feature, rows, text)
            for feature in one.values()
            if not feature.shape
            for text in texts
        ),
    ]


def _date(number: int) -> str:
    return f"{number % 28 + 1}.{number // 28 % 12 + 1}.{number // 336 % 100:02}"


def _dear(feature: Feature, rows: int, data: Any) -> bytes:
    entry = {
        "name": feature.name,
        "datatype": protocol.datatype_of(feature),
        "shape": [rows, *feature.shape],
        "data": data,
    }
    return orjson.dumps({"inputs": [entry]})

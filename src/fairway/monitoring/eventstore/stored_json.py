"""How values and words are written down in the store: JSON, and text that every database keeps."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

SURROGATES = re.compile("[\ud800-\udfff]")
_COMPACT = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def compact(value: Any) -> str:
    """Return the one JSON form in which equal values are equal text; a number that is not finite
    becomes null."""
    try:
        return _COMPACT.encode(value)
    except ValueError:
        return _COMPACT.encode(_finite(value))


def written(value: Any) -> str:
    """Return JSON that is read again and never compared: much faster than `compact`, which it is
    where a number has more than 64 bits, or a word a lone surrogate."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return compact(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return value


def storable(text: str) -> bool:
    """Say whether the store can keep the text. SQLite keeps UTF-8: a lone surrogate cannot be
    written, a NUL cuts the text short in some of its functions."""
    return "\0" not in text and (text.isascii() or SURROGATES.search(text) is None)

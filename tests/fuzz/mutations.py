"""Documents that were good once: values replaced, left out, repeated and nested; then bytes cut, flipped and compressed."""

import copy
import gzip
import json
import re
import zlib
from typing import Any

from hypothesis import strategies as st

DEEP = re.compile(rb'"@deep (\d+)@"')
NASTY = (
    None, True, False, 0, -1, 1.5, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1e308, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324,
    "", "\0", "x", "x" * 3_000, "\u00e9" * 100, "\U0001f600", "NaN", "1e999", "39", "../../etc/passwd", [], {}, [[]], [None], [[[0]]], [0] * 500, [""] * 500,
    {"a": {"b": {}}}, "@deep 3@", "@deep 200@", "@deep 900@", "@deep 1100@", "@deep 20000@")
CHANGES = ("replace", "replace", "wrap", "repeat", "drop", "add")
LEAVES = st.one_of(
    st.sampled_from(NASTY), st.integers(-(2**65), 2**65), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20),
    st.lists(st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=3)), max_size=5)).map(copy.deepcopy)   # for a later change may go into it
CELLS = st.one_of(st.sampled_from(("", "nan", "inf", "-1", "1e308", "1e12", "1e13", "9" * 5_000, "0x10", "1_000", '"', "\0", "\u0661", "canary")),
                  st.integers(-5, 10**13).map(str), st.floats().map(str), st.text(max_size=8))


@st.composite
def documents(draw: st.DrawFn, *corpus: Any) -> Any:
    """Give a document of the corpus with up to three changes."""
    document = json.loads(json.dumps(draw(st.sampled_from(corpus))))
    for _ in range(draw(st.integers(0, 3))):
        document = _changed(draw, document)
    return document


def text(document: Any) -> bytes:
    """Return the document as JSON, with what is nested too deep for any writer spliced in."""
    return DEEP.sub(lambda found: b"[" * int(found[1]) + b"]" * int(found[1]), json.dumps(document).encode())


@st.composite
def bodies(draw: st.DrawFn, *corpus: Any) -> tuple[bytes, dict[str, str]]:
    """Give a body, and the headers that say how it is packed."""
    body = text(draw(documents(*corpus)))
    damage = draw(st.sampled_from(("none",) * 6 + ("cut", "flip", "insert")))
    at = draw(st.integers(0, len(body) - 1))
    if damage == "cut":
        body = body[:at]
    elif damage == "flip":
        body = body[:at] + bytes([body[at] ^ draw(st.integers(1, 255))]) + body[at + 1:]
    elif damage == "insert":
        body = body[:at] + draw(st.binary(min_size=1, max_size=8)) + body[at:]
    return _packed(body, draw(st.sampled_from(("",) * 8 + ("gzip", "deflate", "broken", "br"))))


def _packed(body: bytes, encoding: str) -> tuple[bytes, dict[str, str]]:
    if encoding == "gzip":
        return gzip.compress(body, 1, mtime=0), {"content-encoding": "gzip"}
    if encoding == "deflate":
        return zlib.compress(body, 1), {"content-encoding": "deflate"}
    if encoding == "broken":
        return gzip.compress(body, 1, mtime=0)[:-5], {"content-encoding": "gzip"}
    return body, {"content-encoding": encoding} if encoding else {}


def _changed(draw: st.DrawFn, document: Any) -> Any:
    """Change one place of the document, chosen by walking down from its top."""
    if isinstance(document, list | dict) and document and draw(st.integers(0, 3)):
        keys = sorted(document) if isinstance(document, dict) else range(len(document))
        key = keys[draw(st.integers(0, len(keys) - 1))]
        document[key] = _changed(draw, document[key])
        return document
    change = draw(st.sampled_from(CHANGES))
    if change == "wrap":
        return [document]
    if change == "repeat" and isinstance(document, list):
        return document * draw(st.integers(2, 40))
    if change == "drop" and isinstance(document, list | dict) and document:
        document.pop(next(iter(document)) if isinstance(document, dict) else 0)
        return document
    if change == "add" and isinstance(document, dict):
        return document | {draw(st.text(max_size=5)): draw(LEAVES)}
    return draw(LEAVES)


@st.composite
def tables(draw: st.DrawFn, good: list[str]) -> list[str]:
    """Give a table's lines with up to four cells or lines changed."""
    lines = list(good)
    for _ in range(draw(st.integers(0, 4))):
        number = draw(st.integers(0, len(lines) - 1))
        cells = lines[number].split(",")
        cells[draw(st.integers(0, len(cells) - 1))] = draw(CELLS)
        lines[number] = ",".join(cells)
        if draw(st.booleans()):
            lines.insert(draw(st.integers(0, len(lines))), lines[number])
    return lines

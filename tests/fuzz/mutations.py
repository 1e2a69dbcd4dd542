"""Documents that were good once: values replaced, left out, repeated and nested; then bytes cut,
flipped and compressed.

All is chosen by a `Choices`: hypothesis's, which finds the smallest example that fails, or random
numbers', which are a hundred times as fast.
"""

import copy
import gzip
import json
import random
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
Body = tuple[bytes, dict[str, str]]  # and the headers that say how it is packed
DEEP = re.compile(rb'"@deep (\d+)@"')
CHANGES = ("replace", "replace", "replace", "wrap", "repeat", "drop", "add")
NASTY = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**31,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**65,
    -(2**63),
    1e308,
    1.7976931348623157e308,
    -1.7976931348623157e308,
    5e-324,
    -0.0,
    "",
    "\0",
    "x",
    "x" * 3_000,
    "\u00e9" * 100,
    "\U0001f600",
    "NaN",
    "1e999",
    "39",
    "../../etc/passwd",
    [],
    {},
    [[]],
    [None],
    [[[0]]],
    [0] * 500,
    [""] * 500,
    [1, "a", None],
    [[1], [2, 3]],
    {"a": {"b": {}}},
    "@deep 3@",
    "@deep 200@",
    "@deep 900@",
    "@deep 1100@",
    "@deep 20000@",
)
CELLS = (
    "",
    "nan",
    "inf",
    "-1",
    "0",
    "7",
    "1e308",
    "1e12",
    "1e13",
    "9" * 5_000,
    "0x10",
    "1_000",
    '"',
    "\0",
    "\u0661",
    "canary",
    "errors",
    "20",
    "100000",
)


class Choices(Protocol):
    """What decides."""

    def whole(self, low: int, high: int) -> int: ...

    def text(self, longest: int) -> str: ...

    def some_bytes(self, longest: int) -> bytes: ...


class Drawn:
    """Choices of hypothesis's."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def whole(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def text(self, longest: int) -> str:
        return self._draw(st.text(max_size=longest))

    def some_bytes(self, longest: int) -> bytes:
        return self._draw(st.binary(min_size=1, max_size=longest))


class Rolled:
    """Choices of a seed's."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def whole(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def text(self, longest: int) -> str:
        codes = (
            self._random.choice(
                (self._random.randrange(128), self._random.randrange(0xD800), 0x1F600)
            )
            for _ in range(self.whole(0, longest))
        )
        return "".join(map(chr, codes))

    def some_bytes(self, longest: int) -> bytes:
        return self._random.randbytes(self.whole(1, longest))


def strategy(make: Callable[..., T], *arguments: Any) -> st.SearchStrategy[T]:
    """Return hypothesis's strategy of what `make` makes of its choices."""
    return st.composite(lambda draw: make(Drawn(draw), *arguments))()


def body(choices: Choices, corpus: Sequence[Any]) -> Body:
    """Make a body of a document of the corpus."""
    content = text(document(choices, corpus))
    at = choices.whole(0, len(content) - 1)
    damage = choices.whole(0, 8)
    if damage == 1:
        content = content[:at]
    elif damage == 2:
        content = content[:at] + bytes([content[at] ^ choices.whole(1, 255)]) + content[at + 1 :]
    elif damage == 3:
        content = content[:at] + choices.some_bytes(8) + content[at:]
    return _packed(content, _one(choices, ("",) * 8 + ("gzip", "deflate", "broken", "br")))


def document(choices: Choices, corpus: Sequence[Any]) -> Any:
    """Make a document of the corpus with up to three changes."""
    made = copy.deepcopy(_one(choices, corpus))
    for _ in range(choices.whole(0, 3)):
        made = _changed(choices, made)
    return made


def table(choices: Choices, good: Sequence[str]) -> list[str]:
    """Make a table's lines with up to four cells or lines changed."""
    lines = list(good)
    for _ in range(choices.whole(0, 4)):
        number = choices.whole(0, len(lines) - 1)
        cells = lines[number].split(",")
        cells[choices.whole(0, len(cells) - 1)] = (
            choices.text(8) if choices.whole(0, 4) == 1 else _one(choices, CELLS)
        )
        lines[number] = ",".join(cells)
        if choices.whole(0, 1):
            lines.insert(choices.whole(0, len(lines)), lines[number])
    return lines


def text(made: Any) -> bytes:
    """Return the document as JSON, with what is nested too deep for any writer spliced in."""
    return DEEP.sub(
        lambda found: b"[" * int(found[1]) + b"]" * int(found[1]), json.dumps(made).encode()
    )


def _changed(choices: Choices, made: Any) -> Any:
    """Change one place of the document, chosen by walking down from its top."""
    if isinstance(made, list | dict) and made and choices.whole(0, 3):
        key = _one(choices, sorted(made) if isinstance(made, dict) else range(len(made)))
        made[key] = _changed(choices, made[key])
        return made
    change = _one(choices, CHANGES)
    if change == "wrap":
        return [made]
    if change == "repeat" and isinstance(made, list):
        return [copy.deepcopy(item) for _ in range(choices.whole(2, 40)) for item in made]
    if change == "drop" and isinstance(made, list | dict) and made:
        made.pop(next(iter(made)) if isinstance(made, dict) else 0)
        return made
    if change == "add" and isinstance(made, dict):
        return made | {choices.text(5): _leaf(choices)}
    return _leaf(choices)


def _leaf(choices: Choices) -> Any:
    kind = choices.whole(0, 6)
    if kind == 1:
        return choices.whole(-(2**65), 2**65)
    if kind == 2:
        return choices.text(20)
    return copy.deepcopy(_one(choices, NASTY))  # for a later change may go into it


def _one(choices: Choices, among: Sequence[T]) -> T:
    return among[choices.whole(0, len(among) - 1)]


def _packed(content: bytes, encoding: str) -> Body:
    if encoding == "gzip":
        return gzip.compress(content, 1, mtime=0), {"content-encoding": "gzip"}
    if encoding == "deflate":
        return zlib.compress(content, 1), {"content-encoding": "deflate"}
    if encoding == "broken":
        return gzip.compress(content, 1, mtime=0)[:-5], {"content-encoding": "gzip"}
    return content, {"content-encoding": encoding} if encoding else {}

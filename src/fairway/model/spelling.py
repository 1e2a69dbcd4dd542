"""How one value can be written, and what it is: the words of categories, the numbers in texts, what
stands for none.

Everything that reads raw values reads them here, so that training and every server agree to the
last bit.
"""

import math
import re
import unicodedata
from decimal import Decimal
from typing import Any

import numpy as np

WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,60}))\.0{0,60}")
SWITCHES = {"true": "True", "TRUE": "True", "false": "False", "FALSE": "False"}
WRITTEN = {str, int, float, Decimal}  # types of what may stand for a missing value
AMOUNT = re.compile(r"-?(?:0|[1-9][0-9]{0,60})(?:\.[0-9]{1,60})?(?:[eE][-+]?[0-9]{1,3})?")
LEADING_ZERO = re.compile(r"[-+]?0[0-9]")  # 00501 is a code
MINUS = "\u2212"  # as typeset tables have it
EXACT = 2**53  # from here on a float64 cannot tell whole numbers apart

# How the texts of a number column are written; a number itself is the same in all of them.
POINT, GROUPED, COMMA, COMMA_GROUPED = "", "grouped", "comma", "comma-grouped"
NOTATIONS = (POINT, GROUPED, COMMA, COMMA_GROUPED)
EXAMPLES = {POINT: "12345.67", GROUPED: "12,345.67", COMMA: "12345,67", COMMA_GROUPED: "12.345,67"}
_SPACES = "'\u2019 \u00a0\u202f"  # between groups, whatever the notation
_PLAIN = re.compile(
    r"[-+]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][-+]?[0-9]{1,4})?"
)
_SPACED = re.compile(
    rf"[-+]?[0-9]{{1,3}}(?:([{_SPACES}])[0-9]{{3}}(?:\1[0-9]{{3}}){{0,100}})(?:[.,][0-9]{{0,400}})?"
)
_BY_COMMA = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3}){1,100}(?:\.[0-9]{0,400})?")
_BY_POINT = re.compile(r"[-+]?[0-9]{1,3}(?:\.[0-9]{3}){1,100}(?:,[0-9]{0,400})?")
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]{0,400},[0-9]{1,400}|[-+]?[0-9]{1,400},?")
_UNGROUPED = str.maketrans("", "", _SPACES)


def is_missing(value: Any) -> bool:
    """Say whether a raw value stands for none at all."""
    return (
        value is None
        or (isinstance(value, float) and value != value)
        or (isinstance(value, str) and value == "")
    )


def plain(value: Any) -> Any:
    """Return the value as Python has it: numpy's numbers, and the text of bytes; raises ValueError
    for other bytes."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).decode("utf-8")
    return value


def text(value: Any) -> str:
    """Return the word of a value, "" where it is missing: 3, 3.0 and " 3.0" are one word, true and
    True are another.

    Raises ValueError for what has no word of its own: a list, a map, bytes that are no text.
    """
    value = plain(value)
    if type(value) is str:
        word = composed(value.strip())
        whole = WHOLE.fullmatch(word) if word[-1:] in ("0", ".") else None
        return str(int(whole[1])) if whole else SWITCHES.get(word, word)
    if value is None or value != value:
        return ""
    if isinstance(value, Decimal):
        return format(
            value.to_integral_value() if value == value.to_integral_value() else value.normalize(),
            "f",
        )
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple | dict | set | np.ndarray):
        raise ValueError("a list or a map")
    return str(value).strip()


def composed(word: str) -> str:
    """Return the word with each accent in its letter: there are two ways to write é."""
    return word if word.isascii() else unicodedata.normalize("NFC", word)


def decimal(word: str) -> Decimal | None:
    """Return the exact number that a code is, None where it is none: 00501 is a word."""
    return Decimal(word) if AMOUNT.fullmatch(word) else None


def number(word: str, notation: str = POINT) -> float | None:
    """Return the finite number that a text is, None where it is none: `45.1%` is 0.451."""
    word = word.strip()
    if notation == POINT and _PLAIN.fullmatch(word):
        found = float(word)
        return found + 0.0 if math.isfinite(found) else None
    if word[:1] == MINUS:
        word = f"-{word[1:]}"
    if word[-1:] == "%":
        return _written(word[:-1].rstrip(), notation, power="e-2")
    return _written(word, notation)


def _written(word: str, notation: str, *, power: str = "") -> float | None:
    digits = _digits(word, notation)
    if digits is None or (power and digits[-1:] not in "0123456789."):
        return None
    try:
        found = float(digits + power)
    except ValueError:  # two powers of ten
        return None
    return found + 0.0 if math.isfinite(found) else None


def _digits(word: str, notation: str) -> str | None:
    """Return the number as Python writes it, None where the text is none in this notation.

    1.234 is refused where numbers have a decimal comma and no groups, and 1,234 where they have
    neither: each may be what another notation means by it.
    """
    comma = notation in (COMMA, COMMA_GROUPED)
    if comma and _BY_POINT.fullmatch(word):
        return word.replace(".", "").replace(",", ".") if notation == COMMA_GROUPED else None
    if _PLAIN.fullmatch(word):
        return word
    if notation == GROUPED and _BY_COMMA.fullmatch(word):
        return word.replace(",", "")
    if comma and _DECIMAL_COMMA.fullmatch(word):
        return word.replace(",", ".")
    if _SPACED.fullmatch(word) and ("," not in word or comma):
        return word.translate(_UNGROUPED).replace(",", ".")
    return None


def notation_of(words: list[str]) -> str | None:
    """Return how the texts of a column of numbers are written, None where one is no number in any
    notation.

    Raises ValueError, with an example, where two notations give them different values.
    """
    fitting = [name for name in NOTATIONS if all(number(word, name) is not None for word in words)]
    if not fitting:
        return None
    for word in words:
        if fitting[0] != POINT and len({number(word, name) for name in fitting}) > 1:
            raise ValueError(word)
    return fitting[0]

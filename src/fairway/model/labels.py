"""Labels as people and programs write them, read as the target was: `1.0` is 1, `true` is True, ` cat ` is cat."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

NUMBER = re.compile(
    r"-?(0|[1-9][0-9]{0,60})(\.[0-9]{1,60})?"
)  # what begins with a zero (00501) is a code and no number
SWITCHES = ("true", "false")


def word(value: Any) -> str | None:
    """Return a value of JSON as the name of a class that it may be; None for what names none."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, bool | int | float) and value == value else None


def alike(text: str, name: str) -> bool:
    """Say whether the text is a way to write the class."""
    text = text.strip()
    if text == name:
        return True
    if NUMBER.fullmatch(text) and NUMBER.fullmatch(name):
        return Decimal(text) == Decimal(name)
    return text.casefold() == name.casefold() and name.casefold() in SWITCHES


def read(text: str, classes: Iterable[str]) -> str | None:
    """Return the class that the text means, None where it means none of them, or several."""
    names = list(classes)
    if text in names:
        return text
    found = [name for name in names if alike(text, name)]
    return found[0] if len(found) == 1 else None

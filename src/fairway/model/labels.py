"""Labels as people and programs write them, read as the target was: `1.0` is 1, `true` is True, `
cat ` is cat."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fairway.model import spelling

# what begins with a zero (00501) is a code and no number
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,60})(\.[0-9]{1,60})?")
WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,60}))(?:\.0{1,60})?")
SWITCHES = ("true", "false")


def word(value: Any) -> str | None:
    """Return a value of JSON as the name of a class that it may be; None for what names none."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, bool | int | float) and value == value else None


def alike(text: str, name: str) -> bool:
    """Say whether the text is a way to write the class, whatever other classes there are: 1.10 is
    not 1.1."""
    return text.strip() == name or spelled(text) == spelled(name)


def spelled(text: str) -> str | int:
    """Return what is the same of all ways to write a class."""
    text = spelling.composed(text.strip())
    whole = WHOLE.fullmatch(text)
    if whole:
        return int(whole[1])
    return text.casefold() if text.casefold() in SWITCHES else text


def read(text: str, classes: Iterable[str]) -> str | None:
    """Return the class that the text means, None where it means none of them, or several."""
    names = list(classes)
    if text in names:
        return text
    found = [name for name in names if alike(text, name)] or [
        name for name in names if _equal(text.strip(), name)
    ]
    return found[0] if len(found) == 1 else None


def _equal(text: str, name: str) -> bool:
    return bool(NUMBER.fullmatch(text) and NUMBER.fullmatch(name)) and Decimal(text) == Decimal(
        name
    )

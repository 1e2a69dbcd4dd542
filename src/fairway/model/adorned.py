"""Numbers with a unit or a currency beside them, and negative ones in brackets: what a person has to
write as plain numbers, since 5 kg and 5 g are not the same 5."""

import re
import unicodedata
from collections.abc import Sequence

from fairway.model import spelling

# a unit after its number, a currency's three letters on either side of it, or its sign
SUFFIXED = re.compile(r"(.*?[0-9.,])\s*([^\W\d_]{1,12}[²³]?|°[A-Z]?)")
PREFIXED = re.compile(r"([-+]?)([A-Z]{3})\s*([-+]?[0-9.].*)")
BRACKETS = "()"
FEW = 3  # units of one column; more are no units but names that end in a word


def shared(words: Sequence[str]) -> str | None:
    """Return, in words, what stands beside the numbers of a column; None where a word is none, or
    all are plain."""
    found: dict[str, str] = {}
    for word in words:
        unit = _unit(word.strip())
        if unit is None:
            return None
        found.setdefault(unit, word)
    found.pop("", None)
    if not 0 < len(found) <= FEW:
        return None
    named = " or ".join(map(repr, sorted(found)))
    return f"has numbers with {named}, such as {next(iter(found.values()))!r}, which are taken as words"


def _unit(word: str) -> str | None:
    """Return what stands beside a number, "" where nothing does, None where there is no number."""
    if _is_number(word):
        return ""
    if word[:1] + word[-1:] == BRACKETS and _unit(word[1:-1].strip()) is not None:
        return BRACKETS
    sign = next((letter for letter in word if unicodedata.category(letter) == "Sc"), None)
    if sign is not None:
        return sign if _is_number(word.replace(sign, "", 1).strip()) else None
    if (parts := PREFIXED.fullmatch(word)) and _is_number(parts[1] + parts[3].strip()):
        return parts[2]
    if (parts := SUFFIXED.fullmatch(word)) and _is_number(parts[1]):
        return parts[2]
    return None


def _is_number(word: str) -> bool:
    return any(spelling.number(word, notation) is not None for notation in spelling.NOTATIONS)

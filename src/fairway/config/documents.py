"""YAML that people write, read up to bounds: a few lines of aliases can stand for more values than
a machine holds.

Words are words: `no` (a class, Norway), `010` (a code), `12:30`, `1_000` and `2024-01-01` are text,
not a boolean, an 8, 750 minutes, a number or a date, as they would be by YAML 1.1. Keys of a map
are different ones: of two that are the same, one would be dropped.
"""

import re
from typing import Any

import yaml

LARGEST = 4 << 20  # characters
MOST_VALUES = 1_000_000  # each alias counted as what it stands for
DEEPEST = 100  # maps and lists in each other
# libyaml's, where it is: ten times as fast
FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What is no text, and what it can begin with: only what YAML 1.1 and 1.2 both take for it, so that
# what the one writes the other reads.
PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "int": (r"-?(0|[1-9][0-9]*)", "-0123456789"),
    "float": (
        r"-?((0|[1-9][0-9]*)\.[0-9]+([eE][-+][0-9]+)?|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
        "-.0123456789",
    ),
    "merge": (r"<<", "<"),
}


class Unsupported(yaml.YAMLError):
    """The text is YAML, but beyond what is read of it."""


class Loader(FASTEST):  # type: ignore[misc]
    """Takes fewer plain words for something else than YAML 1.1 does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML has it


for kind, (pattern, beginnings) in PLAIN.items():
    Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{kind}", re.compile(rf"^(?:{pattern})$"), list(beginnings)
    )


def parse(text: str) -> Any:
    """Return what the one document in the text holds; raises yaml.YAMLError where it is none, or
    beyond the bounds."""
    if len(text) > LARGEST:
        raise Unsupported(f"it has {len(text)} characters: wanted at most {LARGEST}")
    _measure(text)
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a safe loader
    # a date that is none, a number of thousands of digits
    except (ValueError, OverflowError) as error:
        raise Unsupported(f"a value in it cannot be read ({error})") from error


def _measure(text: str) -> None:
    """Raise Unsupported where the document is too deep, stands for too many values or has a key
    twice; nothing of it is made."""
    sizes: dict[str, int] = {}
    within: list[tuple[str | None, int]] = []  # what is open: its anchor, and the values before it
    keys: list[_Keys | None] = []  # of what is open; None for a list
    values = 0
    for event in yaml.parse(text, Loader=Loader):
        if keys and keys[-1] is not None and isinstance(event, yaml.NodeEvent):
            keys[-1].take(event)
        if isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, values))
            keys.append(_Keys() if isinstance(event, yaml.MappingStartEvent) else None)
            values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            keys.pop()
            anchor, before = within.pop()
            if anchor is not None:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in within):
                raise Unsupported(f"the alias *{event.anchor} stands within what it stands for")
            values += sizes.get(event.anchor or "", 1)
        if len(within) > DEEPEST or values > MOST_VALUES:
            raise Unsupported(
                f"it is nested more than {DEEPEST} deep, or stands for more than {MOST_VALUES} values, aliases counted"
            )


class _Keys:
    """The keys of one map that were met; its nodes are a key and a value in turns."""

    def __init__(self) -> None:
        self._met: set[str] = set()
        self._key = True

    def take(self, event: yaml.NodeEvent) -> None:
        """Take the next node; raises Unsupported where it is a key that was met."""
        if self._key and isinstance(event, yaml.ScalarEvent):
            if event.value in self._met:
                line = event.start_mark.line + 1 if event.start_mark is not None else "?"
                raise Unsupported(
                    f"the key {event.value!r} stands twice in one map, again in line {line}: remove one"
                )
            self._met.add(event.value)
        self._key = not self._key

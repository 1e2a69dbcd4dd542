"""YAML that people write, read up to bounds: a few lines of aliases can stand for more values than a machine holds."""

from typing import Any

import yaml

LARGEST = 4 << 20  # characters
MOST_VALUES = 1_000_000  # each alias counted as what it stands for
DEEPEST = 100  # maps and lists in each other
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it is: ten times as fast


class Unreadable(yaml.YAMLError):
    """The text is YAML, but beyond what is read of it."""


def parse(text: str) -> Any:
    """Return what the one document in the text holds; raises yaml.YAMLError where it is none, or beyond the bounds."""
    if len(text) > LARGEST:
        raise Unreadable(f"it has {len(text)} characters: wanted at most {LARGEST}")
    _measure(text)
    try:
        return yaml.load(text, Loader=LOADER)  # noqa: S506 - a safe loader
    except (ValueError, OverflowError) as error:  # a date that is none, a number of thousands of digits
        raise Unreadable(f"a value in it cannot be read ({error})") from error


def _measure(text: str) -> None:
    """Raise Unreadable where the document is too deep or stands for too many values; nothing of it is made."""
    sizes: dict[str, int] = {}
    within: list[tuple[str | None, int]] = []  # what is open: its anchor, and the values before it
    values = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, values))
            values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            if anchor is not None:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in within):
                raise Unreadable(f"the alias *{event.anchor} stands within what it stands for")
            values += sizes.get(event.anchor or "", 1)
        if len(within) > DEEPEST or values > MOST_VALUES:
            raise Unreadable(
                f"it is nested more than {DEEPEST} deep, or stands for more than {MOST_VALUES} values, aliases counted"
            )

"""The keys that a section knows, and the one that somebody may have meant. Pure."""

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

Sections = Mapping[str, type[BaseModel]]
DEPTH = 6  # sections within sections that are looked through


def written(
    place: Sequence[str | int], *, root: type[BaseModel], variants: Sequence[Sections] = ()
) -> list[str | int]:
    """Return the place of a key as it stands in the file.

    `variants` are the sections by a name of their own (the source, the type of guard) that pydantic
    puts into a place.
    """
    parts, _ = _walked(place, root=root, variants=variants)
    return parts


def meant(
    place: Sequence[str | int], *, root: type[BaseModel], variants: Sequence[Sections] = ()
) -> str | None:
    """Return the path of the key that stands nearest to the one at `place`, None where nothing is
    near.

    Near is a key of the same section that is written nearly so, or the same key where it belongs.
    """
    *parts, last = place
    above, sections = _walked(parts, root=root, variants=variants)
    known = {name: name for section in sections for name in _names(section)}
    folded = {name.replace("_", "").casefold(): name for name in known}
    close = difflib.get_close_matches(str(last).replace("_", "").casefold(), list(folded), n=1)
    if close:
        return ".".join([*map(str, above), folded[close[0]]])
    paths = dict.fromkeys(_paths(root, variants=variants))
    elsewhere = [
        path for path in paths if path.rpartition(".")[2].casefold() == str(last).casefold()
    ]
    return elsewhere[0] if len(elsewhere) == 1 else None


def _walked(
    place: Sequence[str | int], *, root: type[BaseModel], variants: Sequence[Sections]
) -> tuple[list[str | int], list[type[BaseModel]]]:
    """Return the place without the names of variants, and the sections that stand there."""
    parts, sections = list[str | int](), [root]
    for part in place:
        named = [found[str(part)] for found in variants if str(part) in found]
        chosen = [
            variant
            for variant in named
            if any(issubclass(variant, section) for section in sections)
        ]
        if chosen:
            sections = chosen
            continue
        sections = list(_below(sections, part))
        parts.append(part)
    return parts, sections


def _below(sections: Sequence[type[BaseModel]], part: str | int) -> Iterator[type[BaseModel]]:
    """Return the sections at a part of the path: a number is a place in a list, and so stays where
    it is."""
    for section in sections:
        if isinstance(part, int):
            yield section
            continue
        for name, field in section.model_fields.items():
            if part in (name, field.alias):
                yield from _sections(field.annotation)


def _names(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield field.alias or name


def _paths(
    section: type[BaseModel], *, variants: Sequence[Sections], above: str = "", depth: int = DEPTH
) -> Iterator[str]:
    """Return every key below the section with its path; lists have none, for it would name a place
    in them."""
    for name, field in section.model_fields.items():
        path = f"{above}{field.alias or name}"
        yield path
        held = field.annotation
        if not (isinstance(held, type) and issubclass(held, BaseModel)) or not depth:
            continue
        own = [found for named in variants for found in named.values() if issubclass(found, held)]
        for inner in own or [held]:
            yield from _paths(inner, variants=variants, above=f"{path}.", depth=depth - 1)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Return the sections that a field may hold, whatever they are wrapped in."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _sections(inner)

"""What an API server would say of an object by the structural schema of its real definition: types, required
and unknown fields, bounds, patterns, enumerations, keys of lists. CEL rules are asked of a real API server
(tests/cluster)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import places

DEFINITIONS: Path = places.ROOT.parent / "shared" / "crds"
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def schema(file: str, *, version: str) -> dict[str, Any]:
    """Return the schema of that version of a definition, which says what metadata is by itself."""
    definition = yaml.safe_load((DEFINITIONS / file).read_text(encoding="utf-8"))
    found = next(one for one in definition["spec"]["versions"] if one["name"] == version)
    known: dict[str, Any] = found["schema"]["openAPIV3Schema"]
    return known


def wrong(value: Any, known: dict[str, Any], *, at: str = "") -> Iterator[str]:
    """Return what is wrong with the value, one line each; what would be dropped is wrong too."""
    kind = known.get("type")
    if known.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{at}: wanted a whole number or text, has {value!r}"
        return
    if kind and (
        not isinstance(value, TYPES[kind]) or (isinstance(value, bool) != (kind == "boolean"))
    ):
        yield f"{at}: wanted {kind}, has {value!r}"
        return
    yield from _bounds(value, known, at)
    if isinstance(value, dict) and at != ".metadata":
        yield from _fields(value, known, at)
    if isinstance(value, list):
        keys = known.get("x-kubernetes-list-map-keys", ())
        named = [tuple(item.get(key) for key in keys) for item in value] if keys else []
        if len(set(named)) < len(named):
            yield f"{at}: two entries have one key: {named}"
        for place, item in enumerate(value):
            yield from wrong(item, known.get("items", {}), at=f"{at}[{place}]")


def _fields(value: dict[str, Any], known: dict[str, Any], at: str) -> Iterator[str]:
    fields, others = known.get("properties", {}), known.get("additionalProperties")
    yield from (
        f"{at}.{name}: is required" for name in known.get("required", ()) if name not in value
    )
    for name, item in value.items():
        if name in fields:
            yield from wrong(item, fields[name], at=f"{at}.{name}")
        elif isinstance(others, dict):
            yield from wrong(item, others, at=f"{at}.{name}")
        elif not known.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{at}.{name}: is unknown"


def _bounds(value: Any, known: dict[str, Any], at: str) -> Iterator[str]:
    if "enum" in known and value not in known["enum"]:
        yield f"{at}: wanted one of {known['enum']}, has {value!r}"
    if "pattern" in known and not re.search(known["pattern"], value):
        yield f"{at}: wanted {known['pattern']}, has {value!r}"
    if isinstance(value, int | float) and not known.get("minimum", value) <= value <= known.get(
        "maximum", value
    ):
        yield f"{at}: out of bounds, has {value}"
    for least, most in (
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("minProperties", "maxProperties"),
    ):
        if least in known and len(value) < known[least]:
            yield f"{at}: wanted {known[least]} at least, has {len(value)}"
        if most in known and len(value) > known[most]:
            yield f"{at}: wanted {known[most]} at most, has {len(value)}"

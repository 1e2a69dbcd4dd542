"""Pieces of a page: the document, a table, a value, a type in words."""

from typing import Any

import yaml

NOTE = "<!-- Written by docs/generate.py (`make docs`): change the code, not this page. -->"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table; a bar inside a cell is escaped, a line break becomes a space."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |"
        for row in lines
    )


def document(title: str, intro: str, parts: list[str]) -> str:
    return "\n\n".join([NOTE, f"# {title}", intro.strip(), *parts]) + "\n"


def flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
        .removesuffix("...\n")
        .strip()
    )


def type_of(described: dict[str, Any]) -> str:
    """Return a JSON schema's type in words, bounds included."""
    if "anyOf" in described:
        return (
            ", ".join(
                type_of(option) for option in described["anyOf"] if option.get("type") != "null"
            )
            + ", or none"
        )
    if "enum" in described or "const" in described:
        return " or ".join(f"`{value}`" for value in described.get("enum") or [described["const"]])
    kind = described.get("type", "value")
    if kind == "array":
        return f"list of {type_of(described.get('items', {}))}"
    if kind == "string" and "ms|s|m|h|d" in described.get("pattern", ""):
        return "duration"
    words = {
        "string": "name"
        if "[-a-z0-9]" in described.get("pattern", "")
        else described.get("format", "text"),
        "boolean": "true or false",
    }
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = ", ".join(
        f"{sign} {described[name]:.10g}" for name, sign in signs.items() if name in described
    )
    return f"{words.get(kind, kind)} {bounds}".strip()

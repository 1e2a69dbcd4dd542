"""docs/crd.md, from fairway.operator.crd."""

from collections.abc import Iterator
from typing import Any

from docs.pages.markdown import document, flow, table, type_of
from fairway.operator import crd, rules

CRD = """
Fields of a `ModelDeployment` (`fairway.dev/v1alpha1`, short name `md`); `kubectl explain md.spec` says the same.
`strategy` and `serving` are those of `fairway.yaml` (see [Configuration](configuration.md)). Durations are written
`250ms`, `30s`, `10m`, `6h` or `2d`.

`kubectl get md` shows {columns}.
"""


def page() -> str:
    nodes = {path: node for path, node in crd.nodes(crd.root()) if path}
    parts = [
        part for path, node in nodes.items() if "properties" in node for part in fields(path, node)
    ]
    refused = [
        (f"`{path or 'metadata'}`", message)
        for path, several in rules.RULES.items()
        for _, message in several
    ]
    refusals = (
        "What contradicts itself is refused when it is applied, with one of these sentences:\n\n"
        + table(("where", "sentence"), refused)
    )
    intro = CRD.format(columns=", ".join(name for name, _, _ in crd.COLUMNS))
    return document("Custom resource", intro, [*parts, "## Refusals", refusals])


def fields(path: str, node: dict[str, Any]) -> Iterator[str]:
    """Return the part of the page on one object of the resource."""
    yield f"{'#' * min(2 + path.count('.'), 4)} {path}"
    yield node["description"]
    rows = []
    for name, inner in node["properties"].items():
        link = f"(#{path}{name})".lower().replace(".", "").replace("[]", "")
        exclusive = {
            word: inner[word.removeprefix("exclusive").lower()]
            for word in ("exclusiveMinimum", "exclusiveMaximum")
            if word in inner
        }
        bounds = {
            word: value
            for word, value in inner.items()
            if f"exclusive{word.capitalize()}" not in inner
        } | exclusive
        kind = (
            f"[section]{link}"
            if "properties" in inner
            else f"list of [sections]{link}"
            if "properties" in inner.get("items", {})
            else type_of(bounds)
        )
        default = (
            "required"
            if name in node.get("required", ())
            else f"`{flow(inner['default'])}`"
            if inner.get("default", {}) != {}
            else ""
        )
        rows.append((f"`{name}`", kind, default, inner["description"]))
    yield table(("field", "type", "default", "meaning"), rows)

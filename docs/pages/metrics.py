"""docs/metrics.md, from the prometheus_client declarations in src/ (read, not imported)."""

import ast
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from docs.pages.markdown import document, table

SRC = Path(__file__).resolve().parents[2] / "src"
METRICS = """
Every series that fairway exports, declared beside the code that moves it. Labels common to a revision: `namespace`,
`deployment`, `revision` and `role` (stable, canary, shadow). A histogram has `_bucket`, `_sum` and `_count`.
"""
KINDS = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "Summary": "summary",
    "Info": "info",
    "CounterMetricFamily": "counter",
    "GaugeMetricFamily": "gauge",
    "HistogramMetricFamily": "histogram",
}


@dataclass(frozen=True)
class Series:
    """One declared metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    module: str


def page() -> str:
    series = sorted(
        (one for file in sorted((SRC / "fairway").rglob("*.py")) for one in declared(file)),
        key=lambda one: one.name,
    )
    parts = []
    # the operator has those of rollouts, too
    for noun in sorted({one.name.split("_")[1] for one in series}):
        rows = [
            (f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.help)
            for one in series
            if one.name.split("_")[1] == noun
        ]
        parts += [f"## {noun}", table(("name", "kind", "labels", "meaning"), rows)]
    return document("Metrics", METRICS, parts)


def declared(file: Path) -> list[Series]:
    """Return the metrics that a module declares; a name or a label that cannot be read is a
    mistake, said with its line."""
    source = file.read_text(encoding="utf-8")
    if "prometheus_client" not in source:
        return []
    tree = ast.parse(source)
    aliases = imported(tree)
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        kind = KINDS.get(called(call.func, aliases))
        if kind is None:
            continue
        given = dict(zip(("name", "documentation", "labelnames"), call.args, strict=False))
        given |= {
            {"labels": "labelnames"}.get(word.arg, word.arg): word.value
            for word in call.keywords
            if word.arg
        }
        try:
            name, text = (str(value_of(given[part], tree)) for part in ("name", "documentation"))
            labels = tuple(value_of(given["labelnames"], tree)) if "labelnames" in given else ()
        except (LookupError, TypeError) as error:
            where = f"{file.name}:{call.lineno}"
            raise SystemExit(
                f"docs: {where}: a metric's name, help and labels must be written out, but {error}"
            ) from error
        full = f"{name.removesuffix('_total')}_total" if kind == "counter" else name
        found.append(
            Series(full, kind, labels, text, ".".join(file.relative_to(SRC).with_suffix("").parts))
        )
    return found


def imported(tree: ast.Module) -> dict[str, str]:
    """Return what the module calls prometheus_client and the names that it takes from it."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            ours = [
                alias for alias in node.names if alias.name.split(".")[0] == "prometheus_client"
            ]
            names |= {alias.asname or "prometheus_client": "" for alias in ours}
        elif (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[0] == "prometheus_client"
        ):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
    return names


def called(function: ast.expr, aliases: dict[str, str]) -> str:
    """Return the class of prometheus_client that is called, or nothing."""
    if isinstance(function, ast.Name):
        return aliases.get(function.id, "")
    root: ast.expr = function
    while isinstance(root, ast.Attribute):
        root = root.value
    return (
        function.attr
        if isinstance(function, ast.Attribute) and isinstance(root, ast.Name) and root.id in aliases
        else ""
    )


def value_of(node: ast.expr, tree: ast.Module) -> Any:
    """Return the value of a literal, a name assigned in the module or taken from another of ours, a
    slice or a join of tuples."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(
                chain.from_iterable(
                    value_of(item.value, tree)
                    if isinstance(item, ast.Starred)
                    else [value_of(item, tree)]
                    for item in items
                )
            )
        case ast.Subscript(value=inner, slice=ast.Slice(lower=lower, upper=upper)):
            return value_of(inner, tree)[
                slice(*(value_of(end, tree) if end else None for end in (lower, upper)))
            ]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return value_of(left, tree) + value_of(right, tree)
        case ast.Name(id=name):
            return assigned(name, tree)
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            return assigned(name, other(module, tree))
    raise LookupError(f"{ast.unparse(node)} is not written out")


def assigned(name: str, tree: ast.Module) -> Any:
    for node in ast.walk(tree):
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        value = getattr(node, "value", None)
        if value is not None and any(
            isinstance(target, ast.Name) and target.id == name for target in targets
        ):
            return value_of(value, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(
            (alias.asname or alias.name) == name for alias in node.names
        ):
            return assigned(name, parsed(str(node.module)))
    raise LookupError(f"{name} is assigned nowhere in the module")


def other(alias: str, tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                if (one.asname or one.name) == alias:
                    return parsed(f"{node.module}.{one.name}")
    raise LookupError(f"{alias} is no module of ours")


def parsed(module: str) -> ast.Module:
    path = SRC.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    if not file.exists():
        raise LookupError(f"{module} is no module of ours")
    return ast.parse(file.read_text(encoding="utf-8"))

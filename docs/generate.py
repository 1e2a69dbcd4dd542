"""Writes what is made from the code: the reference pages beside this file and the CRD; `--check`
says which one is out of date.

docs/configuration.md   from fairway.config.sections and the groups in conf/
docs/crd.md             from fairway.operator.crd, as is manifests/crds/modeldeployments.yaml
docs/cli.md             from the click commands
docs/metrics.md         from the prometheus_client declarations in src/ (read, not imported)
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
NOTE = "<!-- Written by docs/generate.py (`make docs`): change the code, not this page. -->"


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` gives 1 and a sentence that names those that are not what
    would be written."""
    stale = []
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    if stale and "--check" in arguments:
        print(
            f"{', '.join(stale)} out of date: run `make docs` and commit the result",
            file=sys.stderr,
        )
        return 1
    return 0


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table; a bar inside a cell is escaped, a line break becomes a space."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |"
        for row in lines
    )


def document(title: str, intro: str, parts: list[str]) -> str:
    return "\n\n".join([NOTE, f"# {title}", intro.strip(), *parts]) + "\n"


# -- configuration.md ------------------------------------------------------------------------------

CONFIGURATION = """
Keys of `fairway.yaml`; the same names are the fields of the custom resource. `fairway check` prints the composed whole.
A key that is not listed here is refused. Durations are written `250ms`, `30s`, `10m`, `6h` or `2d`.

What wins, lowest first: the defaults below, the groups that the file's `defaults` choose (see [Groups](#groups)), the
environment's group, the file, `--set key.path=value`. Relative paths in `data` are taken from the file's folder.
"""


def configuration() -> str:
    from fairway.config import sections

    parts = [
        part
        for path, model, default in tree(sections.Config)
        for part in section(path, model, default)
    ]
    at = next(
        index
        for index, part in enumerate(parts)
        if part == "### data.split" or part.endswith(" data.split")
    )
    parts[at:at] = [
        part
        for name, model in sections.SOURCES.sections.items()
        for part in own("source", name, model, sections.Data)
    ]
    at = parts.index("## evaluation")
    parts[at:at] = [
        part
        for name, model in sections.FAMILIES.sections.items()
        for part in own("family", name, model, sections.Training)
    ]
    at = parts.index("### strategy.hooks[]")
    guards = [
        ("guard of type", name, model, sections.Guard)
        for name, model in sections.GUARDS.sections.items()
    ]
    parts[at:at] = [
        part for what, name, model, common in guards for part in own(what, name, model, common)
    ]
    return document("Configuration", CONFIGURATION, [*parts, "## Groups", groups()])


# path in the file, section, the instance that the defaults hold
Part = tuple[str, type[BaseModel], BaseModel | None]


def tree(
    model: type[BaseModel], path: str = "", default: BaseModel | None = None
) -> Iterator[Part]:
    """Return each section, outermost first; the items of a list are a section too, with `[]` after
    its key."""
    yield path, model, default
    for name, field in model.model_fields.items():
        inner = inner_model(field.annotation)
        if inner is None:
            continue
        listed = "" if inner is field.annotation else "[]"
        value = (
            getattr(default, name)
            if default is not None
            else field.get_default(call_default_factory=True)
        )
        yield from tree(
            inner,
            f"{path}.{field.alias}{listed}".lstrip("."),
            value if isinstance(value, BaseModel) else None,
        )


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(
        (
            found
            for argument in getattr(annotation, "__args__", ())
            if (found := inner_model(argument))
        ),
        None,
    )


def section(path: str, model: type[BaseModel], default: BaseModel | None) -> Iterator[str]:
    yield f"{'#' * min(2 + path.count('.'), 4)} {path or 'Top level'}"
    yield (model.__doc__ or "").strip()
    properties = model.model_json_schema(by_alias=True)["properties"]
    rows = []
    for name, field in model.model_fields.items():
        inner = inner_model(field.annotation)
        why = field.description or ((inner.__doc__ or "").strip() if inner else "")
        link = f"#{path}{field.alias}".lower().replace(".", "")
        kind = (
            type_of(properties[str(field.alias)])
            if inner is None
            else f"[section]({link})"
            if inner is field.annotation
            else f"list of [sections]({link})"
        )
        rows.append((f"`{field.alias}`", kind, default_of(model, name, default), why))
    yield table(("key", "type", "default", "why"), rows)


def own(what: str, name: str, model: type[BaseModel], common: type[BaseModel]) -> Iterator[str]:
    """Yield the table of what one kind of section needs besides the keys that are common to all."""
    places = {"source": "### data, ", "family": "### training, "}
    yield f"{places.get(what, '#### ')}{what} {name}"
    yield (model.__doc__ or "").strip()
    properties = model.model_json_schema(by_alias=True)["properties"]
    special = {
        key: field for key, field in model.model_fields.items() if key not in common.model_fields
    }
    inner = {
        key: found
        for key, field in special.items()
        if (found := inner_model(field.annotation)) is not None
    }
    rows = [
        (
            f"`{field.alias}`",
            "section, below" if key in inner else type_of(properties[str(field.alias)]),
            default_of(model, key, None),
            field.description or (inner[key].__doc__ if key in inner else "") or "",
        )
        for key, field in special.items()
    ]
    if rows:
        yield table(("key", "type", "default", "why"), rows)
    for key, found in inner.items():
        yield from section(f"{'training' if what == 'family' else what}.{key}", found, None)


def default_of(model: type[BaseModel], name: str, default: BaseModel | None) -> str:
    """Return a field's default as it would be written in the file; nothing for a section, whose own
    table says it."""
    field = model.model_fields[name]
    if field.is_required() and default is None:
        return "required"
    value = (
        getattr(default, name)
        if default is not None
        else field.get_default(call_default_factory=True)
    )
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return ", ".join(
            f"`{flow(item.model_dump(mode='json', by_alias=True, exclude_unset=True))}`"
            for item in value
        )
    plain = model.model_construct(**{name: value}).model_dump(
        mode="json", by_alias=True, include={name}, warnings=False
    )
    return "none" if value is None else f"`{flow(plain[str(field.alias)])}`"


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


def groups() -> str:
    from fairway.config import loader

    texts = {
        f"{file.parent.name}: {file.stem}": file.read_text(encoding="utf-8")
        for file in loader.CONF.glob("*/*.yaml")
    }
    rows = [
        (f"`{name}`", f"`{flow(yaml.safe_load(text) or {})}`")
        for name, text in sorted(texts.items())
    ]
    chosen = """`defaults: {data: digits, training: convolutional}` in the file chooses the groups of data and training;
`environment: production` (or `--set environment=production`) chooses the environment's."""
    return chosen + "\n\n" + table(("group", "sets"), rows)


# -- crd.md, modeldeployments.yaml -----------------------------------------------------------------

CRD = """
Fields of a `ModelDeployment` (`fairway.dev/v1alpha1`, short name `md`); `kubectl explain md.spec` says the same.
`strategy` and `serving` are those of `fairway.yaml` (see [Configuration](configuration.md)). Durations are written
`250ms`, `30s`, `10m`, `6h` or `2d`.

`kubectl get md` shows {columns}.
"""


def resource() -> str:
    from fairway.operator import crd

    nodes = {path: node for path, node in crd.nodes(crd.root()) if path}
    parts = [
        part for path, node in nodes.items() if "properties" in node for part in fields(path, node)
    ]
    rules = [
        (f"`{path or 'metadata'}`", message)
        for path, rules in crd.RULES.items()
        for _, message in rules
    ]
    refusals = (
        "What contradicts itself is refused when it is applied, with one of these sentences:\n\n"
        + table(("where", "sentence"), rules)
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


def manifest() -> str:
    from fairway.operator import crd

    return crd.text()


# -- cli.md ----------------------------------------------------------------------------------------

CLI = """
`fairway --help` lists the verbs, `fairway VERB --help` says the same as this page. `--output json` prints records for
programs. Exit status: 0 done, 1 failed, 2 used wrongly, 3 refused by a gate or rolled back.
"""


def cli() -> str:
    from fairway.cli import cli as root

    parts = []
    for command, context in commands(
        root, click.Context(root, info_name="fairway", **root.context_settings)
    ):
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts += [
            f"## {context.command_path}",
            f"```text\n{usage}\n```",
            inspect.cleandoc(command.help or ""),
        ]
        records = [
            record
            for parameter in command.get_params(context)
            if (record := parameter.get_help_record(context)) and record[1]
        ]
        if records:
            parts.append(
                table(
                    ("option", "meaning"), [(f"`{flags}`", meaning) for flags, meaning in records]
                )
            )
    return document("Command line", CLI, [part for part in parts if part])


def commands(
    group: click.Group, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """Return each command under the group with the context that names it, groups before what they
    hold."""
    for name in group.list_commands(context):
        try:
            command = group.get_command(context, name)
        except ImportError as error:
            raise SystemExit(
                f"docs: {context.command_path} {name} cannot be described: {error}"
            ) from error
        if command is None or command.hidden:
            continue
        inner = click.Context(
            command,
            info_name=name,
            parent=context,
            **{**command.context_settings, "terminal_width": 100},
        )
        yield command, inner
        if isinstance(command, click.Group):
            yield from commands(command, inner)


# -- metrics.md ------------------------------------------------------------------------------------

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


def metrics() -> str:
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


PAGES: dict[str, Callable[[], str]] = {
    "docs/configuration.md": configuration,
    "docs/crd.md": resource,
    "docs/metrics.md": metrics,
    "docs/cli.md": cli,
    "manifests/crds/modeldeployments.yaml": manifest,
}

if __name__ == "__main__":
    sys.path.insert(0, str(SRC))
    sys.exit(main(sys.argv[1:]))

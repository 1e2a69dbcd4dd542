"""docs/configuration.md, from fairway.config.sections and the groups in conf/."""

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from docs.pages.markdown import document, flow, table, type_of
from fairway.config import loader, sections

CONFIGURATION = """
Keys of `fairway.yaml`; the same names are the fields of the custom resource. `fairway check` says
whether they fit together. A key that is not listed here is refused.
Durations are written `250ms`, `30s`, `10m`, `6h` or `2d`.

What wins, lowest first: the defaults below, the groups that the file's `defaults` choose (see [Groups](#groups)), the
environment's group, the file, `--set key.path=value`. Relative paths in `data` are taken from the file's folder.
"""


def page() -> str:
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


def groups() -> str:
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

"""Reads `fairway.yaml`: hydra composes it over the groups in `conf/`, pydantic checks it. The only
hydra import."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from fairway import errors
from fairway.config import documents, keys, patterns, sections

CONF = Path(__file__).parent / "conf"
REFERENCE = re.compile(r"(\\*)\$\{")
KEY = re.compile(r"\w+(\.\w+|\[\w+\])*")
SECRET = re.compile(r"://[^/?#\s]*@")
TAGS = {
    "source": "source",
    "guard": "type",
    "family": "family",
}  # pydantic's word for an unknown variant: the key that names it
ENVIRONMENTS = ("local", "kind", "production")


def load(
    path: Path | None, *, overrides: Sequence[str] = (), environment: str | None = None
) -> sections.Config:
    """Return the checked configuration of `path` (the defaults alone where it is None).

    Precedence, lowest first: the groups that the file's `defaults` choose, the environment's group,
    the file, `overrides` (`key.path=value`). Relative paths in `data` are taken from the file's
    folder. Raises ConfigError with the key's path.
    """
    user = _read(path) if path else {}
    chosen = user.pop("defaults", None) or {}
    if not isinstance(chosen, dict):
        raise errors.ConfigError(
            f"defaults in {path} is {chosen!r}: wanted a map such as {{training: convolutional}}"
        )
    assigned = [_assignment(text) for text in overrides]
    environment = (
        environment or _last(assigned, "environment") or user.get("environment") or "local"
    )
    if environment not in ENVIRONMENTS:
        raise errors.ConfigError(
            f"environment is {environment!r}: wanted one of {', '.join(ENVIRONMENTS)}"
        )
    base = _compose(
        [
            *(f"{group}={choice}" for group, choice in chosen.items()),
            f"environment@_global_={environment}",
        ]
    )
    OmegaConf.set_struct(base, False)  # unknown keys are pydantic's to refuse, with their path
    try:
        merged = OmegaConf.merge(base, OmegaConf.create(_literal(user)))
        for key, value in assigned:
            OmegaConf.update(merged, key, _literal(value), merge=True, force_add=True)
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise errors.ConfigError(f"{path or 'the overrides'}: {_first_line(error)}") from error
    return _resolve_paths(check(plain, where=str(path) if path else "the defaults"), path)


def check(plain: Any, *, where: str) -> sections.Config:
    """Return the checked configuration of plain values; raises ConfigError with one sentence for
    the first few mistakes."""
    try:
        return sections.Config.model_validate(plain)
    except ValidationError as error:
        raise errors.ConfigError(explain(error, where=where)) from error


def explain(error: ValidationError, *, where: str, root: type[BaseModel] = sections.Config) -> str:
    """Return one sentence for pydantic's mistakes: key, value seen, value wanted; `root` is what
    was read."""
    sentences = []
    variants = [sections.SOURCES.sections, sections.GUARDS.sections, sections.FAMILIES.sections]
    for mistake in error.errors()[:3]:
        place, seen = mistake["loc"], mistake.get("input")
        key = (
            ".".join(map(str, keys.written(place, root=root, variants=variants)))
            or "the configuration"
        )
        tag = TAGS.get(mistake["type"])
        if tag is not None and isinstance(seen, Mapping):  # the input is the whole section
            key, seen = f"{key}.{tag}", seen.get(tag)
        if mistake["type"] == "extra_forbidden":
            near = keys.meant(place, root=root, variants=variants)
            hint = f": did you mean {near}?" if near is not None else ""
            sentences.append(
                f"{key} is no key that fairway knows{hint or '; see docs/configuration.md for the keys'}"
            )
        elif mistake["type"] == "missing":
            sources = [
                f": source {part} needs it"
                for part in place[1:2]
                if part in sections.SOURCES.sections
            ]
            sentences.append(f"{key} is missing{''.join(sources)}")
        else:
            wanted = patterns.WORDS.get(str(mistake.get("ctx", {}).get("pattern")))
            message = wanted or mistake["msg"].removeprefix("Value error, ")
            shown = (
                f" is {_shown(seen)}" if isinstance(seen, str | int | float | bool | None) else ""
            )
            sentences.append(f"{key}{shown}: {message[:1].lower()}{message[1:]}")
    more = error.error_count() - len(sentences)
    return f"{where}: {'; '.join(sentences)}" + (f"; and {more} more" if more > 0 else "")


def _shown(value: object) -> str:
    """Return what was written, without a password that stands in an address."""
    return errors.shortened(SECRET.sub("://...@", repr(value)))


def _read(path: Path) -> dict[str, Any]:
    try:
        data = documents.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.ConfigError(
            f"{path} does not exist: write one with `fairway init DATA --target COLUMN`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.ConfigError(f"{path} is not YAML: {_first_line(error)}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise errors.ConfigError(
            f"{path} holds a {type(data).__name__}: wanted a map of sections such as data and training"
        )
    return data


def _compose(choices: Iterable[str]) -> DictConfig:
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            return compose("config", overrides=list(choices))
    except HydraException as error:
        groups = "; ".join(
            f"{folder.name}: {', '.join(sorted(f.stem for f in folder.glob('*.yaml')))}"
            for folder in sorted(CONF.iterdir())
            if folder.is_dir()
        )
        raise errors.ConfigError(
            f"defaults: {_first_line(error)} The groups are {groups}"
        ) from error


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not KEY.fullmatch(key.strip()):
        raise errors.ConfigError(
            f"--set {text!r}: wanted key.path=value, such as training.epochs=5"
        )
    try:
        return key.strip(), documents.parse(value)
    except yaml.YAMLError as error:
        raise errors.ConfigError(f"--set {key}: {value!r} is not a YAML value") from error


def _literal(value: Any) -> Any:
    """Return the value with all of its text meant as it stands: to OmegaConf `${x}` would be
    another key's value."""
    if isinstance(value, str):
        return REFERENCE.sub(lambda found: found[1] * 2 + "\\${", value)
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value


def _last(assigned: Sequence[tuple[str, Any]], key: str) -> Any:
    return next((value for name, value in reversed(assigned) if name == key), None)


def _resolve_paths(config: sections.Config, path: Path | None) -> sections.Config:
    root = path.resolve().parent if path else Path.cwd()
    return config.model_copy(update={"data": config.data.moved(root)})


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]

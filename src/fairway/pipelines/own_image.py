"""The image of the pipelines' steps with the user's own code: what goes in, and its Dockerfile."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import errors, plugins
from fairway.pipelines import reuse

CODE = "/opt/code"
PROJECTS = "/opt/projects"  # beside CODE, whose folders can be imported
USER = "65532:65532"  # nobody's, as the chart's pods
IGNORED = (
    *(".git", ".hg", ".svn", ".fairway", ".venv", "venv", "__pycache__", "*.pyc"),
    # secrets
    *(".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_ed25519*"),
    *(".aws", ".ssh", ".kube", ".docker", ".netrc", ".pypirc", "kubeconfig*", "pip.conf"),
    # data, which steps read by its address
    *("*.csv", "*.tsv", "*.parquet", "*.feather", "*.arrow", "*.jsonl", "*.xlsx", "*.npy", "*.npz"),
    *("*.db", "*.sqlite", "*.sqlite3"),
)
CHOICES = {  # section and key of the configuration -> group of plug-ins
    ("data", "source"): "sources",
    ("training", "family"): "families",
    ("training", "network"): "networks",
    ("evaluation", "metric"): "metrics",
}
ELSEWHERE = re.compile(r"-r|-c|-e|--requirement|--constraint|--editable|file:|\.|/")
CREDENTIAL = re.compile(r"https?://[^/\s]*@")
# What the base has stays as it is: another version of it would break the steps, not the build.
INSTALL = """RUN python -m venv /opt/pip \\
 && pip="/opt/pip/bin/python -m pip --python $(command -v python)" \\
 && $pip list --format=freeze > /opt/pip/held.txt \\
 && $pip install --no-cache-dir --constraint /opt/pip/held.txt {what} \\
 && rm -rf /opt/pip"""


@dataclass(frozen=True, kw_only=True)
class OwnCode:
    """What of a folder goes into the image, by its path there, and what a step must then find."""

    modules: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    requirements: str | None = None
    hashed: bool = False
    functions: tuple[str, ...] = ()
    plugins: tuple[tuple[str, str], ...] = ()  # group and name


def gather(
    folder: Path, *, config: Mapping[str, Any], code: Sequence[Path], requirements: Path | None
) -> OwnCode:
    """Return the named code, or where there is none the modules of the functions that the
    configuration names."""
    functions, needed = _functions(config), _plugins(config)
    places = [_place(folder, path) for path in code]
    if not code:
        places = list(_modules(folder, functions, elsewhere=requirements is not None))
    if not places and requirements is None:
        lacking = " and ".join(needed) or "the configuration names no function"
        raise errors.UsageError(
            f"there is no code to put into the image: {lacking}; wanted CODE (modules, packages, folders with a "
            "pyproject.toml) or --requirements FILE"
        )
    projects = tuple(place for place in places if (folder / place / "pyproject.toml").is_file())
    modules = [_module(folder, place) for place in places if place not in projects]
    if len({Path(place).name for place in modules}) < len(modules):
        raise errors.UsageError(
            f"two of {', '.join(modules)} have one name: rename one, both are imported by it"
        )
    return OwnCode(
        modules=tuple(modules),
        projects=projects,
        requirements=_place(folder, requirements) if requirements else None,
        hashed=requirements is not None and _hashed(requirements),
        functions=tuple(functions.values()),
        plugins=tuple(needed.values()),
    )


def dockerfile(code: OwnCode, *, base: str) -> str:
    """Return the Dockerfile that puts the code into the base and leaves no installer in it."""
    if not re.fullmatch(r"\w\S*", base):
        raise errors.UsageError(f"the base image is {base!r}: wanted NAME:TAG or NAME@sha256:...")
    lines = [f"FROM {base}", "USER root"]
    if code.requirements is not None:
        file = f"{PROJECTS}/requirements.txt"
        hashes = "--require-hashes " if code.hashed else ""
        lines.append(_copy(code.requirements, file))
        lines.append(INSTALL.format(what=f"{hashes}--requirement {file}"))
    laid = [f"{PROJECTS}/{number}" for number in range(len(code.projects))]
    lines += [_copy(project, place) for project, place in zip(code.projects, laid, strict=True)]
    if laid:
        lines.append(INSTALL.format(what=" ".join([*["--no-deps"] * code.hashed, *laid])))
    lines += [_copy(module, f"{CODE}/{Path(module).name}") for module in code.modules]
    if code.modules:  # also those that their owner alone could read
        lines.append(f"RUN chmod -R a+rX {CODE}")
        lines.append(f"ENV PYTHONPATH={CODE}${{PYTHONPATH:+:$PYTHONPATH}}")
    return "\n".join([*lines, f"USER {USER}", *_found(code), ""])


def dockerignore() -> str:
    """Return what keeps secrets and data out of a build in the folder itself."""
    return "".join(f"**/{pattern}\n" for pattern in IGNORED)


def lay(folder: Path, code: OwnCode, *, out: Path) -> None:
    """Copy what the Dockerfile names into the folder `out`, without secrets and data."""
    ignored = shutil.ignore_patterns(*IGNORED)
    for place in (
        *code.modules,
        *code.projects,
        *([code.requirements] if code.requirements else []),
    ):
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        if (folder / place).is_dir():
            shutil.copytree(
                folder / place, out / place, ignore=ignored, symlinks=True, dirs_exist_ok=True
            )
        else:
            shutil.copy(folder / place, out / place)


def _functions(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the user's functions that the configuration names, by key."""
    return {
        f"{section}.function": named
        for section in reuse.SECTIONS
        if (named := (config.get(section) or {}).get("function"))
    }


def _plugins(config: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return group and name of each plug-in of others that the configuration names, by a sentence."""
    found = {}
    for (section, key), group in CHOICES.items():
        plugin = plugins.found(group).get((config.get(section) or {}).get(key) or "")
        if plugin is not None and plugin.distribution != plugins.OURS:
            sentence = f"{section}.{key} {plugin.name} is of {plugin.distribution}"
            found[sentence] = (group, plugin.name)
    return found


def _modules(folder: Path, functions: Mapping[str, str], *, elsewhere: bool) -> Iterator[str]:
    """Yield the place of each function's module; `elsewhere` says that requirements may bring it."""
    for key, named in functions.items():
        top = re.split(r"[.:]", named)[0]
        places = (top, f"{top}.py", f"src/{top}", f"src/{top}.py")
        there = [place for place in places if (folder / place).exists()]
        if not there and not elsewhere:
            raise errors.UsageError(
                f"{key} {named}: there is no {top} or {top}.py in {folder}; name its place as CODE, or what brings "
                "it in --requirements FILE"
            )
        yield from there[:1]


def _place(folder: Path, path: Path) -> str:
    if not (folder / path).exists():
        raise errors.UsageError(f"{path} does not exist: wanted code in {folder}")
    place = Path(os.path.relpath(folder / path, folder))  # a link keeps its own name
    if ".." in place.parts or not (folder / place).resolve().is_relative_to(folder.resolve()):
        raise errors.UsageError(
            f"{path} is outside of {folder}: an image is built of one folder, so begin in one that has all of it"
        )
    return place.as_posix()


def _module(folder: Path, place: str) -> str:
    name = Path(place).name
    if not (name if (folder / place).is_dir() else name.removesuffix(".py")).isidentifier():
        raise errors.UsageError(
            f"{place} is no module: wanted NAME.py, a package's folder, or a folder with a pyproject.toml"
        )
    return place


def _hashed(requirements: Path) -> bool:
    """Say whether the file has hashes; refuse what a build could not find, or would lay open."""
    text = requirements.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if ELSEWHERE.match(line.strip()):
            raise errors.UsageError(
                f"{requirements} line {number} names another file: wanted names and versions, as of `uv pip "
                "compile`; folders are CODE"
            )
        if CREDENTIAL.search(line):
            raise errors.UsageError(
                f"{requirements} line {number} has a credential, which all who have the image could read: wanted "
                "an address without one"
            )
    return "--hash=" in text


def _copy(source: str, place: str) -> str:
    return f"COPY {json.dumps([source, place])}"


def _found(code: OwnCode) -> Iterator[str]:
    """Yield the instruction that fails where a step would not find the code."""
    brought = {re.split(r"[.:]", named)[0] for named in code.functions}
    modules = [Path(module).name.removesuffix(".py") for module in code.modules]
    names = (*code.functions, *(name for name in modules if name not in brought))
    asked = [f"pkgutil.resolve_name({name!r})" for name in names]
    asked += [
        f"entry_points(group='fairway.{group}')[{name!r}].load()" for group, name in code.plugins
    ]
    if asked:
        imports = "import pkgutil; from importlib.metadata import entry_points"
        yield f"RUN {json.dumps(['python', '-c', '; '.join([imports, *asked])])}"

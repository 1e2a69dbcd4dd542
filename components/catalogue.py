"""`python -m components.catalogue [FOLDER]` writes what stands beside each component: `component.yaml`, which
`kfp.components.load_component_from_url` takes, `metadata.yaml` and a README; a test holds the committed
files to it."""

import importlib
import inspect
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from fairway import files
from fairway.pipelines import compiled, pitfalls

HERE = Path(__file__).parent
KUBEFLOW = ">=2.5"  # what the compiled form is read by
NOTE = "Written by `python -m components.catalogue` from component.py: change that, not this file."
UNCACHED = "    step.set_caching_options(False)  # it reads or changes what is outside of the run"


def components() -> Iterator[tuple[str, Any]]:
    """Give each component with its place, such as `data/prepare`, in the order of their names."""
    for file in sorted(HERE.glob("*/*/component.py")):
        place = file.parent.relative_to(HERE)
        module = importlib.import_module(".".join(("components", *place.parts)))
        yield str(place), getattr(module, place.name)


def write(folder: Path) -> None:
    """Write the files of every component below `folder`, and the list of all."""
    lines = []
    for place, component in components():
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / "component.yaml"
            compiler.Compiler().compile(component, str(made))
            uncached = bool(pitfalls.outside(compiled.read(made)))
            files.write_bytes(folder / place / "component.yaml", made.read_bytes())
        page = _page(place, component, uncached=uncached)
        files.write_bytes(folder / place / "metadata.yaml", _metadata(place).encode())
        files.write_bytes(folder / place / "README.md", page.encode())
        lines.append(f"| [{place}]({place}/README.md) | {_said(component)} |")
    listed = "\n".join(
        ("# Components", "", NOTE, "", "| component | what it does |", "|---|---|", *lines, "")
    )
    files.write_bytes(folder / "README.md", listed.encode())


def _metadata(place: str) -> str:
    noun, name = place.split("/")
    plain = {
        "name": name,
        "stability": "alpha",
        "dependencies": {"kubeflow": [{"name": "Pipelines", "version": KUBEFLOW}]},
        "tags": ["fairway", noun],
    }
    return f"# {NOTE}\n{yaml.safe_dump(plain, sort_keys=False)}"


def _page(place: str, component: Any, *, uncached: bool) -> str:
    spec = component.component_spec
    name = place.split("/")[1]
    arguments = ", ".join(
        f"{one}=..." for one, value in (spec.inputs or {}).items() if not value.optional
    )
    return "\n".join(
        (
            f"# {name}",
            "",
            NOTE,
            "",
            _said(component),
            "",
            *_table("input", spec.inputs),
            *_table("output", spec.outputs),
            "```python",
            "from kfp import dsl",
            "",
            "from fairway import components",
            "",
            "",
            "@dsl.pipeline",
            "def mine(...):",
            f"    step = components.{name}({arguments})",
            *((UNCACHED,) if uncached else ()),
            "```",
            "",
            "Its image is the one of `pipeline.image`, with nothing installed when it runs; requests, limits, timeout, "
            "retries and caching",
            "are the pipeline's: `pipelines/parts.py` shows ours. `component.yaml` is what "
            "`kfp.components.load_component_from_url` takes.",
            "",
        )
    )


def _table(what: str, found: Any) -> list[str]:
    if not found:
        return []
    rows = [
        f"| `{name}` | {one.type.removeprefix('system.').partition('@')[0]} | {_default(one)} |"
        for name, one in found.items()
    ]
    return [f"| {what} | type | default |", "|---|---|---|", *rows, ""]


def _default(one: Any) -> str:
    if not getattr(one, "optional", False):
        return ""
    return f"`{one.default!r}`" if one.default != "" else "empty"


def _said(component: Any) -> str:
    return " ".join(inspect.cleandoc(component.python_func.__doc__).split())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)

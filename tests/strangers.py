"""A stranger's package: plug-ins that no line of ours knows, laid down as pip would, and Python
that runs beside it."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SRC = Path(__file__).parents[1] / "src"


def install(
    folder: Path,
    name: str,
    *,
    version: str,
    modules: Mapping[str, str],
    groups: Mapping[str, Mapping[str, str]],
) -> Path:
    """Lay the package down in the folder: its modules by name, its entry points by group; return
    the folder."""
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(textwrap.dedent(text))
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    declare(folder, groups)
    return folder


def declare(folder: Path, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Give the package in the folder these entry points, in place of those that it had."""
    (info,) = folder.glob("*.dist-info")
    lines = [
        f"[fairway.{group}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
        for group, named in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run our Python in the folder, with the package in it installed."""
    environment: dict[str, Any] = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(SRC)]),
    }
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
        cwd=folder,
    )

"""Small prepared datasets, and code of a user's own outside the package, that the tests of training
and evaluation share."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairway import artifacts
from fairway.config import sections
from fairway.data import prepare

FAST = {"epochs": 3, "batchSize": 32, "hidden": [8], "channels": [4], "threads": 1, "device": "cpu"}


def training(**values: Any) -> sections.Training:
    return sections.Training.of(**{**FAST, **values})


def table(rows: int = 240, *, seed: int = 0) -> pd.DataFrame:
    """Return rows of two numbers, a category and a target that follows from them, with some noise."""
    rng = np.random.default_rng(seed)
    age, pay = rng.normal(40, 12, rows), rng.normal(0, 1, rows)
    town = rng.choice(["Bath", "York", "Rye"], rows, p=[0.5, 0.3, 0.2])
    label = np.where(age + 20 * (town == "York") + rng.normal(0, 4, rows) > 45, "yes", "no")
    return pd.DataFrame({"age": age, "pay": pay, "town": town, "label": label})


def tabular(folder: Path, *, rows: int = 240) -> Path:
    """Return a prepared dataset of `table`."""
    table(rows).to_csv(folder / "rows.csv", index=False)
    prepare.prepare(
        sections.Data.of(source="csv", path=folder / "rows.csv"), out=folder / "tabular"
    )
    return folder / "tabular"


def digits(folder: Path, *, limit: int | None = 400) -> Path:
    """Return a prepared dataset of scikit-learn's digits."""
    split = sections.Split(validation=0.1667, test=0.3322)
    prepare.prepare(
        sections.Data.of(source="digits", target="digit", limit=limit, split=split),
        out=folder / "digits",
    )
    return folder / "digits"


def code(folder: Path, monkeypatch: Any, *, name: str, text: str) -> str:
    """Write a module of the user's into a folder that becomes the current directory; gives the name
    of its function."""
    (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return f"{name}:fit"


def package(
    folder: Path, *, dataset: Path, checkpoint: Path, classes: list[str] | None = None
) -> Path:
    """Return the files of a model package that a champion is read from."""
    folder.mkdir()
    known = artifacts.read_json(dataset / "schema.json")
    fitted = artifacts.read_json(checkpoint / "checkpoint.json")
    says = {name: known[name] for name in ("task", "facts") if name in known}
    says |= {"layout": fitted["layout"], "classes": classes or known["classes"]}
    artifacts.write_json(folder / "manifest.json", says)
    for source in (dataset / "preprocessing.json", checkpoint / "model.onnx"):
        (folder / source.name).write_bytes(source.read_bytes())
    return folder

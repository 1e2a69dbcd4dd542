"""Packages a graph that was trained elsewhere: `fairway package model.onnx --schema FILE`. Other
libraries' files become a graph first (`packaging.elsewhere`).

The schema file is YAML or JSON:

    target: income                    # optional, `label`
    task: classification              # optional; or regression, or a package's own
    classes: ["<=50K", ">50K"]        # of a classification, in the order of the graph's probabilities
    range: [0, 500]                   # of a regression: between what the target mostly lies
    coverage: 0.9                     # of one whose graph answers value, lower and upper: how often the truth lies
                                      # between the two
    layout: flat                      # optional, seen from the graph; named: inputs numbers, categories, image;
                                      # flat: one input with all features side by side
    features:                         # in the order in which the graph expects them
      - {name: age, kind: number, range: [17, 90]}    # `dtype: int`, `nullable: true` where so; how values are written:
                                      # `missing: [-999, "?"]`, `notation: comma` (12345,67)
      - {name: sex, kind: category, categories: [Female, Male]}
      - {name: picture, kind: image, shape: [1, 28, 28], range: [0, 1]}
    preprocessing:                    # optional, by feature: what is to be done before the graph, as in
                                      # preprocessing.json
      age: [{op: scale, mean: 38.6, std: 13.6}]
    golden: rows.csv                  # optional: rows whose answers a server must reproduce; made up from ranges by
                                      # default
    reference: reference.csv          # optional: rows that drift is measured against; without them there is no
                                      # reference.npz

Without preprocessing, numbers and images reach the graph as they are, categories as their index
(named) or one-hot (flat). Rows files are CSV with a header (an empty cell is a missing value), or a
JSON list of objects; an image is a list of numbers, in CSV a JSON list in its cell. Paths are taken
from the schema file's folder.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fairway import __version__, artifacts, errors
from fairway.config import documents, patterns
from fairway.model import kinds, tasks
from fairway.model.schema import Feature, Schema
from fairway.packaging import answering, golden, manifest, store

KEYS = {"target", "task", "layout", "features", "preprocessing", "golden", "reference"}
FEATURE_KEYS = {
    "name",
    "kind",
    "dtype",
    "shape",
    "range",
    "categories",
    "nullable",
    "missing",
    "notation",
}


def import_onnx(
    model: Path,
    *,
    schema: Path,
    name: str,
    out: Path,
    evaluation: Path | None = None,
    licence: str = "unspecified",
    source: str = "imported ONNX graph",
) -> artifacts.Package:
    """Return the package of an ONNX graph in `out/<digest>/`.

    Raises PackageError with what is wrong in the graph or the file.
    """
    if not re.fullmatch(patterns.NAME, name):
        raise errors.UsageError(
            f"the package's name is {name!r}: wanted lower-case letters, digits and dashes, at most 53"
        )
    declared = read_schema(schema)
    measured = _measured(evaluation) if evaluation else None
    with store.workshop(out) as folder:
        store.copy(model, target=folder / "model.onnx")
        layout = declared["layout"] or answering.layout_of(folder / "model.onnx")
        known = declared["schema"]
        artifacts.write_json(folder / "schema.json", known.to_json())
        artifacts.write_json(
            folder / "preprocessing.json", {"version": 1, "features": declared["preprocessing"]}
        )
        _write_rows(folder, declared=declared, known=known, layout=layout, root=schema.parent)
        if evaluation:
            store.copy(_evaluation_file(evaluation), target=folder / "evaluation.json")
        lineage: artifacts.Json = {
            "datasetVersion": "",
            "source": source,
            "codeVersion": __version__,
            "configuration": {},
            "seed": None,
            "gate": None,
        }
        made = store.put(
            out,
            folder=folder,
            describe=lambda files: manifest.describe(
                name=name,
                schema=known,
                layout=layout,
                lineage=lineage,
                licence=licence,
                evaluation=measured,
                files=files,
            ),
        )
    return made.record()


def read_schema(path: Path) -> artifacts.Json:
    """Return the checked content of a schema file: schema, layout, preprocessing, golden,
    reference."""
    data = _mapping(path)
    name = data.get("task", tasks.USUAL)
    if name not in tasks.found():
        raise errors.PackageError(f"{path}: task is {name!r}: wanted {tasks.listed()}")
    task = tasks.named(name)
    wanted = sorted(KEYS | set(task.declares))
    unknown = sorted(set(data) - set(wanted))
    if unknown:
        raise errors.PackageError(
            f"{path}: {unknown[0]!r} is no key of a {name}'s schema file: wanted {', '.join(wanted)}"
        )
    facts = task.declare(data, where=str(path))
    entries = data.get("features")
    if not isinstance(entries, list) or not entries:
        raise errors.PackageError(
            f"{path}: features is {entries!r}: wanted a list such as [{{name: age, kind: number, range: [17, 90]}}]"
        )
    features = [
        _feature(entry, where=f"{path}: features[{index}]") for index, entry in enumerate(entries)
    ]
    names = [one.name for one in features]
    if len(set(names)) != len(names):
        raise errors.PackageError(f"{path}: features are named {names}: wanted different names")
    if data.get("layout") not in (None, *manifest.LAYOUTS):
        raise errors.PackageError(f"{path}: layout is {data['layout']!r}: wanted named or flat")
    return {
        "schema": Schema(
            target=str(data.get("target", "label")),
            task=name,
            classes=tuple(facts.get("classes", ())),
            facts=facts.get("facts", {}),
            features=tuple(features),
        ),
        "layout": data.get("layout"),
        "preprocessing": _preprocessing(data.get("preprocessing") or {}, features, path=path),
        "golden": data.get("golden"),
        "reference": data.get("reference"),
    }


def rows_of(declared: artifacts.Json, *, root: Path) -> golden.Columns:
    """Return the rows that a schema file names, those of the reference before the golden ones; else
    made-up ones."""
    named = declared["reference"] or declared["golden"]
    features = declared["schema"].features
    return read_rows(root / named, features=features) if named else made_up(features)


def read_rows(path: Path, *, features: Sequence[Feature]) -> golden.Columns:
    """Return the columns of a rows file (CSV or a JSON list of objects)."""
    rows = _csv_rows(path) if path.suffix == ".csv" else _json_rows(path)
    if not rows:
        raise errors.PackageError(f"{path} has no rows: wanted at least one")
    columns = {}
    for feature in features:
        if feature.name not in rows[0]:
            raise errors.PackageError(
                f"{path} has no column {feature.name!r}: wanted a column for every feature"
            )
        columns[feature.name] = [row.get(feature.name) for row in rows]
    try:
        return golden.columns_of(columns, features=features)
    except (OverflowError, TypeError, ValueError) as error:
        raise errors.PackageError(
            f"{path} has rows that do not fit the schema ({error}): wanted its features' kinds and shapes"
        ) from error


def _write_rows(
    folder: Path, *, declared: artifacts.Json, known: Schema, layout: str, root: Path
) -> None:
    features = known.features
    answer = answering.load(folder, layout=layout, schema=known)
    reference = (
        read_rows(root / declared["reference"], features=features)
        if declared["reference"]
        else None
    )
    if declared["golden"]:
        rows = read_rows(root / declared["golden"], features=features)
    else:
        rows = reference if reference is not None else made_up(features)
    try:
        golden.write(folder, rows, answer=answer, schema=known)
        if reference is not None:
            numbers = np.arange(len(next(iter(reference.values()))), dtype=np.int64)
            golden.write_reference(folder, reference, numbers=numbers, answer=answer)
    except errors.ModelError as error:
        raise errors.PackageError(f"the graph does not fit the schema: {error}") from error


def made_up(features: Sequence[Feature]) -> golden.Columns:
    """Return rows that sweep each feature's range and categories: enough to tell one graph from
    another."""
    columns: dict[str, Any] = {}
    for position, feature in enumerate(features):
        # Each feature at its own pace, so that rows differ.
        steps = (np.arange(golden.ROWS) * (position + 1)) % golden.ROWS
        columns[feature.name] = kinds.of(feature).sweep(feature, steps, most=golden.ROWS - 1)
    return golden.columns_of(columns, features=features)


def _mapping(path: Path) -> artifacts.Json:
    try:
        data = documents.parse(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise errors.PackageError(
            f"{path} cannot be read as YAML or JSON: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(data, dict):
        raise errors.PackageError(
            f"{path} holds a {type(data).__name__}: wanted a map with features and what the task needs"
        )
    return data


def _feature(entry: Any, *, where: str) -> Feature:
    known = isinstance(entry, dict) and isinstance(entry.get("name"), str)
    if not known or entry.get("kind") not in list(kinds.found()):
        raise errors.PackageError(
            f"{where} is {entry!r}: wanted a map with a name and the kind {kinds.listed()}"
        )
    unknown = sorted(set(entry) - FEATURE_KEYS)
    if unknown:
        raise errors.PackageError(
            f"{where}: {unknown[0]!r} is no key of a feature: wanted {', '.join(sorted(FEATURE_KEYS))}"
        )
    kind = kinds.named(entry["kind"])
    described = kind.declare(entry, where=where)
    common: artifacts.Json = {
        "dtype": entry.get("dtype") or kind.dtype,
        "shape": entry.get("shape"),
        "nullable": entry.get("nullable"),
        "missing": _words(entry.get("missing") or [], where=f"{where}: missing"),
        "notation": entry.get("notation"),
    }
    if (common["notation"] or "") not in kind.notations:
        ways = (
            " or ".join(notation for notation in kind.notations if notation) or "none, of this kind"
        )
        raise errors.PackageError(f"{where}: notation is {common['notation']!r}: wanted {ways}")
    return Feature.from_json({"name": entry["name"], "kind": kind.name, **common, **described})


def _words(given: Any, *, where: str) -> list[str]:
    if not isinstance(given, list):
        raise errors.PackageError(
            f"{where} is {given!r}: wanted a list of the words and numbers that stand for none"
        )
    return [kinds.declared_word(value, where=where) for value in given]


def _preprocessing(given: Any, features: Sequence[Feature], *, path: Path) -> list[artifacts.Json]:
    if not isinstance(given, dict):
        raise errors.PackageError(
            f"{path}: preprocessing is {given!r}: wanted a map from feature to its list of steps"
        )
    unknown = sorted(set(given) - {feature.name for feature in features})
    if unknown:
        raise errors.PackageError(
            f"{path}: preprocessing names {unknown[0]!r}, which is none of the features"
        )
    return [_entry(feature, given) for feature in features]


def _entry(feature: Feature, given: Mapping[str, Any]) -> artifacts.Json:
    steps = given.get(feature.name, kinds.of(feature).usual_steps(feature))
    return {
        "name": feature.name,
        "kind": feature.kind,
        "shape": list(feature.shape),
        "steps": steps,
    }


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise errors.PackageError(f"{path} cannot be read as CSV: {error}") from error


def _json_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows: Any = artifacts.read_json(path)
    except (OSError, ValueError) as error:
        raise errors.PackageError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise errors.PackageError(
            f"{path} is no list of rows: wanted [{{feature: value, ...}}, ...]"
        )
    return rows


def _measured(evaluation: Path) -> artifacts.Evaluation:
    file = _evaluation_file(evaluation)
    try:
        return artifacts.from_json(artifacts.Evaluation, manifest.document(file))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.PackageError(
            f"{file} is no evaluation ({error!r}): wanted what `fairway evaluate` writes"
        ) from error


def _evaluation_file(evaluation: Path) -> Path:
    return evaluation / "evaluation.json" if evaluation.is_dir() else evaluation

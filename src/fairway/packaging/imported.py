"""Packages a model that was trained elsewhere: `fairway package model.onnx --schema FILE`.

The schema file is YAML or JSON:

    target: income                         # optional, `label`
    classes: ["<=50K", ">50K"]             # in the order of the graph's probabilities
    layout: flat                           # optional, seen from the graph; named: inputs numbers, categories, image; flat: one
                                           # input with all features side by side
    features:                              # in the order in which the graph expects them
      - {name: age, kind: number, range: [17, 90]}                   # `dtype: int`, `nullable: true` where so
      - {name: sex, kind: category, categories: [Female, Male]}
      - {name: picture, kind: image, shape: [1, 28, 28], range: [0, 1]}
    preprocessing:                         # optional, by feature: what is to be done before the graph, as in preprocessing.json
      age: [{op: scale, mean: 38.6, std: 13.6}]
    golden: rows.csv                       # optional: rows whose answers a server must reproduce; made up from ranges by default
    reference: reference.csv               # optional: rows that drift is measured against; without them there is no reference.npz

Without preprocessing, numbers and images reach the graph as they are, categories as their index (named) or one-hot (flat).
Rows files are CSV with a header (an empty cell is a missing value), or a JSON list of objects; an image is a list of numbers, in
CSV a JSON list in its cell. Paths are taken from the schema file's folder.
"""

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fairway import __version__, artifacts, errors
from fairway.config import documents, sections
from fairway.packaging import answering, golden, manifest, store

KEYS = {"target", "classes", "layout", "features", "preprocessing", "golden", "reference"}
FEATURE_KEYS = {"name", "kind", "dtype", "shape", "range", "categories", "nullable"}
KINDS = ("number", "category", "image")


def import_onnx(
    model: Path,
    *,
    schema: Path,
    name: str,
    out: Path,
    evaluation: Path | None = None,
    licence: str = "unspecified",
) -> artifacts.Package:
    """Return the package of an ONNX graph in `out/<digest>/`; raises PackageError with what is wrong in the graph or the file."""
    if not re.fullmatch(sections.NAME, name):
        raise errors.UsageError(
            f"the package's name is {name!r}: wanted lower-case letters, digits and dashes, at most 53"
        )
    declared = read_schema(schema)
    measured = _measured(evaluation) if evaluation else None
    with store.workshop(out) as folder:
        store.copy(model, target=folder / "model.onnx")
        layout = declared["layout"] or answering.layout_of(folder / "model.onnx")
        artifacts.write_json(
            folder / "schema.json",
            {
                "target": declared["target"],
                "task": "classification",
                "classes": declared["classes"],
                "features": declared["features"],
            },
        )
        artifacts.write_json(folder / "preprocessing.json", {"version": 1, "features": declared["preprocessing"]})
        _write_rows(folder, declared=declared, layout=layout, root=schema.parent)
        if evaluation:
            store.copy(_evaluation_file(evaluation), target=folder / "evaluation.json")
        lineage: artifacts.Json = {
            "datasetVersion": "",
            "source": "imported ONNX graph",
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
                classes=tuple(declared["classes"]),
                layout=layout,
                target=declared["target"],
                features=declared["features"],
                lineage=lineage,
                licence=licence,
                evaluation=measured,
                files=files,
            ),
        )
    return made.record()


def read_schema(path: Path) -> artifacts.Json:
    """Return the checked content of a schema file: target, classes, layout, features, preprocessing, golden, reference."""
    data = _mapping(path)
    unknown = sorted(set(data) - KEYS)
    if unknown:
        raise errors.PackageError(
            f"{path}: {unknown[0]!r} is no key of a schema file: wanted {', '.join(sorted(KEYS))}"
        )
    classes = data.get("classes")
    if not isinstance(classes, list) or len(classes) < 2 or len(set(map(str, classes))) != len(classes):
        raise errors.PackageError(f"{path}: classes is {classes!r}: wanted a list of at least two different names")
    entries = data.get("features")
    if not isinstance(entries, list) or not entries:
        raise errors.PackageError(
            f"{path}: features is {entries!r}: wanted a list such as [{{name: age, kind: number, range: [17, 90]}}]"
        )
    features = [_feature(entry, where=f"{path}: features[{index}]") for index, entry in enumerate(entries)]
    names = [one["name"] for one in features]
    if len(set(names)) != len(names):
        raise errors.PackageError(f"{path}: features are named {names}: wanted different names")
    if data.get("layout") not in (None, *manifest.LAYOUTS):
        raise errors.PackageError(f"{path}: layout is {data['layout']!r}: wanted named or flat")
    return {
        "target": str(data.get("target", "label")),
        "classes": [str(name) for name in classes],
        "layout": data.get("layout"),
        "features": features,
        "preprocessing": _preprocessing(data.get("preprocessing") or {}, features, path=path),
        "golden": data.get("golden"),
        "reference": data.get("reference"),
    }


def read_rows(path: Path, *, declared: Sequence[Mapping[str, Any]]) -> golden.Columns:
    """Return the columns of a rows file (CSV or a JSON list of objects)."""
    rows = _csv_rows(path) if path.suffix == ".csv" else _json_rows(path)
    if not rows:
        raise errors.PackageError(f"{path} has no rows: wanted at least one")
    columns: dict[str, list[Any]] = {}
    for feature in declared:
        name = feature["name"]
        if name not in rows[0]:
            raise errors.PackageError(f"{path} has no column {name!r}: wanted a column for every feature")
        columns[name] = [_value(row.get(name), feature=feature, path=path) for row in rows]
    try:
        return golden.columns_of(columns, declared=declared)
    except (OverflowError, TypeError, ValueError) as error:
        raise errors.PackageError(
            f"{path} has rows that do not fit the schema ({error}): wanted its features' kinds and shapes"
        ) from error


def _write_rows(folder: Path, *, declared: artifacts.Json, layout: str, root: Path) -> None:
    features = declared["features"]
    answer = answering.load(folder, layout=layout, classes=declared["classes"])
    reference = read_rows(root / declared["reference"], declared=features) if declared["reference"] else None
    if declared["golden"]:
        rows = read_rows(root / declared["golden"], declared=features)
    else:
        rows = reference if reference is not None else made_up(features)
    try:
        golden.write(folder, rows, answer=answer)
        if reference is not None:
            numbers = np.arange(len(next(iter(reference.values()))), dtype=np.int64)
            golden.write_reference(folder, reference, numbers=numbers, answer=answer)
    except errors.ModelError as error:
        raise errors.PackageError(f"the graph does not fit the schema: {error}") from error


def made_up(declared: Sequence[Mapping[str, Any]]) -> golden.Columns:
    """Return rows that sweep each feature's range and categories: enough to tell one graph from another."""
    columns: dict[str, Any] = {}
    for position, feature in enumerate(declared):
        steps = (
            np.arange(golden.ROWS) * (position + 1)
        ) % golden.ROWS  # each feature at its own pace, so that rows differ
        if feature["kind"] == "category":
            columns[feature["name"]] = [feature["categories"][step % len(feature["categories"])] for step in steps]
            continue
        low, high = feature.get("min"), feature.get("max")
        low, high = (0.0, 1.0) if low is None or high is None else (low, high)
        values = low + (high - low) * steps / (golden.ROWS - 1)
        if feature["kind"] == "image":
            ramp = np.linspace(0, 1, math.prod(feature["shape"]))
            columns[feature["name"]] = [low + (value - low) * ramp for value in values]
        else:
            columns[feature["name"]] = [
                float(round(value)) if feature["dtype"] == "int" else float(value) for value in values
            ]
    return golden.columns_of(columns, declared=declared)


def _mapping(path: Path) -> artifacts.Json:
    try:
        data = documents.parse(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise errors.PackageError(f"{path} cannot be read as YAML or JSON: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise errors.PackageError(f"{path} holds a {type(data).__name__}: wanted a map with classes and features")
    return data


def _feature(entry: Any, *, where: str) -> artifacts.Json:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or entry.get("kind") not in KINDS:
        raise errors.PackageError(
            f"{where} is {entry!r}: wanted a map with a name and the kind number, category or image"
        )
    unknown = sorted(set(entry) - FEATURE_KEYS)
    if unknown:
        raise errors.PackageError(
            f"{where}: {unknown[0]!r} is no key of a feature: wanted {', '.join(sorted(FEATURE_KEYS))}"
        )
    kind = entry["kind"]
    low, high = _range(entry.get("range"), where=where)
    feature: artifacts.Json = {
        "name": entry["name"],
        "kind": kind,
        "dtype": entry.get("dtype") or ("string" if kind == "category" else "float"),
        "shape": list(entry.get("shape") or []),
        "nullable": bool(entry.get("nullable", False)),
    }
    if kind == "category":
        categories = entry.get("categories")
        if not isinstance(categories, list) or not categories:
            raise errors.PackageError(
                f"{where}: categories is {categories!r}: wanted the list of values that the model knows"
            )
        return feature | {"categories": [str(value) for value in categories]}
    if kind == "image" and (
        len(feature["shape"]) != 3 or not all(type(size) is int and size > 0 for size in feature["shape"])
    ):
        raise errors.PackageError(f"{where}: shape is {entry.get('shape')!r}: wanted [channels, height, width]")
    return feature | {"min": low, "max": high}


def _range(value: Any, *, where: str) -> tuple[float | None, float | None]:
    if value is None:
        return None, None
    numbers = isinstance(value, list) and all(type(end) in (int, float) and math.isfinite(end) for end in value)
    if numbers and len(value) == 2 and value[0] <= value[1]:
        return float(value[0]), float(value[1])
    raise errors.PackageError(f"{where}: range is {value!r}: wanted [lowest, highest]")


def _preprocessing(given: Any, features: Sequence[artifacts.Json], *, path: Path) -> list[artifacts.Json]:
    if not isinstance(given, dict):
        raise errors.PackageError(f"{path}: preprocessing is {given!r}: wanted a map from feature to its list of steps")
    unknown = sorted(set(given) - {one["name"] for one in features})
    if unknown:
        raise errors.PackageError(f"{path}: preprocessing names {unknown[0]!r}, which is none of the features")
    return [
        {
            "name": one["name"],
            "kind": one["kind"],
            "shape": one["shape"],
            "steps": given.get(one["name"], _usual_steps(one)),
        }
        for one in features
    ]


def _usual_steps(feature: artifacts.Json) -> list[artifacts.Json]:
    if feature["kind"] == "category":
        return [{"op": "encode", "categories": feature["categories"]}]
    return []


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
        raise errors.PackageError(f"{path} is no list of rows: wanted [{{feature: value, ...}}, ...]")
    return rows


def _value(value: Any, *, feature: Mapping[str, Any], path: Path) -> Any:
    try:
        if feature["kind"] == "image":
            return json.loads(value) if isinstance(value, str) else value
        if feature["kind"] == "number":
            return None if value in (None, "") else float(value)
        if isinstance(value, list | dict):
            raise TypeError("no word")
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
        shown = errors.shortened(repr(errors.excerpt(value)))
        raise errors.PackageError(
            f"{path}: {feature['name']} has the value {shown}: wanted a {feature['kind']}"
        ) from error
    return value


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

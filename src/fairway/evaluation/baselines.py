"""The model in service as a baseline; the simplest rules are the task's."""

import dataclasses
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fairway import artifacts, errors, files
from fairway.data import splits
from fairway.model import composed, graph, preprocessing, tasks
from fairway.model.schema import Schema

Array = NDArray[Any]


def champion(package: Path, *, rows: splits.Split, schema: Schema) -> tuple[Array, list[Any]]:
    """Return what a packaged model answers to these rows, as a model of this schema would, and the
    labels that it gives.

    Its own preprocessing reads the raw columns.
    """
    layout, known, preprocessor = _read(package, schema)
    _comparable(preprocessor, rows, package=package)
    task = tasks.of(schema)
    opened = graph.Graph(
        package / "model.onnx",
        output=task.output,
        width=task.width(known),
        what=f"the model in service ({package})",
    )
    raw = composed.Composed(preprocessor, opened, layout=layout)(rows.columns)
    return task.translated(raw, given=known, wanted=schema), task.answers(raw, known)


def digest(package: Path) -> str:
    """Return the digest that names the package."""
    return files.digest_bytes(files.canonical(_json(package / "manifest.json")))


def notes(package: Path, *, seed: int | None) -> tuple[str, ...]:
    """Return why the package may have learnt from the rows that it is compared on, one sentence
    each.

    `seed` divided those rows. Nothing is said of a package that was trained elsewhere.
    """
    configuration = (_json(package / "manifest.json").get("lineage") or {}).get(
        "configuration"
    ) or {}
    data = configuration.get("data")
    if data is None or (seed is not None and data.get("seed") == seed):
        return ()
    if "seed" not in data:
        why = "was packaged by an earlier version, which divided the rows otherwise"
    else:
        why = f"was trained on rows that data.seed {data['seed']} divided, and these are divided by {seed}"
    return (
        f"the model in service {why}: it may have learnt from some of the test rows, on which it looks better than it "
        "is then",
    )


def _read(package: Path, schema: Schema) -> tuple[str, Schema, preprocessing.Preprocessor]:
    """Return the package's layout, what it knows of the target, and its preprocessing."""
    manifest = _json(package / "manifest.json")
    missing = [key for key in ("layout", "classes") if key not in manifest]
    if missing:
        raise errors.PackageError(
            f"{package / 'manifest.json'} has no {missing[0]!r}: wanted the manifest of a model package"
        )
    theirs = manifest.get("task", tasks.USUAL)
    if theirs != schema.task:
        raise errors.DataError(
            f"the model in service ({package}) does {theirs}, this dataset is for {schema.task}: "
            "it cannot be compared; evaluate with another champion, or with none"
        )
    facts = manifest.get("facts") or {}
    known = dataclasses.replace(schema, classes=tuple(manifest["classes"]), facts=facts)
    steps = preprocessing.Preprocessor.load(_json(package / "preprocessing.json"))
    return str(manifest["layout"]), known, steps


def _json(file: Path) -> artifacts.Json:
    try:
        return artifacts.read_json(file)
    except (OSError, ValueError) as error:
        raise errors.PackageError(
            f"{file} cannot be read ({error}): wanted a file of a model package; name another champion, or none"
        ) from error


def _comparable(
    preprocessor: preprocessing.Preprocessor, rows: splits.Split, *, package: Path
) -> None:
    advice = "it cannot be compared; evaluate with another champion, or with none"
    lacking = [name for name in preprocessor.names if name not in rows.columns]
    if lacking:
        raise errors.DataError(
            f"the model in service ({package}) needs the feature {lacking[0]!r}, which this dataset has not: {advice}"
        )
    theirs, ours = preprocessor.kinds, rows.preprocessor.kinds
    for name, kind in theirs.items():
        if ours[name] != kind:
            raise errors.DataError(
                f"feature {name!r} is a {kind} to the model in service ({package}) and a {ours[name]} in this "
                f"dataset: {advice}"
            )

"""Baselines: what a model must beat to be worth its upkeep. Random, the zero rule, and the model in service."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts, errors, files
from fairway.data import splits
from fairway.evaluation import metrics
from fairway.model import composed, graph, preprocessing

Array = NDArray[Any]
UNKNOWN = -1  # the champion's answer is a class that this dataset has not


@dataclass(frozen=True)
class Answers:
    """What a model says of rows, in the order of this dataset's classes."""

    predicted: NDArray[np.int64]  # index of the class, or UNKNOWN
    probabilities: Array  # [n, classes]; 0 for a class that the model does not know

    def scores(self, truth: Array) -> dict[str, float]:
        """Return accuracy and log loss."""
        return {
            "accuracy": float((self.predicted == truth).mean()),
            "log_loss": metrics.log_loss(self.probabilities, truth),
        }

    def differing(self, probabilities: Array) -> int:
        """Return on how many rows the other model answers with another class."""
        return int((self.predicted != probabilities.argmax(axis=1)).sum())


def random(train: Array, truth: Array, *, classes: int) -> dict[str, float]:
    """Return what guessing by the classes' training shares is expected to reach."""
    shares = np.bincount(train, minlength=classes) / len(train)
    counts = np.bincount(truth, minlength=classes) / len(truth)
    return {"accuracy": float(shares @ counts), "log_loss": _loss_of(shares, truth)}


def zero_rule(train: Array, truth: Array, *, classes: int) -> dict[str, float]:
    """Return what always saying the most frequent training class reaches; its loss is that of the classes' shares."""
    shares = np.bincount(train, minlength=classes) / len(train)
    return {"accuracy": float((truth == shares.argmax()).mean()), "log_loss": _loss_of(shares, truth)}


def champion(package: Path, *, rows: splits.Split, classes: Sequence[str]) -> Answers:
    """Return what a packaged model says of these rows: its own preprocessing of the raw columns, its classes mapped by name."""
    layout, known, preprocessor = _read(package)
    _comparable(preprocessor, rows, package=package)
    opened = graph.Graph(
        package / "model.onnx", output=graph.PROBABILITIES, width=len(known), what=f"the model in service ({package})"
    )
    answered = composed.Composed(preprocessor, opened, layout=layout)(rows.columns)
    place = {name: index for index, name in enumerate(classes)}
    predicted = np.array([place.get(name, UNKNOWN) for name in known], dtype=np.int64)[answered.argmax(axis=1)]
    probabilities = np.zeros((len(answered), len(classes)), dtype=np.float64)
    for index, name in enumerate(known):
        if name in place:
            probabilities[:, place[name]] = answered[:, index]
    return Answers(predicted, probabilities)


def digest(package: Path) -> str:
    """Return the digest that names the package."""
    return files.digest_bytes(files.canonical(_json(package / "manifest.json")))


def _read(package: Path) -> tuple[str, list[str], preprocessing.Preprocessor]:
    manifest = _json(package / "manifest.json")
    missing = [key for key in ("layout", "classes") if key not in manifest]
    if missing:
        raise errors.PackageError(
            f"{package / 'manifest.json'} has no {missing[0]!r}: wanted the manifest of a model package"
        )
    return (
        str(manifest["layout"]),
        list(manifest["classes"]),
        preprocessing.Preprocessor.load(_json(package / "preprocessing.json")),
    )


def _json(file: Path) -> artifacts.Json:
    try:
        return artifacts.read_json(file)
    except (OSError, ValueError) as error:
        raise errors.PackageError(
            f"{file} cannot be read ({error}): wanted a file of a model package; name another champion, or none"
        ) from error


def _comparable(preprocessor: preprocessing.Preprocessor, rows: splits.Split, *, package: Path) -> None:
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
                f"feature {name!r} is a {kind} to the model in service ({package}) and a {ours[name]} in this dataset: {advice}"
            )


def _loss_of(shares: Array, truth: Array) -> float:
    return metrics.log_loss(np.tile(shares, (len(truth), 1)), truth)

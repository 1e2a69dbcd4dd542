"""Baselines: what a model must beat to be worth its upkeep. Random, the zero rule, and the model in service."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts, errors
from fairway.data import features, splits
from fairway.evaluation import graph, metrics

Array = NDArray[Any]


def random(train: Array, truth: Array, *, classes: int) -> dict[str, float]:
    """Gives what guessing by the classes' training shares is expected to reach."""
    shares = np.bincount(train, minlength=classes) / len(train)
    counts = np.bincount(truth, minlength=classes) / len(truth)
    return {"accuracy": float(shares @ counts), "log_loss": _loss_of(shares, truth)}


def zero_rule(train: Array, truth: Array, *, classes: int) -> dict[str, float]:
    """Gives what always saying the most frequent training class reaches; its loss is that of the classes' shares."""
    shares = np.bincount(train, minlength=classes) / len(train)
    return {"accuracy": float((truth == shares.argmax()).mean()), "log_loss": _loss_of(shares, truth)}


def champion(package: Path, *, rows: splits.Split, classes: Sequence[str]) -> Array:
    """Gives the probabilities of a packaged model on these rows, its classes in the order of `classes`."""
    manifest = artifacts.read_json(package / "manifest.json")
    known = manifest["classes"]
    preprocessor = features.Preprocessor.load(artifacts.read_json(package / "preprocessing.json"))
    lacking = [name for name in preprocessor.names if name not in rows.columns]
    if lacking:
        raise errors.DataError(f"the model in service ({package}) needs the feature {lacking[0]!r}, which this dataset has not: "
                               "it cannot be compared; evaluate with another champion, or with none")
    named = preprocessor.transform(rows.columns)
    inputs = {"features": features.flat(named)} if manifest["layout"] == "flat" else dict(named)
    answered = graph.run(package / "model.onnx", inputs)
    result = np.zeros((len(answered), len(classes)), dtype=np.float64)
    for place, name in enumerate(classes):
        if name in known:
            result[:, place] = answered[:, known.index(name)]
    return result


def _loss_of(shares: Array, truth: Array) -> float:
    return metrics.log_loss(np.tile(shares, (len(truth), 1)), truth)

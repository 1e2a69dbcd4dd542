"""A verified package, ready to answer: numpy and onnxruntime, nothing heavier."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fairway import artifacts, errors
from fairway.model import graph
from fairway.packaging import answering, golden, manifest
from fairway.serving import protocol

Array = np.ndarray[Any, Any]
ENORMOUS = 1e9  # no feature is trained on values beyond it without scaling them


class Predictor:
    """Columns in, probabilities out; knows the model's schema, its golden rows and its training ranges."""

    def __init__(self, package: manifest.Manifest, *, threads: int = 1) -> None:
        self.package = package
        self.name = package.name
        self.classes = list(package.classes)
        self.features = protocol.features_of(package.features)
        self._answer = answering.load(
            package.path, layout=package.layout, classes=self.classes, threads=threads, what="the model"
        )
        self._facts = package.facts()
        self._golden = golden.read(package.path / "golden.json", declared=package.features)
        self._ranges = {
            one["name"]: (float(one["min"]), float(one["max"]))
            for one in package.features
            if one["kind"] != "category" and one.get("min") is not None and one.get("max") is not None
        }
        self._categories = {
            one["name"]: frozenset(one["categories"]) for one in package.features if one["kind"] == "category"
        }

    @classmethod
    def load(cls, path: Path, *, threads: int = 1) -> "Predictor":
        """Return the predictor of the package in `path`, every file checked; raises PackageError naming what is wrong."""
        return cls(manifest.load(path), threads=threads)

    def predict(self, columns: Mapping[str, Array]) -> Array:
        """Return float32 probabilities [n, classes]; raises ModelError where the model fails or answers nonsense.

        Nonsense on values that it was never trained for is the request's mistake, not the model's: Invalid.
        """
        try:
            return self._answer(columns)
        except graph.NotFinite as error:
            far = self._far(columns)
            if not far:
                raise
            raise protocol.Invalid(
                f"the model has no finite answer to these values: {far[0]!r} lies beyond what it was trained on; send values of its range"
            ) from error

    def labels(self, probabilities: Array) -> list[str]:
        """Return the most probable class of each row."""
        return [self.classes[index] for index in probabilities.argmax(axis=1)]

    def check_golden(self) -> None:
        """Return when the golden rows are reproduced, together and alone; raises ServingError with the largest difference."""
        wanted = self._golden.probabilities
        seen, alone = self.predict(self._golden.columns), self.predict(self.sample(rows=1))
        difference = float(max(np.abs(seen - wanted).max(), np.abs(alone - wanted[:1]).max()))
        if not difference <= self._golden.tolerance:
            raise errors.ServingError(
                f"{self.package.path}: the golden rows differ by {difference:.3g}, wanted at most {self._golden.tolerance:g}; "
                "the model, its preprocessing or the runtime is not the one that was packaged: package the model again"
            )

    def sample(self, *, rows: int) -> protocol.Columns:
        """Return golden rows, repeated to the number wanted: real rows to warm up and measure with."""
        return {name: np.resize(values, (rows, *values.shape[1:])) for name, values in self._golden.columns.items()}

    def unusual(self, columns: Mapping[str, Array]) -> dict[str, int]:
        """Return, by feature, how many rows lie outside the training range or name a category unseen in training."""
        found: dict[str, int] = {}
        for name, (low, high) in self._ranges.items():
            values = columns[name]
            if values.size == 1:
                value = values.item()  # comparing numpy's scalars takes three times as long
                count = int(value < low or value > high)
            else:
                outside = (values < low) | (values > high)
                count = int(np.count_nonzero(outside.any(axis=1) if outside.ndim > 1 else outside))
            if count:
                found[name] = count
        for name, known in self._categories.items():
            count = sum(1 for value in columns[name] if value and value not in known)
            if count:
                found[name] = count
        return found

    def _far(self, columns: Mapping[str, Array]) -> list[str]:
        """Return the features with a value that the model was not trained for; where its range is not known, with an enormous one."""
        enormous = [
            name
            for name, feature in self.features.items()
            if feature.kind != "category" and name not in self._ranges and (np.abs(columns[name]) > ENORMOUS).any()
        ]
        return [*self.unusual(columns), *enormous]

    def metadata(self, *, revision: str | None) -> artifacts.Json:
        """Return the model's description in the Open Inference Protocol. Without a revision it has nothing that differs from one revision to the next."""
        inputs = [
            {"name": one.name, "datatype": protocol.datatype_of(one), "shape": [-1, *one.shape]}
            for one in self.features.values()
        ]
        outputs = [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(self.classes)]},
            {"name": "confidence", "datatype": "FP32", "shape": [-1]},
        ]
        described = {"name": self.name, "platform": "onnx", "inputs": inputs, "outputs": outputs}
        if revision is None:
            return {**described, "parameters": {"classes": self.classes}}
        return {
            **described,
            "versions": [revision],
            "parameters": {"classes": self.classes, "revision": revision, **self._facts},
        }

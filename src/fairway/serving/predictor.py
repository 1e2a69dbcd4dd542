"""A verified package, ready to answer: numpy and onnxruntime, nothing heavier."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairway import artifacts, errors
from fairway.model import graph, kinds, tasks
from fairway.model.schema import Feature
from fairway.packaging import answering, golden, manifest
from fairway.serving import protocol

Array = np.ndarray[Any, Any]
NONE: Mapping[str, int] = {}


class Predictor:
    """Columns in, raw answers out; knows the model's schema, its golden rows and its training
    ranges."""

    def __init__(self, package: manifest.Manifest, *, threads: int = 1) -> None:
        self.package = package
        self.name = package.name
        self.schema = package.schema
        self.task = tasks.of(package.schema)
        self.outputs = {output.name: output for output in self.task.outputs(package.schema)}
        self.features = {feature.name: feature for feature in package.features}
        self._answer = answering.load(
            package.path,
            layout=package.layout,
            schema=package.schema,
            threads=threads,
            what="the model",
        )
        self._facts = package.facts()
        self._golden = golden.read(package.path / "golden.json", schema=package.schema)
        self._outside = _counting(package.features, lambda kind, feature: kind.outside(feature))
        self._far = _counting(package.features, lambda kind, feature: kind.far(feature))

    @classmethod
    def load(cls, path: Path, *, threads: int = 1) -> "Predictor":
        """Return the predictor of the package in `path`, every file checked.

        Raises PackageError naming what is wrong.
        """
        return cls(manifest.load(path), threads=threads)

    def predict(
        self, columns: Mapping[str, Array], *, unreadable: Mapping[str, int] = NONE
    ) -> Array:
        """Return the raw answers, float32 [n, width]; raises ModelError where the model fails or
        answers nonsense.

        Nonsense on values that it was never trained for, `unreadable` ones among them, is the
        request's mistake, not the model's: Invalid.
        """
        try:
            return self._answer(columns)
        except graph.NotFinite as error:
            if unreadable:
                raise protocol.Invalid(
                    f"the model has no finite answer where {next(iter(unreadable))!r} is missing, and it could not be "
                    "read: send a value for it"
                ) from error
            far = [name for name, count in self._far if count(columns[name])]
            if not far:
                raise
            raise protocol.Invalid(
                f"the model has no finite answer to these values: {far[0]!r} lies beyond what it was trained "
                "on; send values of its range"
            ) from error

    def labels(self, raw: Array) -> list[Any]:
        """Return what the model says of each row."""
        return self.task.answers(raw, self.schema)

    @property
    def row_bytes(self) -> int:
        """Return how many bytes of an answer a row takes at most, in JSON or binary."""
        return self.task.row_bytes(self.schema, number=protocol.NUMBER_BYTES)

    def check_golden(self) -> None:
        """Return when the golden rows are reproduced, together and alone.

        Raises ServingError with the largest difference.
        """
        wanted = self._golden.answers
        seen, alone = self.predict(self._golden.columns), self.predict(self.sample(rows=1))
        difference = float(max(np.abs(seen - wanted).max(), np.abs(alone - wanted[:1]).max()))
        if not difference <= self._golden.tolerance:
            raise errors.ServingError(
                f"{self.package.path}: the golden rows differ by {difference:.3g}, wanted at most "
                f"{self._golden.tolerance:g}; "
                "the model, its preprocessing or the runtime is not the one that was packaged: package the model again"
            )

    def sample(self, *, rows: int) -> protocol.Columns:
        """Return golden rows, repeated to the number wanted: real rows to warm up and measure with."""
        return {
            name: np.resize(values, (rows, *values.shape[1:]))
            for name, values in self._golden.columns.items()
        }

    def unusual(self, columns: Mapping[str, Array]) -> dict[str, int]:
        """Return, by feature, how many rows lie outside the training range or name a category
        unseen in training."""
        found = {name: count(columns[name]) for name, count in self._outside}
        return {name: number for name, number in found.items() if number}

    def metadata(self, *, revision: str | None) -> artifacts.Json:
        """Return the model's description in the Open Inference Protocol. Without a revision it has
        nothing that differs from one revision to the next."""
        inputs = [
            {"name": one.name, "datatype": protocol.datatype_of(one), "shape": [-1, *one.shape]}
            for one in self.features.values()
        ]
        outputs = [
            {"name": one.name, "datatype": one.datatype, "shape": [-1, *one.shape]}
            for one in self.outputs.values()
        ]
        described = {"name": self.name, "platform": "onnx", "inputs": inputs, "outputs": outputs}
        said: artifacts.Json = {"task": self.schema.task}
        said |= {"classes": list(self.schema.classes)} if self.schema.classes else {}
        said |= {"facts": dict(self.schema.facts)} if self.schema.facts else {}
        if revision is None:
            return {**described, "parameters": said}
        return {
            **described,
            "versions": [revision],
            "parameters": {**said, "revision": revision, **self._facts},
        }


def _counting(
    features: Sequence[Feature], counter: Callable[[kinds.Kind, Feature], kinds.Count | None]
) -> list[tuple[str, kinds.Count]]:
    """Return the features' counters by name, where they have one."""
    found = [(feature.name, counter(kinds.of(feature), feature)) for feature in features]
    return [(name, count) for name, count in found if count is not None]

"""A packaged model as a function: raw columns in, probabilities out. The one path that golden rows, batches and servers share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from fairway import errors
from fairway.data import features
from fairway.packaging import manifest

Array = np.ndarray[Any, Any]
Prepare = Callable[[Mapping[str, Array]], dict[str, Array]]

# ONNX Runtime's exceptions have no common base but Exception.
FAILURES = tuple(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
OUTPUT = "probabilities"


class NotFinite(errors.ServingError):
    """The model answered with NaN or infinity."""


class Graph:
    """The preprocessing and the ONNX graph of a package (or of one in the making)."""

    def __init__(self, *, model: Path, preprocessing: Path, layout: str, classes: int, threads: int = 1) -> None:
        self._preprocessor = features.Preprocessor.load(manifest.document(preprocessing))
        self._session = session(model, threads=threads)
        self._inputs = {node.name: _dtype(node, model) for node in self._session.get_inputs()}
        self._classes = classes
        self._output = output_of(self._session, classes=classes, model=model)
        self._prepare: Prepare = self._prepare_flat if layout == "flat" else self._prepare_named
        if layout == "flat" and len(self._inputs) != 1:
            raise errors.PackageError(
                f"{model} has the inputs {sorted(self._inputs)}: wanted one input for the flat layout"
            )

    def __call__(self, columns: Mapping[str, Array]) -> Array:
        """Return the probabilities, float32 [n, classes]; raises ServingError where the graph refuses or answers nonsense."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 shows in the answer
            fed = self._prepare(columns)
        try:
            (answer,) = self._session.run([self._output], fed)
        except FAILURES as error:
            raise errors.ServingError(f"the model failed on {_shapes(fed)}: {_first_line(error)}") from error
        probabilities = np.asarray(answer, dtype=np.float32)
        rows = len(next(iter(fed.values())))
        if probabilities.shape != (rows, self._classes):
            raise errors.ServingError(
                f"the model answered with shape {list(probabilities.shape)}: wanted {[rows, self._classes]}"
            )
        if not np.isfinite(probabilities).all():
            raise NotFinite("the model answered with NaN or infinity: check its inputs and its training")
        return probabilities

    def _prepare_named(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        named = self._preprocessor.transform(columns)
        missing = [name for name in self._inputs if name not in named]
        if missing:
            raise errors.ServingError(
                f"the graph wants the input {missing[0]!r}, the preprocessing gives {sorted(named)}: check the layout"
            )
        return {name: named[name].astype(dtype, copy=False) for name, dtype in self._inputs.items()}

    def _prepare_flat(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        ((name, dtype),) = self._inputs.items()
        return {name: features.flat(self._preprocessor.transform(columns)).astype(dtype, copy=False)}


def session(model: Path, *, threads: int = 1) -> Any:
    """Return an ONNX Runtime session on the CPU that leaves other cores alone; raises PackageError where the graph cannot run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings are about graphs, not about requests
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # a spinning thread takes the event loop's core
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise errors.PackageError(f"{model} is no ONNX graph that can run: {_first_line(error)}") from error


def output_of(session: Any, *, classes: int, model: Path) -> str:
    """Return the name of the output that holds probabilities: `probabilities`, or the only float output with a column a class."""
    outputs = session.get_outputs()
    named = [node.name for node in outputs if node.name == OUTPUT]
    floats = [node for node in outputs if node.type == "tensor(float)" and len(node.shape) == 2]
    fitting = [node.name for node in floats if not isinstance(node.shape[1], int) or node.shape[1] == classes]
    candidates = named or fitting
    if len(candidates) != 1:
        seen = ", ".join(f"{node.name} {node.type} {node.shape}" for node in outputs)
        raise errors.PackageError(
            f"{model} has the outputs {seen}: wanted `probabilities`, or one float output of shape [n, {classes}]"
        )
    return str(candidates[0])


def _dtype(node: Any, model: Path) -> Any:
    kinds = {
        "tensor(float)": np.float32,
        "tensor(double)": np.float64,
        "tensor(int64)": np.int64,
        "tensor(float16)": np.float16,
    }
    if node.type not in kinds:
        raise errors.PackageError(f"{model} has the input {node.name} of {node.type}: wanted one of {', '.join(kinds)}")
    return kinds[node.type]


def _shapes(fed: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {list(values.shape)}" for name, values in fed.items())


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]

"""The exported graph, run as a server runs it: on ONNX Runtime, one row at a time or many."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fairway import errors

CHUNK = 4096


def run(model: Path, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Gives the probabilities, [n, classes]; raises TrainingError where the graph cannot be loaded or run."""
    try:
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        types = {node.name: {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}[node.type] for node in session.get_inputs()}
        if len(types) == 1 and len(inputs) == 1:  # a graph made elsewhere may call its matrix as it likes
            inputs = dict(zip(types, inputs.values(), strict=True))
        fed = {name: inputs[name].astype(kind, copy=False) for name, kind in types.items()}
        rows = len(next(iter(fed.values())))
        parts = [session.run(["probabilities"], {name: value[i:i + CHUNK] for name, value in fed.items()})[0] for i in range(0, rows, CHUNK)]
    except KeyError as error:
        raise errors.TrainingError(f"{model} wants the input {error}, the data gives {', '.join(inputs)}") from error
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        raise errors.TrainingError(f"{model} cannot be run: {' '.join(str(error).split())[:300]}") from error
    return np.concatenate(parts)

"""Users' own training code: `training.function: package.module:fit`, called with the prepared splits.

It returns one of
  a torch module        called with the named inputs (numbers, categories, image) as keywords, or with one matrix where its
                        forward takes `features`; gives logits
  a scikit-learn        classifier, fitted on splits.train.inputs("flat")["features"] and splits.train.target
  a path                of an ONNX file whose output `probabilities` is [n, classes]; its inputs are the named ones, or one matrix
"""

import inspect
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from fairway import errors
from fairway.config import schema
from fairway.data import sources, splits
from fairway.training import export

NAMED = {"numbers", "categories", "image"}


def fit(section: schema.Training, *, data: splits.Splits, folder: Path) -> dict[str, Any]:
    """Calls the user's function and exports what it returns; gives the fields of the checkpoint's record."""
    named = section.function or ""
    try:
        made = sources.call(named, data, seed=section.seed, what="training.function")
    except errors.DataError as error:
        raise errors.TrainingError(str(error)) from error
    if isinstance(made, nn.Module):
        layout, difference = _torch(made, data=data, folder=folder)
    elif isinstance(made, str | Path):
        layout, difference = _onnx(Path(made), data=data, folder=folder, named=named)
    elif hasattr(made, "predict_proba"):
        matrix = data.validation.inputs("flat")["features"]
        layout, difference = "flat", export.estimator(made, matrix=matrix, classes=len(data.schema.classes), folder=folder)
    else:
        raise errors.TrainingError(f"training.function {named} returned a {type(made).__name__}: wanted a torch module, a scikit-learn classifier "
                                   "with predict_proba, or the path of an ONNX file")
    return {"layout": layout, "epochs": 0, "best_epoch": 0, "device": "cpu", "precision": "float32", "history": (), "onnx_max_difference": difference}


def _torch(network: nn.Module, *, data: splits.Splits, folder: Path) -> tuple[str, float]:
    layout = "flat" if "features" in inspect.signature(network.forward).parameters else "named"
    example = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in data.validation.inputs(layout).items()}
    return layout, export.network(network.to("cpu").eval(), example=example, folder=folder)


def _onnx(path: Path, *, data: splits.Splits, folder: Path, named: str) -> tuple[str, float]:
    if not path.is_file():
        raise errors.TrainingError(f"training.function {named} returned the path {path}: there is no such file")
    shutil.copyfile(path, folder / "model.onnx")
    graph = onnx.load(path).graph
    inputs, outputs = {node.name for node in graph.input}, [node.name for node in graph.output]
    if export.OUTPUT not in outputs:
        raise errors.TrainingError(f"{path} has the outputs {outputs}: wanted one named {export.OUTPUT}, [n, {len(data.schema.classes)}]")
    return ("named" if inputs <= NAMED else "flat"), 0.0

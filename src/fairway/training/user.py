"""Users' own training code: `training.function: package.module:fit`, called as fit(splits, seed=...) with the
prepared splits.

`splits.train`, `.validation` and `.test` have `.inputs()` (numbers, categories, image: what the dataset has of them),
`.inputs("flat")["features"]` (one float matrix) and `.target` (class indices; names in `splits.schema.classes`).
Modules in the current directory are found. The function returns one of

  a torch module    whose forward takes the named inputs as keywords, or one float matrix called `features`, and gives
                    logits [n, classes]
  a scikit-learn    classifier with predict_proba that skl2onnx can convert, fitted on
                    splits.train.inputs("flat")["features"] and splits.train.target
  a path            of an ONNX file. Its inputs are named as the dataset's are, or it has one matrix under any name; its
                    output `probabilities` (or its only float output) is [n, classes], with the softmax inside
"""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fairway import errors, usercode
from fairway.config import sections
from fairway.data import splits
from fairway.model import graph
from fairway.training import export, losses


def fit(section: sections.Training, *, data: splits.Splits) -> export.Made:
    """Call the user's function; gives what it returned, ready to be exported."""
    named = section.function or ""
    torch.manual_seed(section.seed)  # so that a function that forgets its seed still gives the same model twice
    try:
        returned = usercode.call(named, data, seed=section.seed, what="training.function")
    except errors.DataError as error:  # what it raised itself
        raise errors.TrainingError(str(error)) from error
    trained, layout = _trained(returned, data=data, named=f"training.function {named}")
    return export.Made(
        trained,
        {"layout": layout, "epochs": 0, "best_epoch": 0, "device": "cpu", "precision": "float32", "history": ()},
    )


def _trained(returned: Any, *, data: splits.Splits, named: str) -> tuple[export.Trained, str]:
    side = losses.of(data.schema)
    if isinstance(returned, nn.Module):
        layout = _layout(returned, data=data, named=named)
        return export.Network(returned.to("cpu").float().eval(), data.validation.inputs(layout), data.schema), layout
    if isinstance(returned, str | Path):
        path = Path(returned)
        if not path.is_file():
            raise errors.TrainingError(
                f"{named} returned the path {path}: there is no such file; wanted the path of an ONNX file"
            )
        layout = graph.layout_of(graph.session(path, what=str(path)), what=str(path))
        return export.File(path, data.validation.inputs(layout), data.schema, layout), layout
    if side.takes(returned):
        return export.Estimator(returned, data.validation.inputs("flat"), data.schema), "flat"
    raise errors.TrainingError(
        f"{named} returned a {type(returned).__name__}: "
        f"wanted a torch module, a scikit-learn {side.estimator}, or the path of an ONNX file"
    )


def _layout(network: nn.Module, *, data: splits.Splits, named: str) -> str:
    """Return "flat" where forward takes `features`, "named" where it takes what the dataset has."""
    parameters = inspect.signature(network.forward).parameters
    if graph.FLAT in parameters:
        return "flat"
    given = list(data.validation.inputs())
    any_keyword = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if not any_keyword and any(name not in parameters for name in given):
        raise errors.TrainingError(
            f"{named} returned a network whose forward takes {', '.join(parameters) or 'nothing'}: "
            f"wanted {', '.join(given)} by name, or one matrix {graph.FLAT}"
        )
    return "named"

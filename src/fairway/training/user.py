"""Users' own training code: `training.function: package.module:fit`, called as fit(splits,
seed=...) with the prepared splits.

`splits.train`, `.validation` and `.test` have `.inputs()` (numbers, categories, image: what the
dataset has of them), `.inputs("flat")["features"]` (one float matrix) and `.target` (class indices;
names in `splits.schema.classes`). Modules in the current directory are found. The function returns
one of

  a torch module    whose forward takes the named inputs as keywords, or one float matrix called `features`, and gives
                    logits [n, classes]
  a scikit-learn    estimator or pipeline that skl2onnx can convert, fitted on splits.train.inputs("flat")["features"]
                    and splits.train.target
  a booster         or an estimator of LightGBM, XGBoost or CatBoost, fitted on the same; or on
                    splits.train.inputs("columns")["features"], where a category is one column of whole numbers (0 is
                    unknown) that the library may split as categories
  a path            of a file of LightGBM (.txt), XGBoost (.json, .ubj) or CatBoost (.cbm), or of an ONNX file. Its
                    inputs are named as the dataset's are, or it has one matrix under any name; its output
                    `probabilities` (or its only float output) is [n, classes], with the softmax inside
"""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fairway import errors, usercode
from fairway.data import splits
from fairway.model import graph, tasks
from fairway.training import converters, export, losses
from fairway.training.converters import sklearn_graph
from fairway.training.families.yours import FunctionTraining


def fit(section: FunctionTraining, *, data: splits.Splits) -> export.Made:
    """Call the user's function; gives what it returned, ready to be exported."""
    named = section.function or ""
    # so that a function that forgets its seed still gives the same model twice
    torch.manual_seed(section.seed)
    try:
        returned = usercode.call(named, data, seed=section.seed, what="training.function")
    except errors.DataError as error:  # what it raised itself
        raise errors.TrainingError(str(error)) from error
    return made(returned, data=data, named=f"training.function {named}")


def made(returned: Any, *, data: splits.Splits, named: str) -> export.Made:
    """Return a fitted model of any of these sorts, ready to be exported; raises TrainingError for
    anything else."""
    trained, layout = _trained(returned, data=data, named=named)
    return export.Made(
        trained,
        {
            "layout": layout,
            "epochs": 0,
            "best_epoch": 0,
            "device": "cpu",
            "precision": "float32",
            "history": (),
        },
    )


def _trained(returned: Any, *, data: splits.Splits, named: str) -> tuple[export.Trained, str]:
    side = losses.of(data.schema)
    if isinstance(returned, nn.Module):
        layout = _layout(returned, data=data, named=named)
        return export.Network(
            returned.to("cpu").float().eval(), data.validation.inputs(layout), data.schema
        ), layout
    if isinstance(returned, str | Path):
        return _of_file(Path(returned), data=data, named=named)
    foreign = converters.of(returned, output=tasks.of(data.schema).output)
    if foreign is None and not side.takes(returned):
        raise errors.TrainingError(
            f"{named} returned a {type(returned).__name__}: wanted a torch module, a scikit-learn {side.estimator}, "
            "a model of LightGBM, XGBoost or CatBoost, or the path of an ONNX file"
        )
    if foreign is None or hasattr(returned, "classes_"):
        _fitted(returned, side=side)
    if foreign is None:
        foreign = sklearn_graph.convert(returned, side=side, columns=_width(data, "flat"))
    return _estimator(foreign, data=data)


def _of_file(path: Path, *, data: splits.Splits, named: str) -> tuple[export.Trained, str]:
    if not path.is_file():
        raise errors.TrainingError(
            f"{named} returned the path {path}: there is no such file; wanted the path of an ONNX file"
        )
    converters.refuse_pickle(path)
    if converters.is_file(path):
        return _estimator(converters.read(path, output=tasks.of(data.schema).output), data=data)
    layout = graph.layout_of(graph.session(path, what=str(path)), what=str(path))
    return export.File(path, data.validation.inputs(layout), data.schema, layout), layout


def _estimator(
    foreign: converters.Converted, *, data: splits.Splits
) -> tuple[export.Estimator, str]:
    """Return the model with the rows of the layout that it was fitted on, told by the number of its
    columns."""
    steps = data.preprocessor
    layouts = ("flat",) if steps.image is not None else ("flat", "columns")
    sizes = {layout: _width(data, layout) for layout in layouts}
    if foreign.columns not in sizes.values():
        wanted = " or ".join(
            f'the {size} of inputs("{layout}")["features"]' for layout, size in sizes.items()
        )
        raise errors.TrainingError(
            f"{foreign.what} was fitted on {foreign.columns} columns: wanted {wanted} of splits.train"
        )
    layout = "flat" if foreign.columns == sizes["flat"] else "columns"
    matrix = data.validation.inputs(layout)[graph.FLAT]
    if layout == "flat":
        return export.Estimator(foreign, matrix, data.schema, steps.columns("flat")), "flat"
    named = steps.number_columns, len(steps.categories)
    return export.Estimator(
        foreign, matrix, data.schema, steps.columns("columns"), named=named
    ), "named"


def _fitted(estimator: Any, *, side: losses.Side) -> None:
    unfit = side.unfit(estimator)
    if unfit is not None:
        raise errors.TrainingError(f"the estimator {unfit}")


def _width(data: splits.Splits, layout: str) -> int:
    return len(data.preprocessor.columns(layout))


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

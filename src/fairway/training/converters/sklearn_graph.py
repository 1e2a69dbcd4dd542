"""Estimators and pipelines of scikit-learn, by skl2onnx."""

from typing import Any

import numpy as np

from fairway import errors
from fairway.model import graph
from fairway.training import converters, forest, losses, quiet
from fairway.training.converters import histogram_trees

OPSET = 17  # the newest that skl2onnx's converters are tested with
BOOSTERS = ("lightgbm", "xgboost", "catboost")


def convert(fitted: Any, *, side: losses.Side, columns: int) -> converters.Converted:
    """Return a fitted estimator of the task as a graph; raises TrainingError where skl2onnx knows none."""
    _fits(fitted, columns=columns)
    trees = histogram_trees.read(fitted)
    made = (
        forest.graph(trees, columns=columns, output="answers")
        if trees is not None
        else _converted(fitted, side=side, columns=columns)
    )

    def answer(rows: converters.Array) -> converters.Array:
        with quiet.exporters():
            return side.predict(fitted, rows)

    name, back = _before(fitted, columns=columns)
    return converters.Converted(
        what=f"the graph of the {type(fitted).__name__}",
        proto=made,
        columns=columns,
        answer=answer,
        takes_missing=trees is not None,
        before=name,
        steps=back,
    )


def _converted(fitted: Any, *, side: losses.Side, columns: int) -> Any:
    from skl2onnx import to_onnx

    options = {id(fitted): side.options(fitted)}
    try:
        with quiet.exporters():
            return to_onnx(fitted, np.zeros((1, columns), np.float32), options=options, target_opset=OPSET)
    except Exception as error:  # each converter raises its own
        raise errors.TrainingError(
            f"skl2onnx cannot convert a {type(fitted).__name__} ({graph.line(error)}): wanted an estimator that it "
            "knows, or write the ONNX file yourself and return its path"
        ) from error


def _before(fitted: Any, *, columns: int) -> tuple[str | None, converters.Steps | None]:
    """Return what stands before a pipeline's last step, and the way through it and back where there is one."""
    steps = [step for _, step in getattr(fitted, "steps", ())][:-1]
    before = [step for step in steps if step is not None and step != "passthrough"]
    if not before:
        return None, None
    head = fitted[:-1]
    try:
        head.inverse_transform(head.transform(np.zeros((1, columns), np.float32)))
    except Exception:  # of a step that has no way back, which each says in its own words
        return type(before[-1]).__name__, None
    return type(before[-1]).__name__, (head.transform, head.inverse_transform)


def _fits(fitted: Any, *, columns: int) -> None:
    """Raise TrainingError for an estimator of other columns than those that are served."""
    last = getattr(fitted, "steps", [("", fitted)])[-1][1]
    library = type(last).__module__.partition(".")[0]
    if library in BOOSTERS:
        raise errors.TrainingError(
            f"the {type(fitted).__name__} ends in a {type(last).__name__}, which skl2onnx does not know: return the "
            f"{type(last).__name__} alone, fitted on the features as they are; trees need no scale"
        )
    seen = getattr(fitted, "n_features_in_", columns)
    if seen != columns:
        raise errors.TrainingError(
            f"the {type(fitted).__name__} was fitted on {seen} columns: wanted the {columns} of "
            'splits.train.inputs("flat")["features"], which are what is served'
        )

"""Estimators and pipelines of scikit-learn, by skl2onnx."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from fairway import errors
from fairway.model import graph
from fairway.training import converters, forest, losses, quiet
from fairway.training.converters import folding, histogram_trees

OPSET = 17  # the newest that skl2onnx's converters are tested with
BOOSTERS = ("lightgbm", "xgboost", "catboost")


def convert(fitted: Any, *, side: losses.Side, columns: int) -> converters.Converted:
    """Return a fitted estimator of the task as a graph; raises TrainingError where skl2onnx knows
    none."""
    before, last = _parts(fitted)
    unscaled = (
        _unscaled(fitted, side=side, columns=columns)
        if before and folding.are_scalers(before)
        else None
    )
    if unscaled is not None:
        return unscaled
    _known(fitted, last)
    _fits(fitted, columns=columns)
    trees = histogram_trees.read(fitted)
    made = (
        forest.graph(trees, columns=columns, output="answers")
        if trees is not None
        else _converted(fitted, side=side, columns=columns)
    )
    return converters.Converted(
        what=f"the graph of the {type(fitted).__name__}",
        proto=made,
        columns=columns,
        answer=_answer(fitted, side),
        takes_missing=trees is not None,
        before=type(before[-1]).__name__ if before else None,
        steps=_steps(fitted, columns=columns) if before else None,
    )


def _parts(fitted: Any) -> tuple[list[Any], Any]:
    """Return what stands before a pipeline's last step, and this; of anything else, itself."""
    steps = [step for _, step in getattr(fitted, "steps", [("", fitted)])]
    return [step for step in steps[:-1] if step is not None and step != "passthrough"], steps[-1]


def _unscaled(fitted: Any, *, side: losses.Side, columns: int) -> converters.Converted | None:
    """Return a pipeline of scalers and trees as the graph of trees that take the row as it comes;
    None for others."""
    _, last = _parts(fitted)
    inner = converters.of(last, output="answers") or convert(last, side=side, columns=columns)
    if inner.columns != columns:
        return None
    try:
        made = folding.folded(inner.proto, scale=fitted[:-1].transform, columns=columns)
    except ValueError:  # a second scaler to which the first gives infinity
        return None
    if made is None:
        return None
    what, answer = f"the graph of the {type(fitted).__name__}", _answer(fitted, side)
    return dataclasses.replace(inner, what=what, proto=made, answer=answer, names=(), words=())


def _answer(fitted: Any, side: losses.Side) -> Callable[[converters.Array], converters.Array]:
    def answer(rows: converters.Array) -> converters.Array:
        with quiet.exporters():
            return side.predict(fitted, rows)

    return answer


def _converted(fitted: Any, *, side: losses.Side, columns: int) -> Any:
    from skl2onnx import to_onnx

    options = {id(fitted): side.options(fitted)}
    try:
        with quiet.exporters():
            return to_onnx(
                fitted, np.zeros((1, columns), np.float32), options=options, target_opset=OPSET
            )
    except Exception as error:  # each converter raises its own
        raise errors.TrainingError(
            f"skl2onnx cannot convert a {type(fitted).__name__} ({graph.line(error)}): wanted an estimator that it "
            "knows, or write the ONNX file yourself and return its path"
        ) from error


def _steps(fitted: Any, *, columns: int) -> converters.Steps | None:
    """Return the way through what stands before a pipeline's last step, and the way back where
    there is one."""
    head = fitted[:-1]
    try:
        head.inverse_transform(head.transform(np.zeros((1, columns), np.float32)))
    except Exception:  # of a step that has no way back, which each says in its own words
        return None
    return head.transform, head.inverse_transform


def _known(fitted: Any, last: Any) -> None:
    """Raise TrainingError for a pipeline that ends in what skl2onnx does not know."""
    if type(last).__module__.partition(".")[0] in BOOSTERS:
        raise errors.TrainingError(
            f"the {type(fitted).__name__} ends in a {type(last).__name__}, which skl2onnx does not know, behind more "
            f"than a scaler: return the {type(last).__name__} alone, fitted on the features as they are"
        )


def _fits(fitted: Any, *, columns: int) -> None:
    """Raise TrainingError for an estimator of other columns than those that are served."""
    seen = getattr(fitted, "n_features_in_", columns)
    if seen != columns:
        raise errors.TrainingError(
            f"the {type(fitted).__name__} was fitted on {seen} columns: wanted the {columns} of "
            'splits.train.inputs("flat")["features"], which are what is served'
        )

"""Estimators and pipelines of scikit-learn, by skl2onnx."""

from typing import Any

from fairway import errors
from fairway.model import graph
from fairway.training import converters, losses, quiet

OPSET = 17  # the newest that skl2onnx's converters are tested with
BOOSTERS = ("lightgbm", "xgboost", "catboost")


def convert(fitted: Any, *, side: losses.Side, columns: int) -> converters.Foreign:
    """Return a fitted estimator of the task as a graph; raises TrainingError where skl2onnx knows none."""
    import numpy as np
    from skl2onnx import to_onnx

    _fits(fitted, columns=columns)
    options = {id(fitted): side.options(fitted)}
    try:
        with quiet.exporters():
            made = to_onnx(fitted, np.zeros((1, columns), np.float32), options=options, target_opset=OPSET)
    except Exception as error:  # each converter raises its own
        raise errors.TrainingError(
            f"skl2onnx cannot convert a {type(fitted).__name__} ({graph.line(error)}): wanted an estimator that it "
            "knows, or write the ONNX file yourself and return its path"
        ) from error

    def answer(rows: converters.Array) -> converters.Array:
        with quiet.exporters():
            return side.predict(fitted, rows)

    steps = [step for _, step in getattr(fitted, "steps", ())][:-1]
    before = [step for step in steps if step is not None and step != "passthrough"]
    head: Any = fitted[:-1] if before else None
    back = (head.transform, head.inverse_transform) if hasattr(head, "inverse_transform") else None
    return converters.Foreign(
        what=f"the graph of the {type(fitted).__name__}",
        proto=made,
        columns=columns,
        answer=answer,
        before=f"a {type(before[-1]).__name__}" if before else None,
        steps=back,
    )


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

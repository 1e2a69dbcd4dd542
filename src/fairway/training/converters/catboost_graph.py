"""CatBoost's models by the ONNX that CatBoost writes itself, without the maps that it ends in."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from fairway import errors
from fairway.training import converters, proto

SENTENCE = "a CatBoost model"


def library() -> Any:
    """Return CatBoost; raises TrainingError where it cannot be loaded."""
    try:
        import catboost
    except (ImportError, OSError) as error:
        raise converters.missing("catboost", error) from error
    return catboost


def load(path: Path) -> Any:
    """Return the model of a file of CatBoost's own; raises TrainingError where there is none in it."""
    catboost = library()
    try:
        return catboost.CatBoost().load_model(str(path), format="cbm")
    except catboost.CatBoostError as error:
        raise errors.TrainingError(
            f"{path} is no model of CatBoost ({error}): wanted {converters.HOW['.cbm']}"
        ) from error


def convert(model: Any, *, output: str) -> converters.Converted:
    """Return a model, or an estimator of CatBoost's scikit-learn side, as a graph."""
    catboost = library()
    if not (isinstance(model, catboost.CatBoost) and model.is_fitted()):
        raise errors.TrainingError(f"the {type(model).__name__} is not fitted: fit it first")
    if (
        model.get_cat_feature_indices()
        or model.get_text_feature_indices()
        or model.get_embedding_feature_indices()
    ):
        raise errors.TrainingError(
            f"{SENTENCE} has features that are no numbers, which its ONNX lacks: wanted numbers alone; "
            'splits.train.inputs("flat") has categories one-hot'
        )
    classes = _classes(model)
    kind, pair = ("Probability", len(classes) == 2) if classes else ("RawFormulaVal", False)
    columns = len(model.feature_names_)
    return converters.Converted(
        what=SENTENCE,
        proto=_without_maps(_written(model), output=output),
        columns=columns,
        answer=lambda rows: converters.table(
            model.predict(np.asarray(rows, dtype=np.float32), prediction_type=kind, thread_count=1),
            pair=pair,
        ),
        names=tuple(model.feature_names_),
    )


def _classes(model: Any) -> list[Any]:
    """Return the classes of a classifier, none of anything else."""
    return list(model.classes_) if model.classes_ is not None else []


def _written(model: Any) -> Any:
    catboost = library()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            model.save_model(str(path), format="onnx")
        except catboost.CatBoostError as error:
            said = " ".join(str(error).split())[:200]
            raise errors.TrainingError(
                f"CatBoost cannot write this model as ONNX ({said}): write the ONNX file yourself and return its path"
            ) from error
        return proto.read(path, what=SENTENCE)


def _without_maps(made: Any, *, output: str) -> Any:
    """Return the graph with the table of probabilities as its output, where CatBoost has a list of
    maps."""
    body = made.graph
    maps = [node for node in body.node if node.op_type == "ZipMap"]
    for node in maps:
        body.node.remove(node)
    tables = [node.input[0] for node in maps] or [body.output[0].name]
    del body.output[:]
    body.output.append(helper.make_tensor_value_info(tables[0], TensorProto.FLOAT, [None, None]))
    _trimmed(body, wanted=tables[0])
    onnx.checker.check_model(made)
    return made


def _trimmed(body: Any, *, wanted: str) -> None:
    """Take out what only led to outputs that are none any more."""
    needed = {wanted}
    for node in reversed(list(body.node)):
        if needed.isdisjoint(node.output):
            body.node.remove(node)
        else:
            needed.update(node.input)

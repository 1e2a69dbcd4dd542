"""XGBoost's boosters as a forest. It computes in float32 itself: splits are taken as they are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fairway import errors
from fairway.training import converters, forest

LINKS: dict[str, forest.Link] = {
    "binary:logistic": "pair",
    "reg:logistic": "sigmoid",
    **dict.fromkeys(("multi:softprob", "multi:softmax"), "softmax"),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "exp"),
    **dict.fromkeys(
        (
            "reg:squarederror",
            "reg:absoluteerror",
            "reg:pseudohubererror",
            "reg:quantileerror",
            "rank:ndcg",
            "rank:map",
            "rank:pairwise",
        ),
        "identity",
    ),
}
SENTENCE = "an XGBoost model"


def library() -> Any:
    """Return XGBoost; raises TrainingError where it cannot be loaded."""
    try:
        import xgboost
    except (ImportError, OSError) as error:
        raise converters.missing("xgboost", error) from error
    return xgboost


def load(path: Path) -> Any:
    """Return the booster of a file of XGBoost's JSON or UBJSON; raises TrainingError where there is
    none in it."""
    xgboost = library()
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(str(path))
    except xgboost.core.XGBoostError as error:
        said = str(error).strip().splitlines()[0]
        raise errors.TrainingError(
            f"{path} is no model of XGBoost ({said}): wanted {converters.HOW['.json']}"
        ) from error
    return booster


def convert(model: Any, *, output: str) -> converters.Converted:
    """Return a booster, or an estimator of XGBoost's scikit-learn side, as a graph."""
    xgboost = library()
    booster = _booster(model)
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    made = read(learner)
    columns = int(learner["learner_model_param"]["num_feature"])

    def answer(rows: Any) -> converters.Array:
        margins = booster.predict(
            xgboost.DMatrix(rows, nthread=1), output_margin=True, validate_features=False
        )
        return _linked(np.asarray(margins, dtype=np.float64), made.link)

    return converters.Converted(
        what=SENTENCE,
        proto=forest.graph(made, columns=columns, output=output),
        columns=columns,
        answer=answer,
        takes_missing=True,
        names=tuple(learner.get("feature_names") or ()),
    )


def read(learner: Mapping[str, Any]) -> forest.Forest:
    """Return the forest of a learner's JSON; raises TrainingError where it is more than trees that
    add up."""
    name, parameters = learner["objective"]["name"], learner["learner_model_param"]
    if name not in LINKS:
        raise errors.TrainingError(
            f"{SENTENCE} has the objective {name}: wanted one of {', '.join(LINKS)}, whose answers a graph can give"
        )
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise errors.TrainingError(f"{SENTENCE} has the booster {booster['name']}: wanted gbtree")
    outputs = max(1, int(parameters["num_class"]), int(parameters.get("num_target", 1)))
    base = np.resize(_numbers(parameters["base_score"]), outputs)
    model = booster["model"]
    return forest.Forest(
        trees=[
            tree(one, target=int(place))
            for one, place in zip(model["trees"], model["tree_info"], strict=True)
        ],
        base=[float(value) for value in _margins(base, LINKS[name])],
        link=LINKS[name],
        strict=True,
    )


def tree(given: Mapping[str, Any], *, target: int) -> forest.Tree:
    """Return one tree; its nodes hold leaves and splits in one numbering, where -1 for a child
    means a leaf."""
    if any(given.get("split_type") or ()):
        raise errors.TrainingError(
            f"{SENTENCE} splits categories (enable_categorical): wanted numbers; "
            'splits.train.inputs("flat") has categories one-hot'
        )
    if int(given["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise errors.TrainingError(
            f"{SENTENCE} has vectors in its leaves: wanted multi_strategy one_output_per_tree"
        )
    left, right = np.array(given["left_children"]), np.array(given["right_children"])
    # written shortly
    conditions = np.array(given["split_conditions"], dtype=np.float32).astype(np.float64)
    inner = left >= 0
    place = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(~inner) - 1)).astype(np.int64)
    return forest.Tree(
        features=np.array(given["split_indices"], dtype=np.int64)[inner],
        splits=conditions[inner],
        left=place[left[inner]],
        right=place[right[inner]],
        missing_left=np.array(given["default_left"], dtype=np.bool_)[inner],
        values=conditions[~inner],
        target=target,
    )


def _numbers(text: str) -> converters.Array:
    """Return the base score: a number, since XGBoost 3.1 a list of them."""
    return np.array(
        json.loads(text) if text.startswith("[") else [float(text)], dtype=np.float64
    ).ravel()


def _margins(base: converters.Array, link: forest.Link) -> converters.Array:
    """Return what the sums begin with: the base score is kept as an answer."""
    with np.errstate(divide="ignore"):
        if link in ("pair", "sigmoid"):
            return np.asarray(np.log(base) - np.log1p(-base))
        margins: converters.Array = np.log(base) if link == "exp" else base
        return margins


def _linked(margins: converters.Array, link: forest.Link) -> converters.Array:
    if link == "softmax":
        powers = np.exp(margins - margins.max(axis=1, keepdims=True))
        table: converters.Array = powers / powers.sum(axis=1, keepdims=True)
        return table
    values = (
        margins
        if link == "identity"
        else np.exp(margins)
        if link == "exp"
        else 1 / (1 + np.exp(-margins))
    )
    return converters.table(values, pair=link == "pair")


def _booster(model: Any) -> Any:
    """Return the booster with the trees that the model answers with."""
    xgboost = library()
    if isinstance(model, xgboost.Booster):
        return model
    if not isinstance(model, xgboost.XGBModel):
        raise errors.TrainingError(
            f"{type(model).__name__} of XGBoost is no model: wanted a Booster or an estimator"
        )
    try:
        booster = model.get_booster()
    except Exception as error:  # scikit-learn's NotFittedError
        raise errors.TrainingError(
            f"the {type(model).__name__} is not fitted: fit it first"
        ) from error
    last = booster.attributes().get("best_iteration")
    return booster if last is None else booster[: int(last) + 1]

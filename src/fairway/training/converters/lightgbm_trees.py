"""LightGBM's boosters as a forest. The only place that reads its model; `training.rounds` fits one."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairway import errors
from fairway.training import converters, forest

LINKS: dict[str, forest.Link] = {
    "binary": "pair",
    "cross_entropy": "sigmoid",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    **dict.fromkeys(("gamma", "poisson", "tweedie"), "exp"),
    **dict.fromkeys(
        (
            "regression",
            "regression_l1",
            "huber",
            "fair",
            "quantile",
            "mape",
            "lambdarank",
            "rank_xendcg",
        ),
        "identity",
    ),
}
SENTENCE = "a LightGBM model"
NOUGHT = float(np.float32(1e-35))  # what is no larger is zero to LightGBM, whichever sign it has


def library() -> Any:
    """Return LightGBM; raises TrainingError where it cannot be loaded."""
    try:
        try:
            import lightgbm
        except OSError:
            _load_openmp()
            import lightgbm
    except (ImportError, OSError) as error:
        raise converters.missing("lightgbm", error) from error
    return lightgbm


def _load_openmp() -> None:
    """Load the one that torch brings: a slim image has none of its own."""
    import torch  # noqa: F401


def load(path: Path) -> Any:
    """Return the booster of a text file; raises TrainingError where there is none in it."""
    lightgbm = library()
    try:
        return lightgbm.Booster(model_file=str(path))
    except lightgbm.basic.LightGBMError as error:
        raise errors.TrainingError(
            f"{path} is no model of LightGBM ({error}): wanted {converters.HOW['.txt']}"
        ) from error


def convert(model: Any, *, output: str) -> converters.Converted:
    """Return a booster, or an estimator of LightGBM's scikit-learn side, as a graph."""
    booster = _booster(model)
    dumped = booster.dump_model()
    made = read(dumped)
    columns = int(dumped["max_feature_idx"]) + 1
    return converters.Converted(
        what=SENTENCE,
        proto=forest.graph(made, columns=columns, output=output),
        columns=columns,
        answer=lambda rows: converters.table(
            booster.predict(rows, num_threads=1, validate_features=False), pair=made.link == "pair"
        ),
        takes_missing=True,
        names=tuple(dumped["feature_names"]),
        words=tuple(tuple(map(str, words)) for words in dumped.get("pandas_categorical") or ()),
    )


def together(models: Sequence[Sequence[Any]], *, output: str) -> converters.Converted:
    """Return models as one graph whose answers are those of the mean of their scores. A model is a
    booster, or several of which each gives one probability, side by side."""
    first = models[0]
    if len(models) == len(first) == 1:
        return convert(first[0], output=output)
    forests = [[read(booster.dump_model()) for booster in model] for model in models]
    apart = len(first) > 1
    made = forest.Forest(
        trees=[
            dataclasses.replace(
                tree, target=place if apart else tree.target, values=tree.values / len(models)
            )
            for model in forests
            for place, one in enumerate(model)
            for tree in one.trees
        ],
        base=[0.0] * len(first) if apart else forests[0][0].base,
        link="sigmoid" if apart else forests[0][0].link,
        factor=forests[0][0].factor,
    )
    columns = first[0].num_feature()
    return converters.Converted(
        what=SENTENCE,
        proto=forest.graph(made, columns=columns, output=output),
        columns=columns,
        answer=lambda rows: forest.answers(
            made, np.mean([_scores(model, rows) for model in models], axis=0)
        ),
        takes_missing=True,
        names=tuple(first[0].feature_name()),
    )


def _scores(boosters: Sequence[Any], rows: converters.Array) -> converters.Array:
    """Return the sums of the leaves, a column for each answer."""
    return np.column_stack(
        [booster.predict(rows, num_threads=1, raw_score=True) for booster in boosters]
    )


def read(dumped: Mapping[str, Any]) -> forest.Forest:
    """Return the forest of what `dump_model` gives; raises TrainingError where it is more than
    trees that add up."""
    name, *options = str(dumped.get("objective") or "none").split()
    given = dict(option.partition(":")[::2] for option in options)
    if name not in LINKS or "sqrt" in given:
        raise errors.TrainingError(
            f"{SENTENCE} has the objective {dumped.get('objective')!r}: wanted one of {', '.join(LINKS)}, "
            "whose answers a graph can give"
        )
    if dumped.get("average_output"):
        raise errors.TrainingError(
            f"{SENTENCE} averages its trees (boosting rf): wanted boosting gbdt or dart"
        )
    outputs = int(dumped["num_tree_per_iteration"])
    trees = [
        tree(one["tree_structure"], target=place % outputs)
        for place, one in enumerate(dumped["tree_info"])
    ]
    return forest.Forest(
        trees=trees,
        base=[0.0] * outputs,
        link=LINKS[name],
        factor=float(given.get("sigmoid", 1.0)),
        strict=False,
    )


def tree(root: Mapping[str, Any], *, target: int) -> forest.Tree:
    """Return one tree of nested nodes as arrays."""
    nodes: list[Mapping[str, Any]] = []
    values: list[float] = []
    children: list[list[int]] = []
    waiting: list[tuple[Mapping[str, Any], int, int]] = [(root, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        leaf = "split_feature" not in node
        place = ~len(values) if leaf else len(nodes)
        if parent >= 0:
            children[parent][side] = place
        if leaf:
            if node.get("leaf_coeff"):
                raise errors.TrainingError(f"{SENTENCE} has linear trees: wanted constant leaves")
            values.append(float(node["leaf_value"]))
            continue
        nodes.append(node)
        children.append([0, 0])
        waiting += [(node["right_child"], place, 1), (node["left_child"], place, 0)]
    members = {
        place: _codes(node) for place, node in enumerate(nodes) if node["decision_type"] == "=="
    }
    splits = [
        0.0 if place in members else float(node["threshold"]) for place, node in enumerate(nodes)
    ]
    return forest.Tree(
        features=np.array([node["split_feature"] for node in nodes], dtype=np.int64),
        splits=_past_nought(np.array(splits, dtype=np.float64)),
        left=np.array([left for left, _ in children], dtype=np.int64),
        right=np.array([right for _, right in children], dtype=np.int64),
        missing_left=np.array([_missing_left(node) for node in nodes], dtype=np.bool_),
        values=np.array(values, dtype=np.float64),
        target=target,
        members=members,
    )


def _past_nought(splits: converters.Array) -> converters.Array:
    """Return the splits with those within LightGBM's zero moved to its end, past which a value is
    itself."""
    near = np.abs(splits) <= NOUGHT
    return np.where(
        near,
        np.where(splits < 0, np.nextafter(np.float32(-NOUGHT), np.float32(-1)), NOUGHT),
        splits,
    )


def _codes(node: Mapping[str, Any]) -> list[int]:
    return [int(code) for code in str(node["threshold"]).split("||")]


def _missing_left(node: Mapping[str, Any]) -> bool:
    """Say where NaN goes: where it was seen in training its own way, else that of zero, which
    LightGBM takes it for."""
    if node["decision_type"] == "==":
        return False
    if node["missing_type"] == "Zero":
        raise errors.TrainingError(
            f"{SENTENCE} takes zeros for missing values (zero_as_missing): wanted NaN for them, as everywhere here"
        )
    return (
        bool(node["default_left"])
        if node["missing_type"] == "NaN"
        else float(node["threshold"]) >= 0.0
    )


def _booster(model: Any) -> Any:
    lightgbm = library()
    if isinstance(model, lightgbm.Booster):
        return model
    if not isinstance(model, lightgbm.LGBMModel):
        raise errors.TrainingError(
            f"{type(model).__name__} of LightGBM is no model: wanted a Booster or a fitted estimator"
        )
    try:
        return model.booster_
    except Exception as error:  # scikit-learn's NotFittedError, or LightGBM's own
        raise errors.TrainingError(
            f"the {type(model).__name__} is not fitted: fit it first"
        ) from error

"""scikit-learn's HistGradientBoosting as a forest: it compares in float64, and skl2onnx rounds
splits either way."""

from typing import Any

import numpy as np

from fairway.training import forest

LINKS: dict[str, forest.Link] = {
    "HalfBinomialLoss": "pair",
    "HalfMultinomialLoss": "softmax",
    "HalfSquaredError": "identity",
    "AbsoluteError": "identity",
    "PinballLoss": "identity",
    "HalfPoissonLoss": "exp",
    "HalfGammaLoss": "exp",
}


def read(fitted: Any) -> forest.Forest | None:
    """Return the forest of a fitted estimator; None where it is none of these, or splits
    categories."""
    rounds, loss = (
        getattr(fitted, "_predictors", None),
        type(getattr(fitted, "_loss", None)).__name__,
    )
    if rounds is None or loss not in LINKS:
        return None
    if any(one.nodes["is_categorical"].any() for trees in rounds for one in trees):
        return None
    return forest.Forest(
        trees=[
            tree(one.nodes, target=target) for trees in rounds for target, one in enumerate(trees)
        ],
        base=[float(value) for value in np.ravel(fitted._baseline_prediction)],
        link=LINKS[loss],
    )


def tree(nodes: Any, *, target: int) -> forest.Tree:
    """Return one tree; its nodes hold leaves and splits in one numbering."""
    inner = ~nodes["is_leaf"].astype(np.bool_)
    place = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(~inner) - 1)).astype(np.int64)
    return forest.Tree(
        features=nodes["feature_idx"][inner].astype(np.int64),
        splits=nodes["num_threshold"][inner].astype(np.float64),
        left=place[nodes["left"][inner].astype(np.int64)],
        right=place[nodes["right"][inner].astype(np.int64)],
        missing_left=nodes["missing_go_to_left"][inner].astype(np.bool_),
        values=nodes["value"][~inner].astype(np.float64),
        target=target,
    )

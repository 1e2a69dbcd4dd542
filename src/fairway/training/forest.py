"""Decision trees as plain arrays, and as one ONNX graph that decides every row as they do.

The graph compares in float32, so each split is rounded to the float32 on its own side: for a
float32 x, `x <= t` holds where and only where `x <= round_down(t)` does, and `x < t` where and only
where `x < round_up(t)` does. ONNX Runtime adds leaves up in float32, which is the whole difference
that is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy import special

from fairway.model.graph import FLAT

Link = Literal["identity", "exp", "sigmoid", "pair", "softmax"]
OPSETS = (("", 17), ("ai.onnx.ml", 3))  # what ONNX Runtime 1.20 runs, and what skl2onnx writes
IR_VERSION = 9


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One tree. A child is an inner node, or a leaf where it is negative: `~leaf`. A tree of one
    leaf has no node."""

    features: NDArray[np.int64]  # the column that each inner node looks at
    splits: NDArray[np.float64]
    left: NDArray[np.int64]  # where the value is at most the split (or below it)
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]  # where a missing value goes
    values: NDArray[np.float64]  # of the leaves
    target: int = 0  # the sum that they are added to
    members: Mapping[int, Sequence[int]] = field(
        default_factory=dict
    )  # the codes that go left, of a node of categories


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Trees whose leaves are added up, and what turns the sums into answers."""

    trees: Sequence[Tree]
    base: Sequence[float]  # what each sum begins with
    link: Link
    factor: float = 1.0  # of the sums, before a sigmoid
    strict: bool = False  # left is `<`, not `<=`


def graph(forest: Forest, *, columns: int, output: str) -> Any:
    """Return the ONNX graph: one matrix `features` in, one table of answers out."""
    sums = "sums"
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor",
            [FLAT],
            [sums],
            domain="ai.onnx.ml",
            n_targets=len(forest.base),
            base_values=[float(value) for value in forest.base],
            aggregate_function="SUM",
            post_transform="NONE",
            **_attributes(forest),
        ),
        *_linked(forest, sums, output),
    ]
    width = 2 if forest.link == "pair" else len(forest.base)
    body = helper.make_graph(
        nodes,
        "forest",
        [helper.make_tensor_value_info(FLAT, TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, width])],
        [
            onnx.numpy_helper.from_array(np.array(value, dtype=np.float32), name)
            for name, value in _constants(forest)
        ],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
    return helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION)


def answers(forest: Forest, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the graph makes of sums (a row each, a column for each sum), in float64."""
    if forest.link == "softmax":
        made: NDArray[np.float64] = special.softmax(sums, axis=1)
        return made
    if forest.link == "exp":
        return np.exp(sums)
    if forest.link == "identity":
        return sums
    scaled = forest.factor * sums
    return np.asarray(
        special.expit(np.hstack([-scaled, scaled]) if forest.link == "pair" else scaled)
    )


def below(splits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is no larger than each split."""
    with np.errstate(over="ignore"):  # what is past the largest float32 is infinity
        near = splits.astype(np.float32)
        return np.where(
            near.astype(np.float64) > splits, np.nextafter(near, np.float32(-np.inf)), near
        )


def above(splits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the smallest float32 that is no smaller than each split."""
    return -below(-splits)


def _linked(forest: Forest, sums: str, output: str) -> list[Any]:
    if forest.link == "softmax":
        return [helper.make_node("Softmax", [sums], [output], axis=1)]
    if forest.link == "exp":
        return [helper.make_node("Exp", [sums], [output])]
    if forest.link == "identity":
        return [helper.make_node("Identity", [sums], [output])]
    scaled = helper.make_node("Mul", [sums, "factor"], ["scaled"])
    if forest.link == "sigmoid":
        return [scaled, helper.make_node("Sigmoid", ["scaled"], [output])]
    return [
        scaled,
        helper.make_node("Neg", ["scaled"], ["against"]),
        helper.make_node("Concat", ["against", "scaled"], ["both"], axis=1),
        helper.make_node("Sigmoid", ["both"], [output]),
    ]


def _constants(forest: Forest) -> list[tuple[str, float]]:
    return [("factor", forest.factor)] if forest.link in ("sigmoid", "pair") else []


def _attributes(forest: Forest) -> dict[str, Any]:
    """Return the operator's arrays: each tree's nodes side by side, its leaves after its inner
    nodes."""
    written = _Written(strict=forest.strict)
    for number, tree in enumerate(forest.trees):
        written.add(number, tree)
    return {
        **{f"nodes_{name}": values for name, values in written.nodes.items()},
        **{f"target_{name}": values for name, values in written.targets.items()},
    }


class _Written:
    """The arrays of TreeEnsembleRegressor as they grow."""

    def __init__(self, *, strict: bool) -> None:
        self._mode, self._round = ("BRANCH_LT", above) if strict else ("BRANCH_LEQ", below)
        names = (
            "treeids",
            "nodeids",
            "featureids",
            "modes",
            "values",
            "truenodeids",
            "falsenodeids",
        )
        self.nodes: dict[str, list[Any]] = {
            name: [] for name in (*names, "missing_value_tracks_true")
        }
        self.targets: dict[str, list[Any]] = {
            name: [] for name in ("treeids", "nodeids", "ids", "weights")
        }

    def add(self, number: int, tree: Tree) -> None:
        places = _places(tree)
        splits = self._round(tree.splits)
        for node in range(len(tree.features)):
            left, right = places[int(tree.left[node])], places[int(tree.right[node])]
            feature, missing = int(tree.features[node]), int(tree.missing_left[node])
            if node in tree.members:
                self._chain(
                    number, places[node], feature, codes=tree.members[node], left=left, right=right
                )
            else:
                self._node(
                    number,
                    places[node],
                    feature,
                    self._mode,
                    float(splits[node]),
                    left,
                    right,
                    missing,
                )
        for leaf, value in enumerate(tree.values):
            self._node(number, places[~leaf], 0, "LEAF", 0.0, 0, 0, 0)
            for name, part in zip(
                self.targets, (number, places[~leaf], tree.target, float(value)), strict=True
            ):
                self.targets[name].append(part)

    def _chain(
        self, tree: int, place: int, feature: int, *, codes: Sequence[int], left: int, right: int
    ) -> None:
        """Write a node of categories: one comparison a code, of which each leads to the same left
        child."""
        for offset, code in enumerate(codes):
            last = offset == len(codes) - 1
            unlike = right if last else place + offset + 1
            self._node(tree, place + offset, feature, "BRANCH_EQ", float(code), left, unlike, 0)

    def _node(self, *parts: Any) -> None:
        for values, part in zip(self.nodes.values(), parts, strict=True):
            values.append(part)


def _places(tree: Tree) -> dict[int, int]:
    """Return the operator's number of each inner node and leaf; a node of categories takes one for
    each code."""
    places, free = {}, 0
    for node in range(len(tree.features)):
        places[node] = free
        free += len(tree.members.get(node, "1"))
    for leaf in range(len(tree.values)):
        places[~leaf] = free + leaf
    return places

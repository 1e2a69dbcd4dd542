"""Scalers before trees, folded into the splits: the graph compares rows as they come, and parts
them as the model does.

A scaler moves each column by itself and keeps its order, in floating point too. So the float32 that
go to one side of a split are all up to a largest one, which bisection finds with the scaler's own
arithmetic.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

Array = NDArray[Any]
SCALERS = ("MaxAbsScaler", "MinMaxScaler", "RobustScaler", "StandardScaler")
UP_TO = {
    "BRANCH_LEQ": True,
    "BRANCH_GT": True,
    "BRANCH_LT": False,
    "BRANCH_GTE": False,
}  # whether the split is left too
ENDS = -0x7F7FFFFF, 0x7F7FFFFF  # of the finite float32, as whole numbers in their order


def are_scalers(steps: Sequence[Any]) -> bool:
    """Say whether every step moves each column by itself and keeps its order."""
    return all(
        type(step).__name__ in SCALERS and type(step).__module__.startswith("sklearn.")
        for step in steps
    )


def folded(proto: Any, *, scale: Callable[[Array], Array], columns: int) -> Any | None:
    """Return the graph of the trees for rows that are not scaled yet; None where it is more than
    trees of numbers."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    trees = [node for node in made.graph.node if node.op_type.startswith("TreeEnsemble")]
    source = made.graph.input[0].name
    if not trees or any(node.input[0] != source for node in trees):
        return None
    if sum(source in node.input for node in made.graph.node) != len(trees):
        return None
    for node in trees:
        given = {attribute.name: attribute for attribute in node.attribute}
        if "nodes_values" not in given:
            return None
        features, modes = (
            helper.get_attribute_value(given[f"nodes_{name}"]) for name in ("featureids", "modes")
        )
        named = [mode.decode() for mode in modes]
        inner = np.array([mode != "LEAF" for mode in named])
        if not {mode for mode in named if mode != "LEAF"} <= set(UP_TO):
            return None
        values = np.array(helper.get_attribute_value(given["nodes_values"]), dtype=np.float32)
        also = np.array([UP_TO.get(mode, False) for mode in named])
        places = np.array(features)
        values[inner] = _before(
            places[inner], values[inner], also[inner], scale=scale, columns=columns
        )
        given["nodes_values"].floats[:] = values.tolist()
    return made


def _before(
    features: Array, splits: Array, also: Array, *, scale: Callable[[Array], Array], columns: int
) -> NDArray[np.float32]:
    """Return the splits of the values before the scale that part the same rows."""
    rows = np.zeros(len(features), dtype=np.int64)
    for column in range(columns):
        mine = features == column
        rows[mine] = np.arange(mine.sum())
    height = int(rows.max(initial=0)) + 1
    low, high = (np.full(len(features), end, dtype=np.int64) for end in (ENDS[0] - 1, ENDS[1]))
    while (low < high).any():
        middle = low + (high - low + 1) // 2
        table = np.zeros((height, columns), dtype=np.float32)
        table[rows, features] = _float(middle)
        with np.errstate(over="ignore"):
            seen = np.asarray(scale(table))[rows, features]
        left = np.where(also, seen <= splits, seen < splits)
        low, high = np.where(left, middle, low), np.where(left, high, middle - 1)
    largest = _float(low)
    with np.errstate(over="ignore"):
        return np.where(also, largest, np.nextafter(largest, np.float32(np.inf)))


def _float(order: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the float32 with this place in the order of all; before the first there is minus
    infinity."""
    bits = np.where(order < 0, -order | 0x80000000, order).astype(np.uint32)
    return np.where(order < ENDS[0], np.float32(-np.inf), bits.view(np.float32))

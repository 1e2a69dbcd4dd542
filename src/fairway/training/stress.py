"""Rows made up to be hard for an exported graph: where a value stands on a split, just beside it,
or is missing; and, for what has no splits, the ends of each column.

A row that lies on a split of a tree is only told from its neighbour by that split if it gets there:
each is led from the root to its node by values that take the right turns.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

Array = NDArray[Any]
MOST_SPLITS = 5000  # that get rows of their own; of more, these are taken evenly
MOST_VALUES = 1 << 24  # of all rows that are made up: 64 MiB
ROWS_A_SPLIT = 4
INTO = {
    "BRANCH_LEQ": True,
    "BRANCH_LT": True,
    "BRANCH_EQ": True,
    "BRANCH_GT": False,
    "BRANCH_GTE": False,
}
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_EQ": np.equal,
    "BRANCH_GT": np.greater,
    "BRANCH_GTE": np.greater_equal,
}
STANDS = {
    "BRANCH_LEQ": True,
    "BRANCH_GTE": True,
    "BRANCH_EQ": True,
    "BRANCH_LT": False,
    "BRANCH_GT": False,
}


@dataclass(frozen=True)
class Edges:
    """Rows of the matrix, and of each the column that was put on a split."""

    rows: Array
    columns: NDArray[np.int64]


@dataclass(frozen=True)
class Branch:
    """One inner node of an ensemble: the value that it compares its column with, and how a row
    comes to it."""

    column: int
    value: np.float32
    mode: str
    # the node before it, and whether its comparison has to hold
    above: "tuple[Branch, bool] | None"

    @property
    def path(self) -> "Iterator[tuple[Branch, bool]]":
        """Yield the nodes before this one, the root last."""
        turn = self.above
        while turn is not None:
            yield turn
            turn = turn[0].above


def edges(proto: Any, matrix: Array, *, missing: bool, behind: bool = False) -> Edges | None:
    """Return rows at each split of the graph's trees, None where no tree looks at the matrix.

    `behind` says that the trees see the matrix although something of the graph's stands before
    them.
    """
    found = {
        (one.column, float(one.value), one.mode): one for one in branches(proto, behind=behind)
    }
    if not found:
        return None
    chosen = list(found.values())
    most = min(MOST_SPLITS, max(1, MOST_VALUES // (ROWS_A_SPLIT * matrix.shape[1])))
    if len(chosen) > most:
        chosen = [chosen[place] for place in np.linspace(0, len(chosen) - 1, most).astype(int)]
    made, columns = list[Array](), list[int]()
    for place, branch in enumerate(chosen):
        row = led(branch, matrix[place % len(matrix)])
        for value in _values(branch, missing=missing):
            made.append(_with(row, branch.column, value))
            columns.append(branch.column)
    return Edges(np.array(made, dtype=np.float32), np.array(columns, dtype=np.int64))


def extremes(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return rows at the ends of each column of a graph's inputs: its smallest and largest value,
    beyond them, zero."""
    columns = max(values.shape[1] if values.ndim == 2 else 1 for values in inputs.values())
    width = sum(int(np.prod(values.shape[1:])) for values in inputs.values())
    most = max(1, min(columns, MOST_VALUES // (4 * width)))
    return {name: _ends(values, columns=most) for name, values in inputs.items()}


def led(branch: Branch, row: Array) -> Array:
    """Return the row with what is needed to come to the node."""
    changed = row.astype(np.float32)
    for before, holds in reversed(list(branch.path)):
        changed[before.column] = _turned(before, changed[before.column], holds=holds)
    return changed


def branches(proto: Any, *, behind: bool = False) -> Iterator[Branch]:
    """Yield the inner nodes of every ensemble of trees in the graph that looks at its input."""
    plain = {value.name for value in proto.graph.input}
    for node in proto.graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in plain:
            plain.update(node.output)
        if (
            node.domain == "ai.onnx.ml"
            and node.op_type.startswith("TreeEnsemble")
            and (behind or node.input[0] in plain)
        ):
            given = {
                attribute.name: helper.get_attribute_value(attribute)
                for attribute in node.attribute
            }
            yield from _ensemble(given)


def _ensemble(given: Mapping[str, Any]) -> Iterator[Branch]:
    values = given.get("nodes_values") or ()
    if not len(values):  # doubles: of a graph that computes in float64
        return
    keys = list(zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True))
    place = {key: index for index, key in enumerate(keys)}
    children = {
        (tree, child)
        for name in ("true", "false")
        for (tree, _), child, mode in zip(
            keys, given[f"nodes_{name}nodeids"], given["nodes_modes"], strict=True
        )
        if mode != b"LEAF"
    }
    waiting: list[tuple[int, tuple[Branch, bool] | None]] = [
        (place[key], None) for key in keys if key not in children
    ]
    seen = set[int]()
    while waiting:
        index, above = waiting.pop()
        mode = given["nodes_modes"][index].decode()
        if mode == "LEAF" or index in seen:
            continue
        seen.add(index)  # the codes of a node of categories lead to one child
        branch = Branch(
            int(given["nodes_featureids"][index]), np.float32(values[index]), mode, above
        )
        yield branch
        tree = keys[index][0]
        waiting.append((place[tree, given["nodes_falsenodeids"][index]], (branch, False)))
        waiting.append((place[tree, given["nodes_truenodeids"][index]], (branch, True)))


def _turned(branch: Branch, value: np.float32, *, holds: bool) -> np.float32:
    """Return a value for which the node's comparison holds or does not: the same where it is one
    already."""
    if bool(_compared(branch, value)) == holds:
        return value
    if branch.mode == "BRANCH_EQ":
        return branch.value if holds else np.float32(0 if branch.value else 1)
    lower = INTO[branch.mode] == holds
    if STANDS[branch.mode] == holds:
        return branch.value
    return np.float32(np.nextafter(branch.value, np.float32(-np.inf if lower else np.inf)))


def _compared(branch: Branch, value: np.float32) -> bool:
    return bool(COMPARE[branch.mode](value, branch.value))


def _values(branch: Branch, *, missing: bool) -> Sequence[np.float32]:
    at = branch.value
    if branch.mode == "BRANCH_EQ":
        return (at, np.float32(0), np.float32(-1))
    with np.errstate(over="ignore"):  # past the largest float32 there is infinity
        beside = (np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf)))
    return (*beside, np.float32(np.nan)) if missing else beside


def _with(row: Array, column: int, value: np.float32) -> Array:
    changed = row.copy()
    changed[column] = value
    return changed


def _ends(values: Array, *, columns: int) -> Array:
    """Return the first row again and again, one column after the other at each of its four ends.

    Of more columns than there is room for, some are taken evenly.
    """
    made = np.repeat(values[:1], 1 + 4 * columns, axis=0)
    low, high = values.min(axis=0), values.max(axis=0)
    whole = values.dtype.kind == "i"
    ends = (low, high, np.zeros_like(low), low if whole else high + (high - low))
    if values.ndim == 2:
        chosen = np.unique(
            np.linspace(0, values.shape[1] - 1, min(columns, values.shape[1])).astype(int)
        )
        for number, column in enumerate(chosen):
            for place, end in enumerate(ends):
                made[1 + 4 * number + place, column] = end[column]
    else:
        for place, end in enumerate(ends):
            made[1 + place] = end
    return made

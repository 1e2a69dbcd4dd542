"""Proof that an exported graph answers as the model did: on every validation row, and on rows made
up to be hard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model import graph, tasks
from fairway.model.schema import Schema

Array = NDArray[Any]
# largest difference of an answer, in units of its task; measured ones are below 1e-6
TOLERANCE = 1e-4
SHOWN = 4  # numbers of an answer in a sentence


@dataclass(frozen=True, kw_only=True)
class ParityRows:
    """Rows of a graph's inputs, those of validation first, and the model's own answers to them."""

    inputs: Mapping[str, Array]
    expected: Array
    validation: int
    edges: Sequence[str] = field(default=())  # of each made-up row, what stands where
    before: str | None = None  # what stands before the model's trees and changes numbers
    rows: str = "validation row"
    exact: Array | None = None  # the first rows' numbers before they became float32
    columns: tuple[str, ...] = ()  # of these


def prove(
    model: Path, asked: ParityRows, *, schema: Schema, what: str = "the exported graph"
) -> float:
    """Return the largest difference between the graph's answers and the model's, in units of the
    task.

    Raises TrainingError where one is above the tolerance, with the row, both answers and why.
    """
    expected = asked.expected
    answered = graph.run(
        model, asked.inputs, output=tasks.of(schema).output, width=expected.shape[1], what=what
    )
    differences = np.abs(answered - expected) / tasks.of(schema).unit(schema)
    wrong = np.flatnonzero(~(differences.max(axis=1) <= TOLERANCE))
    if not len(wrong):
        return float(differences.max())
    first = int(wrong[0])
    raise errors.TrainingError(
        f"{what} answers differently from the model on {len(wrong)} of {len(expected)} rows, by up to "
        f"{differences.max():.2g} of what answers can differ by: wanted {TOLERANCE:g} at most; {_row(asked, first)}: "
        f"the model answers {_shown(expected[first])}, the graph {_shown(answered[first])}; {_why(asked, first)}"
    )


def _row(asked: ParityRows, place: int) -> str:
    if place < asked.validation:
        return f"the first is {asked.rows} {place}"
    return f"the first is a row made up from {asked.rows}s {_edge(asked, place)}".rstrip()


def _edge(asked: ParityRows, place: int) -> str:
    return asked.edges[place - asked.validation] if asked.edges else ""


def _why(asked: ParityRows, place: int) -> str:
    if asked.before is not None:
        return (
            f"a tree stands behind the {asked.before}, whose float32 in the graph falls on the other side of a split: "
            "leave it out of the pipeline; trees need no scale, and what they need can be done to the features before"
        )
    if asked.exact is not None and place < asked.validation:
        return _rounded(asked, asked.exact[place])
    if place >= asked.validation and asked.edges:
        return "the graph compares in float32: fit the model on the float32 rows that it is given"
    return "a model that rounds or compares at its own precision cannot be served as ONNX"


def _rounded(asked: ParityRows, row: Array) -> str:
    near = row.astype(np.float32).astype(np.float64)
    off = np.flatnonzero((near != row) & ~np.isnan(row))[:SHOWN].tolist()
    values = ", ".join(
        f"{asked.columns[place]} {float(row[place])!r} becomes {float(near[place])!r}"
        for place in off
    )
    return (
        f"a package computes in float32, where {values or 'nothing changes'}, on the other side of a split: "
        "train on float32 values, or round them first"
    )


def _shown(answer: Array) -> str:
    numbers = ", ".join(f"{value:.4g}" for value in answer[:SHOWN])
    return f"[{numbers}{', ...' if len(answer) > SHOWN else ''}]"

"""Models written down without their framework: ONNX with the softmax inside, and proof that it
answers as the model did."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model import graph, tasks
from fairway.model.schema import Schema
from fairway.training import converters, losses, parity, proto, quiet, stress

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]


@dataclass(frozen=True)
class Network:
    """A torch module of logits, and rows of the inputs that it takes."""

    module: "nn.Module"
    inputs: Mapping[str, Array]
    schema: Schema


@dataclass(frozen=True)
class Estimator:
    """A fitted model of another library, and rows of the matrix that it takes."""

    foreign: converters.Converted
    matrix: Array
    schema: Schema
    columns: tuple[str, ...]  # of the matrix, in sentences
    # how many are numbers and categories, where the graph takes them by name
    named: tuple[int, int] | None = None

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Return the rows as the graph takes them."""
        return self.asked(self.matrix.astype(np.float32))

    def asked(self, rows: Array) -> Mapping[str, Array]:
        """Return rows of the matrix as the graph takes them."""
        return {graph.FLAT: rows} if self.named is None else proto.apart(rows, *self.named)


@dataclass(frozen=True)
class File:
    """An ONNX file that was made elsewhere, and rows of the inputs that it takes."""

    path: Path
    inputs: Mapping[str, Array]
    schema: Schema
    layout: str


Trained = Network | Estimator | File


@dataclass(frozen=True)
class Made:
    """What came out of a fit: the model, and the fields of the checkpoint's record that its fit
    knows."""

    trained: Trained
    fields: dict[str, Any]


def write(trained: Trained, *, target: Array, folder: Path) -> float:
    """Write model.onnx (of a network also model.safetensors and model.pt2); gives the largest
    difference of an answer.

    `target` is that of the rows that the model comes with. Raises TrainingError where the model
    cannot be exported, or the graph answers differently.
    """
    if isinstance(trained, Network):
        from fairway.training import torch_export  # torch, which other models need not

        rows = joined(trained.inputs, stress.extremes(trained.inputs))
        difference = torch_export.write(
            trained.module,
            rows,
            validation=len(next(iter(trained.inputs.values()))),
            schema=trained.schema,
            folder=folder,
        )
    elif isinstance(trained, Estimator):
        difference = _estimator(trained, folder=folder)
    else:
        difference = _file(trained, folder=folder)
    _finish(folder / "model.onnx", trained, target=target)
    return difference


def _finish(model: Path, trained: Trained, *, target: Array) -> None:
    side, made = losses.of(trained.schema), proto.read(model, what="the exported graph")
    answers = graph.run(
        model, trained.inputs, output=tasks.of(trained.schema).output, width=side.width
    )
    if side.finish(made, answers=answers, target=target):
        proto.write(made, model)


def _estimator(trained: Estimator, *, folder: Path) -> float:
    foreign, file, side = trained.foreign, folder / "model.onnx", losses.of(trained.schema)
    converters.fitting(foreign, width=side.width)
    made = _normalised(
        foreign.proto, layout="flat", schema=trained.schema, file=file, what=foreign.what
    )
    rows, edges = _hard(made, trained)
    if trained.named is not None:
        numbers, categories = trained.named
        rows[:, numbers:] = np.maximum(np.rint(np.nan_to_num(rows[:, numbers:])), 0)  # indices
        proto.write(proto.beside(made, numbers=numbers, categories=categories), file)
    with quiet.exporters():
        expected = foreign.answer(rows)
    improper = side.improper(expected[: len(trained.matrix)])
    if improper is not None:
        raise errors.TrainingError(f"{foreign.what} {improper}")
    asked = parity.ParityRows(
        inputs=trained.asked(rows),
        expected=expected,
        validation=len(trained.matrix),
        edges=edges,
        before=foreign.before,
    )
    return parity.prove(file, asked, schema=trained.schema)


def _hard(made: Any, trained: Estimator) -> tuple[Array, tuple[str, ...]]:
    """Return the validation rows with the hard ones after them, and what is hard of each of these."""
    foreign, matrix = trained.foreign, trained.matrix.astype(np.float32)
    seen = matrix if foreign.steps is None else foreign.steps[0](matrix).astype(np.float32)
    edges = stress.edges(
        made, seen, missing=foreign.takes_missing, behind=foreign.steps is not None
    )
    if edges is None:
        return np.concatenate([matrix, stress.extremes({graph.FLAT: matrix})[graph.FLAT]]), ()
    if foreign.steps is None:
        places = zip(edges.rows, edges.columns, strict=True)
        told = tuple(
            f"whose {trained.columns[column]} is {row[column]:.9g}, at a split"
            for row, column in places
        )
        return np.concatenate([matrix, edges.rows]), told
    back = foreign.steps[1](edges.rows).astype(np.float32)
    beside = [np.nextafter(back, np.float32(end)) for end in (-np.inf, np.inf)]
    told = ("on a split of its trees",) * (3 * len(back))
    return np.concatenate([matrix, back, *beside]), told


def _file(trained: File, *, folder: Path) -> float:
    what, task, side = str(trained.path), tasks.of(trained.schema), losses.of(trained.schema)
    width = side.width
    first = graph.run(trained.path, trained.inputs, output=task.output, width=width, what=what)
    improper = side.improper(first)
    if improper is not None:
        raise errors.TrainingError(f"{what} {improper}")
    made = _normalised(
        proto.read(trained.path, what=what),
        layout=trained.layout,
        schema=trained.schema,
        file=folder / "model.onnx",
        what=what,
        source=trained.path,
    )
    flat = trained.inputs.get(graph.FLAT) if trained.layout == "flat" else None
    edges = None if flat is None else stress.edges(made, flat, missing=False)
    hard = stress.extremes(trained.inputs) if edges is None else {graph.FLAT: edges.rows}
    rows = joined(trained.inputs, hard)
    expected = graph.run(trained.path, rows, output=task.output, width=width, what=what)
    asked = parity.ParityRows(inputs=rows, expected=expected, validation=len(first))
    return parity.prove(folder / "model.onnx", asked, schema=trained.schema)


def joined(rows: Mapping[str, Array], others: Mapping[str, Array]) -> dict[str, Array]:
    """Return the rows of a graph's inputs, and then the others."""
    return {
        name: np.concatenate([values, others[name].astype(values.dtype)])
        for name, values in rows.items()
    }


def _normalised(
    made: Any, *, layout: str, schema: Schema, file: Path, what: str, source: Path | None = None
) -> Any:
    """Write the graph in the form that is served, and return it."""
    if source is None:
        source = file
        source.write_bytes(made.SerializeToString())
    opened = graph.session(source, what=what)
    task = tasks.of(schema)
    output = graph.output_of(opened, output=task.output, width=losses.of(schema).width, what=what)
    normal = proto.normalise(made, opened, layout=layout, output=output, wanted=task.output)
    proto.write(normal, file)
    return normal

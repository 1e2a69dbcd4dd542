"""Models written down without their framework: ONNX with the softmax inside, and proof that it answers as the model
did."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from fairway import errors
from fairway.model import graph, tasks
from fairway.model.schema import Schema
from fairway.training import losses, proto

Array = NDArray[Any]
TOLERANCE = 1e-4  # largest difference of an answer, in units of its task; measured ones are below 1e-6
PARITY_ROWS = 500
OPSET = 17  # of scikit-learn's graphs; the newest that its converters are tested with
# What says where the code was: it would carry the paths of this machine into a package, and change its bytes.
TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn", "custom")


@dataclass(frozen=True)
class Network:
    """A torch module of logits, and rows of the inputs that it takes."""

    module: nn.Module
    inputs: Mapping[str, Array]
    schema: Schema


@dataclass(frozen=True)
class Estimator:
    """A fitted scikit-learn classifier, and rows of the matrix that it takes."""

    fitted: Any
    inputs: Mapping[str, Array]
    schema: Schema


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
    """What came out of a fit: the model, and the fields of the checkpoint's record that its fit knows."""

    trained: Trained
    fields: dict[str, Any]


class Answering(nn.Module):
    """A network with what turns its outputs into answers inside (a softmax, for one), so that no server can forget
    it."""

    def __init__(self, network: nn.Module, names: tuple[str, ...], side: losses.Side) -> None:
        super().__init__()
        self.network, self.names, self.side = network, names, side

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.side.answer(self.network(**dict(zip(self.names, inputs, strict=True))))


def write(trained: Trained, *, target: Array, folder: Path) -> float:
    """Write model.onnx (of a network also model.safetensors and model.pt2); gives the largest difference of an answer.

    `target` is that of the rows that the model comes with. Raises TrainingError where the model cannot be exported, or
    the graph answers differently.
    """
    if isinstance(trained, Network):
        difference = _network(trained, folder=folder)
    elif isinstance(trained, Estimator):
        difference = _estimator(trained, folder=folder)
    else:
        difference = _file(trained, folder=folder)
    _finish(folder / "model.onnx", trained, target=target)
    return difference


def _finish(model: Path, trained: Trained, *, target: Array) -> None:
    side, made = losses.of(trained.schema), proto.read(model, what="the exported graph")
    answers = graph.run(model, trained.inputs, output=tasks.of(trained.schema).output, width=side.width)
    if side.finish(made, answers=answers, target=target):
        proto.write(made, model)


def parity(model: Path, *, inputs: Mapping[str, Array], expected: Array, schema: Schema) -> float:
    """Return the largest difference between the graph's answers and the expected, in units of the task.

    Raises TrainingError above the tolerance.
    """
    answered = graph.run(
        model, inputs, output=tasks.of(schema).output, width=expected.shape[1], what="the exported graph"
    )
    differences = np.abs(answered - expected) / tasks.of(schema).unit(schema)
    largest = float(differences.max())
    if not largest <= TOLERANCE:
        rows = int((differences.max(axis=1) > TOLERANCE).sum())
        raise errors.TrainingError(
            f"the exported graph answers differently from the model on {rows} of {len(expected)} rows, by up "
            f"to {largest:.2g} of what answers can differ by: wanted {TOLERANCE:g} at most; a model that rounds "
            "or compares at its own precision cannot be served as ONNX"
        )
    return largest


def _network(trained: Network, *, folder: Path) -> float:
    rows = {name: torch.from_numpy(np.array(value[:PARITY_ROWS])) for name, value in trained.inputs.items()}
    task, side = tasks.of(trained.schema), losses.of(trained.schema)
    wrapped = Answering(trained.module, tuple(rows), side).eval()
    expected = _answers(trained, rows)
    # Zeros, not rows: what a graph is traced with is kept in it, and no package may hold training data.
    example = tuple(torch.zeros((2, *value.shape[1:]), dtype=value.dtype) for value in rows.values())
    try:
        with _quiet():
            program = torch.export.export(
                wrapped, example, dynamic_shapes=(tuple({0: torch.export.Dim("batch")} for _ in rows),)
            )
            made = torch.onnx.export(
                program, (), input_names=list(rows), output_names=[task.output], dynamo=True, verbose=False
            )
    except Exception as error:  # torch raises whatever the user's forward and its own passes do
        raise errors.TrainingError(
            f"torch cannot export the network ({type(error).__name__}: {_line(error)}): wanted a forward "
            "whose operations "
            "do not depend on values or on the number of rows"
        ) from error
    if made is None:
        raise errors.TrainingError("torch gave no ONNX graph: the network uses an operation that ONNX lacks")
    proto.write(made.model_proto, folder / "model.onnx")
    # Each weight by itself: safetensors refuses tensors that share memory.
    save_file(
        {name: value.detach().clone().contiguous() for name, value in trained.module.state_dict().items()},
        folder / "model.safetensors",
    )
    (folder / "model.safetensors").chmod(0o644)
    _forget_traces(program)
    with _quiet():
        torch.export.save(program, folder / "model.pt2")
    return parity(
        folder / "model.onnx",
        inputs={name: value.numpy() for name, value in rows.items()},
        expected=expected,
        schema=trained.schema,
    )


def _answers(trained: Network, rows: Mapping[str, Tensor]) -> Array:
    """Return the network's own answers.

    Raises TrainingError where it does not take the inputs or gives something else.
    """
    try:
        with torch.no_grad():
            outputs = trained.module.eval()(**rows)
    except Exception as error:  # the user's forward
        raise errors.TrainingError(
            f"the network raised {type(error).__name__} on its inputs {_shapes(rows)} ({_line(error)}): "
            "wanted a forward that takes these by name"
        ) from error
    side = losses.of(trained.schema)
    wanted = [len(next(iter(rows.values()))), side.width]
    if not isinstance(outputs, Tensor) or list(outputs.shape) != wanted:
        seen = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise errors.TrainingError(
            f"the network gives {seen} for its inputs {_shapes(rows)}: wanted {side.outputs} of shape {wanted}"
        )
    if not torch.isfinite(outputs).all():
        raise errors.TrainingError(
            f"the network gives NaN or infinity on validation rows: wanted finite {side.outputs}; look at its training"
        )
    mistaken = side.mistaken(outputs)
    if mistaken is not None:
        raise errors.TrainingError(f"the network gives {mistaken}")
    answers: Array = side.answer(outputs.float()).numpy()
    return answers


def _estimator(trained: Estimator, *, folder: Path) -> float:
    from skl2onnx import to_onnx

    fitted, matrix = trained.fitted, trained.inputs[graph.FLAT].astype(np.float32)
    side = losses.of(trained.schema)
    unfit = side.unfit(fitted)
    if unfit is not None:
        raise errors.TrainingError(f"the estimator {unfit}")
    try:
        with _quiet():
            converted = to_onnx(fitted, matrix[:1], options={id(fitted): side.options(fitted)}, target_opset=OPSET)
    except Exception as error:  # each converter raises its own
        raise errors.TrainingError(
            f"skl2onnx cannot convert a {type(fitted).__name__} ({_line(error)}): wanted an estimator that it knows, "
            "or write the ONNX file yourself and return its path"
        ) from error
    _normalised(
        converted,
        layout="flat",
        schema=trained.schema,
        folder=folder,
        what=f"the graph of the {type(fitted).__name__}",
    )
    rows = matrix[:PARITY_ROWS]
    with _quiet():
        expected = side.predict(fitted, rows)
    return parity(folder / "model.onnx", inputs={graph.FLAT: rows}, expected=expected, schema=trained.schema)


def _file(trained: File, *, folder: Path) -> float:
    what = str(trained.path)
    rows = {name: value[:PARITY_ROWS] for name, value in trained.inputs.items()}
    task, side = tasks.of(trained.schema), losses.of(trained.schema)
    expected = graph.run(trained.path, rows, output=task.output, width=side.width, what=what)
    improper = side.improper(expected)
    if improper is not None:
        raise errors.TrainingError(f"{what} {improper}")
    _normalised(
        proto.read(trained.path, what=what),
        layout=trained.layout,
        schema=trained.schema,
        folder=folder,
        what=what,
        source=trained.path,
    )
    return parity(folder / "model.onnx", inputs=rows, expected=expected, schema=trained.schema)


def _normalised(made: Any, *, layout: str, schema: Schema, folder: Path, what: str, source: Path | None = None) -> None:
    if source is None:
        source = folder / "model.onnx"
        source.write_bytes(made.SerializeToString())
    opened = graph.session(source, what=what)
    task = tasks.of(schema)
    output = graph.output_of(opened, output=task.output, width=losses.of(schema).width, what=what)
    proto.write(proto.normalise(made, opened, layout=layout, output=output, wanted=task.output), folder / "model.onnx")


def _forget_traces(program: Any) -> None:
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            for key in TRACES:
                node.meta.pop(key, None)


def _shapes(rows: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {list(value.shape)}" for name, value in rows.items())


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters print and warn about their own insides, of which the user can change nothing."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export", "skl2onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

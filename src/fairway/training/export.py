"""Models written down without their framework: ONNX with the softmax inside, and proof that it answers as the model did."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fairway import errors

TOLERANCE = 1e-4   # largest difference of a probability; measured ones are below 1e-6
OUTPUT = "probabilities"
PARITY_ROWS = 500


class Probabilities(nn.Module):
    """A network of logits with the softmax inside, so that no server can forget it."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.softmax(self.network(**dict(zip(self.names, inputs, strict=True))), dim=1)


def network(trained: nn.Module, *, example: Mapping[str, Tensor], folder: Path) -> float:
    """Writes model.onnx, model.safetensors and model.pt2; gives the largest difference of a probability to torch's.

    Raises TrainingError where the graph does not answer as the network does.
    """
    names = tuple(example)
    wrapped = Probabilities(trained, names).eval()
    inputs = tuple(example[name][:2] for name in names)
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.export.export(wrapped, inputs, dynamic_shapes=(tuple({0: batch} for _ in names),))
        made = torch.onnx.export(program, (), input_names=list(names), output_names=[OUTPUT], dynamo=True, verbose=False)
    if made is None:
        raise errors.TrainingError("torch gave no ONNX graph: the network uses an operation that ONNX lacks")
    write(made.model_proto, folder / "model.onnx")
    # Each weight by itself: safetensors refuses tensors that share memory.
    save_file({name: value.detach().clone().contiguous() for name, value in trained.state_dict().items()}, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    with _quiet():
        torch.export.save(program, folder / "model.pt2")
    rows = {name: value[:PARITY_ROWS] for name, value in example.items()}
    with torch.no_grad():
        expected = wrapped(*rows.values()).numpy()
    return parity(folder / "model.onnx", inputs={name: value.numpy() for name, value in rows.items()}, expected=expected)


def estimator(fitted: Any, *, matrix: np.ndarray[Any, Any], classes: int, folder: Path) -> float:
    """Writes model.onnx of a scikit-learn classifier fitted on the flat features; gives the largest difference to its own answer."""
    from skl2onnx import to_onnx

    seen = getattr(fitted, "classes_", np.arange(classes))
    if list(seen) != list(range(classes)):
        raise errors.TrainingError(f"the estimator knows the classes {list(seen)}: wanted all of 0 to {classes - 1}; fit it on splits.train.target")
    with _quiet():
        proto = to_onnx(fitted, matrix[:1].astype(np.float32), options={id(fitted): {"zipmap": False}}, target_opset=17)
    proto.graph.input[0].name, old = "features", proto.graph.input[0].name
    for node in proto.graph.node:
        node.input[:] = ["features" if name == old else name for name in node.input]
    labels = [output for output in proto.graph.output if output.name != OUTPUT]
    for output in labels:
        proto.graph.output.remove(output)
    write(proto, folder / "model.onnx")
    rows = matrix[:PARITY_ROWS].astype(np.float32)
    return parity(folder / "model.onnx", inputs={"features": rows}, expected=fitted.predict_proba(rows), share=0.02)


def parity(model: Path, *, inputs: Mapping[str, Any], expected: Any, share: float = 0.0) -> float:
    """Gives the largest difference between the graph's probabilities and the expected; raises TrainingError above the tolerance.

    A `share` of rows may differ more: a tree that compares in another precision falls to the other side of a border.
    """
    answered = onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"]).run([OUTPUT], dict(inputs))[0]
    by_row = np.abs(np.asarray(answered) - expected).max(axis=1)
    judged = np.sort(by_row)[: max(1, round(len(by_row) * (1 - share)))]
    if not np.all(judged <= TOLERANCE):
        raise errors.TrainingError(f"the ONNX graph answers differently from the model, by up to {by_row.max():.2g} in a probability: wanted {TOLERANCE:g} at most")
    return float(judged.max())


def write(proto: Any, path: Path) -> None:
    """Writes a graph without the names of files and functions that exporters leave in it: they tell of the machine and change its bytes."""
    proto.producer_version = ""
    proto.doc_string = ""
    del proto.metadata_props[:]
    _strip(proto.graph)
    for function in proto.functions:
        del function.metadata_props[:]
        for node in function.node:
            _strip_node(node)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _strip(graph: Any) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    for thing in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        thing.doc_string = ""
        del thing.metadata_props[:]
    for node in graph.node:
        _strip_node(node)


def _strip_node(node: Any) -> None:
    node.doc_string = ""
    del node.metadata_props[:]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            _strip(attribute.g)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters print and warn about their own insides, of which the user can change nothing."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

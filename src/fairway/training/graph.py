"""ONNX graphs: run, brought into the one form that is served, and freed of what they tell of the machine. No torch here."""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as state

from fairway import errors

Array = NDArray[Any]
OUTPUT = "probabilities"
FLAT = "features"
NAMED = ("numbers", "categories", "image")
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
# ONNX Runtime's exceptions have no common base but Exception.
FAILURES = tuple(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
CHUNK = 4096  # rows at once: more are not faster and need their memory
CPP = re.compile(r"(?: failed:)?/onnxruntime_src/\S+ .*\)(?: const)? ")  # a file, a line and a signature
SUM_OFF = 1e-3  # float16 graphs add up to 1 no better


def run(model: Path, inputs: Mapping[str, Array], *, classes: int, what: str | None = None) -> Array:
    """Return the probabilities, float32 [n, classes], as a server would compute them.

    Raises TrainingError, calling the model `what`, where the graph cannot be run on these inputs, or does not answer with a
    finite number for each class.
    """
    what = what or str(model)
    session = load(model, what=what)
    fed = _fed(session, inputs, what=what)
    output = output_of(session, classes=classes, what=what)
    rows = len(next(iter(fed.values())))
    try:
        parts = [
            session.run([output], {name: value[i : i + CHUNK] for name, value in fed.items()})[0]
            for i in range(0, max(rows, 1), CHUNK)
        ]
    except FAILURES as error:
        shapes = ", ".join(f"{name} [n, {', '.join(map(str, value.shape[1:]))}]" for name, value in fed.items())
        raise errors.TrainingError(
            f"{what} cannot be run on {rows} rows ({_line(error)}): wanted inputs {shapes} with a first axis of any length"
        ) from error
    answers: Array = np.concatenate(parts).astype(np.float32, copy=False)
    _answered(answers, shape=(rows, classes), what=what)
    return answers


def add_up(answers: Array, *, what: str) -> None:
    """Raise TrainingError where a row is no distribution: the softmax was left out."""
    off = np.abs(answers.sum(axis=1, dtype=np.float64) - 1)
    if len(answers) and (off.max() > SUM_OFF or answers.min() < -SUM_OFF):
        worst = answers[off.argmax() if off.max() > SUM_OFF else answers.min(axis=1).argmin()]
        raise errors.TrainingError(
            f"{what} answers with a row {_some(worst)}: wanted probabilities that add up to 1, with the softmax inside"
        )


def load(model: Path, *, what: str) -> Any:
    """Return an ONNX Runtime session on the CPU; raises TrainingError where the file is no graph that can run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about graphs, of which the user can change nothing
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # threads that spin take the cores from others
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise errors.TrainingError(f"{what} is no ONNX graph that can run: {_line(error)}") from error


def output_of(session: Any, *, classes: int, what: str) -> str:
    """Return the name of the output that holds the probabilities: `probabilities`, or the only table of floats."""
    outputs = session.get_outputs()
    tables = [
        node.name
        for node in outputs
        if node.type in ("tensor(float)", "tensor(double)", "tensor(float16)") and len(node.shape) == 2
    ]
    named = [node.name for node in outputs if node.name == OUTPUT and node.name in tables] or tables
    if len(named) != 1:
        seen = ", ".join(f"{node.name} {node.type} {node.shape}" for node in outputs)
        raise errors.TrainingError(
            f"{what} has the outputs {seen}: wanted one named {OUTPUT}, a table of floats [n, {classes}]"
        )
    return str(named[0])


def layout_of(session: Any, *, what: str) -> str:
    """Return "named" where all inputs are called as the dataset's are, "flat" where there is one input only."""
    names = [node.name for node in session.get_inputs()]
    if names and set(names) <= set(NAMED):
        return "named"
    if len(names) == 1:
        return "flat"
    raise errors.TrainingError(
        f"{what} has the inputs {', '.join(names) or 'none'}: wanted some of {', '.join(NAMED)}, or a single matrix {FLAT}"
    )


def normalise(proto: Any, session: Any, *, layout: str, output: str) -> Any:
    """Return the graph with float32 `probabilities` as its only output, and `features` as the name of its input where it is flat."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    graph = made.graph
    wanted = next(node for node in session.get_outputs() if node.name == output)
    if layout == "flat":
        _rename_input(graph, next(node for node in session.get_inputs()))
    if output != OUTPUT or wanted.type != "tensor(float)":
        old = _free(graph, OUTPUT) if output == OUTPUT else output
        graph.node.append(helper.make_node("Cast", [old], [OUTPUT], to=TensorProto.FLOAT))
    columns = wanted.shape[1] if isinstance(wanted.shape[1], int) else None
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, columns]))
    return made


def write(proto: Any, path: Path) -> None:
    """Write a graph without the names of files and functions that exporters leave in it: they tell of the machine and change its bytes."""
    proto.producer_version = ""
    proto.doc_string = ""
    del proto.metadata_props[:]
    _strip(proto.graph)
    for function in proto.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        _strip_nodes(function.node)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise errors.TrainingError(f"the ONNX graph is not valid: {_line(error)}") from error
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _fed(session: Any, inputs: Mapping[str, Array], *, what: str) -> dict[str, Array]:
    nodes = session.get_inputs()
    strange = [node for node in nodes if node.type not in TYPES]
    if strange:
        raise errors.TrainingError(
            f"{what} has the input {strange[0].name} of {strange[0].type}: wanted one of {', '.join(TYPES)}"
        )
    if len(nodes) == 1 and list(inputs) == [FLAT]:  # a graph made elsewhere may call its matrix as it likes
        inputs = {nodes[0].name: inputs[FLAT]}
    missing = [node.name for node in nodes if node.name not in inputs]
    if missing:
        raise errors.TrainingError(f"{what} wants the input {missing[0]!r}: the data has {', '.join(inputs)}")
    return {node.name: inputs[node.name].astype(TYPES[node.type], copy=False) for node in nodes}


def _answered(answers: Array, *, shape: tuple[int, int], what: str) -> None:
    if answers.shape != shape:
        raise errors.TrainingError(
            f"{what} answers with shape {list(answers.shape)}: wanted {list(shape)}, a column for each class"
        )
    if not np.isfinite(answers).all():
        broken = int((~np.isfinite(answers)).any(axis=1).sum())
        raise errors.TrainingError(
            f"{what} answers with NaN or infinity in {broken} of {shape[0]} rows: wanted probabilities"
        )


def _rename_input(graph: Any, node: Any) -> None:
    """Put `features` before the graph's matrix: a node between the two, so that no name inside changes."""
    if node.name == FLAT and node.type == "tensor(float)":
        return
    kept = next(one for one in graph.input if one.name == node.name)
    old = _free_input(graph, node.name) if node.name == FLAT else node.name
    graph.input.remove(kept)
    graph.input.insert(0, helper.make_tensor_value_info(FLAT, TensorProto.FLOAT, [None, *_static(node.shape[1:])]))
    graph.node.insert(0, helper.make_node("Cast", [FLAT], [old], to=kept.type.tensor_type.elem_type))


def _static(shape: Sequence[Any]) -> list[int | None]:
    return [size if isinstance(size, int) else None for size in shape]


def _free(graph: Any, name: str) -> str:
    """Rename what the graph itself calls `name`, so that the name can be given to another; gives the new one."""
    for node in graph.node:
        node.output[:] = [f"{name}_before" if output == name else output for output in node.output]
    return _free_input(graph, name)


def _free_input(graph: Any, name: str) -> str:
    for node in graph.node:
        node.input[:] = [f"{name}_before" if used == name else used for used in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _free_input(attribute.g, name)
    return f"{name}_before"


def _strip(graph: Any) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    for thing in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        thing.doc_string = ""
        del thing.metadata_props[:]
    _strip_nodes(graph.node)


def _strip_nodes(nodes: Iterable[Any]) -> None:
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)


def read(path: Path, *, what: str) -> Any:
    """Return the graph of a file, with the weights of the files beside it inside; raises TrainingError where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return onnx.load(path)
    except Exception as error:  # protobuf's DecodeError, or whatever its files' sizes and names make of themselves
        raise errors.TrainingError(f"{what} cannot be read as ONNX: {_line(error)}") from error


def _line(error: BaseException) -> str:
    """Return an error's own words in one line, without the place in C++ that ONNX Runtime puts before them."""
    text = " ".join(str(error).split())
    return CPP.sub(": ", text)[:300]


def _some(row: Array) -> str:
    shown = ", ".join(f"{value:.3g}" for value in row[:4])
    return f"[{shown}{', ...' if len(row) > 4 else ''}]"

"""ONNX files brought into the one form that is served, and freed of what they tell of the machine.
No torch here."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fairway import errors
from fairway.model import graph
from fairway.model.graph import FLAT

PLAIN_OPSET = 17  # of the nodes that are added, where a graph has no plain ones


def normalise(proto: Any, session: Any, *, layout: str, output: str, wanted: str) -> Any:
    """Return the graph with float32 answers called `wanted` as its only output, and `features` as
    the name of its input where it is flat."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    body = made.graph
    # CatBoost's graphs have trees alone
    if not any(opset.domain == "" for opset in made.opset_import):
        made.opset_import.append(helper.make_opsetid("", PLAIN_OPSET))
        made.ir_version = max(made.ir_version, helper.find_min_ir_version_for(made.opset_import))
    made_of = next(node for node in session.get_outputs() if node.name == output)
    if layout == "flat":
        _rename_input(body, next(node for node in session.get_inputs()))
    if output != wanted or made_of.type != "tensor(float)":
        old = _free(body, wanted) if output == wanted else output
        body.node.append(helper.make_node("Cast", [old], [wanted], to=TensorProto.FLOAT))
    columns = made_of.shape[1] if isinstance(made_of.shape[1], int) else None
    del body.output[:]
    body.output.append(helper.make_tensor_value_info(wanted, TensorProto.FLOAT, [None, columns]))
    return made


def beside(
    proto: Any, *, numbers: int, categories: int, order: Sequence[int] | None = None, first: int = 1
) -> Any:
    """Return a graph of one matrix as one of `numbers` and `categories`, which stand in the matrix
    in this order.

    Where the matrix has them in another, `order` says for each of its columns which of these it is.
    `first` is the code of the first word, whose index is 1.
    """
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    body = made.graph
    parts, inputs, nodes = [], [], []
    if numbers:
        parts.append("numbers")
        inputs.append(helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, numbers]))
    if categories:
        parts.append("codes")
        inputs.append(
            helper.make_tensor_value_info("categories", TensorProto.INT64, [None, categories])
        )
        nodes.append(helper.make_node("Cast", ["categories"], ["indices"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Sub", ["indices", "before"], ["codes"]))
        body.initializer.append(
            numpy_helper.from_array(np.array(1 - first, dtype=np.float32), "before")
        )
    nodes.append(helper.make_node("Concat", parts, [FLAT if order is None else "together"], axis=1))
    if order is not None:
        nodes.append(helper.make_node("Gather", ["together", "order"], [FLAT], axis=1))
        body.initializer.append(numpy_helper.from_array(np.array(order, dtype=np.int64), "order"))
    _replace(body.input, inputs)
    _replace(body.node, [*nodes, *body.node])
    return made


def apart(matrix: Any, numbers: int, categories: int) -> dict[str, Any]:
    """Return the rows of a matrix as that graph takes them."""
    parts = {"numbers": matrix[:, :numbers], "categories": matrix[:, numbers:].astype(np.int64)}
    widths = {"numbers": numbers, "categories": categories}
    return {name: values for name, values in parts.items() if widths[name]}


def write(proto: Any, path: Path) -> None:
    """Write a graph without the names of files and functions that exporters leave in it: they tell
    of the machine and change its bytes."""
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
        raise errors.TrainingError(f"the ONNX graph is not valid: {graph.line(error)}") from error
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _rename_input(body: Any, node: Any) -> None:
    """Put `features` before the body's matrix: a node between the two, so that no name inside
    changes."""
    if node.name == FLAT and node.type == "tensor(float)":
        return
    kept = next(one for one in body.input if one.name == node.name)
    old = _free_input(body, node.name) if node.name == FLAT else node.name
    body.input.remove(kept)
    body.input.insert(
        0, helper.make_tensor_value_info(FLAT, TensorProto.FLOAT, [None, *_static(node.shape[1:])])
    )
    body.node.insert(0, helper.make_node("Cast", [FLAT], [old], to=kept.type.tensor_type.elem_type))


def _replace(repeated: Any, values: Sequence[Any]) -> None:
    kept = list(values)
    del repeated[:]
    repeated.extend(kept)


def _static(shape: Sequence[Any]) -> list[int | None]:
    return [size if isinstance(size, int) else None for size in shape]


def _free(body: Any, name: str) -> str:
    """Rename what the body itself calls `name`, so that the name can be given to another; gives the
    new one."""
    for node in body.node:
        node.output[:] = [f"{name}_before" if output == name else output for output in node.output]
    return _free_input(body, name)


def _free_input(body: Any, name: str) -> str:
    for node in body.node:
        node.input[:] = [f"{name}_before" if used == name else used for used in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _free_input(attribute.g, name)
    return f"{name}_before"


def _strip(body: Any) -> None:
    body.doc_string = ""
    del body.metadata_props[:]
    for thing in (*body.input, *body.output, *body.value_info, *body.initializer):
        thing.doc_string = ""
        del thing.metadata_props[:]
    _strip_nodes(body.node)


def _strip_nodes(nodes: Iterable[Any]) -> None:
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)


def widen(made: Any, *, half: float) -> None:
    """Turn the graph's only column of answers into three: the value, and the ends of the interval
    around it."""
    (output,) = made.graph.output
    inner = f"{output.name}_alone"
    for node in made.graph.node:
        node.input[:] = [inner if name == output.name else name for name in node.input]
        node.output[:] = [inner if name == output.name else name for name in node.output]
    width = numpy_helper.from_array(np.array(half, dtype=np.float32), "interval_half_width")
    made.graph.initializer.append(width)
    made.graph.node.extend(
        (
            helper.make_node("Sub", [inner, width.name], ["interval_lower"]),
            helper.make_node("Add", [inner, width.name], ["interval_upper"]),
            helper.make_node(
                "Concat", [inner, "interval_lower", "interval_upper"], [output.name], axis=1
            ),
        )
    )
    output.type.tensor_type.shape.dim[1].dim_value = 3


def read(path: Path, *, what: str) -> Any:
    """Return the graph of a file, with the weights of the files beside it inside.

    Raises TrainingError where it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return onnx.load(path)
    # protobuf's DecodeError, or whatever its files' sizes and names make of themselves
    except Exception as error:
        raise errors.TrainingError(f"{what} cannot be read as ONNX: {graph.line(error)}") from error

"""Networks of torch written down: the ONNX graph, the weights, and the program that torch.export
makes of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from fairway import errors
from fairway.model import tasks
from fairway.model.schema import Schema
from fairway.training import losses, parity, proto, quiet

Array = NDArray[Any]
AT_ONCE = 4096  # rows of a network's own answers
# What says where the code was: it would carry the paths of this machine into a package, and change
# its bytes.
TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn", "custom")


class Answering(nn.Module):
    """A network with what turns its outputs into answers inside (a softmax, for one), so that no
    server can forget it."""

    def __init__(self, network: nn.Module, names: tuple[str, ...], side: losses.Side) -> None:
        super().__init__()
        self.network, self.names, self.side = network, names, side

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.side.answer(self.network(**dict(zip(self.names, inputs, strict=True))))


def write(
    network: nn.Module, asked: Mapping[str, Array], *, validation: int, schema: Schema, folder: Path
) -> float:
    """Write model.onnx, model.safetensors and model.pt2; gives the largest difference of an answer to
    the rows that are asked, the first of which are those of validation. Raises as `export.write` does.
    """
    rows = {name: torch.from_numpy(value) for name, value in asked.items()}
    task, side = tasks.of(schema), losses.of(schema)
    wrapped = Answering(network, tuple(rows), side).eval()
    expected = _answers(network, rows, side=side)
    # Zeros, not rows: what a graph is traced with is kept in it, and no package may hold training
    # data.
    example = tuple(
        torch.zeros((2, *value.shape[1:]), dtype=value.dtype) for value in rows.values()
    )
    try:
        with quiet.exporters():
            program = torch.export.export(
                wrapped,
                example,
                dynamic_shapes=(tuple({0: torch.export.Dim("batch")} for _ in rows),),
            )
            made = torch.onnx.export(
                program,
                (),
                input_names=list(rows),
                output_names=[task.output],
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # torch raises whatever the user's forward and its own passes do
        raise errors.TrainingError(
            f"torch cannot export the network ({type(error).__name__}: {_line(error)}): wanted a forward "
            "whose operations "
            "do not depend on values or on the number of rows"
        ) from error
    if made is None:
        raise errors.TrainingError(
            "torch gave no ONNX graph: the network uses an operation that ONNX lacks"
        )
    proto.write(made.model_proto, folder / "model.onnx")
    # Each weight by itself: safetensors refuses tensors that share memory.
    save_file(
        {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()},
        folder / "model.safetensors",
    )
    (folder / "model.safetensors").chmod(0o644)
    _forget_traces(program)
    with quiet.exporters():
        torch.export.save(program, folder / "model.pt2")
    held = parity.ParityRows(inputs=asked, expected=expected, validation=validation)
    return parity.prove(folder / "model.onnx", held, schema=schema)


def _answers(network: nn.Module, rows: Mapping[str, Tensor], *, side: losses.Side) -> Array:
    """Return the network's own answers.

    Raises TrainingError where it does not take the inputs or gives something else.
    """
    try:
        with torch.no_grad():
            outputs = _outputs(network.eval(), rows)
    except Exception as error:  # the user's forward
        raise errors.TrainingError(
            f"the network raised {type(error).__name__} on its inputs {_shapes(rows)} ({_line(error)}): "
            "wanted a forward that takes these by name"
        ) from error
    wanted = [len(next(iter(rows.values()))), side.width]
    if not isinstance(outputs, Tensor) or list(outputs.shape) != wanted:
        seen = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise errors.TrainingError(
            f"the network gives {seen} for its inputs {_shapes(rows)}: wanted {side.outputs} of shape {wanted}"
        )
    if not torch.isfinite(outputs).all():
        raise errors.TrainingError(
            "the network gives NaN or infinity on validation rows, or at the ends of their columns: "
            f"wanted finite {side.outputs}; look at its training"
        )
    mistaken = side.mistaken(outputs)
    if mistaken is not None:
        raise errors.TrainingError(f"the network gives {mistaken}")
    answers: Array = side.answer(outputs.float()).numpy()
    return answers


def _outputs(module: nn.Module, rows: Mapping[str, Tensor]) -> Any:
    """Return what the network gives, a part of the rows at a time."""
    total = len(next(iter(rows.values())))
    parts = [
        module(**{name: value[start : start + AT_ONCE] for name, value in rows.items()})
        for start in range(0, total, AT_ONCE)
    ]
    return torch.cat(parts) if all(isinstance(part, Tensor) for part in parts) else parts[0]


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

"""The one ONNX runner: arrays by input name in, one table of answers out, on the CPU.

Training proves its exports with it, evaluation measures with it, packages and servers answer with
it. Inputs may be float16, 32 or 64, int32 or int64, and are fed whatever they are given; answers
are float32, whatever the graph computes in.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from fairway import errors

Array = NDArray[Any]
FLAT = "features"  # the input that holds all features side by side
NAMED = ("numbers", "categories", "image")
FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
TYPES = {**FLOATS, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
CHUNK = 4096  # rows at once: more are not faster and need their memory
EVERY_CORE = 0
# ONNX Runtime's exceptions have no common base but Exception.
FAILURES = tuple(
    kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
# a file, a line and a signature
CPP = re.compile(r"(?: failed:)?/onnxruntime_src/\S+ .*\)(?: const)? ")


class NotFinite(errors.ModelError):
    """The graph answered with NaN or infinity."""


class Graph:
    """A graph that answers each row with `width` numbers, from the output called `output` or from
    its only fitting table."""

    def __init__(
        self,
        file: Path,
        *,
        output: str,
        width: int,
        threads: int = EVERY_CORE,
        what: str | None = None,
    ) -> None:
        """Raise ModelError, calling the graph `what`, where the file is no graph or has no such
        output."""
        self.what = what or str(file)
        self.width = width
        self._session = session(file, threads=threads, what=self.what)
        self._types = _types(self._session, what=self.what)
        self.output = output_of(self._session, output=output, width=width, what=self.what)

    @property
    def layout(self) -> str:
        """Return "named" where the inputs are called as the preprocessing calls them, "flat" where
        there is a single one."""
        return layout_of(self._session, what=self.what)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs."""
        return tuple(self._types)

    def __call__(self, inputs: Mapping[str, Array]) -> Array:
        """Return the answers, float32 [n, width]; raises ModelError where the graph refuses these
        inputs or gives another shape.

        A single matrix `features` is fed to the graph's only input, whatever that is called.
        """
        fed = self._fed(inputs)
        rows = len(next(iter(fed.values())))
        try:
            table = self._table(fed, rows)
        except FAILURES as error:
            shapes = ", ".join(
                f"{name} [n, {', '.join(map(str, value.shape[1:]))}]" for name, value in fed.items()
            )
            raise errors.ModelError(
                f"{self.what} cannot be run on {rows} rows ({line(error)}): "
                f"wanted inputs {shapes} with a first axis of any length"
            ) from error
        return self._checked(table, rows)

    def _fed(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if len(self._types) == 1 and list(inputs) == [FLAT]:
            ((name, dtype),) = self._types.items()
            return {name: inputs[FLAT].astype(dtype, copy=False)}
        missing = [name for name in self._types if name not in inputs]
        if missing:
            raise errors.ModelError(
                f"{self.what} wants the input {missing[0]!r}: the data has {', '.join(inputs)}"
            )
        return {name: inputs[name].astype(dtype, copy=False) for name, dtype in self._types.items()}

    def _table(self, fed: Mapping[str, Array], rows: int) -> Array:
        if rows <= CHUNK:
            table: Array = self._session.run([self.output], fed)[0]
            return table
        chunks = [
            {name: value[i : i + CHUNK] for name, value in fed.items()}
            for i in range(0, rows, CHUNK)
        ]
        return np.concatenate([self._session.run([self.output], chunk)[0] for chunk in chunks])

    def _checked(self, table: Array, rows: int) -> Array:
        # a double beyond float32 becomes infinite, which is refused below
        with np.errstate(over="ignore"):
            answers = np.asarray(table, dtype=np.float32)
        if answers.shape == (rows,) and self.width == 1:
            answers = answers.reshape(rows, 1)
        if answers.shape != (rows, self.width):
            raise errors.ModelError(
                f"{self.what} answers with shape {list(answers.shape)}: wanted {[rows, self.width]}, a row for each row"
            )
        finite = np.isfinite(answers)
        if not finite.all():
            broken = int((~finite).any(axis=1).sum())
            raise NotFinite(
                f"{self.what} answers with NaN or infinity in {broken} of {rows} rows: wanted finite numbers"
            )
        return answers


def run(
    file: Path, inputs: Mapping[str, Array], *, output: str, width: int, what: str | None = None
) -> Array:
    """Return the answers of a graph that is used once."""
    return Graph(file, output=output, width=width, what=what)(inputs)


def session(file: Path, *, threads: int = EVERY_CORE, what: str) -> Any:
    """Return an ONNX Runtime session on the CPU; raises ModelError where the file is no graph that
    can run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # its warnings are about graphs, of which the user can change nothing
    options.log_severity_level = 3
    # A thread that spins takes the cores from others: from the event loop of a server, for one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise errors.ModelError(f"{what} is no ONNX graph that can run: {line(error)}") from error


def output_of(opened: Any, *, output: str, width: int, what: str) -> str:
    """Return the name of the output that holds the answers: `output`, or the only table of floats
    that is `width` wide."""
    nodes = opened.get_outputs()
    tables = [node for node in nodes if node.type in FLOATS and _is_table(node.shape, width)]
    named = [
        node.name
        for node in nodes
        if node.name == output and node.type in FLOATS and not node.shape
    ]
    named = named or [node.name for node in tables if node.name == output]
    fitting = [node.name for node in tables if _may_be(node.shape, width)]
    found = named or fitting
    if len(found) != 1:
        seen = ", ".join(f"{node.name} {node.type} {node.shape}" for node in nodes)
        raise errors.ModelError(
            f"{what} has the outputs {seen}: wanted one named {output}, a table of floats [n, {width}]"
        )
    return str(found[0])


def layout_of(opened: Any, *, what: str) -> str:
    """Return the layout of an open graph's inputs; raises ModelError where it is neither of the
    two."""
    names = [node.name for node in opened.get_inputs()]
    if names and set(names) <= set(NAMED):
        return "named"
    if len(names) == 1:
        return "flat"
    raise errors.ModelError(
        f"{what} has the inputs {', '.join(names) or 'none'}: wanted some of {', '.join(NAMED)}, or a single "
        f"matrix {FLAT}"
    )


def line(error: BaseException) -> str:
    """Return an error's own words in one line, without the place in C++ that ONNX Runtime puts
    before them."""
    text = " ".join(str(error).split())
    return CPP.sub(": ", text)[:300]


def _types(opened: Any, *, what: str) -> dict[str, Any]:
    nodes = opened.get_inputs()
    for node in nodes:
        if node.type not in TYPES:
            wanted = ", ".join(TYPES)
            raise errors.ModelError(
                f"{what} has the input {node.name} of {node.type}: wanted one of {wanted}"
            )
    return {node.name: TYPES[node.type] for node in nodes}


def _is_table(shape: list[Any], width: int) -> bool:
    return len(shape) == 2 or (len(shape) == 1 and width == 1)


def _may_be(shape: list[Any], width: int) -> bool:
    return len(shape) == 1 or not isinstance(shape[1], int) or shape[1] == width

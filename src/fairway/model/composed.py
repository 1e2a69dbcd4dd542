"""A whole model as a function: raw columns in, answers out. Golden rows, batches, servers and
champions share this path."""

from collections.abc import Mapping

import numpy as np

from fairway import errors
from fairway.model.graph import CHUNK, FLAT, Array, Graph
from fairway.model.preprocessing import Preprocessor


class Composed:
    """The preprocessing of a package and the graph behind it."""

    def __init__(self, preprocessor: Preprocessor, graph: Graph, *, layout: str) -> None:
        """Raise ModelError where the graph's inputs cannot be fed in this layout."""
        if layout == "flat" and len(graph.inputs) != 1:
            raise errors.ModelError(
                f"{graph.what} has the inputs {sorted(graph.inputs)}: wanted one input for the flat layout"
            )
        self.preprocessor = preprocessor
        self._graph = graph
        self._flat = layout == "flat"

    def __call__(self, columns: Mapping[str, Array]) -> Array:
        """Return the answers, float32 [n, width].

        Many rows are prepared and answered a part at a time: as the graph's inputs a word or a
        category may be thousands of numbers, and whoever sends rows pays for the word alone. Raises
        ModelError or DataError where there are no answers to these columns.
        """
        rows = max((len(values) for values in columns.values()), default=0)
        if rows <= CHUNK:
            return self._answers(columns)
        parts = range(0, rows, CHUNK)
        return np.concatenate(
            [
                self._answers({name: values[i : i + CHUNK] for name, values in columns.items()})
                for i in parts
            ]
        )

    def _answers(self, columns: Mapping[str, Array]) -> Array:
        # What is too large for float32 shows in the answer.
        with np.errstate(over="ignore", invalid="ignore"):
            named = self.preprocessor.transform(columns)
            inputs = {FLAT: self.preprocessor.flat(named)} if self._flat else named
            return self._graph(inputs)

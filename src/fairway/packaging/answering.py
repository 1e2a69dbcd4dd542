"""The whole model of a package folder, ready to answer: its preprocessing and its graph."""

from pathlib import Path

from fairway.model import composed, graph, preprocessing, tasks
from fairway.model.schema import Schema
from fairway.packaging import manifest


def load(
    folder: Path, *, layout: str, schema: Schema, threads: int = 1, what: str | None = None
) -> composed.Composed:
    """Return the model in `folder`; raises PackageError, ModelError or DataError with what is wrong
    in its files.

    One thread by default: a server leaves the other cores alone, and golden rows are computed as a
    server computes.
    """
    task = tasks.of(schema)
    opened = graph.Graph(
        folder / "model.onnx",
        output=task.output,
        width=task.width(schema),
        threads=threads,
        what=what,
    )
    steps = preprocessing.Preprocessor.load(manifest.document(folder / "preprocessing.json"))
    return composed.Composed(steps, opened, layout=layout)


def layout_of(model: Path) -> str:
    """Return the layout of a graph's inputs, "named" or "flat"; raises ModelError where it has
    neither."""
    return graph.layout_of(graph.session(model, what=str(model)), what=str(model))

"""Packages a model that was trained elsewhere: an ONNX graph, or a file of LightGBM (.txt), XGBoost
(.json, .ubj) or CatBoost (.cbm).

Its schema is a file (`packaging.imported` explains it) or is told by rows of data. A file of
another library becomes a graph here, and must answer as the library does: on the rows of the data
or of the schema's `reference`, in float64 as they stand there, and at every split. A pickle is
never read.

The model's columns are the schema's features, in this order: a category is one column with its
index (1 is the first word), or of a LightGBM model that was fitted on pandas categories, with the
code that it knows the word by; or all categories are one-hot, after the numbers.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from fairway import artifacts, errors
from fairway.model import composed, graph, kinds, preprocessing, tasks
from fairway.model.schema import Feature, Schema
from fairway.packaging import golden, imported
from fairway.training import converters, parity, proto, stress

# of the data, which the model and its package must answer alike; some are kept for drift
MOST_ROWS = 100_000
LABELS = "labels.json"
# share of rows by which another order of the classes may be better, of a model that tells little
BY_CHANCE = 0.1
# what libraries call columns that have no name, before their number
ORDINARY = ("Column_", "f", "")


@dataclass(frozen=True)
class Matrix:
    """Where the model's columns come from: its graph's inputs, and which of these each column is."""

    numbers: tuple[Feature, ...]
    categories: tuple[Feature, ...]
    order: tuple[int, ...]  # of each column, its place in the numbers and then the categories
    first: int  # the code of a category's first word

    def of(self, named: dict[str, Any], columns: golden.Columns, *, plain: Sequence[str]) -> Any:
        """Return the model's rows in float64: a number without preprocessing as it stands in the
        data."""
        table = preprocessing.beside(named).astype(np.float64)
        for place, feature in enumerate(self.numbers):
            if feature.name in plain:
                table[:, place] = columns[feature.name]
        table[:, len(self.numbers) :] += self.first - 1
        return table[:, self.order]


def package(
    model: Path,
    *,
    schema: Path | None,
    data: Path | None,
    target: str | None,
    name: str,
    out: Path,
    evaluation: Path | None = None,
    origin: str = "",
) -> artifacts.Package:
    """Return the package of the model in `out/<digest>/`; `origin` says where it is from, where its
    file does not.

    Raises PackageError or TrainingError where the model cannot be packaged, or would answer
    differently.
    """
    if not model.is_file():
        raise errors.UsageError(f"{model} is not there: wanted the file of a model")
    given = model
    with tempfile.TemporaryDirectory() as scratch:
        foreign = _foreign(model)
        if schema is None:
            schema = _inferred(data, target=target, foreign=foreign, folder=Path(scratch))
        source = f"imported ONNX graph{f' of {origin}' if origin else ''}"
        if foreign is not None:
            _brought(foreign, schema=schema, file=Path(scratch) / "model.onnx")
            model, source = (
                Path(scratch) / "model.onnx",
                f"imported from {foreign.what.split(' ', 1)[1]}",
            )
        if data is not None:
            _in_order(
                model,
                schema=schema,
                labels=artifacts.read_json(Path(scratch) / LABELS),
                what=str(given),
            )
        return imported.import_onnx(
            model, schema=schema, name=name, out=out, evaluation=evaluation, source=source
        )


def _foreign(model: Path) -> converters.Converted | None:
    converters.refuse_pickle(model)
    return converters.read(model, output="answers") if converters.is_file(model) else None


def _brought(foreign: converters.Converted, *, schema: Path, file: Path) -> None:
    """Write the model's graph, which answers rows of the schema as the model does."""
    declared = imported.read_schema(schema)
    known = declared["schema"]
    converters.fitting(foreign, width=tasks.of(known).width(known))
    _same_names(foreign, known)
    steps = preprocessing.Preprocessor.load({"version": 1, "features": declared["preprocessing"]})
    rows = imported.rows_of(declared, root=schema.parent)
    named = steps.transform(rows)
    file.write_bytes(foreign.proto.SerializeToString())
    task = tasks.of(known)
    opened = graph.session(file, what=foreign.what)
    output = graph.output_of(opened, output=task.output, width=task.width(known), what=foreign.what)
    made = proto.normalise(foreign.proto, opened, layout="flat", output=output, wanted=task.output)
    matrix = (
        None
        if foreign.columns == steps.width and not foreign.words
        else _matrix(foreign, known, steps)
    )
    plain = [entry["name"] for entry in declared["preprocessing"] if not entry["steps"]]
    if matrix is None:
        exact = steps.flat(named).astype(np.float64)
        for place, name in enumerate(steps.numbers):
            exact[:, place] = rows[name] if name in plain else exact[:, place]
    else:
        exact = matrix.of(named, rows, plain=plain)
        numbers, categories = len(matrix.numbers), len(matrix.categories)
        served = proto.beside(
            made, numbers=numbers, categories=categories, order=matrix.order, first=matrix.first
        )
    proto.write(made if matrix is None else served, file)
    _proved(foreign, exact, made=made, matrix=matrix, file=file, known=known)


def _proved(
    foreign: converters.Converted,
    exact: Any,
    *,
    made: Any,
    matrix: Matrix | None,
    file: Path,
    known: Schema,
) -> None:
    near = exact.astype(np.float32)
    edges = stress.edges(made, near, missing=foreign.takes_missing)
    hard = near[:0] if edges is None else edges.rows
    if matrix is not None:
        hard = _whole(hard, matrix)
    asked = parity.ParityRows(
        inputs=_inputs(np.concatenate([near, hard]), matrix),
        expected=np.concatenate([foreign.answer(exact), foreign.answer(hard)])
        if len(hard)
        else foreign.answer(exact),
        validation=len(near),
        exact=exact,
        columns=tuple(feature.name for feature in known.features)
        if matrix
        else _flat_names(foreign),
        rows="data row",
    )
    improper = tasks.of(known).improper(asked.expected[: len(near)])
    if improper is not None:
        raise errors.PackageError(f"{foreign.what} {improper}")
    parity.prove(file, asked, schema=known, what=f"the graph of {foreign.what}")


def _whole(rows: Any, matrix: Matrix) -> Any:
    """Return the rows with codes that a category can have: from that of an unknown word on."""
    changed = rows.copy()
    for column, place in enumerate(matrix.order):
        if place >= len(matrix.numbers):
            changed[:, column] = np.maximum(
                np.rint(np.nan_to_num(rows[:, column])), matrix.first - 1
            )
    return changed


def _inputs(rows: Any, matrix: Matrix | None) -> dict[str, Any]:
    if matrix is None:
        return {graph.FLAT: rows}
    table = np.empty((len(rows), len(matrix.order)), dtype=np.float32)
    table[:, matrix.order] = rows
    table[:, len(matrix.numbers) :] -= matrix.first - 1
    return proto.apart(table, len(matrix.numbers), len(matrix.categories))


def _matrix(
    foreign: converters.Converted, known: Schema, steps: preprocessing.Preprocessor
) -> Matrix:
    """Return where each of the model's columns comes from; raises PackageError where there are
    others."""
    numbers = tuple(one for one in known.features if kinds.of(one).input == "numbers")
    categories = tuple(one for one in known.features if kinds.of(one).input == "categories")
    together = (*numbers, *categories)
    if foreign.columns != len(together) or len(together) != len(known.features):
        raise errors.PackageError(
            f"{foreign.what} has {foreign.columns} columns: wanted the schema's {len(known.features)} features, or the "
            f"{steps.width} of numbers and one-hot categories"
        )
    if foreign.words:
        _same_words(foreign, categories)
    order = tuple(together.index(feature) for feature in known.features)
    return Matrix(numbers, categories, order, first=0 if foreign.words else 1)


def _same_words(foreign: converters.Converted, categories: Sequence[Feature]) -> None:
    if len(foreign.words) != len(categories):
        raise errors.PackageError(
            f"{foreign.what} knows the words of {len(foreign.words)} columns: wanted as many features of kind "
            f"category, not {len(categories)}"
        )
    for feature, words in zip(categories, foreign.words, strict=True):
        if feature.categories != words:
            raise errors.PackageError(
                f"{feature.name} has the categories {_few(feature.categories)}: wanted those of {foreign.what}, in its "
                f"order: {_few(words)}"
            )


def _same_names(foreign: converters.Converted, known: Schema) -> None:
    """Raise PackageError where the schema has the model's features in another order."""
    names = tuple(feature.name for feature in known.features)
    if sorted(names) == sorted(foreign.names) and names != foreign.names:
        raise errors.PackageError(
            f"the schema has the features {_few(names)}: wanted the order of {foreign.what}: {_few(foreign.names)}"
        )


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")


def _flat_names(foreign: converters.Converted) -> tuple[str, ...]:
    return foreign.names or tuple(f"column {place}" for place in range(foreign.columns))


def _inferred(
    data: Path | None, *, target: str | None, foreign: converters.Converted | None, folder: Path
) -> Path:
    """Write the schema file that the data tells, its first rows beside it, and return its path."""
    from fairway.data import frames, infer, sources  # pandas, which a schema file does not need

    assert data is not None
    section = sources.section_of(data, target=target)
    rows = sources.read(section)
    present = [str(name) for name in rows.frame.columns if str(name) != target]
    names = present if foreign is None else _columns(foreign, present, data=data)
    section = section.model_copy(update={"features": tuple(names)})
    known = infer.infer(rows.frame, section=section, image_shape=rows.image_shape)
    if not set(tasks.of(known).declares) <= {"classes", "range", "coverage"}:
        raise errors.PackageError(
            f"{data} shows the task {known.task}, of which rows alone do not tell all: write a schema file (--schema)"
        )
    entries = [_entry(feature) for feature in known.features]
    if foreign is not None:
        for entry, words in zip(
            (one for one in entries if one["kind"] == "category"), foreign.words, strict=False
        ):
            entry["categories"] = list(words)
    raw = frames.to_raw(rows.frame, schema=known)
    labels = tasks.of(known).read(frames.plain(rows.frame[target]))
    kept = golden.spread(len(rows.frame), wanted=MOST_ROWS)
    listed = {name: values[kept].tolist() for name, values in raw.items()}
    reference = [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]
    artifacts.write_json(folder / "rows.json", _without_nan(reference))
    artifacts.write_json(folder / LABELS, [str(labels[place]) for place in kept])
    document: artifacts.Json = {
        "target": known.target,
        "task": known.task,
        "features": entries,
        "reference": "rows.json",
    }
    document |= {"classes": list(known.classes)} if known.classes else {"range": _range(known)}
    artifacts.write_json(folder / "schema.json", document)
    return folder / "schema.json"


def _in_order(model: Path, *, schema: Path, labels: Any, what: str) -> None:
    """Raise PackageError where the model's classes are the data's in another order, as far as the
    labels tell.

    No file of a booster says what its classes are called.
    """
    declared = imported.read_schema(schema)
    known: Schema = declared["schema"]
    if known.task != tasks.USUAL:
        return
    width = tasks.of(known).width(known)
    opened = graph.Graph(model, output=tasks.of(known).output, width=width, what=what)
    steps = preprocessing.Preprocessor.load({"version": 1, "features": declared["preprocessing"]})
    answer = composed.Composed(steps, opened, layout=opened.layout)
    answered = answer(imported.rows_of(declared, root=schema.parent)).argmax(axis=1)
    truth = tasks.of(known).encode(labels, known)
    table = np.zeros((width, width), dtype=np.int64)
    np.add.at(table, (answered[truth >= 0], truth[truth >= 0]), 1)
    order = linear_sum_assignment(-table)[1]
    right, best = np.trace(table) / table.sum(), table[np.arange(width), order].sum() / table.sum()
    if best - right > BY_CHANCE:
        names = _few([known.classes[place] for place in order])
        raise errors.PackageError(
            f"{what} gives {right:.0%} of the rows their class, and {best:.0%} if its classes are {names}: "
            "write a schema file (--schema) with `classes` in the order of the model's"
        )


def _range(known: Schema) -> list[float]:
    """Return between what a target mostly lies: two deviations either way, as a schema file says
    it."""
    mean, std = (float(known.facts[name]) for name in ("mean", "std"))
    return [mean - 2 * std, mean + 2 * std]


def _columns(foreign: converters.Converted, present: Sequence[str], *, data: Path) -> Sequence[str]:
    """Return the data's columns in the model's order; by their place where the model has no names."""
    absent = [name for name in foreign.names if name not in present]
    if foreign.names and not absent:
        return foreign.names
    nameless = all(_is_ordinary(name) for name in foreign.names)
    if nameless and len(present) == foreign.columns:
        return present
    missing = (
        f"no column {absent[0]!r}"
        if absent and not nameless
        else f"{len(present)} columns besides the target"
    )
    raise errors.PackageError(
        f"{data} has {missing}: wanted the {foreign.columns} columns of {foreign.what}"
    )


def _is_ordinary(name: str) -> bool:
    return any(name.startswith(start) and name[len(start) :].isdigit() for start in ORDINARY)


def _entry(feature: Feature) -> artifacts.Json:
    described = {
        "name": feature.name,
        "kind": feature.kind,
        "dtype": feature.dtype,
        "nullable": feature.nullable,
    }
    if feature.categories:
        return {**described, "categories": list(feature.categories)}
    spread = {"range": [feature.minimum, feature.maximum]}
    return {**described, **spread, **({"shape": list(feature.shape)} if feature.shape else {})}


def _without_nan(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: None if value != value else value for name, value in row.items()} for row in rows
    ]

"""A value means the same to training, to a server (JSON and binary), to a batch, in golden rows and
to drift, however it is written: bit for bit."""

import csv
import json
import random
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import Phase, given, settings, strategies
from onnx import TensorProto, helper, numpy_helper

from fairway.config import sections
from fairway.data import prepare, splits
from fairway.model import kinds
from fairway.model.schema import Schema
from fairway.monitoring import windows
from fairway.monitoring.eventstore import answers
from fairway.packaging import golden, package
from fairway.serving import batch, eventlog, protocol
from tests.fuzz import targets
from tests.model import spelled

ROWS = 24
JSON = (str, int, float, bool, list, type(None))
BYTES = {  # how a client packs values of these types into a binary tensor
    "BYTES": (
        (str, bytes),
        lambda values: b"".join(struct.pack("<I", len(one)) + one for one in map(_bytes, values)),
    ),
    "FP64": ((float,), lambda values: np.array(values, dtype="<f8").tobytes()),
    "FP32": ((np.float32,), lambda values: np.array(values, dtype="<f4").tobytes()),
    "INT64": ((int, np.int64), lambda values: np.array(values, dtype="<i8").tobytes()),
    "BOOL": ((bool,), lambda values: np.array(values, dtype=bool).tobytes()),
}
Columns = Mapping[str, Any]
Draw = Callable[..., list[Any]]


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def test_every_kind_has_its_spellings_here():
    assert spelled.SPELLED.keys() == kinds.OURS.keys()


@pytest.mark.parametrize("source", ["csv", "function"])
# to shrink an example, each of 0.3 s, takes minutes
@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(data=strategies.data(), seed=strategies.integers(0, 2**32))
def test_a_value_is_the_same_bits_wherever_and_however_it_is_written(source, data, seed):
    draw = random.Random(seed).choice
    chosen = {
        name: one for name, one in spelled.SPELLED.items() if one.inferred or source == "function"
    }
    rows = {
        name: [*one.fixed, *data.draw(strategies.lists(one.values, min_size=ROWS, max_size=ROWS))][
            :ROWS
        ]
        for name, one in chosen.items()
    }

    def write(name: str, *types: type) -> list[Any]:
        """Write a column, each value in one of its ways, of these types where some are named."""
        every = [
            [way for way in chosen[name].ways(value) if not types or type(way) in types]
            for value in rows[name]
        ]
        # JSON has no NaN
        return [draw([way for way in ways if types != JSON or way == way]) for ways in every]

    with tempfile.TemporaryDirectory() as folder:
        trained = prepared(
            Path(folder), {name: write(name, *CELLS[source]) for name in rows}, source=source
        )
        server = targets.Application(packaged(Path(folder)))
        features = server.model.features
        try:
            wanted = server.model.predict(
                golden.columns_of(trained, features=server.model.package.features)
            )
            sent = json.dumps(
                tensors({name: write(name, *JSON) for name in rows}, features)
            ).encode()
            packed, length = binary(rows, write, draw=draw, features=features)
            told = [
                server.ask(sent),
                server.ask(packed, {"inference-header-content-length": str(length)}),
            ]
            (chunk,) = batch.predict(server.model, [{name: write(name) for name in rows}])
            arrived = [
                protocol.parse(sent, features=features, outputs=server.model.outputs).columns,
                protocol.parse(
                    packed, features=features, outputs=server.model.outputs, header_length=length
                ).columns,
            ]
        finally:
            server.close()
        for columns in (
            *arrived,
            golden_rows(trained, features),
            window_of(arrived[0], trained, wanted),
        ):
            assert {name: bits(values) for name, values in columns.items()} == {
                name: bits(values) for name, values in trained.items()
            }
        assert [answered(body) for _, body in told] == [wanted.ravel().tolist()] * 2
        assert chunk.values["probabilities"].tobytes() == wanted.tobytes()


CELLS = {"csv": (str,), "function": JSON}


def bits(values: Any) -> list[str]:
    """Return a column's values to the last bit; a picture's numbers as a server has them, side by
    side."""
    return [repr(value) for value in np.asarray(values).ravel().tolist()]


def prepared(place: Path, rows: dict[str, list[Any]], *, source: str) -> dict[str, Any]:
    """Return the raw columns that training sees, in the rows' order."""
    labelled = {**rows, "label": [("no", "yes")[row % 2] for row in range(ROWS)]}
    notations = {"datetime": "day-first"}  # which the few rows may not show
    common: dict[str, Any] = {
        "missing_values": spelled.MISSING,
        "notations": notations,
        "split": {"validation": 0.2, "test": 0.3},
    }
    if source == "csv":
        with (place / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(labelled)
            writer.writerows(zip(*labelled.values(), strict=True))
        kinds_said = {name: name for name in rows if spelled.SPELLED[name].said}
        section = sections.Data.of(path=place / "rows.csv", kinds=kinds_said, **common)
    else:
        (place / "rows.json").write_text(json.dumps(labelled))
        own = {
            "source": "function",
            "function": "tests.model.spelled:frame",
            "path": place / "rows.json",
        }
        section = sections.Data.of(**own, kinds={name: name for name in rows}, **common)
    prepare.prepare(section, out=place / "dataset")
    assert {one.name: one.kind for one in splits.load(place / "dataset").schema.features} == {
        name: name for name in rows
    }
    parts = [splits.columns(place / "dataset", name) for name in ("train", "validation", "test")]
    order = np.argsort(np.concatenate([numbers for _, numbers in parts]))
    return {name: np.concatenate([columns[name] for columns, _ in parts])[order] for name in rows}


def packaged(place: Path) -> Path:
    """Return the package of a graph whose answer moves with each of its inputs."""
    data = splits.load(place / "dataset")
    wide = sum(
        values.reshape(len(values), -1).shape[1] for values in data.train.inputs("flat").values()
    )
    weights = numpy_helper.from_array(
        np.random.default_rng(0).normal(0, 0.1, (wide, 2)).astype(np.float32), "w"
    )
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["l"]),
        helper.make_node("Softmax", ["l"], ["probabilities"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("features", wide), ("probabilities", 2))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        place / "model.onnx",
    )
    kept = ("name", "kind", "dtype", "shape", "categories", "nullable", "missing", "notation")
    said = [one.to_json() for one in data.schema.features]
    described = {
        "classes": ["no", "yes"],
        "features": [
            {key: one[key] for key in kept}
            | ({"range": [one["min"], one["max"]]} if one["min"] is not None else {})
            for one in said
        ],
        "preprocessing": {
            one["name"]: one["steps"] for one in data.preprocessor.dump()["features"]
        },
    }
    (place / "schema.json").write_text(json.dumps(described))
    made = package.import_onnx(
        place / "model.onnx", schema=place / "schema.json", name="income", out=place / "store"
    )
    return Path(made.path)


def tensors(columns: Columns, features: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "inputs": [
            {
                "name": name,
                "datatype": protocol.datatype_of(features[name]),
                "shape": [ROWS, *features[name].shape],
                "data": pictures(values) if features[name].shape else values,
            }
            for name, values in columns.items()
        ]
    }


def pictures(values: Sequence[Any]) -> list[float]:
    """Return pictures as a tensor has them: numbers, not the text of a file's cell."""
    blocks = [json.loads(value) if isinstance(value, str) else value for value in values]
    return [number for block in blocks for number in np.ravel(block).tolist()]


def binary(
    rows: Columns, write: Draw, *, draw: Any, features: Mapping[str, Any]
) -> tuple[bytes, int]:
    """Return a request with binary tensors, each of a datatype that all of its values can be
    written in."""
    inputs, blobs = [], []
    for name in rows:
        ways = [spelled.SPELLED[name].ways(value) for value in rows[name]]
        if features[name].shape:
            fitting = {"FP32": np.array(pictures(write(name)), dtype="<f4").tobytes()}
        else:
            fitting = {
                datatype: pack(write(name, *types))
                for datatype, (types, pack) in BYTES.items()
                if all(any(type(way) in types for way in every) for every in ways)
            }
        datatype = draw(sorted(fitting))
        blobs.append(fitting[datatype])
        size = {"binary_data_size": len(fitting[datatype])}
        shape = [ROWS, *features[name].shape]
        inputs.append({"name": name, "datatype": datatype, "shape": shape, "parameters": size})
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(blobs), len(head)


def golden_rows(columns: Columns, features: Mapping[str, Any]) -> Columns:
    """Return rows as a package's golden.json holds them."""
    schema = Schema(target="label", classes=("no", "yes"), features=tuple(features.values()))
    written = json.dumps(golden.document(columns, answers=np.zeros((ROWS, 2)), schema=schema))
    return golden.columns_of(json.loads(written)["inputs"], features=list(features.values()))


def window_of(columns: Columns, trained: Columns, probabilities: Any) -> Columns:
    """Return what the drift monitor compares with the reference: the server's event, read back."""
    record = eventlog.Record(
        "r", None, "stable", 200, 0.0, 0.0, None, ROWS, dict(columns), ["no"] * ROWS, probabilities
    )
    said = json.loads(eventlog.encode(record, origin=targets.ORIGIN, sample=1.0))["data"]
    prediction = answers.Prediction(
        1, "r", 0.0, ROWS, said["inputs"], said["labels"], said["probabilities"]
    )
    window = windows.assemble(
        [prediction], reference={**trained, golden.ANSWERS: probabilities}, rows=ROWS
    )
    assert window is not None
    return {
        name: values.astype(trained[name].dtype)
        for name, values in window.arrays.items()
        if name in trained
    }


def answered(body: bytes) -> list[float]:
    told = {one["name"]: one["data"] for one in json.loads(body)["outputs"]}
    return np.array(told["probabilities"], dtype=np.float32).tolist()

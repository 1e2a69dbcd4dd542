"""A word of a request may be hundreds of the graph's numbers, but not for all of its rows at once."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper, numpy_helper

from fairway.packaging import package
from tests.fuzz import targets

ROWS = 50_000
WORDS = [f"word{number}" for number in range(400)]
FEATURES = {
    "text": ({"name": "x", "kind": "text"}, 256),
    "category": ({"name": "x", "kind": "category", "categories": WORDS}, len(WORDS)),
}


@pytest.mark.parametrize("kind", FEATURES)
def test_memory_grows_with_what_was_sent_and_not_with_what_it_becomes(
    tmp_path: Path, kind: str
) -> None:
    described, wide = FEATURES[kind]
    weights = numpy_helper.from_array(np.ones((wide, 2), dtype=np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["l"]),
        helper.make_node("Softmax", ["l"], ["probabilities"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("features", wide), ("probabilities", 2))
    ]
    graph = helper.make_graph(nodes, "wide", ends[:1], ends[1:], [weights])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "model.onnx")
    (tmp_path / "schema.json").write_text(
        json.dumps({"classes": ["no", "yes"], "features": [described]})
    )
    made = package.import_onnx(
        tmp_path / "model.onnx",
        schema=tmp_path / "schema.json",
        name="income",
        out=tmp_path / "store",
    )
    server = targets.Application(Path(made.path))
    server.app.costs = replace(server.app.costs, most_rows=ROWS)
    tensor = {
        "name": "x",
        "datatype": "BYTES",
        "shape": [ROWS],
        "data": [WORDS[row % 400] for row in range(ROWS)],
    }
    body = orjson.dumps({"inputs": [tensor], "outputs": [{"name": "confidence"}]})
    tracemalloc.start()
    status, _ = server.ask(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    server.close()
    assert status == 200
    assert peak < 40 * len(body) + (64 << 20)  # all at once they are 100 MB and more

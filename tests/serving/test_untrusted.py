"""What a client sends costs the server in proportion, whatever it is, and is never the server's
error."""

import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import orjson
import pytest
from onnx import TensorProto, helper

from fairway.packaging import package
from fairway.serving import costs
from tests.fuzz import targets
from tests.serving import support

WORDS = ["x" * 25_000, *[""] * 19_999]
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[targets.Application]:
    opened = targets.Application(Path(support.packaged(tmp_path_factory.mktemp("server")).path))
    yield opened
    opened.close()


def one(name: str, /, **entry: object) -> bytes:
    document = orjson.loads(orjson.dumps(support.ONE))
    next(one for one in document["inputs"] if one["name"] == name).update(entry)
    return orjson.dumps(document)


def nested(depth: int) -> bytes:
    return one("sector", data="@").replace(b'"@"', b"[" * depth + b"]" * depth)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param(
            one("age", shape=[20_000], data=WORDS),
            "wanted a finite number",
            id="long-word-among-many",
        ),
        pytest.param(
            one("age", shape=[20_000], data=[[word] for word in WORDS]),
            "wanted a finite number",
            id="long-word-in-nested-lists",
        ),
        pytest.param(
            one("sector", shape=[20_000], data=WORDS),
            "has a missing value",
            id="long-word-in-a-category",
        ),
        pytest.param(
            one("age", shape=[2**62, 4], data=[1]), "rows: wanted at most", id="overflowing-shape"
        ),
        pytest.param(
            one("age", shape=[2**62], data=[1]), "rows: wanted at most", id="enormous-shape"
        ),
        pytest.param(
            one("age", shape=[100_000], data=[[]] * 100_000), "holds 0 values", id="empty-lists"
        ),
        pytest.param(
            one("age", shape=[2], data=[1, [2]]), "lists beside values", id="lists-beside-values"
        ),
        pytest.param(
            one("age", shape=[2], data=[[1], [2, 3]]), "rows of different lengths", id="ragged"
        ),
        pytest.param(nested(1_000), "is nested deeper than its shape", id="category-nested-deep"),
        pytest.param(nested(100_000), "is not JSON", id="nested-deeper-than-any"),
        pytest.param(one("age", name="x" * MEBIBYTE), "is none of the model's", id="long-name"),
    ],
)
def test_a_request_that_would_be_multiplied_is_refused_before_any_array_is_made(
    server, body, sentence
):
    tracemalloc.start()
    status, answer = server.ask(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert status == (413 if "at most" in sentence else 400)
    assert sentence in orjson.loads(answer)["error"]
    assert len(answer) < 1_000
    assert peak < 40 * len(body) + MEBIBYTE


@pytest.mark.parametrize("name", ["label", "probabilities"])
def test_an_output_named_twice_is_refused(server, name):
    status, answer = server.ask(orjson.dumps({**support.ONE, "outputs": [{"name": name}] * 5_000}))
    assert (status, len(answer) < 1_000) == (400, True)
    assert "once at most" in orjson.loads(answer)["error"]


def test_an_answer_that_would_be_larger_than_its_bound_is_refused_before_the_model_is_asked(server):
    server.app._most_rows, before = 2, server.app._most_rows
    statuses = [
        server.ask(orjson.dumps(support.tensors([20] * n, [40] * n, ["state"] * n)))[0]
        for n in (2, 3)
    ]
    server.app._most_rows = before
    assert statuses == [200, 413]


def test_an_id_is_sent_back_up_to_a_bound(server):
    assert server.ask(orjson.dumps({**support.ONE, "id": "r" * 257}))[0] == 400
    assert (
        orjson.loads(server.ask(orjson.dumps({**support.ONE, "id": "r" * 256}))[1])["id"]
        == "r" * 256
    )


@pytest.mark.parametrize("age", [1.7976931348623157e308, -1.7976931348623157e308, 1e200])
def test_a_value_that_no_model_can_take_is_the_request_s_mistake(server, age):
    status, answer = server.ask(orjson.dumps(support.tensors([age], [40], ["state"])))
    assert status == 400
    assert "'age' lies beyond what it was trained on" in orjson.loads(answer)["error"]


def test_a_model_without_a_finite_answer_to_usual_values_is_at_fault_itself(tmp_path):
    """Its graph takes a logarithm: of a scaled age below 0, which is 40, there is none."""
    node = helper.make_node
    nodes = [
        node("Log", ["numbers"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])
        for name in ("numbers", "probabilities")
    ]
    graph = helper.make_graph(nodes, "logarithm", ends[:1], ends[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "model.onnx",
    )
    (tmp_path / "rows.json").write_text(json.dumps([{"age": 60, "hours": 60, "sector": "state"}]))
    (tmp_path / "schema.json").write_text(json.dumps({**support.SCHEMA, "golden": "rows.json"}))
    made = package.import_onnx(
        tmp_path / "model.onnx",
        schema=tmp_path / "schema.json",
        name="income",
        out=tmp_path / "store",
    )
    server = targets.Application(Path(made.path))
    assert [
        server.ask(orjson.dumps(support.tensors([age], [60], ["state"])))[0]
        for age in (60, 20, -20)
    ] == [
        200,
        500,
        400,
    ]
    server.close()


def raw_deflate(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(body) + packing.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
    ],
    ids=["gzip", "x-gzip", "upper-case", "deflate", "bare-deflate", "identity"],
)
def test_a_compressed_body_is_answered_as_it_would_be_without(server, encoding, pack):
    plain, packed = (
        server.ask(orjson.dumps(support.ONE)),
        server.ask(pack(orjson.dumps(support.ONE)), {"content-encoding": encoding}),
    )
    assert plain[0] == packed[0] == 200
    assert orjson.loads(plain[1])["outputs"] == orjson.loads(packed[1])["outputs"]


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        pytest.param(gzip.compress(b" " * (100 * MEBIBYTE)), "gzip", 413, id="bomb"),
        pytest.param(gzip.compress(b"{}")[:-4], "gzip", 400, id="cut"),
        pytest.param(b"{}", "gzip", 400, id="not-gzip"),
        pytest.param(gzip.compress(b"{}") * 2, "gzip", 400, id="two-in-one"),
        pytest.param(b"{}", "br", 415, id="brotli"),
        pytest.param(gzip.compress(gzip.compress(b"{}")), "gzip, gzip", 415, id="twice"),
    ],
)
def test_a_body_that_cannot_be_unpacked_within_its_bound_is_refused(server, body, encoding, status):
    tracemalloc.start()
    seen, answer = server.ask(body, {"content-encoding": encoding})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == status
    assert json.loads(answer)["error"]
    assert peak < 24 * MEBIBYTE  # maxBodyMebibytes is 8


def test_a_compressed_body_is_judged_by_what_it_unpacks_to(server, monkeypatch):
    body = orjson.dumps(support.tensors([20] * 5_000, [40] * 5_000, ["state"] * 5_000))
    # of a slow model: more than its 10 s for these rows
    slow = replace(server.app.costs, inline_bytes=0, request=0.0, byte=1e-3)
    monkeypatch.setattr(server.app, "costs", slow)
    assert [
        server.ask(body)[0],
        server.ask(gzip.compress(body), {"content-encoding": "gzip"})[0],
    ] == [413, 413]


def test_a_server_that_starts_on_a_busy_node_takes_as_many_rows_as_its_replicas(
    server, monkeypatch
):
    monkeypatch.setattr(server.app, "costs", server.app.costs)  # to be put back
    server.app.calibrate()
    calm = server.app.costs.most_rows
    # who gets a twentieth of a core
    monkeypatch.setattr(costs.time, "perf_counter", lambda: 20 * time.process_time())
    server.app.calibrate()
    assert server.app.costs.most_rows >= calm / 4  # not a sixteenth, whatever runs beside this test


def test_a_byte_costs_what_the_dearest_body_of_a_client_does(server, monkeypatch):
    monkeypatch.setattr(
        costs, "_timed", lambda body, answer: len(body) * (1e-3 if b"[0],[0]," in body else 1e-9)
    )
    monkeypatch.setattr(server.app, "costs", server.app.costs)  # to be put back
    server.app.calibrate()
    assert server.ask(b" " * (2 << 20))[0] == 413

"""One real `bentoml serve` process: answers, refusals, metrics, probes, events."""

import json
import struct
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from fairway.config import sections
from fairway.serving import predictor
from tests.serving import support


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return support.packaged(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def receiver() -> Iterator[support.Receiver]:
    receiver = support.Receiver().open()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, model, receiver) -> Iterator[support.Server]:
    folder = tmp_path_factory.mktemp("server")
    server = support.serve(folder, model=model.path, collector=receiver.url, spool=folder / "spool")
    try:
        yield server.wait_ready()
    finally:
        server.kill()


@pytest.fixture
def client(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


def infer(client: httpx.Client, document: object, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v2/models/income/infer", json=document, headers=named)


def output(answer: httpx.Response, name: str) -> dict:
    return next(entry for entry in answer.json()["outputs"] if entry["name"] == name)


def test_a_json_request_is_answered_as_the_predictor_answers(client, model):
    answer = infer(client, support.tensors([20, 60.5], [None, 80], ["state", "private"]))
    sector = np.array(["state", "private"], dtype=object)
    columns = {"age": np.array([20, 60.5]), "hours": np.array([np.nan, 80]), "sector": sector}
    expected = predictor.Predictor.load(model.path).predict(columns)
    assert answer.status_code == 200
    assert np.allclose(
        np.reshape(output(answer, "probabilities")["data"], (2, 2)), expected, atol=1e-6
    )
    labels = [("no", "yes")[index] for index in expected.argmax(axis=1)]
    assert output(answer, "label") == {
        "name": "label",
        "datatype": "BYTES",
        "shape": [2],
        "data": labels,
    }
    assert np.allclose(output(answer, "confidence")["data"], expected.max(axis=1), atol=1e-6)


def test_the_request_id_and_the_revision_are_in_headers_and_body(client):
    answer = infer(client, support.ONE, x_request_id="order-17")
    assert answer.headers["x-request-id"] == "order-17"
    assert answer.headers["x-fairway-revision"] == "0123456789ab"
    assert answer.json()["parameters"] == {"revision": "0123456789ab", "request_id": "order-17"}


@pytest.mark.parametrize(
    "given", ["", "x" * 129, "caf\u00e9"], ids=["none", "too-long", "not-printable"]
)
def test_a_request_id_that_is_not_sane_is_replaced(client, given):
    answer = client.post(
        "/v2/models/income/infer",
        json=support.ONE,
        headers={"x-request-id": given.encode("latin-1")},
    )
    assert answer.status_code == 200
    assert len(answer.headers["x-request-id"]) == 32


def test_binary_tensors_in_and_out_give_what_json_gives(client):
    age, hours = np.array([20.0, 60.0]).tobytes(), np.array([40.0, np.nan]).tobytes()
    sector = b"".join(struct.pack("<I", len(text)) + text for text in (b"state", b"private"))
    head = json.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [
                {
                    "name": name,
                    "datatype": kind,
                    "shape": [2],
                    "parameters": {"binary_data_size": len(data)},
                }
                for name, kind, data in (
                    ("age", "FP64", age),
                    ("hours", "FP64", hours),
                    ("sector", "BYTES", sector),
                )
            ],
        }
    ).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = client.post(
        "/v2/models/income/infer", content=head + age + hours + sector, headers=headers
    )
    length = int(answer.headers["inference-header-content-length"])
    outputs = json.loads(answer.content[:length])["outputs"]
    sizes = [entry["parameters"]["binary_data_size"] for entry in outputs]
    probabilities = np.frombuffer(
        answer.content[length + sizes[0] : length + sizes[0] + sizes[1]], dtype="<f4"
    ).reshape(2, 2)
    plain = infer(client, support.tensors([20, 60], [40, None], ["state", "private"]))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert np.allclose(probabilities.ravel(), output(plain, "probabilities")["data"])
    assert answer.content[length : length + sizes[0]] == b"".join(
        struct.pack("<I", len(text)) + text.encode() for text in output(plain, "label")["data"]
    )


def changed(position: int, **entries: object) -> dict:
    document = json.loads(json.dumps(support.ONE))
    document["inputs"][position] |= entries
    return document


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param(changed(0, name="wage"), "'wage' is none of the model's", id="unknown-tensor"),
        pytest.param(
            {"inputs": support.ONE["inputs"][:2]}, "'sector' are missing", id="missing-feature"
        ),
        pytest.param(
            changed(0, shape=[1, 2]), "has shape [1, 2]: wanted [n] or [n, 1]", id="wrong-shape"
        ),
        pytest.param(changed(0, shape=[2]), "holds 1 values: wanted 2", id="wrong-count"),
        pytest.param(
            changed(0, datatype="FP8"),
            "has datatype 'FP8': wanted FP64 or INT64",
            id="wrong-datatype",
        ),
        pytest.param(
            changed(2, datatype="TEXT"),
            "wanted BYTES for a category",
            id="wrong-datatype-of-a-category",
        ),
        pytest.param(
            changed(0, data=["old"]),
            "holds 'old' in row 0: wanted a finite number",
            id="text-for-a-number",
        ),
        pytest.param(
            changed(0, data=[{}]),
            "holds {} in row 0: wanted a finite number",
            id="map-for-a-number",
        ),
        pytest.param(
            changed(2, data=[{}]), "holds {} in row 0: wanted a word", id="map-for-a-category"
        ),
        pytest.param(
            changed(0, datatype="INT8", data=[3.7]),
            "holds 3.7, which is no INT8: wanted whole numbers",
            id="fraction",
        ),
        pytest.param(
            changed(0, datatype="INT8", data=[1000]),
            "1000, which is no INT8: wanted",
            id="int8-too-large",
        ),
        pytest.param(
            changed(0, datatype="UINT8", data=[-1]),
            "-1, which is no UINT8: wanted",
            id="negative-unsigned",
        ),
        pytest.param(
            changed(0, datatype="FP16", data=[7e4]),
            "which is no FP16: wanted numbers",
            id="beyond-fp16",
        ),
        pytest.param(
            changed(0, shape=[2], data=[True, 2.5]),
            "holds True in row 0: wanted a finite",
            id="boolean-among-numbers",
        ),
        pytest.param(
            changed(0, data=[None]), "has a missing value", id="null-where-none-was-missing"
        ),
        pytest.param(
            changed(0, shape=[0], data=[]),
            "has 1 rows, the tensors before it have 0",
            id="row-counts-differ",
        ),
        pytest.param({"inputs": "none"}, 'no list "inputs"', id="inputs-no-list"),
        pytest.param(
            support.ONE | {"outputs": [{"name": "score"}]},
            "output tensor 'score'",
            id="unknown-output",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(client, document, sentence):
    answer = infer(client, document)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[{"name":"age","datatype":"FP64","shape":[1],"data":[NaN]}]}',
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=["nan", "empty", "not-utf-8", "too-deep"],
)
def test_what_is_not_json_is_refused_with_a_sentence(client, body):
    answer = client.post("/v2/models/income/infer", content=body)
    assert answer.status_code == 400
    assert "a missing number is null" in answer.json()["error"]


@pytest.mark.parametrize(("name", "value"), [("x-fairway-unit", ""), ("x-fairway-arm", "purple")])
def test_a_wrong_header_is_refused(client, name, value):
    answer = client.post("/v2/models/income/infer", json=support.ONE, headers={name: value})
    assert answer.status_code == 400
    assert name in answer.json()["error"]


def test_a_body_beyond_the_bound_is_refused_before_it_is_kept(client):
    answer = client.post("/v2/models/income/infer", content=b" " * (9 << 20))
    assert answer.status_code == 413
    assert "serving.maxBodyMebibytes" in answer.json()["error"]
    assert (
        client.post("/v2/models/income/infer", content=iter([b" " * (1 << 20)] * 9)).status_code
        == 413
    )


def test_another_path_or_method_says_what_is_wanted(client):
    assert client.post("/v2/models/other/infer", json=support.ONE).status_code == 404
    assert client.get("/v2/models/income/infer").status_code == 405


def test_the_metadata_names_inputs_outputs_and_revision(client):
    document = client.get("/v2/models/income").json()
    assert [entry["name"] for entry in document["inputs"]] == list(support.FEATURES)
    assert document["versions"] == ["0123456789ab"]
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/income/ready",
        "/livez",
        "/readyz",
        "/healthz",
    ],
)
def test_probes_of_both_protocols_answer(client, path):
    assert client.get(path).status_code == 200


def value(text: str, name: str, **labels: str) -> float:
    wanted = [f'{key}="{label}"' for key, label in labels.items()]
    lines = [
        line
        for line in text.splitlines()
        if line.startswith(name + "{") and all(pair in line for pair in wanted)
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_requests_are_counted_by_role_and_code_beside_bentoml_s_own_metrics(client, server):
    before = server.metrics()
    infer(client, support.ONE, x_fairway_arm="canary")
    infer(client, changed(0, data=["x"]), x_fairway_arm="canary")
    after = server.metrics()
    for code in ("200", "400"):
        labels = {
            "role": "canary",
            "code": code,
            "deployment": "income",
            "namespace": "models",
            "revision": "0123456789ab",
        }
        name = "fairway_serving_requests_total"
        assert value(after, name, **labels) - value(before, name, **labels) == 1
    name = "fairway_serving_request_seconds_count"
    assert value(after, name, role="canary") - value(before, name, role="canary") == 2
    assert "bentoml_service_request_total" in after


def test_values_outside_the_training_range_are_answered_and_counted(client, server):
    before = server.metrics()
    assert (
        infer(
            client,
            support.tensors([140, 30], [40, 40], ["state", "abroad"]),
            x_fairway_arm="stable",
        ).status_code
        == 200
    )
    after = server.metrics()
    name = "fairway_serving_out_of_range_total"
    assert (
        value(after, name, feature="age", role="stable")
        - value(before, name, feature="age", role="stable")
        == 1
    )
    assert (
        value(after, name, feature="sector", role="stable")
        - value(before, name, feature="sector", role="stable")
        == 1
    )


def test_each_request_leaves_one_event_with_inputs_and_answers(client, receiver):
    two = support.tensors([20, 60], [None, 80], ["state", "private"])
    infer(client, two, x_request_id="seen-1", x_fairway_arm="stable", x_fairway_unit="u7")
    support.eventually(lambda: "seen-1/0123456789ab/stable" in receiver.ids)
    (event,) = [event for event in receiver.events if event["data"]["requestId"] == "seen-1"]
    data = event["data"]
    assert event["type"] == "dev.fairway.prediction.v1"
    assert event["source"] == "/fairway/models/income/0123456789ab"
    assert (data["unitId"], data["role"], data["status"], data["rows"]) == ("u7", "stable", 200, 2)
    assert data["inputs"] == {
        "age": [20.0, 60.0],
        "hours": [None, 80.0],
        "sector": ["state", "private"],
    }
    assert len(data["labels"]) == len(data["probabilities"]) == 2
    assert len(data["inputDigest"]) == 16


def test_a_mirrored_copy_is_logged_as_shadow_with_the_same_digest(client, receiver):
    infer(client, support.ONE, x_request_id="pair-1", x_fairway_arm="stable")
    infer(client, support.ONE, x_request_id="pair-1")
    support.eventually(
        lambda: sum(event["data"]["requestId"] == "pair-1" for event in receiver.events) == 2
    )
    pair = [event["data"] for event in receiver.events if event["data"]["requestId"] == "pair-1"]
    assert {data["role"] for data in pair} == {"stable", "shadow"}
    assert len({data["inputDigest"] for data in pair}) == 1


def test_a_copy_that_carries_the_arm_of_the_revision_it_was_meant_for_is_a_shadow(client, receiver):
    infer(
        client,
        support.ONE,
        x_request_id="copy-1",
        x_fairway_arm="stable",
        x_fairway_revision="another",
    )
    infer(
        client,
        support.ONE,
        x_request_id="own-1",
        x_fairway_arm="canary",
        x_fairway_revision="0123456789ab",
    )
    support.eventually(
        lambda: {"copy-1", "own-1"} <= {event["data"]["requestId"] for event in receiver.events}
    )
    roles = {event["data"]["requestId"]: event["data"]["role"] for event in receiver.events}
    assert (roles["copy-1"], roles["own-1"]) == ("shadow", "canary")


def test_a_refused_request_leaves_an_event_with_its_status(client, receiver):
    infer(client, changed(0, data=["x"]), x_request_id="bad-1")
    support.eventually(
        lambda: any(event["data"]["requestId"] == "bad-1" for event in receiver.events)
    )
    (data,) = [event["data"] for event in receiver.events if event["data"]["requestId"] == "bad-1"]
    assert (data["status"], data["inputs"], data["labels"]) == (400, None, None)


def test_an_unknown_path_leaves_an_event_for_another_revision_may_know_it(client, receiver):
    answer = client.post(
        "/v2/models/income/explain",
        json=support.ONE,
        headers={"x-request-id": "not_a_pod_service", "x-fairway-arm": "canary"},
    )
    assert answer.status_code == 404
    support.eventually(lambda: "not_a_pod_service/0123456789ab/canary" in receiver.ids, seconds=30)


def test_answers_do_not_tell_their_revision_where_the_configuration_does_not_say_so(
    tmp_path, model
):
    server = support.serve(tmp_path, model=model.path, serving=sections.Serving())
    try:
        server.wait_ready()
        answers = [
            httpx.post(server.infer, json=support.ONE),
            httpx.get(f"{server.url}/v2/models/income"),
        ]
        told = "".join(answer.text + str(answer.headers) for answer in answers)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert "0123456789ab" not in told
        assert model.digest not in told
        assert "model_version" not in told
    finally:
        server.kill()

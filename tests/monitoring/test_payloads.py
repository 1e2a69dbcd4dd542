"""Events of other servers: bodies as KServe's and Seldon's loggers send them, read, joined and
refused; through a real collector in each of CloudEvents' modes."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairway import errors
from fairway.monitoring.eventstore import answers, cloudevents, loggers, payloads, places
from tests.monitoring import made, processes
from tests.monitoring import test_store as sqlite

NAMES = ["SL", "SW", "PL", "PW"]
ROWS = [[6.8, 2.8, 4.8, 1.4], [6.1, 3.4, 4.5, 1.6]]
BY_NAME = {"SL": [6.8, 6.1], "SW": [2.8, 3.4], "PL": [4.8, 4.5], "PW": [1.4, 1.6]}
BY_NUMBER = {f"feature_{i}": values for i, values in enumerate(BY_NAME.values())}
FLAT = [value for row in ROWS for value in row]

# In the form that KServe's agent sends (v0.13): header names as Go writes them, the id from the client's request.
KSERVE = {
    "Host": "collector:8080",
    "User-Agent": "Go-http-client/1.1",
    "Ce-Component": "predictor",
    "Ce-Endpoint": "default",
    "Ce-Id": "0009174a-24a8-4603-b098-09c8799950e9",
    "Ce-Inferenceservicename": "sklearn-iris",
    "Ce-Namespace": "default",
    "Ce-Source": "http://localhost:9081/",
    "Ce-Specversion": "1.0",
    "Ce-Time": "2026-04-05T12:19:03.291617842Z",
    "Ce-Type": "org.kubeflow.serving.inference.request",
    "Content-Type": "application/json",
    "Traceparent": "00-30b61c80e00b6eee4fa3bc2f4a8d4e3c-5bf1d5f5b6d9c2a1-00",
}
KSERVE_ANSWERED = {
    **KSERVE,
    "Ce-Type": "org.kubeflow.serving.inference.response",
    "Ce-Time": "2026-04-05T12:19:03.297617842Z",
}
# As Seldon's executor does (1.18): each message has an id of its own, the request its `requestid`.
SELDON = {
    "Ce-Endpoint": "canary",
    "Ce-Id": "d4a1f0cc-6b1e-4bb4-9a2c-4f1f2b1f1f11",
    "Ce-Inferenceservicename": "iris",
    "Ce-Modelid": "classifier",
    "Ce-Namespace": "seldon",
    "Ce-Protocol": "seldon",
    "Ce-Requestid": "o0lsn2v8bbtgh7m8t4g9",
    "Ce-Source": "http:://localhost:8000/",
    "Ce-Specversion": "1.0",
    "Ce-Time": "2026-04-05T12:19:03.291Z",
    "Ce-Type": "io.seldon.serving.inference.request",
    "Content-Type": "application/json",
}
SELDON_ANSWERED = {
    **SELDON,
    "Ce-Id": "8e8a0bb5-2f3a-4c59-b3a5-9f7b2b0f4e55",
    "Ce-Type": "io.seldon.serving.inference.response",
    "Ce-Time": "2026-04-05T12:19:03.300Z",
}


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        pytest.param({"instances": ROWS}, BY_NUMBER, id="V1 lists"),
        pytest.param(
            {"instances": [dict(zip(NAMES, row, strict=True)) for row in ROWS]},
            BY_NAME,
            id="V1 objects",
        ),
        pytest.param({"instances": ["a", "b"]}, {"feature_0": ["a", "b"]}, id="V1 values"),
        pytest.param(
            {"instances": [[[1, 2], [3, 4]]]}, {"feature_0": [[[1, 2], [3, 4]]]}, id="V1 picture"
        ),
        pytest.param(
            {
                "id": "x",
                "inputs": [
                    {"name": name, "shape": [2], "datatype": "FP32", "data": values}
                    for name, values in BY_NAME.items()
                ],
            },
            BY_NAME,
            id="V2 a tensor a feature",
        ),
        pytest.param(
            {
                "inputs": [
                    {"name": "input-0", "shape": [2, 4], "datatype": "FP32", "data": FLAT},
                    {"name": "who", "shape": [2, 1], "datatype": "BYTES", "data": ["a", "b"]},
                ]
            },
            {
                **{f"input-0_{i}": values for i, values in enumerate(BY_NAME.values())},
                "who": ["a", "b"],
            },
            id="V2 flat",
        ),
        pytest.param(
            {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": ROWS}]},
            {f"x_{i}": values for i, values in enumerate(BY_NAME.values())},
            id="V2 nested",
        ),
        pytest.param(
            {
                "inputs": [
                    {"name": "x", "shape": [1, 1, 2, 2], "datatype": "U", "data": [1, 2, 3, 4]}
                ]
            },
            {"x": [[1, 2, 3, 4]]},
            id="V2 picture",
        ),
        pytest.param({"data": {"names": NAMES, "ndarray": ROWS}}, BY_NAME, id="Seldon ndarray"),
        pytest.param({"data": {"ndarray": ROWS}}, BY_NUMBER, id="Seldon without names"),
        pytest.param(
            {"data": {"names": NAMES, "tensor": {"shape": [2, 4], "values": FLAT}}},
            BY_NAME,
            id="Seldon tensor",
        ),
        pytest.param(
            {"jsonData": dict(zip(NAMES, ROWS[0], strict=True))},
            {name: values[:1] for name, values in BY_NAME.items()},
            id="Seldon JSON",
        ),
        pytest.param(
            {"jsonData": {"inputs": [{"name": "x", "shape": [1], "data": [1]}]}},
            {"x": [1]},
            id="Seldon V2 in JSON",
        ),
    ],
)
def test_a_request_is_read_as_columns(body: dict[str, Any], columns: dict[str, Any]) -> None:
    assert payloads.inputs(body).values == columns


@pytest.mark.parametrize(
    ("body", "labels", "probabilities", "task"),
    [
        pytest.param({"predictions": [1, 0]}, ["1", "0"], None, None, id="whole numbers"),
        pytest.param({"predictions": ["a", "b"]}, ["a", "b"], None, None, id="words"),
        pytest.param(
            {"predictions": [1.5, 2.0]}, [1.5, 2.0], None, {"name": "regression"}, id="quantities"
        ),
        pytest.param(
            {"predictions": [[0.25, 0.75]]}, ["1"], [[0.25, 0.75]], None, id="probabilities"
        ),
        pytest.param({"predictions": [[3.0, -2.0]]}, None, None, None, id="scores"),
        pytest.param(
            {"data": {"names": ["no", "yes"], "ndarray": [[0.9, 0.1]]}},
            ["no"],
            [[0.9, 0.1]],
            None,
            id="Seldon's classes",
        ),
        pytest.param(
            {
                "model_name": "iris",
                "outputs": [
                    {"name": "predict", "shape": [2, 1], "datatype": "INT64", "data": [2, 1]},
                ],
            },
            ["2", "1"],
            None,
            None,
            id="V2",
        ),
        pytest.param(
            {
                "outputs": [
                    {"name": "label", "shape": [1], "datatype": "BYTES", "data": ["no"]},
                    {"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 0.5]},
                ]
            },
            ["no"],
            [[0.5, 0.5]],
            None,
            id="V2 with probabilities",
        ),
        pytest.param({"predictions": [""]}, None, None, None, id="an empty word"),
    ],
)
def test_a_response_is_read_as_answers(
    body: dict[str, Any], labels: Any, probabilities: Any, task: Any
) -> None:
    said = payloads.answers(body)
    assert (said.labels, said.probabilities, said.task) == (labels, probabilities, task)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([1], "the payload is \\[1\\]: wanted a JSON object"),
        (
            {"strData": "x"},
            "the payload has strData: wanted one of inputs, instances, data, jsonData",
        ),
        ({"instances": []}, "wanted a list of at least one"),
        ({"instances": [[1, 2], [3]]}, "as many values in each as in the first, 2"),
        ({"instances": [{"a": {"b": 1}}]}, "column 'a' is .*: wanted values"),
        ({"inputs": [{"name": "x", "shape": [2], "data": [1]}]}, "axes whose product is 1"),
        ({"inputs": [{"name": "x", "shape": [1 << 40, 0], "data": []}]}, "axes whose product is 0"),
        (
            {"inputs": [{"name": "x", "shape": [1], "parameters": {"binary_data_size": 4}}]},
            "binary tensors are not read here",
        ),
        (
            {
                "inputs": [
                    {"name": n, "shape": [s], "data": [1] * s} for n, s in (("x", 1), ("y", 2))
                ]
            },
            "columns have 1 and 2 rows: wanted one number",
        ),
        ({"data": {"names": ["a"], "ndarray": [[1, 2]]}}, "wanted 2, one for each column"),
        (
            {"data": {"names": [1], "ndarray": [[1]]}},
            "data.names is \\[1\\]: wanted a list of names",
        ),
        ({"jsonData": [{str(i): 1} for i in range(3000)]}, "3000 rows of 3000 columns"),
    ],
    ids=range(12),
)
def test_what_cannot_be_read_is_refused_with_a_sentence(body: Any, sentence: str) -> None:
    with pytest.raises(errors.DataError, match=sentence):
        payloads.inputs(body)


@pytest.mark.parametrize("first", ["request", "response"])
def test_halves_meet_whichever_comes_first(first: loggers.Side) -> None:
    halves = [
        made.half("r1", first, at=100 + (first == "response")),
        made.half("r1", loggers.OTHER[first], at=100 + (first == "request")),
    ]
    with sqlite.fresh() as events:
        assert [events.add_halves([half], at=7)[0].rows != [] for half in halves] == [False, True]
        (served,) = events.history.window("income", revision="aaa", limit=1)
        assert (served.inputs, served.labels, served.time) == ({"age": [39.0]}, ["cat"], 101)
        assert events.let_halves_go(before=1e12) == []
        assert events.add_halves(halves, at=8)[1] == []  # sent again: the event is there


def test_a_half_without_its_other_is_counted_and_let_go() -> None:
    with sqlite.fresh() as events:
        events.add_halves([made.half("r1", "request"), made.half("r2", "request")], at=10)
        events.add_halves([made.half("r3", "response")], at=11)
        events.add_halves([made.half("r4", "response")], at=20)
        assert [tuple(alone) for alone in events.let_halves_go(before=12)] == [
            ("default", "income", "request", 2),
            ("default", "income", "response", 1),
        ]
        met, _ = events.add_halves([made.half("r1", "response"), made.half("r4", "request")], at=21)
        assert [row.request_id for row in met.rows] == ["r4"]


@pytest.mark.parametrize(
    ("bound", "most"), [("MOST", 2), ("MOST_BYTES", 2 * len('{"age":[39.0]}'))]
)
def test_more_halves_than_are_kept_push_out_the_oldest(
    monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(f"fairway.monitoring.eventstore.halves.{bound}", most)
    with sqlite.fresh() as events:
        for number in range(5):
            events.add_halves([made.half(f"r{number}", "request")], at=number)
        assert sum(alone.halves for alone in events.let_halves_go(before=0)) == 3
        assert events.add_halves([made.half("r4", "response")], at=9)[1]  # the newest stay


def test_halves_of_several_rows_are_no_prediction() -> None:
    with sqlite.fresh() as events:
        events.add_halves([made.half("r1", "request", rows=2)], at=1)
        met, new = events.add_halves([made.half("r1", "response")], at=1)
        assert (met.rows, new) == ([], [])
        assert met.apart == [
            "the response to r1 has 1 rows: wanted 2, as its request; both were dropped"
        ]


# -- through a collector ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Running]:
    with processes.collector(tmp_path_factory.mktemp("payloads") / "events.db") as started:
        yield started


@pytest.fixture
def path(running: processes.Running) -> Path:
    return Path(running.said.rpartition("stores to ")[2].strip())


def post(running: processes.Running, body: Any, headers: dict[str, str], query: str = "") -> Any:
    given = {name: value for name, value in headers.items() if name != "Host"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(f"{running.url}/v1/payloads{query}", content=content, headers=given)


def window(path: Path, deployment: str, **of: Any) -> list[answers.Prediction]:
    store = places.opened(path)
    try:
        return store.history.window(deployment, **{"limit": 100, **of})
    finally:
        store.close()


def test_kserve_s_request_and_response_become_a_prediction(
    running: processes.Running, path: Path
) -> None:
    asked = post(running, {"instances": ROWS}, KSERVE)
    assert (asked.status_code, asked.json()) == (202, {"accepted": 1, "joined": 0, "new": 0})
    answered = post(running, {"predictions": [1, 1]}, KSERVE_ANSWERED)
    assert answered.json() == {"accepted": 1, "joined": 1, "new": 1}
    (served,) = window(path, "sklearn-iris", revision="default")
    assert served.request_id == KSERVE["Ce-Id"]
    assert (served.inputs, served.labels, served.rows) == (BY_NUMBER, ["1", "1"], 2)
    arm = 'deployment="sklearn-iris",namespace="default",revision="default",role="stable"'
    metrics = httpx.get(running.url + "/metrics").text
    assert f'fairway_monitoring_events_total{{{arm},type="prediction"}} 1.0' in metrics


def test_seldon_s_response_may_come_before_its_request(
    running: processes.Running, path: Path
) -> None:
    said = {
        "data": {"names": ["t:0", "t:1"], "ndarray": [[0.25, 0.75]]},
        "meta": {"requestPath": {}},
    }
    assert post(running, said, SELDON_ANSWERED).status_code == 202
    asked = {"data": {"names": NAMES, "ndarray": ROWS[:1]}}
    assert post(running, asked, SELDON).json()["joined"] == 1
    (served,) = window(path, "iris", namespace="seldon", revision="canary", role="canary")
    assert served.inputs == {name: values[:1] for name, values in BY_NAME.items()}
    assert (served.labels, served.probabilities) == (["t:1"], [[0.25, 0.75]])


def structured(headers: dict[str, str], body: Any, **more: Any) -> dict[str, Any]:
    attributes = loggers.attributes(headers)
    return {**attributes, "datacontenttype": "application/json", "data": body, **more}


@pytest.mark.parametrize("mode", ["structured", "batched", "large"])
def test_events_come_in_the_body_too(running: processes.Running, path: Path, mode: str) -> None:
    rows = ROWS * (10_000 if mode == "large" else 1)  # beyond what is read in the collector itself
    halves = [
        structured(KSERVE, {"instances": rows}, id=mode),
        structured(KSERVE_ANSWERED, {"predictions": [0] * len(rows)}, id=mode),
    ]
    kind = {"Content-Type": "application/cloudevents+json"}
    if mode == "batched":
        batch = {"Content-Type": "application/cloudevents-batch+json"}
        assert post(running, halves, batch).json() == {"accepted": 2, "joined": 1, "new": 1}
    else:
        assert [post(running, half, kind).json()["joined"] for half in halves] == [0, 1]
    found = window(path, "sklearn-iris", revision="default", limit=10**6)
    assert [one.rows for one in found if one.request_id == mode] == [len(rows)]


def test_the_logger_s_url_may_name_revision_and_role(
    running: processes.Running, path: Path
) -> None:
    query = "?namespace=shop&revision=v7&role=shadow"
    for headers, body in ((KSERVE, {"instances": [[1]]}), (KSERVE_ANSWERED, {"predictions": [1]})):
        assert post(running, body, headers, query).status_code == 202
    found = window(path, "sklearn-iris", namespace="shop", revision="v7", role="shadow")
    assert [one.inputs for one in found] == [{"feature_0": [1]}]


@pytest.mark.parametrize(
    ("body", "headers", "sentence"),
    [
        pytest.param(b"\x93NUMPY", {}, "the body is no JSON", id="no JSON"),
        pytest.param({"text": "x"}, {}, "the payload has text", id="another protocol"),
        pytest.param({}, {"Ce-Type": "io.seldon.serving.feedback"}, "type is", id="feedback"),
        pytest.param({}, {"Ce-Component": "transformer"}, "component is", id="transformer"),
        pytest.param({}, {"Ce-Id": "x" * 300}, "id is", id="a long id"),
        pytest.param({}, {"Ce-Time": "noon"}, "time is", id="a time"),
        pytest.param({}, {"Ce-Specversion": "2.0"}, "specversion is", id="a version"),
    ],
)
def test_what_no_logger_sends_is_refused_and_counted(
    running: processes.Running, body: Any, headers: dict[str, str], sentence: str
) -> None:
    count = 'fairway_monitoring_batches_rejected_total{reason="invalid"}'
    before = _value(running, count)
    refused = post(running, body, {**KSERVE, **headers})
    assert refused.status_code == 400
    assert sentence in refused.json()["error"]
    assert _value(running, count) == before + 1


def _value(running: processes.Running, series: str) -> float:
    lines = httpx.get(running.url + "/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(series)), 0.0)


def test_a_logger_without_the_token_writes_nothing(tmp_path: Path) -> None:
    token = tmp_path / "token"
    arguments = ("--token-file", str(token))
    with processes.collector(tmp_path / "events.db", *arguments) as guarded:
        assert post(guarded, {"instances": ROWS}, KSERVE).status_code == 401
        known = {**KSERVE, "Authorization": f"Bearer {token.read_text().strip()}"}
        assert post(guarded, {"instances": ROWS}, known).status_code == 202


def test_a_half_survives_the_collector_that_took_it(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with processes.collector(path) as first:
        assert post(first, {"instances": ROWS}, KSERVE).status_code == 202
        first.kill()
    with processes.collector(path) as second:
        assert post(second, {"predictions": [1, 0]}, KSERVE_ANSWERED).json()["new"] == 1


def test_an_event_may_hold_its_data_as_text_and_has_a_time_although_it_says_none() -> None:
    event = structured(KSERVE, json.dumps({"instances": ROWS}))
    del event["time"]
    found = loggers.half(event, told=loggers.LoggerUrl(), now=42.0)
    assert (found.time, found.rows) == (42.0, 2)
    assert json.loads(found.inputs or "") == BY_NUMBER
    encoded = base64.b64encode(json.dumps({"instances": ROWS}).encode()).decode()
    del event["data"]
    assert (
        loggers.half({**event, "data_base64": encoded}, told=loggers.LoggerUrl(), now=0).rows == 2
    )


def test_long_words_are_cut_as_those_of_our_own_servers() -> None:
    event = structured(KSERVE, {"instances": ["x" * 10_000]})
    found = loggers.half(event, told=loggers.LoggerUrl(), now=0)
    assert len(json.loads(found.inputs or "")["feature_0"][0]) == cloudevents.LONGEST_WORD

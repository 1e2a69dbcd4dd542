"""One real process of Seldon's wrapper, in the environment that its image has: both protocols,
refusals, events, its end."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from fairway.config import sections
from fairway.serving import command, predictor
from tests import environments
from tests.serving import support

MODEL = "fairway.serving.seldon_model.Model"
TYPICAL = {
    "data": {
        "names": ["age", "hours", "sector"],
        "ndarray": [[39, 40, "state"], [60.5, None, "private"]],
    }
}
FIXED = {
    "GRPC_WORKERS": "0",
    "GUNICORN_WORKERS": "1",
    "GUNICORN_THREADS": "4",
    "INCLUDE_METRICS_IN_CLIENT_RESPONSE": "false",
}  # as the image sets them


@pytest.fixture(scope="session")
def programs() -> Path:
    return environments.built(environments.ROOT / "requirements-seldon.lock")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return support.packaged(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def receiver() -> Iterator[support.Receiver]:
    receiver = support.Receiver().open()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def start(programs: Path) -> Iterator[Callable[..., support.Server]]:
    """Return what starts a wrapper; whatever runs at the end is killed."""
    started: list[support.Server] = []

    def run(
        folder: Path, *, package: Path | str, collector: str = "", **extra: str
    ) -> support.Server:
        port = support.free_port()
        folder.mkdir(parents=True, exist_ok=True)
        environment = command.environment(
            package=Path(package),
            deployment="income",
            namespace="models",
            revision="0123456789ab",
            collector=collector,
            spool=folder / "spool",
            serving=sections.Serving(reveal_revision=True),
            home=folder,
        )
        environment |= {
            **FIXED,
            "PYTHONPATH": str(support.SRC),
            "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(port),
            "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(support.free_port()),
            **extra,
        }
        with (folder / "log").open("wb") as output:
            process = subprocess.Popen(
                [str(programs / "seldon-core-microservice"), MODEL, "--service-type", "MODEL"],
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        started.append(support.Server(process, port, folder / "log"))
        return started[-1]

    yield run
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def server(start, tmp_path_factory, model, receiver) -> support.Server:
    return start(
        tmp_path_factory.mktemp("server"), package=model.path, collector=receiver.url
    ).wait_ready()


@pytest.fixture
def client(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


def test_a_message_is_answered_as_the_predictor_answers(client, model):
    answer = client.post("/api/v1.0/predictions", json=TYPICAL)
    sector = np.array(["state", "private"], dtype=object)
    expected = predictor.Predictor.load(model.path).predict(
        {"age": np.array([39, 60.5]), "hours": np.array([40, np.nan]), "sector": sector}
    )
    assert answer.status_code == 200
    assert answer.json()["data"]["names"] == ["no", "yes"]
    assert np.allclose(answer.json()["data"]["ndarray"], expected, atol=1e-6)
    assert answer.json()["meta"]["tags"]["label"] == [
        ("no", "yes")[index] for index in expected.argmax(axis=1)
    ]


def test_both_protocols_give_the_same_probabilities(client):
    theirs = client.post(
        "/api/v1.0/predictions", json={"jsonData": {"age": 39, "hours": 40, "sector": "state"}}
    ).json()
    ours = client.post("/v2/models/income/infer", json=support.ONE).json()
    assert theirs["jsonData"]["outputs"] == ours["outputs"]


def test_every_answer_has_its_event_with_id_unit_revision_and_the_role_that_the_gateway_named(
    client, receiver
):
    seen = {"x-request-id": "s-1", "x-fairway-arm": "canary", "x-fairway-unit": "user-7"}
    answer = client.post("/api/v1.0/predictions", json=TYPICAL, headers=seen)
    client.post(
        "/api/v1.0/predictions",
        json=TYPICAL,
        headers={"x-request-id": "s-1", "x-fairway-unit": "user-7"},
    )  # the mirrored copy
    client.post(
        "/api/v1.0/predictions",
        json={"data": {}},
        headers={"x-request-id": "s-2", "x-fairway-arm": "stable"},
    )
    wanted = ["s-1/0123456789ab/canary", "s-1/0123456789ab/shadow", "s-2/0123456789ab/stable"]
    support.eventually(lambda: set(wanted) <= set(receiver.ids), seconds=30)
    canary, shadow, refused = (
        next(e["data"] for e in receiver.events if e["id"] == name) for name in wanted
    )
    assert (answer.headers["x-request-id"], answer.headers["x-fairway-revision"]) == (
        "s-1",
        "0123456789ab",
    )
    assert (canary["unitId"], canary["rows"], canary["inputs"]["age"]) == (
        "user-7",
        2,
        [39.0, 60.5],
    )
    assert canary["inputDigest"] == shadow["inputDigest"]
    assert refused["status"] == 400


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"{", 400, "is not JSON"),
        (b'{"data": {"ndarray": [[1, 2]]}}', 400, "row 0 of ndarray has 2 values: wanted 3"),
        (b"[" + b" " * (17 << 20) + b"]", 413, "wanted at most"),
    ],
    ids=["no JSON", "a row too short", "too large"],
)
def test_what_cannot_be_answered_gets_its_status_and_a_sentence(client, content, status, sentence):
    answer = client.post(
        "/api/v1.0/predictions", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status
    assert (answer.json()["status"]["code"], answer.json()["status"]["status"]) == (
        status,
        "FAILURE",
    )
    assert sentence in answer.json()["status"]["info"]


def test_a_form_is_answered_too(client):
    answer = client.post("/predict", files={"data": (None, '{"ndarray": [[39, 40, "state"]]}')})
    assert (answer.status_code, len(answer.json()["data"]["ndarray"])) == (200, 1)


@pytest.mark.parametrize(
    ("send", "status"),
    [
        ({"files": {"data": (None, "[" * 5_000 + "]" * 5_000)}}, 400),
        ({"files": {"data": (None, "{")}}, 400),
        ({"files": {"data": ("a.bin", b"\xff\xfe")}}, 400),
        ({"data": {"json": "[" * 50_000}}, 400),
        ({"files": {"data": (None, " " * (9 << 20))}}, 413),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400),
    ],
    ids=["deep", "no-json", "file", "deeper", "large", "no-boundary"],
)
def test_no_form_is_the_server_s_error(client, send, status):
    assert client.post("/predict", **send).status_code == status


@pytest.mark.parametrize(
    "path",
    ["/transform-input", "/transform-output", "/aggregate", "/route", "/explain", "/predict"],
)
def test_what_the_wrapper_would_read_by_itself_is_not_served(client, path):
    assert client.request(
        "GET" if path == "/predict" else "POST", path, content=b"[" * 50_000
    ).status_code in (
        404,
        405,
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/v2/health/ready", 200, "ready"),
        ("GET", "/v2/health/live", 200, "live"),
        ("GET", "/v2/models/income", 200, "FP64"),
        ("GET", "/health/status", 200, "ready"),
        ("GET", "/metadata", 200, "0123456789ab"),
        ("GET", "/nowhere", 404, "is not served here"),
        ("POST", "/api/v1.0/feedback", 404, "/v1/labels"),
    ],
)
def test_its_other_paths(client, method, path, status, word):
    answer = client.request(method, path, json={"reward": 1} if method == "POST" else None)
    assert (answer.status_code, word in answer.text) == (status, True), answer.text


def test_its_series_are_those_of_every_server(server, client):
    client.post("/api/v1.0/predictions", json=TYPICAL, headers={"x-fairway-arm": "stable"})
    assert (
        'fairway_serving_request_seconds_count{deployment="income",namespace="models",'
        'revision="0123456789ab",role="stable"}' in server.metrics()
    )


def test_sigterm_ends_it_in_seconds_with_every_event_delivered(start, tmp_path, model, receiver):
    server = start(tmp_path, package=model.path, collector=receiver.url).wait_ready()
    with httpx.Client(base_url=server.url) as client:  # its connection stays open
        client.post("/api/v1.0/predictions", json=TYPICAL, headers={"x-request-id": "last"})
        server.process.terminate()
        assert server.process.wait(timeout=15) == 0
    assert "last/0123456789ab/shadow" in receiver.ids


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"GUNICORN_WORKERS": "2"}, "GUNICORN_WORKERS is 2: wanted 1"),
        ({"FAIRWAY_PACKAGE": "nowhere"}, "nowhere has no manifest.json"),
    ],
    ids=["two workers", "no package"],
)
def test_what_cannot_be_served_ends_with_a_sentence_before_there_is_a_port(
    start, tmp_path, model, extra, sentence
):
    server = start(tmp_path, package=model.path, **extra)
    assert server.process.wait(timeout=30) != 0
    assert sentence in server.log.read_text()

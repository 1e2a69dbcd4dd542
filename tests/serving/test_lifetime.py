"""A server's start, its end, and what it does when it or its collector goes away."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from fairway import artifacts
from fairway.config import schema
from fairway.serving import command
from tests.serving import support


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return support.packaged(tmp_path_factory.mktemp("package"))


@pytest.fixture
def start(tmp_path) -> Iterator:
    started = []

    def one(**keywords: object) -> support.Server:
        started.append(support.serve(tmp_path / f"server-{len(started)}", **keywords))
        return started[-1]

    yield one
    for server in started:
        server.kill()


def ask(server: support.Server, number: int) -> int:
    headers = {"x-request-id": f"r{number}", "x-fairway-arm": "stable"}
    return httpx.post(server.infer, json=support.ONE, headers=headers).status_code


def test_events_wait_on_disk_while_the_collector_is_away_and_all_arrive_after_a_kill(start, model, tmp_path):
    receiver, spool = support.Receiver(), tmp_path / "spool"  # not open: nobody listens
    server = start(model=model.path, collector=receiver.url, spool=spool).wait_ready()
    assert [ask(server, number) for number in range(40)] == [200] * 40
    support.eventually(lambda: sum(file.read_bytes().count(b"\n") for file in spool.glob("*.jsonl")) == 40)
    server.kill()
    receiver.open()
    try:
        again = start(model=model.path, collector=receiver.url, spool=spool).wait_ready()
        assert ask(again, 40) == 200
        support.eventually(lambda: len(set(receiver.ids)) == 41)
        support.eventually(lambda: not list(spool.glob("*.jsonl")))
    finally:
        receiver.close()


def test_a_collector_that_comes_back_gets_everything(start, model, tmp_path):
    receiver = support.Receiver().open()
    server = start(model=model.path, collector=receiver.url, spool=tmp_path / "spool").wait_ready()
    try:
        ask(server, 0)
        support.eventually(lambda: len(set(receiver.ids)) == 1)
        receiver.close()
        for number in range(1, 30):
            ask(server, number)
        receiver.status = 503
        receiver.open()
        ask(server, 30)
        receiver.status = 202
        support.eventually(lambda: len(set(receiver.ids)) == 31)
        assert "fairway_serving_events_dropped_total{" not in server.metrics()
    finally:
        receiver.close()


def test_sigterm_answers_what_is_in_work_delivers_its_events_and_ends_with_zero(start, model, tmp_path):
    receiver = support.Receiver().open()
    server = start(model=model.path, collector=receiver.url, spool=tmp_path / "spool", extra={"FAIRWAY_DRAIN_SECONDS": "5"},
                   serving=schema.Serving.model_validate({"maxConcurrency": 6, "timeout": "60s"})).wait_ready()
    draining = threading.Event()

    def body() -> Iterator[bytes]:
        """A request of which the second half comes only once the server drains."""
        whole = json.dumps(support.ONE).encode()
        yield whole[:20]
        assert draining.wait(60)
        yield whole[20:]

    def one(number: int) -> int:
        while not draining.is_set():  # 503 where the seventh was in its place
            if (status := httpx.post(server.infer, content=body(), headers={"x-request-id": f"held-{number}"}, timeout=60).status_code) != 503:
                return status
        return 503

    try:
        with concurrent.futures.ThreadPoolExecutor(6) as pool, httpx.Client() as client:
            answers = [pool.submit(one, number) for number in range(6)]
            support.eventually(lambda: client.post(server.infer, json=support.ONE, headers={"x-request-id": "seventh"}).status_code == 503)
            server.process.send_signal(signal.SIGTERM)
            support.eventually(lambda: client.get(f"{server.url}/v2/health/ready").status_code == 503, seconds=30)
            draining.set()
            assert [answer.result() for answer in answers] == [200] * 6
        assert server.process.wait(timeout=30) == 0
        answered = {event["data"]["requestId"] for event in receiver.events if event["data"]["status"] == 200}
        assert {f"held-{number}" for number in range(6)} <= answered <= {*(f"held-{number}" for number in range(6)), "seventh"}
    finally:
        draining.set()
        receiver.close()


def test_a_package_that_fails_its_golden_rows_never_becomes_ready_and_says_why(start, tmp_path):
    made = support.packaged(tmp_path / "package")
    folder = Path(made.path)
    golden = artifacts.read_json(folder / "golden.json")
    golden["probabilities"][0] = golden["probabilities"][0][::-1]
    tampered(folder, golden=golden, store=tmp_path / "tampered")
    server = start(model=tmp_path / "tampered")
    assert server.process.wait(timeout=90) == 1
    assert "golden rows differ by" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def tampered(folder: Path, *, golden: artifacts.Json, store: Path) -> None:
    """Writes a package whose digests are right and whose golden rows are not."""
    manifest = artifacts.read_json(folder / "manifest.json")
    store.mkdir()
    for name in manifest["files"]:
        (store / name).write_bytes((folder / name).read_bytes())
    artifacts.write_json(store / "golden.json", golden)
    manifest["files"]["golden.json"] = artifacts.digest_file(store / "golden.json")
    artifacts.write_json(store / "manifest.json", manifest)


def test_more_requests_than_the_bound_are_answered_503_and_a_slow_body_504(start, model):
    serving = schema.Serving.model_validate({"maxConcurrency": 1, "timeout": "5s"})
    server = start(model=model.path, serving=serving).wait_ready()

    def slow() -> Iterator[bytes]:
        yield b"{"
        assert httpx.post(server.infer, json=support.ONE).status_code == 503
        support.eventually(lambda: httpx.post(server.infer, json=support.ONE).status_code == 200)  # the deadline frees the place
        yield b"}"

    assert httpx.post(server.infer, content=slow(), timeout=30).status_code == 504


def test_a_graph_that_fails_on_a_request_is_answered_500_and_logged(start, tmp_path):
    made = support.packaged(tmp_path / "package", fragile=True)
    receiver = support.Receiver().open()
    try:
        server = start(model=made.path, collector=receiver.url).wait_ready()
        answer = httpx.post(server.infer, json=support.tensors([1000], [40], ["state"]))
        assert answer.status_code == 500
        assert "the model failed on" in answer.json()["error"]
        support.eventually(lambda: [event["data"]["status"] for event in receiver.events] == [500])
    finally:
        receiver.close()


def test_the_workers_end_when_bentoml_s_supervisor_is_killed(start, model):
    server = start(model=model.path).wait_ready()
    (worker,) = psutil.Process(server.process.pid).children()
    server.process.kill()
    server.process.wait(timeout=30)
    support.eventually(lambda: not worker.is_running())


def test_a_missing_package_ends_the_server_with_a_sentence(start, tmp_path):
    server = start(model=tmp_path / "nowhere")
    assert server.process.wait(timeout=90) == 1
    assert "has no manifest.json" in server.log.read_text()


def test_nothing_heavy_is_imported_by_what_serves():
    code = (
        "import sys; import fairway.serving.app, fairway.serving.service, fairway.serving.batch; "
        "print([name for name in ('torch', 'pandas', 'sklearn', 'pyarrow', 'hydra', 'onnx', 'scipy') if name in sys.modules])")
    environment = {**os.environ, "PYTHONPATH": str(support.SRC)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_command_binds_one_address_and_the_environment_gives_the_settings_back(tmp_path):
    serving = schema.Serving(workers=2)
    environment = command.environment(
        package=tmp_path, deployment="income", namespace="models", revision="abc", collector="", spool=None, serving=serving,
        home=tmp_path)
    settings = command.read(environment)
    assert command.argv(8123)[-6:] == ["--host", "127.0.0.1", "--port", "8123", "--timeout-keep-alive", "75"]
    assert (settings.serving, settings.package, settings.spool) == (serving, tmp_path, None)

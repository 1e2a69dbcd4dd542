"""A server's start, its end, and what it does when it or its collector goes away."""

import asyncio
import collections
import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import psutil
import pytest

from fairway import artifacts, files
from fairway.config import sections
from fairway.serving import command, uploads
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


def test_events_wait_on_disk_while_the_collector_is_away_and_all_arrive_after_a_kill(
    start, model, tmp_path
):
    receiver, spool = support.Receiver(), tmp_path / "spool"  # not open: nobody listens
    server = start(model=model.path, collector=receiver.url, spool=spool).wait_ready()
    assert [ask(server, number) for number in range(40)] == [200] * 40
    support.eventually(
        lambda: sum(file.read_bytes().count(b"\n") for file in spool.glob("*.jsonl")) == 40
    )
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


def test_sigterm_answers_what_is_in_work_delivers_its_events_and_ends_with_zero(
    start, model, tmp_path
):
    receiver = support.Receiver().open()
    server = start(
        model=model.path,
        collector=receiver.url,
        spool=tmp_path / "spool",
        extra={"FAIRWAY_DRAIN_SECONDS": "5"},
        serving=sections.Serving.model_validate({"timeout": "60s"}),
    ).wait_ready()
    begun, draining = threading.Semaphore(0), threading.Event()

    def body() -> Iterator[bytes]:
        """A request of which the second half comes only once the server drains."""
        whole = json.dumps(support.ONE).encode()
        yield whole[:20]
        begun.release()
        assert draining.wait(60)
        yield whole[20:]

    def one(number: int) -> int:
        return httpx.post(
            server.infer, content=body(), headers={"x-request-id": f"held-{number}"}, timeout=60
        ).status_code

    try:
        with concurrent.futures.ThreadPoolExecutor(6) as pool, httpx.Client() as client:
            answers = [pool.submit(one, number) for number in range(6)]
            assert all(begun.acquire(timeout=60) for _ in answers)
            server.process.send_signal(signal.SIGTERM)
            support.eventually(
                lambda: client.get(f"{server.url}/v2/health/ready").status_code == 503, seconds=30
            )
            draining.set()
            assert [answer.result() for answer in answers] == [200] * 6
        assert server.process.wait(timeout=30) == 0
        assert {
            event["data"]["requestId"]
            for event in receiver.events
            if event["data"]["status"] == 200
        } == {f"held-{number}" for number in range(6)}
    finally:
        draining.set()
        receiver.close()


def test_sigterm_resets_no_connection_although_no_gateway_is_there(start, model):
    server = start(model=model.path).wait_ready()
    answers: collections.Counter[object] = collections.Counter()

    async def client(session: aiohttp.ClientSession) -> None:
        while "refused" not in answers:
            try:
                async with session.post(server.infer, json=support.ONE) as answer:
                    await answer.read()
                    answers[answer.status] += 1
            # nobody listens any more: the request was never sent
            except aiohttp.ClientConnectorError:
                answers["refused"] += 1
            except (aiohttp.ClientError, OSError) as error:
                answers[repr(error)] += 1

    async def story() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = [asyncio.create_task(client(session)) for _ in range(32)]
            while answers[200] < 200:  # noqa: ASYNC110 - a counter has no event
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)

    asyncio.run(story())
    assert server.process.wait(timeout=30) == 0
    assert set(answers) == {200, "refused"}, answers


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
    """Write a package whose digests are right and whose golden rows are not."""
    manifest = artifacts.read_json(folder / "manifest.json")
    store.mkdir()
    for name in manifest["files"]:
        (store / name).write_bytes((folder / name).read_bytes())
    artifacts.write_json(store / "golden.json", golden)
    manifest["files"]["golden.json"] = files.digest_file(store / "golden.json")
    artifacts.write_json(store / "manifest.json", manifest)


def test_a_body_that_does_not_come_is_408_and_holds_up_nobody(start, model):
    server = start(
        model=model.path,
        serving=sections.Serving.model_validate({"maxConcurrency": 1, "timeout": "1s"}),
    ).wait_ready()

    def slow() -> Iterator[bytes]:
        yield b"{"
        assert httpx.post(server.infer, json=support.ONE).status_code == 200
        assert given_up.wait(30)

    def ask() -> httpx.Response:
        return httpx.post(server.infer, content=slow(), timeout=30)

    given_up = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        support.eventually(lambda: 'code="408"' in server.metrics())
        given_up.set()
        assert "body did not come" in answer.result().json()["error"]
    assert 'code="50' not in server.metrics()


def test_uploads_held_open_take_nobody_s_place(start, model):
    server = start(
        model=model.path, serving=sections.Serving.model_validate({"timeout": "60s"})
    ).wait_ready()
    half = b"POST /v2/models/income/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(uploads.MOST + 4)
        ]
        for one in held:
            one.sendall(half)
        assert all(b" 408 " in one.recv(100) for one in held[:4])
        assert {httpx.post(server.infer, json=support.ONE).status_code for _ in range(20)} == {200}


def test_more_rows_than_can_be_answered_in_time_are_refused_before_they_are_read(start, model):
    server = start(
        model=model.path, serving=sections.Serving.model_validate({"timeout": "100ms"})
    ).wait_ready()
    rows = 300_000
    answer = httpx.post(
        server.infer, json=support.tensors([39] * rows, [40] * rows, ["state"] * rows), timeout=60
    )
    assert (answer.status_code, "wanted at most" in answer.json()["error"]) == (413, True)


def test_a_graph_that_fails_on_a_request_is_answered_500_and_logged(start, tmp_path):
    made = support.packaged(tmp_path / "package", fragile=True)
    receiver = support.Receiver().open()
    try:
        server = start(model=made.path, collector=receiver.url).wait_ready()
        answer = httpx.post(server.infer, json=support.tensors([1000], [40], ["state"]))
        assert answer.status_code == 500
        assert "the model cannot be run on" in answer.json()["error"]
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


def test_a_redacted_feature_that_the_model_has_not_ends_the_server_with_a_sentence(start, model):
    redacting = sections.Serving.model_validate({"events": {"redact": ["agee"]}})
    server = start(model=model.path, serving=redacting)
    assert server.process.wait(timeout=90) == 2
    assert "serving.events.redact names 'agee', which is no feature" in server.log.read_text()


def test_a_redacted_feature_is_in_no_event_of_a_server(start, model):
    receiver = support.Receiver().open()
    try:
        redacting = sections.Serving.model_validate({"events": {"redact": ["age"]}})
        server = start(model=model.path, serving=redacting, collector=receiver.url).wait_ready()
        httpx.post(server.infer, json=support.tensors([4711.25], [40], ["state"]))
        support.eventually(lambda: receiver.bodies)
    finally:
        receiver.close()
    (body,) = receiver.bodies
    assert b'"hours":[40' in body
    assert b"4711" not in body


def test_nothing_heavy_is_imported_by_what_serves():
    code = (
        "import sys; import fairway.serving.app, fairway.serving.service, fairway.serving.batch; "
        "print([name for name in ('torch', 'pandas', 'sklearn', 'pyarrow', 'hydra', 'onnx', 'scipy') if name in "
        "sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(support.SRC)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_command_binds_one_address_and_the_environment_gives_the_settings_back(tmp_path):
    serving = sections.Serving(workers=2)
    environment = command.environment(
        package=tmp_path,
        deployment="income",
        namespace="models",
        revision="abc",
        collector="",
        spool=None,
        serving=serving,
        home=tmp_path,
    )
    settings = command.read(environment)
    assert command.argv(8123)[-6:] == [
        "--host",
        "127.0.0.1",
        "--port",
        "8123",
        "--timeout-keep-alive",
        "75",
    ]
    assert (settings.serving, settings.package, settings.spool) == (serving, tmp_path, None)

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.running import assert_one_sentence, fairway
from tests.serving import support

GIVEN = {
    "FAIRWAY_DEPLOYMENT": "money",
    "FAIRWAY_NAMESPACE": "models",
    "FAIRWAY_REVISION": "abc123",
    "FAIRWAY_SERVING": '{"maxBodyMebibytes": 1, "revealRevision": true}',
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    return support.packaged(tmp_path_factory.mktemp("made")).path


def test_in_a_container_the_environment_says_what_is_served(package: str, tmp_path: Path) -> None:
    port = support.free_port()
    plain = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FAIRWAY", "BENTOML", "HOME"))
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        command = [
            sys.executable,
            "-m",
            "fairway",
            "serve",
            package,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        process = subprocess.Popen(
            command,
            env={**plain, **GIVEN, "BENTOML_HOME": str(tmp_path / "bentoml")},
            cwd="/",
            stdout=file,
            stderr=file,
        )
    try:
        server = support.Server(process, port, log).wait_ready()
        told = httpx.get(f"{server.url}/v2/models/money").json()
        assert told["versions"] == ["abc123"]
        assert (told["parameters"]["digest"], told["parameters"]["revision"]) == (
            f"sha256:{Path(package).name}",
            "abc123",
        )
        assert "championDisagreement" in told["parameters"]
        assert (
            httpx.post(
                f"{server.url}/v2/models/money/infer", content=bytes((1 << 20) + 1)
            ).status_code
            == 413
        )
        assert 'namespace="models"' in server.metrics()
        assert (tmp_path / "bentoml").is_dir()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.parametrize(
    ("value", "words"),
    [("{", "FAIRWAY_SERVING"), ('{"threads": 0}', "FAIRWAY_SERVING: threads")],
    ids=["no JSON", "no thread"],
)
def test_a_serving_section_that_is_wrong_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("FAIRWAY_SERVING", value)
    assert_one_sentence(fairway("serve", package, where=tmp_path), status=1, words=words)

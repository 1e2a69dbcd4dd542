"""Candidates and platforms that cannot start: one sentence, the right exit status, and the service
goes on."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway import artifacts, errors, files
from fairway.packaging import manifest
from fairway.platforms.local import client
from fairway.platforms.local.home import Home
from fairway.rollout.states import Phase
from tests.local import world as worlds
from tests.local.world import World
from tests.serving import support

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.world(tmp_path_factory.mktemp("candidates")) as made:
        yield made


def with_other_golden_answers(package: Path, *, store: Path) -> Path:
    """Return a package that is whole by its digests, and whose golden rows its own graph does not
    reproduce."""
    known = artifacts.read_json(package / "manifest.json")
    folder = store / "making"
    folder.mkdir(parents=True)
    for name in known["files"]:
        files.write_bytes(folder / name, (package / name).read_bytes())
    golden = artifacts.read_json(folder / "golden.json")
    golden["probabilities"] = [row[::-1] for row in golden["probabilities"]]
    artifacts.write_json(folder / "golden.json", golden)
    known["files"] = {name: files.digest_file(folder / name) for name in known["files"]}
    artifacts.write_json(folder / "manifest.json", known)
    place = store / files.digest_bytes(files.canonical(known)).removeprefix("sha256:")
    folder.rename(place)
    return place


def test_a_server_that_does_not_reproduce_its_golden_rows_never_serves(
    platform: World, tmp_path: Path
) -> None:
    package = with_other_golden_answers(platform.package, store=tmp_path)
    stable = platform.deployment().state.stable
    revision, _ = client.deploy(
        platform.home, package, config=worlds.configuration(), now=time.time()
    )
    ended = client.follow(
        platform.home, worlds.NAME, revision=revision.revision, timeout_seconds=worlds.PATIENCE
    ).state
    assert ended.phase is Phase.ROLLED_BACK
    assert ended.stable == stable
    assert "did not become ready" in ended.reason
    assert "golden" in ended.reason
    assert platform.users.failed() == []


def test_a_package_that_was_changed_is_refused_when_it_is_deployed(
    platform: World, tmp_path: Path
) -> None:
    place = tmp_path / platform.package.name
    place.mkdir()
    for file in platform.package.iterdir():
        files.write_bytes(place / file.name, file.read_bytes())
    files.write_bytes(place / "schema.json", (place / "schema.json").read_bytes() + b" ")
    with pytest.raises(errors.PackageError, match=r"schema\.json"):
        client.deploy(platform.home, place, config=worlds.configuration(), now=time.time())
    with pytest.raises(errors.PackageError):
        manifest.load(place)


def test_up_on_a_taken_port_says_so_and_leaves_nothing_running(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "fairway",
                "up",
                "--port",
                str(port),
                "--home",
                str(tmp_path / "home"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr
    assert client.running(Home(tmp_path / "home")) is None
    assert client.down(Home(tmp_path / "home")) == []


def test_up_twice_finds_the_platform_running_and_down_twice_finds_nothing(tmp_path: Path) -> None:
    def fairway(*arguments: str) -> dict[str, object]:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "fairway",
                *arguments,
                "--home",
                str(tmp_path / "home"),
                "--output",
                "json",
            ],
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found

    first = fairway("up")
    assert fairway("up") == first
    support.eventually(lambda: client.running(Home(tmp_path / "home")) is not None)
    assert "supervisor" in str(fairway("down")["stopped"])
    assert fairway("down") == {"stopped": []}

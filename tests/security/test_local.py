"""Strangers at work while a healthy candidate is judged on one machine: nobody gets a 5xx, and
nothing but the candidate moves the rollout."""

import contextlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from fairway.platforms.local import client
from tests.local import world as worlds
from tests.local.world import World
from tests.security import attacks
from tests.serving import support

pytestmark = [pytest.mark.local, pytest.mark.timeout(480)]
UNITS = [f"stranger-{number}" for number in range(6)]
LIMIT_BYTES = 1 << 30  # memory of a server's pod by default
PATH = f"/v2/models/{worlds.NAME}/infer"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.world(tmp_path_factory.mktemp("strangers")) as made:
        yield made


@contextlib.contextmanager
def memory(platform: World) -> Iterator[dict[str, int]]:
    """Give the largest memory that is its own of each of the platform's processes while the block runs."""
    largest: dict[str, int] = {}
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(0.05):
            for name in platform.processes().names():
                record = platform.processes().record(name)
                with contextlib.suppress(psutil.Error):
                    leader = psutil.Process(record.pid if record is not None else None)
                    resident = max(
                        _anonymous(one) for one in (leader, *leader.children(recursive=True))
                    )
                    largest[name] = max(largest.get(name, 0), resident)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        stopping.set()
        thread.join()


def _anonymous(process: psutil.Process) -> int:
    """Return the bytes that are backed by no file: torch's libraries alone are a gigabyte of pages
    that the kernel may drop."""
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


def gateway(platform: World) -> str:
    return client.need(platform.home).gateway


def test_no_body_is_answered_with_5xx_or_moves_the_rollout_or_takes_the_memory(
    platform: World,
) -> None:
    revision = platform.deploy(concurrency=201)
    platform.until_mid_canary()
    with memory(platform) as largest:
        outcome = attacks.play(gateway(platform) + PATH, attacks.bodies(), units=UNITS)
    assert outcome.server_errors == {}
    assert len(outcome.answered) == len({attack.name for attack in attacks.bodies()}), (
        outcome.broken[:5]
    )
    assert max(largest.values()) < LIMIT_BYTES, largest
    assert platform.ended(revision).state.stable == revision
    assert platform.users.failed() == []


def test_half_open_uploads_take_nobodys_place(platform: World) -> None:
    address = urlsplit(gateway(platform))
    with attacks.half_open(
        (address.hostname or "", address.port or 0), path=PATH, host=address.netloc, count=260
    ):
        answers = [
            httpx.post(gateway(platform) + PATH, json=support.ONE, timeout=10).status_code
            for _ in range(50)
        ]
    assert set(answers) == {200}
    assert platform.users.failed() == []


def test_what_a_client_claims_to_be_is_harmless(platform: World) -> None:
    """One request id 700 times, arms, roles and revisions of the client's own."""
    revision = platform.deploy(concurrency=202)
    claims = {
        "x-request-id": "always-the-same",
        "x-fairway-arm": "canary",
        "x-fairway-revision": revision,
        "x-fairway-role": "shadow",
        "x-envoy-external-address": "10.0.0.1",
        "x-forwarded-for": "10.0.0.1",
    }
    with httpx.Client(headers=claims) as stranger:
        answers = [
            stranger.post(gateway(platform) + PATH, json=support.ONE).status_code
            for _ in range(700)
        ]
    assert set(answers) == {200}
    assert platform.ended(revision).state.stable == revision


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/events"),
        ("POST", "/v1/labels"),
        ("POST", "/v1/outcomes"),
        ("GET", "/v1/cursor"),
        ("GET", f"/v1/exposure?namespace=default&deployment={worlds.NAME}&after=0"),
        ("GET", f"/v1/labelled?namespace=default&deployment={worlds.NAME}&after=0"),
        ("GET", f"/v1/outcomes?namespace=default&deployment={worlds.NAME}&after=0"),
    ],
)
@pytest.mark.parametrize("token", [None, "guessed"])
def test_without_the_owners_token_nothing_is_written_and_nothing_is_read(
    platform: World, method: str, path: str, token: str | None
) -> None:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = httpx.request(
        method,
        client.need(platform.home).collector + path,
        headers=headers,
        content=b"[]" if method == "POST" else None,
    )
    assert answer.status_code in (401, 403)
    assert set(answer.json()) == {"error"}


def test_what_lies_in_the_home_is_its_owners_alone(platform: World) -> None:
    assert stat.S_IMODE(platform.home.root.stat().st_mode) == 0o700
    readable = [
        str(path)
        for folder, _, files in os.walk(platform.home.root)
        for path in (platform.home.root / folder / name for name in files)
        if path.suffix in {".db", ".token", ".sock"} and stat.S_IMODE(path.lstat().st_mode) & 0o077
    ]
    assert readable == []


def test_one_client_that_looks_for_the_candidate_cannot_roll_it_back(platform: World) -> None:
    """It asks as many units until it meets the candidate, as far as answers tell, and then sends
    what once was answered 5xx."""
    revision = platform.deploy(concurrency=203)
    platform.until_mid_canary()
    with httpx.Client(timeout=30) as stranger:
        for number in range(33):
            headers = {"x-fairway-unit": f"hunter-{number}"}
            answer = stranger.post(gateway(platform) + PATH, json=support.ONE, headers=headers)
            assert revision not in json.dumps(dict(answer.headers)) + answer.text
        outcome = attacks.play(gateway(platform) + PATH, attacks.bodies()[:9], units=["hunter-7"])
    assert outcome.server_errors == {}
    assert platform.ended(revision).state.stable == revision

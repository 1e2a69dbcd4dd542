"""What clients send moves no rollout; what a candidate refuses does."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fairway.platforms.local import client
from fairway.rollout.states import Phase
from tests.local import world as worlds
from tests.local.world import World
from tests.serving import support

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]
STEPS = [
    {"weight": 20, "minDuration": "10s"},
    {"weight": 50, "minDuration": "2s"},
]  # as long as a client needs to find the candidate and use it
GUARDED = {
    **worlds.QUICK,
    "canary": {"steps": STEPS, "budget": worlds.BUDGET},
    "guards": [*worlds.QUICK["guards"], {"name": "rejections", "type": "rejections"}],
}  # type: ignore[misc]
CLAIMED = {
    "x-request-id": "mine",
    "x-fairway-arm": "canary",
    "x-forwarded-for": "203.0.113.7",
    "x-envoy-external-address": "203.0.113.7",
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.world(tmp_path_factory.mktemp("clients")) as made:
        yield made


def send(
    platform: World, *, unit: str, revision: str, document: object = support.ONE
) -> httpx.Response:
    """Ask as a client that claims what only the gateway may say."""
    headers = {**CLAIMED, "x-fairway-unit": unit, "x-fairway-revision": revision}
    return httpx.post(
        f"{platform.users.url}/v2/models/{worlds.NAME}/infer",
        json=document,
        headers=headers,
        timeout=10,
    )


def test_a_client_that_claims_ids_and_arms_and_aims_at_the_candidate_moves_nothing(
    platform: World,
) -> None:
    candidate = platform.deploy(concurrency=201, strategy=GUARDED, reveal=True)  # it is even told
    support.eventually(lambda: platform.deployment().state.phase is Phase.SHADOW, seconds=60)
    copied = [
        send(platform, unit=f"x{number}", revision=candidate) for number in range(20)
    ]  # one id for all of them: they are pairs like others
    assert len({answer.headers["x-request-id"] for answer in copied}) == 20
    platform.until_mid_canary()
    tries = (send(platform, unit=f"x{number}", revision=candidate) for number in range(60))
    unit = next(
        number
        for number, answer in enumerate(tries)
        if answer.headers.get("x-fairway-revision") == candidate
    )
    refused = [
        send(platform, unit=f"x{unit}", revision=candidate, document={"inputs": []})
        for _ in range(42)
    ]
    assert {answer.status_code for answer in refused} == {400}
    ended = platform.ended(candidate).state
    assert (ended.phase, ended.stable) == (Phase.STABLE, candidate)
    with contextlib.closing(sqlite3.connect(platform.home.events)) as connection:
        (seen,) = connection.execute("SELECT count(*) FROM events WHERE status=400").fetchone()
    assert seen >= len(refused)


def test_a_candidate_that_refuses_what_stable_takes_is_rolled_back(
    platform: World, tmp_path: Path
) -> None:
    stable = platform.deployment().state.stable
    asks_more = support.packaged(
        tmp_path,
        name=worlds.NAME,
        also=[{"name": "zip", "kind": "category", "categories": ["1010"]}],
    )
    strategy = {**GUARDED, "shadow": {"enabled": False}}
    made, _ = client.deploy(
        platform.home,
        Path(asks_more.path),
        config=worlds.configuration(strategy=strategy),
        now=time.time(),
    )
    ended = platform.ended(made.revision).state
    assert (ended.phase, ended.stable) == (Phase.ROLLED_BACK, stable)
    assert "rejections" in ended.reason
    assert "were refused (4xx)" in ended.reason

"""Hooks on one machine: a real service is asked before each step, its no takes a revision back, and
it is told how it ended.
"""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fairway.platforms.local import client
from fairway.rollout.states import Phase
from tests import receiver
from tests.local import world as worlds
from tests.local.world import World
from tests.serving import support

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.world(tmp_path_factory.mktemp("hooks")) as made:
        yield made


def asking(service: receiver.Receiver, *at: str, **more: Any) -> dict[str, Any]:
    return {
        **worlds.QUICK,
        "shadow": {"enabled": False},
        "hooks": [{"name": "gate", "url": service.url, "at": at, **more}],
    }


def test_a_freeze_holds_a_rollout_that_a_killed_supervisor_does_not_forget(platform: World) -> None:
    with receiver.receiver(status=409, body=b'{"message": "a freeze until Monday"}') as service:
        wanted = platform.deploy(
            concurrency=210,
            strategy=asking(service, "preRollout", "preStep", "prePromotion", "postPromotion"),
        )
        support.eventually(
            lambda: "a freeze until Monday" in platform.deployment().state.reason, seconds=60
        )
        before = platform.deployment().state
        assert (before.phase, before.stable != wanted) == (Phase.STARTING, True)
        os.kill(platform.supervisor(), signal.SIGKILL)
        support.eventually(lambda: client.running(platform.home) is None)
        service.status, service.body = 200, b"{}"
        client.up(platform.home)
        ended = platform.ended(wanted)
        support.eventually(lambda: service.at("postPromotion"), seconds=30)
    assert ended.state.stable == wanted
    asked = {
        (event["subject"], event["data"]["phase"], event["data"]["weight"])
        for event in service.told
    }
    assert asked == {
        ("preRollout", "Canary", 20),
        ("preStep", "Canary", 20),
        ("preStep", "Canary", 50),
        ("prePromotion", "Promoting", 90),
        ("postPromotion", "Stable", 0),
    }
    assert {event["id"] for event in service.at("preRollout")} == {
        service.at("preRollout")[0]["id"]
    }  # before the kill and after it
    assert platform.users.failed() == []


def test_a_smoke_test_s_no_takes_the_revision_back_and_its_silence_does_not(
    platform: World,
) -> None:
    stable = platform.deployment().state.stable
    with receiver.receiver(status=503) as service:
        wanted = platform.deploy(
            concurrency=211,
            strategy=asking(service, "prePromotion", "postRollback", onRefusal="rollback"),
        )
        support.eventually(lambda: len(service.at("prePromotion")) > 1, seconds=90)
        assert platform.deployment().state.phase is Phase.CANARY
        service.status = 422
        ended = platform.ended(wanted)
        support.eventually(lambda: service.at("postRollback"), seconds=30)
    assert (ended.state.phase, ended.state.stable) == (Phase.ROLLED_BACK, stable)
    assert "hook gate refused the promotion: it answered 422" in ended.state.reason
    assert platform.users.failed() == []


def test_a_hook_that_hangs_keeps_no_look_waiting(platform: World) -> None:
    with receiver.receiver(slow=threading.Event()) as service:
        platform.deploy(concurrency=212, strategy=asking(service, "preRollout", timeout="60s"))
        support.eventually(lambda: service.told, seconds=60)
        looks = []
        for _ in range(10):
            looks.append(platform.deployment().state.looked)
            support.eventually(lambda: platform.deployment().state.looked != looks[-1], seconds=20)
        assert looks[-1] - looks[0] < 15

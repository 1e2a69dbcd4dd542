"""Kills in mid-canary, a locked store, counts that cannot be read: the right outcome, no
acknowledged event and no evidence lost.

Real Envoy, real BentoML servers, real clients. Requests in flight on a killed process may fail;
they are counted.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fairway import artifacts
from fairway.platforms.local import client
from fairway.rollout.states import Phase
from tests.cli.running import assert_one_sentence, fairway
from tests.local import world as worlds
from tests.local.world import World
from tests.serving import support

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.world(tmp_path_factory.mktemp("faults")) as made:
        yield made


def test_a_killed_supervisor_leaves_the_service_and_its_successor_promotes_with_all_the_evidence(
    platform: World,
) -> None:
    revision = platform.deploy(concurrency=101)
    platform.until_mid_canary()
    failed, counted = len(platform.users.failed()), platform.evidence()
    os.kill(platform.supervisor(), signal.SIGKILL)
    support.eventually(lambda: client.running(platform.home) is None)
    answered = len(platform.users.answered())
    support.eventually(lambda: len(platform.users.answered()) > answered + 100)
    assert_one_sentence(
        fairway("status", "--home", ".", where=platform.home.root),
        status=1,
        words="nothing moves and what dies stays dead: `fairway up`",
    )
    client.up(platform.home)
    support.eventually(lambda: platform.evidence() > counted)
    assert platform.ended(revision).state.stable == revision
    assert len(platform.users.failed()) == failed
    platform.every_answer_is_stored()


def test_a_killed_candidate_that_writes_ahead_is_held_started_again_and_promoted_without_the_loss_of_an_event(
    platform: World,
) -> None:
    revision = platform.deploy(concurrency=102, write_ahead=True)
    platform.until_mid_canary()
    failed, counted = len(platform.users.failed()), platform.evidence()
    platform.kill(f"server-{revision}")
    support.eventually(lambda: "no capacity" in platform.deployment().state.reason)
    assert platform.ended(revision).state.stable == revision
    assert platform.evidence() >= counted
    assert len(platform.users.failed()) - failed <= worlds.CLIENTS
    platform.every_answer_is_stored()


def test_a_killed_stable_server_loses_no_request_but_those_in_flight(platform: World) -> None:
    revision = platform.deploy(concurrency=103)
    platform.until_mid_canary()
    failed = len(platform.users.failed())
    platform.kill(f"server-{platform.deployment().state.stable}")
    assert platform.ended(revision).state.stable == revision
    assert len(platform.users.failed()) - failed <= worlds.CLIENTS
    # it writes ahead, too: it was the candidate of the test before
    platform.every_answer_is_stored()


def test_a_killed_gateway_comes_back_on_its_port_and_the_rollout_goes_on(platform: World) -> None:
    revision = platform.deploy(concurrency=104)
    platform.until_mid_canary()
    url, counted, failed = (
        client.need(platform.home).gateway,
        platform.evidence(),
        len(platform.users.failed()),
    )
    platform.kill("envoy")
    support.eventually(lambda: platform.processes().alive("envoy"))
    answered = len(platform.users.answered())
    support.eventually(lambda: len(platform.users.answered()) > answered + 50)
    assert client.need(platform.home).gateway == url
    assert (
        len(platform.users.failed()) - failed < worlds.RATE * 2
    )  # it is away for some 0.3 s, longer on a busy machine
    assert platform.evidence() >= counted
    assert platform.ended(revision).state.stable == revision
    platform.every_answer_is_stored(but=60)


def test_a_clock_that_is_set_by_an_hour_in_every_phase_moves_nothing(
    platform: World, tmp_path: Path
) -> None:
    """The supervisor's alone: what servers date by theirs is not counted meanwhile, and the reason
    says so."""
    hour = 3600.0
    slow = {
        "steps": [{"weight": 20, "minDuration": "25s"}, {"weight": 50}]
    }  # none of it is over before it is looked at
    baked = {
        **worlds.QUICK,
        "canary": {**worlds.QUICK.get("canary", {}), **slow},
        "bake": {"weight": 10, "duration": "6s"},
    }
    with worlds.wrong_clock(platform, tmp_path / "clock") as set_by:

        def wrong_in(phase: Phase, seconds: float) -> None:
            support.eventually(lambda: platform.deployment().state.phase is phase, seconds=60)
            set_by(seconds)
            support.eventually(
                lambda: "this controller's clock" in platform.deployment().state.reason
            )
            assert platform.deployment().state.phase is phase
            set_by(0.0)

        revision = platform.deploy(concurrency=108, strategy=baked)
        wrong_in(Phase.CANARY, hour)
        platform.until_mid_canary()
        wrong_in(Phase.CANARY, -hour)
        support.eventually(lambda: platform.deployment().state.phase is Phase.BAKING, seconds=90)
        began = time.monotonic()
        set_by(hour)
        support.eventually(lambda: "this controller's clock" in platform.deployment().state.reason)
        set_by(0.0)
        assert platform.ended(revision).state.stable == revision
        assert time.monotonic() - began > 5.0


def test_a_killed_collector_loses_no_event_that_was_answered(platform: World) -> None:
    revision = platform.deploy(concurrency=105)
    platform.until_mid_canary()
    platform.kill("collector")
    support.eventually(lambda: platform.processes().alive("collector"))
    assert platform.ended(revision).state.stable == revision
    platform.every_answer_is_stored(but=60)


def test_a_locked_store_holds_everything_and_nothing_is_lost_when_it_is_free_again(
    platform: World,
) -> None:
    revision = platform.deploy(concurrency=106)
    platform.until_mid_canary()
    failed = len(platform.users.failed())
    with worlds.locked(platform.home.events):
        answered = len(platform.users.answered())
        support.eventually(lambda: len(platform.users.answered()) > answered + 400)
    assert platform.ended(revision).state.stable == revision
    assert len(platform.users.failed()) == failed
    platform.every_answer_is_stored(but=60)


def test_counts_that_cannot_be_read_hold_the_rollout_until_they_can(platform: World) -> None:
    revision = platform.deploy(concurrency=107)
    platform.until_mid_canary()
    file = platform.home.root / "envoy" / "ports.json"
    known = artifacts.read_json(file)
    artifacts.write_json(file, {**known, "admin": support.free_port()})
    support.eventually(lambda: "cannot be read" in platform.deployment().state.reason)
    held = platform.deployment().state
    assert worlds.stays(
        lambda: (
            platform.deployment().state.step == held.step
            and platform.deployment().state.phase is Phase.CANARY
        ),
        seconds=4,
    )
    artifacts.write_json(file, known)
    assert platform.ended(revision).state.stable == revision


def test_down_leaves_nothing_running_and_a_package_that_was_changed_meanwhile_is_said_by_up_status_and_check(
    tmp_path: Path,
) -> None:
    with worlds.world(tmp_path) as made:
        os.kill(made.supervisor(), signal.SIGKILL)
        support.eventually(lambda: client.running(made.home) is None)
    assert not [
        p.pid
        for p in psutil.process_iter(["cmdline"])
        if str(made.home.root) in " ".join(p.info["cmdline"] or [])
    ]
    assert (
        "nothing runs; before that: "
        in fairway("status", "--home", ".", where=made.home.root).stdout
    )
    model = next(made.home.packages.glob("*/model.onnx"))
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b"x")
    try:
        for verb in ("up", "status"):
            assert_one_sentence(
                fairway(verb, "--home", ".", where=made.home.root),
                status=1,
                words="is not started any more: ",
            )
        assert (
            "is not started any more: "
            in fairway("check", "--home", ".", where=made.home.root).stdout
        )
    finally:
        client.down(made.home)

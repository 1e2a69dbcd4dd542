"""The loop: no look is lost, and idleness is no illness."""

import json
import threading
import time
from collections.abc import Callable

from fairway import errors
from fairway.control import observe
from fairway.monitoring.eventstore import remote
from fairway.operator import endpoint, loop
from tests.operator import world
from tests.test_budget import trickling


class Looks:
    """Takes notice of who is looked at."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def reconcile(self, namespace: str, name: str, *, now: float) -> float | None:
        self.taken.append(name)
        return None

    def changed(self, *arguments: object, **keywords: object) -> None: ...


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def made(looks: Looks) -> loop.Loop:
    return loop.Loop(looks, health=endpoint.Endpoint(host="127.0.0.1", port=0))


def event(name: str, *, generation: int = 1, kind: str = "MODIFIED") -> dict[str, object]:
    return {
        "type": kind,
        "object": {
            "metadata": {"namespace": "models", "name": name, "uid": "u", "generation": generation}
        },
    }


def test_a_look_that_came_while_leadership_was_late_is_taken_later(monkeypatch):
    monkeypatch.setattr(loop, "RETRY_SECONDS", 0.01)
    looks, leads = Looks(), []
    running = made(looks)
    running.queue.add(("models", "income"))
    running.start(leads=lambda: len(leads) > 3 or leads.append(1))
    eventually(lambda: looks.taken == ["income"])
    running.finish()


class Hanging(Looks):
    """Hangs in every look at a resource of the namespace `greedy`."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def reconcile(self, namespace: str, name: str, *, now: float) -> float | None:
        super().reconcile(namespace, name, now=now)
        if namespace == "greedy":
            self.released.wait(20)
        return None


def test_looks_that_hang_are_their_own_namespace_s_affair():
    looks = Hanging()
    running = made(looks)
    for number in range(2 * loop.WORKERS):
        running.queue.add(("greedy", f"hangs-{number}"))
    running.start(leads=lambda: True)
    eventually(lambda: len(looks.taken) == loop.SHARE)
    running.queue.add(("models", "income"))
    eventually(lambda: "income" in looks.taken)
    looks.released.set()
    running.finish()


def test_only_silence_of_the_watch_and_looks_that_all_hang_are_an_illness(monkeypatch):
    looks = Hanging()
    running = made(looks)
    running.start(leads=lambda: True)
    running.queue.add(("greedy", "income"))
    eventually(lambda: looks.taken)
    clock = time.monotonic
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock() + 2 * loop.BEAT_SECONDS)
    assert not running.alive()  # nothing was heard of the watch
    running.beat()
    assert running.alive()  # though one look hangs
    running._began |= dict.fromkeys(range(loop.WORKERS), 0.0)
    assert not running.alive()
    monkeypatch.undo()
    looks.released.set()


def test_an_abort_is_obeyed_and_others_are_looked_at_though_the_store_never_ends_its_answers(
    monkeypatch,
):
    monkeypatch.setattr(observe, "READ_SECONDS", 0.5)
    play = world.World()
    play.ask("a")
    play.look(until="Stable 0")
    play.ask("b")
    play.look(until="Canary 25")
    with trickling() as url:
        play.restart(evidence=lambda namespace: remote.RemoteEvidence(url, namespace))
        running = made(play.operator)
        running.start(leads=lambda: True)
        running.queue.add((world.NAMESPACE, world.NAME))
        eventually(lambda: "cannot be read" in play.status["reason"])
        found = play.cluster.get("ModelDeployment", world.NAMESPACE, world.NAME)
        found["metadata"]["annotations"] = {
            "fairway.dev/command": json.dumps({"verb": "abort", "id": "1", "by": "jo"})
        }
        play.cluster._keep(("ModelDeployment", world.NAME), found)
        running.queue.add((world.NAMESPACE, world.NAME))
        eventually(lambda: play.status["phase"] in ("RollingBack", "RolledBack"))
        assert play.status["weight"] == 0
        running.finish()


def test_our_own_status_writes_are_no_news_and_a_new_spec_is():
    running = made(Looks())
    running.resource_event(event("income"))
    assert running.queue.take() == ("models", "income")
    running.queue.done(("models", "income"))
    running.resource_event(event("income"))
    assert len(running.queue) == 0
    running.resource_event(event("income", generation=2))
    assert len(running.queue) == 1


def test_a_look_that_fails_is_taken_again():
    class Failing(Looks):
        def reconcile(self, namespace: str, name: str, *, now: float) -> float | None:
            super().reconcile(namespace, name, now=now)
            if len(self.taken) == 1:
                raise errors.Unavailable("the API server does not answer")
            return None

    looks = Failing()
    running = made(looks)
    running.queue.add(("models", "income"))
    running.start(leads=lambda: True)
    eventually(lambda: len(looks.taken) == 2)
    running.finish()

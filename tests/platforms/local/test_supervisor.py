"""What one look of the supervisor takes from the deployments, whatever their order."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.platforms.local import state, supervisor
from fairway.platforms.local.home import Home
from fairway.rollout import states
from fairway.rollout.seen import Command
from fairway.rollout.states import Phase
from tests.platforms.local import test_state


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[supervisor.Supervisor]:
    made = supervisor.Supervisor(Home(tmp_path))
    yield made
    made.state.close()


def deploy(watched: supervisor.Supervisor, name: str, *, every: str) -> None:
    revision = test_state.revision({})
    config = {**revision.config, "platform": {**revision.config["platform"], "scrapeInterval": every}}
    watched.state.deploy(state.LocalRevision(**{**vars(revision), "deployment": name, "config": config}), now=1.0)


@pytest.mark.parametrize("order", [("500ms", "1m"), ("1m", "500ms")])
def test_the_deployment_that_wants_the_most_looks_has_them_wherever_it_stands(watched, order):
    for name, every in zip("ab", order, strict=True):
        deploy(watched, name, every=every)
    assert watched.shortest_interval() == 0.5


def test_while_nothing_is_deployed_there_is_a_look_each_second(watched):
    assert watched.shortest_interval() == 1.0


@pytest.mark.parametrize(
    ("phase", "obeyed"), [(Phase.CANARY, True), (Phase.STABLE, False)], ids=["a rollout", "no rollout"]
)
def test_whether_a_command_was_obeyed_does_not_depend_on_the_words_of_whoever_asked(watched, phase, obeyed):
    deploy(watched, "income", every="1s")
    found = watched.state.deployment("income")
    moving = states.State(phase=phase, stable=found.desired, candidate="c" * 12 if obeyed else None)
    watched.state.save("income", state=moving, policy=found.policy, events=(), answered=None)
    why = "the new copy changes nothing for users"
    number = watched.state.ask("income", Command("pause", "jo", why), now=2.0)
    assert watched.state.reply(number) is None
    watched.advance(watched.state.deployment("income"))
    reply = watched.state.reply(number)
    assert reply is not None
    assert reply.obeyed is obeyed
    assert why in reply.sentence
    assert watched.state.deployment("income").state.phase is (Phase.PAUSED if obeyed else Phase.STABLE)


def test_a_store_of_an_earlier_version_learns_whether_commands_were_obeyed(tmp_path):
    file = tmp_path / "state.db"
    state.Store(file).close()
    with contextlib.closing(sqlite3.connect(file)) as earlier, earlier:
        earlier.execute("ALTER TABLE commands DROP COLUMN obeyed")
    with contextlib.closing(state.Store(file)) as store:
        assert store.reply(store.ask("income", Command("pause", "jo"), now=1.0)) is None

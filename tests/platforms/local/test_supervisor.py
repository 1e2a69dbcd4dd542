"""What one look of the supervisor takes from the deployments, whatever their order."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fairway import artifacts, errors
from fairway.platforms.local import processes, services, state, supervisor
from fairway.platforms.local.home import Home
from fairway.rollout import record, states
from fairway.rollout.seen import Command
from fairway.rollout.states import Phase
from tests.platforms.local import test_state
from tests.serving import support


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[supervisor.Supervisor]:
    made = supervisor.Supervisor(Home(tmp_path))
    yield made
    made.state.close()


def deploy(watched: supervisor.Supervisor, name: str, *, every: str) -> None:
    revision = test_state.revision({})
    config = {
        **revision.config,
        "platform": {**revision.config["platform"], "scrapeInterval": every},
    }
    watched.state.deploy(
        state.LocalRevision(**{**vars(revision), "deployment": name, "config": config}), now=1.0
    )


@pytest.mark.parametrize("order", [("500ms", "1m"), ("1m", "500ms")])
def test_the_deployment_that_wants_the_most_looks_has_them_wherever_it_stands(watched, order):
    for name, every in zip("ab", order, strict=True):
        deploy(watched, name, every=every)
    assert watched.shortest_interval() == 0.5


def test_while_nothing_is_deployed_there_is_a_look_each_second(watched):
    assert watched.shortest_interval() == 1.0


@pytest.mark.parametrize(
    ("phase", "obeyed"),
    [(Phase.CANARY, True), (Phase.STABLE, False)],
    ids=["a rollout", "no rollout"],
)
def test_whether_a_command_was_obeyed_does_not_depend_on_the_words_of_whoever_asked(
    watched, phase, obeyed
):
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
    assert watched.state.deployment("income").state.phase is (
        Phase.PAUSED if obeyed else Phase.STABLE
    )


def lose_the_plug_in(watched: supervisor.Supervisor, name: str) -> None:
    """Make the deployment's strategy one with a guard of a type that is not installed."""
    found = watched.state.deployment(name)
    gone = {"guards": [{"name": "profit", "type": "profit"}]}
    stored = json.dumps(
        {**record.to_json(found.state), "strategy": {**found.config["strategy"], **gone}}
    )
    config = json.dumps({**found.config, "strategy": {**found.config["strategy"], **gone}})
    with closing(sqlite3.connect(watched.home.state)) as connection, connection:
        connection.execute(
            "UPDATE deployments SET state=?, config=? WHERE name=?", (stored, config, name)
        )


def test_a_deployment_whose_guard_is_not_installed_any_more_keeps_its_route_and_stops_no_other(
    watched, caplog
):
    deploy(watched, "a", every="1s")
    candidate = state.LocalRevision(
        **{**vars(watched.state.revision("b" * 12)), "revision": "c" * 12}
    )
    watched.state.deploy(candidate, now=2.0)
    found = watched.state.deployment("a")
    canary = states.State(phase=Phase.CANARY, stable="b" * 12, candidate="c" * 12, step=1)
    watched.state.save("a", state=canary, policy=found.policy, events=(), answered=None)
    route = states.route(canary, deployment="a", strategy=found.policy)
    assert route.weight > 0
    lose_the_plug_in(watched, "a")
    deploy(watched, "b", every="1s")
    try:
        watched.start()
        watched.tick()
        assert watched.gateway.in_effect("a") == route.version
    finally:
        watched.stop()
    assert watched.state.deployment("b").state.phase is Phase.STARTING
    assert watched.state.deployment("a").state == canary
    assert (
        "nothing moves for a: what is stored of it cannot be read (strategy.guards.0: "
        in caplog.text
    )


def test_while_the_gateway_s_port_is_taken_deployments_have_their_look(watched, caplog):
    deploy(watched, "a", every="1s")
    try:
        watched.gateway.start()
        port = int(watched.gateway.url.rpartition(":")[2])
        watched.gateway.stop()
        with socket.create_server(("127.0.0.1", port)):
            watched.tick()
    finally:
        watched.stop()
    assert f"port {port} is taken by another program" in caplog.text
    assert watched.state.deployment("a").state.phase is Phase.STARTING


def test_a_revision_whose_configuration_cannot_be_read_is_given_up_and_others_are_looked_after(
    watched, tmp_path
):
    made = test_state.revision({})
    package = str(support.packaged(tmp_path / "model", name="income").path)
    config = {**made.config, "serving": {**made.config["serving"], "gone": 1}}
    values = {**vars(made), "package": package, "config": config}
    wanted = {"a" * 12: state.LocalRevision(**{**values, "revision": "a" * 12}), "b" * 12: made}
    watched.servers.keep(wanted, now=1.0)
    _, broken = watched.servers.health(wanted)
    assert "cannot be read (serving.gone: " in broken["a" * 12]
    assert "b" * 12 in broken


@pytest.mark.parametrize("lost", ["the store", "the gateway"])
def test_what_cannot_be_stopped_is_said_and_everything_else_stops_the_gateway_first(
    watched, lost, monkeypatch, caplog
):
    ended, stop = [], watched.processes.stop
    monkeypatch.setattr(
        watched.processes, "stop", lambda name, **how: ended.append(name) or stop(name, **how)
    )
    for name in ("run-income", "envoy"):
        watched.processes.start(name, argv=["sleep", "600"], env={}, log=watched.home.logs / "log")
    if lost == "the store":
        deploy(watched, "income", every="1s")
        with closing(sqlite3.connect(watched.home.state)) as connection, connection:
            connection.execute("UPDATE deployments SET state='{'")
    else:
        refuse = OSError(28, "No space left on device")
        monkeypatch.setattr(watched.gateway, "stop", lambda: (_ for _ in ()).throw(refuse))
    watched.home.addresses.touch()
    watched.stop()
    assert not watched.processes.alive("run-income")
    assert not watched.home.addresses.exists()
    assert ended[0] == ("envoy" if lost == "the store" else "collector")
    assert ("is damaged" if lost == "the store" else "No space left") in caplog.text
    stop("envoy", grace_seconds=1.0)


def test_helpers_of_another_version_are_started_anew_before_the_store_is_brought_up_to_date(
    tmp_path,
):
    home = Home(tmp_path)
    supervised = processes.Processes(tmp_path)
    earlier = supervised.start("collector", argv=["sleep", "600"], env={}, log=tmp_path / "log")
    try:
        with closing(supervisor.Supervisor(home).state):
            assert not supervised.alive("collector")
        again = services.Services(home, supervised)
        again.start()
        began = supervised.record("collector")
        again.end_earlier()
        assert supervised.record("collector") == began != earlier
        file = tmp_path / "processes" / "monitor.json"  # of the same command, by another version
        artifacts.write_json(file, {**artifacts.read_json(file), "version": "0.0.1"})
        again.end_earlier()
        assert supervised.names() == ["collector"]
    finally:
        for name in supervised.names():
            supervised.stop(name)


def test_the_record_of_a_process_that_an_earlier_version_wrote_is_read(tmp_path):
    supervised = processes.Processes(tmp_path)
    known = {
        "name": "collector",
        "pid": 0,
        "created": 0.0,
        "argv": ["a", "b"],
        "started_at": 1.0,
        "log": "log",
    }
    artifacts.write_json(
        tmp_path / "processes" / "collector.json", {**known, "pid": 2**22 + 1, "mark": "m"}
    )
    record = supervised.record("collector")
    assert (record.argv, record.version) == (("a", "b"), "")


def test_a_store_of_an_earlier_version_learns_whether_commands_were_obeyed(tmp_path):
    file = tmp_path / "state.db"
    state.Store(file).close()
    with closing(sqlite3.connect(file)) as earlier, earlier:
        earlier.execute("ALTER TABLE commands DROP COLUMN obeyed")
    with closing(state.Store(file)) as store:
        assert store.reply(store.ask("income", Command("pause", "jo"), now=1.0)) is None


def test_a_command_that_a_supervisor_of_an_earlier_version_took_is_not_said_to_have_had_no_effect(
    watched,
):
    number = watched.state.ask("income", Command("pause", "jo"), now=1.0)
    with closing(sqlite3.connect(watched.home.state)) as earlier, earlier:
        earlier.execute("UPDATE commands SET answer='paused by jo' WHERE id=?", (number,))
    with pytest.raises(errors.PlatformError, match="a supervisor of an earlier version took pause"):
        watched.state.reply(number)

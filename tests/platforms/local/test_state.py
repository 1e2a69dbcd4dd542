"""What the local platform remembers of a rollout that is on its way."""

import contextlib
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairway import errors
from fairway.config import sections
from fairway.platforms.local import state
from fairway.platforms.local.home import Home
from fairway.rollout import bookkeeping, increments
from fairway.rollout.states import Phase, State


def revision(strategy: dict[str, Any]) -> state.LocalRevision:
    config = sections.Config.model_validate(
        {"name": "income", "data": {"source": "csv", "path": "unused.csv"}, "strategy": strategy}
    )
    return state.LocalRevision(
        revision="b" * 12,
        deployment="income",
        package="p",
        digest="sha256:0",
        facts={},
        note="",
        created_at=1.0,
        config=config.model_dump(mode="json", by_alias=True),
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("existed", [False, True], ids=["new", "of an earlier version"])
def test_a_home_and_its_stores_are_their_owners_alone(tmp_path: Path, existed: bool) -> None:
    home = Home(tmp_path / "home")
    if existed:
        home.packages.mkdir(parents=True)
        for store in (home.state, home.events):
            store.touch(mode=0o644)
        home.root.chmod(0o755)
    home.make()
    state.Store(home.state).close()
    assert (mode(home.root), mode(home.state)) == (0o700, 0o600)
    assert not home.events.exists() or mode(home.events) == 0o600


def test_a_directory_that_holds_something_else_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    tmp_path.chmod(0o755)
    Home(tmp_path).make()
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize(
    "spoil",
    [
        lambda store: store.write_bytes(b"no database at all" * 500),
        lambda store: store.write_bytes(store.read_bytes()[:4096] + b"x" * 40_000),
    ],
    ids=["another file", "cut short"],
)
def test_a_damaged_state_store_is_one_sentence_with_the_next_step(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    made = state.Store(tmp_path / "state.db")
    made.deploy(revision({}), now=1.0)
    made.close()
    spoil(tmp_path / "state.db")
    with pytest.raises(errors.PlatformError, match=r"is damaged .*move the file away"):
        state.Store(tmp_path / "state.db").deployments()


def test_a_state_that_cannot_be_read_names_its_deployment(tmp_path: Path) -> None:
    made = state.Store(tmp_path / "state.db")
    made.deploy(revision({}), now=1.0)
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as connection, connection:
        connection.execute("UPDATE deployments SET state='{'")
    with pytest.raises(errors.PlatformError, match=r"is damaged \(deployment income"):
        made.deployments()
    made.close()


def test_a_strategy_that_is_edited_in_mid_rollout_waits_for_the_next(tmp_path: Path) -> None:
    errors, slow = (
        {"name": "errors", "type": "errors", "maxRate": 0.02},
        {"name": "slow", "type": "latency", "threshold": "50ms", "maxRate": 0.1},
    )
    store = state.Store(tmp_path / "state.db")
    store.deploy(revision({"guards": [errors]}), now=1.0)
    begun = store.deployment("income")
    assert begun is not None
    going = State(
        phase=Phase.CANARY,
        stable="a" * 12,
        candidate="b" * 12,
        ledger=bookkeeping.begin(begun.policy, at=1.0),
    )
    store.save("income", state=going, policy=begun.policy, events=(), answered=None)
    store.deploy(revision({"guards": [errors, slow]}), now=2.0)
    edited = store.deployment("income")
    assert edited is not None
    assert [guard.name for guard in edited.policy.guards] == ["errors"]
    bookkeeping.observe(
        going.ledger or bookkeeping.begin(edited.policy, at=1.0),
        increments.Batch(
            gateway=increments.GatewayCounts(candidate=9, stable=9, bad={"errors": (0, 0)})
        ),
        strategy=edited.policy,
        offline=None,
        at=2.0,
    )
    store.save(
        "income",
        state=State(phase=Phase.STABLE, stable="b" * 12),
        policy=edited.policy,
        events=(),
        answered=None,
    )
    ended = store.deployment("income")
    assert ended is not None
    assert [guard.name for guard in ended.policy.guards] == ["errors", "slow"]
    store.close()

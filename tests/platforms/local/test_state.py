"""What the local platform remembers of a rollout that is on its way."""

from pathlib import Path
from typing import Any

from fairway.config import schema
from fairway.platforms.local import state
from fairway.rollout import ledger as ledgers
from fairway.rollout.states import Phase, State


def revision(strategy: dict[str, Any]) -> state.Revision:
    config = schema.Config.model_validate({"name": "income", "data": {"source": "csv", "path": "unused.csv"}, "strategy": strategy})
    return state.Revision(revision="b" * 12, deployment="income", package="p", digest="sha256:0", facts={}, note="", created_at=1.0,
                          config=config.model_dump(mode="json", by_alias=True))


def test_a_strategy_that_is_edited_in_mid_rollout_waits_for_the_next(tmp_path: Path) -> None:
    errors, slow = {"name": "errors", "type": "errors", "maxRate": 0.02}, {"name": "slow", "type": "latency", "threshold": "50ms", "maxRate": 0.1}
    store = state.Store(tmp_path / "state.db")
    store.deploy(revision({"guards": [errors]}), now=1.0)
    begun = store.deployment("income")
    assert begun is not None
    going = State(phase=Phase.CANARY, stable="a" * 12, candidate="b" * 12, ledger=ledgers.begin(begun.policy, at=1.0))
    store.save("income", state=going, policy=begun.policy, events=(), answered=None)
    store.deploy(revision({"guards": [errors, slow]}), now=2.0)
    edited = store.deployment("income")
    assert edited is not None
    assert [guard.name for guard in edited.policy.guards] == ["errors"]
    ledgers.observe(going.ledger or ledgers.begin(edited.policy, at=1.0), ledgers.Batch(
        gateway=ledgers.Gateway(candidate=9, stable=9, bad={"errors": (0, 0)})), strategy=edited.policy, offline=None, at=2.0)
    store.save("income", state=State(phase=Phase.STABLE, stable="b" * 12), policy=edited.policy, events=(), answered=None)
    ended = store.deployment("income")
    assert ended is not None
    assert [guard.name for guard in ended.policy.guards] == ["errors", "slow"]
    store.close()

"""The rollout's whole state in a ModelDeployment's status: the operator goes on from it, and the command line explains
by it. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fairway.config import sections
from fairway.rollout import record, states
from fairway.rollout.states import State

LARGEST = 262_144  # characters of a checkpoint that the definition allows


def write(state: State, *, policy: sections.Strategy, first: str | None) -> str:
    """Return all that a new operator needs to go on: the state, the strategy that the rollout began with, and the first
    revision in the HTTPRoute.
    """
    # the sentences of the history are kept; the numbers would be half of it
    rows = tuple({**row, "evidence": {}, "guarantee": ""} for row in state.history)
    kept = {
        "state": record.to_json(replace(state, history=rows)),
        "strategy": policy.model_dump(mode="json", by_alias=True),
        "first": first,
    }
    text = json.dumps(kept, separators=(",", ":"))
    if len(text) <= LARGEST:
        return text
    # a rollback that cannot be stored would never be made: the past goes first
    without_past = record.to_json(replace(state, history=(), segments=()))
    return json.dumps({**kept, "state": without_past}, separators=(",", ":"))


def read(status: Mapping[str, Any], *, policy: sections.Strategy) -> tuple[State, sections.Strategy, str | None]:
    """Return the state to go on from, the strategy in force (a rollout ends by the one that it began with), and the
    first revision in the HTTPRoute.
    """
    if "checkpoint" not in status:
        return State(), policy, None
    kept = json.loads(status["checkpoint"])
    state = record.from_json(kept["state"])
    begun = sections.Strategy.model_validate(kept["strategy"]) if states.bound(state) else policy
    return state, begun, kept.get("first")

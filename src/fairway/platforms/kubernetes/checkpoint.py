"""The rollout's whole state in a ModelDeployment's status: the operator goes on from it, and the
command line explains by it. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from fairway import errors
from fairway.config import sections
from fairway.rollout import record, states
from fairway.rollout.states import State

LARGEST = 262_144  # characters of a checkpoint that the definition allows


def write(state: State, *, policy: sections.Strategy, first: str | None) -> str:
    """Return all that a new operator needs to go on: the state, the strategy that the rollout began
    with, and the first revision in the HTTPRoute.
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


def read(
    status: Mapping[str, Any], *, policy: sections.Strategy
) -> tuple[State, sections.Strategy, str | None]:
    """Return the state to go on from, the strategy in force (a rollout ends by the one that it
    began with), and the first revision in the HTTPRoute; raises PlatformError for a strategy that
    cannot be read.
    """
    if "checkpoint" not in status:
        return State(), policy, None
    kept = json.loads(status["checkpoint"])
    state = record.from_json(kept["state"])
    return state, _begun(kept["strategy"]) if states.bound(state) else policy, kept.get("first")


def _begun(stored: Mapping[str, Any]) -> sections.Strategy:
    """Return the strategy that the rollout began with; raises PlatformError for one that this
    installation cannot read, as where a guard's plug-in is gone.
    """
    try:
        return sections.Strategy.model_validate(stored)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("strategy", *first["loc"])))
        raise errors.PlatformError(
            f"nothing moves: what the rollout began with cannot be read ({place}: {first['msg']}); wanted the plug-in, "
            "or the version of fairway, that it was written with"
        ) from error

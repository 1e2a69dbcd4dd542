"""How a rollout's state is written down: plain JSON both ways, without loss."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fairway.rollout import hooks, judge, states, traffic
from fairway.rollout.ledger import Ledger
from fairway.rollout.seen import Cursors, Segment

FIELDS = frozenset(field.name for field in dataclasses.fields(states.State))


def to_json(state: states.State) -> dict[str, Any]:
    """Return the state as plain JSON values."""
    plain = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    for name in ("sample", "cursors", "verdict"):
        plain[name] = dataclasses.asdict(plain[name]) if plain[name] is not None else None
    for name in ("segments", "calls"):
        plain[name] = [dataclasses.asdict(one) for one in plain[name]]
    plain["arrived"] = list(state.arrived)
    plain["ledger"] = state.ledger.to_json() if state.ledger else None
    return plain | {
        "rejected": list(state.rejected),
        "history": [dict(row) for row in state.history],
    }


def from_json(data: Mapping[str, Any]) -> states.State:
    """Return the state back.

    What another version added is left out, and what it did not know is as it is at the beginning.
    """
    data = {
        **to_json(states.State()),
        **{name: value for name, value in data.items() if name in FIELDS},
    }
    verdict, sample, resume_to, cause = (
        data["verdict"],
        data["sample"],
        data["resume_to"],
        data["cause"],
    )
    return states.State(
        **{
            **data,
            "phase": states.Phase(data["phase"]),
            "resume_to": states.Phase(resume_to) if resume_to else None,
            "cause": states.Cause(cause) if cause else None,
            "ledger": Ledger.from_json(data["ledger"]) if data["ledger"] else None,
            "sample": _sample(sample) if sample else None,
            "cursors": Cursors(**data["cursors"]),
            "segments": tuple(Segment(**segment) for segment in data["segments"]),
            "calls": tuple(hooks.Call(**call) for call in data["calls"]),
            "rejected": tuple(data["rejected"]),
            "arrived": _arrived(data["arrived"]),
            "verdict": _verdict(verdict) if verdict else None,
            "history": tuple(data["history"]),
        }
    )


def _verdict(data: Mapping[str, Any]) -> judge.Verdict:
    return judge.Verdict(
        **{
            **data,
            "action": judge.Action(data["action"]),
            **{name: tuple(data.get(name, ())) for name in ("suspended", "unfair")},
        }
    )


def _arrived(data: Any) -> tuple[int, int]:
    """Return the requests of both arms; an earlier version kept those of the candidate alone."""
    return (data, 0) if isinstance(data, int) else (data[0], data[1])


def _sample(data: Mapping[str, Any]) -> traffic.Sample:
    arms = {
        arm: traffic.ArmSample(**data[arm]) if data[arm] else None
        for arm in ("stable", "candidate")
    }
    return traffic.Sample(
        at=data["at"], epoch=data["epoch"], route_version=data["route_version"], **arms
    )

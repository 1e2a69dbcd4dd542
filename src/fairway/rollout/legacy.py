"""Reads the ledger as versions before bets had keys wrote it.

A rollout that an upgrade finds under way goes on with its evidence.

They kept one map for each number, by names such as `errors`, `errors/shadow`, `errors/limit` and
`quality/3`.
"""

from collections.abc import Mapping
from typing import Any

from fairway.rollout.bets import BetKind


def renewed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ledger's JSON in the present form; JSON that has it already is returned as it is."""
    if "harms" not in data:
        return data
    came = data.get("came", {})
    lotteries = data.get("lotteries", {})
    return {
        "bets": [_bet(name, data) for name in data["harms"]],
        "split": data["split"],
        "met": data.get("met", (0, 0)),
        "asked": data.get("asked", 0.0),
        "pairs": data["pairs"],
        "slices": data.get("slices", {}),
        "lotteries": {
            name: {"wealth": wealth, "came": came[name]} for name, wealth in lotteries.items()
        },
        "exposed": data.get("exposed", (0, 0)),
        "answered": {
            answer: (row[:2], row[2:]) for answer, row in data.get("answered", {}).items()
        },
        "waiting": data.get("waiting", {}),
        "since": data.get("since", 0.0),
        "at": data.get("at", 0.0),
    }


def _bet(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    guard, _, rest = name.partition("/")
    kind = BetKind.SLICE if rest.isdecimal() else BetKind(rest) if rest else BetKind.OWN
    n, bad, stable_n, stable_bad = data["totals"][name]
    parts = {"certificate": "certificates", "ratio": "ratios", "alarm": "alarms"}
    return {
        "guard": guard,
        "kind": kind,
        "place": int(rest) if kind is BetKind.SLICE else None,
        "harm": data["harms"][name],
        "candidate": (n, bad),
        "stable": (stable_n, stable_bad),
        "first": data.get("firsts", {}).get(name),
        "memory": _memory(name, data),
        **{part: data[whole][name] for part, whole in parts.items() if name in data.get(whole, {})},
    }


def _memory(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what guards of type drift and business remembered besides."""
    maps = {"answers": "answers", "spread": "spreads", "weight": "weights"}
    return {word: data[whole][name] for word, whole in maps.items() if name in data.get(whole, {})}

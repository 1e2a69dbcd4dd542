"""What a strategy is expected to do at some traffic, and what it would have done on recorded counts,
as a record and as text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fairway.cli import options, verdicts

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.rollout import prospect


def planned(
    policy: "sections.Strategy",
    *,
    requests_per_second: float,
    usual: Mapping[str, float],
    effects: Mapping[str, float],
) -> tuple[dict[str, Any], str]:
    """Return what to expect of each guard and each step; raise ConfigError for a limit that cannot
    be certified."""
    from fairway.rollout import plan

    expected = [
        asdict(one)
        for one in plan.plan(
            policy, requests_per_second=requests_per_second, usual=usual, effects=effects
        )
    ]
    steps = plan.schedule(policy, requests_per_second=requests_per_second, usual=usual)
    untold = _untold(policy, {one["guard"] for one in expected})
    record = {
        "requests_per_second": requests_per_second,
        "guards": expected,
        "steps": [
            {**asdict(step), "seconds": step.seconds if math.isfinite(step.seconds) else None}
            for step in steps
        ],
        "not_foretold": untold,
    }
    return record, "\n".join(_lines(policy, expected, steps=steps, untold=untold))


def replayed(record: Mapping[str, Any]) -> str:
    """Return the text for a replay's record."""
    rows = [
        {
            "bet": name,
            "e": value,
            **{
                arm: verdicts.span(record["intervals"].get(name, {}).get(arm))
                for arm in ("candidate", "stable", "ratio")
            },
        }
        for name, value in record["e_values"].items()
    ]
    return "\n".join(
        [
            f"{record['verdict']} at {record['at_seconds']:g} s: {record['reason']}",
            options.table(list(record["phases"])),
            options.table(rows),
            f"intervals: 95 %, at every look at once. {record['guarantee']}",
        ]
    )


def _untold(policy: "sections.Strategy", told: set[str]) -> list[str]:
    """Return the guards that gate canary or bake and are not foretold."""
    return [
        guard.name
        for guard in policy.guards
        if guard.stage in ("canary", "bake") and guard.name not in told
    ]


def _lines(
    policy: "sections.Strategy",
    expected: Sequence[dict[str, Any]],
    *,
    steps: Sequence["prospect.StepForecast"],
    untold: Sequence[str],
) -> list[str]:
    lines = [
        options.table([_row(one) for one in expected]),
        f"A step ends when {policy.canary.harm:.0%} more failing would have been found: "
        f"{', '.join(map(_step, steps))}.",
        "Expected values: about half of all rollouts take longer.",
    ]
    if untold:
        names = ", ".join(untold)
        lines.append(f"Not foretold: {names}. Who knows when labels come, or when the bake ends?")
    return [line for line in lines if line]


def _row(one: dict[str, Any]) -> dict[str, str]:
    certified, smallest = one["certified_seconds"], one["smallest_limit"]
    return {
        "guard": one["guard"],
        "gates": one["gates"],
        "limit": _limit(one["limit"]),
        "usual": f"{one['usual']:.2%}",
        "certified after": "-" if certified is None else f"{certified:.0f} s",
        "smallest limit": "-" if smallest is None else _limit(smallest),
        **{
            f"{bad} found after": "-" if at is None else f"{at:.0f} s"
            for bad, at in _found(one).items()
        },
    }


def _step(step: "prospect.StepForecast") -> str:
    if not math.isfinite(step.seconds):
        return f"{step.weight} % never, for no number of requests shows it"
    return f"{step.weight} % after {step.seconds:.0f} s" + (
        f" ({step.requests:.0f} requests of the candidate)" if step.requests else ""
    )


def _found(one: dict[str, Any]) -> dict[str, float | None]:
    from fairway.rollout import prospect

    return {
        name: one["found_seconds"].get(name) for name in (f"{bad:.0%}" for bad in prospect.HARMS)
    }


def _limit(value: float) -> str:
    """Return a share as percent, and a ratio as it is: no share is more than one, and no ratio
    less."""
    return f"{value:.2%}" if value <= 1 else f"{value:.3g} times"

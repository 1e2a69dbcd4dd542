"""What fairway holds itself to, each with the figure that was measured. A share may exceed its
bound by three Monte Carlo errors."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.judge.cells import Cell, Cells
from fairway.rollout.statistics import betting, hypotheses
from fairway.rollout.statistics.betting import ArmCounts, Wealth

RATES = (1, 10, 100)
CALM = ("healthy", "rates that swing")
SHARED = (
    "incident of both arms",
    "both arms 0.6%",
    "both arms 0.75%",
    "both arms 1%",
    "both arms 2%",
)
BURSTS = "bursts, units counted"
TWO_ARMS, STRICT, FUSED = "fairway .05", "fairway .01", "fairway fused .05"
MEANT_FOR_ROLLOUTS = (
    "Argo 60 s, limit 0",
    "Argo 60 s, limit 3",
    "Argo 10 s, limit 0",
    "Argo 10 s, limit 3",
    "Flagger stock",
    "Flagger tuned",
    "Kayenta",
)
Row = tuple[str, str, str, bool]  # what, measured, bound, held


def check(short: Cells, long: Cells, null: Cells) -> list[dict[str, object]]:
    """Return one row a target: what, measured, bound, held."""
    return [
        {"target": what, "measured": seen, "bound": bound, "held": "yes" if held else "NO"}
        for what, seen, bound, held in _all(short, long, null)
    ]


def update() -> dict[str, object]:
    """Return the target of one bet of a guard, with all restart rows in use: the best median of
    fifty times a thousand, as `timeit` takes it."""
    wealth = Wealth.start(at=0.0)
    for minute in range(betting.MAX_RESTARTS):
        wealth = wealth.restart(at=60.0 * minute)

    def once() -> float:
        began = time.perf_counter()
        wealth.bet(hypotheses.factors_two_arm(ArmCounts(100, 1), ArmCounts(900, 4)))
        return time.perf_counter() - began

    taken = min(float(np.median([once() for _ in range(1000)])) for _ in range(50)) * 1e6
    return {
        "target": "one bet of a guard (factors and wealth, all restart rows in use), microseconds",
        "measured": f"{taken:.0f}",
        "bound": "20",
        "held": "yes" if taken <= 20 else "NO",
    }


def _all(short: Cells, long: Cells, null: Cells) -> Iterator[Row]:
    yield from _false_rollbacks(short, long, null)
    yield from _found_soon(short)
    yield from _beside_peers(short)
    yield from _small_weights(short)
    yield from _little_traffic(short, long)


def _false_rollbacks(short: Cells, long: Cells, null: Cells) -> Iterator[Row]:
    def watched(what: str, cells: Cells, judge: str, names: Sequence[str], bound: float) -> Row:
        some = [cells[judge, of, rate] for of in names for rate in RATES]
        return _share(f"{what}, {judge}", some, bound)

    for name, cells in (("10 min", short), ("60 min", null)):
        for judge, alpha in ((TWO_ARMS, 0.05), (STRICT, 0.01)):
            what = f"false rollback, {name}, calm and swinging rates"
            yield watched(what, cells, judge, CALM, alpha)
    for judge, alpha in ((TWO_ARMS, 0.05), (STRICT, 0.01)):
        yield watched("shared incident and equally worse arms", short, judge, SHARED, alpha)
        yield watched(BURSTS, short, judge, [BURSTS], alpha)
        what = "every healthy scenario for 30 min with promotion and bake, units counted"
        yield watched(what, long, judge, (*CALM, *SHARED, BURSTS), alpha)
    yield watched("shared incident and equally worse arms", short, FUSED, SHARED, 0.15)


def _found_soon(short: Cells) -> Iterator[Row]:
    for rate, scenario, bad, seconds in (
        (100, "canary 20%", 15, 10),
        (100, "canary 5%", 10, None),
        (10, "canary 20%", 4, 15),
        (10, "canary 5%", 6, 80),
    ):
        cell = short[TWO_ARMS, scenario, rate]
        yield _most(f"{rate}/s, {scenario}: median bad requests", np.median(cell.bad), bad)
        if seconds is not None:
            yield _most(f"{rate}/s, {scenario}: median seconds", np.median(cell.at), seconds)


def _beside_peers(short: Cells) -> Iterator[Row]:
    for rate in (10, 100):
        for scenario in ("canary 20%", "canary 5%"):
            best, ratio = _best_peer(short, scenario=scenario, rate=rate)
            what = (
                f"{rate}/s, {scenario}: fewer bad requests than the best rollout tool "
                f"that spares 95 % of the healthy ({best})"
            )
            yield what, f"{ratio:.1f} times", "3", ratio >= 3


def _small_weights(short: Cells) -> Iterator[Row]:
    high = np.quantile(short[TWO_ARMS, "canary 20%", 100].bad, 0.95)
    yield _most("100/s, canary 20%: 95th percentile of bad requests", high, 25)
    for rate, scenario, seconds in ((100, "canary 1%", 200), (10, "canary 2%", 220)):
        cell = short[TWO_ARMS, scenario, rate]
        yield _share(f"{rate}/s, {scenario}: missed", [cell], 0.01, missed=True)
        yield _most(f"{rate}/s, {scenario}: median seconds", np.median(cell.at), seconds)


def _little_traffic(short: Cells, long: Cells) -> Iterator[Row]:
    fast, slow = short[FUSED, "canary 5%", 1], long[FUSED, "canary 5%", 1]
    yield _share(f"1/s, canary 5%: missed in 10 min, {FUSED}", [fast], 0.10, missed=True)
    yield _share(f"1/s, canary 5%: missed in 30 min, {FUSED}", [slow], 0.01, missed=True)
    wrongly = float(slow.promoted.mean()) if slow.promoted is not None else 1.0
    yield f"1/s, canary 5%: promoted in 30 min, {FUSED}", f"{wrongly:.1%}", "5.0%", wrongly <= 0.05


def _most(what: str, seen: np.floating[Any], bound: int) -> Row:
    return what, f"{seen:.0f}", f"{bound}", bool(seen <= bound)


def _best_peer(cells: Cells, *, scenario: str, rate: int) -> tuple[str, float]:
    """Return the rollout tool with the fewest failed requests (median) of those that roll back 5 %
    of healthy revisions at most, and how many times ours."""
    fair = [
        judge for judge in MEANT_FOR_ROLLOUTS if cells[judge, "healthy", rate].rolled_back <= 0.05
    ]
    best = min(fair, key=lambda judge: float(np.median(cells[judge, scenario, rate].bad)))
    return best, float(np.median(cells[best, scenario, rate].bad)) / max(
        1.0, float(np.median(cells[TWO_ARMS, scenario, rate].bad))
    )


def _share(what: str, cells: list[Cell], bound: float, *, missed: bool = False) -> Row:
    """The worst of the cells against the bound."""
    shares = [(1 - cell.rolled_back if missed else cell.rolled_back) for cell in cells]
    held = all(share <= bound + 3 * cell.error for share, cell in zip(shares, cells, strict=True))
    return what, f"{max(shares):.1%}", f"{bound:.1%}", held

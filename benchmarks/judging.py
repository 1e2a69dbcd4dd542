"""The judge: what an update costs, how often a healthy canary is rolled back, and how much harm is served before a bad one is.

The other side is a pooled two-proportion z-test at the same level, looked at after every scrape, as dashboards invite to.
"""

import math
import time

import numpy as np

from fairway.rollout import evidence
from fairway.rollout.evidence import ArmCounts, Wealth

ALPHA, BASE, SCRAPE_SECONDS, LOOKS = 0.05, 0.005, 5, 120   # ten minutes of five-second scrapes
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5)


def update_microseconds(*, rounds: int) -> float:
    """Gives the time of one guard's update, with all restart rows in use."""
    wealth = Wealth.start(at=0.0)
    for minute in range(evidence.MAX_RESTARTS):
        wealth = wealth.restart(at=60.0 * minute)
    began = time.perf_counter()
    for _ in range(rounds):
        wealth.bet(evidence.factors_two_arm(ArmCounts(100, 1), ArmCounts(900, 4)))
    return (time.perf_counter() - began) / rounds * 1e6


def replay(*, rate: int, canary: float, runs: int, seed: int) -> list[dict[str, object]]:
    """Gives one row a judge on the same streams: share rolled back, its Monte Carlo error, median bad requests and seconds."""
    ended: dict[str, list[tuple[float, int] | None]] = {"fairway": [], "z-test looked at": []}
    for run in range(runs):
        stream = _stream(np.random.default_rng([seed, rate, run]), rate=rate, canary=canary)
        ended["fairway"].append(_ours(stream))
        ended["z-test looked at"].append(_z(stream))
    rows: list[dict[str, object]] = []
    for judge, found in ended.items():
        share = sum(one is not None for one in found) / runs
        caught = [one for one in found if one is not None]
        rows.append({
            "judge": judge, "requests/s": rate, "canary fails": f"{canary:.1%}", "rolled back": f"{share:.1%}",
            "error": f"{math.sqrt(share * (1 - share) / runs):.1%}", "median s": np.median([at for at, _ in caught]) if caught else None,
            "median bad": np.median([bad for _, bad in caught]) if caught else None})
    return rows


def _stream(rng: np.random.Generator, *, rate: int, canary: float) -> list[tuple[ArmCounts, ArmCounts]]:
    """Gives the increments of both arms by scrape: Poisson arrivals, weight up by a tenth a minute."""
    counts = []
    for look in range(LOOKS):
        total = int(rng.poisson(rate * SCRAPE_SECONDS))
        n = int(rng.binomial(total, WEIGHTS[min(look * SCRAPE_SECONDS // 60, len(WEIGHTS) - 1)]))
        counts.append((ArmCounts(n, int(rng.binomial(n, canary))), ArmCounts(total - n, int(rng.binomial(total - n, BASE)))))
    return counts


def _ours(stream: list[tuple[ArmCounts, ArmCounts]]) -> tuple[float, int] | None:
    wealth, bad = Wealth.start(at=0.0), 0
    for look, (canary, stable) in enumerate(stream):
        at = float(look * SCRAPE_SECONDS)
        wealth = (wealth.restart(at=at) if wealth.due(at=at) else wealth).bet(evidence.factors_two_arm(canary, stable))
        bad += canary.bad
        if wealth.log_e >= math.log(1 / ALPHA):
            return at + SCRAPE_SECONDS, bad
    return None


def _z(stream: list[tuple[ArmCounts, ArmCounts]]) -> tuple[float, int] | None:
    n = m = x = y = 0
    for look, (canary, stable) in enumerate(stream):
        n, x, m, y = n + canary.n, x + canary.bad, m + stable.n, y + stable.bad
        pooled = (x + y) / max(1, n + m)
        spread = math.sqrt(pooled * (1 - pooled) * (1 / max(1, n) + 1 / max(1, m)))
        if spread > 0 and (x / max(1, n) - y / max(1, m)) / spread > 1.645:
            return float((look + 1) * SCRAPE_SECONDS), x
    return None

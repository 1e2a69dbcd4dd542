"""What the judges are shown: scenarios, and the counts of many rollouts at once. All judges see the
same requests of one scenario.

Times are ticks of five seconds, a scrape each; arrays are [runs, ticks].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

TICK = 5.0
BASE = 0.005  # the share of failures that is usual
STEP_SECONDS, MAX_WEIGHT = 60.0, 0.5  # a tenth more each minute, up to a half
BURST = 4.0  # failures of one unit that comes again and again, on average


@dataclass(frozen=True)
class Scenario:
    """A rollout: both arms' failure rates over time (seconds -> share), and whether the canary is
    to blame."""

    name: str
    stable: Callable[[Floats], Floats]
    canary: Callable[[Floats], Floats]
    healthy: bool
    bursts: bool = False  # failures come in bursts of one unit
    units: bool = False  # and each unit counts once


@dataclass(frozen=True)
class Stream:
    """Increments by tick of both arms; `weight` is the canary's share that the gateway was asked
    for."""

    canary: Ints
    canary_bad: Ints
    stable: Ints
    stable_bad: Ints
    weight: Floats  # [ticks]
    served_bad: Ints  # failed requests of the canary's users, whatever counts as one

    def some(self, runs: int) -> "Stream":
        """Return the first runs."""
        return Stream(
            self.canary[:runs],
            self.canary_bad[:runs],
            self.stable[:runs],
            self.stable_bad[:runs],
            self.weight,
            self.served_bad[:runs],
        )


def switched(first: Stream, second: Stream, at: Floats) -> Stream:
    """Return each run's first stream until `at` (seconds), and its second from then on."""
    later = np.arange(len(first.weight)) * TICK >= at[:, None]
    counts = (
        np.where(later, getattr(second, name), getattr(first, name))
        for name in ("canary", "canary_bad", "stable", "stable_bad")
    )
    return Stream(*counts, first.weight, np.where(later, second.served_bad, first.served_bad))


def constant(rate: float) -> Callable[[Floats], Floats]:
    return lambda at: np.full_like(at, rate)


def wave(at: Floats) -> Floats:
    return BASE * (1 + 0.8 * np.sin(2 * np.pi * at / 240))


def late(at: Floats) -> Floats:
    return np.where(at < 300, BASE, 0.05)


def incident(at: Floats) -> Floats:
    return np.where((at >= 180) & (at < 240), 0.05, BASE)


def _equal(name: str, rate: Callable[[Floats], Floats], **more: bool) -> Scenario:
    return Scenario(name, rate, rate, healthy=True, **more)


SCENARIOS = (
    _equal("healthy", constant(BASE)),
    *(
        Scenario(f"canary {rate:.0%}", constant(BASE), constant(rate), healthy=False)
        for rate in (0.01, 0.02, 0.05, 0.2)
    ),
    Scenario("canary 5% from 300 s", constant(BASE), late, healthy=False),
    _equal("rates that swing", wave),
    _equal("incident of both arms", incident),
    *(_equal(f"both arms {100 * rate:g}%", constant(rate)) for rate in (0.006, 0.0075, 0.01, 0.02)),
    _equal("bursts, requests counted", constant(BASE), bursts=True),
    _equal("bursts, units counted", constant(BASE), bursts=True, units=True),
)


def weights(seconds: float) -> Floats:
    """Return the canary's share at each tick: 10 % in the first minute, 10 % more each minute, 50 %
    from the fifth on."""
    starts = np.arange(0.0, seconds, TICK)
    result: Floats = np.minimum(MAX_WEIGHT, 0.1 * (1 + starts // STEP_SECONDS))
    return result


def draw(
    scenario: Scenario,
    *,
    rate: float,
    seconds: float,
    runs: int,
    seed: int,
    share: float | None = None,
) -> Stream:
    """Return the counts of `runs` rollouts with `rate` requests a second, Poisson arrivals and
    random assignment.

    The canary's share follows the steps, or is `share` all the time.
    """
    rng = np.random.default_rng(
        [
            seed,
            round(rate * 1000),
            [known.name for known in SCENARIOS].index(scenario.name),
            round(seconds),
            round(100 * (share or 0)),
        ]
    )
    weight = weights(seconds) if share is None else np.full(round(seconds / TICK), share)
    middle = np.arange(0.0, seconds, TICK) + TICK / 2
    total = rng.poisson(rate * TICK, size=(runs, len(weight)))
    canary = rng.binomial(total, weight)
    stable = total - canary
    canary_bad, stable_bad = (
        rng.binomial(canary, scenario.canary(middle)),
        rng.binomial(stable, scenario.stable(middle)),
    )
    if not scenario.bursts:
        return Stream(canary, canary_bad, stable, stable_bad, weight, canary_bad)
    again = [
        bad + rng.negative_binomial(np.maximum(bad, 1), 1 / BURST) * (bad > 0)
        for bad in (canary_bad, stable_bad)
    ]  # each unit 1, 2, 3 ... times
    if scenario.units:
        return Stream(canary, canary_bad, stable, stable_bad, weight, again[0])
    return Stream(
        canary + again[0] - canary_bad,
        again[0],
        stable + again[1] - stable_bad,
        again[1],
        weight,
        again[0],
    )

"""Where a promise may be broken by what happens to real teams: labels that are no lottery, counts
by the time of the answer, bursts, rates that change.

Each trial is one way to count or to bet, on many simulated rollouts at once: fairway's, and beside
it the one that it replaced or that others take. A row says how often the wrong thing happened, and
what is stated; rows without a bound show what does not hold, and why.
"""

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.judge.promises import arrival, certificates, labels, steps, tolerance, users
from benchmarks.judge.promises.trial import Trial

PARTS: dict[str, Callable[[np.random.Generator, int], Iterator[Trial]]] = {
    "labels": labels.play,
    "arrival": arrival.play,
    "tolerance": tolerance.play,
    "certificates": certificates.play,
    "steps": steps.play,
    "users": users.play,
}


def play(part: str, *, seed: int, runs: int) -> list[Trial]:
    """Return the trials of one part."""
    return list(PARTS[part](np.random.default_rng([seed, list(PARTS).index(part)]), runs))


def rows(trials: list[Trial], again: list[Trial]) -> list[dict[str, object]]:
    """Return a row a trial: both seeds' shares and the larger of their errors. It is held where
    both are."""
    found: list[dict[str, object]] = []
    for one, other in zip(trials, again, strict=True):
        stated = (
            "not promised"
            if one.bound is None
            else f"{'at least ' if one.least else ''}{one.bound:.1%}"
        )
        held = "-" if one.bound is None else "yes" if one.held and other.held else "NO"
        found.append(
            {
                "what": one.what,
                "measured": f"{one.share:.2%}",
                "with another seed": f"{other.share:.2%}",
                "Monte Carlo error": f"{max(one.error, other.error):.2%}",
                "stated": stated,
                "held": held,
            }
        )
    return found

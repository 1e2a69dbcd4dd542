"""Much traffic, in which a small difference is found that nobody minds."""

from collections.abc import Iterator

import numpy as np

from benchmarks.judge import ours, streams
from benchmarks.judge.promises import trial
from benchmarks.judge.streams import TICK


def play(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    weight = streams.weights(600)
    total = rng.poisson(1000 * TICK, (runs, len(weight)))
    mine = rng.binomial(total, weight)
    slightly, more, beyond = (
        trial.wrong(rng, mine, total - mine, rates=(rate, 0.01), weight=weight)
        for rate in (0.012, 0.0125, 0.02)
    )
    yield trial.Trial(
        "1,000 requests/s, 1.2 % against 1 %: rolled back without a tolerance",
        trial.crossed(ours.harms(slightly), trial.ALPHA),
        runs,
    )
    yield trial.Trial(
        "the same with tolerance 1.2",
        trial.crossed(ours.harms(slightly, tolerance=1.2), trial.ALPHA),
        runs,
        trial.ALPHA,
    )
    yield trial.Trial(
        "1,000 requests/s, 1.25 times stable's rate with maxRatio 1.5: rolled back",
        trial.crossed(ours.harms(more, tolerance=1.5), trial.ALPHA),
        runs,
        trial.ALPHA,
    )
    yield trial.Trial(
        "1,000 requests/s, twice stable's rate with maxRatio 1.5: rolled back",
        trial.crossed(ours.harms(beyond, tolerance=1.5), trial.ALPHA),
        runs,
        0.99,
        least=True,
    )

"""Users who come again, and fail each time."""

from collections.abc import Iterator

import numpy as np

from benchmarks.judge import ours, streams
from benchmarks.judge.promises import trial
from benchmarks.judge.streams import TICK, Floats, Stream

# who come again once a minute; the share that always fails
USERS, FAILING, EACH_SECONDS = 3000, 0.02, 60.0


def play(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    """Users who fail each time that they come, through every step and every restart of the bets."""
    weight = streams.weights(1800)
    what = "3,000 users once a minute, 2 % of whom always fail, in both arms, half an hour"
    lot = rng.random((runs, round(USERS * FAILING)))
    visits = _visits(rng, lot, weight)
    yield trial.Trial(
        f"{what}: healthy canary rolled back, visits counted at the split that came in",
        trial.crossed(ours.harms(visits), trial.ALPHA),
        runs,
    )
    begins = rng.exponential(EACH_SECONDS, lot.shape)
    drawn = _firsts(lot, begins, weight)
    yield trial.Trial(
        "the same, first failures of users at the weight at which they were drawn",
        trial.crossed(ours.harms(drawn), trial.ALPHA),
        runs,
        trial.ALPHA,
    )
    # as many again, who come anew
    turning = np.concatenate([begins, rng.uniform(0, 1800, lot.shape)], axis=1)
    lots = np.concatenate([lot, rng.random(lot.shape)], axis=1)
    yield trial.Trial(
        "the same, as many failing users again come in the course of the half hour",
        trial.crossed(ours.harms(_firsts(lots, turning, weight)), trial.ALPHA),
        runs,
        trial.ALPHA,
    )
    breaks = np.concatenate([begins, 600 + rng.exponential(EACH_SECONDS, lot.shape)], axis=1)
    yield trial.Trial(
        "the same, as many again begin to fail in the eleventh minute, in both arms",
        trial.crossed(ours.harms(_firsts(lots, breaks, weight)), trial.ALPHA),
        runs,
        trial.ALPHA,
    )
    # users whom the canary alone fails, once they are its own
    worse = rng.random((runs, round(USERS * 2 * FAILING)))
    begin = np.searchsorted(weight, worse, side="right") * TICK
    met = _firsts(worse, begin + rng.exponential(EACH_SECONDS, worse.shape), weight)
    failing = Stream(
        drawn.canary,
        drawn.canary_bad + met.canary_bad,
        drawn.stable,
        drawn.stable_bad,
        weight,
        met.canary_bad,
    )
    yield trial.Trial(
        "the same, the canary fails another 4 % of its users: rolled back",
        trial.crossed(ours.harms(failing), trial.ALPHA),
        runs,
        0.99,
        least=True,
    )


def _firsts(lot: Floats, at: Floats, weight: Floats) -> Stream:
    """Return the first failures of users by tick and arm, bet at the weight of the time; `lot`
    below it is the canary's, `at` when each first fails."""
    runs, ticks = len(lot), len(weight)
    # those who come too late fall into a tick of their own
    tick = np.minimum(at / TICK, ticks).astype(np.int64)
    canary = lot < np.append(weight, 0.0)[tick]
    where = tick + (ticks + 1) * np.arange(runs)[:, None]
    bad = [
        np.bincount(where[some], minlength=runs * (ticks + 1)).reshape(runs, -1)[:, :ticks]
        for some in (canary, ~canary)
    ]
    share = np.broadcast_to(np.round(weight * 1000).astype(np.int64), (runs, ticks))
    return Stream(share, bad[0], 1000 - share, bad[1], weight, bad[0])


def _visits(rng: np.random.Generator, lot: Floats, weight: Floats) -> Stream:
    """Return all visits, by users of whom each is in one arm as long as the weight stays; `lot` are
    those who fail."""
    others = rng.random((len(lot), USERS - lot.shape[1]))
    counts = []
    for users in (lot, others):
        mine = np.stack([(users < share).sum(axis=1) for share in np.unique(weight)], axis=1)
        mine = mine[:, np.searchsorted(np.unique(weight), weight)]
        counts += [
            rng.poisson(some * TICK / EACH_SECONDS) for some in (mine, users.shape[1] - mine)
        ]
    bad, stable_bad, good, stable_good = counts
    return Stream(good + bad, bad, stable_good + stable_bad, stable_bad, weight, bad)

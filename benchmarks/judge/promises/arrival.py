"""When a request counts: by the time of its answer, or by the time at which it came."""

from collections.abc import Iterator

import numpy as np

from benchmarks.judge import ours, streams
from benchmarks.judge.promises import trial
from benchmarks.judge.streams import TICK, Ints, Stream

RATE, SECONDS, WEIGHT = 300, 600, 0.5


def play(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    arrived = [rng.poisson(RATE * share, (runs, SECONDS)) for share in (WEIGHT, 1 - WEIGHT)]
    yield from _incident(rng, arrived)
    yield from _slow_answers(rng, arrived)


def _incident(rng: np.random.Generator, arrived: list[Ints]) -> Iterator[trial.Trial]:
    runs, at = len(arrived[0]), np.arange(SECONDS)
    incident = np.where((at >= 302) & (at < 362), 0.5, streams.BASE)
    bad = [rng.binomial(some, incident) for some in arrived]
    for delay in (1, 2, 4):
        answered = _delayed(arrived[0], delay), _delayed(bad[0], delay)
        yield trial.Trial(
            f"incident of both arms for a minute, canary slower by {delay} s, counted when answered: healthy canary "
            f"rolled back",
            trial.crossed(ours.harms(_ticks(*answered, arrived[1], bad[1])), trial.ALPHA),
            runs,
        )
    yield trial.Trial(
        "the same, however slow, counted when they arrived",
        trial.crossed(ours.harms(_ticks(arrived[0], bad[0], arrived[1], bad[1])), trial.ALPHA),
        runs,
        trial.ALPHA,
    )


def _slow_answers(rng: np.random.Generator, arrived: list[Ints]) -> Iterator[trial.Trial]:
    runs = len(arrived[0])
    failing = [rng.binomial(some, 0.05) for some in arrived]
    good = [some - failed for some, failed in zip(arrived, failing, strict=True)]
    late = (
        _delayed(good[0], 30) + failing[0],
        _delayed(good[1], 30, before=round(RATE * 0.95)) + failing[1],
    )
    # the canary's share begins at 0 s; what comes in before its first answers do is stable's alone
    yield trial.Trial(
        "equal arms whose answers take 30 s and whose failures none, counted when answered: healthy canary rolled back",
        trial.crossed(ours.harms(_ticks(late[0], failing[0], late[1], failing[1])), trial.ALPHA),
        runs,
    )
    yield trial.Trial(
        "the same, counted when they arrived",
        trial.crossed(
            ours.harms(_ticks(arrived[0], failing[0], arrived[1], failing[1])), trial.ALPHA
        ),
        runs,
        trial.ALPHA,
    )


def _delayed(counts: Ints, seconds: int, *, before: int = 0) -> Ints:
    """Return what is answered in each second; until the first of these come, answers of what had
    arrived before."""
    return np.concatenate([np.full((len(counts), seconds), before), counts[:, :-seconds]], axis=1)


def _ticks(mine: Ints, mine_bad: Ints, theirs: Ints, theirs_bad: Ints) -> Stream:
    """Return the counts of each second by tick."""
    width = round(TICK)
    n, bad, m, stable_bad = (
        counts.reshape(len(counts), -1, width).sum(axis=2)
        for counts in (mine, mine_bad, theirs, theirs_bad)
    )
    return Stream(n, bad, m, stable_bad, np.zeros(n.shape[1]), bad)

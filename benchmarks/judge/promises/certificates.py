"""Certificates of a rate that comes in bursts, or changes."""

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.judge import ours
from benchmarks.judge.promises import trial
from benchmarks.judge.streams import TICK, Floats, Ints, Stream
from fairway.rollout.statistics import hypotheses

LIMIT = 0.02
TICKS = round(1800 / TICK)


def play(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    yield from _in_bursts(rng, runs)
    yield from _in_turns(rng, runs)


def _in_bursts(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    for burst in (1.5, 4.0):
        # of units, so that the limit is the share of requests that fail
        often = LIMIT / (burst * (1 - LIMIT) + LIMIT)
        units, failing, requests = _bursts(rng, (runs, TICKS), share=often, burst=burst)
        yield trial.Trial(
            f"at the limit, bursts of mean {burst:g}, requests counted: certified",
            _certified(units - failing + requests, requests),
            runs,
        )
        if burst == 4.0:
            _, capped, most = _bursts(rng, (runs, TICKS), share=often, burst=burst, most=8)
            share = most.sum() / (units - capped + most).sum()
            yield trial.Trial(
                "the same, eight requests of a unit at most and requestsPerUnit: 8",
                _certified(units - capped + most, most, limit=float(share), divided=8),
                runs,
                trial.CERTIFIED,
            )
        units, failing, _ = _bursts(rng, (runs, TICKS), share=LIMIT, burst=burst)
        yield trial.Trial(
            f"at the limit, bursts of mean {burst:g}, units counted: certified",
            _certified(units, failing),
            runs,
            trial.CERTIFIED,
        )


def _in_turns(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    n = rng.poisson(5 * TICK, (runs, TICKS))
    for period in (60, 240):
        rate = np.where(np.arange(TICKS) * TICK % period < period / 2, 0.005, 0.05)
        bad = rng.binomial(n, rate)
        log_e = ours.certificates(Stream(n, bad, n, bad, rate, bad), limit=LIMIT)
        average = np.cumsum(n * rate, axis=1) / np.maximum(1, np.cumsum(n, axis=1))
        what = (
            f"rate that is 0.5 % and 5 % in turns, {period // 2} s each: "
            "promoted while its average is beyond the limit of 2 %"
        )
        yield trial.Trial(
            f"{what}, a certificate once earned is kept",
            _promoted_beyond(np.maximum.accumulate(log_e, axis=1), average),
            runs,
        )
        yield trial.Trial(
            f"{what}, the certificate of the moment counts",
            _promoted_beyond(log_e, average),
            runs,
            trial.CERTIFIED,
        )


def _bursts(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    share: float,
    burst: float,
    most: int | None = None,
) -> tuple[Ints, Ints, Ints]:
    """Return the units of each tick, those that fail, and the requests that these send: each 1, 2,
    3 ... (`most` at most), all of which fail."""
    units = rng.poisson(5 * TICK, shape)
    failing = rng.binomial(units, share)
    if most is None:
        return (
            units,
            failing,
            failing + rng.negative_binomial(np.maximum(failing, 1), 1 / burst) * (failing > 0),
        )
    sizes = np.minimum(rng.geometric(1 / burst, int(failing.sum())), most)
    sums = np.concatenate([[0], np.cumsum(sizes)])
    ends = np.cumsum(failing.ravel())
    return units, failing, (sums[ends] - sums[ends - failing.ravel()]).reshape(shape)


def _certified(n: Ints, bad: Ints, *, limit: float = LIMIT, divided: int = 1) -> int:
    wealth = ours.Wealths(len(n), restarts=False)
    peak = np.full(len(n), -np.inf)
    for tick in range(n.shape[1]):
        wealth.bet(
            hypotheses.below(
                bad[:, tick, None].astype(float), n[:, tick, None].astype(float), limit=limit
            )
            / divided
        )
        peak = np.maximum(peak, wealth.log_e())
    return int((peak >= math.log(1 / trial.CERTIFIED)).sum())


def _promoted_beyond(log_e: Floats, average: Floats) -> int:
    """Return how many are promoted at a look, five minutes or more after the beginning, at which
    the average is beyond the limit."""
    first = np.argmax(
        (log_e >= math.log(1 / trial.CERTIFIED)) & (np.arange(log_e.shape[1]) * TICK >= 300), axis=1
    )
    runs = np.arange(len(log_e))
    return int(((first > 0) & (average[runs, first] >= LIMIT)).sum())

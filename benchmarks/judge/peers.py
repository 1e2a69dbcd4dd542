"""The other judges, by their sources (facts of July and August 2026): Flagger's scheduler, Argo
Rollouts' analysis, Kayenta's NetflixACAJudge, and two tests.

Each gives when it rolls back, in seconds from the start, [runs]; infinity where it does not.
Nobody's metrics are late, and nobody's rollback takes time.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.judge.streams import MAX_WEIGHT, TICK, Floats, Scenario, Stream

SUCCESS = 0.99  # their documents' example: a check passes at 99 % successes or more
NEVER = np.inf


@dataclass(frozen=True)
class Ended:
    """How a judge ended many rollouts: seconds until the rollback, and failed requests of the
    canary's users."""

    at: Floats
    bad: Floats


def stopped(stream: Stream, at: Floats, *, until: "Floats | float" = NEVER) -> Ended:
    """Return what the canary's users saw until the rollback (or `until`), where the weights go on
    by time."""
    ends = np.arange(1, stream.canary.shape[1] + 1) * TICK
    return Ended(
        at, (stream.served_bad * (ends <= np.minimum(at, until)[:, None])).sum(axis=1).astype(float)
    )


def argo(stream: Stream, *, interval: float, failures: int) -> Ended:
    """Argo Rollouts, background analysis over the last minute, from the first minute on: aborted
    when more than `failures` measurements have failed."""
    window, every = round(60 / TICK), round(interval / TICK)
    n, bad = (_window(counts, window) for counts in (stream.canary, stream.canary_bad))
    ends = np.arange(window, stream.canary.shape[1] + 1, every)
    failed = (bad[:, ends] > (1 - SUCCESS) * n[:, ends]) & (n[:, ends] > 0)
    return stopped(stream, first(np.cumsum(failed, axis=1) > failures, ends * TICK))


def flagger(
    scenario: Scenario,
    *,
    rate: float,
    seconds: float,
    runs: int,
    seed: int,
    interval: float,
    threshold: int,
    step: float,
) -> Ended:
    """Flagger: one check an interval over the last interval; a failed one holds the weight; rolled
    back at the tick after the `threshold`-th; all traffic goes over, and nobody looks any more,
    once a check at the largest weight has passed.

    Its weights are its own, and so are its requests: as many, by the same rates.
    """
    rng = np.random.default_rng([seed, 7, round(rate * 1000), round(seconds)])
    weight, failures = np.full(runs, step), np.zeros(runs, dtype=int)
    at, bad, promoted = np.full(runs, NEVER), np.zeros(runs), np.zeros(runs, dtype=bool)
    for begin in np.arange(0.0, seconds, interval):
        over = np.isfinite(at)
        n, failed = np.zeros(runs), np.zeros(runs)
        for middle in np.arange(begin + TICK / 2, begin + interval, TICK):
            canary = rng.binomial(
                rng.poisson(rate * TICK, size=runs),
                np.where(over, 0.0, np.where(promoted, 1.0, weight)),
            )
            broken = rng.binomial(canary, scenario.canary(np.array([middle]))[0])
            if scenario.bursts and not scenario.units:
                more = rng.negative_binomial(np.maximum(broken, 1), 0.25) * (broken > 0)
                canary, broken = canary + more, broken + more
            n, failed = n + canary, failed + broken
        bad += failed
        judged = ~over & ~promoted
        at[judged & (failures >= threshold)] = begin + interval
        judged &= failures < threshold
        passes = failed <= (1 - SUCCESS) * n
        failures += judged & ~passes
        promoted |= judged & passes & (weight >= MAX_WEIGHT - 1e-9)
        weight = np.where(judged & passes, np.minimum(MAX_WEIGHT, weight + step), weight)
    return Ended(at, bad)


def z_test(stream: Stream, *, interval: float, level: float = 1.645) -> Ended:
    """The pooled two-proportion z-test of a fixed horizon, one-sided at 5 %, looked at every
    interval as if each look were the last."""
    n, x, m, y = _totals(stream)
    pooled = (x + y) / np.maximum(n + m, 1)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1)))
    z = np.divide(
        x / np.maximum(n, 1) - y / np.maximum(m, 1),
        spread,
        out=np.zeros_like(spread),
        where=spread > 0,
    )
    looks = np.arange(round(interval / TICK) - 1, n.shape[1], round(interval / TICK))
    return stopped(stream, first(z[:, looks] > level, (looks + 1) * TICK))


def msprt(stream: Stream, *, alpha: float, tau: float = 0.01) -> Ended:
    """The mixture sequential test of two proportions with a normal prior of spread `tau` on their
    difference (Johari and others 2017, section 3)."""
    n, x, m, y = _totals(stream)
    n, m = np.maximum(n, 1), np.maximum(m, 1)
    pooled = (x + y) / (n + m)
    variance = pooled * (1 - pooled) * (1 / n + 1 / m)
    difference = x / n - y / m
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.sqrt(variance / (variance + tau**2)) * np.exp(
            tau**2 * difference**2 / (2 * variance * (variance + tau**2))
        )
    crossed = (variance > 0) & (difference > 0) & (ratio >= 1 / alpha)
    return stopped(stream, first(crossed, np.arange(1, n.shape[1] + 1) * TICK))


def kayenta(stream: Stream, *, step: float = 10.0) -> Ended:
    """NetflixACAJudge: Mann-Whitney on the error ratio of each ten seconds, a growing window judged
    three times; High fails.

    The 98 % interval of the shift is read from the ordered differences (normal approximation, no
    correction for ties).
    """
    width = round(step / TICK)
    runs, ticks = stream.canary.shape
    points = ticks // width

    def ratios(bad: Floats, n: Floats) -> Floats:
        bad, n = (
            counts[:, : points * width].reshape(runs, points, width).sum(axis=2).astype(float)
            for counts in (bad, n)
        )
        return np.divide(bad, n, out=np.full_like(n, np.nan), where=n > 0)

    canary, stable = (
        ratios(stream.canary_bad, stream.canary),
        ratios(stream.stable_bad, stream.stable),
    )
    at = np.full(runs, NEVER)
    for judgement in (1, 2, 3):
        until = points * judgement // 3
        for run in np.flatnonzero(~np.isfinite(at)):
            if _high(canary[run, :until], stable[run, :until]):
                at[run] = until * step
    return stopped(stream, at)


def _high(canary: Floats, stable: Floats) -> bool:
    canary, stable = canary[~np.isnan(canary)], stable[~np.isnan(stable)]
    m, n = len(canary), len(stable)
    if m == 0 or n == 0:
        return False
    differences = np.sort((canary[:, None] - stable[None, :]).ravel())
    spread = 2.3263 * np.sqrt(m * n * (m + n + 1) / 12)
    low = int(np.floor(m * n / 2 - spread - 0.5))
    return bool(low >= 0 and differences[low] > 0.25 * abs(np.median(differences)))


def _totals(stream: Stream) -> tuple[Floats, Floats, Floats, Floats]:
    n, x, m, y = (
        np.cumsum(counts, axis=1).astype(float)
        for counts in (stream.canary, stream.canary_bad, stream.stable, stream.stable_bad)
    )
    return n, x, m, y


def _window(counts: Floats, width: int) -> Floats:
    """Return the sums of the last `width` ticks before each tick, [runs, ticks + 1]."""
    sums = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1)], axis=1)
    result: Floats = sums - np.concatenate(
        [np.zeros((len(counts), width)), sums[:, :-width]], axis=1
    )
    return result


def first(crossed: Floats, times: Floats) -> Floats:
    """Return the time of the first look that crosses, infinity where none does."""
    return np.where(
        crossed.any(axis=1), np.asarray(times, dtype=float)[np.argmax(crossed, axis=1)], NEVER
    )

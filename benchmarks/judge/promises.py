"""Where a promise may be broken by what happens to real teams: labels that are no lottery, counts
by the time of the answer, bursts, rates that change.

Each trial is one way to count or to bet, on many simulated rollouts at once: fairway's, and beside
it the one that it replaced or that others take. A row says how often the wrong thing happened, and
what is stated; rows without a bound show what does not hold, and why.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.judge import ours, streams
from benchmarks.judge.streams import TICK, Floats, Ints, Stream
from fairway.config import sections
from fairway.rollout import replay
from fairway.rollout.bookkeeping import ENOUGH
from fairway.rollout.ledger import SPLIT_ALPHA
from fairway.rollout.states import Phase
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts

ALPHA, CERTIFIED = 0.01, 0.05
MARGIN = 0.02  # of quality guards, as by default
LABELS = 10.0  # a tick
LIMIT = 0.02


@dataclass(frozen=True)
class Trial:
    """How often something happened in so many rollouts; `bound` is what is stated of it, None where
    nothing is."""

    what: str
    happened: int
    runs: int
    bound: float | None = None
    least: bool = False  # the bound is the least that is promised

    @property
    def share(self) -> float:
        return self.happened / self.runs

    @property
    def error(self) -> float:
        """One standard deviation of the share, by Monte Carlo."""
        return math.sqrt(max(self.share * (1 - self.share), 1 / self.runs) / self.runs)

    @property
    def held(self) -> bool | None:
        if self.bound is None:
            return None
        return (
            self.share >= self.bound - 3 * self.error
            if self.least
            else self.share <= self.bound + 3 * self.error
        )


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


# -- labels ----------------------------------------------------------------------------------------


def _labels(rng: np.random.Generator, runs: int) -> Iterator[Trial]:
    ticks = 240
    weight = np.full(ticks, 0.05)
    mine = np.full((runs, ticks), 5)
    equal = _wrong(rng, mine, mine, rates=(0.1, 0.1), weight=weight)
    before, now = (
        _crossed(_quality(equal, harm=True, nominal=True), ALPHA),
        _crossed(_quality(equal, harm=True), ALPHA),
    )
    yield Trial(
        "labels taken of equally many of each arm at 5 %: healthy canary rolled back, bets at the weight that was "
        "asked for",
        before,
        runs,
    )
    yield Trial("the same, bets at the split of the labels that are in", now, runs, ALPHA)
    yield Trial(
        "the same: found to be no lottery",
        _crossed(_lottery(equal), SPLIT_ALPHA),
        runs,
        0.99,
        least=True,
    )

    half = np.full(ticks, 0.5)
    fewer = _wrong(
        rng,
        rng.poisson(LABELS / 3, (runs, ticks)),
        rng.poisson(LABELS * 2 / 3, (runs, ticks)),
        rates=(0.15, 0.1),
        weight=half,
    )
    yield Trial(
        "canary wrong 15 % against 10 %, labelled half as often, half and half: certified, bets at the weight that "
        "was asked for",
        _crossed(_quality(fewer, harm=False, nominal=True), CERTIFIED),
        runs,
    )
    yield Trial(
        "the same, bets at the split of the labels that are in",
        _crossed(_quality(fewer, harm=False), CERTIFIED),
        runs,
        CERTIFIED,
    )
    yield Trial(
        "the same: found to be no lottery",
        _crossed(_lottery(fewer), SPLIT_ALPHA),
        runs,
        0.99,
        least=True,
    )

    steps = np.repeat([0.05, 0.25, 0.5], ticks // 3)
    drawn = rng.poisson(LABELS, (runs, ticks))
    split = rng.binomial(drawn, steps)
    healthy, edge, worse = (
        _wrong(rng, split, drawn - split, rates=(rate, 0.1), weight=steps)
        for rate in (0.1, 0.12, 0.25)
    )
    yield Trial(
        "labels by lot, healthy canary: rolled back",
        _crossed(_quality(healthy, harm=True), ALPHA),
        runs,
        ALPHA,
    )
    yield Trial(
        "labels by lot, canary worse by the margin: rolled back",
        _crossed(_quality(edge, harm=True), ALPHA),
        runs,
        ALPHA,
    )
    yield Trial(
        "labels by lot, canary worse by the margin: certified",
        _crossed(_quality(edge, harm=False), CERTIFIED),
        runs,
        CERTIFIED,
    )
    yield Trial(
        "labels by lot: found to be no lottery",
        _crossed(_lottery(healthy), SPLIT_ALPHA),
        runs,
        SPLIT_ALPHA,
    )
    yield Trial(
        "labels by lot, canary wrong 25 % against 10 %: rolled back, bets at the weight that was asked for",
        _crossed(_quality(worse, harm=True, nominal=True), ALPHA),
        runs,
    )
    yield Trial(
        "the same, bets at the split of the labels that are in",
        _crossed(_quality(worse, harm=True), ALPHA),
        runs,
        0.99,
        least=True,
    )

    right, wrong = (
        rng.poisson(LABELS / 2 * 0.85, (runs, ticks)),
        rng.poisson(LABELS / 2 * 0.15 / 2, (runs, ticks)),
    )
    theirs = rng.poisson(LABELS / 2, (runs, ticks))
    hangs = Stream(right + wrong, wrong, theirs, rng.binomial(theirs, 0.1), half, wrong)
    yield Trial(
        "half of the canary's wrong answers are never labelled, 15 % against 10 %: certified before it is found to "
        "be no lottery",
        int(
            (
                _first(_quality(hangs, harm=False), CERTIFIED)
                < _first(_lottery(hangs), SPLIT_ALPHA)
            ).sum()
        ),
        runs,
    )


def _wrong(
    rng: np.random.Generator,
    mine: Ints,
    theirs: Ints,
    *,
    rates: tuple[float, float],
    weight: Floats,
) -> Stream:
    bad = rng.binomial(mine, rates[0]), rng.binomial(theirs, rates[1])
    return Stream(mine, bad[0], theirs, bad[1], weight, bad[0])


def _quality(stream: Stream, *, harm: bool, nominal: bool = False) -> Floats:
    """Return the evidence of a quality guard after each tick, as the ledger gathers it; `nominal`:
    as it was bet at the weight that was asked for."""
    return ours.late(
        stream, margin=MARGIN, harm=harm, least=0 if nominal else ENOUGH, nominal=nominal
    )


def _lottery(stream: Stream) -> Floats:
    """Return the evidence that the labels are no lottery."""
    wealth, found = ours.Wealths(len(stream.canary), restarts=False), np.zeros(stream.canary.shape)
    for tick, weight in enumerate(stream.weight):
        both = [counts[:, tick, None].astype(float) for counts in (stream.canary, stream.stable)]
        unit = [
            hypotheses.factors_split(candidate=mine, stable=1 - mine, weight=float(weight))
            for mine in (1, 0)
        ]
        wealth.bet(both[0] * unit[0] + both[1] * unit[1])
        found[:, tick] = wealth.log_e()
    return found


# -- when a request counts -------------------------------------------------------------------------


def _arrival(rng: np.random.Generator, runs: int) -> Iterator[Trial]:
    rate, seconds, weight = 300, 600, 0.5
    at = np.arange(seconds)
    incident = np.where((at >= 302) & (at < 362), 0.5, streams.BASE)
    arrived = [rng.poisson(rate * share, (runs, seconds)) for share in (weight, 1 - weight)]
    bad = [rng.binomial(some, incident) for some in arrived]
    for delay in (1, 2, 4):
        answered = _delayed(arrived[0], delay), _delayed(bad[0], delay)
        yield Trial(
            f"incident of both arms for a minute, canary slower by {delay} s, counted when answered: healthy canary "
            f"rolled back",
            _crossed(ours.harms(_ticks(*answered, arrived[1], bad[1])), ALPHA),
            runs,
        )
    yield Trial(
        "the same, however slow, counted when they arrived",
        _crossed(ours.harms(_ticks(arrived[0], bad[0], arrived[1], bad[1])), ALPHA),
        runs,
        ALPHA,
    )

    failing = [rng.binomial(some, 0.05) for some in arrived]
    good = [some - failed for some, failed in zip(arrived, failing, strict=True)]
    late = (
        _delayed(good[0], 30) + failing[0],
        _delayed(good[1], 30, before=round(rate * 0.95)) + failing[1],
    )
    # the canary's share begins at 0 s; what comes in before its first answers do is stable's alone
    yield Trial(
        "equal arms whose answers take 30 s and whose failures none, counted when answered: healthy canary rolled back",
        _crossed(ours.harms(_ticks(late[0], failing[0], late[1], failing[1])), ALPHA),
        runs,
    )
    yield Trial(
        "the same, counted when they arrived",
        _crossed(ours.harms(_ticks(arrived[0], failing[0], arrived[1], failing[1])), ALPHA),
        runs,
        ALPHA,
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


# -- much traffic ----------------------------------------------------------------------------------


def _tolerance(rng: np.random.Generator, runs: int) -> Iterator[Trial]:
    weight = streams.weights(600)
    total = rng.poisson(1000 * TICK, (runs, len(weight)))
    mine = rng.binomial(total, weight)
    slightly, more, beyond = (
        _wrong(rng, mine, total - mine, rates=(rate, 0.01), weight=weight)
        for rate in (0.012, 0.0125, 0.02)
    )
    yield Trial(
        "1,000 requests/s, 1.2 % against 1 %: rolled back without a tolerance",
        _crossed(ours.harms(slightly), ALPHA),
        runs,
    )
    yield Trial(
        "the same with tolerance 1.2",
        _crossed(ours.harms(slightly, tolerance=1.2), ALPHA),
        runs,
        ALPHA,
    )
    yield Trial(
        "1,000 requests/s, 1.25 times stable's rate with maxRatio 1.5: rolled back",
        _crossed(ours.harms(more, tolerance=1.5), ALPHA),
        runs,
        ALPHA,
    )
    yield Trial(
        "1,000 requests/s, twice stable's rate with maxRatio 1.5: rolled back",
        _crossed(ours.harms(beyond, tolerance=1.5), ALPHA),
        runs,
        0.99,
        least=True,
    )


# -- certificates ----------------------------------------------------------------------------------


def _certificates(rng: np.random.Generator, runs: int) -> Iterator[Trial]:
    ticks = round(1800 / TICK)
    for burst in (1.5, 4.0):
        # of units, so that the limit is the share of requests that fail
        often = LIMIT / (burst * (1 - LIMIT) + LIMIT)
        units, failing, requests = _bursts(rng, (runs, ticks), share=often, burst=burst)
        yield Trial(
            f"at the limit, bursts of mean {burst:g}, requests counted: certified",
            _certified(units - failing + requests, requests),
            runs,
        )
        if burst == 4.0:
            _, capped, most = _bursts(rng, (runs, ticks), share=often, burst=burst, most=8)
            share = most.sum() / (units - capped + most).sum()
            yield Trial(
                "the same, eight requests of a unit at most and requestsPerUnit: 8",
                _certified(units - capped + most, most, limit=float(share), divided=8),
                runs,
                CERTIFIED,
            )
        units, failing, _ = _bursts(rng, (runs, ticks), share=LIMIT, burst=burst)
        yield Trial(
            f"at the limit, bursts of mean {burst:g}, units counted: certified",
            _certified(units, failing),
            runs,
            CERTIFIED,
        )
    n = rng.poisson(5 * TICK, (runs, ticks))
    for period in (60, 240):
        rate = np.where(np.arange(ticks) * TICK % period < period / 2, 0.005, 0.05)
        bad = rng.binomial(n, rate)
        log_e = ours.certificates(Stream(n, bad, n, bad, rate, bad), limit=LIMIT)
        average = np.cumsum(n * rate, axis=1) / np.maximum(1, np.cumsum(n, axis=1))
        what = (
            f"rate that is 0.5 % and 5 % in turns, {period // 2} s each: "
            "promoted while its average is beyond the limit of 2 %"
        )
        yield Trial(
            f"{what}, a certificate once earned is kept",
            _promoted_beyond(np.maximum.accumulate(log_e, axis=1), average),
            runs,
        )
        yield Trial(
            f"{what}, the certificate of the moment counts",
            _promoted_beyond(log_e, average),
            runs,
            CERTIFIED,
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
    return int((peak >= math.log(1 / CERTIFIED)).sum())


def _promoted_beyond(log_e: Floats, average: Floats) -> int:
    """Return how many are promoted at a look, five minutes or more after the beginning, at which
    the average is beyond the limit."""
    first = np.argmax(
        (log_e >= math.log(1 / CERTIFIED)) & (np.arange(log_e.shape[1]) * TICK >= 300), axis=1
    )
    runs = np.arange(len(log_e))
    return int(((first > 0) & (average[runs, first] >= LIMIT)).sum())


# -- steps -----------------------------------------------------------------------------------------


def _steps(rng: np.random.Generator, runs: int) -> Iterator[Trial]:
    """A canary that fails a tenth more from its first request on, in the default steps, by the
    state machine itself."""
    runs = min(runs, 200)
    policy = sections.Strategy.model_validate(
        {
            "warmup": "0s",
            "shadow": {"enabled": False},
            "guards": [{"name": "errors", "type": "errors", "maxRate": 0.02}],
        }
    )
    hurried = policy.model_copy(update={"canary": policy.canary.model_copy(update={"harm": 1.0})})
    for which, strategy, bound in (
        ("ends when a total failure would have been found", hurried, None),
        ("as by default", policy, 0.8),
    ):
        found = sum(_found_in_step(rng, strategy) for _ in range(runs))
        yield Trial(
            f"10 requests/s, a tenth more of the canary's requests fail, first step {which}: rolled back in it",
            found,
            runs,
            bound,
            least=True,
        )


def _found_in_step(rng: np.random.Generator, policy: sections.Strategy) -> bool:
    """Say whether the canary is rolled back before its first step ends."""
    going = replay.begin(policy, at=0.0, pairs=False)
    for look in range(400):
        n = int(rng.poisson(10 * TICK))
        mine = int(rng.binomial(n, policy.canary.steps[0].weight / 100))
        bad = int(rng.binomial(mine, 0.105)), int(rng.binomial(n - mine, 0.005))
        row = replay.Row(
            look * TICK,
            (look + 1) * TICK,
            "errors",
            ArmCounts(mine, bad[0]),
            ArmCounts(n - mine, bad[1]),
        )
        going = replay.learn(going, replay.Counted(row.start, row.end, {"errors": row}))
        if going.state.phase is not Phase.CANARY or going.state.step:
            return going.state.phase is Phase.ROLLING_BACK
    return False


# -- users who come again --------------------------------------------------------------------------


# who come again once a minute; the share that always fails
USERS, FAILING, EACH_SECONDS = 3000, 0.02, 60.0


def _users(rng: np.random.Generator, runs: int) -> Iterator[Trial]:
    """Users who fail each time that they come, through every step and every restart of the bets."""
    weight = streams.weights(1800)
    what = "3,000 users once a minute, 2 % of whom always fail, in both arms, half an hour"
    lot = rng.random((runs, round(USERS * FAILING)))
    visits = _visits(rng, lot, weight)
    yield Trial(
        f"{what}: healthy canary rolled back, visits counted at the split that came in",
        _crossed(ours.harms(visits), ALPHA),
        runs,
    )
    begins = rng.exponential(EACH_SECONDS, lot.shape)
    drawn = _firsts(lot, begins, weight)
    yield Trial(
        "the same, first failures of users at the weight at which they were drawn",
        _crossed(ours.harms(drawn), ALPHA),
        runs,
        ALPHA,
    )
    # as many again, who come anew
    turning = np.concatenate([begins, rng.uniform(0, 1800, lot.shape)], axis=1)
    lots = np.concatenate([lot, rng.random(lot.shape)], axis=1)
    yield Trial(
        "the same, as many failing users again come in the course of the half hour",
        _crossed(ours.harms(_firsts(lots, turning, weight)), ALPHA),
        runs,
        ALPHA,
    )
    breaks = np.concatenate([begins, 600 + rng.exponential(EACH_SECONDS, lot.shape)], axis=1)
    yield Trial(
        "the same, as many again begin to fail in the eleventh minute, in both arms",
        _crossed(ours.harms(_firsts(lots, breaks, weight)), ALPHA),
        runs,
        ALPHA,
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
    yield Trial(
        "the same, the canary fails another 4 % of its users: rolled back",
        _crossed(ours.harms(failing), ALPHA),
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


# --------------------------------------------------------------------------------------------------


def _crossed(log_e: Floats, alpha: float) -> int:
    return int((log_e.max(axis=1) >= math.log(1 / alpha)).sum())


def _first(log_e: Floats, alpha: float) -> Floats:
    crossed = log_e >= math.log(1 / alpha)
    return np.where(crossed.any(axis=1), np.argmax(crossed, axis=1), np.inf)


PARTS: dict[str, Callable[[np.random.Generator, int], Iterator[Trial]]] = {
    "labels": _labels,
    "arrival": _arrival,
    "tolerance": _tolerance,
    "certificates": _certificates,
    "steps": _steps,
    "users": _users,
}

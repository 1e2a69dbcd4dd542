"""Labels that are no lottery: taken of one arm more than of the other, or not of what is wrong."""

from collections.abc import Iterator

import numpy as np

from benchmarks.judge import ours
from benchmarks.judge.promises import trial
from benchmarks.judge.streams import Floats, Stream
from fairway.rollout.bookkeeping import ENOUGH
from fairway.rollout.ledger import SPLIT_ALPHA
from fairway.rollout.statistics import hypotheses

TICKS = 240
MARGIN = 0.02  # of quality guards, as by default
LABELS = 10.0  # a tick


def play(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    for part in (_equally_many, _fewer_of_canary, _by_lot, _never_labelled):
        yield from part(rng, runs)


def _equally_many(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    weight = np.full(TICKS, 0.05)
    mine = np.full((runs, TICKS), 5)
    equal = trial.wrong(rng, mine, mine, rates=(0.1, 0.1), weight=weight)
    before, now = (
        trial.crossed(_quality(equal, harm=True, nominal=True), trial.ALPHA),
        trial.crossed(_quality(equal, harm=True), trial.ALPHA),
    )
    yield trial.Trial(
        "labels taken of equally many of each arm at 5 %: healthy canary rolled back, bets at the weight that was "
        "asked for",
        before,
        runs,
    )
    yield trial.Trial(
        "the same, bets at the split of the labels that are in", now, runs, trial.ALPHA
    )
    yield trial.Trial(
        "the same: found to be no lottery",
        trial.crossed(_lottery(equal), SPLIT_ALPHA),
        runs,
        0.99,
        least=True,
    )


def _fewer_of_canary(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    half = np.full(TICKS, 0.5)
    fewer = trial.wrong(
        rng,
        rng.poisson(LABELS / 3, (runs, TICKS)),
        rng.poisson(LABELS * 2 / 3, (runs, TICKS)),
        rates=(0.15, 0.1),
        weight=half,
    )
    yield trial.Trial(
        "canary wrong 15 % against 10 %, labelled half as often, half and half: certified, bets at the weight that "
        "was asked for",
        trial.crossed(_quality(fewer, harm=False, nominal=True), trial.CERTIFIED),
        runs,
    )
    yield trial.Trial(
        "the same, bets at the split of the labels that are in",
        trial.crossed(_quality(fewer, harm=False), trial.CERTIFIED),
        runs,
        trial.CERTIFIED,
    )
    yield trial.Trial(
        "the same: found to be no lottery",
        trial.crossed(_lottery(fewer), SPLIT_ALPHA),
        runs,
        0.99,
        least=True,
    )


def _by_lot(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    steps = np.repeat([0.05, 0.25, 0.5], TICKS // 3)
    drawn = rng.poisson(LABELS, (runs, TICKS))
    split = rng.binomial(drawn, steps)
    healthy, edge, worse = (
        trial.wrong(rng, split, drawn - split, rates=(rate, 0.1), weight=steps)
        for rate in (0.1, 0.12, 0.25)
    )
    yield trial.Trial(
        "labels by lot, healthy canary: rolled back",
        trial.crossed(_quality(healthy, harm=True), trial.ALPHA),
        runs,
        trial.ALPHA,
    )
    yield trial.Trial(
        "labels by lot, canary worse by the margin: rolled back",
        trial.crossed(_quality(edge, harm=True), trial.ALPHA),
        runs,
        trial.ALPHA,
    )
    yield trial.Trial(
        "labels by lot, canary worse by the margin: certified",
        trial.crossed(_quality(edge, harm=False), trial.CERTIFIED),
        runs,
        trial.CERTIFIED,
    )
    yield trial.Trial(
        "labels by lot: found to be no lottery",
        trial.crossed(_lottery(healthy), SPLIT_ALPHA),
        runs,
        SPLIT_ALPHA,
    )
    yield trial.Trial(
        "labels by lot, canary wrong 25 % against 10 %: rolled back, bets at the weight that was asked for",
        trial.crossed(_quality(worse, harm=True, nominal=True), trial.ALPHA),
        runs,
    )
    yield trial.Trial(
        "the same, bets at the split of the labels that are in",
        trial.crossed(_quality(worse, harm=True), trial.ALPHA),
        runs,
        0.99,
        least=True,
    )


def _never_labelled(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    half = np.full(TICKS, 0.5)
    right, wrong = (
        rng.poisson(LABELS / 2 * 0.85, (runs, TICKS)),
        rng.poisson(LABELS / 2 * 0.15 / 2, (runs, TICKS)),
    )
    theirs = rng.poisson(LABELS / 2, (runs, TICKS))
    hangs = Stream(right + wrong, wrong, theirs, rng.binomial(theirs, 0.1), half, wrong)
    yield trial.Trial(
        "half of the canary's wrong answers are never labelled, 15 % against 10 %: certified before it is found to "
        "be no lottery",
        int(
            (
                trial.first(_quality(hangs, harm=False), trial.CERTIFIED)
                < trial.first(_lottery(hangs), SPLIT_ALPHA)
            ).sum()
        ),
        runs,
    )


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

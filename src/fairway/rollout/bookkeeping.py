"""Begins a rollout's ledger and takes batches of increments into it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fairway.config import sections
from fairway.rollout import guards
from fairway.rollout.bets import NOBODY, SLICES, Bet, BetKey, BetKind, Pair
from fairway.rollout.guards.base import Case
from fairway.rollout.increments import Batch, GatewayCounts, Labelled, Valued
from fairway.rollout.ledger import Ledger, Lottery
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import Wealth

# labels of one weight that are bet on at once: fewer waste a share of 1/n of what they say
ENOUGH = 10
WAITING = 100  # outcomes of one arm that wait for the other's: bounds what travels in a status


def begin(strategy: sections.Strategy, *, at: float) -> Ledger:
    """Return the ledger of a rollout that begins: every wealth is 1."""
    bets = {key: _bet(case, key, at=at) for case in guards.cases(strategy) for key in case.keys}
    return Ledger(bets=bets, split=Wealth.start(at=at, restarts=False), since=at, at=at)


def _bet(case: Case[Any], key: BetKey, *, at: float) -> Bet:
    """Return a bet that has learnt nothing. Slices are many, and the status is small: their bets do
    not restart."""
    certified = key.kind is BetKind.OWN and case.stage != "watch"
    return Bet(
        harm=Wealth.start(at=at, restarts=key.kind is not BetKind.SLICE),
        certificate=Wealth.start(at=at, restarts=False) if certified else None,
    )


def observe(
    ledger: Ledger, batch: Batch, *, strategy: sections.Strategy, offline: float | None, at: float
) -> Ledger:
    """Return the ledger after one batch. Callers must not pass the same observation twice
    (`intake`, `control.units`).

    `offline` is the disagreement that evaluation measured between the two models.
    """
    if ledger.crooked:
        batch = _without_weights(batch)
    cases = guards.cases(strategy, offline=offline)
    waiting, ready = _gathered(ledger, batch)
    split, met, asked = _divided(ledger, ready)
    exposed, answered = _answered(ledger, batch, cases)
    return replace(
        ledger,
        bets=_learnt(ledger, ready, cases, at=at),
        split=split,
        met=met,
        asked=asked,
        pairs=ledger.pairs + (batch.paired.compared if batch.paired else 0),
        incomparable=ledger.incomparable + (batch.paired.incomparable if batch.paired else 0),
        slices={
            case.name: _known_slices(batch, ledger.slices.get(case.name, ()))
            for case in cases
            if case.slice_by is not None
        },
        lotteries=_drawn(ledger, batch, cases),
        exposed=exposed,
        answered=answered,
        waiting=waiting,
        at=at,
    )


def restart(ledger: Ledger, *, at: float) -> Ledger:
    """Return the ledger with a restart point at a change of weight, where late harm is likeliest.

    The split is judged anew.
    """
    return divide(
        replace(ledger, bets={key: bet.restart(at=at) for key, bet in ledger.bets.items()})
    )


def divide(ledger: Ledger) -> Ledger:
    """Return the ledger with no judgement yet of how units are divided.

    Each counts anew where a stretch of constant weight begins.
    """
    return replace(ledger, split=Wealth.start(at=ledger.at, restarts=False), met=NOBODY)


def _learnt(
    ledger: Ledger, batch: Batch, cases: Iterable[Case[Any]], *, at: float
) -> dict[BetKey, Bet]:
    """Return the bets after the batch.

    Every guard bets on what was known before the batch, so that its bets stay fair.
    """
    bets = {key: bet.due(at=at) for key, bet in ledger.bets.items()}
    unfair = ledger.unfair
    for case in cases:
        if case.name in unfair:
            continue
        for news in case.news(batch, ledger):
            bets[news.key] = bets[news.key].learn(news, since=ledger.at, at=at)
        for key, memory in case.remembered(batch, ledger):
            bets[key] = replace(bets[key], memory=memory)
    return bets


def _without_weights(batch: Batch) -> Batch:
    """Return what is left of a batch where the split is not what was asked.

    The arms have different users, or nobody knows.
    """
    return replace(
        batch,
        labelled=(),
        valued=(),
        exposed=tuple(replace(exposed, new=(0, 0), answers={}) for exposed in batch.exposed),
        counted=tuple(_as_split(counted) for counted in batch.counted),
    )


def _as_split(counted: GatewayCounts) -> GatewayCounts:
    """Return the counts with the split that was realised instead of the weight; no more can be bad
    than there are."""
    bad = {
        name: (min(mine, counted.candidate), min(theirs, counted.stable))
        if name in counted.shares
        else (mine, theirs)
        for name, (mine, theirs) in counted.bad.items()
    }
    return replace(counted, bad=bad, shares={})


def _divided(ledger: Ledger, batch: Batch) -> tuple[Wealth, Pair, float]:
    """Return the evidence against the split, the units that it is judged by, and the share that was
    asked for."""
    split, met, asked = ledger.split, ledger.met, ledger.asked
    for exposed in batch.exposed:
        mine, theirs = exposed.candidate, exposed.stable
        split = split.bet(
            hypotheses.factors_split(candidate=mine, stable=theirs, weight=exposed.weight)
        )
        met = met.plus(mine, theirs)
        asked = exposed.weight if mine + theirs else asked
    return split, met, asked


# -- labels and outcomes, which come late ------------------------------------------------------------------------------


def _drawn(ledger: Ledger, batch: Batch, cases: Iterable[Case[Any]]) -> dict[str, Lottery]:
    """Return the lotteries after the batch: by lot, as many labels or outcomes of each arm come in
    as were served."""
    lotteries = dict(ledger.lotteries)
    for case in cases:
        for mine, theirs, weight in case.arrivals(batch):
            before = lotteries.get(case.name) or Lottery(
                Wealth.start(at=ledger.since, restarts=False)
            )
            factors = hypotheses.factors_split(candidate=mine, stable=theirs, weight=weight)
            lotteries[case.name] = Lottery(
                before.wealth.bet(factors), before.came.plus(mine, theirs)
            )
    return lotteries


def _answered(
    ledger: Ledger, batch: Batch, cases: Iterable[Case[Any]]
) -> tuple[Pair, dict[str, tuple[Pair, Pair]]]:
    """Return the units that were served, and by answer (the first few that were met) also those
    whose labels are in."""
    if not any(case.by_answer for case in cases):
        return ledger.exposed, {}
    answered = dict(ledger.answered)
    for one in batch.exposed:
        for answer, (mine, theirs) in _places(one.answers, answered):
            served, labelled = answered.get(answer, (NOBODY, NOBODY))
            answered[answer] = served.plus(mine, theirs), labelled
    for labels in batch.labelled:
        if labels.slice is None:
            for answer, (mine, theirs) in _places(labels.answers, answered):
                served, labelled = answered.get(answer, (NOBODY, NOBODY))
                answered[answer] = served, labelled.plus(mine, theirs)
    exposed = ledger.exposed
    for one in batch.exposed:
        exposed = exposed.plus(*one.new)
    return exposed, answered


def _places(
    answers: Mapping[str, tuple[int, int]], known: Mapping[str, object]
) -> list[tuple[str, tuple[int, int]]]:
    """Return the answers that are known, and the most frequent others in the places that are left."""
    often = sorted(answers.items(), key=lambda item: -sum(item[1]))
    new = [item for item in often if item[0] not in known][: max(0, hypotheses.BINS - len(known))]
    return [item for item in often if item[0] in known or item in new]


def _gathered(ledger: Ledger, batch: Batch) -> tuple[Batch, Batch]:
    """Return what goes on waiting, and the batch with what now has enough of both arms.

    Labels are gathered by weight and slice, outcomes by weight and name.

    When they are bet on hangs on how many there are and on nothing else, so that the bets stay
    fair.
    """
    labelled, valued = _labels(ledger, batch), _outcomes(ledger, batch)
    enough = [one for one in labelled if _enough(one.candidate.n, one.stable.n)]
    whole = [one for one in valued if _enough(len(one.candidate), len(one.stable))]
    waiting = Batch(
        labelled=tuple(one for one in labelled if one not in enough),
        valued=tuple(
            replace(one, candidate=one.candidate[-WAITING:], stable=one.stable[-WAITING:])
            for one in valued
            if one not in whole
        ),
    )
    return waiting, replace(batch, labelled=tuple(enough), valued=tuple(whole))


def _labels(ledger: Ledger, batch: Batch) -> list[Labelled]:
    """Return the labels that wait and those of the batch, added up by weight and slice.

    Only slices that were met before count: which slices there are must not hang on what they bring.
    """
    known = {None, *(value for values in ledger.slices.values() for value in values)}
    found: dict[tuple[float, str | None], Labelled] = {}
    for one in (*ledger.waiting.labelled, *batch.labelled):
        if one.slice not in known:
            continue
        before = found.get((one.weight, one.slice))
        found[one.weight, one.slice] = replace(
            one,
            answers={},
            losses=one.losses or (before is not None and before.losses),
            candidate=before.candidate.plus(one.candidate) if before else one.candidate,
            stable=before.stable.plus(one.stable) if before else one.stable,
        )
    return list(found.values())


def _outcomes(ledger: Ledger, batch: Batch) -> list[Valued]:
    """Return the outcomes that wait and those of the batch, joined by weight and name."""
    found: dict[tuple[float, str], Valued] = {}
    for one in (*ledger.waiting.valued, *batch.valued):
        before = found.get((one.weight, one.name))
        found[one.weight, one.name] = (
            replace(
                one, candidate=before.candidate + one.candidate, stable=before.stable + one.stable
            )
            if before
            else one
        )
    return list(found.values())


def _enough(mine: int, theirs: int) -> bool:
    return min(mine, theirs) > 0 and mine + theirs >= ENOUGH


def _known_slices(batch: Batch, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the slices with those that the batch brought, as long as there is room.

    A new slice is bet on from the next batch on: otherwise the test would not be valid.
    """
    new = {labels.slice for labels in batch.labelled if labels.slice is not None} - {*known}
    return (*known, *sorted(new))[:SLICES]

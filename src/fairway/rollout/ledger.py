"""What a rollout has learnt: increments of counts in, wealth by bet out. Pure.

Each guard of the strategy has bets against the candidate (harm) and, where it gates, a certificate. Mode fused adds the candidate against the
absolute limit, which is suspended while stable itself is beyond it: an incident of both is no fault of the candidate.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fairway.config import sections
from fairway.rollout import evidence
from fairway.rollout.evidence import Alarm, ArmCounts, Floats, Wealth
from fairway.rollout.intervals import Ratio

# A guard's bets beside its own: errors pair by pair in shadow; in mode fused the candidate against the absolute limit.
SHADOW = "/shadow"
LIMIT = "/limit"
SLICES = 8
# a healthy split is called wrong once in a thousand steps, a lottery of labels once in a thousand rollouts
SPLIT_ALPHA = 0.001
ENOUGH = 10  # labels of one weight that are bet on at once: fewer waste a share of 1/n of what they say
WAITING = 100  # outcomes of one arm that wait for the other's: bounds what travels in a status


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Requests of one stretch of time under one route, and the bad ones by guard: increments of the gateway's counters, or events by arrival."""

    candidate: int
    stable: int
    bad: Mapping[str, tuple[int, int]]  # guard name -> (candidate, stable)
    observed: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # requests that the guard could see, where they differ
    shares: Mapping[str, float] = field(
        default_factory=dict
    )  # where bad ones are units' first: the probability with which their arm was drawn the candidate
    held: Mapping[str, tuple[ArmCounts, ArmCounts]] = field(
        default_factory=dict
    )  # what a limit is held against, where it is not `observed` and `bad`


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Answers of stable and shadow to the same requests since the last look."""

    compared: int
    disagreements: int
    candidate_failures: int  # of the candidate alone
    stable_failures: int  # of stable alone
    both_failures: int = 0


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Units whose labels arrived since the last look, served at one weight of the canary: as a whole, or in one slice where guards ask for them."""

    weight: float  # probability of the canary when the predictions were made
    candidate: ArmCounts  # units, the sum of their shares of wrong rows
    stable: ArmCounts
    slice: str | None = None
    answers: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # label of the first row -> units (candidate, stable)


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """Units first seen in this step since the last look, served at about one time, and what their first request in the rollout got.

    Each pair is (candidate, stable).
    """

    weight: float
    candidate: int
    stable: int
    new: tuple[int, int]  # first seen in the whole rollout
    answers: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # label of the first row -> new units that got it


@dataclass(frozen=True, kw_only=True)
class Valued:
    """Outcomes that arrived since the last look, of units served at one weight of the canary."""

    name: str
    weight: float
    candidate: tuple[float, ...]
    stable: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """All that was learnt since the last look."""

    gateway: Gateway | None = None
    counted: tuple[Gateway, ...] = ()  # requests by the time at which they came
    paired: Paired | None = None
    labelled: tuple[Labelled, ...] = ()
    valued: tuple[Valued, ...] = ()
    exposed: tuple[Exposed, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """What the judge remembers: wealth by bet, and the totals that its sentences quote."""

    harms: Mapping[str, Wealth]
    certificates: Mapping[str, Wealth]
    split: Wealth
    totals: Mapping[
        str, tuple[int, float, int, float]
    ]  # bet -> candidate n, candidate bad (of outcomes: their loss), stable n, stable bad
    pairs: int = 0
    ratios: Mapping[str, Ratio] = field(default_factory=dict)  # bet -> relative risk, for its interval
    answers: Mapping[str, Mapping[str, tuple[int, int]]] = field(
        default_factory=dict
    )  # drift guard -> answer -> units that got it (candidate, stable)
    spreads: Mapping[str, tuple[float, float]] = field(
        default_factory=dict
    )  # business guard -> squared distances of the losses from the mean before them
    weights: Mapping[str, float | None] = field(
        default_factory=dict
    )  # business guard -> weight of its outcomes so far, None where there were several
    slices: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # sliced guard -> values whose bets are /0, /1 ...
    alarms: Mapping[str, Alarm] = field(default_factory=dict)  # bet -> whether stable itself is beyond the limit
    met: tuple[int, int] = (0, 0)  # units of the candidate and of stable that the split is judged by
    asked: float = 0.0  # the candidate's share of them that was asked for
    lotteries: Mapping[str, Wealth] = field(
        default_factory=dict
    )  # guard of labels or outcomes -> evidence that they come in by anything but lot
    came: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # guard of labels or outcomes -> units (candidate, stable) whose own are in
    exposed: tuple[int, int] = (0, 0)  # units that met the candidate and stable in the rollout
    answered: Mapping[str, tuple[int, int, int, int]] = field(
        default_factory=dict
    )  # answer -> units that got it, and those whose labels are in
    waiting: Batch = Batch()  # labels and outcomes that wait for the other arm's
    firsts: Mapping[str, float] = field(
        default_factory=dict
    )  # bet -> when it began to learn: the look before its first news
    since: float = 0.0  # when it was opened
    at: float = 0.0  # when it last learnt something

    @property
    def crooked(self) -> bool:
        """Whether the split of units is not what was asked."""
        return self.split.log_e >= math.log(1 / SPLIT_ALPHA)

    @property
    def unfair(self) -> tuple[str, ...]:
        """The guards whose labels or outcomes are no lottery: for the rest of the rollout they neither roll back nor certify."""
        return tuple(name for name, wealth in self.lotteries.items() if wealth.peak >= math.log(1 / SPLIT_ALPHA))

    @property
    def heard(self) -> Mapping[str, Wealth]:
        """The bets against the candidate; those of unfair guards count as money that was never bet, where they have won."""
        unfair = self.unfair
        return {
            bet: Wealth.start(at=self.since, restarts=False)
            if bet.partition("/")[0] in unfair and wealth.log_e > 0
            else wealth
            for bet, wealth in self.harms.items()
        }

    @property
    def harm(self) -> float:
        """The logarithm of the evidence against the candidate, all bets together."""
        return evidence.combine(self.heard)

    def to_json(self) -> dict[str, Any]:
        return {
            "harms": {name: wealth.to_json() for name, wealth in self.harms.items()},
            "certificates": {name: wealth.to_json() for name, wealth in self.certificates.items()},
            "split": self.split.to_json(),
            "totals": {name: list(row) for name, row in self.totals.items()},
            "pairs": self.pairs,
            "ratios": {name: ratio.to_json() for name, ratio in self.ratios.items()},
            "answers": {
                name: {answer: list(pair) for answer, pair in counts.items()} for name, counts in self.answers.items()
            },
            "weights": dict(self.weights),
            "spreads": {name: list(pair) for name, pair in self.spreads.items()},
            "slices": {name: list(values) for name, values in self.slices.items()},
            "alarms": {name: alarm.to_json() for name, alarm in self.alarms.items()},
            "firsts": dict(self.firsts),
            "since": self.since,
            "at": self.at,
            "met": list(self.met),
            "asked": self.asked,
            "exposed": list(self.exposed),
            "lotteries": {name: wealth.to_json() for name, wealth in self.lotteries.items()},
            "came": {name: list(pair) for name, pair in self.came.items()},
            "answered": {answer: list(counts) for answer, counts in self.answered.items()},
            "waiting": _waiting_to_json(self.waiting),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Ledger":
        return cls(
            harms={name: Wealth.from_json(wealth) for name, wealth in data["harms"].items()},
            certificates={name: Wealth.from_json(wealth) for name, wealth in data["certificates"].items()},
            split=Wealth.from_json(data["split"]),
            totals={name: tuple(row) for name, row in data["totals"].items()},
            pairs=data["pairs"],
            ratios={name: Ratio.from_json(ratio) for name, ratio in data.get("ratios", {}).items()},
            answers={
                name: {answer: tuple(pair) for answer, pair in counts.items()}
                for name, counts in data.get("answers", {}).items()
            },
            weights=dict(data.get("weights", {})),
            spreads={name: tuple(pair) for name, pair in data.get("spreads", {}).items()},
            slices={name: tuple(values) for name, values in data.get("slices", {}).items()},
            alarms={name: Alarm.from_json(alarm) for name, alarm in data.get("alarms", {}).items()},
            firsts=dict(data.get("firsts", {})),
            since=data.get("since", 0.0),
            at=data.get("at", 0.0),
            met=tuple(data.get("met", (0, 0))),
            asked=data.get("asked", 0.0),
            exposed=tuple(data.get("exposed", (0, 0))),
            lotteries={name: Wealth.from_json(wealth) for name, wealth in data.get("lotteries", {}).items()},
            came={name: tuple(pair) for name, pair in data.get("came", {}).items()},
            answered={answer: tuple(counts) for answer, counts in data.get("answered", {}).items()},
            waiting=_waiting_from_json(data.get("waiting", {})),
        )


def begin(strategy: sections.Strategy, *, at: float) -> Ledger:
    """Return the ledger of a rollout that begins: every wealth is 1."""
    bets = [name for guard in strategy.guards for name in _bets(guard, strategy)]
    return Ledger(
        harms={
            name: Wealth.start(at=at, restarts=not _is_slice(name)) for name in bets
        },  # slices are many, and the status is small
        certificates={
            guard.name: Wealth.start(at=at, restarts=False) for guard in strategy.guards if guard.stage != "watch"
        },
        split=Wealth.start(at=at, restarts=False),
        totals=dict.fromkeys(bets, (0, 0, 0, 0)),
        since=at,
        at=at,
    )


def observe(ledger: Ledger, batch: Batch, *, strategy: sections.Strategy, offline: float | None, at: float) -> Ledger:
    """Return the ledger after one batch, which must be what came since the last: who looks counts each thing once (`intake`, `control.units`).

    `offline` is the disagreement that evaluation measured between the two models.
    """
    harms = {
        name: wealth.restart(at=at) if wealth.cash > 0 and wealth.due(at=at) else wealth
        for name, wealth in ledger.harms.items()
    }
    certificates, totals, ratios, alarms = (
        dict(ledger.certificates),
        dict(ledger.totals),
        dict(ledger.ratios),
        dict(ledger.alarms),
    )
    spreads, firsts, weights = dict(ledger.spreads), dict(ledger.firsts), dict(ledger.weights)
    if ledger.crooked:  # the arms have different users, or nobody knows
        batch = replace(
            batch,
            labelled=(),
            valued=(),
            exposed=tuple(replace(exposed, new=(0, 0), answers={}) for exposed in batch.exposed),
            counted=tuple(_as_split(counted) for counted in batch.counted),
        )
    lotteries, came = _drawn(ledger, batch, strategy)
    exposed_units, answered = _answered(ledger, batch, strategy)
    unfair, arriving = ledger.unfair, batch
    waiting, batch = _gathered(ledger, batch)
    for guard in strategy.guards:
        if guard.name in unfair:
            continue
        for news in _news(guard, batch, ledger, strategy=strategy, offline=offline):
            if news.baseline is not None:
                alarms[news.bet] = alarms.get(news.bet, Alarm()).learn(news.baseline, at=at)
            if news.bet not in alarms or not alarms[news.bet].on(at=at):
                harms[news.bet] = harms[news.bet].bet(news.harm)
            if news.certificate is not None and guard.name in certificates:
                certificates[guard.name] = certificates[guard.name].bet(news.certificate)
            if news.compared:
                both = news.at_risk or (news.candidate, news.stable)
                ratios[news.bet] = ratios.get(news.bet, Ratio()).add(*both, share=news.share)
            if news.weight is not None:
                weights[news.bet] = news.weight if weights.get(news.bet, news.weight) == news.weight else None
            if news.spread is not None:
                mine, theirs = spreads.get(news.bet, (0.0, 0.0))
                spreads[news.bet] = mine + news.spread[0], theirs + news.spread[1]
            if news.candidate.n and news.bet not in firsts:
                firsts[news.bet] = ledger.at
            a, b, c, d = totals[news.bet]
            totals[news.bet] = (a + news.candidate.n, b + news.candidate.bad, c + news.stable.n, d + news.stable.bad)
    slices = {
        guard.name: _known_slices(arriving, ledger.slices.get(guard.name, ()))
        for guard in strategy.guards
        if guard.slice_by is not None
    }
    split, answers, met, asked = ledger.split, dict(ledger.answers), ledger.met, ledger.asked
    for exposed in batch.exposed:
        split = split.bet(
            evidence.factors_split(candidate=exposed.candidate, stable=exposed.stable, weight=exposed.weight)
        )
        met, asked = (
            (met[0] + exposed.candidate, met[1] + exposed.stable),
            exposed.weight if exposed.candidate + exposed.stable else asked,
        )
        answers |= {
            guard.name: _counted_answers(exposed, answers.get(guard.name, {}))
            for guard in strategy.guards
            if guard.type == "drift"
        }
    pairs = ledger.pairs + (batch.paired.compared if batch.paired else 0)
    return Ledger(
        harms=harms,
        certificates=certificates,
        split=split,
        totals=totals,
        pairs=pairs,
        ratios=ratios,
        answers=answers,
        spreads=spreads,
        weights=weights,
        slices=slices,
        alarms=alarms,
        met=met,
        asked=asked,
        lotteries=lotteries,
        came=came,
        exposed=exposed_units,
        answered=answered,
        waiting=waiting,
        firsts=firsts,
        since=ledger.since,
        at=at,
    )


def restart(ledger: Ledger, *, at: float) -> Ledger:
    """Return the ledger with a restart point at a change of weight, where late harm is likeliest; the split is judged anew."""
    return divide(
        replace(
            ledger,
            harms={name: wealth.restart(at=at) if wealth.cash > 0 else wealth for name, wealth in ledger.harms.items()},
        )
    )


def divide(ledger: Ledger) -> Ledger:
    """Return the ledger with no judgement yet of how units are divided: each counts anew where a stretch of constant weight begins."""
    return replace(ledger, split=Wealth.start(at=ledger.at, restarts=False), met=(0, 0))


def allowed_disagreement(strategy: sections.Strategy, offline: float | None) -> float:
    """Return the share of shadow answers that may differ: what evaluation measured between the two models, and the margin."""
    return min(0.99, (offline or 0.0) + strategy.shadow.disagreement_margin)


def against(guard: sections.Guard, candidate: ArmCounts, stable: ArmCounts) -> Floats:
    """Return the factors of an errors or latency guard against H0: the candidate's requests are at most `tolerated` times as likely bad as stable's.

    Where up to `requestsPerUnit` requests share one fate, every factor is taken to the power of 1 / that many: the mean of a product of so many, however
    they hang together, is at most the product of the means then (Hoelder).
    """
    return evidence.factors_two_arm(candidate, stable, max_ratio=guard.tolerated) / guard.requests_per_unit


# -- labels and outcomes, which come late ----------------------------------------------------------------------------------


def _late(guard: sections.Guard, batch: Batch) -> Iterable[tuple[int, int, float]]:
    """Return how many units' own labels or outcomes came for the guard: of the candidate, of stable, and at which weight they had been served."""
    if guard.type == "quality":
        yield from ((one.candidate.n, one.stable.n, one.weight) for one in batch.labelled if one.slice is None)
    if guard.type == "business":
        yield from (
            (len(one.candidate), len(one.stable), one.weight) for one in batch.valued if one.name == guard.outcome
        )


def _drawn(
    ledger: Ledger, batch: Batch, strategy: sections.Strategy
) -> tuple[dict[str, Wealth], dict[str, tuple[int, int]]]:
    """Return the lotteries and what came in, after the batch: by lot, as many of each arm come in as were served."""
    lotteries, came = dict(ledger.lotteries), dict(ledger.came)
    for guard in strategy.guards:
        for mine, theirs, weight in _late(guard, batch):
            before, (n, m) = (
                lotteries.get(guard.name) or Wealth.start(at=ledger.since, restarts=False),
                came.get(guard.name, (0, 0)),
            )
            lotteries[guard.name] = before.bet(evidence.factors_split(candidate=mine, stable=theirs, weight=weight))
            came[guard.name] = n + mine, m + theirs
    return lotteries, came


def _answered(
    ledger: Ledger, batch: Batch, strategy: sections.Strategy
) -> tuple[tuple[int, int], dict[str, tuple[int, int, int, int]]]:
    """Return the units that were served, and by answer (the first few that were met) also those whose labels are in."""
    exposed, answered = ledger.exposed, {answer: list(counts) for answer, counts in ledger.answered.items()}
    if not any(guard.type == "quality" for guard in strategy.guards):
        return exposed, {}
    for place, some in (
        (0, [one.answers for one in batch.exposed]),
        (2, [one.answers for one in batch.labelled if one.slice is None]),
    ):
        for answers in some:
            for answer, (mine, theirs) in sorted(answers.items(), key=lambda item: -sum(item[1])):
                if answer in answered or len(answered) < evidence.BINS:
                    row = answered.setdefault(answer, [0, 0, 0, 0])
                    row[place], row[place + 1] = row[place] + mine, row[place + 1] + theirs
    for one in batch.exposed:
        exposed = exposed[0] + one.new[0], exposed[1] + one.new[1]
    return exposed, {answer: (row[0], row[1], row[2], row[3]) for answer, row in answered.items()}


def _gathered(ledger: Ledger, batch: Batch) -> tuple[Batch, Batch]:
    """Return what goes on waiting, and the batch with the labels and outcomes whose weight and slice (or name) now have enough of both arms.

    When they are bet on hangs on how many there are and on nothing else, so that the bets stay fair.
    """
    labelled: dict[tuple[float, str | None], Labelled] = {}
    known = {None, *(value for values in ledger.slices.values() for value in values)}
    for one in (*ledger.waiting.labelled, *batch.labelled):
        before = labelled.get((one.weight, one.slice))
        if one.slice in known:  # what a slice is about must not hang on what it brings
            labelled[one.weight, one.slice] = (
                replace(one, answers={})
                if before is None
                else Labelled(
                    weight=one.weight,
                    slice=one.slice,
                    candidate=_sum(before.candidate, one.candidate),
                    stable=_sum(before.stable, one.stable),
                )
            )
    valued: dict[tuple[float, str], Valued] = {}
    for each in (*ledger.waiting.valued, *batch.valued):
        earlier = valued.get((each.weight, each.name))
        valued[each.weight, each.name] = (
            each
            if earlier is None
            else replace(each, candidate=earlier.candidate + each.candidate, stable=earlier.stable + each.stable)
        )
    enough = [one for one in labelled.values() if _enough(one.candidate.n, one.stable.n)]
    whole = [one for one in valued.values() if _enough(len(one.candidate), len(one.stable))]
    waiting = Batch(
        labelled=tuple(one for one in labelled.values() if one not in enough),
        valued=tuple(
            replace(one, candidate=one.candidate[-WAITING:], stable=one.stable[-WAITING:])
            for one in valued.values()
            if one not in whole
        ),
    )
    return waiting, replace(batch, labelled=tuple(enough), valued=tuple(whole))


def _enough(mine: int, theirs: int) -> bool:
    return min(mine, theirs) > 0 and mine + theirs >= ENOUGH


def _sum(one: ArmCounts, other: ArmCounts) -> ArmCounts:
    return ArmCounts(one.n + other.n, one.bad + other.bad)


def _waiting_to_json(waiting: Batch) -> dict[str, Any]:
    return {
        "labelled": [[one.weight, one.slice, *one.candidate, *one.stable] for one in waiting.labelled],
        "valued": [[one.weight, one.name, list(one.candidate), list(one.stable)] for one in waiting.valued],
    }


def _waiting_from_json(data: Mapping[str, Any]) -> Batch:
    return Batch(
        labelled=tuple(
            Labelled(weight=weight, slice=of, candidate=ArmCounts(n, bad), stable=ArmCounts(m, stable_bad))
            for weight, of, n, bad, m, stable_bad in data.get("labelled", ())
        ),
        valued=tuple(
            Valued(weight=weight, name=name, candidate=tuple(mine), stable=tuple(theirs))
            for weight, name, mine, theirs in data.get("valued", ())
        ),
    )


# -- what a batch says, bet by bet -----------------------------------------------------------------------------------------


def _is_slice(bet: str) -> bool:
    return bet.rpartition("/")[2].isdecimal()


def _known_slices(batch: Batch, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the slices with those that the batch brought, as long as there is room: what is bet on next must not hang on what it will bring."""
    new = {labels.slice for labels in batch.labelled if labels.slice is not None} - {*known}
    return (*known, *sorted(new))[:SLICES]


def _bets(guard: sections.Guard, strategy: sections.Strategy) -> Iterable[str]:
    if guard.slice_by is not None:
        yield from (f"{guard.name}/{place}" for place in range(SLICES))
        return
    if guard.type != "disagreement" or strategy.shadow.enabled:
        yield guard.name
    if guard.type == "errors" and strategy.shadow.enabled:
        yield guard.name + SHADOW
    if strategy.mode == "fused" and guard.type in ("errors", "latency") and guard.objective_rate is not None:
        yield guard.name + LIMIT


@dataclass(frozen=True)
class _News:
    """What a batch says to one bet."""

    bet: str
    candidate: ArmCounts
    stable: ArmCounts
    harm: Floats
    certificate: Floats | None = None
    compared: bool = False  # whether both arms were counted at the same time under one split
    # what was compared, where it is not what the limit is held against
    at_risk: tuple[ArmCounts, ArmCounts] | None = None
    share: float | None = None  # of units' first: the probability with which their arm was drawn the candidate
    baseline: Floats | None = None  # stable against the limit
    spread: tuple[float, float] | None = None  # of outcomes: squared distances from the mean before them
    weight: float | None = None  # of outcomes


def _news(
    guard: sections.Guard, batch: Batch, ledger: Ledger, *, strategy: sections.Strategy, offline: float | None
) -> Iterable[_News]:
    """Return what the batch says of a guard, bet by bet."""
    match guard.type:
        case "errors" | "latency" | "rejections":
            for requests in (batch.gateway, *batch.counted):
                yield from _counted(guard, requests, strategy)
            if guard.type == "errors" and strategy.shadow.enabled:
                yield from _discordant(guard, batch.paired)
        case "disagreement" if batch.paired is not None and strategy.shadow.enabled:
            limit = allowed_disagreement(strategy, offline)
            counts = ArmCounts(batch.paired.compared, batch.paired.disagreements)
            yield _News(
                guard.name,
                counts,
                ArmCounts(0, 0),
                evidence.factors_above(counts, limit=limit),
                evidence.factors_below(counts, limit=limit),
            )
        case "quality":
            # An answer as a whole stands beside its slices: a guard of the whole must not count it again in those.
            places: dict[str | None, str] = {None: guard.name} if guard.slice_by is None else _places(guard, ledger)
            for labels in batch.labelled:
                if labels.slice in places:
                    harm, safe = (
                        evidence.factors_difference(
                            labels.candidate, labels.stable, margin=guard.max_loss_increase, harm=side
                        )
                        for side in (True, False)
                    )
                    yield _News(places[labels.slice], labels.candidate, labels.stable, harm, safe, compared=True)
        case "business":
            for valued in batch.valued:
                if valued.name == guard.outcome:
                    yield _lost(guard, valued, ledger.totals[guard.name])
        case "drift":
            for exposed in batch.exposed:
                yield _News(
                    guard.name,
                    ArmCounts(exposed.new[0], 0),
                    ArmCounts(exposed.new[1], 0),
                    _drift(guard, exposed, ledger),
                )


def _places(guard: sections.Guard, ledger: Ledger) -> dict[str | None, str]:
    """Return the bet of each slice that was known before."""
    return {of: f"{guard.name}/{place}" for place, of in enumerate(ledger.slices.get(guard.name, ()))}


def _lost(guard: sections.Guard, valued: Valued, before: tuple[int, float, int, float]) -> _News:
    """Return the outcomes as losses between 0, the best, and 1; `before` are the guard's totals."""
    if guard.upper is None:
        raise ValueError(f"guard {guard.name} has no upper")
    span, best = guard.upper - guard.lower, guard.upper if guard.higher_is_better else guard.lower
    mine, theirs = (
        np.abs(np.clip(np.array(values, dtype=np.float64), guard.lower, guard.upper) - best) / span
        for values in (valued.candidate, valued.stable)
    )
    centre = (before[1] + before[3]) / (before[0] + before[2]) if before[0] + before[2] else 0.5
    order = np.random.default_rng([before[0], before[2]]).permutation(
        len(mine) + len(theirs)
    )  # the same again for a look that is taken again
    harm, safe = (
        evidence.factors_values(mine, theirs, order=order, margin=guard.max_loss_increase, centre=centre, harm=side)
        for side in (True, False)
    )
    spread = float(((mine - centre) ** 2).sum()), float(((theirs - centre) ** 2).sum())
    return _News(
        guard.name,
        ArmCounts(len(mine), float(mine.sum())),
        ArmCounts(len(theirs), float(theirs.sum())),
        harm,
        safe,
        spread=spread,
        weight=valued.weight,
    )


def _counted(guard: sections.Guard, gateway: Gateway | None, strategy: sections.Strategy) -> Iterable[_News]:
    if gateway is None or guard.name not in gateway.bad:
        return
    bad_candidate, bad_stable = gateway.bad[guard.name]
    n_candidate, n_stable = gateway.observed.get(guard.name, (gateway.candidate, gateway.stable))
    bet_on = candidate, stable = ArmCounts(n_candidate, bad_candidate), ArmCounts(n_stable, bad_stable)
    share = gateway.shares.get(guard.name)
    if share is not None:
        harm = evidence.factors_drawn(bad_candidate, bad_stable, weight=share, max_ratio=guard.tolerated)
    else:
        harm = against(guard, candidate, stable)
    candidate, stable = gateway.held.get(guard.name, bet_on)
    certificate = evidence.factors_below(candidate, limit=guard.max_rate) if guard.max_rate is not None else None
    if guard.max_ratio is not None:
        compared = bet_on if share is None else (candidate, stable)
        certificate = evidence.factors_two_arm(*compared, max_ratio=guard.max_ratio, harm=False)
    if certificate is not None:
        certificate = certificate / guard.requests_per_unit  # as in `against`
    yield _News(guard.name, candidate, stable, harm, certificate, compared=True, at_risk=bet_on, share=share)
    if strategy.mode == "fused" and guard.objective_rate is not None:
        # A unit that fails all day is one failure here too: of all visits, the first ones that failed.
        once = (
            ArmCounts(max(held.n, math.ceil(first.bad)), first.bad)
            for held, first in zip((candidate, stable), bet_on, strict=True)
        )
        above = (evidence.factors_above(arm, limit=guard.objective_rate) / guard.requests_per_unit for arm in once)
        yield _News(guard.name + LIMIT, candidate, stable, next(above), baseline=next(above))


def _as_split(counted: Gateway) -> Gateway:
    """Return the counts without the weight that was asked for: with the split that was realised, of which no more can be bad than there are."""
    n = counted.candidate, counted.stable
    bad = {
        name: (min(pair[0], n[0]), min(pair[1], n[1])) if name in counted.shares else pair
        for name, pair in counted.bad.items()
    }
    return replace(counted, bad=bad, shares={})


def _drift(guard: sections.Guard, exposed: Exposed, ledger: Ledger) -> Floats:
    """Return the factors of a drift guard. Only answers that were known before the batch are bet on: which ones they are must not hang on it.

    Without a margin the split that was realised is enough, and all the answers are one test; the rest of them is a bin of its own.
    """
    known = ledger.answers.get(guard.name, {})
    batch, of = [exposed.answers.get(answer, (0, 0)) for answer in known], exposed.new
    if guard.max_shift > 0:
        return evidence.factors_answers(
            [pair[0] for pair in batch], [pair[1] for pair in batch], of=of, margin=guard.max_shift
        )
    n, _, m, _ = ledger.totals[guard.name]
    mine, theirs = (_bins([pair[arm] for pair in batch], of=of[arm]) for arm in (0, 1))
    return evidence.factors_shift(
        mine,
        theirs,
        before=(_bins([pair[0] for pair in known.values()], of=n), _bins([pair[1] for pair in known.values()], of=m)),
    )


def _bins(counts: Sequence[int], *, of: int) -> Floats:
    return np.array([*counts, of - sum(counts)], dtype=np.float64)


def _counted_answers(exposed: Exposed, known: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Return the counts with the batch; the most frequent new answers take the places that are left."""
    new = sorted(
        (answer for answer in exposed.answers if answer not in known), key=lambda answer: -sum(exposed.answers[answer])
    )
    names = [*known, *new[: evidence.BINS - len(known)]]
    return {
        name: (
            known.get(name, (0, 0))[0] + exposed.answers.get(name, (0, 0))[0],
            known.get(name, (0, 0))[1] + exposed.answers.get(name, (0, 0))[1],
        )
        for name in names
    }


def _discordant(guard: sections.Guard, paired: Paired | None) -> Iterable[_News]:
    if paired is None:
        return
    both = paired.compared + paired.candidate_failures + paired.stable_failures + paired.both_failures
    mine, theirs = paired.candidate_failures + paired.both_failures, paired.stable_failures + paired.both_failures
    factors = evidence.factors_paired(
        paired.candidate_failures, paired.stable_failures, paired.both_failures, max_ratio=guard.tolerated
    )
    yield _News(guard.name + SHADOW, ArmCounts(both, mine), ArmCounts(both, theirs), factors)

"""The judge: increments of counts in, one verdict with its sentence out. Pure.

Each guard of the strategy has bets against it (harm) and, where it gates, a certificate. The harms of one rollout are
averaged (`evidence.combine`), so that P(a healthy revision is rolled back) <= falseRollback holds for all guards together;
a certificate is asked of every guard that gates a stage, each at falsePromotion. Mode fused adds the candidate against the
absolute limit, which is suspended while stable itself is beyond it: an incident of both is no fault of the candidate.
"""

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from fairway.config import schema
from fairway.rollout import evidence, intervals
from fairway.rollout.evidence import Alarm, ArmCounts, Floats, Wealth
from fairway.rollout.intervals import Ratio

SPLIT_ALPHA = 0.001     # a healthy split is called wrong once in a thousand rollouts
INTERVAL_ALPHA = 0.05   # of the intervals that are reported


class Action(StrEnum):
    """What the judge can say."""

    ROLLBACK = "ROLLBACK"
    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    INVALID = "INVALID"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge says, why, on what evidence, and how often it is wrong."""

    action: Action
    reason: str
    guard: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    guarantee: str = ""
    eta_seconds: float | None = None     # expected time to a promotion, where the counts so far allow one
    suspended: tuple[str, ...] = ()      # guards whose absolute limit does not count now, because stable breaks it too


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Increments of the gateway's counters between two scrapes under one route: requests, and the bad ones by guard."""

    candidate: int
    stable: int
    bad: Mapping[str, tuple[int, int]]   # guard name -> (candidate, stable)
    observed: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # requests that the guard could see, where they differ


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Answers of stable and shadow to the same requests since the last look."""

    compared: int
    disagreements: int
    candidate_failures: int
    stable_failures: int


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Labels that arrived since the last look, of predictions made at one weight of the canary."""

    weight: float                        # probability of the canary when the predictions were made
    candidate: ArmCounts                 # rows, wrong answers
    stable: ArmCounts


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """Units first seen since the last look, at one weight of the canary."""

    weight: float
    candidate: int
    stable: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """All that was learnt since the last look."""

    gateway: Gateway | None = None
    paired: Paired | None = None
    labelled: tuple[Labelled, ...] = ()
    exposed: Exposed | None = None


@dataclass(frozen=True)
class Ledger:
    """What the judge remembers: wealth by bet, and the totals that its sentences quote."""

    harms: Mapping[str, Wealth]
    certificates: Mapping[str, Wealth]
    split: Wealth
    totals: Mapping[str, tuple[int, int, int, int]]  # bet -> candidate n, candidate bad, stable n, stable bad
    pairs: int = 0
    ratios: Mapping[str, Ratio] = field(default_factory=dict)      # bet -> relative risk, for its interval
    alarms: Mapping[str, Alarm] = field(default_factory=dict)      # bet -> whether stable itself is beyond the limit
    since: float = 0.0                               # when it was opened
    at: float = 0.0                                  # when it last learnt something

    @property
    def harm(self) -> float:
        """The logarithm of the evidence against the candidate, all bets together."""
        return evidence.combine(self.harms)

    def to_json(self) -> dict[str, Any]:
        return {
            "harms": {name: wealth.to_json() for name, wealth in self.harms.items()},
            "certificates": {name: wealth.to_json() for name, wealth in self.certificates.items()},
            "split": self.split.to_json(), "totals": {name: list(row) for name, row in self.totals.items()}, "pairs": self.pairs,
            "ratios": {name: ratio.to_json() for name, ratio in self.ratios.items()},
            "alarms": {name: alarm.to_json() for name, alarm in self.alarms.items()}, "since": self.since, "at": self.at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Ledger":
        return cls(
            harms={name: Wealth.from_json(wealth) for name, wealth in data["harms"].items()},
            certificates={name: Wealth.from_json(wealth) for name, wealth in data["certificates"].items()},
            split=Wealth.from_json(data["split"]), totals={name: tuple(row) for name, row in data["totals"].items()}, pairs=data["pairs"],
            ratios={name: Ratio.from_json(ratio) for name, ratio in data.get("ratios", {}).items()},
            alarms={name: Alarm.from_json(alarm) for name, alarm in data.get("alarms", {}).items()},
            since=data.get("since", 0.0), at=data.get("at", 0.0),
        )


# A guard's bets beside its own: errors pair by pair in shadow; in mode fused the candidate against the absolute limit.
SHADOW = "/shadow"
LIMIT = "/limit"


def open_ledger(strategy: schema.Strategy, *, at: float) -> Ledger:
    """Gives the ledger of a rollout that begins: every wealth is 1."""
    bets = [name for guard in strategy.guards for name in _bets(guard, strategy)]
    return Ledger(
        harms={name: Wealth.start(at=at) for name in bets},
        certificates={guard.name: Wealth.start(at=at, restarts=False) for guard in strategy.guards if guard.stage != "watch"},
        split=Wealth.start(at=at, restarts=False), totals=dict.fromkeys(bets, (0, 0, 0, 0)), since=at, at=at,
    )


def observe(ledger: Ledger, batch: Batch, *, strategy: schema.Strategy, offline: float | None, at: float) -> Ledger:
    """Gives the ledger after one batch. `offline` is the disagreement that evaluation measured between the two models."""
    harms = {name: wealth.restart(at=at) if wealth.due(at=at) else wealth for name, wealth in ledger.harms.items()}
    certificates, totals, ratios, alarms = dict(ledger.certificates), dict(ledger.totals), dict(ledger.ratios), dict(ledger.alarms)
    for guard in strategy.guards:
        for news in _news(guard, batch, strategy=strategy, offline=offline):
            if news.baseline is not None:
                alarms[news.bet] = alarms.get(news.bet, Alarm()).learn(news.baseline, at=at)
            if news.bet not in alarms or not alarms[news.bet].on(at=at):
                harms[news.bet] = harms[news.bet].bet(news.harm)
            if news.certificate is not None and guard.name in certificates:
                certificates[guard.name] = certificates[guard.name].bet(news.certificate)
            if news.compared:
                ratios[news.bet] = ratios.get(news.bet, Ratio()).add(news.candidate, news.stable)
            a, b, c, d = totals[news.bet]
            totals[news.bet] = (a + news.candidate.n, b + news.candidate.bad, c + news.stable.n, d + news.stable.bad)
    split = ledger.split
    if batch.exposed is not None:
        split = split.bet(evidence.factors_split(candidate=batch.exposed.candidate, stable=batch.exposed.stable, weight=batch.exposed.weight))
    pairs = ledger.pairs + (batch.paired.compared if batch.paired else 0)
    return Ledger(harms=harms, certificates=certificates, split=split, totals=totals, pairs=pairs, ratios=ratios, alarms=alarms,
                  since=ledger.since, at=at)


def restart(ledger: Ledger, *, at: float) -> Ledger:
    """Gives the ledger with a restart point at a change of weight, where late harm is likeliest; the split is judged anew."""
    harms = {name: wealth.restart(at=at) for name, wealth in ledger.harms.items()}
    return replace(ledger, harms=harms, split=Wealth.start(at=at, restarts=False))


def decide(ledger: Ledger, *, strategy: schema.Strategy, stage: str, offline: float | None = None) -> Verdict:
    """Gives the verdict for `stage` (shadow, canary or bake): ROLLBACK, INVALID, PROMOTE or HOLD.

    INCONCLUSIVE needs the clock and is the strategy's to say, when the stage's budget is spent on HOLD.
    """
    action, reason, guard = _judgement(ledger, strategy=strategy, stage=stage, offline=offline)
    eta = _eta(ledger, strategy, stage) if action is Action.HOLD else None
    if eta is not None:
        reason = f"{reason}; about {schema.format_duration(datetime.timedelta(seconds=math.ceil(eta)))} more at this rate"
    return Verdict(action=action, reason=reason, guard=guard, evidence=describe(ledger, strategy=strategy, intervals_too=action is not Action.HOLD),
                   guarantee=guarantee(strategy), eta_seconds=eta, suspended=_suspended(ledger))


def _judgement(ledger: Ledger, *, strategy: schema.Strategy, stage: str, offline: float | None) -> tuple[Action, str, str | None]:
    """Gives the action, its sentence, and the guard that it is about."""
    harm = ledger.harm
    if harm >= math.log(1 / strategy.false_rollback):
        bet = max(ledger.harms, key=lambda name: ledger.harms[name].log_e)
        accused = _guard_of(bet, strategy)
        reason = f"{_accuse(accused, bet, ledger, strategy, offline)}; e = {_power(harm)} against {1 / strategy.false_rollback:.0f} needed"
        return Action.ROLLBACK, reason, accused.name
    spent = _spent(ledger, strategy)
    if spent is not None:
        return Action.ROLLBACK, f"{spent.name}: {ledger.totals[spent.name][1]} requests of the candidate failed: badRequests allows " \
                                f"{strategy.bad_requests}, whatever the evidence (e = {_power(harm)})", spent.name
    if ledger.split.log_e >= math.log(1 / SPLIT_ALPHA):
        reason = f"the split of units between the arms is not what was asked (e = {_power(ledger.split.log_e)}): the comparison would not be fair"
        return Action.INVALID, reason, None
    waiting = [_missing(guard, ledger, strategy) for guard in strategy.guards if guard.stage == stage and not _certified(guard, ledger, strategy)]
    if stage == "shadow" and ledger.pairs < strategy.shadow.min_pairs:
        waiting.insert(0, f"{ledger.pairs} of {strategy.shadow.min_pairs} pairs compared")
    if waiting:
        return Action.HOLD, f"no guard is violated; not yet certified: {'; '.join(waiting)}", None
    held = [_praise(guard, ledger, strategy, offline) for guard in strategy.guards if guard.stage == stage]
    return Action.PROMOTE, f"every guard of the {stage} holds: {'; '.join(held)}" if held else f"no guard gates the {stage}, and none is violated", None


def _spent(ledger: Ledger, strategy: schema.Strategy) -> schema.Guard | None:
    """Gives the guard whose failed requests have spent what the user is ready to lose."""
    if strategy.bad_requests is None:
        return None
    return next((guard for guard in strategy.guards if guard.type == "errors" and ledger.totals[guard.name][1] >= strategy.bad_requests), None)


def _eta(ledger: Ledger, strategy: schema.Strategy, stage: str) -> float | None:
    """Gives the seconds until every certificate of the stage is expected, at the traffic and the rate of bad answers so far; None where that is never."""
    elapsed, longest = ledger.at - ledger.since, 0.0
    for guard in strategy.guards:
        if guard.stage != stage or _certified(guard, ledger, strategy):
            continue
        n, bad, _, _ = ledger.totals[guard.name]
        limit = guard.max_rate if guard.type != "disagreement" else None
        if elapsed <= 0 or n == 0 or limit is None:
            return None
        growth = evidence.growth_below((bad + 0.5) / (n + 1), limit=limit) * n / elapsed
        if growth <= 0:
            return None
        longest = max(longest, (math.log(1 / strategy.false_promotion) - ledger.certificates[guard.name].log_e) / growth)
    return longest or None


def _suspended(ledger: Ledger) -> tuple[str, ...]:
    return tuple(bet.partition("/")[0] for bet, alarm in ledger.alarms.items() if alarm.on(at=ledger.at))


def guarantee(strategy: schema.Strategy) -> str:
    """Gives the promise behind a verdict, in words."""
    healthy = "healthy revision" if strategy.mode == "concurrentOnly" else "revision no worse than stable and within every maxRate"
    return (f"P(a {healthy} is rolled back) <= {strategy.false_rollback:.3g}, whenever and however often one looks; "
            f"P(a revision beyond a guard's limit gets its certificate) <= {strategy.false_promotion:.3g}")


def describe(ledger: Ledger, *, strategy: schema.Strategy, intervals_too: bool = True) -> dict[str, Any]:
    """Gives the evidence by bet: counts of both arms, log e of harm, log e of the certificate and the intervals where there are any."""
    rows: dict[str, Any] = {}
    for bet, (candidate_n, candidate_bad, stable_n, stable_bad) in ledger.totals.items():
        guard = _guard_of(bet, strategy)
        certificate = ledger.certificates.get(guard.name) if bet == guard.name else None
        rows[bet] = {
            "guard": guard.name, "candidate": {"n": candidate_n, "bad": candidate_bad}, "stable": {"n": stable_n, "bad": stable_bad},
            "logE": round(ledger.harms[bet].log_e, 4) + 0.0, "pValue": ledger.harms[bet].p_value,
            "logCertificate": round(certificate.log_e, 4) + 0.0 if certificate else None,
        }
        if intervals_too:
            rows[bet]["intervals"] = _intervals(ledger, bet)
    rows["combined"] = {"logE": round(ledger.harm, 4), "needed": round(math.log(1 / strategy.false_rollback), 4),
                        "guilty": list(evidence.guilty(ledger.harms, alpha=strategy.false_rollback))}
    return rows


def _intervals(ledger: Ledger, bet: str) -> dict[str, Any]:
    """Gives the always-valid 95 % intervals of both arms' rates and of their ratio."""
    n, bad, stable_n, stable_bad = ledger.totals[bet]
    arms = {"candidate": ArmCounts(n, bad), "stable": ArmCounts(stable_n, stable_bad)}
    found = {name: intervals.rate(counts, alpha=INTERVAL_ALPHA) for name, counts in arms.items()}
    if bet in ledger.ratios:
        found["ratio"] = ledger.ratios[bet].interval(alpha=INTERVAL_ALPHA)
    return {name: [float(f"{edge:.4g}") if edge is not None else None for edge in interval] for name, interval in found.items()}


def allowed_disagreement(strategy: schema.Strategy, offline: float | None) -> float:
    """Gives the share of shadow answers that may differ: what evaluation measured between the two models, and the margin."""
    return min(0.99, (offline or 0.0) + strategy.shadow.disagreement_margin)


def _bets(guard: schema.Guard, strategy: schema.Strategy) -> Iterable[str]:
    if guard.type != "disagreement" or strategy.shadow.enabled:
        yield guard.name
    if guard.type == "errors" and strategy.shadow.enabled:
        yield guard.name + SHADOW
    if strategy.mode == "fused" and guard.type in ("errors", "latency") and guard.objective_rate is not None:
        yield guard.name + LIMIT


def _guard_of(bet: str, strategy: schema.Strategy) -> schema.Guard:
    return next(guard for guard in strategy.guards if guard.name == bet.partition("/")[0])


@dataclass(frozen=True)
class _News:
    """What a batch says to one bet."""

    bet: str
    candidate: ArmCounts
    stable: ArmCounts
    harm: Floats
    certificate: Floats | None = None
    compared: bool = False             # whether both arms were counted at the same time under one split
    baseline: Floats | None = None     # stable against the limit


def _news(guard: schema.Guard, batch: Batch, *, strategy: schema.Strategy, offline: float | None) -> Iterable[_News]:
    """Gives what the batch says of a guard, bet by bet."""
    match guard.type:
        case "errors" | "latency":
            yield from _counted(guard, batch.gateway, strategy)
            if guard.type == "errors" and strategy.shadow.enabled:
                yield from _discordant(guard, batch.paired)
        case "disagreement" if batch.paired is not None and strategy.shadow.enabled:
            limit = allowed_disagreement(strategy, offline)
            counts = ArmCounts(batch.paired.compared, batch.paired.disagreements)
            yield _News(guard.name, counts, ArmCounts(0, 0), evidence.factors_above(counts, limit=limit), evidence.factors_below(counts, limit=limit))
        case "quality":
            for labels in batch.labelled:
                harm, safe = (evidence.factors_difference(labels.candidate, labels.stable, weight=labels.weight,
                                                          margin=guard.max_loss_increase, harm=side) for side in (True, False))
                yield _News(guard.name, labels.candidate, labels.stable, harm, safe, compared=True)


def _counted(guard: schema.Guard, gateway: Gateway | None, strategy: schema.Strategy) -> Iterable[_News]:
    if gateway is None or guard.name not in gateway.bad:
        return
    bad_candidate, bad_stable = gateway.bad[guard.name]
    n_candidate, n_stable = gateway.observed.get(guard.name, (gateway.candidate, gateway.stable))
    candidate, stable = ArmCounts(n_candidate, bad_candidate), ArmCounts(n_stable, bad_stable)
    certificate = evidence.factors_below(candidate, limit=guard.max_rate) if guard.max_rate is not None else None
    yield _News(guard.name, candidate, stable, evidence.factors_two_arm(candidate, stable), certificate, compared=True)
    if strategy.mode == "fused" and guard.objective_rate is not None:
        above = (evidence.factors_above(arm, limit=guard.objective_rate) for arm in (candidate, stable))
        yield _News(guard.name + LIMIT, candidate, stable, next(above), baseline=next(above))


def _discordant(guard: schema.Guard, paired: Paired | None) -> Iterable[_News]:
    if paired is None:
        return
    failed = ArmCounts(paired.candidate_failures + paired.stable_failures, paired.candidate_failures)
    both = paired.compared + failed.n
    yield _News(guard.name + SHADOW, ArmCounts(both, paired.candidate_failures), ArmCounts(both, paired.stable_failures),
                evidence.factors_above(failed, limit=0.5))


def _certified(guard: schema.Guard, ledger: Ledger, strategy: schema.Strategy) -> bool:
    if guard.type == "disagreement" and not strategy.shadow.enabled:
        return True
    return ledger.certificates[guard.name].peak >= math.log(1 / strategy.false_promotion)


def _missing(guard: schema.Guard, ledger: Ledger, strategy: schema.Strategy) -> str:
    e = math.exp(min(50.0, ledger.certificates[guard.name].log_e))
    return f"{guard.name} (e = {e:.2g} of {1 / strategy.false_promotion:.0f}, {_share(ledger.totals[guard.name])})"


def _praise(guard: schema.Guard, ledger: Ledger, strategy: schema.Strategy, offline: float | None) -> str:
    if guard.type == "disagreement" and not strategy.shadow.enabled:
        return f"{guard.name} (shadow was skipped)"
    limit = {"disagreement": allowed_disagreement(strategy, offline), "quality": guard.max_loss_increase}.get(guard.type, guard.max_rate or 0.0)
    return f"{guard.name} below {limit:.2%} ({_share(ledger.totals[guard.name])})"


def _accuse(guard: schema.Guard, bet: str, ledger: Ledger, strategy: schema.Strategy, offline: float | None) -> str:
    n, bad, stable_n, stable_bad = ledger.totals[bet]
    if guard.type == "disagreement":
        known = f"at most {offline:.1%} by evaluation" if offline is not None else "no offline figure"
        return (f"{guard.name}: {bad} of {n} shadow answers differ from stable's ({bad / max(1, n):.1%}), "
                f"allowed are {allowed_disagreement(strategy, offline):.1%} ({known}, plus the margin)")
    threshold = schema.format_duration(guard.threshold) if guard.threshold else ""
    what = {"errors": "failed", "latency": f"took longer than {threshold}"}.get(guard.type, "were wrong")
    place = "shadow copies" if bet.endswith(SHADOW) else "labelled answers" if guard.type == "quality" else "requests"
    margin = f" (margin {guard.max_loss_increase:.1%})" if guard.type == "quality" else ""
    objective = f" (objective {guard.objective_rate:.2%})" if bet.endswith(LIMIT) and guard.objective_rate is not None else ""
    return (f"{guard.name}: {bad} of {n} {place} of the candidate {what} ({bad / max(1, n):.1%}){objective}, "
            f"{stable_bad} of {stable_n} of stable ({stable_bad / max(1, stable_n):.1%}){margin}{_at_least(ledger, bet)}")


def _at_least(ledger: Ledger, bet: str) -> str:
    """Says how many times stable's rate the candidate's is at the least, where that is more than one."""
    low = ledger.ratios[bet].interval(alpha=INTERVAL_ALPHA).low if bet in ledger.ratios else None
    return f", {low:.1f} times or more (95 %, at any look)" if low is not None and low >= 1.05 else ""


def _share(totals: tuple[int, int, int, int]) -> str:
    return f"{totals[1]} of {totals[0]}"


def _power(log_e: float) -> str:
    return f"{math.exp(log_e):.0f}" if log_e < 14 else f"1e{log_e / math.log(10):.0f}"

"""The judge: what a rollout has learnt in, one verdict with its sentence out. Pure.

The harms of one rollout are averaged (`evidence.combine`), so that P(a healthy revision is rolled back) <= falseRollback holds for all
guards together; a certificate is asked of every guard that gates a stage, each at falsePromotion.
"""

import datetime
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fairway.config import sections
from fairway.rollout import evidence, intervals
from fairway.rollout.evidence import ArmCounts
from fairway.rollout.ledger import LIMIT, SHADOW, SPLIT_ALPHA, Ledger, allowed_disagreement

INTERVAL_ALPHA = 0.05  # of the intervals that are reported
FOREVER_SECONDS = 1e8  # a certificate that takes three years is not to be expected


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
    eta_seconds: float | None = None  # expected time to a promotion, where the counts so far allow one
    suspended: tuple[str, ...] = ()  # guards whose absolute limit does not count now, because stable breaks it too
    unfair: tuple[str, ...] = ()  # guards that are not judged, because their labels or outcomes are no lottery


def decide(ledger: Ledger, *, strategy: sections.Strategy, stage: str, offline: float | None = None) -> Verdict:
    """Return the verdict for `stage` (shadow, canary or bake): ROLLBACK, INVALID, PROMOTE or HOLD.

    INCONCLUSIVE needs the clock and is the strategy's to say, when the stage's budget is spent on HOLD.
    """
    action, reason, guard = _judgement(ledger, strategy=strategy, stage=stage, offline=offline)
    eta = _eta(ledger, strategy, stage, offline) if action is Action.HOLD else None
    if eta is not None:
        reason = (
            f"{reason}; about {sections.format_duration(datetime.timedelta(seconds=math.ceil(eta)))} more at this rate"
        )
    return Verdict(
        action=action,
        reason=reason,
        guard=guard,
        evidence=describe(ledger, strategy=strategy, intervals_too=action is not Action.HOLD),
        guarantee=guarantee(strategy, compared=offline is not None),
        eta_seconds=eta,
        suspended=_suspended(ledger),
        unfair=ledger.unfair,
    )


def _judgement(
    ledger: Ledger, *, strategy: sections.Strategy, stage: str, offline: float | None
) -> tuple[Action, str, str | None]:
    """Return the action, its sentence, and the guard that it is about."""
    harm = ledger.harm
    if harm >= math.log(1 / strategy.false_rollback):
        bet = max(ledger.heard, key=lambda name: ledger.heard[name].log_e)
        accused = _guard_of(bet, strategy)
        reason = f"{_accuse(accused, bet, ledger, strategy, offline)}; e = {_power(harm)} against {1 / strategy.false_rollback:.0f} needed"
        return Action.ROLLBACK, reason, accused.name
    spent = _spent(ledger, strategy)
    if spent is not None:
        return (
            Action.ROLLBACK,
            f"{spent.name}: {ledger.totals[spent.name][1]} requests of the candidate failed: badRequests allows "
            f"{strategy.bad_requests}, whatever the evidence (e = {_power(harm)})",
            spent.name,
        )
    if ledger.crooked:
        share, units = ledger.met[0] / max(1, sum(ledger.met)), sum(ledger.met)
        counted = (
            f": {ledger.met[0]} of {units} fell to the candidate ({share:.1%}), not {ledger.asked:.1%}" if units else ""
        )
        reason = (
            f"the split of units between the arms is not what was asked{counted} (e = {_power(ledger.split.log_e)} against {1 / SPLIT_ALPHA:.0f}); "
            "the comparison would not be fair"
        )
        return Action.INVALID, reason, None
    drawn = "; ".join(_unfair(name, ledger) for name in ledger.unfair)
    if any(guard.name in ledger.unfair and guard.stage == stage for guard in strategy.guards):
        return Action.INVALID, f"{drawn}; without them it cannot be certified", None
    beside = f"; {drawn}" if drawn else ""
    waiting = [
        _missing(guard, ledger, strategy)
        for guard in strategy.guards
        if guard.stage == stage and not _certified(guard, ledger, strategy)
    ]
    if stage == "shadow" and ledger.pairs < strategy.shadow.min_pairs:
        waiting.insert(0, f"{ledger.pairs} of {strategy.shadow.min_pairs} pairs compared")
    if waiting:
        return Action.HOLD, f"no guard is violated; not yet certified: {'; '.join(waiting)}{beside}", None
    held = [_praise(guard, ledger, strategy, offline) for guard in strategy.guards if guard.stage == stage]
    reason = (
        f"every guard of the {stage} holds: {'; '.join(held)}"
        if held
        else f"no guard gates the {stage}, and none is violated"
    )
    return Action.PROMOTE, f"{reason}{beside}", None


def _unfair(name: str, ledger: Ledger) -> str:
    """Say of which guard's labels or outcomes more or fewer of one arm came in than were served."""
    mine, theirs = ledger.came[name]
    return (
        f"{name} is not judged in this rollout: its labels or outcomes are no lottery, {mine} of {mine + theirs} are of the candidate, which is not the "
        f"share that it served (e = {_power(ledger.lotteries[name].peak)} against {1 / SPLIT_ALPHA:.0f}); take them by lot over all requests"
    )


def _spent(ledger: Ledger, strategy: sections.Strategy) -> sections.Guard | None:
    """Return the guard whose failed requests have spent what the user is ready to lose."""
    if strategy.bad_requests is None:
        return None
    return next(
        (
            guard
            for guard in strategy.guards
            if guard.type == "errors" and ledger.totals[guard.name][1] >= strategy.bad_requests
        ),
        None,
    )


def _eta(ledger: Ledger, strategy: sections.Strategy, stage: str, offline: float | None) -> float | None:
    """Return the seconds until every certificate of the stage is expected, at the traffic and the rate of bad answers so far; None where that is never."""
    longest = 0.0
    if stage == "shadow" and 0 < ledger.pairs < strategy.shadow.min_pairs:
        longest = (strategy.shadow.min_pairs - ledger.pairs) * (ledger.at - ledger.since) / ledger.pairs
    for guard in strategy.guards:
        if guard.stage != stage or _certified(guard, ledger, strategy):
            continue
        n, bad, _, _ = ledger.totals[guard.name]
        elapsed = ledger.at - ledger.firsts.get(guard.name, ledger.at)
        limit = guard.max_rate if guard.type != "disagreement" else allowed_disagreement(strategy, offline)
        if elapsed <= 0 or n == 0:
            return None
        if limit is not None and guard.type not in ("quality", "business"):
            growth = evidence.growth_below((bad + 0.5) / (n + 1), limit=limit) * n / elapsed
        else:  # a comparison of both arms: as it has grown so far
            growth = ledger.certificates[guard.name].log_e / elapsed
        if growth * FOREVER_SECONDS < 1:  # also where rounding alone is above 0
            return None
        longest = max(
            longest, (math.log(1 / strategy.false_promotion) - ledger.certificates[guard.name].log_e) / growth
        )
    return longest or None


def _suspended(ledger: Ledger) -> tuple[str, ...]:
    return tuple(bet.partition("/")[0] for bet, alarm in ledger.alarms.items() if alarm.on(at=ledger.at))


def guarantee(strategy: sections.Strategy, *, compared: bool = True) -> str:
    """Return the promise behind a verdict, in words. `compared` says whether evaluation measured how much the two models disagree."""
    healthy = (
        "healthy revision"
        if strategy.mode == "concurrentOnly"
        else "revision no worse than stable and within every objective"
    )
    tolerated = [
        f"at most {guard.tolerated:g} times stable's {guard.name}" for guard in strategy.guards if guard.tolerated > 1
    ]
    if tolerated:
        healthy += f" ({' and '.join(tolerated)})"
    if not compared and strategy.shadow.enabled and any(guard.type == "disagreement" for guard in strategy.guards):
        healthy += f" (one whose answers differ from stable's in at most {allowed_disagreement(strategy, None):.1%}, for evaluation did not compare the two)"
    late = [guard.name for guard in strategy.guards if guard.type in ("quality", "business")]
    lottery = (
        f"; of {' and '.join(late)} while whether a label or an outcome comes in does not hang on the answer"
        if late
        else ""
    )
    return (
        f"P(a {healthy} is rolled back) <= {strategy.false_rollback:.3g}, whenever and however often one looks; "
        f"P(a revision whose rate is beyond a guard's limit, on average so far, has its certificate) <= {strategy.false_promotion:.3g}{lottery}"
    )


def qualified(promise: str, how: str) -> str:
    """Return the promise with the condition under which, or how nearly, it holds."""
    return f"{promise}; it holds {how}" if how else promise


def describe(ledger: Ledger, *, strategy: sections.Strategy, intervals_too: bool = True) -> dict[str, Any]:
    """Return the evidence by bet: counts of both arms, log e of harm, log e of the certificate and the intervals where there are any."""
    rows: dict[str, Any] = {}
    for bet, (candidate_n, candidate_bad, stable_n, stable_bad) in ledger.totals.items():
        guard = _guard_of(bet, strategy)
        if guard.slice_by is not None and _slice(ledger, bet) is None:
            continue  # a place that no slice has taken
        certificate = ledger.certificates.get(guard.name) if bet == guard.name else None
        rows[bet] = {
            "guard": guard.name,
            "candidate": {"n": candidate_n, "bad": candidate_bad},
            "stable": {"n": stable_n, "bad": stable_bad},
            "logE": round(ledger.harms[bet].log_e, 4) + 0.0,
            "pValue": ledger.harms[bet].p_value,
            "logCertificate": round(certificate.log_e, 4) + 0.0 if certificate else None,
        }
        if bet in ledger.came:
            rows[bet]["cameIn"] = _came_in(guard, ledger)
        if guard.slice_by is not None:
            rows[bet]["slice"] = {guard.slice_by: _slice(ledger, bet)}
        if guard.type == "drift":
            rows[bet]["answers"] = {
                answer: {"candidate": mine, "stable": theirs}
                for answer, (mine, theirs) in ledger.answers.get(bet, {}).items()
            }
        elif intervals_too:
            rows[bet]["intervals"] = _effect(guard, ledger) if guard.type == "business" else _intervals(ledger, bet)
    rows["combined"] = {
        "logE": round(ledger.harm, 4),
        "needed": round(math.log(1 / strategy.false_rollback), 4),
        "guilty": list(evidence.guilty(ledger.heard, alpha=strategy.false_rollback)),
    }
    if sum(ledger.met):
        rows["combined"]["split"] = {
            "candidate": ledger.met[0],
            "stable": ledger.met[1],
            "asked": ledger.asked,
            "logE": round(ledger.split.log_e, 4) + 0.0,
        }
    return rows


def _came_in(guard: sections.Guard, ledger: Ledger) -> dict[str, Any]:
    """Return of both arms how many labels or outcomes are in, of so many units that were served; of labels also by answer."""
    arms = ("candidate", "stable")
    found: dict[str, Any] = {
        arm: {"units": came, "of": served or None}
        for arm, came, served in zip(arms, ledger.came[guard.name], ledger.exposed, strict=True)
    }
    if guard.type == "quality":
        found["answers"] = {
            answer: {arm: {"units": row[place + 2], "of": row[place]} for place, arm in enumerate(arms)}
            for answer, row in ledger.answered.items()
        }
    return {**found, "logE": round(ledger.lotteries[guard.name].log_e, 4) + 0.0}


def _effect(guard: sections.Guard, ledger: Ledger) -> dict[str, Any]:
    """Return the always-valid 95 % intervals of both arms' mean outcomes, and of the effect: candidate less stable."""
    n, lost, stable_n, stable_lost = ledger.totals[guard.name]
    spreads = ledger.spreads.get(guard.name, (0.0, 0.0))
    arms = []
    for loss, of, spread in ((lost, n, spreads[0]), (stable_lost, stable_n, spreads[1])):
        low, high = intervals.mean(
            loss, of, spread=spread, alpha=INTERVAL_ALPHA / 2
        )  # a half each, so that their difference holds too
        arms.append(sorted((_outcome(guard, low or 0.0), _outcome(guard, 1.0 if high is None else high))))
    (low, high), (stable_low, stable_high) = arms
    found = {"candidate": arms[0], "stable": arms[1]}
    if (
        ledger.weights.get(guard.name) is not None
    ):  # under several weights the arms' means are of other times, and their difference says nothing
        found["effect"] = [low - stable_high, high - stable_low]
    return {name: [float(f"{edge:.4g}") for edge in edges] for name, edges in found.items()}


def _intervals(ledger: Ledger, bet: str) -> dict[str, Any]:
    """Return the always-valid 95 % intervals of both arms' rates and of their ratio."""
    n, bad, stable_n, stable_bad = ledger.totals[bet]
    arms = {"candidate": ArmCounts(n, bad), "stable": ArmCounts(stable_n, stable_bad)}
    found = {name: intervals.rate(counts, alpha=INTERVAL_ALPHA) for name, counts in arms.items()}
    if bet in ledger.ratios:
        found["ratio"] = ledger.ratios[bet].interval(alpha=INTERVAL_ALPHA)
    return {
        name: [float(f"{edge:.4g}") if edge is not None else None for edge in interval]
        for name, interval in found.items()
    }


def _guard_of(bet: str, strategy: sections.Strategy) -> sections.Guard:
    return next(guard for guard in strategy.guards if guard.name == bet.partition("/")[0])


def _certified(guard: sections.Guard, ledger: Ledger, strategy: sections.Strategy) -> bool:
    if guard.type == "disagreement" and not strategy.shadow.enabled:
        return True
    return ledger.certificates[guard.name].log_e >= math.log(
        1 / strategy.false_promotion
    )  # now: what was earned before a worse time is not kept


def _missing(guard: sections.Guard, ledger: Ledger, strategy: sections.Strategy) -> str:
    e = math.exp(min(50.0, ledger.certificates[guard.name].log_e))
    n, _, stable_n, _ = ledger.totals[guard.name]
    seen = f"outcomes of {n} and {stable_n} units" if guard.type == "business" else _share(ledger.totals[guard.name])
    return f"{guard.name} (e = {e:.2g} of {1 / strategy.false_promotion:.0f}, {seen})"


def _praise(guard: sections.Guard, ledger: Ledger, strategy: sections.Strategy, offline: float | None) -> str:
    if guard.type == "disagreement" and not strategy.shadow.enabled:
        return f"{guard.name} (shadow was skipped)"
    if guard.type == "business":
        return f"{guard.name} {_means(guard, ledger)}, {_less(guard)}"
    if guard.max_ratio is not None:
        return f"{guard.name} below {guard.max_ratio:g} times stable's ({_share(ledger.totals[guard.name])}, {ledger.totals[guard.name][3]:g} of stable)"
    if guard.type == "quality":
        n, bad, m, stable_bad = ledger.totals[guard.name]
        return f"{guard.name} at most {guard.max_loss_increase:.1%} worse than stable's ({bad:g} of {n} wrong, {stable_bad:g} of {m} of stable)"
    limit = allowed_disagreement(strategy, offline) if guard.type == "disagreement" else guard.max_rate or 0.0
    return f"{guard.name} below {limit:.2%} on average so far ({_share(ledger.totals[guard.name])})"


def _accuse(guard: sections.Guard, bet: str, ledger: Ledger, strategy: sections.Strategy, offline: float | None) -> str:
    n, bad, stable_n, stable_bad = ledger.totals[bet]
    if guard.type == "business":
        return f"{guard.name}: {_means(guard, ledger)}, not {_less(guard)}"
    if guard.type == "drift":
        answer, (mine, theirs) = _drifted(ledger, bet)
        return (
            f"{guard.name}: {answer!r} is the answer to {mine} of {n} units of the candidate ({mine / max(1, n):.1%}) and to {theirs} of {stable_n} of "
            f"stable ({theirs / max(1, stable_n):.1%}), allowed is a difference of {guard.max_shift:.1%}"
        )
    if guard.type == "disagreement":
        known = f"at most {offline:.1%} by evaluation" if offline is not None else "evaluation did not compare the two"
        return (
            f"{guard.name}: {bad} of {n} shadow answers differ from stable's ({bad / max(1, n):.1%}), "
            f"allowed are {allowed_disagreement(strategy, offline):.1%} ({known}, plus the margin)"
        )
    threshold = sections.format_duration(guard.threshold) if guard.threshold else ""
    what = {"errors": "failed", "latency": f"took longer than {threshold}", "rejections": "were refused (4xx)"}.get(
        guard.type, "were wrong"
    )
    place = (
        "shadow copies"
        if bet.endswith(SHADOW)
        else "units with labels"
        if guard.type == "quality"
        else guard.count or "requests"
    )
    margin = f" (margin {guard.max_loss_increase:.1%})" if guard.type == "quality" else ""
    if guard.slice_by is not None:
        margin += f" where {guard.slice_by} is {_slice(ledger, bet)!r}"
    objective = (
        f" (objective {guard.objective_rate:.2%})" if bet.endswith(LIMIT) and guard.objective_rate is not None else ""
    )
    return (
        f"{guard.name}: {bad:.4g} of {n} {place} of the candidate {what} ({bad / max(1, n):.1%}){objective}, "
        f"{stable_bad:.4g} of {stable_n} of stable ({stable_bad / max(1, stable_n):.1%}){margin}{_at_least(ledger, bet)}"
    )


def _means(guard: sections.Guard, ledger: Ledger) -> str:
    n, lost, stable_n, stable_lost = ledger.totals[guard.name]
    mine, theirs = (_outcome(guard, loss / max(1, of)) for loss, of in ((lost, n), (stable_lost, stable_n)))
    return f"{guard.outcome} is {mine:.4g} on average over {n} units of the candidate, {theirs:.4g} over {stable_n} of stable"


def _less(guard: sections.Guard) -> str:
    if guard.max_loss_increase == 0:
        return "better than stable's"
    return f"at most {guard.max_loss_increase * ((guard.upper or 0.0) - guard.lower):.4g} worse than stable's"


def _outcome(guard: sections.Guard, loss: float) -> float:
    """Return the outcome that the loss stands for."""
    span = (guard.upper or 0.0) - guard.lower
    return (guard.upper or 0.0) - loss * span if guard.higher_is_better else guard.lower + loss * span


def _slice(ledger: Ledger, bet: str) -> str | None:
    """Return the value of the slice that the bet is about."""
    name, _, place = bet.partition("/")
    known = ledger.slices.get(name, ())
    return known[int(place)] if int(place) < len(known) else None


def _drifted(ledger: Ledger, name: str) -> tuple[str, tuple[int, int]]:
    """Return the answer whose share differs most between the arms, and its counts."""
    n, _, m, _ = ledger.totals[name]
    return max(ledger.answers[name].items(), key=lambda item: abs(item[1][0] / max(1, n) - item[1][1] / max(1, m)))


def _at_least(ledger: Ledger, bet: str) -> str:
    """Say how many times stable's rate the candidate's is at the least, where that is more than one."""
    low = ledger.ratios[bet].interval(alpha=INTERVAL_ALPHA).low if bet in ledger.ratios else None
    return f", {low:.1f} times or more (95 %, at any look)" if low is not None and low >= 1.05 else ""


def _share(totals: tuple[int, float, int, float]) -> str:
    return f"{totals[1]} of {totals[0]}"


def _power(log_e: float) -> str:
    return f"{math.exp(log_e):.0f}" if log_e < 14 else f"1e{log_e / math.log(10):.0f}"

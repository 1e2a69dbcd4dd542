"""The judge: what a rollout has learnt in, one verdict with its sentence out. Pure.

The harms of one rollout are averaged (`betting.combine`), so that P(a healthy revision is rolled
back) <= falseRollback holds for all guards together; a certificate is asked of every guard that
gates a stage, each at falsePromotion.
"""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fairway.config import sections
from fairway.rollout import guards
from fairway.rollout.bets import BetKey
from fairway.rollout.guards import base
from fairway.rollout.guards.base import Case
from fairway.rollout.ledger import SPLIT_ALPHA, Ledger
from fairway.rollout.statistics import betting

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
    # expected time to a promotion, where the counts so far allow one
    eta_seconds: float | None = None
    # guards whose absolute limit does not count now, because stable breaks it too
    suspended: tuple[str, ...] = ()
    # guards that are not judged, because their labels or outcomes are no lottery
    unfair: tuple[str, ...] = ()


def decide(
    ledger: Ledger, *, strategy: sections.Strategy, stage: str, offline: float | None = None
) -> Verdict:
    """Return the verdict for `stage` (shadow, canary or bake): ROLLBACK, INVALID, PROMOTE or HOLD.

    INCONCLUSIVE needs the clock and is the strategy's to say, when the stage's budget is spent on
    HOLD.
    """
    cases = guards.cases(strategy, offline=offline)
    action, reason, guard = _judgement(ledger, cases, strategy=strategy, stage=stage)
    eta = _eta(ledger, cases, strategy=strategy, stage=stage) if action is Action.HOLD else None
    if eta is not None:
        more = sections.format_duration(datetime.timedelta(seconds=math.ceil(eta)))
        reason = f"{reason}; about {more} more at this rate"
    return Verdict(
        action=action,
        reason=reason,
        guard=guard,
        evidence=describe(ledger, strategy=strategy, intervals_too=action is not Action.HOLD),
        guarantee=guarantee(strategy, compared=offline is not None),
        eta_seconds=eta,
        suspended=ledger.suspended,
        unfair=ledger.unfair,
    )


def _judgement(
    ledger: Ledger, cases: Sequence[Case[Any]], *, strategy: sections.Strategy, stage: str
) -> tuple[Action, str, str | None]:
    """Return the action, its sentence, and the guard that it is about."""
    if ledger.harm >= math.log(1 / strategy.false_rollback):
        return _harmful(ledger, cases, strategy)
    spent = _spent(ledger, cases, strategy)
    if spent is not None:
        return spent
    if ledger.crooked:
        return Action.INVALID, _split(ledger), None
    gating = [case for case in cases if case.stage == stage]
    drawn = "; ".join(case.unfair(ledger) for case in cases if case.name in ledger.unfair)
    if any(case.name in ledger.unfair for case in gating):
        return Action.INVALID, f"{drawn}; without them it cannot be certified", None
    beside = f"; {drawn}" if drawn else ""
    waiting = [case.missing(ledger) for case in gating if not case.certified(ledger)]
    if stage == "shadow" and ledger.pairs < strategy.shadow.min_pairs:
        rest = f" ({ledger.incomparable} cannot be compared)" if ledger.incomparable else ""
        waiting.insert(0, f"{ledger.pairs} of {strategy.shadow.min_pairs} pairs compared{rest}")
    if waiting:
        return (
            Action.HOLD,
            f"no guard is violated; not yet certified: {'; '.join(waiting)}{beside}",
            None,
        )
    if not gating:
        return Action.PROMOTE, f"no guard gates the {stage}, and none is violated{beside}", None
    held = "; ".join(case.praise(ledger) for case in gating)
    return Action.PROMOTE, f"every guard of the {stage} holds: {held}{beside}", None


def _harmful(
    ledger: Ledger, cases: Sequence[Case[Any]], strategy: sections.Strategy
) -> tuple[Action, str, str]:
    """Return the rollback, by the sentence of the bet that has won most."""
    key = max(ledger.heard, key=lambda bet: ledger.heard[bet].log_e)
    accused = _case_of(key, cases)
    needed = f"e = {base.power(ledger.harm)} against {1 / strategy.false_rollback:.0f} needed"
    return Action.ROLLBACK, f"{accused.accuse(key, ledger)}; {needed}", accused.name


def _spent(
    ledger: Ledger, cases: Sequence[Case[Any]], strategy: sections.Strategy
) -> tuple[Action, str, str] | None:
    """Return the rollback by the guard whose failed requests have spent what the user is ready to
    lose."""
    if strategy.bad_requests is None:
        return None
    for case in cases:
        failed = ledger.own(case.name).candidate.bad if case.spends else 0
        if case.spends and failed >= strategy.bad_requests:
            reason = (
                f"{case.name}: {failed} requests of the candidate failed: badRequests allows {strategy.bad_requests}, "
                f"whatever the evidence (e = {base.power(ledger.harm)})"
            )
            return Action.ROLLBACK, reason, case.name
    return None


def _split(ledger: Ledger) -> str:
    """Say how units are divided between the arms, which is not what was asked."""
    mine, units = ledger.met.candidate, sum(ledger.met)
    counted = f": {mine} of {units} fell to the candidate ({mine / max(1, units):.1%}), not {ledger.asked:.1%}"
    return (
        f"the split of units between the arms is not what was asked{counted if units else ''} "
        f"(e = {base.power(ledger.split.log_e)} against {1 / SPLIT_ALPHA:.0f}); the comparison would not be fair"
    )


def _eta(
    ledger: Ledger, cases: Sequence[Case[Any]], *, strategy: sections.Strategy, stage: str
) -> float | None:
    """Return the seconds until every certificate of the stage is expected; None where that is
    never.

    Expected is the traffic and the rate of bad answers so far.
    """
    longest = 0.0
    if stage == "shadow" and 0 < ledger.pairs < strategy.shadow.min_pairs:
        longest = (
            (strategy.shadow.min_pairs - ledger.pairs) * (ledger.at - ledger.since) / ledger.pairs
        )
    for case in cases:
        if case.stage != stage or case.certified(ledger):
            continue
        seconds = _seconds(case, ledger)
        if seconds is None:
            return None
        longest = max(longest, seconds)
    return longest or None


def _seconds(case: Case[Any], ledger: Ledger) -> float | None:
    """Return the seconds until the guard's certificate is expected.

    None where that is never, or nothing is known yet.
    """
    bet = ledger.own(case.name)
    elapsed = ledger.at - bet.first if bet.first is not None else 0.0
    if elapsed <= 0 or bet.candidate.n == 0:
        return None
    growth = case.growth(ledger, seconds=elapsed)
    if growth * FOREVER_SECONDS < 1:  # also where rounding alone is above 0
        return None
    return case.lacks(ledger) / growth


def guarantee(strategy: sections.Strategy, *, compared: bool = True) -> str:
    """Return the promise behind a verdict, in words.

    `compared` says whether evaluation measured how much the two models disagree.
    """
    cases = guards.cases(strategy)
    healthy = "revision no worse than stable and within every objective"
    if strategy.mode == "concurrentOnly":
        healthy = "healthy revision"
    tolerated = [tolerance for case in cases if (tolerance := case.tolerance) is not None]
    if tolerated:
        healthy += f" ({' and '.join(tolerated)})"
    if not compared and strategy.shadow.enabled:
        healthy += next(
            (f" ({meant})" for case in cases if (meant := case.unmeasured) is not None), ""
        )
    late = [case.name for case in cases if case.late]
    lottery = (
        "; of {} while whether a label or an outcome comes in does not hang on the answer"
        if late
        else ""
    )
    return (
        f"P(a {healthy} is rolled back) <= {strategy.false_rollback:.3g}, whenever and however often one looks; "
        "P(a revision whose rate is beyond a guard's limit, on average so far, has its certificate) <= "
        f"{strategy.false_promotion:.3g}"
        f"{lottery.format(' and '.join(late))}"
    )


def qualified(promise: str, how: str) -> str:
    """Return the promise with the condition under which, or how nearly, it holds."""
    return f"{promise}; it holds {how}" if how else promise


def describe(
    ledger: Ledger, *, strategy: sections.Strategy, intervals_too: bool = True
) -> dict[str, Any]:
    """Return the evidence by bet.

    Counts of both arms, log e of harm, log e of the certificate and the intervals where there are
    any.
    """
    cases = guards.cases(strategy)
    rows: dict[str, Any] = {}
    for key in ledger.bets:
        if key.place is not None and ledger.slice_of(key) is None:
            continue  # a place that no slice has taken
        rows[str(key)] = _row(key, ledger, _case_of(key, cases), intervals_too=intervals_too)
    guilty = betting.guilty(ledger.heard, alpha=strategy.false_rollback)
    rows["combined"] = {
        "logE": round(ledger.harm, 4),
        "needed": round(math.log(1 / strategy.false_rollback), 4),
        "guilty": [str(key) for key in guilty],
    }
    if sum(ledger.met):
        rows["combined"]["split"] = {
            **ledger.met._asdict(),
            "asked": ledger.asked,
            "logE": round(ledger.split.log_e, 4) + 0.0,
        }
    return rows


def _row(key: BetKey, ledger: Ledger, case: Case[Any], *, intervals_too: bool) -> dict[str, Any]:
    """Return the evidence of one bet."""
    bet = ledger.bets[key]
    row = {
        "guard": case.name,
        "candidate": bet.candidate._asdict(),
        "stable": bet.stable._asdict(),
        "logE": round(bet.harm.log_e, 4) + 0.0,
        "pValue": bet.harm.p_value,
        "logCertificate": round(bet.certificate.log_e, 4) + 0.0 if bet.certificate else None,
    }
    if base.is_lossy(bet):
        row["losses"] = True  # `bad` is the sum of losses between 0 and 1
    if key == BetKey(case.name) and case.name in ledger.lotteries:
        row["cameIn"] = case.came_in(ledger)
    return row | case.described(key, ledger, intervals_too=intervals_too)


def _case_of(key: BetKey, cases: Sequence[Case[Any]]) -> Case[Any]:
    return next(case for case in cases if case.name == key.guard)

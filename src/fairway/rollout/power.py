"""Whether a step of the canary has seen enough: a harm of the stated size would have been found in
it. Pure."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fairway.config import sections
from fairway.rollout import guards
from fairway.rollout.bets import BetKey, BetKind
from fairway.rollout.guards.rates import LimitedCase
from fairway.rollout.ledger import Ledger
from fairway.rollout.statistics import betting
from fairway.rollout.statistics.betting import ArmCounts, Wealth

QUANTILE = 0.8416  # of the normal distribution: four harms in five show at least so much
MOST = 10**9  # requests: nobody waits for more
FIRST = math.log(0.5 / betting.GRID)  # what each bet of a wealth begins with, at the most


def needed(
    ledger: Ledger,
    *,
    strategy: sections.Strategy,
    share: float,
    since: float,
    rates: Mapping[str, float],
    enough: int = 0,
) -> dict[str, float]:
    """Return, by guard, how many requests of the candidate a step that began at `since` takes.

    Infinity where no number does, 0 where `enough` do.

    What is asked: had the candidate been as stable (`rates`) up to the step, and then failed
    `canary.harm` more of its requests, would it be rolled back? Not with the failures to be
    expected, but with as few as four harms in five show at the least; over a step in which it had
    that `share` of the requests. Each request counts as a case of its own here, also for a guard
    that counts units: with few users a step does not wait for ever.
    """
    found: dict[str, float] = {}
    for case in guards.cases(strategy):
        if isinstance(case, LimitedCase) and case.stage == "canary":
            rate = min(rates.get(case.name, 0.0), 1.0)
            shows = functools.partial(
                _found,
                case=case,
                ledger=ledger,
                strategy=strategy,
                share=share,
                since=since,
                rate=rate,
                came=enough,
            )
            found[case.name] = 0 if enough and shows(enough) else _fewest(shows)
    return found


def _found(
    n: int,
    *,
    case: LimitedCase[Any],
    ledger: Ledger,
    strategy: sections.Strategy,
    share: float,
    since: float,
    rate: float,
    came: int,
) -> bool:
    """Say whether the candidate would be rolled back, had the harm come with `n` of its requests.

    Of those the wealth knows `came`.
    """
    harm, others = strategy.canary.harm, round(n * (1 - share) / share)
    failures = n * harm - QUANTILE * math.sqrt(n * harm * (1 - harm))
    candidate = ArmCounts(n, min(float(n), max(0.0, failures) + n * case.tolerated * rate))
    worth = case.against(candidate, ArmCounts(others, others * rate))
    rest = round(came * (1 - share) / share)
    known = case.against(ArmCounts(came, came * rate), ArmCounts(rest, rest * rate))
    own = BetKey(case.name)
    besides = [min(0.0, bet.harm.log_e) for key, bet in ledger.bets.items() if key != own]
    total = np.logaddexp.reduce(
        [*besides, _with(ledger.bets[own].harm, worth, known=known, since=since)]
    )
    return bool(total - math.log(len(ledger.bets)) >= math.log(1 / strategy.false_rollback))


def _with(wealth: Wealth, worth: betting.Floats, *, known: betting.Floats, since: float) -> float:
    """Return the wealth's logarithm, had the bets that were on at `since` won nothing before and so
    much since.

    What they have lost is lost; what they have won is a harm that is there, and must not make the
    step end sooner. What healthy requests of the step have cost (`known`, as expected) is not lost
    besides: the harmful ones stand in their place.
    """
    on = np.array(wealth.starts)[:, None] <= since
    stakes = np.where(on, np.minimum(wealth.stakes - known, FIRST) + worth, -np.inf)
    kept = [math.log(wealth.cash)] if wealth.cash > 0 else []
    return float(np.logaddexp.reduce([*stakes.ravel(), *kept]))


def _fewest(enough: Callable[[int], bool]) -> float:
    high = 1
    while not enough(high):
        high *= 2
        if high > MOST:
            return math.inf
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def lacking(
    ledger: Ledger,
    *,
    strategy: sections.Strategy,
    arrived: tuple[int, int],
    weight: float,
    since: float,
) -> str | None:
    """Return what a step waits for, in words.

    None where it has seen enough, or where all requests are the candidate's and nothing can be
    compared.

    `arrived` are the requests of the candidate and of stable in the step, `weight` is the share
    that was asked for.
    """
    mine, theirs = arrived
    if weight >= 1:
        return None
    share = mine / (mine + theirs) if mine and theirs else weight
    own = {key.guard: bet.stable for key, bet in ledger.bets.items() if key.kind is BetKind.OWN}
    rates = {name: stable.bad / stable.n for name, stable in own.items() if stable.n}
    wanted = needed(ledger, strategy=strategy, share=share, since=since, rates=rates, enough=mine)
    if max(wanted.values(), default=0) == 0:
        return None
    guard, requests = max(wanted.items(), key=lambda item: item[1])
    enough = f"about {requests:.0f}" if math.isfinite(requests) else "more than any number"
    more = f"{strategy.canary.harm:.0%} more would be found ({guard})"
    return f"{mine} of {enough} requests of the candidate in which {more}"

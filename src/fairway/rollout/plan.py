"""How long a rollout will take at this traffic: the judge's own bets on counts as they are expected. Pure.

Half of all rollouts take longer than their expectation, roughly: plan with a budget of twice as much.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairway import errors
from fairway.config import sections
from fairway.rollout import evidence, power
from fairway.rollout import ledger as ledgers
from fairway.rollout.evidence import Floats, Wealth

LOOK_SECONDS = 5.0
MOST, MOST_TIMES = 0.99, 64.0  # that a guard's maxRate and maxRatio may be
HARMS = (0.02, 0.05, 0.2)  # rates of a bad revision whose discovery is foretold


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of one guard."""

    guard: str
    gates: str
    limit: float
    usual: float  # the healthy rate that was assumed; of outcomes stable's mean, as a share of their range
    certified_seconds: (
        float | None
    )  # from the stage's beginning, at that rate (or effect); None where no effect was named
    smallest_limit: (
        float | None
    )  # that can be certified within the stage's budget; of outcomes the smallest effect; None: not any
    found_seconds: dict[
        str, float | None
    ]  # rate of a bad revision -> seconds until it is rolled back; None: not within the budget


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is expected of one step of the canary."""

    weight: int
    seconds: float  # that it lasts at the least
    requests: (
        float | None
    )  # of the candidate, until `canary.harm` would have been found; None where no number is enough


def plan(
    policy: sections.Strategy,
    *,
    requests_per_second: float,
    usual: dict[str, float],
    effects: dict[str, float] | None = None,
) -> list[Expectation]:
    """Return what to expect of every guard that gates shadow or canary, quality apart (its labels come when they come).

    `usual` is each one's rate in a healthy revision; `effects` are how much better the outcomes of business guards are hoped to be, as shares of their
    range, with `usual` stable's mean, and every request a unit with an outcome. Raises ConfigError where a certificate is not to be expected within the
    budget, with the smallest limit (or effect) that is.
    """
    found, steps = [], schedule(policy, requests_per_second=requests_per_second, usual=usual)
    for guard in policy.guards:
        if (
            guard.stage not in ("shadow", "canary")
            or guard.type == "quality"
            or (guard.stage == "shadow" and not policy.shadow.enabled)
        ):
            continue
        rate = usual.get(guard.name, 0.0)
        if guard.max_ratio is not None:
            found.append(_of_ratio(guard, policy, rps=requests_per_second, rate=rate, steps=steps))
        elif guard.type == "business":
            found.append(
                _of_outcomes(guard, policy, rps=requests_per_second, mean=rate, effect=(effects or {}).get(guard.name))
            )
        else:
            found.append(_of_rate(guard, policy, rps=requests_per_second, rate=rate, steps=steps))
    return found


def _of_rate(
    guard: sections.Guard, policy: sections.Strategy, *, rps: float, rate: float, steps: Sequence[Step]
) -> Expectation:
    limit = (guard.max_rate or 0.0) if guard.type != "disagreement" else ledgers.allowed_disagreement(policy, rate)
    budget = policy.shadow.budget if guard.stage == "shadow" else policy.canary.budget
    served = list(_served(policy, stage=guard.stage, rps=rps, seconds=budget.total_seconds(), steps=steps))
    least = smallest(rate, requests=served[-1] / guard.requests_per_unit, alpha=policy.false_promotion)
    if least is None or limit < least:
        raise errors.ConfigError(
            f"strategy.guards: {guard.name} cannot certify {limit:.2%} within {sections.format_duration(budget)} at {rps:g} requests/s and a usual rate of "
            f"{rate:.2%}: wanted {_or_more(least, percent=True)}more traffic, or a longer budget"
        )
    need = requests_to_certify(rate, limit=limit, alpha=policy.false_promotion) * guard.requests_per_unit
    look = int(np.searchsorted(served, max(need, float(policy.shadow.min_pairs) if guard.stage == "shadow" else 0.0)))
    harms = (
        {}
        if guard.type == "disagreement"
        else _harms(guard, policy, rate=rate, rps=rps, seconds=budget.total_seconds(), steps=steps)
    )
    return Expectation(
        guard=guard.name,
        gates=guard.stage,
        limit=limit,
        usual=rate,
        certified_seconds=(look + 1) * LOOK_SECONDS,
        smallest_limit=least,
        found_seconds=harms,
    )


def _of_ratio(
    guard: sections.Guard, policy: sections.Strategy, *, rps: float, rate: float, steps: Sequence[Step]
) -> Expectation:
    """Both arms at the usual rate, and the last step's weight from the beginning."""
    weight, seconds, limit = (
        policy.canary.steps[-1].weight / 100,
        policy.canary.budget.total_seconds(),
        guard.max_ratio or 1.0,
    )

    def needed(ratio: float) -> float:
        odds = weight * ratio
        growth = evidence.two_arm(rps * rate * weight, rps * rate, odds / (odds + 1 - weight), evidence.BETTER)
        return _until(growth / guard.requests_per_unit, alpha=policy.false_promotion)

    least = _bisect(lambda ratio: needed(ratio) <= seconds, low=1.0, high=MOST_TIMES)
    if needed(limit) > seconds:
        raise errors.ConfigError(
            f"strategy.guards: {guard.name} cannot certify {limit:g} times stable's rate within {sections.format_duration(policy.canary.budget)} at {rps:g} "
            f"requests/s and a usual rate of {rate:.2%}: wanted {_or_more(least, percent=False)}more traffic, a longer budget, or maxRate"
        )
    return Expectation(
        guard=guard.name,
        gates=guard.stage,
        limit=limit,
        usual=rate,
        certified_seconds=needed(limit),
        smallest_limit=least,
        found_seconds=_harms(guard, policy, rate=rate, rps=rps, seconds=seconds, steps=steps),
    )


def _of_outcomes(
    guard: sections.Guard, policy: sections.Strategy, *, rps: float, mean: float, effect: float | None
) -> Expectation:
    """Outcomes at the ends of their range, which is where they vary most, and the last step's weight from the beginning."""
    weight = policy.canary.steps[-1].weight / 100
    units = rps * policy.canary.budget.total_seconds()
    alpha, margin = policy.false_promotion, guard.max_loss_increase
    good = mean if guard.higher_is_better else 1 - mean
    if effect is not None and good + effect > 1 + 1e-9:
        raise errors.ConfigError(
            f"strategy.guards: {guard.name} has a mean of {mean:.2%} of its range and cannot be better by {effect:.2%}: "
            f"wanted an effect of {1 - good:.2%} at most"
        )
    least = _bisect(
        lambda better: units_to_certify(good, better, weight=weight, margin=margin, alpha=alpha) <= units,
        low=-margin,
        high=1 - good,
    )
    need = units_to_certify(good, effect, weight=weight, margin=margin, alpha=alpha) if effect is not None else None
    if need is not None and need > units:
        raise errors.ConfigError(
            f"strategy.guards: {guard.name} cannot tell an effect of {effect:.2%} of its range within {sections.format_duration(policy.canary.budget)} at "
            f"{rps:g} units/s ({need:.0f} are expected to be needed): wanted {_or_more(least, percent=True)}more traffic, or a longer budget"
        )
    return Expectation(
        guard=guard.name,
        gates=guard.stage,
        limit=margin,
        usual=mean,
        certified_seconds=need / rps if need is not None else None,
        smallest_limit=least,
        found_seconds={},
    )


def units_to_certify(mean: float, effect: float, *, weight: float, margin: float, alpha: float) -> float:
    """Return how many units of both arms are expected until the canary is certified not to be worse by `margin`, where it is better by `effect`.

    `mean` is stable's share of what is best.
    """
    good = min(1.0, mean + effect)
    loss, mine = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0])
    chance = np.array([weight * good, weight * (1 - good), (1 - weight) * mean, (1 - weight) * (1 - mean)])
    return _until(
        evidence.bet_on_values(loss, mine, weight=weight, margin=margin, centre=1 - mean, harm=False) @ chance,
        alpha=alpha,
    )


def requests_to_certify(rate: float, *, limit: float, alpha: float) -> float:
    """Return how many requests of the canary are expected until "below `limit`" is certified, at this rate; infinity where that is never."""
    return _until(evidence.below(rate, 1.0, limit=limit), alpha=alpha)


def _until(growth: Floats, *, alpha: float) -> float:
    """Return how often bets that grow by this in expectation must be repeated until they are worth 1/alpha; infinity where they do not grow."""
    if growth.max() <= 0:
        return math.inf

    def enough(times: float) -> bool:
        return float(np.logaddexp.reduce(growth * times)) - math.log(len(growth)) >= math.log(1 / alpha)

    high = 1.0
    while not enough(high):
        high *= 2
    return _bisect(enough, low=0.0, high=high) or high


def smallest(rate: float, *, requests: float, alpha: float) -> float | None:
    """Return the smallest limit that so many requests are expected to certify, at this rate; None where there is none."""
    return _bisect(lambda limit: requests_to_certify(rate, limit=limit, alpha=alpha) <= requests, low=rate, high=MOST)


def _or_more(least: float | None, *, percent: bool) -> str:
    """Name the smallest that is possible, rounded up so that it is; nothing where not any is."""
    if least is None:
        return ""
    digits = (3 if percent else 2) - math.floor(math.log10(least)) if least > 0 else 4
    value = math.ceil(least * 10**digits) / 10**digits
    return f"{value:.{max(0, digits - 2)}%} or more, " if percent else f"{value:g} or more, "


def _bisect(true: Callable[[float], bool], *, low: float, high: float) -> float | None:
    """Return the smallest value from which on it is true; None where it is not true of `high` either."""
    if not true(high):
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if true(middle) else (middle, high)
    return high


def schedule(policy: sections.Strategy, *, requests_per_second: float, usual: Mapping[str, float]) -> list[Step]:
    """Return how long each step is expected to last, at each guard's `usual` rate: until `canary.harm` more would have been found in it."""
    ledger, found = ledgers.begin(policy, at=0.0), []
    for step in policy.canary.steps:
        share = step.weight / 100
        wanted = (
            max(power.needed(ledger, strategy=policy, share=share, since=0.0, rates=usual).values(), default=0)
            if share < 1
            else 0
        )
        seconds = max(LOOK_SECONDS, step.min_duration.total_seconds(), wanted / (requests_per_second * share))
        found.append(Step(weight=step.weight, seconds=seconds, requests=wanted if math.isfinite(wanted) else None))
    return found


def weights(steps: Sequence[Step], *, seconds: float) -> Iterator[float]:
    """Return the canary's share at each look: every step as long as it must be, and the last one to the end."""
    step, since = 0, 0.0
    for look in range(max(1, round(seconds / LOOK_SECONDS))):
        now = look * LOOK_SECONDS
        if step + 1 < len(steps) and now - since >= steps[step].seconds:
            step, since = step + 1, now
        yield steps[step].weight / 100


def _served(
    policy: sections.Strategy, *, stage: str, rps: float, seconds: float, steps: Sequence[Step]
) -> Iterator[float]:
    """Return the requests (or pairs) that the canary is expected to have had after each look."""
    total, warmup = 0.0, policy.warmup.total_seconds() if stage == "shadow" or not policy.shadow.enabled else 0.0
    shares = (
        weights(steps, seconds=seconds)
        if stage == "canary"
        else iter([policy.shadow.percent / 100] * max(1, round(seconds / LOOK_SECONDS)))
    )
    for look, share in enumerate(shares):
        total += rps * LOOK_SECONDS * share * (look * LOOK_SECONDS >= warmup)
        yield total


def _harms(
    guard: sections.Guard, policy: sections.Strategy, *, rate: float, rps: float, seconds: float, steps: Sequence[Step]
) -> dict[str, float | None]:
    return {
        f"{bad:.0%}": _found(guard, policy, rate=rate, bad=bad, rps=rps, seconds=seconds, steps=steps)
        for bad in HARMS
        if bad > rate
    }


def _found(
    guard: sections.Guard,
    policy: sections.Strategy,
    *,
    rate: float,
    bad: float,
    rps: float,
    seconds: float,
    steps: Sequence[Step],
) -> float | None:
    """Return the seconds until a canary with rate `bad` against stable's `rate` is rolled back, as expected."""
    bets = len(ledgers.begin(policy, at=0.0).harms)  # the others are worth nothing then: the average is that much less
    need = math.log(bets / policy.false_rollback)
    wealth = Wealth.start(at=0.0)
    for look, share in enumerate(weights(steps, seconds=min(seconds, 86_400.0))):
        now, n = (look + 1) * LOOK_SECONDS, rps * LOOK_SECONDS
        wealth = wealth.restart(at=now) if wealth.due(at=now) else wealth
        wealth = wealth.bet(_factors(guard, n * share, n * (1 - share), bad, rate))
        if wealth.log_e >= need:
            return now
    return None


def _factors(guard: sections.Guard, canary: float, stable: float, bad: float, rate: float) -> Floats:
    """Return the factors of `ledger.against`, of counts that are no whole numbers."""
    events, odds = canary * bad + stable * rate, canary * guard.tolerated
    return evidence.two_arm(canary * bad, events, odds / (odds + stable), evidence.WORSE) / guard.requests_per_unit

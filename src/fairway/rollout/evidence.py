"""Evidence that may be looked at at any time: wealth of bets against a null hypothesis.

Each test multiplies a wealth of 1 by factors whose expectation is at most 1 while its null hypothesis H0 holds. So
P(the wealth ever reaches 1/alpha) <= alpha, whenever and however often one looks (Ville 1939; Howard, Ramdas, McAuliffe,
Sekhon 2021, section 2). A `Wealth` spreads its money over a grid of alternatives and over restart times, so that a
harm which starts late is not drowned by a healthy past; `factors_*` give the logarithm of the factor for each alternative.

>>> wealth = Wealth.start(at=0.0)
>>> for second in range(30):          # the canary has a tenth of the traffic and all of the errors
...     wealth = wealth.bet(factors_two_arm(ArmCounts(100, 2), ArmCounts(900, 0)))
>>> round(wealth.log_e)
127
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)

GRID = 12
RATIOS: Floats = np.geomspace(1.25, 64.0, GRID)  # relative risks of the canary, from a small harm to a total one
SHRINKAGES: Floats = np.linspace(0.1, 1.2, GRID)  # how far a bet goes along with what was seen so far
SPLIT_RATIOS: Floats = np.concatenate([np.geomspace(0.5, 0.95, GRID // 2), np.geomspace(1.05, 2.0, GRID // 2)])
BINS = GRID // 2  # answers whose shares are compared, each in both directions
MAX_RESTARTS = 10  # bounds the state that travels in a custom resource's status
RESTART_SECONDS = 60.0
ALARM, ALARM_SECONDS = 20.0, 600.0  # found by simulation: docs/judge.md has what they cost and save


ABOVE: Floats = np.geomspace(
    0.01, 0.9, GRID
)  # alternatives of a rate above its limit, as shares of the way from there to 1
BELOW: Floats = np.linspace(0.02, 0.9, GRID)  # alternatives of a certificate, as shares of its limit


class Alternatives(NamedTuple):
    """Relative risks of the canary that are bet on, as the factors need them."""

    logs: Floats  # natural logarithms
    gains: Floats  # the ratios less 1


WORSE = Alternatives(np.log(RATIOS), RATIOS - 1)
BETTER = Alternatives(-np.log(RATIOS), 1 / RATIOS - 1)


class ArmCounts(NamedTuple):
    """Requests (or units, labels, outcomes) of one arm and how many of them were bad (or their losses' sum)."""

    n: int
    bad: float

    def plus(self, other: "ArmCounts") -> "ArmCounts":
        return ArmCounts(self.n + other.n, self.bad + other.bad)


@dataclass(frozen=True)
class Wealth:
    """Money spread over restart times and alternatives; `log_e` is the evidence against H0, natural logarithm."""

    stakes: Floats  # [restarts, GRID] logarithm of the money on each alternative, by the time the bet began
    starts: tuple[float, ...]  # when each row began, seconds since the epoch
    cash: float  # money kept for restarts to come
    restarts: int  # how many there were
    peak: float  # largest log_e so far: the verdict is sticky

    @classmethod
    def start(cls, *, at: float, restarts: bool = True) -> "Wealth":
        """Return a wealth of 1: half on time zero and half kept for restarts, or all of it on time zero."""
        cash = 0.5 if restarts else 0.0
        return cls(
            stakes=np.full((1, GRID), math.log((1 - cash) / GRID)), starts=(at,), cash=cash, restarts=0, peak=0.0
        )

    @property
    def log_e(self) -> float:
        return self._worth(self.stakes)

    @property
    def p_value(self) -> float:
        """Valid at any time: the smallest level at which the evidence so far would have spoken."""
        return math.exp(-max(0.0, self.peak))

    def bet(self, factors: Floats) -> "Wealth":
        """Return the wealth after one batch of data; `factors` are logarithms, one an alternative."""
        stakes = self.stakes + factors
        worth = self._worth(stakes)
        if not math.isfinite(worth):
            raise ValueError(f"factors are {factors.tolist()}: wanted finite numbers")
        return Wealth(stakes, self.starts, self.cash, self.restarts, max(self.peak, worth))

    def _worth(self, stakes: Floats) -> float:
        total = _log_sum(stakes)
        if self.cash <= 0:
            return total
        kept = math.log(self.cash)
        return max(total, kept) + math.log1p(math.exp(-abs(total - kept)))

    def restart(self, *, at: float) -> "Wealth":
        """Return the wealth with a new row that begins at `at`.

        The j-th restart takes 1/(2 j (j+1)) of the first money, so that all of them together take the half kept back.
        When the rows are full the poorest restart is closed and its money goes to the new row: a bet that may be
        rearranged by what is already known stays a fair one.
        """
        number = self.restarts + 1
        money = 0.5 / (number * (number + 1))
        stakes, starts, amount = self.stakes, self.starts, math.log(money)
        if len(starts) > MAX_RESTARTS:
            rows = np.logaddexp.reduce(stakes[1:], axis=1)
            poorest = int(np.argmin(rows)) + 1
            amount = float(np.logaddexp(amount, rows[poorest - 1]))
            stakes = np.delete(stakes, poorest, axis=0)
            starts = starts[:poorest] + starts[poorest + 1 :]
        row = np.full((1, GRID), amount - math.log(GRID))
        return replace(
            self,
            stakes=np.vstack([stakes, row]),
            starts=(*starts, at),
            cash=max(0.0, self.cash - money),
            restarts=number,
        )

    def due(self, *, at: float) -> bool:
        """Say whether a minute has passed since the last restart."""
        return at - self.starts[-1] >= RESTART_SECONDS

    def to_json(self) -> dict[str, Any]:
        return {
            "stakes": self.stakes.tolist(),
            "starts": list(self.starts),
            "cash": self.cash,
            "restarts": self.restarts,
            "peak": self.peak,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Wealth":
        return cls(
            stakes=np.array(data["stakes"], dtype=np.float64),
            starts=tuple(data["starts"]),
            cash=data["cash"],
            restarts=data["restarts"],
            peak=data["peak"],
        )


@dataclass(frozen=True)
class Alarm:
    """Whether something is amiss now: a test that begins anew whenever that pays (Page 1954). It has no error rate over an endless time.

    It is on while the largest product of factors over all beginnings, averaged over the alternatives, is `ALARM` or more, and for ten minutes after.
    """

    sums: Floats = field(default_factory=lambda: np.zeros(GRID))  # logarithms of those products, one an alternative
    until: float = -math.inf

    def learn(self, factors: Floats, *, at: float) -> "Alarm":
        sums = cumulate(self.sums, factors)
        return Alarm(sums, at + ALARM_SECONDS if bool(amiss(sums)) else self.until)

    def on(self, *, at: float) -> bool:
        return at <= self.until

    def to_json(self) -> dict[str, Any]:
        return {"sums": self.sums.tolist(), "until": self.until if math.isfinite(self.until) else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Alarm":
        return cls(np.array(data["sums"], dtype=np.float64), data["until"] if data["until"] is not None else -math.inf)


def cumulate(sums: Floats, factors: Floats) -> Floats:
    """Return an alarm's sums after one batch; broadcasts over runs."""
    result: Floats = np.maximum(sums, 0.0) + factors
    return result


def amiss(sums: Floats) -> "np.bool_ | NDArray[np.bool_]":
    """Say whether the sums ring; one answer a run."""
    result: np.bool_ | NDArray[np.bool_] = np.logaddexp.reduce(sums, axis=-1) - math.log(GRID) >= math.log(ALARM)
    return result


def factors_two_arm(candidate: ArmCounts, stable: ArmCounts, *, max_ratio: float = 1.0, harm: bool = True) -> Floats:
    """Return the factors against H0: a request of the canary is at most `max_ratio` times as likely bad as one of stable at the same time.

    Given that a bad request happened, which arm did it happen in? With the realised split w of this batch the factor of relative
    risk rho against M is (rho/M)^(bad in canary) ((M w + 1 - w) / (rho w + 1 - w))^(bad in all). No base rate is assumed, nor one that
    stays: given the counts, the bad ones in the canary are hypergeometric under M = 1, for which the binomial's moments are an upper
    bound (Hoeffding 1963, section 6); for other M, independent requests with p_c <= M p_b have at most that mean, because the
    geometric mean is at most the arithmetic one. The same ratio as Lindon & Malek, NeurIPS 2022, with a split that moves.
    `harm=False` gives those against H0: at least `max_ratio` times (a certificate).
    """
    _check(candidate, stable)
    bad = candidate.bad + stable.bad
    if bad == 0 or candidate.n == 0 or stable.n == 0:
        return np.zeros(GRID)
    odds = candidate.n * max_ratio
    return two_arm(candidate.bad, bad, odds / (odds + stable.n), WORSE if harm else BETTER)


def factors_drawn(bad_candidate: int, bad_stable: int, *, weight: float, max_ratio: float = 1.0) -> Floats:
    """Return the factors against the H0 of `factors_two_arm` where each bad one is a unit's first, and its arm was drawn with probability `weight`.

    Who fails when, in either arm, does not hang on the draw of its unit where both arms are alike, and each draw is bet on once: the arms of those that
    have failed are independent draws, whatever else the units have done before. Where the candidate is better its failures come later or never, at
    weights that only rise: that makes the wealth smaller.
    """
    if not 0 < weight < 1:
        return np.zeros(GRID)
    odds = weight * max_ratio
    return two_arm(bad_candidate, bad_candidate + bad_stable, odds / (odds + 1 - weight), WORSE)


def two_arm(
    bad_candidate: "float | Floats", bad: "float | Floats", share: "float | Floats", bets: Alternatives
) -> Floats:
    """Return the factors where the canary's `share` of all `bad` requests is expected under the null hypothesis; broadcasts over runs."""
    result: Floats = bad_candidate * bets.logs - bad * np.log1p(bets.gains * share)
    return result


def factors_paired(candidate: int, stable: int, both: int, *, max_ratio: float = 1.0) -> Floats:
    """Return the factors against H0: of the same requests the canary fails at most `max_ratio` times as many as stable.

    `candidate` and `stable` are pairs in which that arm alone failed, `both` those in which both did. Each pair is bet on with D = [canary failed] -
    max_ratio [stable failed], whose mean is at most 0: a wealth of products 1 + lambda D. With max_ratio 1 it is McNemar's test by betting.
    """
    if min(candidate, stable, both) < 0:
        raise ValueError(f"counts are {candidate}, {stable} and {both}: wanted 0 or more")
    stake = ABOVE / max_ratio
    result: Floats = (
        candidate * np.log1p(stake) + stable * np.log1p(-stake * max_ratio) + both * np.log1p(-stake * (max_ratio - 1))
    )
    return result


def factors_difference(candidate: ArmCounts, stable: ArmCounts, *, margin: float, harm: bool = True) -> Floats:
    """Return the factors against H0: rate(canary) - rate(stable) <= margin (or >= margin where `harm` is False).

    Bets on the inverse-propensity difference D = A Y / w - (1 - A) Y / (1 - w) of each unit (Waudby-Smith & Ramdas 2024, section 4: a wealth of
    products 1 + lambda (D - margin)), where w is the split of these very units and not the weight that was asked for: how many of each arm are here,
    as those whose labels are in, may hang on anything but on their answers. Given both numbers, the product's mean is at most
    (1 + lambda (rate - rate - margin))^n, because the geometric mean is at most the arithmetic one; and so it is where the units are a fixed set of which the
    canary's were drawn by lot, because draws without replacement are negatively associated (Joag-Dev & Proschan 1983) and every factor is larger, or every
    one smaller, for a unit of the canary. The stakes lambda are those of `RATIOS` in `factors_two_arm`.
    """
    _check(candidate, stable)
    if candidate.n == 0 or stable.n == 0:
        return np.zeros(GRID)
    w, rest = candidate.n / (candidate.n + stable.n), candidate.n + stable.n - candidate.bad - stable.bad
    return difference(
        candidate.bad, stable.bad, rest, weight=w, margin=margin, stake=stakes(w, margin=margin, harm=harm)
    )


def stakes(weight: "float | Floats", *, margin: float, harm: bool) -> Floats:
    """Return what to bet on each unit's difference; broadcasts over runs."""
    # against harm the worst outcome is a bad unit of the canary: D = 1/w
    result: Floats = _stake(RATIOS, weight, margin) if harm else -0.999 / (1 / weight - margin) * (1 - 1 / RATIOS)
    return result


def difference(
    bad_candidate: "float | Floats",
    bad_stable: "float | Floats",
    rest: "float | Floats",
    *,
    weight: "float | Floats",
    margin: float,
    stake: Floats,
) -> Floats:
    """Return the factors of so many bad units of both arms and of the `rest`, at these stakes (negative: against harm); broadcasts over runs."""
    won, lost, idle = (
        np.log1p(stake * (1 / weight - margin)),
        np.log1p(-stake * (1 / (1 - weight) + margin)),
        np.log1p(-stake * margin),
    )
    result: Floats = bad_candidate * won + bad_stable * lost + rest * idle
    return result


def factors_answers(candidate: Sequence[int], stable: Sequence[int], *, of: tuple[int, int], margin: float) -> Floats:
    """Return the factors against H0: no answer's share differs between the arms by more than `margin`.

    The counts are of at most `BINS` answers, `of` so many units (canary, stable). Each is bet on twice, as given more often by the canary and as
    given more often by stable, as in `factors_difference`: the twelve bets are the alternatives.
    """
    result = np.zeros(GRID)
    if min(of) == 0:
        return result
    share = of[0] / sum(of)
    for place, (mine, theirs) in enumerate(zip(candidate, stable, strict=True)):
        _check(ArmCounts(of[0], mine), ArmCounts(of[1], theirs))
        for other, (more, less, weight) in enumerate(((mine, theirs, share), (theirs, mine, 1 - share))):
            stake = _stake(np.array(1.5), weight, margin)
            result[2 * place + other] = difference(
                more, less, sum(of) - more - less, weight=weight, margin=margin, stake=stake
            )
    return result


def _stake(ratios: Floats, weight: "float | Floats", margin: float) -> Floats:
    """Return what to bet on each unit's difference: as `factors_two_arm` does for these relative risks."""
    result: Floats = weight * (1 - weight) * (ratios - 1) / (ratios * weight + 1 - weight) / (1 + margin * (1 - weight))
    return result


def factors_values(
    candidate: Floats,
    stable: Floats,
    *,
    order: Sequence[int] | NDArray[np.int64],
    margin: float,
    centre: float,
    harm: bool = True,
) -> Floats:
    """Return the factors against H0: mean(canary) - mean(stable) <= margin (or >= margin where `harm` is False), values in [0, 1].

    The units, the canary's first, are bet on in an `order` that is drawn by lot, each with the split of those still to come: its arm is a lottery then,
    given how many of each are left, and its inverse-propensity difference has a mean of at most `margin`, whatever the weight was that was asked for.
    `centre`, the mean of what was seen before, is taken from every value: the expectation stays, and the variance becomes that of the values around it.
    Raises ValueError where a value lies outside.
    """
    for values in (candidate, stable):
        if not np.all((values >= 0) & (values <= 1)):
            raise ValueError("values lie outside [0, 1]: scale and clip them first")
    place = np.asarray(order)
    mine, values = (place < len(candidate)).astype(float), np.concatenate([candidate, stable])[place]
    left = np.cumsum(mine[::-1])[::-1] / np.arange(len(values), 0, -1)
    open_ = (left > 0) & (left < 1)  # at the end units of one arm are left alone, and are compared with nothing
    result: Floats = bet_on_values(
        values[open_], mine[open_], weight=left[open_], margin=margin, centre=centre, harm=harm
    ).sum(axis=1)
    return result


def bet_on_values(
    values: Floats, mine: Floats, *, weight: "float | Floats", margin: float, centre: float, harm: bool = True
) -> Floats:
    """Return the factors of each unit, [alternatives, units]: `mine` is 1 for one of the canary, which has the probability `weight`.

    The stakes survive every unit's worst outcome.
    """
    low, high = (
        np.maximum(centre / weight, (1 - centre) / (1 - weight)),
        np.maximum((1 - centre) / weight, centre / (1 - weight)),
    )  # of the difference
    sign, worst = (1.0, low + margin) if harm else (-1.0, high - margin)
    stakes = sign * 0.999 / worst * np.geomspace(0.005, 1.0, GRID)[:, None]
    result: Floats = np.log1p(stakes * ((values - centre) * (mine / weight - (1 - mine) / (1 - weight)) - margin))
    return result


def factors_shift(
    candidate: Floats, stable: Floats, *, before: tuple[Floats, Floats], concentration: float = 200.0
) -> Floats:
    """Return the factors against H0: the answers (or scores) of both arms fall into the bins alike.

    What was counted `before` (canary, stable; one number a bin) says how much likelier each bin is in the canary; the batch is bet on with
    that ratio q, shrunk towards 1 by `concentration` prior counts and, by alternative, by a power. Under H0 the canary's rows are drawn
    without replacement from all of the batch, so the expectation of the product of q over them is at most (mean of q)^n (Hoeffding 1963,
    section 6), which the product is divided by.
    """
    batch, seen = candidate + stable, before[0] + before[1]
    if not np.all((candidate >= 0) & (stable >= 0) & np.isfinite(batch)):
        raise ValueError(f"counts are {candidate.tolist()} and {stable.tolist()}: wanted 0 or more in each bin")
    if candidate.sum() == 0 or stable.sum() == 0:
        return np.zeros(GRID)
    share = (seen + 1) / (seen.sum() + len(seen))
    ratio = (before[0] + concentration * share) / ((before[0].sum() + concentration) * share)
    powers = SHRINKAGES[:, None] * np.log(ratio)
    mean = np.log(np.exp(powers) @ (batch / batch.sum()))
    result: Floats = powers @ candidate - candidate.sum() * mean
    return result


def factors_above(counts: ArmCounts, *, limit: float) -> Floats:
    """Return the factors against H0: the rate is at most `limit` (harm: the rate is above)."""
    _check(counts)
    return above(counts.bad, counts.n, limit=limit) if 0 < limit < 1 else np.zeros(GRID)


def factors_below(counts: ArmCounts, *, limit: float) -> Floats:
    """Return the factors against H0: the rate is at least `limit` (a certificate: the rate is below)."""
    _check(counts)
    return below(counts.bad, counts.n, limit=limit) if 0 < limit < 1 else np.zeros(GRID)


def above(bad: "float | Floats", n: "float | Floats", *, limit: float) -> Floats:
    """Return the likelihood ratios of rates above `limit`; broadcasts over runs."""
    return _likelihood_ratio(bad, n, limit, limit + (1 - limit) * ABOVE)


def below(bad: "float | Floats", n: "float | Floats", *, limit: float) -> Floats:
    """Return the likelihood ratios of rates below `limit`; broadcasts over runs."""
    return _likelihood_ratio(bad, n, limit, limit * BELOW)


def growth_below(rate: float, *, limit: float) -> float:
    """Return what the log evidence for "below `limit`" grows by with each request, in expectation and with the best alternative, at this rate."""
    alternatives = limit * BELOW
    return float(np.max(rate * np.log(BELOW) + (1 - rate) * np.log((1 - alternatives) / (1 - limit))))


def factors_split(*, candidate: int, stable: int, weight: float) -> Floats:
    """Return the factors against H0: each unit falls to the canary with probability `weight` (sample-ratio mismatch)."""
    _check(ArmCounts(candidate, 0), ArmCounts(stable, 0))
    if not 0 < weight < 1:
        return np.zeros(GRID)
    odds = SPLIT_RATIOS * weight
    share = odds / (odds + 1 - weight)
    result: Floats = candidate * np.log(share / weight) + stable * np.log((1 - share) / (1 - weight))
    return result


def combine(wealths: Mapping[Name, "Wealth"]) -> float:
    """Return the log evidence that any of the H0s is false: the average of the wealths, whatever their dependence.

    The average of e-values is one (Vovk & Wang 2021, section 3) and never weaker than Bonferroni's correction.
    """
    if not wealths:
        return 0.0
    return _log_sum(np.array([wealth.log_e for wealth in wealths.values()])) - math.log(len(wealths))


def guilty(wealths: Mapping[Name, "Wealth"], *, alpha: float) -> tuple[Name, ...]:
    """Return the H0s that may be named false, all at once with P(any of them is true) <= alpha; the strongest first.

    Closed testing with averages: one is named where the average of every set that it is in reaches 1/alpha (Vovk & Wang 2021, section 5).
    """
    order = sorted(wealths, key=lambda name: wealths[name].log_e, reverse=True)
    values = np.exp(np.minimum([wealths[name].log_e for name in reversed(order)], 700.0))
    sets = np.arange(1, len(order) + 1)
    named = []
    for place, name in enumerate(order):
        others = np.delete(values, len(order) - 1 - place)  # ascending: the worst company comes first
        averages = (values[len(order) - 1 - place] + np.concatenate([[0.0], np.cumsum(others)])) / sets
        if averages.min() >= 1 / alpha:
            named.append(name)
    return tuple(named)


def e_bh(log_e: Mapping[Name, float], *, rate: float) -> tuple[Name, ...]:
    """Return the names to report so that at most `rate` of them are expected to be false, whatever the dependence (Wang & Ramdas 2022, section 4)."""
    order = sorted(log_e, key=log_e.__getitem__, reverse=True)
    enough = [
        place for place, name in enumerate(order, start=1) if log_e[name] >= math.log(len(order) / (rate * place))
    ]
    return tuple(order[: max(enough, default=0)])


def _likelihood_ratio(bad: "float | Floats", n: "float | Floats", null: float, alternatives: Floats) -> Floats:
    result: Floats = bad * np.log(alternatives / null) + (n - bad) * np.log((1 - alternatives) / (1 - null))
    return result


def _log_sum(values: Floats) -> float:
    return float(np.logaddexp.reduce(values, axis=None))


def _check(*arms: ArmCounts) -> None:
    for arm in arms:
        if not 0 <= arm.bad <= arm.n:  # so that no number is none either
            raise ValueError(f"counts are {arm.bad} bad of {arm.n}: wanted 0 <= bad <= requests")

"""What is bet on.

The logarithms of the factors against each null hypothesis, one an alternative, for a
`betting.Wealth`.

The expectation of every factor is at most 1 while its null hypothesis holds.

What is bad may be a loss from 0 to 1 instead of a request that is bad or not: then `bad` is the sum
of losses, and a hypothesis about rates is one about mean losses. A unit's factor is a^y b^(1 - y),
with a for a bad one, b for a good one and y its loss. The geometric mean is at most the arithmetic
one, so it is at most y a + (1 - y) b, which is linear in y: its expectation is at most that of a
coin with the same mean. Such bets earn less, and are never too bold.

>>> losses = [0.0, 0.05, 0.1, 0.25]  # 0.1 on average
>>> factors = np.mean([np.exp(factors_above(ArmCounts(1, loss), limit=0.1)) for loss in losses], axis=0)
>>> bool(factors.max() < 1)
True
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairway.rollout.statistics.betting import GRID, ArmCounts, Floats

# relative risks of the canary, from a small harm to a total one
RATIOS: Floats = np.geomspace(1.25, 64.0, GRID)
# how far a bet goes along with what was seen so far
SHRINKAGES: Floats = np.linspace(0.1, 1.2, GRID)
SPLIT_RATIOS: Floats = np.concatenate(
    [np.geomspace(0.5, 0.95, GRID // 2), np.geomspace(1.05, 2.0, GRID // 2)]
)
BINS = GRID // 2  # answers whose shares are compared, each in both directions
ABOVE: Floats = np.geomspace(
    0.01, 0.9, GRID
)  # alternatives of a rate above its limit, as shares of the way from there to 1
# alternatives of a certificate, as shares of its limit
BELOW: Floats = np.linspace(0.02, 0.9, GRID)


class Alternatives(NamedTuple):
    """Relative risks of the canary that are bet on, as the factors need them."""

    logs: Floats  # natural logarithms
    gains: Floats  # the ratios less 1


WORSE = Alternatives(np.log(RATIOS), RATIOS - 1)
BETTER = Alternatives(-np.log(RATIOS), 1 / RATIOS - 1)


def factors_two_arm(
    candidate: ArmCounts, stable: ArmCounts, *, max_ratio: float = 1.0, harm: bool = True
) -> Floats:
    """Return the factors against H0.

    H0: a request of the canary is at most `max_ratio` times as likely bad as one of stable at the
    same time.

    Given that a bad request happened, which arm did it happen in? With the realised split w of this
    batch the factor of relative risk rho against M is (rho/M)^(bad in canary) ((M w + 1 - w) / (rho
    w + 1 - w))^(bad in all). No base rate is assumed, nor one that stays: given the counts, the bad
    ones in the canary are hypergeometric under M = 1, for which the binomial's moments are an upper
    bound (Hoeffding 1963, section 6); for other M, independent requests with p_c <= M p_b have at
    most that mean, because the geometric mean is at most the arithmetic one. The same ratio as
    Lindon & Malek, NeurIPS 2022, with a split that moves. `harm=False` gives those against H0: at
    least `max_ratio` times (a certificate).
    """
    _check(candidate, stable)
    bad = candidate.bad + stable.bad
    if bad == 0 or candidate.n == 0 or stable.n == 0:
        return np.zeros(GRID)
    odds = candidate.n * max_ratio
    return two_arm(candidate.bad, bad, odds / (odds + stable.n), WORSE if harm else BETTER)


def factors_drawn(
    bad_candidate: int, bad_stable: int, *, weight: float, max_ratio: float = 1.0
) -> Floats:
    """Return the factors against the H0 of `factors_two_arm` where each bad request is a unit's
    first.

    Its arm was drawn with probability `weight`. Which units fail when does not hang on the draw of
    their arm where both arms are alike, and each draw is bet on once: the arms of those that have
    failed are independent draws, whatever else the units have done before. Where the candidate is
    better its failures come later or never, at weights that only rise: that makes the wealth
    smaller.
    """
    if not 0 < weight < 1:
        return np.zeros(GRID)
    odds = weight * max_ratio
    return two_arm(bad_candidate, bad_candidate + bad_stable, odds / (odds + 1 - weight), WORSE)


def two_arm(
    bad_candidate: "float | Floats",
    bad: "float | Floats",
    share: "float | Floats",
    bets: Alternatives,
) -> Floats:
    """Return the factors where the canary's `share` of all `bad` requests is expected under the
    null hypothesis.

    Broadcasts over runs.
    """
    result: Floats = bad_candidate * bets.logs - bad * np.log1p(bets.gains * share)
    return result


def factors_paired(candidate: int, stable: int, both: int, *, max_ratio: float = 1.0) -> Floats:
    """Return the factors against H0: of the same requests the canary fails at most `max_ratio`
    times as many as stable.

    `candidate` and `stable` are pairs in which that arm alone failed, `both` those in which both
    did. Each pair is bet on with D = [canary failed] - max_ratio [stable failed], whose mean is at
    most 0: a wealth of products 1 + lambda D. With max_ratio 1 it is McNemar's test by betting.
    """
    if min(candidate, stable, both) < 0:
        raise ValueError(f"counts are {candidate}, {stable} and {both}: wanted 0 or more")
    stake = ABOVE / max_ratio
    result: Floats = (
        candidate * np.log1p(stake)
        + stable * np.log1p(-stake * max_ratio)
        + both * np.log1p(-stake * (max_ratio - 1))
    )
    return result


def factors_difference(
    candidate: ArmCounts, stable: ArmCounts, *, margin: float, harm: bool = True
) -> Floats:
    """Return the factors against H0: rate(canary) - rate(stable) <= margin (or >= margin where
    `harm` is False).

    Bets on the inverse-propensity difference D = A Y / w - (1 - A) Y / (1 - w) of each unit (Waudby-Smith & Ramdas
    2024, section 4: a wealth of products 1 + lambda (D - margin)), where w is the split of these very units and not
    the weight that was asked for: how many of each arm are here, as those whose labels are in, may hang on anything
    but on their answers. Given both numbers, the product's mean is at most (1 + lambda (rate - rate - margin))^n,
    because the geometric mean is at most the arithmetic one; and so it is where the units are a fixed set of which
    the canary's were drawn by lot, because draws without replacement are negatively associated (Joag-Dev & Proschan
    1983) and every factor is larger, or every one smaller, for a unit of the canary. The stakes lambda are those of
    `RATIOS` in `factors_two_arm`.
    """
    _check(candidate, stable)
    if candidate.n == 0 or stable.n == 0:
        return np.zeros(GRID)
    w, rest = (
        candidate.n / (candidate.n + stable.n),
        candidate.n + stable.n - candidate.bad - stable.bad,
    )
    return difference(
        candidate.bad,
        stable.bad,
        rest,
        weight=w,
        margin=margin,
        stake=stakes(w, margin=margin, harm=harm),
    )


def stakes(weight: "float | Floats", *, margin: float, harm: bool) -> Floats:
    """Return what to bet on each unit's difference; broadcasts over runs."""
    # against harm the worst outcome is a bad unit of the canary: D = 1/w
    result: Floats = (
        _stake(RATIOS, weight, margin)
        if harm
        else -0.999 / (1 / weight - margin) * (1 - 1 / RATIOS)
    )
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
    """Return the factors of so many bad units of both arms and of the `rest`, at these stakes.

    Stakes are negative where the bets are against harm. Broadcasts over runs.
    """
    won, lost, idle = (
        np.log1p(stake * (1 / weight - margin)),
        np.log1p(-stake * (1 / (1 - weight) + margin)),
        np.log1p(-stake * margin),
    )
    result: Floats = bad_candidate * won + bad_stable * lost + rest * idle
    return result


def factors_answers(
    candidate: Sequence[int], stable: Sequence[int], *, of: tuple[int, int], margin: float
) -> Floats:
    """Return the factors against H0: no answer's share differs between the arms by more than
    `margin`.

    The counts are of at most `BINS` answers, `of` so many units (canary, stable). Each is bet on
    twice, as given more often by the canary and as given more often by stable, as in
    `factors_difference`: the twelve bets are the alternatives.
    """
    result = np.zeros(GRID)
    if min(of) == 0:
        return result
    share = of[0] / sum(of)
    for place, (mine, theirs) in enumerate(zip(candidate, stable, strict=True)):
        _check(ArmCounts(of[0], mine), ArmCounts(of[1], theirs))
        for other, (more, less, weight) in enumerate(
            ((mine, theirs, share), (theirs, mine, 1 - share))
        ):
            stake = _stake(np.array(1.5), weight, margin)
            result[2 * place + other] = difference(
                more, less, sum(of) - more - less, weight=weight, margin=margin, stake=stake
            )
    return result


def _stake(ratios: Floats, weight: "float | Floats", margin: float) -> Floats:
    """Return what to bet on each unit's difference: as `factors_two_arm` does for these relative
    risks."""
    result: Floats = (
        weight
        * (1 - weight)
        * (ratios - 1)
        / (ratios * weight + 1 - weight)
        / (1 + margin * (1 - weight))
    )
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
    """Return the factors against H0.

    H0: mean(canary) - mean(stable) <= margin (or >= margin where `harm` is False), values in [0,
    1].

    The units, the canary's first, are bet on in an `order` that is drawn by lot, each with the
    split of those still to come: its arm is a lottery then, given how many of each are left, and
    its inverse-propensity difference has a mean of at most `margin`, whatever the weight was that
    was asked for. `centre`, the mean of what was seen before, is taken from every value: the
    expectation stays, and the variance becomes that of the values around it. Raises ValueError
    where a value lies outside.
    """
    for values in (candidate, stable):
        if not np.all((values >= 0) & (values <= 1)):
            raise ValueError("values lie outside [0, 1]: scale and clip them first")
    place = np.asarray(order)
    mine, values = (
        (place < len(candidate)).astype(float),
        np.concatenate([candidate, stable])[place],
    )
    left = np.cumsum(mine[::-1])[::-1] / np.arange(len(values), 0, -1)
    # at the end units of one arm are left alone, and are compared with nothing
    open_ = (left > 0) & (left < 1)
    result: Floats = bet_on_values(
        values[open_], mine[open_], weight=left[open_], margin=margin, centre=centre, harm=harm
    ).sum(axis=1)
    return result


def bet_on_values(
    values: Floats,
    mine: Floats,
    *,
    weight: "float | Floats",
    margin: float,
    centre: float,
    harm: bool = True,
) -> Floats:
    """Return the factors of each unit, [alternatives, units].

    `mine` is 1 for one of the canary, which has the probability `weight`.

    The stakes survive every unit's worst outcome.
    """
    low, high = (
        np.maximum(centre / weight, (1 - centre) / (1 - weight)),
        np.maximum((1 - centre) / weight, centre / (1 - weight)),
    )  # of the difference
    sign, worst = (1.0, low + margin) if harm else (-1.0, high - margin)
    stakes = sign * 0.999 / worst * np.geomspace(0.005, 1.0, GRID)[:, None]
    result: Floats = np.log1p(
        stakes * ((values - centre) * (mine / weight - (1 - mine) / (1 - weight)) - margin)
    )
    return result


def factors_shift(
    candidate: Floats,
    stable: Floats,
    *,
    before: tuple[Floats, Floats],
    concentration: float = 200.0,
) -> Floats:
    """Return the factors against H0: the answers (or scores) of both arms fall into the bins alike.

    What was counted `before` (canary, stable; one number a bin) says how much likelier each bin is
    in the canary; the batch is bet on with that ratio q, shrunk towards 1 by `concentration` prior
    counts and, by alternative, by a power. Under H0 the canary's rows are drawn without replacement
    from all of the batch, so the expectation of the product of q over them is at most (mean of q)^n
    (Hoeffding 1963, section 6), which the product is divided by.
    """
    batch, seen = candidate + stable, before[0] + before[1]
    if not np.all((candidate >= 0) & (stable >= 0) & np.isfinite(batch)):
        raise ValueError(
            f"counts are {candidate.tolist()} and {stable.tolist()}: wanted 0 or more in each bin"
        )
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
    """Return the factors against H0: the rate is at least `limit` (a certificate: the rate is
    below)."""
    _check(counts)
    return below(counts.bad, counts.n, limit=limit) if 0 < limit < 1 else np.zeros(GRID)


def above(bad: "float | Floats", n: "float | Floats", *, limit: float) -> Floats:
    """Return the likelihood ratios of rates above `limit`; broadcasts over runs."""
    return _likelihood_ratio(bad, n, limit, limit + (1 - limit) * ABOVE)


def below(bad: "float | Floats", n: "float | Floats", *, limit: float) -> Floats:
    """Return the likelihood ratios of rates below `limit`; broadcasts over runs."""
    return _likelihood_ratio(bad, n, limit, limit * BELOW)


def growth_below(rate: float, *, limit: float) -> float:
    """Return what the log evidence for "below `limit`" grows by with each request, at this rate.

    It is the expectation, with the best alternative.
    """
    alternatives = limit * BELOW
    return float(
        np.max(rate * np.log(BELOW) + (1 - rate) * np.log((1 - alternatives) / (1 - limit)))
    )


def factors_split(*, candidate: int, stable: int, weight: float) -> Floats:
    """Return the factors against H0.

    H0: each unit falls to the canary with probability `weight` (sample-ratio mismatch).
    """
    _check(ArmCounts(candidate, 0), ArmCounts(stable, 0))
    if not 0 < weight < 1:
        return np.zeros(GRID)
    odds = SPLIT_RATIOS * weight
    share = odds / (odds + 1 - weight)
    result: Floats = candidate * np.log(share / weight) + stable * np.log(
        (1 - share) / (1 - weight)
    )
    return result


def _likelihood_ratio(
    bad: "float | Floats", n: "float | Floats", null: float, alternatives: Floats
) -> Floats:
    result: Floats = bad * np.log(alternatives / null) + (n - bad) * np.log(
        (1 - alternatives) / (1 - null)
    )
    return result


def _check(*arms: ArmCounts) -> None:
    for arm in arms:
        if not 0 <= arm.bad <= arm.n:  # so that no number is none either
            raise ValueError(f"counts are {arm.bad} bad of {arm.n}: wanted 0 <= bad <= requests")

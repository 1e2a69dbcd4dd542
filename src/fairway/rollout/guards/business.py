"""Guards of type business.

Outcomes of served requests, each a number between bounds, whose mean may not be worse than
stable's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from fairway import errors
from fairway.config import sections
from fairway.rollout import prospect
from fairway.rollout.bets import Bet, BetKey, News
from fairway.rollout.guards import base
from fairway.rollout.increments import Batch, Valued
from fairway.rollout.ledger import Ledger
from fairway.rollout.prospect import Expectation, Prospect
from fairway.rollout.statistics import hypotheses, intervals
from fairway.rollout.statistics.betting import ArmCounts, Floats


class BusinessGuard(sections.Guard):
    """Outcomes of served requests, such as purchases."""

    type: Literal["business"]
    max_loss_increase: base.LossIncrease = 0.02
    """How much worse than stable's the share of wrong answers, or the mean outcome (of its range),
    may be.

    0 asks for a better one.
    """
    outcome: Annotated[str, Field(min_length=1, max_length=63)]
    """The name of the outcomes that are sent for served requests; a unit counts once, by its first.
    """
    lower: float = 0.0
    """What the worst or least outcome is worth; smaller ones count as this."""
    upper: float
    """The most that an outcome is worth; larger ones count as this.

    Bounds make the guarantee exact: no single customer decides.
    """
    higher_is_better: bool = True
    """False for what should be small, such as minutes of waiting."""

    RULES = (
        sections.NOT_SHADOW,
        sections.Rule(
            broken=lambda guard: guard.upper <= guard.lower,
            sentence="guard {name} of type business needs outcome, and upper above lower",
            cel="self.type != 'business' || (has(self.outcome) && has(self.upper) && self.upper > self.lower)",
            message="a guard of type business needs outcome, and upper above lower",
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        return sections.needs(values, "outcome", "upper", sentence=cls.RULES[-1].sentence)


@dataclass(frozen=True)
class BusinessCase(base.Case[BusinessGuard]):
    """A guard of outcomes. They count as losses between 0, the best, and 1.

    Its memory: `spread`, the squared distances of both arms' losses from the mean before them;
    `weight` of its outcomes so far, None where there were several: the arms' means are of other
    times then, and their difference says nothing.
    """

    late = True
    joins_outcomes = True

    def news(self, batch: Batch, ledger: Ledger) -> Iterator[News]:
        before = ledger.own(self.name)
        for valued in self._own(batch):
            yield self._lost(valued, before)

    def _own(self, batch: Batch) -> list[Valued]:
        return [valued for valued in batch.valued if valued.name == self.guard.outcome]

    def _lost(self, valued: Valued, before: Bet) -> News:
        mine, theirs = self._losses(valued)
        # The same order again for a look that is taken again.
        lot = np.random.default_rng([before.candidate.n, before.stable.n])
        order = lot.permutation(len(mine) + len(theirs))
        harm, safe = (
            hypotheses.factors_values(
                mine,
                theirs,
                order=order,
                margin=self.guard.max_loss_increase,
                centre=_centre(before),
                harm=side,
            )
            for side in (True, False)
        )
        candidate, stable = (
            ArmCounts(len(losses), float(losses.sum())) for losses in (mine, theirs)
        )
        return News(BetKey(self.name), candidate, stable, harm, certificate=safe)

    def _losses(self, valued: Valued) -> tuple[Floats, Floats]:
        lower, upper = self.guard.lower, self.guard.upper
        best = upper if self.guard.higher_is_better else lower
        mine, theirs = (
            np.abs(np.clip(np.array(values, dtype=np.float64), lower, upper) - best)
            / (upper - lower)
            for values in (valued.candidate, valued.stable)
        )
        return mine, theirs

    def remembered(
        self, batch: Batch, ledger: Ledger
    ) -> Iterable[tuple[BetKey, Mapping[str, Any]]]:
        bet = ledger.own(self.name)
        memory, centre = dict(bet.memory), _centre(bet)
        for valued in self._own(batch):
            spreads = [float(((losses - centre) ** 2).sum()) for losses in self._losses(valued)]
            memory["spread"] = [
                old + new for old, new in zip(_spread(memory), spreads, strict=True)
            ]
            memory["weight"] = (
                valued.weight if memory.get("weight", valued.weight) == valued.weight else None
            )
        return [(BetKey(self.name), memory)]

    def arrivals(self, batch: Batch) -> Iterable[tuple[int, int, float]]:
        return [(len(one.candidate), len(one.stable), one.weight) for one in self._own(batch)]

    # -- sentences -----------------------------------------------------------------------------------------------------

    def seen(self, ledger: Ledger) -> str:
        bet = ledger.own(self.name)
        return f"outcomes of {bet.candidate.n} and {bet.stable.n} units"

    def praise(self, ledger: Ledger) -> str:
        return f"{self.name} {self._means(ledger)}, {self._less()}"

    def accuse(self, key: BetKey, ledger: Ledger) -> str:
        return f"{self.name}: {self._means(ledger)}, not {self._less()}"

    def _means(self, ledger: Ledger) -> str:
        bet = ledger.own(self.name)
        mine, theirs = (
            self._outcome(arm.bad / max(1, arm.n)) for arm in (bet.candidate, bet.stable)
        )
        return (
            f"{self.guard.outcome} is {mine:.4g} on average over {bet.candidate.n} units of the candidate, "
            f"{theirs:.4g} over {bet.stable.n} of stable"
        )

    def _less(self) -> str:
        if self.guard.max_loss_increase == 0:
            return "better than stable's"
        allowed = self.guard.max_loss_increase * (self.guard.upper - self.guard.lower)
        return f"at most {allowed:.4g} worse than stable's"

    def _outcome(self, loss: float) -> float:
        """Return the outcome that the loss stands for."""
        lower, upper = self.guard.lower, self.guard.upper
        span = loss * (upper - lower)
        return upper - span if self.guard.higher_is_better else lower + span

    def described(self, key: BetKey, ledger: Ledger, *, intervals_too: bool) -> dict[str, Any]:
        return {"intervals": self._effect(ledger.bets[key])} if intervals_too else {}

    def _effect(self, bet: Bet) -> dict[str, Any]:
        """Return the always-valid 95 % intervals of both arms' mean outcomes, and of the effect.

        The effect is the candidate less stable.
        """
        arms = zip((bet.candidate, bet.stable), _spread(bet.memory), strict=True)
        (low, high), (stable_low, stable_high) = (
            self._interval(arm, spread=spread) for arm, spread in arms
        )
        found = {"candidate": [low, high], "stable": [stable_low, stable_high]}
        if bet.memory.get("weight") is not None:
            found["effect"] = [low - stable_high, high - stable_low]
        return {name: [base.rounded(edge) for edge in edges] for name, edges in found.items()}

    def _interval(self, arm: ArmCounts, *, spread: float) -> tuple[float, float]:
        """Return where the arm's mean outcome lies; half of the error each, so that their
        difference holds too."""
        low, high = intervals.mean(arm.bad, arm.n, spread=spread, alpha=base.INTERVAL_ALPHA / 2)
        one, other = self._outcome(low or 0.0), self._outcome(1.0 if high is None else high)
        return min(one, other), max(one, other)

    # -- before a rollout, and after -----------------------------------------------------------------------------------

    def expect(
        self, foretold: Prospect, *, usual: float, effect: float | None
    ) -> Expectation | None:
        """Return what to expect of outcomes at the ends of their range, which is where they vary
        most.

        The last step's weight counts from the beginning.
        """
        good = usual if self.guard.higher_is_better else 1 - usual
        if effect is not None and good + effect > 1 + 1e-9:
            raise errors.ConfigError(
                f"strategy.guards: {self.name} has a mean of {usual:.2%} of its range and cannot be better by "
                f"{effect:.2%}: wanted an effect of {1 - good:.2%} at most"
            )
        units = foretold.requests_per_second * foretold.budget_seconds("canary")
        least = self._smallest(good, units=units)
        need = self._units(good, effect) if effect is not None else None
        if need is not None and need > units:
            raise errors.ConfigError(
                self._hopeless(foretold, effect or 0.0, need=need, least=least)
            )
        return Expectation(
            guard=self.name,
            gates=self.stage,
            limit=self.guard.max_loss_increase,
            usual=usual,
            certified_seconds=need / foretold.requests_per_second if need is not None else None,
            smallest_limit=least,
            found_seconds={},
        )

    def _units(self, good: float, effect: float) -> float:
        return units_to_certify(
            good,
            effect,
            weight=self.strategy.canary.steps[-1].weight / 100,
            margin=self.guard.max_loss_increase,
            alpha=self.strategy.false_promotion,
        )

    def _smallest(self, good: float, *, units: float) -> float | None:
        """Return the smallest effect that so many units are expected to certify."""
        low, high = -self.guard.max_loss_increase, 1 - good
        return prospect.bisect(
            lambda better: self._units(good, better) <= units, low=low, high=high
        )

    def _hopeless(
        self, foretold: Prospect, effect: float, *, need: float, least: float | None
    ) -> str:
        budget = sections.format_duration(self.strategy.canary.budget)
        return (
            f"strategy.guards: {self.name} cannot tell an effect of {effect:.2%} of its range within {budget} at "
            f"{foretold.requests_per_second:g} units/s ({need:.0f} are expected to be needed): "
            f"wanted {prospect.or_more(least, percent=True)}more traffic, or a longer budget"
        )

    @property
    def untold(self) -> str | None:
        return "outcomes"


def units_to_certify(
    mean: float, effect: float, *, weight: float, margin: float, alpha: float
) -> float:
    """Return how many units of both arms are expected until the candidate is certified not to be
    worse by `margin`.

    It is better by `effect`; `mean` is stable's share of what is best.
    """
    good = min(1.0, mean + effect)
    loss, mine = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0])
    chance = np.array(
        [weight * good, weight * (1 - good), (1 - weight) * mean, (1 - weight) * (1 - mean)]
    )
    factors = hypotheses.bet_on_values(
        loss, mine, weight=weight, margin=margin, centre=1 - mean, harm=False
    )
    return prospect.until(factors @ chance, alpha=alpha)


def _centre(bet: Bet) -> float:
    """Return the mean loss of both arms so far."""
    units = bet.candidate.n + bet.stable.n
    return (bet.candidate.bad + bet.stable.bad) / units if units else 0.5


def _spread(memory: Mapping[str, Any]) -> tuple[float, float]:
    mine, theirs = memory.get("spread", (0.0, 0.0))
    return mine, theirs


SECTION, CASE = BusinessGuard, BusinessCase

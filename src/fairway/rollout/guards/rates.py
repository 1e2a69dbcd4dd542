"""What guards have in common that count bad requests, or units by their first bad request.

Both arms' rates, and a limit or a ratio.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field

from fairway import errors
from fairway.config import sections
from fairway.rollout import prospect
from fairway.rollout.bets import BetKey, BetKind, News
from fairway.rollout.guards import base, limits
from fairway.rollout.increments import Batch, GatewayCounts
from fairway.rollout.ledger import Ledger
from fairway.rollout.prospect import Expectation, Prospect
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts, Floats


class CountedGuard(sections.Guard):
    """Bad requests, as many of both arms."""

    count: Literal["requests", "units"] | None = None
    """By default units (users, sessions), whose first failure counts once, by when requests came,
    from the event log.

    requests (of errors and latency alone) are the gateway's, as they are answered: the default
    where a cluster's spec.counts gives them.
    """

    RULES: ClassVar[tuple[sections.Rule, ...]] = (
        sections.Rule(
            only="count",
            harmless=("units",),
            sentence="guard {name} of type {type} counts requests: only errors and latency can",
            cel="!has(self.count) || self.count != 'requests' || self.type in ['errors', 'latency']",
            message="only a guard of type errors or latency can count requests",
        ),
    )

    @property
    def by_arrival(self) -> bool:
        """Whether requests count by when they came, and units once."""
        return self.count != "requests"


class LimitedGuard(CountedGuard):
    """Bad requests, held to a limit or to stable's rate."""

    max_rate: Annotated[float, Field(gt=0, le=0.99)] | None = None
    """The absolute limit that promotion needs certified: share of failed or slow answers."""
    max_ratio: Annotated[float, Field(gt=1, le=64)] | None = None
    """Instead of maxRate, how many times as often as stable's the candidate's requests may be bad.

    Needs far more traffic than a limit.
    """
    tolerance: Annotated[float, Field(ge=1, le=64)] | None = None
    """Rolled back is what is worse than so many times stable's rate.

    maxRatio where that is said, else 1: any harm beyond chance is one.
    """
    objective: Annotated[float, Field(gt=0, le=0.99)] | None = None
    """Mode fused: a candidate beyond it is rolled back, unless stable is too.

    A little above stable's usual rate; maxRate where nothing is said.
    """
    requests_per_unit: Annotated[int, Field(ge=1, le=1000)] = 1
    """With count requests: the most that share one fate (a client and its retries).

    Evidence is divided by it; by default each stands for itself.
    """

    PLACE = "canary"
    RULES: ClassVar[tuple[sections.Rule, ...]] = (
        *CountedGuard.RULES,
        sections.NOT_SHADOW,
        sections.Rule(
            broken=lambda guard: (
                guard.stage in ("canary", "bake")
                and guard.max_rate is None
                and guard.max_ratio is None
            ),
            sentence="guard {name} gates {stage}: it needs maxRate, the limit to certify (or maxRatio)",
            cel="!(self.type in ['errors', 'latency']) || has(self.maxRate) || has(self.maxRatio) || "
            "(has(self.gates) && self.gates in ['shadow', 'watch'])",
            message="a guard of type errors or latency that gates canary (as by default) or bake needs maxRate, "
            "the limit to certify (or maxRatio)",
        ),
        sections.Rule(
            broken=lambda guard: guard.max_ratio is not None and guard.max_rate is not None,
            only="max_ratio",
            sentence="guard {name} has maxRatio: wanted it instead of maxRate, for errors or latency",
            cel="!has(self.maxRatio) || (!has(self.maxRate) && self.type in ['errors', 'latency'])",
            message="maxRatio goes instead of maxRate, for errors or latency",
        ),
        sections.Rule(
            only="tolerance",
            sentence="guard {name} has tolerance: wanted it for errors or latency "
            "(quality and business have maxLossIncrease, drift maxShift)",
            cel="!has(self.tolerance) || self.type in ['errors', 'latency']",
            message="tolerance is of guards of type errors or latency",
        ),
        sections.Rule(
            broken=lambda guard: guard.requests_per_unit > 1 and guard.count != "requests",
            only="requests_per_unit",
            harmless=(1,),
            sentence="guard {name} has requestsPerUnit: wanted it with count requests, for units count once anyway",
            cel="!has(self.requestsPerUnit) || self.requestsPerUnit == 1 || "
            "(has(self.count) && self.count == 'requests')",
            message="requestsPerUnit needs count requests: units count once anyway",
        ),
    )

    @property
    def tolerated(self) -> float:
        """How many times stable's rate is no harm yet."""
        return self.tolerance or self.max_ratio or 1.0

    @property
    def objective_rate(self) -> float | None:
        """What the candidate is held to in mode fused."""
        return self.objective if self.objective is not None else self.max_rate

    def by_requests(self) -> Self:
        return self.model_copy(update={"count": self.count or "requests"})


C = TypeVar("C", bound=CountedGuard, covariant=True)
L = TypeVar("L", bound=LimitedGuard, covariant=True)


@dataclass(frozen=True)
class CountedCase(base.Case[C]):
    """A guard of bad requests: any harm beyond chance is one."""

    @property
    def became(self) -> str:
        """What became of a bad request, as the sentence against the candidate says it."""
        raise NotImplementedError

    @property
    def tolerated(self) -> float:
        """How many times stable's rate is no harm yet."""
        return 1.0

    def against(self, candidate: ArmCounts, stable: ArmCounts) -> Floats:
        """Return the factors against H0.

        H0: the candidate's requests are at most `tolerated` times as likely bad as stable's.
        """
        return hypotheses.factors_two_arm(candidate, stable, max_ratio=self.tolerated)

    def news(self, batch: Batch, ledger: Ledger) -> Iterator[News]:
        for requests in (batch.gateway, *batch.counted):
            if requests is not None and self.name in requests.bad:
                yield from self._counted(requests)

    def _counted(self, gateway: GatewayCounts) -> Iterator[News]:
        bad_candidate, bad_stable = gateway.bad[self.name]
        n_candidate, n_stable = gateway.observed.get(self.name, (gateway.candidate, gateway.stable))
        bet_on = ArmCounts(n_candidate, bad_candidate), ArmCounts(n_stable, bad_stable)
        held = gateway.held.get(self.name, bet_on)
        share = gateway.shares.get(self.name)
        if share is None:
            harm, safe = self.against(*bet_on), self._safe(held[0], bet_on)
        else:
            harm = hypotheses.factors_drawn(
                bad_candidate, bad_stable, weight=share, max_ratio=self.tolerated
            )
            safe = self._safe(held[0], held)
        yield News(
            BetKey(self.name),
            *held,
            harm,
            certificate=safe,
            compared=True,
            at_risk=bet_on,
            share=share,
        )
        yield from self._limited(held, bet_on)

    def _safe(self, candidate: ArmCounts, arms: tuple[ArmCounts, ArmCounts]) -> Floats | None:
        """Return the factors of the certificate; None for a guard that certifies nothing."""
        return None

    def _limited(
        self, held: tuple[ArmCounts, ArmCounts], bet_on: tuple[ArmCounts, ArmCounts]
    ) -> Iterator[News]:
        """Return what is said of an absolute limit."""
        return iter(())

    def accuse(self, key: BetKey, ledger: Ledger) -> str:
        place = "shadow copies" if key.kind is BetKind.SHADOW else self.guard.count or "requests"
        objective = self._objective if key.kind is BetKind.LIMIT else ""
        return base.compared(
            ledger.bets[key], name=self.name, place=place, what=self.became, objective=objective
        )

    @property
    def _objective(self) -> str:
        return ""

    @property
    def untold(self) -> str | None:
        return "units" if self.guard.count == "units" else None

    def replayed(self, candidate: ArmCounts, stable: ArmCounts) -> Batch:
        counted = GatewayCounts(
            candidate=candidate.n,
            stable=stable.n,
            bad={self.name: (int(candidate.bad), int(stable.bad))},
            observed={self.name: (candidate.n, stable.n)},
        )
        return Batch(gateway=counted)


@dataclass(frozen=True)
class LimitedCase(CountedCase[L]):
    """A guard of bad requests that can gate: below a limit, or below so many times stable's rate."""

    @property
    def keys(self) -> tuple[BetKey, ...]:
        return (BetKey(self.name), *([BetKey(self.name, BetKind.LIMIT)] if self._fused else []))

    @property
    def _fused(self) -> bool:
        """Whether the candidate is held to the absolute limit too."""
        return self.strategy.mode == "fused" and self.guard.objective_rate is not None

    @property
    def tolerated(self) -> float:
        return self.guard.tolerated

    def against(self, candidate: ArmCounts, stable: ArmCounts) -> Floats:
        """Return the factors of a counted guard, divided where up to `requestsPerUnit` requests
        share one fate.

        Every factor is taken to the power of 1 / that many: the mean of a product of so many,
        however they hang together, is at most the product of the means then (Hoelder).
        """
        return super().against(candidate, stable) / self.guard.requests_per_unit

    def expected(self, candidate: float, stable: float, *, bad: float, usual: float) -> Floats:
        """Return the factors of `against` for counts that are no whole numbers."""
        events, odds = candidate * bad + stable * usual, candidate * self.tolerated
        factors = hypotheses.two_arm(
            candidate * bad, events, odds / (odds + stable), hypotheses.WORSE
        )
        return factors / self.guard.requests_per_unit

    def _safe(self, candidate: ArmCounts, arms: tuple[ArmCounts, ArmCounts]) -> Floats | None:
        if self.guard.max_ratio is not None:
            factors = hypotheses.factors_two_arm(*arms, max_ratio=self.guard.max_ratio, harm=False)
        elif self.guard.max_rate is not None:
            factors = hypotheses.factors_below(candidate, limit=self.guard.max_rate)
        else:
            return None
        return factors / self.guard.requests_per_unit  # as in `against`

    def _limited(
        self, held: tuple[ArmCounts, ArmCounts], bet_on: tuple[ArmCounts, ArmCounts]
    ) -> Iterator[News]:
        """Return both arms against the limit.

        A unit that fails all day is one failure here too: of all visits, the first ones that
        failed.
        """
        if not self._fused:
            return
        mine, theirs = (
            ArmCounts(max(all_day.n, math.ceil(first.bad)), first.bad)
            for all_day, first in zip(held, bet_on, strict=True)
        )
        yield News(
            BetKey(self.name, BetKind.LIMIT), *held, self._above(mine), baseline=self._above(theirs)
        )

    def _above(self, arm: ArmCounts) -> Floats:
        limit = self.guard.objective_rate or 0.0
        return hypotheses.factors_above(arm, limit=limit) / self.guard.requests_per_unit

    def growth(self, ledger: Ledger, *, seconds: float) -> float:
        if self.guard.max_rate is None:
            return super().growth(ledger, seconds=seconds)
        return (
            limits.growth_below(ledger.own(self.name).candidate, limit=self.guard.max_rate)
            / seconds
        )

    # -- sentences -----------------------------------------------------------------------------------------------------

    def praise(self, ledger: Ledger) -> str:
        bet = ledger.own(self.name)
        if self.guard.max_ratio is not None:
            ratio = f"{self.guard.max_ratio:g} times stable's"
            return f"{self.name} below {ratio} ({base.share(bet.candidate)}, {bet.stable.bad:g} of stable)"
        return f"{self.name} below {self.guard.max_rate or 0.0:.2%} on average so far ({base.share(bet.candidate)})"

    @property
    def tolerance(self) -> str | None:
        return (
            f"at most {self.tolerated:g} times stable's {self.name}" if self.tolerated > 1 else None
        )

    @property
    def _objective(self) -> str:
        limit = self.guard.objective_rate
        return f" (objective {limit:.2%})" if limit is not None else ""

    # -- before a rollout ----------------------------------------------------------------------------------------------

    def expect(
        self, foretold: Prospect, *, usual: float, effect: float | None
    ) -> Expectation | None:
        found = foretold.found(
            lambda candidate, stable, bad: self.expected(candidate, stable, bad=bad, usual=usual),
            usual=usual,
        )
        if self.guard.max_ratio is not None:
            return self._of_ratio(foretold, usual=usual, ratio=self.guard.max_ratio, found=found)
        return limits.of_rate(
            self,
            foretold,
            usual=usual,
            limit=self.guard.max_rate or 0.0,
            each=self.guard.requests_per_unit,
            found=found,
        )

    def _of_ratio(
        self, foretold: Prospect, *, usual: float, ratio: float, found: dict[str, float | None]
    ) -> Expectation:
        """Both arms at the usual rate, and the last step's weight from the beginning."""
        policy, rps = self.strategy, foretold.requests_per_second
        weight, seconds = policy.canary.steps[-1].weight / 100, foretold.budget_seconds(self.stage)

        def needed(most: float) -> float:
            odds = weight * most
            growth = hypotheses.two_arm(
                rps * usual * weight, rps * usual, odds / (odds + 1 - weight), hypotheses.BETTER
            )
            return prospect.until(
                growth / self.guard.requests_per_unit, alpha=policy.false_promotion
            )

        least = prospect.bisect(
            lambda most: needed(most) <= seconds, low=1.0, high=prospect.MOST_TIMES
        )
        if needed(ratio) > seconds:
            budget = sections.format_duration(policy.budget(self.stage))
            raise errors.ConfigError(
                f"strategy.guards: {self.name} cannot certify {ratio:g} times stable's rate within {budget} at "
                f"{rps:g} requests/s and a usual rate of {usual:.2%}: wanted "
                f"{prospect.or_more(least, percent=False)}more traffic, a longer budget, or maxRate"
            )
        return Expectation(
            guard=self.name,
            gates=self.stage,
            limit=ratio,
            usual=usual,
            certified_seconds=needed(ratio),
            smallest_limit=least,
            found_seconds=found,
        )

"""What guards have in common that count bad requests, or units by their first bad request: both arms' rates, and a limit or a ratio."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fairway import errors
from fairway.config import sections
from fairway.rollout import evidence, prospect
from fairway.rollout.bets import BetKey, Kind, News
from fairway.rollout.evidence import ArmCounts, Floats
from fairway.rollout.guards import base
from fairway.rollout.increments import Batch, Gateway
from fairway.rollout.ledger import Ledger
from fairway.rollout.prospect import Expectation, Prospect


@dataclass(frozen=True)
class RateCase(base.Case):
    """A guard of bad requests."""

    @property
    def became(self) -> str:
        """What became of a bad request, as the sentence against the candidate says it."""
        raise NotImplementedError

    @property
    def keys(self) -> tuple[BetKey, ...]:
        return (BetKey(self.name), *([BetKey(self.name, Kind.LIMIT)] if self._fused else []))

    @property
    def _fused(self) -> bool:
        """Whether the candidate is held to the absolute limit too."""
        return self.strategy.mode == "fused" and self.guard.objective_rate is not None

    def against(self, candidate: ArmCounts, stable: ArmCounts) -> Floats:
        """Return the factors against H0: the candidate's requests are at most `tolerated` times as likely bad as stable's.

        Where up to `requestsPerUnit` requests share one fate, every factor is taken to the power of 1 / that many: the mean of a product of so
        many, however they hang together, is at most the product of the means then (Hoelder).
        """
        return (
            evidence.factors_two_arm(candidate, stable, max_ratio=self.guard.tolerated) / self.guard.requests_per_unit
        )

    def expected(self, candidate: float, stable: float, *, bad: float, usual: float) -> Floats:
        """Return the factors of `against` for counts that are no whole numbers."""
        events, odds = candidate * bad + stable * usual, candidate * self.guard.tolerated
        factors = evidence.two_arm(candidate * bad, events, odds / (odds + stable), evidence.WORSE)
        return factors / self.guard.requests_per_unit

    def news(self, batch: Batch, ledger: Ledger) -> Iterator[News]:
        for requests in (batch.gateway, *batch.counted):
            if requests is not None and self.name in requests.bad:
                yield from self._counted(requests)

    def _counted(self, gateway: Gateway) -> Iterator[News]:
        bad_candidate, bad_stable = gateway.bad[self.name]
        n_candidate, n_stable = gateway.observed.get(self.name, (gateway.candidate, gateway.stable))
        bet_on = ArmCounts(n_candidate, bad_candidate), ArmCounts(n_stable, bad_stable)
        candidate, stable = gateway.held.get(self.name, bet_on)
        share = gateway.shares.get(self.name)
        if share is None:
            harm, safe = self.against(*bet_on), self._safe(candidate, bet_on)
        else:
            harm = evidence.factors_drawn(bad_candidate, bad_stable, weight=share, max_ratio=self.guard.tolerated)
            safe = self._safe(candidate, (candidate, stable))
        yield News(
            BetKey(self.name),
            candidate,
            stable,
            harm,
            certificate=safe,
            compared=True,
            at_risk=bet_on,
            share=share,
        )
        if self._fused:
            # A unit that fails all day is one failure here too: of all visits, the first ones that failed.
            mine, theirs = (
                ArmCounts(max(held.n, math.ceil(first.bad)), first.bad)
                for held, first in zip((candidate, stable), bet_on, strict=True)
            )
            key = BetKey(self.name, Kind.LIMIT)
            yield News(key, candidate, stable, self._above(mine), baseline=self._above(theirs))

    def _safe(self, candidate: ArmCounts, arms: tuple[ArmCounts, ArmCounts]) -> Floats | None:
        """Return the factors of the certificate; None for a guard that certifies nothing."""
        if self.guard.max_ratio is not None:
            factors = evidence.factors_two_arm(*arms, max_ratio=self.guard.max_ratio, harm=False)
        elif self.guard.max_rate is not None:
            factors = evidence.factors_below(candidate, limit=self.guard.max_rate)
        else:
            return None
        return factors / self.guard.requests_per_unit  # as in `against`

    def _above(self, arm: ArmCounts) -> Floats:
        limit = self.guard.objective_rate or 0.0
        return evidence.factors_above(arm, limit=limit) / self.guard.requests_per_unit

    def growth(self, ledger: Ledger, *, seconds: float) -> float:
        if self.guard.max_rate is None:
            return super().growth(ledger, seconds=seconds)
        return growth_below(ledger.own(self.name).candidate, limit=self.guard.max_rate) / seconds

    def praise(self, ledger: Ledger) -> str:
        bet = ledger.own(self.name)
        if self.guard.max_ratio is not None:
            ratio = f"{self.guard.max_ratio:g} times stable's"
            return f"{self.name} below {ratio} ({base.share(bet.candidate)}, {bet.stable.bad:g} of stable)"
        return f"{self.name} below {self.guard.max_rate or 0.0:.2%} on average so far ({base.share(bet.candidate)})"

    @property
    def tolerance(self) -> str | None:
        times = self.guard.tolerated
        return f"at most {times:g} times stable's {self.name}" if times > 1 else None

    def accuse(self, key: BetKey, ledger: Ledger) -> str:
        objective = self.guard.objective_rate if key.kind is Kind.LIMIT else None
        return base.compared(
            ledger.bets[key],
            name=self.name,
            place="shadow copies" if key.kind is Kind.SHADOW else self.guard.count or "requests",
            what=self.became,
            objective=f" (objective {objective:.2%})" if objective is not None else "",
        )

    # -- before a rollout, and after ------------------------------------------------------------------------------------

    def expect(self, foretold: Prospect, *, usual: float, effect: float | None) -> Expectation | None:
        found = foretold.found(
            lambda candidate, stable, bad: self.expected(candidate, stable, bad=bad, usual=usual), usual=usual
        )
        if self.guard.max_ratio is not None:
            return self._of_ratio(foretold, usual=usual, ratio=self.guard.max_ratio, found=found)
        return of_rate(
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
            growth = evidence.two_arm(rps * usual * weight, rps * usual, odds / (odds + 1 - weight), evidence.BETTER)
            return prospect.until(growth / self.guard.requests_per_unit, alpha=policy.false_promotion)

        least = prospect.bisect(lambda most: needed(most) <= seconds, low=1.0, high=prospect.MOST_TIMES)
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

    @property
    def untold(self) -> str | None:
        return "units" if self.guard.count == "units" else None

    def replayed(self, candidate: ArmCounts, stable: ArmCounts) -> Batch:
        counted = Gateway(
            candidate=candidate.n,
            stable=stable.n,
            bad={self.name: (int(candidate.bad), int(stable.bad))},
            observed={self.name: (candidate.n, stable.n)},
        )
        return Batch(gateway=counted)


# -- a rate below a limit, which disagreement is about too --------------------------------------------------------------


def growth_below(counts: ArmCounts, *, limit: float) -> float:
    """Return what a certificate of "below `limit`" has grown by in expectation, at the rate so far."""
    return evidence.growth_below((counts.bad + 0.5) / (counts.n + 1), limit=limit) * counts.n


def of_rate(
    case: base.Case, foretold: Prospect, *, usual: float, limit: float, each: int, found: dict[str, float | None]
) -> Expectation:
    """Return what to expect of a rate that must be certified below a limit, where `each` requests share one fate."""
    policy, rps = case.strategy, foretold.requests_per_second
    served = foretold.served(case.stage)
    least = smallest(usual, requests=served[-1] / each, alpha=policy.false_promotion)
    if least is None or limit < least:
        raise errors.ConfigError(
            f"strategy.guards: {case.name} cannot certify {limit:.2%} within "
            f"{sections.format_duration(policy.budget(case.stage))} at {rps:g} requests/s and a usual rate of {usual:.2%}: "
            f"wanted {prospect.or_more(least, percent=True)}more traffic, or a longer budget"
        )
    need = requests_to_certify(usual, limit=limit, alpha=policy.false_promotion) * each
    least_pairs = float(policy.shadow.min_pairs) if case.stage == "shadow" else 0.0
    look = int(np.searchsorted(served, max(need, least_pairs)))
    return Expectation(
        guard=case.name,
        gates=case.stage,
        limit=limit,
        usual=usual,
        certified_seconds=(look + 1) * prospect.LOOK_SECONDS,
        smallest_limit=least,
        found_seconds=found,
    )


def requests_to_certify(rate: float, *, limit: float, alpha: float) -> float:
    """Return how many requests of the candidate are expected until "below `limit`" is certified, at this rate; infinity where that is never."""
    return prospect.until(evidence.below(rate, 1.0, limit=limit), alpha=alpha)


def smallest(rate: float, *, requests: float, alpha: float) -> float | None:
    """Return the smallest limit that so many requests are expected to certify, at this rate; None where there is none."""
    return prospect.bisect(
        lambda limit: requests_to_certify(rate, limit=limit, alpha=alpha) <= requests, low=rate, high=prospect.MOST
    )

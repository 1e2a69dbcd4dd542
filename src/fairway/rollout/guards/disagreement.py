"""Guards of type disagreement.

Answers of shadow's copies that differ from stable's, against what evaluation measured. Classes
differ or do not; of other tasks a pair counts by how far its answers are apart, from 0 to 1.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fairway.config import sections
from fairway.rollout.bets import NOTHING, BetKey, News
from fairway.rollout.guards import base, limits
from fairway.rollout.increments import Batch, Paired
from fairway.rollout.ledger import Ledger
from fairway.rollout.prospect import Expectation, Prospect
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts


def allowed(strategy: sections.Strategy, offline: float | None) -> float:
    """Return the share of shadow answers that may differ.

    What evaluation measured between the two models, and the margin.
    """
    return min(0.99, (offline or 0.0) + strategy.shadow.disagreement_margin)


class DisagreementGuard(sections.Guard):
    """Answers of shadow's copies that differ from stable's."""

    type: Literal["disagreement"]

    PLACE = "shadow"
    RULES = (
        sections.Rule(
            broken=lambda guard: guard.stage != "shadow",
            sentence="guard {name} of type disagreement can only gate shadow",
            cel="self.type != 'disagreement' || !has(self.gates) || self.gates == 'shadow'",
            message="a guard of type disagreement can only gate shadow",
        ),
    )


@dataclass(frozen=True)
class DisagreementCase(base.Case[DisagreementGuard]):
    """A guard of shadow's answers."""

    rows_alone = True

    @property
    def keys(self) -> tuple[BetKey, ...]:
        return (BetKey(self.name),) if self.strategy.shadow.enabled else ()

    @property
    def allowed(self) -> float:
        return allowed(self.strategy, self.offline)

    def news(self, batch: Batch, ledger: Ledger) -> Iterator[News]:
        if batch.paired is None or not self.strategy.shadow.enabled:
            return
        counts = ArmCounts(batch.paired.compared, batch.paired.disagreements)
        harm = hypotheses.factors_above(counts, limit=self.allowed)
        safe = hypotheses.factors_below(counts, limit=self.allowed)
        yield News(BetKey(self.name), counts, NOTHING, harm, certificate=safe)

    def remembered(
        self, batch: Batch, ledger: Ledger
    ) -> Iterable[tuple[BetKey, Mapping[str, Any]]]:
        lossy = batch.paired is not None and batch.paired.losses
        return [(BetKey(self.name), base.LOSSES)] if lossy and self.strategy.shadow.enabled else []

    def certified(self, ledger: Ledger) -> bool:
        return not self.strategy.shadow.enabled or super().certified(ledger)

    def growth(self, ledger: Ledger, *, seconds: float) -> float:
        return limits.growth_below(ledger.own(self.name).candidate, limit=self.allowed) / seconds

    def praise(self, ledger: Ledger) -> str:
        if not self.strategy.shadow.enabled:
            return f"{self.name} (shadow was skipped)"
        most = (
            f"{self.allowed:.3g}" if base.is_lossy(ledger.own(self.name)) else f"{self.allowed:.2%}"
        )
        return f"{self.name} below {most} on average so far ({self.seen(ledger)})"

    def seen(self, ledger: Ledger) -> str:
        bet = ledger.own(self.name)
        return _apart(bet.candidate) if base.is_lossy(bet) else super().seen(ledger)

    def accuse(self, key: BetKey, ledger: Ledger) -> str:
        bet, known = ledger.bets[key], "evaluation did not compare the two"
        counts, lossy = bet.candidate, base.is_lossy(bet)
        if self.offline is not None:
            known = (
                f"at most {self.offline:.3g} by evaluation"
                if lossy
                else f"at most {self.offline:.1%} by evaluation"
            )
        if lossy:
            return (
                f"{self.name}: shadow answers differ from stable's by {_apart(counts)}, "
                f"allowed is {self.allowed:.3g} ({known}, plus the margin)"
            )
        return (
            f"{self.name}: {counts.bad} of {counts.n} shadow answers differ from stable's "
            f"({counts.bad / max(1, counts.n):.1%}), allowed are {self.allowed:.1%} ({known}, plus the margin)"
        )

    @property
    def unmeasured(self) -> str | None:
        most = allowed(self.strategy, None)
        return (
            f"one whose answers differ from stable's by {most:.1%} on average at most, "
            "which evaluation did not measure"
        )

    def expect(
        self, foretold: Prospect, *, usual: float, effect: float | None
    ) -> Expectation | None:
        if not self.strategy.shadow.enabled:
            return None
        limit = allowed(self.strategy, usual)
        return limits.of_rate(self, foretold, usual=usual, limit=limit, each=1, found={})

    def replayed(self, candidate: ArmCounts, stable: ArmCounts) -> Batch:
        paired = Paired(
            compared=candidate.n,
            disagreements=candidate.bad,
            candidate_failures=0,
            stable_failures=0,
        )
        return Batch(paired=paired)


def _apart(counts: ArmCounts) -> str:
    return f"{counts.bad / max(1, counts.n):.3g} on average over {counts.n} pairs"


SECTION, CASE = DisagreementGuard, DisagreementCase

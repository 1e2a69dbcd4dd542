"""Guards of type errors: requests that failed (5xx), from the gateway's counters or units' events.

Among copies pair by pair.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from fairway.rollout import traffic
from fairway.rollout.bets import BetKey, BetKind, News
from fairway.rollout.guards import base, lost, rates
from fairway.rollout.increments import Batch, Paired
from fairway.rollout.ledger import Ledger
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts


class ErrorsGuard(rates.LimitedGuard):
    """Failed requests: 5xx, or broken off by the server."""

    type: Literal["errors"]


@dataclass(frozen=True)
class ErrorsCase(rates.LimitedCase[ErrorsGuard]):
    """A guard of failed requests."""

    spends: ClassVar[bool] = True

    @property
    def keys(self) -> tuple[BetKey, ...]:
        own, *limit = super().keys
        copies = [BetKey(self.name, BetKind.SHADOW)] if self.strategy.shadow.enabled else []
        return (own, *copies, *limit)

    def news(self, batch: Batch, ledger: Ledger) -> Iterator[News]:
        yield from super().news(batch, ledger)
        if batch.paired is not None and self.strategy.shadow.enabled:
            yield self._discordant(batch.paired)

    def _discordant(self, paired: Paired) -> News:
        """Return the copies that failed in one arm alone, against those of the other."""
        mine, theirs, both = paired.candidate_failures, paired.stable_failures, paired.both_failures
        total = paired.compared + mine + theirs + both
        factors = hypotheses.factors_paired(mine, theirs, both, max_ratio=self.guard.tolerated)
        key = BetKey(self.name, BetKind.SHADOW)
        return News(key, ArmCounts(total, mine + both), ArmCounts(total, theirs + both), factors)

    @property
    def asked(self) -> base.Question | None:
        return base.Question("error", failed) if self.guard.by_arrival else None

    def scraped(
        self, candidate: traffic.ArmSample, stable: traffic.ArmSample, *, alone: bool
    ) -> base.Scraped | None:
        if self.guard.by_arrival and not alone:
            return lost.unanswered(candidate, stable)
        return base.Scraped(bad=(candidate.errors, stable.errors))

    @property
    def became(self) -> str:
        return "failed"


def failed(visit: base.Visit) -> bool:
    """Say whether the server failed the request."""
    return visit.status >= 500


SECTION, CASE = ErrorsGuard, ErrorsCase

"""Guards of type latency: requests that took longer than a threshold, from the gateway's histogram or units' events."""

from dataclasses import dataclass
from datetime import timedelta

from fairway.config import sections
from fairway.rollout import traffic
from fairway.rollout.guards import base, lost, rates


@dataclass(frozen=True)
class LatencyCase(rates.RateCase):
    """A guard of slow requests."""

    @property
    def threshold(self) -> str:
        """The threshold as the configuration writes it, and the gateway's counters call it."""
        return sections.format_duration(self.guard.threshold or timedelta(0))

    @property
    def became(self) -> str:
        return f"took longer than {self.threshold}"

    def scraped(self, candidate: traffic.ArmCounts, stable: traffic.ArmCounts, *, alone: bool) -> base.Scraped | None:
        if self.guard.by_arrival:
            return lost.unanswered(candidate, stable)
        slow = candidate.slow.get(self.threshold, 0), stable.slow.get(self.threshold, 0)
        return base.Scraped(bad=slow, observed=(candidate.timed, stable.timed))

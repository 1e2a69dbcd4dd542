"""Guards of type latency: requests that took longer than a threshold, from the gateway's histogram
or units' events."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from pydantic import model_validator

from fairway.config import sections
from fairway.rollout import traffic
from fairway.rollout.guards import base, lost, rates


class LatencyGuard(rates.LimitedGuard):
    """Requests that took longer than the threshold."""

    type: Literal["latency"]
    threshold: sections.Duration
    """An answer slower than this counts."""

    RULES = (
        *rates.LimitedGuard.RULES,
        sections.Rule(
            sentence="guard {name} of type latency needs a threshold",
            cel="self.type != 'latency' || has(self.threshold)",
            message="a guard of type latency needs a threshold: an answer slower than it counts",
        ),
    )

    @property
    def timed(self) -> timedelta | None:
        return None if self.by_arrival else self.threshold

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        return sections.needs(values, "threshold", sentence=cls.RULES[-1].sentence)


@dataclass(frozen=True)
class LatencyCase(rates.LimitedCase[LatencyGuard]):
    """A guard of slow requests."""

    @property
    def threshold(self) -> str:
        """The threshold as the configuration writes it, and the gateway's counters call it."""
        return sections.format_duration(self.guard.threshold)

    @property
    def became(self) -> str:
        return f"took longer than {self.threshold}"

    @property
    def asked(self) -> base.Question | None:
        longest = self.guard.threshold.total_seconds()
        return (
            base.Question(f"slow {self.name}", partial(_slow, longest=longest))
            if self.guard.by_arrival
            else None
        )

    def scraped(
        self, candidate: traffic.ArmSample, stable: traffic.ArmSample, *, alone: bool
    ) -> base.Scraped | None:
        if self.guard.by_arrival:
            return lost.unanswered(candidate, stable)
        slow = candidate.slow.get(self.threshold, 0), stable.slow.get(self.threshold, 0)
        return base.Scraped(bad=slow, observed=(candidate.timed, stable.timed))


def _slow(visit: base.Visit, *, longest: float) -> bool:
    return visit.seconds >= longest


SECTION, CASE = LatencyGuard, LatencyCase

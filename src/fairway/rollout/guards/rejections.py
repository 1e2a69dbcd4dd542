"""Guards of type rejections: requests that were refused, from units' events. They watch only."""

from dataclasses import dataclass, replace
from typing import Literal

from fairway.config import sections
from fairway.rollout.guards import base, rates

# A body that did not come, load that was shed, a client that went away: not the server's refusal.
UNDECIDED = (408, 429, 499)


class RejectionsGuard(rates.CountedGuard):
    """Refused requests: 4xx, but 408 and 429."""

    type: Literal["rejections"]

    RULES = (
        replace(rates.CountedGuard.RULES[0], broken=lambda guard: guard.count == "requests"),
        sections.Rule(
            broken=lambda guard: guard.stage != "watch",
            without="max_rate",
            sentence="guard {name} of type rejections can only watch, without maxRate: "
            "how often clients are refused is their doing too",
            cel="self.type != 'rejections' || ((!has(self.gates) || self.gates == 'watch') && !has(self.maxRate))",
            message="a guard of type rejections can only watch, without maxRate: "
            "how often clients are refused is their doing too",
        ),
    )


@dataclass(frozen=True)
class RejectionsCase(rates.CountedCase[RejectionsGuard]):
    """A guard of refused requests."""

    @property
    def became(self) -> str:
        return "were refused (4xx)"

    @property
    def asked(self) -> base.Question | None:
        return base.Question("rejection", refused)


def refused(visit: base.Visit) -> bool:
    """Say whether the server would not have the request, as it came."""
    return 400 <= visit.status < 500 and visit.status not in UNDECIDED


SECTION, CASE = RejectionsGuard, RejectionsCase

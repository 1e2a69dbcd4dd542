"""Guards of type rejections: requests that were refused (4xx, but 408 and 429), from units' events. They watch only."""

from dataclasses import dataclass

from fairway.rollout.guards import rates


@dataclass(frozen=True)
class RejectionsCase(rates.RateCase):
    """A guard of refused requests."""

    @property
    def became(self) -> str:
        return "were refused (4xx)"

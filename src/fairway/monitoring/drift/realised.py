"""Whether answers lose more than they may: an e-detector on requests, one bet for each label.

The mean loss may be at most `limit`. A bet on more is a fair game's at worst there (Waudby-Smith
and Ramdas 2024, section 4): 1 + b (loss - limit) / limit. Several stakes b are laid side by side,
and what is spent is the budget of false starts as time goes by (see `edetector`). How often labels
are looked at changes nothing of the bound.
"""

import math
from dataclasses import dataclass, field

FULL = 1.0
STAKES = (0.05, 0.1, 0.2, 0.4, 0.8)  # parts of the stake that a loss of nothing would cost
LEAST_LIMIT = 1e-3  # a limit of nothing could not be bet on


def limit(bound: float, *, allowed: float) -> float:
    """Return the mean loss that is tolerated: `bound` is how high it may be by what is known of the
    model, and it may rise by so much."""
    return min(bound + allowed, 1.0)


@dataclass(kw_only=True)
class LossWatch:
    """Evidence that the mean loss, each from 0 to 1, is above `limit`."""

    limit: float
    false_starts_per_month: float
    values: list[float] = field(default_factory=lambda: [0.0] * len(STAKES))
    began: float | None = None  # since when the evidence is no longer chance's

    @property
    def evidence(self) -> float:
        return math.fsum(self.values)

    def look(self, loss: float, *, spend: float, at: float) -> bool:
        """Take in one loss, where `spend` months have passed since the last; True where the mean
        has been above the limit."""
        limit = max(self.limit, LEAST_LIMIT)
        share = spend * self.false_starts_per_month / len(STAKES)
        self.values = [
            (value + share) * (1 + stake * (loss - limit) / limit)
            for value, stake in zip(self.values, STAKES, strict=True)
        ]
        if self.evidence < FULL / 100:
            self.began = None
        elif self.began is None:
            self.began = at
        if self.evidence < FULL:
            return False
        self.values = [min(value, FULL) for value in self.values]
        return True

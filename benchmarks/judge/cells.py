"""What a judge did on many rollouts of one scenario."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.judge.streams import Floats


@dataclass(frozen=True)
class Cell:
    """One judge on one scenario."""

    judge: str
    scenario: str
    rate: int
    seconds: float
    at: Floats  # of the rollback, infinity where none
    bad: Floats
    promoted: Floats | None = None

    @property
    def rolled_back(self) -> float:
        return float(np.isfinite(self.at).mean())

    @property
    def error(self) -> float:
        """The Monte Carlo error of `rolled_back`, one standard deviation."""
        return math.sqrt(
            max(self.rolled_back * (1 - self.rolled_back), 1 / len(self.at)) / len(self.at)
        )


# by judge, scenario and requests a second
Cells = Mapping[tuple[str, str, int], Cell]

"""Quantiles of a regression: what each stated one is on the test rows, and its pinball loss.

The answer is shifted by the quantile of the validation rows' errors, with their signs: the truth of
the next row is at most the shifted answer as often as stated (split conformal prediction, one side at
a time; Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018). The shift is the same for every row. It is
measured and not served: a client is answered the value and its interval.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts, errors
from fairway.model import tasks
from fairway.model.metrics.quantities import pinball

Array = NDArray[Any]
SLACK = 1e-9  # of a product of a share that floats hold nearly


def refuse(levels: Sequence[float], *, task: tasks.Task, validation: int) -> None:
    """Raise DataError where quantiles are none of the task, or need more validation rows."""
    if levels and not task.quantifies:
        raise errors.DataError(
            f"evaluation.quantiles is {[*levels]}: {task.name} answers no quantity, take the key away"
        )
    for level in levels:
        wanted = math.ceil(1 / min(level, 1 - level) - 1 - SLACK)
        if validation < wanted:
            raise errors.DataError(
                f"evaluation.quantiles names {level:g}, which {validation} validation rows do not tell: wanted "
                f"{wanted} at least; prepare more rows, or state one nearer 0.5"
            )


def measure(
    levels: Sequence[float], *, off: Array, said: Array, target: Array, train: Array
) -> list[artifacts.Json]:
    """Return each quantile's shift, pinball loss and the share of the test rows at or below it, and
    the loss of always saying that quantile of training."""
    found = []
    for level in levels:
        shift = _shift(off, level=level)
        always = np.full(len(target), np.quantile(train, level))
        found.append(
            {
                "quantile": level,
                "shift": shift,
                "pinball": pinball(said + shift, target, level=level),
                "zero_rule": pinball(always, target, level=level),
                "below": float((target <= said + shift).mean()),
            }
        )
    return found


def _shift(off: Array, *, level: float) -> float:
    """Return the least of these errors that the next row's is at most with this probability."""
    place = math.ceil((len(off) + 1) * level - SLACK)
    return float(np.sort(off)[min(place, len(off)) - 1])

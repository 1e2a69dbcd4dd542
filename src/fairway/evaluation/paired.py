"""How much worse a challenger may be than the model in service, by the same rows.

Both answer the same rows, so what they share cancels: rows are drawn again with replacement, for
both at once (the paired bootstrap, Efron and Tibshirani 1993, section 13.3), and the quantiles of
the drop bound it on either side.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts
from fairway.model import metrics, tasks
from fairway.model.schema import Schema

DRAWS = 400
MOST_ROWS = 20_000  # that are drawn from: more tell little more
LEAST_ROWS = 20
LOW, HIGH = 0.10, 0.95  # an equal model is refused by chance, and a bad one let through, so rarely
SEED = 0


def compared(
    metric: metrics.Metric,
    *,
    ours: NDArray[Any],
    theirs: NDArray[Any],
    target: NDArray[Any],
    schema: Schema,
) -> artifacts.Json | None:
    """Return by how much the metric drops from the model in service (`theirs`) to the challenger
    (`ours`): `drop` as measured, `low` and `high`, between which it lies (above `low` with 90 %,
    below `high` with 95 %), and `better`, the share of the drawn rows on which it does not drop but
    rises.

    Of a share in points, of other metrics as a share of the value of the model in service; below 0
    the challenger is better. None where rows belong together, or are too few, or do not tell it.
    """
    rows = np.arange(len(target))
    generator = np.random.default_rng(SEED)
    if len(rows) > MOST_ROWS:
        rows = generator.choice(rows, MOST_ROWS, replace=False)
    whole = _drop(metric, ours, theirs, target, schema)
    if whole is None or len(rows) < LEAST_ROWS:
        return None
    drops = []
    for _ in range(DRAWS):
        drawn = generator.choice(rows, len(rows))
        drops.append(_drop(metric, ours[drawn], theirs[drawn], target[drawn], schema))
    known = [drop for drop in drops if drop is not None]
    if len(known) < DRAWS // 2:
        return None
    low, high = np.quantile(known, [LOW, HIGH])
    better = float(np.mean(np.array(known) < 0))
    return {
        "rows": len(target),
        "drop": whole,
        "low": float(low),
        "high": float(high),
        "better": better,
    }


def _drop(
    metric: metrics.Metric,
    ours: NDArray[Any],
    theirs: NDArray[Any],
    target: NDArray[Any],
    schema: Schema,
) -> float | None:
    task = tasks.of(schema)
    here, there = (
        metrics.measure(
            [metric], metrics.AnsweredRows(raw=raw, target=target, schema=schema, task=task)
        ).get(metric.name)
        for raw in (ours, theirs)
    )
    if here is None or there is None:
        return None
    return metric.drop(float(here), below=float(there))

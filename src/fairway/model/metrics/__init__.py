"""What models are measured by. A metric is one class; a task names those that it is measured by.

A package adds a metric with an entry point in the group `fairway.metrics` that names its subclass of
`Metric`, whose `tasks` says for which tasks it is.
"""

import functools
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence

from fairway import errors, plugins
from fairway.model.metrics import branches, classes, labelsets, orders, quantities
from fairway.model.metrics.base import AnsweredRows, Metric, figure

__all__ = ["AnsweredRows", "Metric", "figure", "found", "measure", "of"]

OURS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        classes.Accuracy(),
        classes.AveragePrecision(),
        classes.BalancedAccuracy(),
        classes.CalibrationError(),
        branches.ClassShare(),
        quantities.Coverage(),
        labelsets.Exact(),
        labelsets.HammingLoss(),
        branches.HierarchicalF(),
        quantities.IntervalWidth(),
        classes.LogLoss(),
        labelsets.MacroF1(),
        quantities.Mae(),
        labelsets.MicroF1(),
        orders.Ndcg(),
        quantities.Pinball(),
        quantities.RSquared(),
        quantities.Rmse(),
        orders.Top1(),
    )
}


@functools.cache
def found() -> Mapping[str, Metric]:
    """Return every metric by name: ours, and those of installed packages."""
    return plugins.beside("metrics", OURS, kind=Metric)


def of(task: str, *, named: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics that the task names, in its order, and those that name the task."""
    others = [name for name, metric in found().items() if task in metric.tasks]
    return tuple(found()[name] for name in dict.fromkeys([*named, *others]))


def measure(chosen: Iterable[Metric], rows: AnsweredRows) -> dict[str, float]:
    """Return the metrics' values by name, without those that these rows do not tell.

    Raises DataError where a package's metric fails, or gives what is no number.
    """
    values = ((metric.name, _value(metric, rows)) for metric in chosen)
    return {name: value for name, value in values if value is not None}


def _value(metric: Metric, rows: AnsweredRows) -> float | None:
    if metric.name in OURS:
        return metric.measure(rows)
    try:
        value = metric.measure(rows)
    except Exception as error:
        raise errors.DataError(
            f"metric {metric.name}, of {_origin(metric)}, fails on {len(rows.raw)} rows "
            f"({type(error).__name__}: {error}): mend it, or uninstall its package"
        ) from error
    if value is None:
        return None
    if not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise errors.DataError(
            f"metric {metric.name}, of {_origin(metric)}, is {value!r} on {len(rows.raw)} rows: "
            "wanted a finite number, or None where the rows do not tell it"
        )
    return float(value)


def _origin(metric: Metric) -> str:
    plugin = plugins.found("metrics")[metric.name]
    return f"{plugin.distribution} {plugin.version}"

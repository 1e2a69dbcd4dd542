"""Windows of predictions: made into arrays for a detector, and what is told of them. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from fairway import artifacts, errors
from fairway.model.kinds import category
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import watch, yardstick
from fairway.monitoring.eventstore import answers

ALERT = "InputDrift"
QUALITY = (
    "quality"  # of a ticket or a part that moved: the data broke on its way, and trains no model
)
LEAST_FITTING = 0.8  # of the rows of a window that must fit the reference
SHOWN_ROWS = 200  # of a window that is shown by itself, with the engine's tests
# from the training data, that a person is told of: by the test's effect, standard deviations or shares
SKEW = {"number": 0.25}
SKEW_SHARE = 0.1
WHAT = {
    "quality": "the data's quality changed",
    "covariate": "the inputs moved",
    "prediction": "the answers moved",
}
NEXT = {
    "quality": "look at what fills these features (a source that fails, a new code, units)",
    "covariate": "find out whether the source of these features changed (units, a sensor, a new kind "
    "of user)",
    "prediction": "see which inputs moved with them; where none did, the model is another",
}
KEPT_FEATURES = 50  # in one record, the most surprising first: a picture has hundreds
NAMED_FEATURES = 5  # in a ticket
FAILED = "DriftWindowFailed"  # ticket of the monitor's own
NUMBERS: set[type] = {int, float, type(None)}


@dataclass(frozen=True, kw_only=True)
class Window:
    """Rows of one window by feature, and when they were predicted."""

    arrays: dict[str, npt.NDArray[Any]]
    rows: int
    first_at: float
    last_at: float
    last_seq: int  # number of its newest event: the next window begins after it
    requests: int
    unreadable: int  # requests whose logged inputs do not fit the reference, left out


def assemble(
    newest_first: Iterable[answers.Prediction], *, reference: base.Arrays, rows: int
) -> Window | None:
    """Return the newest `rows` of the predictions as arrays that fit the reference; missing numbers
    are NaN, words empty. None where they are fewer."""
    window, seen = gather(newest_first, reference=reference, rows=rows)
    return window if seen >= rows else None


def gather(
    newest_first: Iterable[answers.Prediction], *, reference: base.Arrays, rows: int
) -> tuple[Window, int]:
    """Return the newest predictions up to `rows` rows as arrays, and how many rows those are.

    What clients sent is held once, and as numbers: each prediction is written into its place, from
    the window's end on, before the next is read.
    """
    columns = {name: _empty(reference[name], rows=rows) for name in _tested(reference)}
    first_at, last_at = math.inf, -math.inf
    last_seq = seen = requests = unreadable = 0
    begin = rows  # where the oldest row that is written begins
    for prediction in newest_first:
        last_seq, requests = max(last_seq, prediction.seq), requests + 1
        first_at, last_at = min(first_at, prediction.time), max(last_at, prediction.time)
        count = min(prediction.rows, rows - seen)
        try:
            for name, values in columns.items():
                values[begin - count : begin] = _array(
                    name, prediction, like=reference[name], rows=count
                )
        except (KeyError, OverflowError, TypeError, ValueError):
            unreadable += 1
        else:
            begin -= count
        seen += prediction.rows
        if seen >= rows:
            break
    joined = {name: values[begin:] for name, values in columns.items() if begin < rows}
    window = Window(
        arrays=joined,
        rows=len(next(iter(joined.values()), ())),
        first_at=first_at,
        last_at=last_at,
        last_seq=last_seq,
        requests=requests,
        unreadable=unreadable,
    )
    return window, seen


def redacted(newest: answers.Prediction | None) -> frozenset[str] | None:
    """Return the features whose values the revision's servers keep to themselves, by its newest
    logged answer; None where it has none yet."""
    if newest is None:
        return None
    return frozenset(name for name, values in newest.inputs.items() if values is None)


def record(window: Window, result: base.DriftResult) -> dict[str, Any]:
    """Return what the store keeps of one window and its verdict."""
    return {
        "drifted": result.drifted,
        "pValue": result.p_value,
        "threshold": result.threshold,
        "rows": window.rows,
        "firstAt": window.first_at,
        "lastAt": window.last_at,
        "unreadable": window.unreadable,
        "tests": len(result.features),
        "moved": len(result.moved),
        "features": [asdict(feature) for feature in result.features[:KEPT_FEATURES]],
    }


def summary(found: watch.Ticket, *, deployment: str) -> str:
    """Return a ticket's first line."""
    return f"{deployment}: {WHAT[found.kind]}: " + "; ".join(
        _moved(shift) for shift in found.shifts[:3]
    )


def description(found: watch.Ticket, *, revision: str, tickets_per_month: float) -> str:
    """Return a ticket's evidence, what was done already and what to do next."""
    evidence = "; ".join(_moved(shift) for shift in found.shifts)
    return (
        f"Revision {revision}, since {_time(found.since)}: {evidence}. Tickets like this are opened by "
        f"chance at most {tickets_per_month:g} times in 30 days, over all deployments. Already "
        "done: nothing, drift alone neither pages nor rolls back. Next: "
        f"{NEXT[found.kind]}; if it is here to stay, send labels (`fairway label`), since only they "
        "tell whether the answers got worse; `fairway retrain` trains on them; `fairway monitor accept "
        "--why REASON` takes what is fine for the new usual."
    )


def ticket(
    *,
    kind: str,
    summary: str,
    description: str,
    shifts: Sequence[tuple[str, str, float]],
    at: float,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an open ticket as it is kept: what moved in which unit how far, since when it is open,
    and what was told then; `before` is the same ticket at the last look."""
    parts = [{"part": part, "unit": unit, "effect": float(effect)} for part, unit, effect in shifts]
    return {
        "at": at if before is None else before["at"],
        "told": description if before is None else before["told"],
        "kind": kind,
        "summary": summary,
        "description": description,
        "shifts": parts[:NAMED_FEATURES],
    }


def skew(result: base.DriftResult) -> list[base.FeatureDrift]:
    """Return the features in which what is served is far from the training data, the furthest
    first."""
    far = [
        feature
        for feature in result.moved
        if abs(feature.effect) >= SKEW.get(feature.kind, SKEW_SHARE)
    ]
    return sorted(far, key=lambda feature: -abs(feature.effect))


def skew_summary(found: Sequence[base.FeatureDrift], *, deployment: str) -> str:
    """Return a ticket's first line where service was never like training."""
    names = ", ".join(f"{feature.name} ({feature.effect:+.2f})" for feature in found[:3])
    return f"{deployment}: what is served differs from the training data, most {names}"


def skew_description(found: Sequence[base.FeatureDrift], *, revision: str, rows: int) -> str:
    """Return the evidence of that, what was done already and what to do next."""
    evidence = "; ".join(_evidence(feature) for feature in found[:NAMED_FEATURES])
    return (
        f"Revision {revision}, the first {rows} predictions that were learnt from: {evidence}. Already "
        "done: these predictions are what is usual from now on, and later shifts are told against "
        "them. Next: find out whether serving prepares these features as training did (units, missing "
        "values, a join); if the world moved since, train on newer rows; if it is fine, close it "
        "(`fairway monitor accept --why REASON`)."
    )


FAILED_DESCRIPTION = (
    "Already done: the window was passed over and the next one is tested; other deployments are watched as "
    "ever. Drift within the window that failed "
    "was not looked for. Next: see what these requests held (`fairway monitor`, the monitor's log); where "
    "every window fails, the package's schema or its "
    "reference does not fit what is served: package the model again."
)


def failure(error: Exception, deployment: str) -> str:
    """Return a ticket's first line of a window that could not be tested."""
    said = " ".join(str(error).split())[:300] or "no reason was given"
    return f"{deployment}: a window could not be tested for drift: {type(error).__name__}: {said}"


RESOLUTION = "the windows since are like the reference again"


def _moved(shift: yardstick.Shift) -> str:
    name = (
        shift.stream if shift.part in ("mean", "distribution") else f"{shift.stream} {shift.part}"
    )
    if shift.unit == "share":
        return f"{name} {shift.before:.1%} -> {shift.after:.1%} of the rows"
    if shift.unit == "sd":
        return f"{name} {shift.effect:+.2f} standard deviations"
    return f"{name} {shift.before:.2f} -> {shift.after:.2f}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _evidence(feature: base.FeatureDrift) -> str:
    unit = {
        "number": " standard deviations",
        "category": " of rows in another category",
        "missing": " more rows lack it",
    }
    words = f"{feature.effect:+.2f}{unit.get(feature.kind, ' in the mean')}"
    return f"{feature.name} {words} (statistic {feature.statistic:.3g}, p {feature.p_value:.2g})"


def _tested(reference: Mapping[str, Any]) -> list[str]:
    names = [name for name in reference if base.is_feature(name)]
    if not names:
        raise errors.PackageError(
            "the reference window has no features: wanted one array for each feature in reference.npz"
        )
    return [*names, *([base.ANSWERS] if base.ANSWERS in reference else [])]


def _empty(like: npt.NDArray[Any], *, rows: int) -> npt.NDArray[Any]:
    dtype = object if like.dtype.kind in "OUS" else np.float64
    return np.empty((rows, *like.shape[1:]), dtype=dtype)


def _array(
    name: str, prediction: answers.Prediction, *, like: npt.NDArray[Any], rows: int
) -> npt.NDArray[Any]:
    """Return the newest rows of one feature of one request; ValueError, TypeError, OverflowError or
    KeyError where it does not fit the reference."""
    values = prediction.probabilities if name == base.ANSWERS else prediction.inputs[name]
    if not isinstance(values, list) or len(values) != prediction.rows:
        raise ValueError(f"{name} has not one value a row")
    values = values[-rows:]
    if like.dtype.kind in "OUS":
        return category.shortened(values)
    if not artifacts.is_plain(values, kinds=NUMBERS, levels=like.ndim):
        raise ValueError(
            f"{name} holds no numbers"
        )  # text would be made into numbers, and a nested list is read as deep as it goes
    return np.asarray(values, dtype=np.float64).reshape(len(values), *like.shape[1:])

"""Windows of predictions: made into arrays for a detector, and judged in a row. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fairway import artifacts, errors
from fairway.model.kinds import category
from fairway.monitoring.detectors import base
from fairway.monitoring.eventstore import answers

ALERT = "InputDrift"
MIN_ROWS = 20  # as few as monitoring.window allows
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


@dataclass(frozen=True, kw_only=True)
class Streak:
    """Verdicts in a row of one revision; `since` is when the first of the drifted windows began."""

    drifted: int = 0
    clean: int = 0
    open: bool = False
    since: float | None = None


@dataclass(frozen=True, kw_only=True)
class StreakDecision:
    """The streak with one more window, and what becomes of the ticket."""

    streak: Streak
    action: Literal["open", "refresh", "resolve"] | None


def decide(streak: Streak, *, drifted: bool, began: float, consecutive: int) -> StreakDecision:
    """Open a ticket after `consecutive` drifted windows in a row, resolves it after as many clean
    ones."""
    if drifted:
        after = replace(
            streak,
            drifted=streak.drifted + 1,
            clean=0,
            since=began if streak.since is None else streak.since,
        )
        if streak.open:
            return StreakDecision(streak=after, action="refresh")
        opens = after.drifted >= consecutive
        return StreakDecision(streak=replace(after, open=opens), action="open" if opens else None)
    after = replace(
        streak, drifted=0, clean=streak.clean + 1, since=streak.since if streak.open else None
    )
    if streak.open and after.clean >= consecutive:
        return StreakDecision(streak=Streak(clean=after.clean), action="resolve")
    return StreakDecision(streak=after, action=None)


def assemble(
    newest_first: Iterable[answers.Prediction], *, reference: base.Arrays, rows: int
) -> Window | None:
    """Return the newest `rows` of the predictions as arrays that fit the reference; missing numbers
    are NaN, words empty. None where they are fewer.

    Each prediction becomes arrays before the next is read: what clients sent is held once, and as
    numbers.
    """
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in _tested(reference)}
    first_at, last_at = math.inf, -math.inf
    last_seq = seen = requests = unreadable = 0
    for prediction in newest_first:
        last_seq, requests = max(last_seq, prediction.seq), requests + 1
        first_at, last_at = min(first_at, prediction.time), max(last_at, prediction.time)
        try:
            arrays = {
                name: _array(name, prediction, like=reference[name], rows=rows - seen)
                for name in parts
            }
        except (KeyError, OverflowError, TypeError, ValueError):
            unreadable += 1
        else:
            for name, values in arrays.items():
                parts[name].append(values)
        seen += prediction.rows
        if seen >= rows:
            break
    if seen < rows:
        return None
    joined = {name: np.concatenate(values[::-1]) for name, values in parts.items() if values}
    return Window(
        arrays=joined,
        rows=len(next(iter(joined.values()), ())),
        first_at=first_at,
        last_at=last_at,
        last_seq=last_seq,
        requests=requests,
        unreadable=unreadable,
    )


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


def summary(result: base.DriftResult, *, deployment: str, streak: Streak) -> str:
    """Return a ticket's first line."""
    names = ", ".join(
        f"{feature.name} ({feature.effect:+.2f})" for feature in _furthest(result)[:3]
    )
    moved = f"{len(result.moved)} of {len(result.features)} tests moved in {streak.drifted} windows in a row"
    return f"{deployment}: {moved}, most {names}"


def description(result: base.DriftResult, *, revision: str, rows: int, since: str) -> str:
    """Return a ticket's evidence, what was done already and what to do next; `since` is the time in
    words."""
    evidence = "; ".join(_evidence(feature) for feature in _furthest(result))
    return (
        f"Revision {revision}, since {since}, last window of {rows} rows: {evidence}. Corrected for all "
        f"{len(result.features)} "
        f"tests p is {result.p_value:.2g}, the threshold {result.threshold:g}. Already done: nothing, drift "
        "alone neither pages "
        "nor rolls back. Next: find out whether the source of these features changed (units, a sensor, a new "
        "kind of user); if "
        "it did not, send labels (`fairway label`), since only they tell whether the answers got worse; "
        "`fairway retrain` trains "
        "on them."
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


def _furthest(result: base.DriftResult) -> list[base.FeatureDrift]:
    return sorted(result.moved, key=lambda feature: -abs(feature.effect))[:NAMED_FEATURES]


def resolution(streak: Streak) -> str:
    return f"{streak.clean} windows in a row are like the reference again"


def _evidence(feature: base.FeatureDrift) -> str:
    unit = {
        "number": " standard deviations",
        "category": " of rows in another category",
        "missing": " more rows lack it",
    }
    words = f"{feature.effect:+.2f}{unit.get(feature.kind, ' in the mean')}"
    return f"{feature.name} {words} (statistic {feature.statistic:.3g}, p {feature.p_value:.2g})"


def _tested(reference: Mapping[str, Any]) -> list[str]:
    names = [name for name in reference if not name.startswith("__")]
    if not names:
        raise errors.PackageError(
            "the reference window has no features: wanted one array for each feature in reference.npz"
        )
    return [*names, *([base.ANSWERS] if base.ANSWERS in reference else [])]


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

"""How common each class is in service, by what a model answers there: black box shift estimation
(Lipton, Wang and Smola 2018, Detecting and correcting for label shift with black box predictors).

Where the classes became rarer or more common and each looks as before, the shares of the answers
are those of the classes times the confusion matrix, and the matrix can be turned round.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fairway.monitoring.drift import comparison

CONFIDENCE = 0.95  # of each class's interval by itself
LEAST_LABELLED = 10  # rows of a class whose answers are known
LEAST_TOLD_APART = 0.05  # the smallest singular value of the matrix: below, classes are one
NOISE = 2.0  # times its sampling error, below which it may be 0
LEAST_ANSWERS = 2 * comparison.BLOCKS


@dataclass(frozen=True, kw_only=True)
class EstimatedShare:
    """One class's share of the rows."""

    name: str
    before: float  # among the rows with labels
    after: float  # in service, by labels or estimated
    low: float  # of an interval that holds it in 95 of 100 cases
    high: float
    answered: float  # the share of the answers, right or wrong
    moved: bool  # surely: of all classes together in 5 of 100 cases without a shift


@dataclass(frozen=True, kw_only=True)
class LabelShift:
    """The classes in service, or why they cannot be told."""

    classes: tuple[EstimatedShare, ...] = ()
    refusal: str | None = None  # a sentence
    # the shares that would explain the answers are none: what a class looks like changed as well
    refuted: bool = False
    labelled: int = 0  # rows in service whose own labels tell the shares; of 0 they are estimated

    @property
    def moved(self) -> tuple[EstimatedShare, ...]:
        """Return the classes that surely moved, the furthest first."""
        found = [one for one in self.classes if one.moved]
        return tuple(sorted(found, key=lambda one: -abs(one.after - one.before)))


def estimate(
    confusion: Sequence[Sequence[int]], answers: NDArray[np.int64], *, classes: Sequence[str]
) -> LabelShift:
    """Return how common each class is among rows of which only the answers are known.

    `confusion` has counts of rows with labels, [true, answered]; `answers` the places of the
    answered classes, in the order of the rows. Intervals are the delta method's: of the answers'
    shares by the scatter between blocks of rows, and of the matrix, a multinomial for each class.

    >>> table = [[90, 10], [20, 80]]
    >>> answers = np.repeat([0, 1], [310, 690])  # of 20 % and 80 %: .2 * .9 + .8 * .2 = .34
    >>> [round(one.after, 2) for one in estimate(table, answers, classes=["a", "b"]).classes]
    [0.16, 0.84]
    """
    counts = np.asarray(confusion, dtype=np.float64)
    refusal = _refusal(counts, answers, classes)
    if refusal is not None:
        return LabelShift(refusal=refusal)
    labelled = counts.sum(axis=1)
    matrix = (counts / labelled[:, None]).T  # [answered, true]: a column sums to 1
    turned = np.linalg.inv(matrix)
    shares, scatter, freedom = _answered(answers, classes=len(classes))
    raw = turned @ shares
    scatter = scatter + _of_the_matrix(matrix, labelled, priors=np.clip(raw, 0, 1))
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", turned, scatter, turned), 0))
    margin = _quantile(freedom) * error
    low, high = raw - margin, raw + margin
    after = _on_the_simplex(raw)
    before = labelled / labelled.sum()
    apart = np.hypot(error, np.sqrt(before * (1 - before) / labelled.sum()))
    moved = np.abs(raw - before) > _quantile(freedom, among=len(classes)) * apart
    return LabelShift(
        classes=tuple(
            EstimatedShare(
                name=str(name),
                before=float(before[place]),
                after=float(after[place]),
                low=float(np.clip(low[place], 0, after[place])),
                high=float(np.clip(high[place], after[place], 1)),
                answered=float(shares[place]),
                moved=bool(moved[place]),
            )
            for place, name in enumerate(classes)
        ),
        refuted=bool((high < 0).any() or (low > 1).any()),
    )


def counted(before: Sequence[str], after: Sequence[str], *, answers: Sequence[str]) -> LabelShift:
    """Return how common each class is among rows of which the labels are known, in the order of the
    rows; intervals are by the scatter between blocks of these.

    >>> shift = counted(["a", "b"] * 50, ["a"] * 30 + ["b"] * 70, answers=["b"] * 100)
    >>> [(one.name, one.before, one.after, one.answered) for one in shift.classes]
    [('a', 0.5, 0.3, 0.0), ('b', 0.5, 0.7, 1.0)]
    """
    names = sorted({*before, *after})
    place = {name: index for index, name in enumerate(names)}
    sides = [
        _answered(np.array([place[name] for name in side], dtype=np.int64), classes=len(names))
        for side in (before, after)
    ]
    (was, was_scatter, _), (now, scatter, freedom) = sides
    error = np.sqrt(np.diag(scatter))
    apart = np.sqrt(np.diag(scatter) + np.diag(was_scatter))
    margin = _quantile(freedom) * error
    moved = np.abs(now - was) > _quantile(freedom, among=len(names)) * apart
    said = [answer for answer in answers if answer]
    return LabelShift(
        classes=tuple(
            EstimatedShare(
                name=name,
                before=float(was[index]),
                after=float(now[index]),
                low=float(max(now[index] - margin[index], 0.0)),
                high=float(min(now[index] + margin[index], 1.0)),
                answered=said.count(name) / max(len(said), 1),
                moved=bool(moved[index]),
            )
            for index, name in enumerate(names)
        ),
        labelled=len(after),
    )


def _quantile(freedom: int, *, among: int = 1) -> float:
    """Return how many standard errors an interval reaches, each of so many together holding."""
    return float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / among, freedom))


def _refusal(
    counts: NDArray[np.float64], answers: NDArray[np.int64], classes: Sequence[str]
) -> str | None:
    """Return why the shares cannot be told, None where they can."""
    size = len(classes)
    if counts.shape != (size, size) or size < 2:
        return f"the confusion matrix is {counts.shape}: wanted {size} classes each way"
    if len(answers) < LEAST_ANSWERS:
        return f"{len(answers)} answers are too few: wanted at least {LEAST_ANSWERS}"
    labelled = counts.sum(axis=1)
    if labelled.min() < LEAST_LABELLED:
        return (
            f"class {classes[int(labelled.argmin())]!r} has {int(labelled.min())} rows with labels: "
            f"wanted at least {LEAST_LABELLED} to know how it is answered; test on more rows"
        )
    matrix = counts / labelled[:, None]
    smallest = float(np.linalg.svd(matrix, compute_uv=False)[-1])
    noise = math.sqrt(float((matrix * (1 - matrix) / labelled[:, None]).sum()))
    wanted = max(LEAST_TOLD_APART, NOISE * noise)
    if smallest < wanted:
        one, other = _alike(matrix)
        return (
            f"the confusion matrix is nearly singular (smallest singular value {smallest:.3f}, wanted "
            f"{wanted:.3f}): the model answers {classes[one]!r} and {classes[other]!r} almost alike, so "
            "its answers do not tell how common they are; only labels do"
        )
    return None


def _alike(matrix: NDArray[np.float64]) -> tuple[int, int]:
    """Return the two classes that are answered most alike."""
    apart = np.abs(matrix[:, None, :] - matrix[None, :, :]).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    one, other = np.unravel_index(int(apart.argmin()), apart.shape)
    return int(one), int(other)


def _answered(
    answers: NDArray[np.int64], *, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return the shares of the answers, the covariance of these, and its degrees of freedom."""
    size = comparison.block_size(len(answers))
    blocks = len(answers) // size
    each = np.eye(classes)[answers[: blocks * size]].reshape(blocks, size, classes).mean(axis=1)
    shares = each.mean(axis=0)
    left = each - shares
    return shares, left.T @ left / (blocks - 1) / blocks, blocks - 1


def _of_the_matrix(
    matrix: NDArray[np.float64], labelled: NDArray[np.float64], *, priors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the covariance that the sampling error of the matrix adds to the answers' shares."""
    found = np.zeros_like(matrix)
    for place, prior in enumerate(priors):
        column = matrix[:, place]
        multinomial = (np.diag(column) - np.outer(column, column)) / labelled[place]
        found += prior**2 * multinomial
    return found


def _on_the_simplex(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest shares: none below 0, together 1 (Duchi et al. 2008, figure 1)."""
    ordered = np.sort(values)[::-1]
    above = (np.cumsum(ordered) - 1) / np.arange(1, len(values) + 1)
    last = int(np.flatnonzero(ordered > above)[-1])
    found: NDArray[np.float64] = np.maximum(values - above[last], 0.0)
    return found

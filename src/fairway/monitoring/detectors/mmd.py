"""Whether two sets of rows have one distribution: the permutation test of the maximum mean
discrepancy (Gretton, Borgwardt, Rasch, Schoelkopf and Smola 2012, A kernel two-sample test).

All permutations are one matrix product: column b of `labels` says which rows the b-th permutation
takes for the window, and the sums of the kernel within that window are the diagonal of
`labels' kernel labels`. The kernel matrix is symmetric, so its part above the diagonal is made in
bands of rows, each used and forgotten: 6,000 rows take some megabytes instead of 288.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairway import errors

Rows = NDArray[np.float64]
BAND = 128  # rows of the kernel matrix at a time: with 6,000 columns 6 MB, about a cache
SAMPLED = 10_000  # distances that say about where the median is, to .005 of all: one standard
AROUND = 0.025  # deviation of the sample's median, of which so much on either side are five
TINY = 1e-300  # squared distance, where more than half of the rows are one
FURTHEST = 1e100  # the squares of larger numbers are infinite
LEAST_ROWS = 2  # of each side: within fewer there is no pair


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """How far two sets of rows are from each other, and whether that is chance's."""

    squared: float  # the unbiased estimate: about 0 without a shift, below it as often as above
    p_value: float  # (1 + k) / (1 + permutations): never 0
    width: float  # of the Gaussian kernel


def compare(
    reference: Rows,
    window: Rows,
    *,
    permutations: int = 100,
    seed: int = 0,
    width: float | None = None,
) -> Discrepancy:
    """Return the squared maximum mean discrepancy of two sets of rows [rows, numbers] under a
    Gaussian kernel, exp(-|x - y|^2 / (2 width^2)), and its p-value by permutation.

    The width is by default the median heuristic's (section 8 there): the median distance of two
    rows of the reference, divided by the square root of 2. The estimate is the unbiased one
    (lemma 6); the same seed gives the same p-value. Of permutations of which k are at least as
    far, p = (1 + k) / (1 + permutations) is valid for any number of them (Phipson and Smyth 2010).

    Raises DataError for rows that cannot be compared: of other widths, too few, missing or enormous.

    >>> rng = np.random.default_rng(0)
    >>> before, after = rng.normal(size=(300, 5)), rng.normal(size=(100, 5))
    >>> compare(before, after).p_value > 0.05 > compare(before, after + 0.5).p_value
    True
    """
    _check(reference, window)
    rows = np.concatenate([reference, window]).astype(np.float64)
    rows -= rows[: len(reference)].mean(axis=0)  # near 0 less is lost to rounding
    width = _median_width(rows[: len(reference)]) if width is None else width
    labels = _labels(len(reference), len(window), permutations=permutations, seed=seed)
    within, reaching, total = _sums(rows, labels, width=width)
    squared = _unbiased(within, reaching, total, before=len(reference), after=len(window))
    further = int((squared[1:] >= squared[0]).sum())
    return Discrepancy(
        squared=float(squared[0]), p_value=(1 + further) / (1 + permutations), width=width
    )


def _check(reference: Rows, window: Rows) -> None:
    for name, rows in (("reference", reference), ("window", window)):
        if rows.ndim != 2 or len(rows) < LEAST_ROWS:
            raise errors.DataError(
                f"the {name} has the shape {rows.shape}: wanted [rows, numbers], {LEAST_ROWS} rows at least"
            )
        beyond = ~(np.abs(rows) < FURTHEST).all(axis=1)  # NaN is beyond as well
        if beyond.any():
            raise errors.DataError(
                f"row {int(np.argmax(beyond))} of the {name} has a number that is missing or beyond "
                f"{FURTHEST:g}: fill missing values and cut enormous ones first"
            )
    if reference.shape[1] != window.shape[1]:
        raise errors.DataError(
            f"the reference has {reference.shape[1]} numbers a row, the window {window.shape[1]}: "
            "wanted the same"
        )


def _labels(before: int, after: int, *, permutations: int, seed: int) -> Rows:
    """Return 1 where a row is taken for the window's [rows, 1 + permutations + 1]: as it is, by
    each permutation, and last every row."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((1 + permutations + 1, before + after))
    labels[0, before:] = labels[-1] = 1.0
    for permuted in labels[1:-1]:
        permuted[generator.choice(before + after, after, replace=False, shuffle=False)] = 1.0
    return labels.T


def _sums(rows: Rows, labels: Rows, *, width: float) -> tuple[Rows, Rows, float]:
    """Return sums of the kernel over different rows: of pairs within each window, of pairs that
    begin in it, and of all pairs."""
    within = np.zeros(labels.shape[1])
    of_row = np.zeros(len(rows))
    for first, last, kernel in _bands(rows, scale=-0.5 / width**2, below=-math.inf):
        np.exp(kernel, out=kernel)
        sums = kernel @ labels[first:]
        within += np.einsum("ij,ij->j", labels[first:last], sums)
        of_row[first:last] += sums[:, -1]
        of_row[first:] += kernel.sum(axis=0)
    return 2 * within[:-1], (of_row @ labels)[:-1], float(of_row.sum())


def _unbiased(within: Rows, reaching: Rows, total: float, *, before: int, after: int) -> Rows:
    across = reaching - within
    left = total - reaching - across
    squared: Rows = (
        left / (before * (before - 1))
        + within / (after * (after - 1))
        - 2 * across / (before * after)
    )
    return squared


def _bands(rows: Rows, *, scale: float, below: float) -> Iterator[tuple[int, int, Rows]]:
    """Return `scale` times the squared distances, band by band: rows from first to last against
    those from first on; on the diagonal and below it `below`, so that each pair is there once. A
    band is good until the next."""
    squares = (rows**2).sum(axis=1, keepdims=True)
    ones = np.ones_like(squares)
    left = scale * np.concatenate([-2 * rows, squares, ones], axis=1)
    right = np.concatenate([rows, ones, squares], axis=1)
    lower = np.tril(np.ones((BAND, BAND), dtype=bool))
    held = np.empty(BAND * len(rows))
    for first in range(0, len(rows), BAND):
        last = min(first + BAND, len(rows))
        height, across = last - first, len(rows) - first
        band = held[: height * across].reshape(height, across)
        np.matmul(left[first:last], right[first:].T, out=band)
        band[:, :height][lower[:height, :height]] = below
        yield first, last, band


def _median_width(rows: Rows) -> float:
    """Return the median heuristic's width, exactly: the lower median of the squared distances is
    looked for between two quantiles of a sample's (Floyd and Rivest 1975)."""
    pairs = len(rows) * (len(rows) - 1) // 2
    rank = (pairs - 1) // 2
    one, other = np.random.default_rng(0).integers(len(rows), size=(2, SAMPLED))
    some = ((rows[one] - rows[other]) ** 2).sum(axis=1)
    ends = [int(SAMPLED * share) for share in (0.5 - AROUND, 0.5 + AROUND)]
    low, high = np.partition(some, ends)[ends].tolist()
    median = _ranked(rows, rank, low=low, high=high)
    if median is None:
        median = _ranked(rows, rank, low=-math.inf, high=math.inf)
    return math.sqrt(max(median or 0.0, TINY) / 2)


def _ranked(rows: Rows, rank: int, *, low: float, high: float) -> float | None:
    """Return the squared distance of this rank, None where it is not between the two."""
    under, between = 0, []
    for _, _, band in _bands(rows, scale=1.0, below=math.inf):
        is_under = band < low
        under += int(np.count_nonzero(is_under))
        between.append(band[is_under ^ (band <= high)])
    found = np.concatenate(between)
    place = rank - under
    if not 0 <= place < len(found):
        return None
    return float(np.partition(found, place)[place])

"""The permutation test of the maximum mean discrepancy, against sums written out."""

import warnings
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from fairway import errors
from fairway.monitoring.detectors import mmd
from fairway.monitoring.detectors.alibi import library

Rows = mmd.Rows


def kernel(rows: Rows, width: float) -> Rows:
    squares = ((rows[:, None, :] - rows[None, :, :]) ** 2).sum(axis=2)
    found: Rows = np.exp(-squares / (2 * width**2))
    return found


def written_out(reference: Rows, window: Rows, width: float) -> float:
    """Return the unbiased estimate of Gretton et al. 2012, equation 3, term by term."""
    n, m = len(reference), len(window)
    matrix = kernel(np.concatenate([reference, window]), width)
    before, after, across = matrix[:n, :n], matrix[n:, n:], matrix[:n, n:]
    return float(
        (before.sum() - np.trace(before)) / (n * (n - 1))
        + (after.sum() - np.trace(after)) / (m * (m - 1))
        - 2 * across.mean()
    )


@pytest.mark.parametrize(("before", "after"), [(2, 2), (60, 31), (95, 1), (150, 98), (300, 100)])
def test_the_estimate_is_the_unbiased_one(before: int, after: int) -> None:
    rng = np.random.default_rng(before)
    reference, window = rng.normal(3, 2, (before, 4)), rng.normal(3.5, 2, (max(after, 2), 4))
    found = mmd.compare(reference, window, permutations=5, width=2.5)
    assert found.squared == pytest.approx(written_out(reference, window, 2.5), abs=1e-12)
    assert found.width == 2.5


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda rng: rng.normal(size=(301, 3)), id="many distances"),
        pytest.param(lambda rng: rng.integers(0, 2, (120, 2)) * 1.0, id="few distances"),
        pytest.param(lambda rng: rng.normal(size=(3, 3)), id="three rows"),
    ],
)
def test_the_width_is_the_median_distance_of_two_rows(made: Callable[[Any], Rows]) -> None:
    rows = made(np.random.default_rng(4))
    squares = sorted(float(((a - b) ** 2).sum()) for a, b in combinations(rows, 2))
    median = squares[(len(squares) - 1) // 2]
    assert mmd.compare(rows, rows).width == pytest.approx(np.sqrt(max(median, 1e-308) / 2))


def test_a_median_that_the_sample_misses_is_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.random.default_rng(5).normal(size=(200, 3))
    width = mmd.compare(rows, rows).width
    monkeypatch.setattr(mmd, "AROUND", 0.0)
    monkeypatch.setattr(mmd, "SAMPLED", 3)
    assert mmd.compare(rows, rows).width == width


def test_permutations_are_of_the_rows_and_the_least_p_value_is_never_nothing() -> None:
    rng = np.random.default_rng(6)
    reference, window = rng.normal(size=(40, 3)), rng.normal(0.2, 1, size=(20, 3))
    found = mmd.compare(reference, window, permutations=50, seed=9)
    rows = np.concatenate([reference, window])
    labels = mmd._labels(40, 20, permutations=50, seed=9)[:, :-1]
    assert (labels.sum(axis=0) == 20).all()
    squared = [written_out(rows[one == 0], rows[one == 1], found.width) for one in labels.T]
    further = sum(value >= squared[0] - 1e-12 for value in squared[1:])
    assert found.p_value == (1 + further) / 51
    assert mmd.compare(reference, window + 9, permutations=50).p_value == 1 / 51


def test_without_a_shift_p_values_are_no_smaller_than_they_say() -> None:
    rng = np.random.default_rng(7)
    found = np.array(
        [
            mmd.compare(rng.normal(size=(60, 2)), rng.normal(size=(30, 2)), permutations=39).p_value
            for _ in range(400)
        ]
    )
    for level in (0.05, 0.2, 0.5):
        assert (found <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 400)
    assert found.mean() == pytest.approx(0.5, abs=0.06)


def test_what_means_and_scatters_do_not_show_is_found() -> None:
    rng = np.random.default_rng(8)
    first = rng.normal(size=(600, 1))
    reference = np.concatenate([first, rng.normal(size=(600, 1))], axis=1)
    one = rng.normal(size=(200, 1))
    together = np.concatenate([one, 0.8 * one + 0.6 * rng.normal(size=(200, 1))], axis=1)
    assert mmd.compare(reference, together).p_value == 1 / 101


def test_the_same_seed_gives_the_same_p_value() -> None:
    rng = np.random.default_rng(9)
    reference, window = rng.normal(size=(80, 2)), rng.normal(size=(40, 2))
    one, other = (mmd.compare(reference, window, seed=3) for _ in range(2))
    assert one == other
    assert len({mmd.compare(reference, window, seed=seed).p_value for seed in range(5)}) > 1


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_discrepancy_is_alibis(shift: float) -> None:
    rng = np.random.default_rng(11)  # p is far from .05: near it permutations decide
    reference, window = rng.normal(size=(400, 5)), rng.normal(shift, 1, size=(150, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = library.load().MMDDrift(reference, backend="pytorch", device="cpu")
        theirs = theirs.predict(window)["data"]
    ours = mmd.compare(reference, window)
    assert ours.squared == pytest.approx(theirs["distance"], abs=1e-6)
    assert (ours.p_value <= 0.05) == bool(theirs["is_drift"])


@pytest.mark.parametrize(
    ("reference", "window", "sentence"),
    [
        (
            np.zeros((5, 2)),
            np.zeros((1, 2)),
            r"the window has the shape \(1, 2\): wanted \[rows, n",
        ),
        (np.zeros(5), np.zeros((3, 1)), r"the reference has the shape \(5,\)"),
        (np.zeros((5, 2)), np.zeros((4, 3)), "the reference has 2 numbers a row, the window 3"),
        (np.zeros((5, 1)), np.array([[0.0], [np.nan]]), "row 1 of the window has a number that is"),
        (
            np.full((3, 1), 1.8e308),
            np.zeros((2, 1)),
            "row 0 of the reference has .* beyond 1e\\+100",
        ),
    ],
)
def test_rows_that_cannot_be_compared_get_a_sentence(
    reference: Rows, window: Rows, sentence: str
) -> None:
    with pytest.raises(errors.DataError, match=sentence):
        mmd.compare(reference, window)

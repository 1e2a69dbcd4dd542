import numpy as np
import pytest
from scipy import stats

from fairway.evaluation import bounds


@pytest.mark.parametrize(("count", "total"), [(0, 100), (3, 100), (50, 600), (99, 100), (100, 100)])
def test_the_bound_is_clopper_and_pearson_s(count, total):
    wanted = (
        stats.binomtest(count, total, alternative="less").proportion_ci(0.99, method="exact").high
    )
    assert bounds.upper_bound(count, total, confidence=0.99) == pytest.approx(wanted, abs=1e-6)


def test_losses_of_0_and_1_have_the_exact_bound():
    losses = np.array([0.0] * 97 + [1.0] * 3)
    assert bounds.of_losses(losses, confidence=0.99) == bounds.upper_bound(3, 100, confidence=0.99)


def test_the_bound_of_other_losses_is_missed_no_more_often_than_stated():
    rng = np.random.default_rng(0)
    samples = rng.beta(0.5, 2, (2000, 50))
    missed = [bounds.of_losses(losses, confidence=0.9) < 0.2 for losses in samples]
    assert np.mean(missed) <= 0.1
    assert all(losses.mean() < bounds.of_losses(losses, confidence=0.9) <= 1 for losses in samples)


def test_the_bound_of_a_sum_lies_between_the_exact_and_the_plain_one():
    exact, known = (
        bounds.upper_bound(20, 200, confidence=0.99),
        bounds.of_mean(20, 200, confidence=0.99),
    )
    plain = 0.1 + np.sqrt(-np.log(0.01) / 400)
    assert exact < known < plain
    assert [bounds.of_mean(lost, 200, confidence=0.99) for lost in (0, 200)] == pytest.approx(
        [1 - 0.01 ** (1 / 200), 1.0]
    )

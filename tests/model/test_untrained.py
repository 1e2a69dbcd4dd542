"""Untrained features of pictures: the same everywhere, in bounded memory, whatever the pictures are."""

import tracemalloc

import numpy as np
import pytest

from fairway.model.kinds import untrained


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def test_features_are_the_same_on_each_machine_and_for_each_number_of_pictures() -> None:
    ramp = np.arange(16.0).reshape(1, 1, 4, 4)
    found = untrained.features(ramp)[0]
    pinned = [4.0707912, 0.0, 5.9267024, 6.0903096]
    assert found[:4].tolist() == pytest.approx(pinned, rel=1e-6)
    many = pictures(300, 1, 28, 28)
    alone = np.concatenate([untrained.features(many[i : i + 1]) for i in range(300)])
    assert np.allclose(untrained.features(many), alone, rtol=1e-6)


def test_shares_add_to_1_and_do_not_hang_on_contrast() -> None:
    one, half = (untrained.features(factor * pictures(9, 3, 20, 20)) for factor in (1.0, 0.5))
    shares = one[:, untrained.FILTERS :]
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.allclose(shares, half[:, untrained.FILTERS :])


@pytest.mark.parametrize(
    "shape",
    [(8, 8), (1, 1, 9), (2, 5, 8, 8), (12, 8, 8), (300, 1, 1), (7,), (1, 2, 1)],
    ids=str,
)
def test_any_shape_of_more_than_one_value_has_features(shape: tuple[int, ...]) -> None:
    found = untrained.features(pictures(5, *shape))
    assert found.shape == (5, 2 * untrained.FILTERS)
    assert np.isfinite(found).all()


def test_one_pixel_has_no_features_and_a_flat_picture_has_zeros() -> None:
    assert untrained.features(pictures(5, 1, 1, 1)).shape == (5, 0)
    assert not untrained.features(np.full((3, 1, 8, 8), 0.3)).any()


def test_a_picture_with_a_missing_pixel_says_nothing_and_an_enormous_one_is_finite() -> None:
    odd = pictures(3, 3, 200, 200)
    odd[0, 1, 77, 78] = np.nan
    odd[1] *= 1e100
    found = untrained.features(odd)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:]).all()


def test_large_pictures_are_read_in_strides_and_bounded_memory() -> None:
    large = np.zeros((4, 3, 1024, 1024))
    tracemalloc.start()
    untrained.features(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * large.nbytes

"""Untrained features of pictures: how strongly random filters answer.

Pictures that are turned, mirrored, blurred or noisy may have the same mean in every block of pixels,
and other edges. Features that nothing was taught are a sound baseline for shifts of pictures
(Rabanser, Günnemann and Lipton 2019, "Failing Loudly", section 3). This is one layer of them: filters
that sum to 0 and have length 1, rectified and averaged over the picture. The filters are the same on
each machine.
"""

import random
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = NDArray[np.float64]
FILTERS = 16
SIDE = 3  # pixels of a filter; fewer where a picture has fewer
# Numbers of one picture that filters read, all those of 28 by 28: larger pictures are read in strides,
# in their own detail, which the mean of blocks has lost.
MOST_READ = 1 << 13
AT_ONCE = 1 << 20  # of all pictures, that are held at a time: 8 MiB
FLAT = 1e-9  # of the largest value: a smaller answer is what rounding leaves
NORMAL = NormalDist()


def features(pictures: Array) -> Rows:
    """Return for each picture [n, ..., height, width] the mean answer of each filter, which tells how
    sharp it is, and its share of all answers, which tells of what shape whatever the contrast.

    They are 0 where a picture is flat, and NaN where it has a missing value. One pixel has none.
    """
    channels, height, width = _stacked(pictures.shape[1:])
    stacked = pictures.reshape(len(pictures), channels, height, width)
    shape = (channels, min(SIDE, height), min(SIDE, width))
    filters = _filters(shape)
    windows = sliding_window_view(stacked, (1, *shape))[:, 0, :, :, 0]
    stride = _stride(windows.shape[1], windows.shape[2], read=filters.shape[1])
    windows = windows[:, ::stride, ::stride]
    largest = np.abs(stacked).max(axis=(1, 2, 3))
    answers = np.empty((len(pictures), len(filters)))
    step = max(AT_ONCE // int(np.prod(windows.shape[1:])), 1)
    for first in range(0, len(pictures), step):
        chosen = slice(first, first + step)
        answers[chosen] = _answers(windows[chosen], filters, largest=largest[chosen])
    total = answers.sum(axis=1, keepdims=True)
    shares = answers / np.where(total == 0, 1.0, total)
    return _rounded(np.hstack([answers, shares]))


def _stacked(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the shape of a picture as channels, height and width."""
    *channels, height, width = (1, *shape) if len(shape) < 2 else shape
    return int(np.prod(channels)), height, width


def _stride(height: int, width: int, *, read: int) -> int:
    """Return the distance of two places that a filter reads, so that it reads `MOST_READ` numbers of
    a picture at most, or one place."""
    stride = 1
    while -(-height // stride) * -(-width // stride) > max(MOST_READ // read, 1):
        stride += 1
    return stride


def _filters(shape: tuple[int, int, int]) -> Rows:
    """Return the filters, a row each; none where no filter sums to 0."""
    size = int(np.prod(shape))
    if size < 2:
        return np.empty((0, size))
    drawn = random.Random(0)  # noqa: S311 - the same in each version of Python, unlike numpy's
    normal = [NORMAL.inv_cdf(1 - drawn.random()) for _ in range(FILTERS * size)]
    filters = np.array(normal).reshape(FILTERS, size)
    filters -= filters.mean(axis=1, keepdims=True)
    lengths: Rows = np.linalg.norm(filters, axis=1, keepdims=True)
    return filters / lengths


def _answers(windows: Array, filters: Rows, *, largest: Rows) -> Rows:
    """Return the mean answer of each filter over the places of a picture."""
    found = windows.reshape(len(windows), -1, filters.shape[1]) @ filters.T
    found[found < FLAT * largest[:, None, None]] = 0.0
    means: Rows = found.mean(axis=1)
    means[np.isnan(largest)] = np.nan
    return means


def _rounded(values: Rows) -> Rows:
    """Return seven digits: the last bits hang on how many pictures were read at a time."""
    mantissa, exponent = np.frexp(values)
    found: Rows = np.ldexp(np.round(mantissa, 7), exponent)
    return found

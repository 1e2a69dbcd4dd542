"""How surprising the distance of two samples' means is: blocks of rows change places.

Rows that followed each other are often alike. Swapped one by one they would make every difference
surprising; so runs of rows stay together, and the blocks of both samples are dealt out anew (block
permutation; see Lahiri 2003, Resampling Methods for Dependent Data, chapter 2, for the blocks).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairway.monitoring.drift.measures import Blocks, Rows

PERMUTATIONS = 1_999  # so that the smallest p-value, 1 in 2,000, survives three families of tests
AT_ONCE = 256  # parts whose permutations are in memory at a time
MOST_BY_ONE = 3.0  # standard deviations that one block can bring about: nothing rests on one alone


@dataclass(frozen=True, kw_only=True)
class Permuted:
    """The difference of the means of each part, and what chance makes of it."""

    moved: Rows  # after less before [parts]
    scale: Rows  # the standard deviation of that under permutation, or more where one block rules
    size: Rows  # of what moved, in units of scale [parts]
    deals: NDArray[np.bool_]  # which blocks were taken for the later sample's [1 + times, blocks]
    rising: NDArray[np.bool_]  # parts of which only more is a surprise [parts]
    _sums: Rows
    _counts: Rows

    def greatest(self, first: int, last: int) -> Rows:
        """Return the largest size among these parts in each permutation [1 + times], the first as
        it is: what the largest of so many is by chance, however they hang together (Westfall and
        Young 1993, section 2.5)."""
        found = np.zeros(len(self.deals))
        for begin in range(first, last, AT_ONCE):
            chosen = slice(begin, min(begin + AT_ONCE, last))
            moved = _moved(self.deals, self._sums[:, chosen], self._counts[:, chosen])
            size = _size(moved, rising=self.rising[chosen]) / self.scale[chosen]
            np.maximum(found, size.max(axis=1), out=found)
        return found

    def distance(self, first: int, last: int) -> Rows:
        """Return the squared distance of the means of these parts in each permutation, the first as
        it is."""
        chosen = slice(first, last)
        moved = _moved(self.deals, self._sums[:, chosen], self._counts[:, chosen])
        found: Rows = np.einsum("ij,ij->i", moved, moved)
        return found


def p_value(observed: float, by_chance: Rows) -> float:
    """Return (1 + k) / (1 + permutations), where k are at least as far: never 0, and valid for any
    number of permutations (Phipson and Smyth 2010)."""
    near = observed - 1e-9 * abs(observed)  # the same blocks added up in another order are no less
    return float(1 + (by_chance[1:] >= near).sum()) / len(by_chance)


def permuted(
    before: Blocks,
    after: Blocks,
    *,
    rising: NDArray[np.bool_],
    times: int = PERMUTATIONS,
    seed: int = 0,
) -> Permuted:
    """Deal the blocks of both samples out anew, `times` times; the same seed deals the same.
    `rising` says of which parts [parts] only more is a surprise."""
    counts = np.concatenate([before.counts, after.counts])
    sums = np.concatenate([before.sums, after.sums])
    centre = sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    sums = sums - centre * counts  # near 0 less is lost to rounding
    deals = _deals(len(before.sums), len(after.sums), times=times, seed=seed)
    scale = np.empty(sums.shape[1])
    for first in range(0, len(scale), AT_ONCE):
        chosen = slice(first, first + AT_ONCE)
        scale[chosen] = _scale(deals, sums[:, chosen], counts[:, chosen])
    moved = _moved(deals[:1], sums, counts)[0]
    return Permuted(
        moved=moved,
        scale=scale,
        size=_size(moved, rising=rising) / scale,
        rising=rising,
        deals=deals,
        _sums=sums,
        _counts=counts,
    )


def _deals(before: int, after: int, *, times: int, seed: int) -> NDArray[np.bool_]:
    generator = np.random.default_rng(seed)
    deals = np.zeros((1 + times, before + after), dtype=bool)
    deals[0, before:] = True
    for dealt in deals[1:]:
        dealt[generator.choice(before + after, after, replace=False, shuffle=False)] = True
    return deals


def _moved(deals: NDArray[np.bool_], sums: Rows, counts: Rows) -> Rows:
    """Return the difference of the two means in each deal [deals, parts]; 0 where a side has none."""
    taken = deals.astype(np.float64)
    total, known = sums.sum(axis=0), counts.sum(axis=0)
    inside, count = taken @ sums, taken @ counts
    outside, rest = total - inside, known - count
    apart = inside / np.maximum(count, 1) - outside / np.maximum(rest, 1)
    found: Rows = np.where((count > 0) & (rest > 0), apart, 0.0)
    return found


def _size(moved: Rows, *, rising: NDArray[np.bool_]) -> Rows:
    found: Rows = np.where(rising, np.maximum(moved, 0.0), np.abs(moved))
    return found


def _scale(deals: NDArray[np.bool_], sums: Rows, counts: Rows) -> Rows:
    """Return the standard deviation of each part's difference by chance. A rare value that fills one
    block would be far out wherever the block goes: it counts as far as it says something."""
    spread = _moved(deals, sums, counts).std(axis=0)
    share = deals[0].mean()
    known = counts.sum(axis=0)
    jump = np.abs(sums).max(axis=0) * (
        1 / np.maximum(known * share, 1) + 1 / np.maximum(known * (1 - share), 1)
    )
    scale: Rows = np.hypot(spread, jump / MOST_BY_ONE)
    return np.where(scale > 0, scale, np.inf)

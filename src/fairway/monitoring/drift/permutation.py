"""How surprising the distance of two samples' means is: blocks of rows change places.

Rows that followed each other are often alike. Swapped one by one they would make every difference
surprising; so runs of rows stay together, and the blocks of both samples are dealt out anew (block
permutation; see Lahiri 2003, Resampling Methods for Dependent Data, chapter 2, for the blocks). Each
difference is divided by the scatter within the two sides as they are dealt (Janssen 1997; Chung and
Romano 2013): what moved makes no noise of its own, and a rare value in one block proves nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairway.monitoring.drift.measures import Blocks, Rows

PERMUTATIONS = 1_999  # so that the smallest p-value, 1 in 2,000, survives three families of tests
AT_ONCE = 256  # parts whose permutations are in memory at a time
LEAST_SCATTER = 0.01  # of the variance of both together: what is constant on both sides has none


@dataclass(frozen=True, kw_only=True)
class Permuted:
    """Two samples whose blocks are dealt out anew, the first deal as they are."""

    deals: Rows  # 1 where a block is taken for the later sample's [1 + times, blocks]
    rising: NDArray[np.bool_]  # parts of which only more is a surprise [parts]
    sums: Rows  # of each block, less the mean of all rows [blocks, parts]
    counts: Rows  # rows of each block that said something [blocks, parts]

    def sizes(self) -> Rows:
        """Return how far each part moved, in standard errors [parts]."""
        found: Rows = self._sizes(slice(None), self.deals[:1])[0]
        return found

    def greatest(self, first: int, last: int) -> Rows:
        """Return the largest size among these parts in each deal [1 + times]: what the largest of so
        many is by chance, however they hang together (Westfall and Young 1993, section 2.5)."""
        found = np.zeros(len(self.deals))
        for begin in range(first, last, AT_ONCE):
            sizes = self._sizes(slice(begin, min(begin + AT_ONCE, last)), self.deals)
            np.maximum(found, sizes.max(axis=1), out=found)
        return found

    def distance(self, first: int, last: int) -> Rows:
        """Return the squared distance of the means of these parts in each deal [1 + times]."""
        chosen = slice(first, last)
        one, other = _sides(self.deals, self.sums[:, chosen], self.counts[:, chosen])
        moved = _apart(one, other)
        found: Rows = np.einsum("ij,ij->i", moved, moved)
        return found

    def _sizes(self, chosen: slice, deals: Rows) -> Rows:
        sums, counts = self.sums[:, chosen], self.counts[:, chosen]
        one, other = _sides(deals, sums, counts)
        scatter = one.variance() + other.variance() + LEAST_SCATTER * _together(deals, sums, counts)
        sizes = _apart(one, other) / np.sqrt(np.where(scatter > 0, scatter, np.inf))
        found: Rows = np.where(self.rising[chosen], np.maximum(sizes, 0.0), np.abs(sizes))
        return found


@dataclass(frozen=True)
class _Dealt:
    """One side of each deal: sums over its blocks [deals, parts]."""

    blocks: int
    sums: Rows
    counts: Rows
    squares: Rows  # of the sums
    crossed: Rows  # sums times counts
    weights: Rows  # counts times counts

    def means(self) -> Rows:
        found: Rows = self.sums / np.maximum(self.counts, 1)
        return found

    def variance(self) -> Rows:
        """Return that of the mean, by the scatter between blocks (Cochran 1977, section 6.3)."""
        mean = self.means()
        left = np.maximum(self.squares - 2 * mean * self.crossed + mean**2 * self.weights, 0.0)
        found: Rows = left / np.maximum(self.counts, 1) ** 2 * self.blocks / max(self.blocks - 1, 1)
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
    return Permuted(deals=deals, rising=rising, sums=sums, counts=counts)


def _deals(before: int, after: int, *, times: int, seed: int) -> Rows:
    generator = np.random.default_rng(seed)
    deals = np.zeros((1 + times, before + after))
    deals[0, before:] = 1.0
    for dealt in deals[1:]:
        dealt[generator.choice(before + after, after, replace=False, shuffle=False)] = 1.0
    return deals


def _sides(deals: Rows, sums: Rows, counts: Rows) -> tuple[_Dealt, _Dealt]:
    """Return what each deal leaves to the first sample, and takes for the second."""
    taken = int(deals[0].sum())
    size = counts.flat[0] if counts.size else 0.0
    if (counts == size).all():  # every row says something, as is usual: counts need no product
        found = deals @ sums
        every = np.full_like(found, taken * size)
        inside = (found, every, deals @ sums**2, size * found, size * every)
    else:
        inside = (
            deals @ sums,
            deals @ counts,
            deals @ sums**2,
            deals @ (sums * counts),
            deals @ counts**2,
        )
    totals = [values.sum(axis=0) for values in (sums, counts, sums**2, sums * counts, counts**2)]
    outside = [total - side for total, side in zip(totals, inside, strict=True)]
    return _Dealt(len(sums) - taken, *outside), _Dealt(taken, *inside)


def _apart(one: _Dealt, other: _Dealt) -> Rows:
    """Return the difference of the means in each deal; 0 where a side says nothing."""
    known = (one.counts > 0.5) & (other.counts > 0.5)
    found: Rows = np.where(known, other.means() - one.means(), 0.0)
    return found


def _together(deals: Rows, sums: Rows, counts: Rows) -> Rows:
    """Return the variance of the difference where both sides scatter as all blocks do [parts]."""
    size = np.maximum(counts.mean(axis=0), 1e-9)
    share = float(deals[0].mean())
    found: Rows = (sums**2).mean(axis=0) / size**2 / (len(sums) * share * (1 - share))
    return found

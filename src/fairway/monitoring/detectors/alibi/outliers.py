"""Outliers: whether more rows of a window are like none of the reference than chance brings.

An outlier detector scores single rows; one outlier says little, for a reference has them as well. A third
of the reference's rows is what is learnt, a third says from which score on a row is an outlier (the furthest
twentieth), and the last third is held against the window: the two shares by Fisher's exact test, that the
window has more. That is exact, since these rows and the window's were all unseen, and finds what the
tests of averages do not: a few rows that are far off, such as one client with other units.

A window with *fewer* outliers is no drift here, and rows that moved to where others are already are none.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from scipy import stats
from scipy.spatial import distance

from fairway.model.schema import Schema
from fairway.monitoring.detectors import together
from fairway.monitoring.detectors.alibi import library
from fairway.monitoring.detectors.base import Array

SHARE = 0.05  # of the reference, which are outliers: rarer ones need more rows to be compared
NEIGHBOURS = 10
JITTER = 1e-3  # standard deviations


class OutlierDetector(together.TogetherDetector):
    """What all of them share: the share of outliers, and its test."""

    most_rows: ClassVar[int] = 1_500
    name: ClassVar[str] = "outliers"

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        super().__init__(p_value=p_value, schema=schema)
        library.load()

    def test(self, reference: together.Rows, window: together.Rows) -> tuple[float, float]:
        # rows that are equal have no distance to divide by
        noise = np.random.default_rng(library.SEED)
        one, other = (
            (side + noise.normal(0, JITTER, side.shape)).astype(np.float32)
            for side in (reference, window)
        )
        with library.steady():
            detector = self.fitted(one[::3])
            limit, usual, now = (
                np.asarray(detector.score(rows)) for rows in (one[1::3], one[2::3], other)
            )
        far = np.quantile(limit, 1 - SHARE)
        return _more(int((usual > far).sum()), len(usual), int((now > far).sum()), len(now))

    @abstractmethod
    def fitted(self, rows: Array) -> Any:
        """Return the library's detector that knows these rows."""


class IsolationForest(OutlierDetector):
    """How few random cuts set a row apart (Liu, Ting and Zhou 2008): many columns, no scale."""

    def fitted(self, rows: Array) -> Any:
        from alibi_detect import od

        return _fit(od.IForest(threshold=0.0), rows)


class Mahalanobis(OutlierDetector):
    """The distance from the mean by the covariance (Mahalanobis 1936): one cloud, all directions."""

    def fitted(self, rows: Array) -> Any:
        from alibi_detect.od import _mahalanobis

        return _fit(_mahalanobis.Mahalanobis(device="cpu"), rows)


class GaussianMixture(OutlierDetector):
    """How unlikely a row is in a mixture of four bell-shaped clouds (Dempster, Laird and Rubin 1977)."""

    def fitted(self, rows: Array) -> Any:
        from alibi_detect.od import _gmm

        return _fit(_gmm.GMM(n_components=4, backend="sklearn"), rows)


class Neighbours(OutlierDetector):
    """The distance to the tenth nearest row (Ramaswamy, Rastogi and Shim 2000): clouds of any shape."""

    def fitted(self, rows: Array) -> Any:
        from alibi_detect.od import _knn

        return _fit(_knn.KNN(k=_neighbours(rows), device="cpu"), rows)


class LocalOutlierFactor(OutlierDetector):
    """That distance by that of its neighbours (Breunig et al. 2000): clouds of different density."""

    def fitted(self, rows: Array) -> Any:
        from alibi_detect.od import _lof

        return _fit(_lof.LOF(k=_neighbours(rows), device="cpu"), rows)


class PrincipalComponents(OutlierDetector):
    """What the eighth of the directions that vary most leave unexplained (Shyu et al. 2003): relations
    between columns that no longer hold."""

    def fitted(self, rows: Array) -> Any:
        from alibi_detect.od import _pca

        return _fit(_pca.PCA(n_components=max(rows.shape[1] // 8, 1), device="cpu"), rows)


class SupportVectors(OutlierDetector):
    """The side of the boundary around most rows (Schoelkopf et al. 2001), by a kernel."""

    def fitted(self, rows: Array) -> Any:
        import torch
        from alibi_detect.od import _svm
        from alibi_detect.utils.pytorch.kernels import GaussianRBF

        kernel = GaussianRBF(torch.tensor(float(np.median(distance.pdist(rows)))))
        made = _svm.SVM(nu=SHARE, kernel=kernel, optimization="bgd", device="cpu")
        made.fit(rows)
        return made


def _fit(detector: Any, rows: Array) -> Any:
    detector.fit(rows)
    return detector


def _neighbours(rows: Array) -> int:
    return min(NEIGHBOURS, len(rows) - 1)


def _more(usual: int, of_usual: int, now: int, of_now: int) -> tuple[float, float]:
    """Return the exact p-value that the window has no more outliers, and by how much its share is
    larger."""
    table = [[now, of_now - now], [usual, of_usual - usual]]
    _, p_value = stats.fisher_exact(table, alternative="greater")
    return float(p_value), now / of_now - usual / of_usual

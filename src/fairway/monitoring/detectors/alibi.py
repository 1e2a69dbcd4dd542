"""Alibi Detect: the one place that imports it.

Its Kolmogorov-Smirnov and chi-squared detectors are used feature by feature, as the engine that
watches windows; its others compare two samples (`fairway drift --detector`). They are seeded, on one
thread, shown no missing value and few rows, and their p-values by permutation are (1 + k) / (1 + B): the
library gives k / B, which may be 0. TabularDrift is the engine under another name, ContextMMDDrift fails
with the scikit-learn that is installed here, and the detectors of uncertainty ask a model.

Alibi Detect 0.13 is under the Business Source License 1.1.
"""

import logging
import warnings
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from fairway import errors
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base, together, univariate
from fairway.monitoring.detectors.base import Array

SEED = 0
HELD_OUT = 0.5  # of the rows, on which what was learnt on the others is tested
LEARNING: dict[str, Any] = {"train_size": HELD_OUT, "epochs": 20, "learning_rate": 0.03}
JITTER = 1e-3  # standard deviations
HIDDEN = 32  # of the learned kernel's projection


class AlibiDetector(univariate.UnivariateDetector):
    """Alibi Detect's univariate detectors."""

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        super().__init__(p_value=p_value, schema=schema)
        # now: the import takes some ten seconds, which the first window should not wait for
        _engine()

    def check(self, reference: base.Arrays, window: base.Arrays) -> base.DriftResult:
        np.random.seed(SEED)  # the generator that the library would draw from
        return super().check(reference, window)

    def numbers(self, reference: Array, window: Array) -> tuple[Array, Array]:
        p_values, statistics = _engine().KSDrift(reference, p_val=0.05).score(window)
        return p_values, statistics

    def categories(self, reference: Array, window: Array) -> tuple[Array, Array]:
        p_values, statistics = _engine().ChiSquareDrift(reference, p_val=0.05).score(window)
        return p_values, statistics


class CramerVonMises(AlibiDetector):
    """Cramer-von Mises for numbers: it sees the middle of a distribution better than its edges."""

    def numbers(self, reference: Array, window: Array) -> tuple[Array, Array]:
        one, other = _untied(reference, window)
        p_values, statistics = _engine().CVMDrift(one, p_val=0.05).score(other)
        return p_values, statistics


class Fisher(AlibiDetector):
    """Fisher's exact test for columns of two values, which the chi-squared test only approximates."""

    def categories(self, reference: Array, window: Array) -> tuple[Array, Array]:
        both = [
            self._two(reference[:, place], window[:, place])
            if len(np.unique(np.concatenate([reference[:, place], window[:, place]]))) == 2
            else super(Fisher, self).categories(reference[:, [place]], window[:, [place]])
            for place in range(reference.shape[1])
        ]
        return (
            np.concatenate([p_values for p_values, _ in both]),
            np.concatenate([statistics for _, statistics in both]),
        )

    def _two(self, reference: Array, window: Array) -> tuple[Array, Array]:
        second = max(reference.max(), window.max())
        one, other = (
            (side == second).astype(np.int64).reshape(-1, 1) for side in (reference, window)
        )
        detector = _engine().FETDrift(one, p_val=0.05, alternative="two-sided")
        p_values, statistics = detector.score(other)
        return p_values, np.nan_to_num(statistics, nan=0.0, posinf=0.0)


class AlibiTogether(together.TogetherDetector):
    """One of Alibi Detect's tests of all columns together."""

    # its permutations take time with the square of the rows: 500 of each side take seconds
    most_rows: ClassVar[int] = 500

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        super().__init__(p_value=p_value, schema=schema)
        _engine()

    def test(self, reference: together.Rows, window: together.Rows) -> tuple[float, float]:
        np.random.seed(SEED)  # the generators that the library draws from
        _torch().manual_seed(SEED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector = self.made(reference.astype(np.float32))
            found = detector.predict(window.astype(np.float32))["data"]
        return self.p_value(float(found["p_val"])), float(found["distance"])

    @abstractmethod
    def made(self, reference: Array) -> Any:
        """Return the library's detector for a reference [rows, numbers]."""

    def p_value(self, told: float) -> float:
        """Return what the library's p-value stands for: of k of B permutations (1 + k) / (1 + B)."""
        return (1 + round(told * together.PERMUTATIONS)) / (1 + together.PERMUTATIONS)


class Mmd(AlibiTogether):
    """The maximum mean discrepancy; `mmd` is the same test, and a hundred times as fast."""

    def made(self, reference: Array) -> Any:
        return _engine().MMDDrift(
            reference, backend="pytorch", n_permutations=together.PERMUTATIONS, device="cpu"
        )


class Lsdd(AlibiTogether):
    """The least-squares difference of densities."""

    def test(self, reference: together.Rows, window: together.Rows) -> tuple[float, float]:
        # of rows that are equal, which words are, it finds no kernel's width
        noise = np.random.default_rng(SEED)
        one, other = (side + noise.normal(0, JITTER, side.shape) for side in (reference, window))
        return super().test(one, other)

    def made(self, reference: Array) -> Any:
        return _engine().LSDDDrift(
            reference, backend="pytorch", n_permutations=together.PERMUTATIONS, device="cpu"
        )


class LearnedKernel(AlibiTogether):
    """The maximum mean discrepancy under a kernel that is learnt on half of the rows."""

    def made(self, reference: Array) -> Any:
        from alibi_detect.utils.pytorch import DeepKernel

        nn = _torch().nn
        projection = nn.Sequential(
            nn.Linear(reference.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN // 4)
        )
        return _engine().LearnedKernelDrift(
            reference,
            DeepKernel(projection, eps=0.01),
            backend="pytorch",
            n_permutations=together.PERMUTATIONS,
            device="cpu",
            **LEARNING,
        )


class Classifier(AlibiTogether):
    """Whether a linear classifier tells held-out rows of the two sides apart."""

    def made(self, reference: Array) -> Any:
        from sklearn.linear_model import LogisticRegression

        return _engine().ClassifierDrift(
            reference,
            LogisticRegression(max_iter=1_000),
            backend="sklearn",
            train_size=HELD_OUT,
            seed=SEED,
        )

    def p_value(self, told: float) -> float:
        return told  # of Kolmogorov and Smirnov's test, by no permutation


class SpotTheDiff(AlibiTogether):
    """Whether one learnt row tells held-out rows of the two sides apart."""

    def made(self, reference: Array) -> Any:
        return _engine().SpotTheDiffDrift(
            reference, backend="pytorch", device="cpu", seed=SEED, **LEARNING
        )

    def p_value(self, told: float) -> float:
        return told  # of Kolmogorov and Smirnov's test, by no permutation


def _untied(reference: Array, window: Array) -> tuple[Array, Array]:
    """Return the ranks of each column's values in both together, equal ones in a seeded order: the
    test's p-value is of values that differ, and of 0/1 columns was 0 without a shift."""
    rows = np.concatenate([reference, window])
    order = np.random.default_rng(SEED).random(rows.shape)
    ranks = np.empty(rows.shape)
    for place in range(rows.shape[1]):
        by_value = np.lexsort((order[:, place], rows[:, place]))
        ranks[by_value, place] = np.arange(len(rows))
    return ranks[: len(reference)], ranks[len(reference) :]


def _engine() -> Any:
    """Return `alibi_detect.cd`, imported once, on one thread, without the warnings of the libraries
    below it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torch
            from alibi_detect import cd
        except ImportError as error:
            raise errors.PlatformError(
                f"drift detection needs alibi-detect ({error}): install fairway[drift]"
            ) from error
    # two threads on small matrices are slower, and some of its routines then hang
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    logging.getLogger("alibi_detect").setLevel(logging.ERROR)  # it warns of its own defaults
    return cd


def _torch() -> Any:
    import torch

    return torch


DETECTOR = AlibiDetector

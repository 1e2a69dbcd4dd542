"""Tests of all columns at once: two discrepancies, a learnt kernel, two classifiers."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from fairway.model.schema import Schema
from fairway.monitoring.detectors import together
from fairway.monitoring.detectors.alibi import library
from fairway.monitoring.detectors.base import Array

HELD_OUT = 0.5  # of the rows, on which what was learnt on the others is tested
LEARNING: dict[str, Any] = {"train_size": HELD_OUT, "epochs": 20, "learning_rate": 0.03}
JITTER = 1e-3  # standard deviations
HIDDEN = 32  # of the learned kernel's projection


class AlibiTogether(together.TogetherDetector):
    """One of Alibi Detect's tests of all columns together."""

    # its permutations take time with the square of the rows: 500 of each side take seconds
    most_rows: ClassVar[int] = 500

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        super().__init__(p_value=p_value, schema=schema)
        library.load()

    def test(self, reference: together.Rows, window: together.Rows) -> tuple[float, float]:
        with library.steady():
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
        return library.load().MMDDrift(
            reference, backend="pytorch", n_permutations=together.PERMUTATIONS, device="cpu"
        )


class Lsdd(AlibiTogether):
    """The least-squares difference of densities."""

    def test(self, reference: together.Rows, window: together.Rows) -> tuple[float, float]:
        # of rows that are equal, which words are, it finds no kernel's width
        noise = np.random.default_rng(library.SEED)
        one, other = (side + noise.normal(0, JITTER, side.shape) for side in (reference, window))
        return super().test(one, other)

    def made(self, reference: Array) -> Any:
        return library.load().LSDDDrift(
            reference, backend="pytorch", n_permutations=together.PERMUTATIONS, device="cpu"
        )


class LearnedKernel(AlibiTogether):
    """The maximum mean discrepancy under a kernel that is learnt on half of the rows."""

    def made(self, reference: Array) -> Any:
        from alibi_detect.utils.pytorch import DeepKernel
        from torch import nn

        projection = nn.Sequential(
            nn.Linear(reference.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN // 4)
        )
        return library.load().LearnedKernelDrift(
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

        return library.load().ClassifierDrift(
            reference,
            LogisticRegression(max_iter=1_000),
            backend="sklearn",
            train_size=HELD_OUT,
            seed=library.SEED,
        )

    def p_value(self, told: float) -> float:
        return told  # of Kolmogorov and Smirnov's test, by no permutation


class SpotTheDiff(AlibiTogether):
    """Whether one learnt row tells held-out rows of the two sides apart."""

    def made(self, reference: Array) -> Any:
        return library.load().SpotTheDiffDrift(
            reference, backend="pytorch", device="cpu", seed=library.SEED, **LEARNING
        )

    def p_value(self, told: float) -> float:
        return told  # of Kolmogorov and Smirnov's test, by no permutation

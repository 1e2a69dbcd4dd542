"""Uncertainty: whether the served model is as sure of its answers as it was.

The library asks a model; here the answers are its own, as they were logged: the entropy of a
classification's probabilities, the width of a regression's interval. That needs no second model and no
second prediction, and tests what users got. A model may be surer and wrong: labels tell (Sethi and
Kantardzic 2017 count the answers that are unsure).
"""

import numpy as np

from fairway import errors
from fairway.model import tasks
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base, together
from fairway.monitoring.detectors.alibi import library
from fairway.monitoring.detectors.base import Array

INTERVAL = 3  # numbers of an answer: the value and the ends of its interval


class UncertaintyDetector:
    """Kolmogorov and Smirnov's test of how sure the answers are."""

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        self._p_value, self._schema = p_value, schema
        library.load()

    def check(self, reference: base.Arrays, window: base.Arrays) -> base.DriftResult:
        """Return the verdict over the window; raises DataError where answers do not say how sure they
        are, or are fewer than 20."""
        one, other = (self._answers(side) for side in (reference, window))
        with library.steady():
            p_value, statistic = self._tested(one, other)
        unsure = [tasks.of(self._schema).uncertainty(side, self._schema) for side in (one, other)]
        feature = base.FeatureDrift(
            name="uncertainty",
            kind="number",
            p_value=p_value,
            effect=base.effect_of_numbers(*unsure),
            statistic=statistic,
            drifted=p_value < self._p_value,
        )
        return base.DriftResult(
            drifted=feature.drifted, p_value=p_value, threshold=self._p_value, features=(feature,)
        )

    def _tested(self, reference: Array, window: Array) -> tuple[float, float]:
        engine = library.load()
        if self._schema.task == "regression":
            ends = slice(1, INTERVAL)
            detector = engine.RegressorUncertaintyDrift(
                reference[:, ends], model=np.asarray, uncertainty_type="ensemble"
            )
            found = detector.predict(window[:, ends])["data"]
        else:
            detector = engine.ClassifierUncertaintyDrift(reference, model=np.asarray)
            found = detector.predict(window)["data"]
        return float(found["p_val"][0]), float(found["distance"][0])

    def _answers(self, side: base.Arrays) -> Array:
        """Return the answers without those that are missing; of probabilities each row adds up to 1."""
        if base.ANSWERS not in side:
            raise errors.DataError(
                "one side holds no served answers, as a file does: wanted what a deployment served on both, such as "
                "income@500"
            )
        answers = np.asarray(side[base.ANSWERS], dtype=np.float64)
        told = len(self._schema.classes) if self._schema.task == "classification" else INTERVAL
        if answers.ndim != 2 or answers.shape[1] != told or self._schema.task not in TASKS:
            raise errors.DataError(
                f"answers of the task {self._schema.task} with the shape {answers.shape} do not say how sure they "
                "are: wanted a classification's probabilities or a regression's intervals"
            )
        known: Array = answers[np.isfinite(answers).all(axis=1)]
        if len(known) < together.LEAST_ROWS:
            raise errors.DataError(
                f"{len(known)} of {len(answers)} answers are known: wanted at least {together.LEAST_ROWS}"
            )
        if self._schema.task != "regression":
            known = known / known.sum(axis=1, keepdims=True)
        return known


TASKS = ("classification", "regression")

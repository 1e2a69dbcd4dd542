"""The other side of the hot-path benchmark: the same graph behind an ordinary `@bentoml.api`."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(name="plain", workers=1)
class Plain:
    """Answers the mean reader's way: BentoML parses, validates and serialises."""

    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(os.environ["PLAIN_MODEL"])

    @bentoml.api
    def infer(self, numbers: list[list[float]]) -> list[list[float]]:
        """Return the probabilities of each row."""
        answered = self.session.run(
            None, {self.session.get_inputs()[0].name: np.asarray(numbers, dtype=np.float32)}
        )[0]
        rows: list[list[float]] = np.asarray(answered).tolist()
        return rows

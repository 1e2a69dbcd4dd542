"""What a model's own answers say of how wrong they are."""

import numpy as np
import pytest

from fairway.model import tasks
from fairway.model.schema import Schema

QUANTITY = {"mean": 10.0, "std": 5.0, "spread": 20.0}


@pytest.mark.parametrize(
    ("task", "facts", "raw", "lost", "unsure"),
    [
        ("classification", {}, [[0.5, 0.5], [1.0, 0.0]], [0.5, 0.0], [0.693, 0.0]),
        ("multilabel", {}, [[0.5, 0.5], [1.0, 0.0]], [0.5, 0.0], [1.386, 0.0]),
        # of 90 %: 1.645 deviations to each side, of which the mean error is .798
        ("regression", {**QUANTITY, "coverage": 0.9}, [[8.0, 3.0, 13.0]], [0.121], [0.5]),
        ("regression", {**QUANTITY, "coverage": None}, [[14.0], [50.0]], [0.2, 1.0], [0.2, 2.0]),
        ("ranking", {**QUANTITY, "coverage": None}, [[14.0]], [0.0], [0.0]),
    ],
)
def test_expected_loss_and_uncertainty(
    task: str,
    facts: dict[str, object],
    raw: list[list[float]],
    lost: list[float],
    unsure: list[float],
) -> None:
    schema = Schema(target="y", features=(), classes=("a", "b"), task=task, facts=facts)
    known, answers = tasks.of(schema), np.array(raw)
    assert known.expected_loss(answers, schema) == pytest.approx(lost, abs=1e-3)
    assert known.uncertainty(answers, schema) == pytest.approx(unsure, abs=1e-3)

import numpy as np
import pytest
import torch

from fairway.config import sections
from fairway.model.schema import Schema
from fairway.training import losses

TARGET = np.array([0, 0, 0, 1])


def test_balanced_weights_give_each_class_the_same_total():
    weights = losses.balanced(TARGET, classes=2)
    assert weights.tolist() == pytest.approx([4 / 6, 2.0])
    assert float(weights[TARGET].mean()) == 1.0


def test_a_class_without_rows_keeps_the_weights_finite():
    assert np.isfinite(losses.balanced(TARGET, classes=3)).all()


def test_the_loss_is_unweighted_unless_asked():
    side = losses.of(Schema(target="t", classes=("a", "b"), features=()))
    assert side.loss(sections.Training(), target=torch.from_numpy(TARGET)).weight is None
    assert (
        side.loss(
            sections.Training(class_weights="balanced"), target=torch.from_numpy(TARGET)
        ).weight
        is not None
    )

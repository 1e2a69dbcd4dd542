import numpy as np
import pytest

from fairway.model.metrics import calibration


def test_a_hand_example():
    # 0.9 twice, right once: gap 0.4. 0.6 three times, right twice: gap 1/15. 2/5 * 0.4 + 3/5 * 1/15 = 0.2
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.6, 0.4]])
    truth = np.array([0, 1, 0, 1, 1])
    assert calibration.error(probabilities, truth) == pytest.approx(0.2)
    assert [row["share"] for row in calibration.reliability(probabilities, truth)] == [3 / 5, 2 / 5]


def test_rows_of_one_bin_are_taken_together():
    probabilities = np.array([[0.81, 0.19], [0.85, 0.15]])  # one bin of 15, from 0.8 to 0.867
    assert calibration.error(probabilities, np.array([0, 1])) == pytest.approx(abs(0.83 - 0.5))


def test_a_model_that_is_as_sure_as_it_is_right_has_no_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 200_000)
    truth = (rng.random(200_000) > confidence).astype(np.int64)
    assert calibration.error(np.stack([confidence, 1 - confidence], axis=1), truth) < 0.01


def test_full_confidence_belongs_to_the_last_bin():
    assert calibration.reliability(np.array([[1.0, 0.0]]), np.array([0])) == [
        {"share": 1.0, "confidence": 1.0, "accuracy": 1.0}
    ]

import numpy as np
import pytest
from sklearn import metrics as oracle

from fairway.model.metrics import classes
from fairway.model.tasks import classification

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 200)
PROBABILITIES = RNG.dirichlet([1, 1, 1], 200)
PREDICTED = PROBABILITIES.argmax(axis=1)


def test_the_numbers_are_scikit_learn_s():
    table = classification.confusion(PREDICTED, TRUTH, classes=3)
    precision, recall, f1, support = oracle.precision_recall_fscore_support(TRUTH, PREDICTED)
    assert classes.accuracy(PROBABILITIES, TRUTH) == pytest.approx(
        oracle.accuracy_score(TRUTH, PREDICTED)
    )
    assert classes.log_loss(PROBABILITIES, TRUTH) == pytest.approx(
        oracle.log_loss(TRUTH, PROBABILITIES)
    )
    assert np.array_equal(table, oracle.confusion_matrix(TRUTH, PREDICTED))
    for i, row in enumerate(classification.per_class(table, names=["a", "b", "c"])):
        assert (row["rows"], row["precision"], row["recall"], row["f1"]) == pytest.approx(
            (support[i], precision[i], recall[i], f1[i])
        )


def test_a_class_without_rows_scores_nothing_and_breaks_nothing():
    rows = classification.per_class(
        classification.confusion(np.array([0, 0]), np.array([0, 0]), classes=2), names=["a", "b"]
    )
    assert rows[1] == {"class": "b", "rows": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_a_certain_mistake_costs_much_but_not_everything():
    assert np.isfinite(classes.log_loss(np.array([[1.0, 0.0]]), np.array([1])))

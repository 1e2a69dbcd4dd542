import math
import tracemalloc

import numpy as np
import pytest

from fairway import errors
from fairway.model.schema import Feature, Schema
from fairway.monitoring import windows
from fairway.monitoring.detectors import base, columns
from fairway.monitoring.drift import watch, yardstick
from fairway.monitoring.eventstore import answers

SCHEMA = Schema(target="t", classes=("a", "b"), features=(Feature(name="job", kind="category"),))


REFERENCE = {
    "age": np.array([1.0, 2.0]),
    "job": np.array(["a", ""]),
    "image": np.zeros((2, 1, 2, 2), dtype=np.float32),
    base.ANSWERS: np.zeros((2, 2), dtype=np.float32),
    "__row__": np.arange(2),
}


def logged(rows: int = 1, **inputs: object) -> answers.Prediction:
    values = {"age": [None] * rows, "job": [None] * rows, "image": [[0.0] * 4] * rows, **inputs}
    return answers.Prediction(1, "r", 5.0, rows, values, ["x"] * rows, [[0.5, 0.5]] * rows)


def test_logged_inputs_become_arrays_that_fit_the_reference() -> None:
    window = windows.assemble(
        [logged(rows=2, age=[3, 4.5], job=["a", "b"]), logged()], reference=REFERENCE, rows=3
    )
    assert window is not None
    assert math.isnan(window.arrays["age"][0])
    assert window.arrays["age"][1:].tolist() == [3.0, 4.5]
    assert window.arrays["job"].tolist() == ["", "a", "b"]
    assert window.arrays["image"].shape == (3, 1, 2, 2)
    assert (window.rows, window.unreadable) == (3, 0)


def test_the_newest_rows_are_kept() -> None:
    window = windows.assemble([logged(rows=5, age=[1, 2, 3, 4, 5])], reference=REFERENCE, rows=2)
    assert window is not None
    assert window.arrays["age"].tolist() == [4.0, 5.0]
    assert window.rows == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": [[0.0] * 3]},
        {"age": ["old"]},
        {"age": ["7"]},
        {"age": [1, 2]},
        {"age": [[1, 2]]},
        {"age": [10**400]},
        {"job": 7},
    ],
    ids=str,
)
def test_inputs_that_do_not_fit_are_left_out_and_counted(wrong: dict[str, object]) -> None:
    window = windows.assemble([logged(age=[7]), logged(**wrong)], reference=REFERENCE, rows=2)
    assert window is not None
    assert (window.arrays["age"].tolist(), window.rows, window.unreadable) == ([7.0], 1, 1)


def test_fewer_rows_than_wanted_are_no_window_yet() -> None:
    assert windows.assemble([logged(), logged()], reference=REFERENCE, rows=3) is None


def test_a_long_word_widens_no_other() -> None:
    """Of numpy's own words, 2,000 would be as wide as this one each: 8 MB a row."""
    long, reference = (
        logged(job=["x" * 2_000_000]),
        {**REFERENCE, "job": np.array(["a", "b"] * 100)},
    )
    tracemalloc.start()
    window = windows.assemble(
        [long, *(logged(job=["a"]) for _ in range(1_999))], reference=reference, rows=2_000
    )
    tested = columns.columns(reference, window.arrays, schema=SCHEMA) if window else []
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert "job" in [column.name for column in tested]


def test_a_window_that_fits_nowhere_has_no_rows() -> None:
    window = windows.assemble([logged(age=["old"])], reference=REFERENCE, rows=1)
    assert window is not None
    assert (window.rows, window.unreadable) == (0, 1)


def test_a_reference_without_features_is_refused() -> None:
    with pytest.raises(errors.PackageError, match="no features"):
        windows.assemble([logged()], reference={"__row__": np.arange(2)}, rows=10)


def test_a_ticket_says_what_moved_since_when_what_was_done_and_what_is_next() -> None:
    age = yardstick.Shift(
        stream="age", part="mean", kind="covariate", unit="sd", effect=1.25, before=0.0, after=1.2
    )
    job = yardstick.Shift(
        stream="job",
        part="unseen words",
        kind="quality",
        unit="share",
        effect=0.2,
        before=0.01,
        after=0.21,
    )
    ticket = watch.Ticket(
        kind="covariate", since=1767225600.0, evidence=1.5, shifts=(age, job), rows=50
    )
    summary = windows.summary(ticket, deployment="income")
    text = windows.description(ticket, revision="aaa", tickets_per_month=0.5)
    assert summary == (
        "income: the inputs moved: age +1.25 standard deviations; "
        "job unseen words 1.0% -> 21.0% of the rows"
    )
    assert "Revision aaa, since 2026-01-01 00:00:00 UTC: age +1.25 standard deviations" in text
    assert "by chance at most 0.5 times in 30 days" in text
    assert "Already done: nothing" in text
    assert "Next: find out whether the source" in text


def test_only_what_is_far_from_training_is_told_of_the_first_rows() -> None:
    near = base.FeatureDrift(
        name="age", kind="number", p_value=1e-9, effect=0.1, statistic=0.5, drifted=True
    )
    far = base.FeatureDrift(
        name="hours", kind="number", p_value=1e-9, effect=-0.9, statistic=0.5, drifted=True
    )
    chance = base.FeatureDrift(
        name="job", kind="category", p_value=0.4, effect=0.4, statistic=1.0, drifted=False
    )
    result = base.DriftResult(
        drifted=True, p_value=2e-9, threshold=0.01, features=(near, far, chance)
    )
    found = windows.skew(result)
    assert [feature.name for feature in found] == ["hours"]
    summary = windows.skew_summary(found, deployment="income")
    assert summary == "income: what is served differs from the training data, most hours (-0.90)"

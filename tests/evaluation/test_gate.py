import dataclasses
import math

import pytest

from fairway import artifacts
from fairway.config import sections
from fairway.evaluation import gate

RULES = {
    "random": {"accuracy": 0.6, "log_loss": 0.56},
    "zero_rule": {"accuracy": 0.75, "log_loss": 0.56},
    "champion": None,
}
GOOD = artifacts.Evaluation(
    rows=1000,
    metrics={"accuracy": 0.85, "log_loss": 0.32, "calibration_error": 0.01},
    baselines=RULES,
    slices=(
        {"slice": "sex = F", "rows": 400, "accuracy": 0.7, "log_loss": 0.4, "judged": True},
        {"slice": "sex = X", "rows": 3, "accuracy": 0.0, "log_loss": 4.0, "judged": False},
    ),
)


def evaluated(**changes) -> artifacts.Evaluation:
    """Return the good evaluation with some of its metrics or fields changed."""
    metrics = {name: changes.pop(name) for name in GOOD.metrics if name in changes}
    return dataclasses.replace(GOOD, metrics=GOOD.metrics | metrics, **changes)


def against(accuracy: float) -> dict:
    return {"baselines": {**RULES, "champion": {"accuracy": accuracy, "log_loss": 0.3}}}


def recent(ours: float, theirs: float | None) -> dict:
    return {"recent": {"rows": 120, "accuracy": ours, "champion_accuracy": theirs}}


@pytest.mark.parametrize(
    ("asked", "measured", "promote", "said"),
    [
        pytest.param(
            {},
            {},
            True,
            "all 2 checks passed: accuracy 0.8500 on 1000 rows, always the most frequent class 0.7500",
            id="a good first model",
        ),
        pytest.param(
            {"threshold": 0.9},
            {},
            False,
            "accuracy is 0.8500, wanted at least 0.9000 (threshold)",
            id="below the floor",
        ),
        pytest.param({"threshold": 0.85}, {}, True, "all 3 checks passed", id="exactly the floor"),
        pytest.param(
            {},
            {"accuracy": 0.75, "log_loss": 0.6},
            False,
            "wanted above 0.7500, what the most frequent class reaches",
            id="the zero rule",
        ),
        pytest.param(
            {},
            {"accuracy": 0.75, "log_loss": 0.5},
            True,
            "checks passed",
            id="as accurate as the zero rule with a better loss",
        ),
        pytest.param(
            {},
            {"accuracy": 0.75, "log_loss": 0.5, "different": 1},
            False,
            "it says the same of every row, as a rule does",
            id="one answer to every row, however good its probabilities",
        ),
        pytest.param(
            {"beatZeroRule": False},
            {"accuracy": 0.5},
            True,
            "all 1 checks passed",
            id="the zero rule need not be beaten",
        ),
        pytest.param(
            {},
            {"calibration_error": 0.2},
            False,
            "calibration error is 0.2000, wanted at most 0.15 (maxCalibrationError)",
            id="badly calibrated",
        ),
        pytest.param(
            {"maxCalibrationError": None},
            {"calibration_error": 0.2},
            True,
            "checks passed",
            id="calibration is not asked for",
        ),
        pytest.param({}, against(0.855), True, "the model in service 0.8550", id="within the drop"),
        pytest.param(
            {},
            against(0.87),
            False,
            "wanted at least 0.8600 (the model in service reaches 0.8700, maxDrop 0.01)",
            id="worse than champion",
        ),
        pytest.param(
            {},
            {**against(0.84), **recent(0.6, 0.9)},
            False,
            "accuracy on the newly labelled rows is 0.6000, wanted at least 0.8900",
            id="worse now",
        ),
        pytest.param(
            {}, {**against(0.84), **recent(0.9, 0.6)}, True, "all 4 checks passed", id="better now"
        ),
        pytest.param(
            {}, recent(0.1, None), True, "all 2 checks passed", id="new rows without a champion"
        ),
        pytest.param(
            {"sliceThreshold": 0.8},
            {},
            False,
            "accuracy where sex = F is 0.7000, wanted at least 0.8000 (sliceThreshold)",
            id="a bad slice",
        ),
        pytest.param(
            {"sliceThreshold": 0.6},
            {},
            True,
            "all 3 checks passed",
            id="small slices are not judged",
        ),
        pytest.param({}, {"accuracy": math.nan}, False, "accuracy is nan", id="no number"),
        pytest.param(
            {},
            {"calibration_error": math.nan},
            False,
            "calibration error is nan",
            id="calibration is no number",
        ),
        pytest.param(
            {"beatZeroRule": False, "maxCalibrationError": None},
            {},
            True,
            "nothing is asked for: accuracy 0.8500",
            id="no checks",
        ),
    ],
)
def test_the_decision_follows_from_the_section_and_the_numbers(asked, measured, promote, said):
    decision = gate.decide(sections.Gate.model_validate(asked), evaluation=evaluated(**measured))
    assert decision.promote is promote
    assert said in decision.reason
    assert all(check["passed"] for check in decision.checks) is promote


def test_every_failed_check_is_in_the_reason():
    decision = gate.decide(
        sections.Gate(threshold=0.9), evaluation=evaluated(calibration_error=0.5)
    )
    assert "threshold" in decision.reason
    assert "maxCalibrationError" in decision.reason
    assert "\n" not in decision.reason

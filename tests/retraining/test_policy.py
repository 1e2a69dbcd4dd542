from datetime import timedelta

import pytest

from fairway.config import sections
from fairway.retraining import policy

SECTION = sections.Retraining(min_labels=200, max_loss_increase=0.05, confidence=0.99, cool_down=timedelta(hours=6))
FALLEN = {"labelled": 400, "lost": 100, "reference_loss": 0.05}
NOW = 1_000_000.0


def decide(section: sections.Retraining = SECTION, **signals: object) -> policy.Decision:
    return policy.decide(section, signals=policy.Signals(**{**FALLEN, **signals}), now=NOW)  # type: ignore[arg-type]


def test_accuracy_that_fell_beyond_chance_starts_a_run_and_says_the_numbers() -> None:
    decision = decide()
    assert decision.start
    assert "realised accuracy is 0.750 on the newest 400 labels, 0.950 on the test split" in decision.reason
    assert "below 0.900 beyond chance" in decision.reason
    assert decision.loss == 0.25


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        pytest.param({"lost": 45}, "not below 0.900 beyond chance", id="within chance"),
        pytest.param({"lost": 10}, "not below 0.900 beyond chance", id="as good as tested"),
        pytest.param({"labelled": 199, "lost": 199}, "199 of 200 labels are in", id="too few labels"),
        pytest.param({"labelled": 0, "lost": 0}, "0 of 200 labels are in", id="no labels"),
        pytest.param({"reference_loss": None}, "records no test accuracy", id="nothing to compare with"),
        pytest.param({"running": "run-7"}, "run run-7 is in progress", id="a run is under way"),
        pytest.param({"settled": False}, "a rollout is on its way", id="a rollout is under way"),
        pytest.param({"last_run_at": NOW - 3600}, "began 3600 s ago; the next may begin after 21600 s", id="cool-down"),
        pytest.param({"lost": 10, "drifted_windows": 9}, "not below", id="drift alone"),
    ],
)
def test_no_run_starts_and_the_reason_is_said(signals: dict[str, object], words: str) -> None:
    decision = decide(**signals)
    assert not decision.start
    assert words in decision.reason


def test_a_run_may_start_again_when_the_cool_down_is_over() -> None:
    assert decide(last_run_at=NOW - 6 * 3600).start


def test_nothing_starts_while_retraining_is_off() -> None:
    assert not decide(SECTION.model_copy(update={"enabled": False})).start


def test_drift_starts_a_run_only_where_it_was_asked_to() -> None:
    decision = decide(SECTION.model_copy(update={"on_drift": True}), lost=10, drifted_windows=2)
    assert decision.start
    assert "2 windows in a row have drifted" in decision.reason


def test_one_more_mistake_at_the_edge_is_what_decides() -> None:
    decisions = [decide(lost=wrong).start for wrong in range(401)]
    assert decisions == sorted(decisions)
    first = decisions.index(True)
    assert decide(lost=first).bound > 0.10 >= decide(lost=first - 1).bound  # type: ignore[operator]

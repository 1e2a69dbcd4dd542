from datetime import timedelta

import pytest

from fairway.config import sections
from fairway.retraining import policy

SECTION = sections.Retraining(min_labels=200, max_loss_increase=0.05, cool_down=timedelta(hours=6))
FALLEN = {"labelled": 400, "lost": 100, "reference_loss": 0.05, "bound": 0.05, "evidence": 1.0}
NOW = 1_000_000.0


def decide(section: sections.Retraining = SECTION, **signals: object) -> policy.Decision:
    return policy.decide(section, signals=policy.Signals(**{**FALLEN, **signals}), now=NOW)  # type: ignore[arg-type]


def test_accuracy_that_fell_beyond_chance_starts_a_run_and_says_the_numbers() -> None:
    decision = decide()
    assert decision.start
    assert (
        "realised accuracy is 0.750 on the newest 400 labels, 0.950 on the test split"
        in decision.reason
    )
    assert "below 0.900 beyond chance (at most 0.05 such runs a month by chance)" in decision.reason
    assert decision.loss == 0.25


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        pytest.param(
            {"lost": 45, "evidence": 0.4},
            "not below 0.900 beyond chance (evidence 0.4 of 1)",
            id="within chance",
        ),
        pytest.param(
            {"lost": 10, "evidence": 0.0, "bound": 0.07}, "not below 0.880", id="as good as tested"
        ),
        pytest.param(
            {"labelled": 199, "lost": 199}, "199 of 200 labels are in", id="too few labels"
        ),
        pytest.param({"labelled": 0, "lost": 0}, "0 of 200 labels are in", id="no labels"),
        pytest.param(
            {"reference_loss": None}, "records no test accuracy", id="nothing to compare with"
        ),
        pytest.param({"running": "run-7"}, "run run-7 is in progress", id="a run is under way"),
        pytest.param({"settled": False}, "a rollout is on its way", id="a rollout is under way"),
        pytest.param(
            {"last_run_at": NOW - 3600},
            "began at 1970-01-12 12:46:40 UTC; the next may begin at 1970-01-12 18:46:40 UTC",
            id="cool-down",
        ),
        pytest.param({"lost": 10, "evidence": 0.0, "drifted": True}, "not below", id="drift alone"),
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
    decision = decide(
        SECTION.model_copy(update={"on_drift": True}), lost=10, evidence=0.0, drifted=True
    )
    assert decision.start
    assert "a drift ticket is open" in decision.reason


REGRESSION = {"task": "regression", "lost": 120.0, "reference_loss": 0.1, "bound": 0.1}


def test_a_mean_loss_that_rose_beyond_chance_starts_a_run_and_says_the_numbers() -> None:
    decision = decide(**REGRESSION)
    assert decision.start
    assert (
        "realised mean loss is 0.300 on the newest 400 labels, 0.100 on the test split"
        in decision.reason
    )
    assert "above 0.150 beyond chance" in decision.reason


@pytest.mark.parametrize(
    ("lost", "words"), [(80.0, "0.200"), (20.0, "0.050")], ids=["within chance", "better"]
)
def test_a_mean_loss_that_may_be_chance_starts_no_run(lost: float, words: str) -> None:
    decision = decide(**{**REGRESSION, "lost": lost, "evidence": 0.2})
    assert not decision.start
    assert (
        f"realised mean loss is {words} on the newest 400 labels; not above 0.150 beyond chance"
        in decision.reason
    )


def test_where_no_loss_was_measured_nothing_starts() -> None:
    assert "records no test loss" in decide(**{**REGRESSION, "reference_loss": None}).reason


def test_the_test_rows_number_says_how_high_the_loss_may_be_by_chance() -> None:
    facts = {"testLoss": 0.1, "testLossBound": 0.13}
    assert policy.reference_bound(facts) == 0.13
    assert policy.limit(SECTION, bound=0.13) == pytest.approx(0.18)
    assert policy.reference_bound({"testAccuracy": 0.9}) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("facts", "loss"),
    [({"testLoss": 0.2, "testAccuracy": 0.7}, 0.2), ({"testAccuracy": 0.75}, 0.25), ({}, None)],
)
def test_a_package_of_before_states_its_accuracy_alone(
    facts: dict[str, float], loss: float | None
) -> None:
    assert policy.reference_loss(facts) == loss


def test_the_key_of_before_is_read_still() -> None:
    assert sections.Retraining.model_validate({"maxAccuracyDrop": 0.2}).max_loss_increase == 0.2


def test_the_cool_down_doubles_with_each_run_that_deployed_nothing_up_to_a_bound() -> None:
    hours = 3600.0
    rests = [policy.rest(SECTION, fruitless=number) / hours for number in (0, 1, 2, 3, 1000)]
    assert rests == [6, 12, 24, 48, 28 * 24]
    waiting = decide(last_run_at=NOW - 7 * hours, fruitless=1)
    assert "UTC (coolDown, doubled for each of 1 runs that deployed nothing)" in waiting.reason


WEEKS = 7 * 86_400.0


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        ({"last_run_at": NOW - 9 * WEEKS}, "the last run began 63 days ago (refresh)"),
        ({"first_label_at": NOW - 9 * WEEKS}, "the first label came 63 days ago (refresh)"),
        ({"last_run_at": NOW - 1 * WEEKS}, None),
        ({"first_label_at": NOW - 1 * WEEKS}, None),
        ({"first_label_at": NOW - 9 * WEEKS, "last_run_at": NOW - 1 * WEEKS}, None),
        ({"last_run_at": NOW - 9 * WEEKS, "labelled": 199}, None),
    ],
)
def test_a_challenger_is_trained_after_a_while_though_no_loss_has_risen(
    signals: dict[str, object], words: str | None
) -> None:
    decision = decide(**{"lost": 10, "evidence": 0.0, **signals})
    assert decision.start == (words is not None)
    assert words is None or words in decision.reason
    never = SECTION.model_copy(update={"refresh": None})
    assert not decide(never, **{"lost": 10, "evidence": 0.0, **signals}).start


@pytest.mark.parametrize(
    ("changed", "since", "last", "words"),
    [
        pytest.param({}, 41, None, None, id="within refresh and its grace"),
        pytest.param(
            {}, 43, None, "no challenger was trained for 43: wanted one each 35", id="old"
        ),
        pytest.param({}, 90, 41, None, id="old, and challenged"),
        pytest.param({}, 20, 90, None, id="new, by hand"),
        pytest.param({"enabled": False}, 90, None, None, id="retraining is off"),
        pytest.param({"refresh": None}, 90, None, None, id="no refresh"),
        pytest.param(
            {"most_age": timedelta(days=60), "enabled": False},
            61,
            1,
            "longer than 60",
            id="most age",
        ),
    ],
)
def test_a_model_without_a_challenger_grows_stale(
    changed: dict[str, object], since: int, last: int | None, words: str | None
) -> None:
    now = 100 * policy.DAY
    found = policy.stale(
        SECTION.model_copy(update=changed),
        since=now - since * policy.DAY,
        last_run_at=None if last is None else now - last * policy.DAY,
        now=now,
    )
    assert found is None if words is None else found is not None and words in found


def test_what_asks_for_a_run_waits_for_the_labels_that_one_needs() -> None:
    asked = policy.Decision(start=True, reason="alert RealisedQualityBurn fires")
    waits = policy.supplied(asked, labelled=60)
    assert (waits.start, waits.reason) == (
        False,
        "alert RealisedQualityBurn fires; but 60 of the 67 labels that a run needs are in",
    )
    assert policy.supplied(asked, labelled=67) == asked
    assert policy.supplied(asked, labelled=None) == asked
    assert policy.supplied(waits, labelled=0) == waits

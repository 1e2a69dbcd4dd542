"""When the trainer pages, and what is remembered of a run of the training pipeline once its process
is gone."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fairway import artifacts
from fairway.monitoring import receiver
from fairway.monitoring.drift import realised
from fairway.monitoring.eventstore import conclusions, places
from fairway.pipelines import run_records
from fairway.platforms.local import client, state, trainer
from fairway.platforms.local.home import Addresses, Home, write_addresses
from fairway.platforms.local.processes import Processes
from fairway.rollout.states import Phase, State
from tests.monitoring import made
from tests.platforms.local import test_state

RUN = "income-20260101-000000"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home in which a run is said to go on, whose process is gone."""
    made = Home(tmp_path)
    made.make()
    with known(made) as store:
        store.deploy(test_state.revision({}), now=1.0)
        store.save_retraining("income", {"running": RUN})
    return made


def known(home: Home) -> contextlib.closing[state.Store]:
    return contextlib.closing(state.Store(home.state))


def leave(home: Home, outcome: str, reason: str = "") -> Path:
    """Leave the record of a run that was in its second step."""
    steps = [{"step": "prepare", "status": "done"}, {"step": "train", "status": "running"}]
    file = home.runs / RUN / "run.json"
    artifacts.write_json(file, {"outcome": outcome, "reason": reason, "steps": steps})
    return file


def remembered(home: Home) -> dict[str, Any]:
    with known(home) as store:
        found = store.deployment("income")
        assert found is not None
        return found.retraining


def test_a_run_that_down_cut_off_is_not_said_to_go_on(home: Home) -> None:
    file = leave(home, "running")
    client.down(home)
    kept = artifacts.read_json(file)
    assert kept["outcome"] == run_records.FAILED
    assert kept["reason"].startswith("cut off")
    assert [step["status"] for step in kept["steps"]] == ["done", "failed"]
    assert (remembered(home)["running"], remembered(home)["outcome"]) == (None, run_records.FAILED)
    with known(home) as store:
        assert [event.type for _, event in store.story("income")] == ["RetrainingEnded"]


def test_how_a_run_ended_by_itself_is_kept_as_a_value_and_a_sentence(home: Home) -> None:
    leave(home, "refused", "accuracy 0.8 is below 0.9")
    client.down(home)
    assert remembered(home)["outcome"] == "refused"
    assert remembered(home)["said"] == "refused: accuracy 0.8 is below 0.9"


@pytest.mark.parametrize(
    ("steps", "fruitless"),
    [
        pytest.param([], 2, id="for want of labels"),
        pytest.param([{"step": "gate", "status": "refused"}], 3, id="by the gate"),
    ],
)
def test_a_run_that_had_too_few_labels_does_not_double_the_cool_down(
    home: Home, steps: list[dict[str, str]], fruitless: int
) -> None:
    with known(home) as store:
        store.save_retraining("income", {"running": RUN, "fruitless": 2})
    record = {"outcome": "refused", "reason": "60 answers have a label", "steps": steps}
    artifacts.write_json(home.runs / RUN / "run.json", record)
    client.down(home)
    assert remembered(home)["fruitless"] == fruitless


def test_a_run_that_left_no_record_failed_and_its_last_line_says_why(home: Home) -> None:
    (home.runs / RUN).mkdir(parents=True)
    (home.runs / RUN / "log.txt").write_text("starting\nfairway: no labels\n")
    client.down(home)
    assert (remembered(home)["outcome"], remembered(home)["said"]) == (
        run_records.FAILED,
        "fairway: no labels",
    )


def test_down_with_a_damaged_store_leaves_nothing_behind_and_says_so(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    mapped = home.mapped("b" * 12)
    mapped.mkdir(parents=True)
    write_addresses(home, Addresses(pid=2**22 + 1, gateway="", collector="", monitor=""))
    home.state.write_bytes(b"no database at all" * 500)
    client.down(home)
    assert not mapped.exists()
    assert not home.addresses.exists()
    assert "is damaged" in caplog.text


def looked(
    folder: Path,
    events: list[dict[str, Any]],
    facts: dict[str, float],
    *,
    now: float = 2.0,
    **retraining: Any,
) -> tuple[list[conclusions.Alert], str]:
    """Return the alerts after a look at a revision whose labels are in, and why no run was started:
    it is off."""
    home = Home(folder)
    home.make()
    served = test_state.revision({})
    config = {
        **served.config,
        "retraining": {
            "enabled": False,
            "minLabels": 100,
            "maxAccuracyDrop": 0.05,
            **retraining,
        },
    }
    revision = dataclasses.replace(served, facts=facts, config=config)
    with known(home) as store, contextlib.closing(places.opened(home.events)) as archive:
        archive.add(events, at=1.0)
        store.deploy(revision, now=1.0)
        stable = State(phase=Phase.STABLE, stable=revision.revision)
        store.save(
            "income", state=stable, policy=store.deployments()[0].policy, events=[], answered=None
        )
        (deployment,) = store.deployments()
        trainer.Trainer(home, Processes(home.root), state=store, events=archive).look(
            deployment, now=now
        )
        return archive.conclusions.alerts(), remembered(home)["reason"]


def labelled(answers: list[dict[str, Any]], truths: list[Any]) -> list[dict[str, Any]]:
    return [*answers, *(made.label(f"r{i}", truth) for i, truth in enumerate(truths))]


def by_days(number: int) -> float:
    """Return when an answer was given: a hundred a day."""
    return made.START + number * realised.DAY / 100


def test_a_fall_of_accuracy_pages_with_both_accuracies(tmp_path: Path) -> None:
    answers = [made.prediction(f"r{i}", revision="b" * 12, at=by_days(i)) for i in range(1000)]
    events = labelled(answers, ["cat", "cat", "cat", "dog"] * 250)
    # of a package that states no loss
    [alert], _ = looked(tmp_path, events, {"testAccuracy": 0.95})
    assert (alert.name, alert.severity) == ("RealisedAccuracyLow", "page")
    assert alert.summary == "income answers 75.0% right, 95.0% on its test split"
    assert alert.description.startswith(
        "Newest 100 labels: 25 wrong. Already done: nothing: retraining is off."
    )


def test_a_rise_of_the_mean_loss_of_numbers_pages_with_both_losses(tmp_path: Path) -> None:
    answers = [made.answered(f"r{i}", [1.0], revision="b" * 12, at=by_days(i)) for i in range(1000)]
    [alert], _ = looked(tmp_path, labelled(answers, [3, 5] * 500), {"testLoss": 0.1})
    assert alert.name == "RealisedLossHigh"
    assert alert.summary == "income has a mean loss of 0.300, 0.100 on its test split"
    assert alert.description.startswith("Newest 100 labels: mean loss 0.300. Already done: nothing")


def test_the_evidence_of_labels_is_kept_beside_them_and_not_with_what_was_asked_for(
    tmp_path: Path,
) -> None:
    answers = [made.prediction(f"r{i}", revision="b" * 12) for i in range(100)]
    looked(tmp_path, labelled(answers, ["cat"] * 100), {"testLoss": 0.1})
    assert set(remembered(Home(tmp_path))) == {"reason", "loss", "accuracy"}
    with contextlib.closing(places.opened(Home(tmp_path).events)) as archive:
        kept = archive.conclusions.mark("retraining/income")
    assert (kept["revision"], kept["labels"], kept["fired"]) == ("b" * 12, 100, False)


def test_an_alert_waits_for_the_labels_that_a_run_needs_and_is_remembered(tmp_path: Path) -> None:
    answers = [made.prediction(f"r{i}", revision="b" * 12) for i in range(60)]
    home = Home(tmp_path)
    home.make()
    with contextlib.closing(places.opened(home.events)) as archive:
        archive.conclusions.set_mark(receiver.mark("income"), {"RealisedQualityBurn": 1.0})
    _, reason = looked(tmp_path, labelled(answers, ["cat"] * 60), {"testLoss": 0.1}, enabled=True)
    assert reason == (
        "alert RealisedQualityBurn fires; but 60 of the 67 labels that a run needs are in"
    )
    assert "running" not in remembered(home)
    with contextlib.closing(places.opened(home.events)) as archive:
        assert archive.conclusions.mark(receiver.mark("income")) == {"RealisedQualityBurn": 1.0}


def test_a_loss_as_on_the_test_split_pages_nobody(tmp_path: Path) -> None:
    answers = [made.answered(f"r{i}", [1.0], revision="b" * 12) for i in range(100)]
    alerts, reason = looked(tmp_path, labelled(answers, [2] * 100), {"testLoss": 0.1})
    assert (alerts, reason) == ([], "retraining is off (retraining.enabled)")


@pytest.mark.parametrize(("days", "told"), [(59, False), (61, True)])
def test_a_model_that_nobody_challenges_is_a_ticket(tmp_path: Path, days: int, told: bool) -> None:
    alerts, _ = looked(tmp_path, [], {}, now=days * realised.DAY, mostAge="60d")
    assert [(alert.name, alert.severity) for alert in alerts] == [("StaleModel", "ticket")] * told
    assert all("longer than 60 (retraining.mostAge)" in alert.summary for alert in alerts)

"""What is remembered of a run of the training pipeline once its process is gone."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from fairway import artifacts
from fairway.pipelines import run
from fairway.platforms.local import client, state
from fairway.platforms.local.home import Addresses, Home, write_addresses
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
    assert kept["outcome"] == run.FAILED
    assert kept["reason"].startswith("cut off")
    assert [step["status"] for step in kept["steps"]] == ["done", "failed"]
    assert (remembered(home)["running"], remembered(home)["outcome"]) == (None, run.FAILED)
    with known(home) as store:
        assert [event.type for _, event in store.story("income")] == ["RetrainingEnded"]


def test_how_a_run_ended_by_itself_is_kept_as_a_value_and_a_sentence(home: Home) -> None:
    leave(home, "refused", "accuracy 0.8 is below 0.9")
    client.down(home)
    assert remembered(home)["outcome"] == "refused"
    assert remembered(home)["said"] == "refused: accuracy 0.8 is below 0.9"


def test_a_run_that_left_no_record_failed_and_its_last_line_says_why(home: Home) -> None:
    (home.runs / RUN).mkdir(parents=True)
    (home.runs / RUN / "log.txt").write_text("starting\nfairway: no labels\n")
    client.down(home)
    assert (remembered(home)["outcome"], remembered(home)["said"]) == (run.FAILED, "fairway: no labels")


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

"""The story is played once, and every claim about it is read from its record."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.local, pytest.mark.timeout(960)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "fairway", "demo", "--out", str(out), "--output", "json"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1]), out


def by_name(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in record["revisions"]}


def test_no_request_fails_but_those_that_the_defective_model_answered(
    played: tuple[dict[str, Any], Path],
) -> None:
    record, _ = played
    assert record["requests"] >= 10_000
    assert record["failed_requests"] == 0
    assert record["defect_errors"] > 0


def test_each_model_ends_as_it_should_and_is_caught_by_the_guard_that_can_see_it(
    played: tuple[dict[str, Any], Path],
) -> None:
    models = by_name(played[0])
    assert {name: row["outcome"] for name, row in models.items()} == {
        "A": "first",
        "B": "promoted",
        "C": "rolled back",
        "D": "rolled back",
        "E": "promoted",
    }
    assert models["C"]["caught_by"] == "disagreement"
    assert models["C"]["requests"] == 0  # no user was served
    assert models["D"]["caught_by"] == "errors"
    assert all(row["reason"] and row["evidence"] for name, row in models.items() if name != "A")


def test_the_shift_opens_a_ticket_with_features_and_effects_and_no_page(
    played: tuple[dict[str, Any], Path],
) -> None:
    drift = played[0]["drift"]
    assert drift["detected"]
    assert drift["windows"] >= 2
    assert all(feature["effect"] > 0 for feature in drift["features"])
    assert len(drift["features"]) > 5
    assert drift["pages"] == []


def test_labels_are_joined_retraining_starts_and_the_challenger_recovers(
    played: tuple[dict[str, Any], Path],
) -> None:
    record, _ = played
    assert record["labels"]["joined"] == record["labels"]["sent"] > 500
    assert record["retraining"]["started"]
    assert "beyond chance" in record["retraining"]["reason"]
    accuracy = record["accuracy"]
    assert accuracy["after_shift"] < accuracy["before_shift"] - 0.05
    assert accuracy["after_retraining"] > accuracy["after_shift"] + 0.05


def test_the_reports_hold_the_record_and_nothing_is_left_running(
    played: tuple[dict[str, Any], Path],
) -> None:
    record, out = played
    assert json.loads((out / "report.json").read_text()) == record
    page = (out / "report.html").read_text()
    assert all(row["revision"] in page for row in record["revisions"])
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert not [
        p.pid
        for p in psutil.process_iter(["cmdline"])
        if "fairway-demo-" in " ".join(p.info["cmdline"] or [])
    ]

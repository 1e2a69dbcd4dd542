"""`fairway monitor replay`: a history's tickets, as a script reads them."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairway import errors
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring.drift import beside, hindsight
from tests.cli import running

ELEC = Path(__file__).parents[4] / "shared" / "data" / "elec.csv"


def made(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 12, rows).round(1),
            "job": rng.choice(["clerk", "cook", "driver"], rows),
            "label": rng.integers(0, 2, rows),
        }
    )
    frame["answer"] = frame["label"].where(rng.random(rows) < 0.9, 1 - frame["label"])
    return frame


def replay(folder: Path, *arguments: str) -> Any:
    return running.fairway(
        "monitor",
        "replay",
        "rows.csv",
        "--reference",
        "reference.csv",
        "-o",
        "json",
        *arguments,
        where=folder,
    )


def told(folder: Path, *arguments: str) -> dict[str, Any]:
    done = replay(folder, *arguments)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def test_a_history_without_a_shift_opens_nothing_and_says_what_was_looked_at(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    made(4000, rng).to_csv(tmp_path / "reference.csv", index=False)
    made(8000, rng).to_csv(tmp_path / "rows.csv", index=False)
    record = told(tmp_path, "--label", "label", "--prediction", "answer")
    assert record["tickets"] == []
    assert record["retraining"] == []
    assert record["windows"] == 160 + 40
    assert record["tests"] == 200 * 3  # age, job, and both together
    assert record["budget"] == {"ticketsPerMonth": 1.0}
    assert record["expectedFalseTickets"] == pytest.approx(1.0, abs=0.01)


def test_a_share_of_rows_is_told_from_none_to_all_of_them(tmp_path: Path) -> None:
    words = [str(one) if one % 7 else "inf" for one in range(500)]  # and no two others alike
    pd.DataFrame({"age": words}).to_csv(tmp_path / "reference.csv", index=False)
    pd.DataFrame({"age": words}).to_csv(tmp_path / "rows.csv", index=False)
    shares = [
        one[edge]
        for ticket in told(tmp_path)["tickets"]
        for one in ticket["evidence"]["shifts"]
        if one["unit"] == "share"
        for edge in ("before", "after")
    ]
    assert shares
    assert all(0 <= share <= 1 for share in shares)


def test_rows_that_are_long_are_played_some_windows_at_a_time_with_the_same_tickets() -> None:
    rng = np.random.default_rng(0)
    before, after = (
        hindsight.Recorded(columns={"x": rng.normal(mean, 1, rows)}, at=hindsight.evenly(rows))
        for mean, rows in ((0, 2000), (1, 1330))
    )
    asked = []

    def batches(rows: int) -> Iterator[Any]:
        asked.append(rows)
        return after.passed().batches(rows)

    def played(served: hindsight.Passed) -> dict[str, Any]:
        return hindsight.play(
            before,
            served,
            schema=Schema(target="", features=(Feature(name="x", kind="number"),)),
            section=sections.Monitoring(),
            retraining=sections.Retraining(),
            timed=False,
        )

    whole = after.passed()
    bounded = [played(dataclasses.replace(whole, batches=batches, at_once=n)) for n in (120, 7)]
    assert asked == [100, 50]  # whole windows, one at least
    assert played(whole)["tickets"]
    assert bounded == [played(whole)] * 2


def test_a_shift_and_answers_that_get_worse_are_a_ticket_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    made(4000, rng).to_csv(tmp_path / "reference.csv", index=False)
    rows = made(8000, rng)
    rows.loc[3000:, "age"] += 8
    wrong = (rng.random(8000) < 0.3) & (np.arange(8000) >= 5000)
    rows["answer"] = rows["answer"].where(~wrong, 1 - rows["label"])
    rows["at"] = pd.date_range("2026-03-01", periods=8000, freq="2min").astype(str)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    reference = made(4000, rng)
    reference["at"] = pd.date_range("2026-02-01", periods=4000, freq="2min").astype(str)
    reference.to_csv(tmp_path / "reference.csv", index=False)
    record = told(
        tmp_path,
        *("--time", "at", "--label", "label", "--prediction", "answer"),
        *("--set", "monitoring.budget.ticketsPerMonth=0.5"),
    )
    assert [ticket["kind"] for ticket in record["tickets"]] == ["covariate", "concept"]
    shift, loss = record["tickets"]
    assert 3000 < shift["row"] < 3600
    assert shift["features"] == ["age"]
    assert shift["evidence"]["shifts"][0]["effect"] == pytest.approx(8 / 12, abs=0.15)
    assert shift["at"] == pd.Timestamp("2026-03-01").timestamp() + shift["row"] * 120
    assert 5000 < loss["row"] < 6600  # a block is a day, of 720 rows
    assert record["retraining"][0] == loss["row"]
    assert record["expectedFalseTickets"] == pytest.approx(0.5 * 8000 * 120 / 2592000, rel=0.01)


def test_the_weeks_between_the_weeks_of_a_market_are_no_shift(tmp_path: Path) -> None:
    """The tests that took windows for independent found every one of them shifted."""
    frame = pd.read_csv(ELEC).iloc[:17_500].drop(columns="class")
    frame["at"] = (
        pd.Timestamp("1996-05-07") + pd.to_timedelta(np.arange(len(frame)) * 30, unit="min")
    ).astype(str)
    week = np.arange(len(frame)) // (48 * 7)
    frame[week % 2 == 0].to_csv(tmp_path / "reference.csv", index=False)
    frame[week % 2 == 1].to_csv(tmp_path / "rows.csv", index=False)
    record = told(tmp_path, "--time", "at")
    assert len(record["tickets"]) <= 1  # in a year, of which the budget allows twelve
    assert record["slots"] == ["hour of the day"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--label", "label"], "--label without --prediction: wanted both, or neither"),
        (["--time", "when"], "has no column 'when'"),
        (["--time", "age"], "age in row 1 is earlier than in the row before"),
        (["--set", "monitoring.scales=[50, 120]"], "120 is no multiple of 50"),
        (["--set", "monitoring.budget.ticketsPerMonth=0"], "monitoring.budget.ticketsPerMonth"),
        (["--config", "other.yaml"], "other.yaml"),
    ],
)
def test_a_mistake_gets_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    frame = pd.DataFrame({"age": [3.0, 2.0] * 600, "label": [0, 1] * 600, "answer": [0, 1] * 600})
    frame.to_csv(tmp_path / "reference.csv", index=False)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    done = replay(tmp_path, *arguments)
    assert done.returncode == (1 if "earlier" in sentence else 2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_columns_that_cannot_be_held_against_each_other_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    made(1200, rng).assign(empty="").to_csv(tmp_path / "reference.csv", index=False)
    made(1200, rng).assign(new=1, empty=2).to_csv(tmp_path / "rows.csv", index=False)
    done = replay(tmp_path)
    assert done.returncode == 0
    assert "empty is left out: feature empty has no value in any row" in done.stderr
    assert "new is not in the reference: it is left out" in done.stderr


def test_a_column_that_counts_the_rows_is_left_out_with_a_remark(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    made(1200, rng).assign(id=range(7, 8407, 7)).to_csv(tmp_path / "reference.csv")
    made(2400, rng).assign(id=range(8407, 25207, 7)).to_csv(tmp_path / "rows.csv")
    done = replay(tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["tickets"] == []
    for name in ("Unnamed: 0", "id"):
        assert f"{name} rises from row to row, as their number or time does" in done.stderr


@pytest.mark.parametrize(
    ("changed", "arguments", "sentence"),
    [
        (
            {"label": "cat"},
            ["--label", "label", "--prediction", "answer"],
            "rows.csv: --label label is 'cat' in row 0: wanted a number",
        ),
        (
            {"age": ["1.5", "old"] * 600},
            [],
            "age is a number, but 600 of 1,200 values of rows.csv are none, such as 'old' in row 1",
        ),
        ({"at": 5}, ["--time", "at"], "rows.csv: at is the same in all 1200 rows"),
        (
            {"at": np.arange(1200) + 1_772_323_200_000},
            ["--time", "at"],
            "rows.csv: --time at is not a moment in each row: 1772323200000 in row 0; wanted seconds",
        ),
        (
            {},
            ["--label", "label", "--prediction", "label"],
            "--label and --prediction are both 'label': wanted a column each",
        ),
    ],
    ids=["words for numbers", "a word", "no time passes", "milliseconds", "one column twice"],
)
def test_a_history_that_would_be_silent_is_refused_with_its_file(
    tmp_path: Path, changed: dict[str, Any], arguments: list[str], sentence: str
) -> None:
    rng = np.random.default_rng(4)
    frame = made(1200, rng)
    frame["label"] = frame["answer"] = rng.normal(10, 3, 1200)
    frame["at"] = np.arange(1200) * 60
    frame.to_csv(tmp_path / "reference.csv", index=False)
    frame.assign(**changed).to_csv(tmp_path / "rows.csv", index=False)
    done = replay(tmp_path, *arguments)
    assert done.returncode in (1, 2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_word_among_the_labels_of_quantities_is_named(tmp_path: Path) -> None:
    """The labels were taken for classes, of which every answer was wrong, and nothing was told."""
    rng = np.random.default_rng(5)
    frame = made(1200, rng).assign(answer=1.0)
    frame["label"] = [*rng.normal(10, 3, 1199).astype(str), "not known yet"]
    frame.to_csv(tmp_path / "reference.csv", index=False)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    done = replay(tmp_path, "--label", "label", "--prediction", "answer")
    assert "reference.csv: --label label is 'not known yet' in row 1199" in done.stderr


@pytest.mark.parametrize(
    ("file", "changed", "limit", "remark"),
    [
        ("rows.csv", {"label": ""}, 0.1654, "rows.csv: label has no label in any row"),
        ("reference.csv", {"label": ""}, None, "reference.csv: label has no label in any row"),
        ("reference.csv", {"answer": 0.7}, 1.0, ""),
    ],
    ids=["no label served", "no label before", "scores for answers"],
)
def test_a_loss_that_cannot_be_told_is_said(
    tmp_path: Path, file: str, changed: dict[str, Any], limit: float | None, remark: str
) -> None:
    frame = made(1200, np.random.default_rng(6))
    frame["answer"] = np.where(np.arange(1200) % 10 == 0, 1 - frame["label"], frame["label"])
    for name in ("reference.csv", "rows.csv"):
        mended = frame.assign(**changed) if name == file else frame
        mended.to_csv(tmp_path / name, index=False)
    record = told(tmp_path, "--label", "label", "--prediction", "answer")
    assert record["lossLimit"] == pytest.approx(limit, abs=2e-3)
    done = replay(tmp_path, "--label", "label", "--prediction", "answer", "-o", "text")
    assert remark in done.stderr
    assert ("losses     never told" in done.stdout) == (limit == 1.0)


def test_what_is_ignored_and_what_is_fairways_own_is_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    frame = made(1200, rng).rename(columns={"age": "__x"}).assign(noise=1.0, __at__=2.0)
    frame.to_csv(tmp_path / "reference.csv", index=False)
    frame.assign(noise="oops", __x=frame["__x"] + 12).to_csv(tmp_path / "rows.csv", index=False)
    record = told(tmp_path, "--set", "data.ignore=[noise]")
    assert [ticket["features"] for ticket in record["tickets"]] == [["__x"]]
    done = replay(tmp_path, "--set", "data.ignore=[noise]", "-o", "text")
    assert "__at__ is left out: fairway has a column of that name" in done.stderr
    assert "__x mean +0.9" in done.stdout or "__x mean +1.0" in done.stdout


def test_a_column_called_as_all_columns_together_is_told_by_itself(tmp_path: Path) -> None:
    frame = made(1200, np.random.default_rng(8)).rename(columns={"age": "columns together"})
    frame.to_csv(tmp_path / "reference.csv", index=False)
    frame["columns together"] += 12
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (ticket,) = told(tmp_path)["tickets"]
    assert {shift["unit"] for shift in ticket["evidence"]["shifts"]} == {"sd"}


def test_a_history_shorter_than_a_window_says_so(tmp_path: Path) -> None:
    frame = made(1200, np.random.default_rng(9))
    frame.to_csv(tmp_path / "reference.csv", index=False)
    frame[:49].to_csv(tmp_path / "rows.csv", index=False)
    assert "0 tests: fewer rows than one window" in replay(tmp_path, "-o", "text").stdout


@pytest.mark.lengthy
def test_detectors_of_river_alarm_beside_ours_and_open_no_ticket(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    made(4000, rng).to_csv(tmp_path / "reference.csv", index=False)
    rows = made(6000, rng)
    wrong = (rng.random(6000) < 0.3) & (np.arange(6000) >= 3000)
    rows["answer"] = rows["answer"].where(~wrong, 1 - rows["label"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    losses = ("--label", "label", "--prediction", "answer")
    record = told(tmp_path, *losses, "--beside", "adwin, page-hinkley,kswin")
    assert list(record["beside"]) == ["adwin", "page-hinkley", "kswin"]
    assert 3000 < record["beside"]["adwin"][0] < 3600
    assert 3000 < record["beside"]["page-hinkley"][0] < 3600
    assert record["tickets"] == told(tmp_path, *losses)["tickets"]
    assert (
        record["beside"]
        == told(tmp_path, *losses, "--beside", "adwin,page-hinkley,kswin")["beside"]
    )
    done = replay(tmp_path, *losses, "--beside", "adwin", "-o", "text")
    assert "adwin        1 alarms: at rows 3" in done.stdout
    refused = replay(tmp_path, *losses, "--beside", "ddm")
    assert "--beside has 'ddm': wanted some of adwin, page-hinkley, kswin" in refused.stderr
    lacking = replay(tmp_path, "--beside", "adwin")
    assert "--beside without --label and --prediction" in lacking.stderr
    assert {refused.returncode, lacking.returncode} == {2}


def test_a_river_that_is_not_there_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(errors.UsageError, match="asks river for its detectors"):
        beside.alarms(np.zeros(10), ["adwin"])
    assert beside.alarms(np.zeros(10), []) == {}


def test_a_column_that_stands_still_and_hours_without_a_row_are_told(tmp_path: Path) -> None:
    """A mean that stays where it was moves no window."""
    rng = np.random.default_rng(10)
    frame = made(8000, rng)
    frame["at"] = pd.date_range("2026-03-01", periods=8000, freq="2min")
    frame[:4000].to_csv(tmp_path / "reference.csv", index=False)
    rows = frame[4000:].reset_index(drop=True)
    rows.loc[1000:1100, "age"] = 40.0
    rows = rows.drop(index=range(2000, 2100))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    tickets = told(tmp_path, "--time", "at")["tickets"]
    assert [(one["kind"], one["features"]) for one in tickets] == [
        ("quality", ["age"]),
        ("traffic", []),
    ]
    still, silent = tickets
    assert 1049 <= still["row"] <= 1149
    assert silent["row"] == 2000
    done = replay(tmp_path, "--time", "at", "-o", "text")
    assert "age stands still through 50 rows, as it never did before" in done.stdout
    assert "no row for an hour or more that usually has some" in done.stdout


def test_answers_that_no_longer_differ_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    made(4000, rng).to_csv(tmp_path / "reference.csv", index=False)
    rows = made(2000, rng).astype({"age": object})
    rows.loc[1000:1200, "answer"] = 1
    rows.loc[7, "age"] = "old"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    done = replay(tmp_path, "--label", "label", "--prediction", "answer", "-o", "text")
    assert (
        "quality    every answer is the same through 50 rows, as it never did before" in done.stdout
    )
    assert "rows.csv: 0.05% of age cannot be read, such as 'old' in row 7" in done.stderr

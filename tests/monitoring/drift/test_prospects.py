"""What `fairway monitor plan` foresees, held against the watch itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.drift import ours
from fairway import errors
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring.drift import edetector, prospects
from fairway.monitoring.drift.prospects import Traffic
from tests.cli import running

TRAFFIC = Traffic(rows_per_hour=200, deployments=20, tickets_per_month=1.0)


def foreseen(*, traffic: Traffic = TRAFFIC, **options: Any) -> dict[str, Any]:
    columns, schema = prospects.made()
    return prospects.foresee(columns, schema=schema, traffic=traffic, **options)


def test_e_values_of_many_are_those_of_one() -> None:
    p = np.array([1e-6, 0.001, 0.2, 0.5, 0.999, 1.0])
    assert edetector.e_values(p) == pytest.approx([edetector.e_value(one) for one in p.tolist()])


def test_nine_of_ten_shifts_that_are_foreseen_for_a_day_are_found_in_one() -> None:
    day = 24 * 200
    number = foreseen()["features"][0]
    shift = number["best"]["day"]
    found, smaller = [], []
    for seed in range(12):
        rng = np.random.default_rng([seed, 9])
        rows = rng.normal(size=(10_000 + day, 20))
        for times, into in ((1.15, found), (0.5, smaller)):
            served = rows[10_000:].copy()
            served[:, 4] += times * shift
            into.append(bool(ours.tickets(rows[:10_000], served, a_month=1 / 20, seconds=18.0)))
    assert sum(found) >= 9
    assert sum(smaller) <= 6


def test_more_time_more_traffic_and_fewer_deployments_find_smaller_shifts() -> None:
    for feature in foreseen()["features"]:
        hour, day, week = (feature["best"][name] or np.inf for name in prospects.HORIZONS)
        assert hour >= day >= week
        assert week < np.inf
    busy = foreseen(traffic=Traffic(rows_per_hour=5000, deployments=1, tickets_per_month=1.0))
    for one, other in zip(foreseen()["features"], busy["features"], strict=True):
        assert (other["best"]["hour"] or np.inf) < (one["best"]["hour"] or np.inf)


def test_rows_that_hang_together_hide_what_independent_ones_show() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.normal(size=10_000)
    level = np.repeat(rng.normal(size=100), 100)
    schema = Schema(target="", features=(Feature(name="x", kind="number"),))
    plain, moving = (
        prospects.foresee({"x": values}, schema=schema, traffic=TRAFFIC)["features"][0]["best"]
        for values in (drawn, 0.6 * drawn + 0.8 * level)
    )
    assert (moving["week"] or np.inf) > 2 * plain["week"]


def test_nothing_below_what_matters_is_said_to_be_found() -> None:
    least = sections.LeastShift(sd=0.7, share=0.3)
    for feature in foreseen(least=least)["features"]:
        for shift in (*feature["shifts"], feature["best"]):
            for name in prospects.HORIZONS:
                assert shift[name] is None or shift[name] >= getattr(least, feature["unit"])


def test_a_feature_may_be_asked_about_and_one_that_is_not_there_is_said() -> None:
    (feature,) = foreseen(feature="one in ten")["features"]
    assert feature["unit"] == "share"
    assert feature["usual"] == pytest.approx(0.1, abs=0.01)
    with pytest.raises(errors.UsageError, match="no shift of 'age' can be foreseen: wanted one of"):
        foreseen(feature="age")


def test_the_same_seed_foresees_the_same() -> None:
    assert foreseen() == foreseen()


def test_of_many_parts_of_a_column_the_best_and_the_worst_are_shown() -> None:
    record = foreseen()
    shares = [0.3, None, 0.1, 0.2, 0.4]
    parts = [
        {
            "feature": "words",
            "part": f"block {place}",
            "unit": "share",
            "usual": 0.01,
            "shifts": [],
            "best": dict.fromkeys(prospects.HORIZONS, share),
        }
        for place, share in enumerate(shares)
    ]
    lines = prospects.described({**record, "features": parts}).splitlines()
    place = lines.index(
        "words: 5 parts, in the share of the rows; the best and the worst (all: --output json)"
    )
    assert lines[place + 1].split()[:2] == ["block", "2"]
    assert lines[place + 2].split()[:2] == ["block", "1"]
    assert len([line for line in lines if "block" in line]) == 2
    assert prospects.described({**record, "features": parts[:4]}).count("words: block") == 4


def plan(folder: Path, *arguments: str) -> Any:
    return running.fairway("monitor", "plan", *arguments, where=folder)


def test_the_command_reads_a_file_and_says_it_in_words_and_as_json(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = 6 * 24 * 60
    hour = np.arange(rows) / 60 % 24
    frame = pd.DataFrame(
        {
            "at": pd.date_range("2026-03-01", periods=rows, freq="1min").astype(str),
            "load": rng.normal(size=rows) + np.sin(hour / 24 * 2 * np.pi),
            "job": rng.choice(["clerk", "cook"], rows, p=[0.7, 0.3]),
        }
    )
    frame.to_csv(tmp_path / "rows.csv", index=False)
    arguments = ("rows.csv", "--time", "at", "--rows-per-hour", "60")
    done = plan(tmp_path, *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["slots"] == ["hour of the day"]
    assert {one["feature"]: one["unit"] for one in record["features"]} == {
        "load": "sd",
        "job": "share",
    }
    text = plan(tmp_path, *arguments).stdout
    assert "held against the same hour of the day" in text
    assert "load: mean, in standard deviations" in text
    assert "-" in text.splitlines()[5]  # within an hour of 60 rows nothing is found


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing option '--rows-per-hour'"),
        (["--rows-per-hour", "0"], "0.0 is not in the range x>0"),
        (["--rows-per-hour", "inf"], "--rows-per-hour is inf: wanted a finite number"),
        (["--rows-per-hour", "nan"], "--rows-per-hour is nan: wanted a finite number"),
        (["--rows-per-hour", "9", "--time", "at"], "--time without ROWS"),
        (["--rows-per-hour", "9", "--deployments", "0"], "0 is not in the range x>=1"),
        (["missing.csv", "--rows-per-hour", "9"], "missing.csv"),
        (["--rows-per-hour", "9", "--feature", "age"], "no shift of 'age' can be foreseen"),
    ],
)
def test_a_mistake_gets_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    done = plan(tmp_path, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr

"""Drift as a step asks it: rows at addresses, a package's reference, what was served."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairway import errors
from fairway.config import sections
from fairway.monitoring.drift import detect
from fairway.monitoring.eventstore import places
from tests.serving import support

CONFIG = sections.Config.model_validate(
    {"name": "income", "data": {"path": "rows.csv", "target": "label"}}
)


def no_events():
    raise AssertionError("no events are needed")


NOWHERE = detect.InPlace(package=None, revision=None, store=no_events)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, shift in (("before", 0.0), ("like", 0.0), ("moved", 9.0)):
        frame = pd.DataFrame(
            {
                "age": rng.normal(40 + shift, 8, 600).round(1),
                "hours": rng.normal(38, 5, 600).round(1),
                "sector": rng.choice(["private", "state"], 600),
            }
        )
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def asked(folder: Path, before: str, after: str) -> detect.Sides:
    return detect.Sides(
        before=f"file://{folder}/{before}.csv", after=f"file://{folder}/{after}.csv"
    )


def test_rows_at_addresses_are_held_against_each_other_with_a_page(folder: Path) -> None:
    page = folder / "page.html"
    record = detect.detect(CONFIG, asked(folder, "before", "moved"), place=NOWHERE, page=page)
    assert (record["drift"], record["moved"]) == (True, ["age"])
    assert detect.broken(record) is None  # it moved, and is whole
    assert "age" in page.read_text()
    like = detect.detect(CONFIG, asked(folder, "before", "like"), place=NOWHERE)
    assert like["drift"] is False


@pytest.mark.parametrize("change", ["gone", "missing"])
def test_data_that_broke_is_told_from_data_that_moved(folder: Path, change: str) -> None:
    frame = pd.read_csv(folder / "moved.csv")
    if change == "gone":
        frame = frame.drop(columns="hours")
    else:
        frame["hours"] = frame["hours"].where(np.arange(600) % 2 == 0)
    frame.to_csv(folder / "broken.csv", index=False)
    record = detect.detect(CONFIG, asked(folder, "before", "broken"), place=NOWHERE)
    assert record["drift"]
    assert (detect.broken(record) or "").startswith("hours")


def test_another_deployment_is_no_side(folder: Path) -> None:
    package = Path(support.packaged(folder / "package").path)
    place = detect.InPlace(package=package, revision="aaa", store=no_events)
    sides = detect.Sides(before=f"file://{folder}/like.csv", after="churn@500")
    with pytest.raises(errors.UsageError, match="churn@500 is another deployment than"):
        detect.detect(CONFIG, sides, place=place)


def test_without_a_model_in_service_both_sides_must_be_named() -> None:
    with pytest.raises(errors.UsageError, match="no model is in service, and nothing else"):
        detect.detect(CONFIG, detect.Sides(), place=NOWHERE)


def test_a_step_without_events_says_where_they_would_come_from(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="FAIRWAY_EVENTS is not set to the URL of a Post"):
        places.of_steps(tmp_path, environment={})

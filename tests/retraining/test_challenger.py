"""A challenger: labelled answers of a real event store join the training split, and the champion is
what it is measured against."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from fairway import artifacts
from fairway.data import prepare, splits
from fairway.monitoring.eventstore import archive, places
from fairway.pipelines import run
from fairway.retraining import challenger
from tests.pipelines import runs
from tests.serving import support

STAMP = "2026-03-01T12:00:00.000000Z"
SEEN = 80  # pictures that users sent, none of which is among the 300 learnt from


def pictures() -> tuple[list[list[float]], list[str]]:
    """Return pictures of the last rows of digits, half as bright, so that none equals a row that is
    learnt from."""
    digits = datasets.load_digits()
    return (digits.images[-SEEN:].reshape(SEEN, 64) / 2).tolist(), [
        str(digit) for digit in digits.target[-SEEN:]
    ]


def prediction(
    request: str, inputs: dict[str, Any] | None, *, rows: int, **data: Any
) -> dict[str, Any]:
    body = {
        "requestId": request,
        "unitId": None,
        "deployment": "digits",
        "namespace": "default",
        "revision": "aaa",
        "role": "stable",
        "status": 200,
        "rows": rows,
        "inputDigest": "0123456789abcdef",
        "inputs": inputs,
        "labels": ["1"] * rows,
        "probabilities": None,
        "latencySeconds": 0.002,
    }
    return {
        "specversion": "1.0",
        "type": "dev.fairway.prediction.v1",
        "id": f"{request}/aaa/stable",
        "source": "/fairway/default/digits/aaa",
        "time": STAMP,
        "datacontenttype": "application/json",
        "data": body | data,
    }


def label(request: str, truth: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "dev.fairway.label.v1",
        "id": request,
        "source": "/fairway/default/digits/labels",
        "time": STAMP,
        "data": {
            "requestId": request,
            "deployment": "digits",
            "namespace": "default",
            "label": truth,
        },
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[archive.EventStore]:
    made = places.opened(tmp_path / "events.db")
    yield made
    made.close()


def test_each_labelled_row_is_written_once_with_its_own_label(
    promoted: runs.Promoted, store: archive.EventStore, tmp_path: Path
) -> None:
    images, truth = pictures()
    store.add(
        [
            prediction("one", {"image": images[:1]}, rows=1),
            prediction("one", {"image": images[:1]}, rows=1, role="canary", revision="bbb"),
            prediction("shadowed", {"image": images[1:2]}, rows=1, role="shadow"),
            prediction("unlabelled", {"image": images[2:3]}, rows=1),
            prediction("three", {"image": images[3:6]}, rows=3),
            prediction("unlogged", None, rows=1),
            label("one", f" {truth[0]}.0"),  # as a spreadsheet writes a class
            label("shadowed", truth[1]),
            label("three", [truth[3], None, truth[5]]),
            label("unlogged", truth[6]),
        ]
    )
    out = tmp_path / "made" / challenger.LABELLED
    assert (
        challenger.write_labelled(store, "digits", champion=promoted.package, limit=100, out=out)
        == 3
    )
    written = pd.read_parquet(out)
    assert list(written.columns) == ["image", "digit"]
    assert list(written["digit"]) == [truth[0], truth[3], truth[5]]
    np.testing.assert_allclose(np.stack(written["image"]), [images[0], images[3], images[5]])
    assert [file.name for file in out.parent.iterdir()] == [challenger.LABELLED]


def test_requests_of_a_model_with_other_features_join_nothing(
    promoted: runs.Promoted, store: archive.EventStore, tmp_path: Path
) -> None:
    images, truth = pictures()
    store.add(
        [
            prediction("older", {"pixels": images[:1]}, rows=1),
            prediction("few", {"image": images[:1]}, rows=1),
            prediction("good", {"image": images[1:2]}, rows=1),
            label("older", truth[0]),
            label("few", [truth[0], truth[1]]),
            label("good", truth[1]),
        ]
    )
    out = tmp_path / challenger.LABELLED
    assert (
        challenger.write_labelled(store, "digits", champion=promoted.package, limit=100, out=out)
        == 1
    )
    assert list(pd.read_parquet(out)["digit"]) == [truth[1]]


def test_labels_of_numbers_are_written_as_numbers_and_those_that_mean_none_are_left_out(
    store: archive.EventStore, tmp_path: Path
) -> None:
    champion = support.packaged_numbers(tmp_path / "champion", slope=1.0, spread=10.0)
    inputs = {"age": [30.0, 50.0], "hours": [40.0, None], "sector": ["state", "private"]}
    task = {"name": "regression", "spread": 10.0}
    numbers = {"labels": [1.0, 2.0], "task": task}
    store.add([label("early", ["many", 7])])
    store.add([prediction(name, inputs, rows=2, **numbers) for name in ("one", "early")])
    store.add([label("one", ["4.50", 12])])
    out = tmp_path / challenger.LABELLED
    assert challenger.write_labelled(store, "digits", champion=champion, limit=100, out=out) == 3
    written = pd.read_parquet(out)
    assert sorted(written["price"].tolist()) == [4.5, 7.0, 12.0]
    assert sorted(written["age"].tolist()) == [30.0, 50.0, 50.0]


def test_without_labels_the_data_is_what_it_was(
    promoted: runs.Promoted, store: archive.EventStore, tmp_path: Path
) -> None:
    out = tmp_path / challenger.LABELLED
    assert (
        challenger.write_labelled(store, "digits", champion=promoted.package, limit=100, out=out)
        == 0
    )
    before = prepare.prepare(runs.settings().data, out=tmp_path / "before")
    after = prepare.prepare(
        challenger.with_labelled(runs.settings(), out, held_out=0).data, out=tmp_path / "after"
    )
    assert (after.rows, after.version) == (before.rows, before.version)


def test_an_earlier_file_of_the_kind_is_replaced_and_another_is_kept() -> None:
    config = runs.settings("data.extra=[theirs.parquet, runs/one/labelled.parquet]")
    joined = challenger.with_labelled(config, Path("runs/two/labelled.parquet"), held_out=7)
    assert [path.name for path in joined.data.extra] == ["theirs.parquet", challenger.LABELLED]
    assert joined.data.extra[1] == Path("runs/two/labelled.parquet")
    assert (joined.data.held_out, joined.data.sliding) == (7, True)
    assert joined.evaluation.gate.better
    assert not config.evaluation.gate.better  # a run by hand has the gate that was asked for


@pytest.mark.parametrize(
    ("labelled", "rows"), [(0, None), (66, None), (67, 20), (200, 60), (5000, 336)]
)
def test_three_in_ten_of_the_labelled_rows_are_held_out_up_to_a_number(
    labelled: int, rows: int | None
) -> None:
    assert challenger.held_out(runs.settings().retraining, labelled=labelled) == rows


def challenged(home: Path, *, labels: int, champion: Path) -> subprocess.CompletedProcess[str]:
    """Run the challenger as the platform does, where so many pictures have a label."""
    images, truth = pictures()
    store = places.opened(home / "events.db")
    store.add(
        [
            event
            for number in range(labels)
            for event in (
                prediction(str(number), {"image": images[number : number + 1]}, rows=1),
                label(str(number), truth[number]),
            )
        ]
    )
    store.close()
    config = runs.written(runs.settings("retraining.deploy=false"), home / "config.json")
    asked = {"--home": home, "--config": config, "--champion": champion}
    return subprocess.run(
        [
            *(sys.executable, "-m", "fairway.retraining.challenger"),
            *("--deployment", "digits", "--run", "second"),
            *(str(part) for pair in asked.items() for part in pair),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(run.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_challenger_is_compared_on_the_newest_rows_which_it_has_not_learnt_from(
    promoted: runs.Promoted, tmp_path: Path
) -> None:
    done = challenged(tmp_path, labels=SEEN, champion=promoted.package)
    kept = artifacts.read_json(tmp_path / "runs" / "second" / "run.json")
    steps = {step["step"]: step for step in kept["steps"]}
    evaluation = artifacts.read_json(
        Path(steps["evaluate"]["artifacts"]["evaluation"]["path"]) / "evaluation.json"
    )
    assert evaluation["rows"] == 24  # three in ten
    assert evaluation["champion_digest"] == promoted.record.digest
    better = evaluation["paired"]["drop"] < 0
    assert done.returncode == (0 if better else 3), done.stderr
    assert kept["outcome"] == ("packaged" if better else "refused")
    assert better or "wanted better than the model in service" in kept["reason"]
    dataset = splits.load(Path(steps["prepare"]["artifacts"]["dataset"]["path"]))
    images, truth = pictures()
    assert dataset.test.labels == truth[-24:]
    np.testing.assert_allclose(
        dataset.test.columns["image"].reshape(24, 64), np.array(images[-24:]), atol=1e-6
    )
    learnt = np.concatenate([dataset.train.columns["image"], dataset.validation.columns["image"]])
    tested = {row.tobytes() for row in dataset.test.columns["image"]}
    assert not tested & {row.tobytes() for row in learnt}
    # as many as before: new rows take the place of the oldest
    before = {step["step"]: step for step in promoted.record.steps}["prepare"]
    first = splits.load(Path(before["artifacts"]["dataset"]["path"]))
    assert len(dataset.train) == len(first.train)
    assert (dataset.train.rows == splits.NEW).sum() + (
        dataset.validation.rows == splits.NEW
    ).sum() == SEEN - 24


def test_where_too_few_answers_have_a_label_nothing_is_trained_and_the_reason_is_kept(
    promoted: runs.Promoted, tmp_path: Path
) -> None:
    done = challenged(tmp_path, labels=30, champion=promoted.package)
    assert done.returncode == 3
    kept = artifacts.read_json(tmp_path / "runs" / "second" / "run.json")
    assert (kept["outcome"], kept["steps"]) == ("refused", [])
    assert kept["reason"].startswith("30 answers have a label and logged inputs: wanted 67")

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
SEEN = 40  # pictures that users sent, none of which is among the 300 learnt from


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
        challenger.with_labelled(runs.settings(), out).data, out=tmp_path / "after"
    )
    assert (after.rows, after.version) == (before.rows, before.version)


def test_an_earlier_file_of_the_kind_is_replaced_and_another_is_kept() -> None:
    config = runs.settings("data.extra=[theirs.parquet, runs/one/labelled.parquet]")
    joined = challenger.with_labelled(config, Path("runs/two/labelled.parquet"))
    assert [path.name for path in joined.data.extra] == ["theirs.parquet", challenger.LABELLED]
    assert joined.data.extra[1] == Path("runs/two/labelled.parquet")


def test_a_challenger_learns_from_the_labelled_rows_and_is_measured_against_the_champion(
    promoted: runs.Promoted, tmp_path: Path
) -> None:
    images, truth = pictures()
    store = places.opened(tmp_path / "events.db")
    store.add(
        [
            event
            for number in range(SEEN)
            for event in (
                prediction(str(number), {"image": images[number : number + 1]}, rows=1),
                label(str(number), truth[number]),
            )
        ]
    )
    store.close()
    config = runs.written(
        runs.settings("evaluation.gate.maxDrop=1", "retraining.deploy=false"),
        tmp_path / "config.json",
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "fairway.retraining.challenger",
            "--home",
            str(tmp_path),
            "--deployment",
            "digits",
            "--config",
            str(config),
            "--champion",
            str(promoted.package),
            "--run",
            "second",
        ],
        env={**os.environ, "PYTHONPATH": str(Path(run.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{SEEN} labelled rows join the training split" in done.stdout
    kept = artifacts.read_json(tmp_path / "runs" / "second" / "run.json")
    assert (kept["outcome"], kept["revision"]) == ("packaged", None)
    steps = {step["step"]: step for step in kept["steps"]}
    evaluation = artifacts.read_json(
        Path(steps["evaluate"]["artifacts"]["evaluation"]["path"]) / "evaluation.json"
    )
    assert evaluation["champion_digest"] == promoted.record.digest
    assert evaluation["baselines"]["champion"]["accuracy"] > 0
    learnt = splits.load(Path(steps["prepare"]["artifacts"]["dataset"]["path"])).train
    before = {step["step"]: step for step in promoted.record.steps}["prepare"]["artifacts"][
        "dataset"
    ]["path"]
    new = len(learnt) - len(splits.load(Path(before)).train)
    assert new + evaluation["recent"]["rows"] == SEEN
    assert new > evaluation["recent"]["rows"] > 0

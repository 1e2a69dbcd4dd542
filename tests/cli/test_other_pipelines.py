"""`fairway run` of the pipelines besides training, as users call it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.cli.running import assert_one_sentence, fairway, one_object
from tests.serving import support

CONFIGURATION = """
name: income
data: {source: csv, path: rows.csv, target: label, ignore: [id]}
training: {family: boosting, rounds: 5}
evaluation: {gate: {beatZeroRule: false, maxCalibrationError: 1}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fairway.yaml").write_text(CONFIGURATION)
    age = np.linspace(20, 70, 300).round(1)
    pd.DataFrame(
        {
            "id": [f"a{number}" for number in range(300)],
            "age": age,
            "hours": 40.0,
            "sector": np.resize(["private", "state"], 300),
            "label": np.where((age > 45) ^ (np.arange(300) % 9 == 0), "yes", "no"),
        }
    ).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def test_batch_prediction_answers_a_file_and_says_where(folder: Path) -> None:
    package = support.packaged(folder / "package").path
    asked = ("run", "batch", "rows.csv", "--package", package, "--keep", "id", "-o", "json")
    asked = (*asked, "--to", "answers.parquet")
    done = fairway(*asked, where=folder)
    record = one_object(done)
    assert (done.returncode, record["outcome"]) == (0, "answered")
    [step] = [one for one in record["steps"] if one["step"] == "batch-predict"]
    written = pq.read_table(step["artifacts"]["answers"]["path"])
    assert written["id"].to_pylist() == [f"a{number}" for number in range(300)]
    assert step["artifacts"]["answers"]["path"] in record["reason"]
    assert pq.read_table(folder / "answers.parquet") == written


def test_what_is_deployed_where_no_platform_runs_is_said_to_wait_for_one(folder: Path) -> None:
    done = fairway("run", "training", "--deploy", where=folder)
    assert done.returncode == 0, done.stderr
    assert "outcome  deployed" in done.stdout
    assert "served   not yet: no platform runs; `fairway up` starts it" in done.stdout
    assert "no platform runs in" in fairway("status", where=folder).stdout


@pytest.mark.parametrize("pipeline", ["retraining", "monitoring"])
def test_the_loop_needs_a_model_in_service(folder: Path, pipeline: str) -> None:
    done = fairway("run", pipeline, where=folder)
    assert_one_sentence(done, status=2, words="no model is in service")


def test_many_end_with_the_worst_of_theirs_and_each_is_told(folder: Path) -> None:
    strict = CONFIGURATION.replace("name: income", "name: strict") + "  \n"
    strict = strict.replace("gate: {", "gate: {threshold: 0.999, ")
    (folder / "strict.yaml").write_text(strict)
    (folder / "broken.yaml").write_text(
        CONFIGURATION.replace("name: income", "name: broken").replace(
            "target: label", "target: nothing"
        )
    )
    done = fairway("run", "many", "fairway.yaml", "strict.yaml", "-o", "json", where=folder)
    ended = {one["deployment"]: one["outcome"] for one in one_object(done)["runs"]}
    assert ended == {"income": "packaged", "strict": "refused"}
    assert done.returncode == 3
    done = fairway("run", "many", "strict.yaml", "broken.yaml", where=folder)
    assert_one_sentence(done, status=1, words="has no column 'nothing' to predict")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("retraining", "--watch", "--no-deploy"), "--watch follows a rollout"),
        (("retraining", "--wait"), "--wait is for runs elsewhere"),
        (("monitoring", "--if-idle", "--on", "kubernetes"), "--if-idle is for schedules here"),
        (("batch", "rows.csv", "--on", "kubernetes"), "rows.csv is a file of this machine"),
        (("batch", "s3://a/b.csv", "--to", "a.parquet", "--on", "kubernetes"), "--to a.parquet is"),
        (
            ("batch", "s3://a/b.csv", "--package", ".", "--on", "kubernetes"),
            "--package is a folder",
        ),
    ],
)
def test_what_contradicts_itself_is_one_sentence(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert_one_sentence(fairway("run", *arguments, where=folder), status=2, words=words)


@pytest.mark.parametrize("pipeline", ["training", "retraining", "monitoring", "many", "batch"])
def test_each_pipeline_passes_the_check(folder: Path, pipeline: str) -> None:
    done = fairway("check", "pipeline", "--pipeline", pipeline, where=folder)
    assert (done.returncode, done.stdout[:7]) == (0, "nothing"), done.stderr


def test_a_family_that_cannot_learn_from_the_rows_does_not_pass_the_check(folder: Path) -> None:
    done = fairway("check", "pipeline", "--set", "training.family=convolutional", where=folder)
    assert done.returncode == 1
    assert "training.family convolutional" in done.stdout


def test_the_search_of_the_configuration_is_made_by_the_verb_too(folder: Path) -> None:
    choices = "training.tune={choices: {leaves: [2, 3]}, trials: 3}"
    assert fairway("prepare", "--set", choices, where=folder).returncode == 0
    done = fairway("train", "--set", choices, "-o", "json", where=folder)
    record = one_object(done)
    assert record["configuration"]["leaves"] in (2, 3, 31)
    assert record["configuration"]["tune"] is None
    assert done.stderr.count("validation loss") == 3

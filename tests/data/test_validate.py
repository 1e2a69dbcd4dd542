"""Rows that are not fit to be learnt from: each with one sentence, before anything is learnt."""

import json

import numpy as np
import pandas as pd
import pytest
from kfp import dsl

from components.data.import_data import import_data
from components.data.validate_data import validate_data
from fairway import errors
from fairway.data import infer, validate
from tests.data import made
from tests.serving import support

BEFORE = made.frame(400, seed=1)


@pytest.fixture
def section(tmp_path):
    def of(frame: pd.DataFrame, **keys):
        frame.to_csv(tmp_path / "rows.csv", index=False)
        return made.section(path=tmp_path / "rows.csv", **keys)

    return of


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    """What a model that learnt from the rows of before knows of them."""
    file = tmp_path_factory.mktemp("before") / "rows.csv"
    BEFORE.to_csv(file, index=False)
    from fairway.data import frames, sources

    known = made.section(path=file)
    frame = sources.read(known).frame
    schema = infer.infer(frame, section=known, image_shape=None)
    return {"champion": schema, "reference": frames.to_raw(frame, schema=schema)}


def changed(**columns):
    return made.frame(400, seed=2).assign(**columns)


def test_rows_like_those_of_before_are_fit(section, champion):
    record = validate.validate(section(changed()), **champion)
    assert (record.errors, record.rows) == ((), 400)
    validate.need(record)
    assert {one["name"] for one in record.columns} == {"age", "income", "town", "plan"}
    assert "fit" in validate.page(record)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (changed().drop(columns="income"), "income is not in the new rows"),
        (
            changed().rename(columns={"town": "city"}),
            "town is not in the new rows, which has city instead: renamed?",
        ),
        (changed(age="old"), "age is a number, but 400 of 400 values of the new rows are none"),
        (
            changed(age=["?!"] * 40 + [30] * 360),
            "10.0% of age in the new rows cannot be read, such as '?!' in row 0",
        ),
        (
            changed(town=[None] * 200 + ["Bath"] * 200),
            "50.0% of town in the new rows are missing, 0.0% were: wanted a rise of at most 10.0%",
        ),
        (changed()[:20], "the new rows are 20: wanted 50 (data.quality.leastRows)"),
        (changed().drop(columns="label"), "has no column 'label' to predict"),
    ],
    ids=["gone", "renamed", "another-kind", "unreadable", "missing", "few", "no-target"],
)
def test_rows_that_are_not_fit_are_refused_in_one_sentence(frame, words, section, champion):
    record = validate.validate(section(frame), **champion)
    assert any(words in sentence for sentence in record.errors), record.errors
    with pytest.raises(errors.DataError, match="the rows are not fit") as said:
        validate.need(record)
    assert "\n" not in str(said.value)


def test_limits_are_the_configurations(section, champion):
    frame = changed(town=[None] * 200 + ["Bath"] * 200)
    patient = section(frame, quality={"mostMissingRise": 0.6})
    assert validate.validate(patient, **champion).errors == ()


def test_words_that_the_model_does_not_know_are_told_and_refuse_nothing(section, champion):
    record = validate.validate(section(changed(town=["Ely"] * 40 + ["York"] * 360)), **champion)
    assert record.errors == ()
    assert "10.0% of town is beyond what the model in service knows" in record.warnings


def test_without_a_model_in_service_rows_are_held_against_the_configuration_alone(section):
    record = validate.validate(section(changed()))
    assert (record.errors, record.columns) == ((), ())


def test_the_component_is_red_with_the_sentence_and_leaves_its_findings(tmp_path, capsys):
    """On a real package: its schema and its reference."""
    package = support.packaged(tmp_path / "package")
    rows = tmp_path / "rows.csv"
    pd.DataFrame(
        {
            "age": np.linspace(20, 70, 100),
            "sector": np.resize(["private", "state"], 100),
            "label": np.resize(["no", "yes", "yes"], 100),
        }
    ).to_csv(rows, index=False)
    config = json.dumps({"name": "income", "data": {"path": str(rows), "target": "label"}})
    brought = dsl.Dataset(uri=str(tmp_path / "brought"))
    import_data.python_func(config=config, rows=brought)
    outputs = {
        "metrics": dsl.Metrics(uri=str(tmp_path / "metrics"), metadata={}),
        "findings": dsl.Markdown(uri=str(tmp_path / "findings.md"), metadata={}),
    }
    serving = dsl.Model(uri=str(tmp_path), metadata={"folder": package.path})
    with pytest.raises(errors.DataError, match="hours is not in the new rows"):
        validate_data.python_func(config=config, champion=serving, rows=brought, **outputs)
    assert outputs["metrics"].metadata["errors"] == 1
    assert "- hours is not in the new rows" in (tmp_path / "findings.md").read_text()
    assert "error: hours is not in the new rows" in capsys.readouterr().out

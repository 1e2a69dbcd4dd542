"""Stated quantiles of a regression: what they are, and what cannot be stated."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import mean_pinball_loss

from fairway import artifacts, errors
from fairway.config import sections
from fairway.data import prepare, splits
from fairway.evaluation import measure, quantiles
from fairway.model import graph, tasks
from fairway.training import fit
from tests.training import made

LEVELS = [0.1, 0.5, 0.9]


@pytest.fixture(scope="module")
def regression(tmp_path_factory) -> tuple[Path, Path]:
    """Return a dataset of prices with skewed errors and a checkpoint of it."""
    folder = tmp_path_factory.mktemp("prices")
    rng = np.random.default_rng(0)
    size = rng.uniform(20, 200, 6000)
    price = 3 * size + rng.exponential(60, len(size))
    pd.DataFrame({"size": size, "price": price}).to_csv(folder / "rows.csv", index=False)
    section = sections.Data.of(source="csv", path=folder / "rows.csv", target="price")
    prepare.prepare(section, out=folder / "dataset")
    fit.fit(
        made.training(epochs=6, batchSize=128),
        dataset=folder / "dataset",
        out=folder / "checkpoint",
    )
    return folder / "dataset", folder / "checkpoint"


def evaluated(dataset: Path, checkpoint: Path, *, out: Path, **section) -> artifacts.Evaluation:
    return measure.evaluate(
        sections.Evaluation.model_validate(section),
        dataset=dataset,
        checkpoint=checkpoint,
        champion=None,
        out=out,
    )


def test_each_stated_quantile_has_as_many_rows_below_and_its_pinball_loss(regression, tmp_path):
    record = evaluated(*regression, out=tmp_path / "out", quantiles=LEVELS)
    data = splits.load(regression[0])
    inputs = data.test.inputs("named")
    said = graph.run(regression[1] / "model.onnx", inputs, output="value", width=3)[:, 0]
    for row in record.details["quantiles"]:
        level = row["quantile"]
        assert row["below"] == pytest.approx(level, abs=0.06)
        expected = mean_pinball_loss(data.test.target, said + row["shift"], alpha=level)
        assert record.metrics[f"pinball_{level:g}"] == pytest.approx(expected, rel=1e-5)
        assert row["pinball"] < row["zero_rule"]
    assert [row["quantile"] for row in record.details["quantiles"]] == LEVELS
    assert [metric.words for metric in tasks.named("regression").measured(record.metrics)][-3:] == [
        f"pinball loss of the quantile {level:g}" for level in LEVELS
    ]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Stated quantiles" in page
    assert "pinball loss of the quantile 0.9" in page


def test_nothing_is_said_of_quantiles_that_were_not_stated(regression, tmp_path):
    record = evaluated(*regression, out=tmp_path / "out")
    assert "quantiles" not in record.details
    assert [name for name in record.metrics if name.startswith("pinball_")] == []


def test_the_shift_holds_the_next_row_as_often_as_stated():
    off = np.arange(1.0, 10.0)  # of nine rows the next one is at most the ninth in 9 of 10 cases
    rows = quantiles.measure(
        [0.1, 0.5, 0.9], off=off, said=np.zeros(3), target=np.ones(3), train=np.ones(3)
    )
    assert [row["shift"] for row in rows] == [1.0, 5.0, 9.0]


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([0, 0.5], "0 is no quantile: wanted shares between 0 and 1, each once and the smallest"),
        ([0.5, 1], "1 is no quantile"),
        ([0.9, 0.1], "0.1 comes after 0.9"),
        ([0.1, 0.1], "0.1 is there twice"),
        ([-0.1], "-0.1 is no quantile"),
    ],
)
def test_what_is_no_list_of_quantiles_is_refused(levels, said):
    with pytest.raises(ValidationError, match=said):
        sections.Evaluation(quantiles=levels)


def test_rows_that_do_not_tell_a_quantile_are_said_with_how_many_would(regression, tmp_path):
    with pytest.raises(
        errors.DataError,
        match=r"evaluation.quantiles names 0.999, which \d+ validation rows do not tell: wanted 999 at least",
    ):
        evaluated(*regression, out=tmp_path / "out", quantiles=[0.5, 0.999])


def test_classes_have_no_quantiles():
    with pytest.raises(
        errors.DataError,
        match=r"evaluation.quantiles is \[0.5\]: classification answers no quantity",
    ):
        quantiles.refuse([0.5], task=tasks.named("classification"), validation=100)

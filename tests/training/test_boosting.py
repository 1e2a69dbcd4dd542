from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from fairway import errors
from fairway.config import sections
from fairway.data import prepare, splits
from fairway.model import graph, tasks
from fairway.model.metrics import classes
from fairway.training import fit, parity
from tests.training import made


def training(**values) -> sections.Training:
    return sections.Training.of(family="boosting", **{"rounds": 60, "learningRate": 0.1, **values})


def prepared(folder: Path, frame: pd.DataFrame, **section) -> Path:
    frame.to_csv(folder / "rows.csv", index=False)
    prepare.prepare(
        sections.Data.of(source="csv", path=folder / "rows.csv", **section), out=folder / "data"
    )
    return folder / "data"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Return rows of numbers and categories with missing values in both, and three classes."""
    folder = tmp_path_factory.mktemp("boosting")
    frame = made.table(900)
    rng = np.random.default_rng(1)
    frame["label"] = np.where(
        frame["age"] > 45, frame["town"].map({"Bath": "a", "York": "b", "Rye": "c"}), "a"
    )
    frame.loc[rng.random(900) < 0.1, "pay"] = np.nan
    frame.loc[rng.random(900) < 0.1, "town"] = None
    return prepared(folder, frame)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    return made.tabular(tmp_path_factory.mktemp("two"), rows=900)


def test_trees_learn_three_classes_from_numbers_and_categories(dataset, tmp_path):
    record = fit.fit(training(), dataset=dataset, out=tmp_path / "out")
    data = splits.load(dataset)
    answers = graph.run(
        tmp_path / "out" / "model.onnx", data.test.inputs(), output="probabilities", width=3
    )
    usual = np.bincount(data.test.target).max() / len(data.test)
    assert (answers.argmax(axis=1) == data.test.target).mean() > usual + 0.1
    assert (record.family, record.layout, record.device) == ("boosting", "named", "cpu")
    assert record.onnx_max_difference < 1e-6
    inputs = [node.name for node in onnx.load(tmp_path / "out" / "model.onnx").graph.input]
    assert inputs == ["numbers", "categories"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "checkpoint.json",
        "model.onnx",
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(threads, dataset, tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        fit.fit(
            training(seed=seed, features=0.5, threads=threads), dataset=dataset, out=tmp_path / name
        )
    one, same, other = (
        (tmp_path / name / "model.onnx").read_bytes() for name in ("one", "same", "other")
    )
    assert one == same != other


def test_the_best_round_is_kept_and_training_stops_when_patience_ends(two, tmp_path):
    told = []
    section = training(rounds=400, patience=7)
    record = fit.fit(section, dataset=two, out=tmp_path / "out", progress=told.append)
    measured = [row["validation_loss"] for row in record.history]
    assert record.epochs == record.best_epoch + 7 < 400
    assert measured[record.best_epoch - 1] == min(measured) != measured[-1]
    assert [row["epoch"] for row in told] == [1, *range(10, record.epochs + 1, 10)]
    held_out = splits.load(two).validation
    answers = graph.run(
        tmp_path / "out" / "model.onnx", held_out.inputs(), output="probabilities", width=2
    )
    assert classes.log_loss(answers, held_out.target) == pytest.approx(min(measured), abs=1e-5)
    best = record.history[record.best_epoch - 1]
    assert (answers.argmax(axis=1) == held_out.target).mean() == pytest.approx(
        best["validation_accuracy"]
    )


def test_balanced_classes_find_more_of_the_rarest(tmp_path):
    rng = np.random.default_rng(3)
    shift = rng.normal(size=1500)
    frame = pd.DataFrame(
        {"x": shift, "label": np.where(shift + rng.normal(size=1500) > 2.2, "rare", "usual")}
    )
    dataset = prepared(tmp_path, frame)
    test, found = splits.load(dataset).test, {}
    for weights in ("none", "balanced"):
        fit.fit(training(classWeights=weights), dataset=dataset, out=tmp_path / weights)
        answers = graph.run(
            tmp_path / weights / "model.onnx", test.inputs(), output="probabilities", width=2
        )
        found[weights] = int((answers.argmax(axis=1) == 0)[test.target == 0].sum())
    assert found["balanced"] > found["none"]


def test_a_word_that_training_never_saw_and_a_missing_one_are_answered(dataset, tmp_path):
    fit.fit(training(), dataset=dataset, out=tmp_path / "out")
    steps = splits.load(dataset).preprocessor
    columns = {
        "age": np.array([50.0, np.nan]),
        "pay": np.array([np.nan, 1.0]),
        "town": np.array(["Oslo", ""], object),
    }
    answers = graph.run(
        tmp_path / "out" / "model.onnx", steps.transform(columns), output="probabilities", width=3
    )
    assert answers.sum(axis=1) == pytest.approx([1, 1])


def test_splits_that_were_only_rounded_are_refused_at_the_row_that_they_flip(
    two, tmp_path, monkeypatch
):
    monkeypatch.setattr("fairway.training.forest.below", lambda splits: splits.astype(np.float32))
    said = (
        r"answers differently from the model on \d+ of \d+ rows, .*; the first is a row made up from validation rows "
        r"whose (age|pay) is [-\d.e]+, at a split: the model answers \[.*\], the graph \[.*\]; the graph compares in "
    )
    with pytest.raises(errors.TrainingError, match=said):
        fit.fit(training(), dataset=two, out=tmp_path / "out")


def test_every_validation_row_is_proved(two, tmp_path, monkeypatch):
    asked = []
    prove = parity.prove
    monkeypatch.setattr(
        "fairway.training.parity.prove", lambda *a, **k: asked.append(a[1]) or prove(*a, **k)
    )
    fit.fit(training(), dataset=two, out=tmp_path / "out")
    assert asked[0].validation == len(splits.load(two).validation)
    assert len(asked[0].expected) > 3 * asked[0].validation


def test_pictures_are_refused(tmp_path):
    with pytest.raises(errors.ConfigError, match="family boosting cannot use an image feature"):
        fit.fit(training(), dataset=made.digits(tmp_path), out=tmp_path / "out")


def test_a_task_that_boosting_does_not_learn_is_refused(two, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fairway.training.losses.ClassificationSide.boosted", lambda self, target, held_out: ()
    )
    with pytest.raises(
        errors.ConfigError, match="boosting does not learn classification: use tabular"
    ):
        fit.fit(training(), dataset=two, out=tmp_path / "out")


def test_a_few_rows_are_said_where_lightgbm_can_do_nothing_with_them(tmp_path):
    dataset = prepared(tmp_path, made.table(60))
    record = fit.fit(training(minLeafRows=30), dataset=dataset, out=tmp_path / "out")
    answers = graph.run(
        tmp_path / "out" / "model.onnx",
        splits.load(dataset).test.inputs(),
        output="probabilities",
        width=2,
    )
    assert record.onnx_max_difference < 1e-6
    assert np.ptp(answers[:, 0]) == 0  # no split had enough rows: each answer is the classes' share


def test_a_number_is_learnt_in_its_own_unit_with_an_interval(tmp_path):
    rng = np.random.default_rng(5)
    frame = made.table(1500).drop(columns="label")
    frame["label"] = (
        5000 + 100 * frame["age"] + 2000 * (frame["town"] == "York") + rng.normal(0, 300, 1500)
    )
    dataset = prepared(tmp_path, frame)
    record = fit.fit(training(rounds=300), dataset=dataset, out=tmp_path / "out")
    data = splits.load(dataset)
    answers = graph.run(
        tmp_path / "out" / "model.onnx", data.test.inputs(), output="value", width=3
    )
    off = np.abs(answers[:, 0] - data.test.target)
    inside = (answers[:, 1] <= data.test.target) & (data.test.target <= answers[:, 2])
    best = record.history[record.best_epoch - 1]
    assert data.schema.task == "regression"
    assert np.sqrt((off**2).mean()) == pytest.approx(best["validation_rmse"], rel=0.25)
    assert np.sqrt((off**2).mean()) < 0.3 * data.test.target.std()
    assert 0.85 < inside.mean() < 0.96
    assert best["validation_loss"] == pytest.approx(
        (best["validation_rmse"] / data.schema.facts["std"]) ** 2
    )


def test_each_label_has_trees_of_its_own_in_one_graph(tmp_path):
    frame = made.table(900).drop(columns="label")
    frame["label"] = labels_of(frame)
    dataset = prepared(tmp_path, frame, task="multilabel")
    told = []
    record = fit.fit(training(), dataset=dataset, out=tmp_path / "out", progress=told.append)
    data = splits.load(dataset)
    answers = graph.run(
        tmp_path / "out" / "model.onnx",
        data.test.inputs(),
        output="probabilities",
        width=len(data.schema.classes),
    )
    assert ((answers > 0.5) == (data.test.target > 0)).mean() > 0.95
    assert record.onnx_max_difference < 1e-6
    assert [row["epoch"] for row in told] == [1, *range(10, record.epochs + 1, 10)]


def test_rows_of_a_group_are_ranked(tmp_path):
    frame = made.table(1200).drop(columns="label")
    frame["query"] = np.arange(1200) // 6
    frame["label"] = np.clip(((frame["age"] - 20) / 12).round(), 0, 4).astype(int)
    dataset = prepared(tmp_path, frame, task="ranking", group="query")
    fit.fit(training(), dataset=dataset, out=tmp_path / "out")
    data = splits.load(dataset)
    answers = graph.run(
        tmp_path / "out" / "model.onnx", data.test.inputs(), output=output(data), width=1
    )
    assert np.corrcoef(answers[:, 0], data.test.target[:, 1])[0, 1] > 0.9


def output(data: splits.Splits) -> str:
    return tasks.of(data.schema).output


def classes_of(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(np.where(frame["age"] > 45, frame["town"], "none"))


def labels_of(frame: pd.DataFrame) -> list[str]:
    young, york = frame["age"] < 40, frame["town"] == "York"
    return [
        ";".join(n for n, has in (("young", y), ("york", t)) if has) or "none"
        for y, t in zip(young, york, strict=True)
    ]


@pytest.mark.parametrize(
    ("task", "target"),
    [
        ("classification", lambda frame: np.where(frame["age"] > 45, "old", "young")),
        ("classification", classes_of),
        ("multilabel", labels_of),
        ("classification", lambda frame: [*"abc"] * 240 + [*"ab"] * 90),
        ("regression", lambda frame: frame["age"] * 1000 + frame["pay"].fillna(0)),
    ],
    ids=["two", "several", "multilabel", "a class that goes", "regression"],
)
def test_trees_of_all_rows_and_of_the_newest_half_answer_beside_the_newest(task, target, tmp_path):
    frame = made.table(900).drop(columns="label")
    frame["label"] = target(frame)
    section: dict = {"task": task}
    frame[300:].to_parquet(tmp_path / "new.parquet")
    section |= {"extra": (tmp_path / "new.parquet",), "held_out": 60, "sliding": True}
    dataset = prepared(tmp_path, frame[:300], **section)
    data = splits.load(dataset)
    assert len(data.older) == 600 - 60  # new rows come, and the source's go to their place
    found = {}
    for older in (True, False):
        record = fit.fit(
            training(olderRows=older, minLeafRows=5), dataset=dataset, out=tmp_path / str(older)
        )
        assert bool(record.averaged) == older
        assert record.onnx_max_difference < 1e-5 * max(1, np.abs(data.validation.target).max())
        found[older] = graph.run(
            tmp_path / str(older) / "model.onnx",
            data.older.inputs(),
            output=output(data),
            width=tasks.of(data.schema).width(data.schema),
        )
    assert not np.array_equal(found[True], found[False])

import numpy as np
import pandas as pd
import pytest

from fairway import artifacts, errors
from fairway.data import prepare, splits
from tests.data import made

FILES = {
    "train.parquet",
    "validation.parquet",
    "test.parquet",
    "schema.json",
    "preprocessing.json",
    "profile.json",
    "dataset.json",
}


def prepared(tmp_path, frame, *, out="d", **values):
    frame.to_parquet(tmp_path / "rows.parquet")
    section = made.section(source="parquet", path=tmp_path / "rows.parquet", **values)
    return prepare.prepare(section, out=tmp_path / out)


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("values", "rows", "shapes"),
    [
        (
            {"path": made.SHARED / "adult.data", "target": "income"},
            30162,
            {"numbers": (6,), "categories": (8,)},
        ),
        ({"path": made.SHARED / "elec.csv", "target": "class"}, 45312, {"numbers": (6,)}),
        ({"source": "digits", "target": "digit"}, 1797, {"image": (1, 8, 8)}),
        (
            {
                "source": "idx",
                "path": made.SHARED / "t10k-images-idx3-ubyte.gz",
                "labels": made.SHARED / "t10k-labels-idx1-ubyte.gz",
                "limit": 2000,
            },
            2000,
            {"image": (1, 28, 28)},
        ),
    ],
    ids=["adult", "elec", "digits", "mnist"],
)
def test_real_data_is_prepared_and_read_back(tmp_path, values, rows, shapes):
    record = prepare.prepare(made.section(**values), out=tmp_path / "d")
    assert set(content(tmp_path / "d")) == FILES
    assert sum(record.rows.values()) == rows
    loaded = splits.load(tmp_path / "d")
    inputs = loaded.train.inputs()
    assert {name: value.shape[1:] for name, value in inputs.items()} == shapes
    assert all(np.isfinite(value).all() for value in inputs.values())
    assert loaded.test.inputs("flat")["features"].shape == (
        record.rows["test"],
        loaded.preprocessor.width,
    )
    assert loaded.schema.classes == record.classes
    assert set(loaded.train.target) == set(range(len(record.classes)))


def test_the_same_rows_and_seed_give_the_same_bytes_and_version(tmp_path):
    first = prepared(tmp_path, made.frame())
    before = content(tmp_path / "d")
    assert prepared(tmp_path, made.frame()) == first
    assert content(tmp_path / "d") == before
    assert prepared(tmp_path, made.frame(), seed=1).version != first.version


def test_raw_values_come_back_as_they_were(tmp_path):
    frame = made.frame()
    prepared(tmp_path, frame)
    test = splits.load(tmp_path / "d").test
    source = frame.iloc[test.rows]
    np.testing.assert_array_equal(test.columns["income"], source.income)
    assert [value or None for value in test.columns["plan"]] == source.plan.tolist()
    assert [
        splits.load(tmp_path / "d").schema.classes[index] for index in test.target
    ] == source.label.tolist()


def test_preprocessing_is_fitted_on_the_training_rows_only(tmp_path):
    # divided by a column that does not change with the values
    frame = made.frame().assign(visit=range(300))
    by_visit = {"ignore": ("visit",), "split": {"method": "group", "column": "visit"}}
    prepared(tmp_path, frame, **by_visit)
    held_out = splits.load(tmp_path / "d").test.rows[0]
    before = artifacts.read_json(tmp_path / "d" / "preprocessing.json")
    frame.loc[held_out, ["age", "income", "town"]] = [10_000, 1e12, "Elsewhere"]
    prepared(tmp_path, frame, out="e", **by_visit)
    assert held_out in splits.load(tmp_path / "e").test.rows
    assert artifacts.read_json(tmp_path / "e" / "preprocessing.json") == before


def test_extra_rows_join_training_or_recent_unless_they_equal_a_held_out_row(tmp_path):
    frame = made.frame()
    record = prepared(tmp_path, frame)
    held_out = splits.load(tmp_path / "d").test.rows[:5]
    new = made.frame(40, seed=9).assign(income=np.arange(40.0))  # no row of the frame by chance
    new.loc[0, "label"] = "unheard"
    pd.concat([new, frame.iloc[held_out]]).to_parquet(tmp_path / "new.parquet")
    more = prepared(tmp_path, frame, extra=(tmp_path / "new.parquet",))
    assert more.rows["train"] + more.rows["recent"] == record.rows["train"] + 39
    assert more.rows["train"] > record.rows["train"]
    assert (more.rows["validation"], more.rows["test"]) == (
        record.rows["validation"],
        record.rows["test"],
    )
    assert any(warning.startswith("5 of 45") for warning in more.warnings)
    assert any(warning.startswith("1 of 45") for warning in more.warnings)
    assert more.version != record.version


def test_the_newest_extra_rows_are_the_test_split_and_none_of_them_is_learnt_from(tmp_path):
    frame = made.frame()
    record = prepared(tmp_path, frame)
    new = made.frame(40, seed=9).assign(income=np.arange(40.0))
    learnt = splits.load(tmp_path / "d").train.rows[:1]
    # the newest row was learnt from by the model in service, and came once more before
    pd.concat([new[:1], new, new[:1], frame.iloc[learnt]]).to_parquet(tmp_path / "new.parquet")
    section = {"extra": (tmp_path / "new.parquet",), "held_out": 12}
    more = prepared(tmp_path, frame, **section)
    assert (more.rows["test"], "recent" in more.rows) == (12, False)
    data = splits.load(tmp_path / "d")
    assert data.test.columns["income"][:10].tolist() == list(range(30, 40))
    kept = record.rows["train"] + record.rows["validation"] - 1
    assert more.rows["train"] + more.rows["validation"] == kept + 30 - 1
    seen = np.concatenate([data.train.columns["income"], data.validation.columns["income"]])
    assert not np.isin(data.test.columns["income"], seen).any()
    sliding = prepared(tmp_path, frame, **section, sliding=True)
    assert [sliding.rows[name] for name in ("train", "validation")] == [
        record.rows[name] for name in ("train", "validation")
    ]
    rows = splits.load(tmp_path / "d").train.rows
    assert (rows == splits.NEW).sum() == (data.train.rows == splits.NEW).sum()


def test_a_class_that_no_new_row_shows_keeps_its_newest_old_rows(tmp_path):
    frame = made.frame()
    frame.loc[:49, "label"] = "rare"
    new = made.frame(900, seed=9).assign(income=np.arange(900.0))
    new.to_parquet(tmp_path / "new.parquet")
    section = {"extra": (tmp_path / "new.parquet",), "held_out": 60, "sliding": True}
    record = prepared(tmp_path, frame, **section)
    data = splits.load(tmp_path / "d")
    assert data.train.labels.count("rare") == 20
    assert "no new row to learn from is of 'rare': the newest 20 old ones stay" in record.warnings


def test_no_old_row_that_is_learnt_from_equals_a_validation_row(tmp_path):
    few = made.frame().assign(age=lambda rows: rows.age.round(-1), income=0.0)
    made.frame(900, seed=9).assign(age=lambda rows: rows.age.round(-1), income=0.0).to_parquet(
        tmp_path / "new.parquet"
    )
    section = {"extra": (tmp_path / "new.parquet",), "held_out": 60, "sliding": True}
    prepared(tmp_path, few, **section)
    data = splits.load(tmp_path / "d")
    assert data.older is not None
    old, validation = (
        set(zip(*(part.columns[one.name].tolist() for one in data.schema.features), strict=True))
        for part in (data.older, data.validation)
    )
    assert not old & validation


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"age": "old"}, "feature age is 'old' in row 0"),
        ({"age": np.inf}, "feature age is inf in row 0"),
    ],
)
def test_extra_rows_that_do_not_fit_are_told(tmp_path, change, sentence):
    made.frame(40).assign(**change).to_parquet(tmp_path / "new.parquet")
    with pytest.raises(errors.DataError, match=sentence):
        prepared(tmp_path, made.frame(), extra=(tmp_path / "new.parquet",))


def test_the_limit_keeps_so_many_rows(tmp_path):
    assert sum(prepared(tmp_path, made.frame(), limit=120).rows.values()) == 120


@pytest.mark.parametrize(
    ("change", "values", "sentence"),
    [
        ({"label": "one"}, {}, "only 'one'"),
        ({"label": np.arange(300)}, {"task": "classification"}, "quantity"),
        ({"label": np.linspace(0, 1, 300)}, {"task": "classification"}, "quantity"),
        ({"age": np.inf}, {}, "is inf in row 0: wanted a finite number"),
        ({"town": [f"t{i}" for i in range(300)]}, {}, "identifier"),
        (
            {"town": [*map(str, range(299)), "many"]},
            {},
            "feature town is a number in 299 rows, and 'many' in row 299",
        ),
        ({}, {"ignore": ("agee",)}, "did you mean 'age'"),
        ({}, {"split": {"method": "group", "column": "towns"}}, "did you mean 'town'"),
        ({}, {"split": {"method": "time", "column": "town"}}, "not a moment"),
        ({}, {"split": {"method": "group", "column": "plan"}}, "plan is missing in"),
        (
            {"label": ["a"] * 299 + ["b"], "when": range(300)},
            {"split": {"method": "time", "column": "when"}},
            "no row of class 'b'",
        ),
    ],
)
def test_what_cannot_be_prepared_is_told_in_one_sentence(tmp_path, change, values, sentence):
    with pytest.raises(errors.DataError, match=sentence) as told:
        prepared(tmp_path, made.frame().assign(**change), **values)
    assert "\n" not in str(told.value)
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]


def test_moments_are_ordered_as_moments_and_are_no_feature(tmp_path):
    when = pd.date_range("2024-01-01", periods=300, freq="D")[::-1].astype(str)
    prepared(tmp_path, made.frame().assign(when=when), split={"method": "time", "column": "when"})
    loaded = splits.load(tmp_path / "d")
    assert loaded.train.rows.min() > loaded.test.rows.max()
    assert "when" not in loaded.train.columns


def test_copies_across_a_split_by_time_are_warned_of(tmp_path):
    frame = pd.concat([made.frame(150), made.frame(150)], ignore_index=True).assign(when=range(300))
    record = prepared(tmp_path, frame, split={"method": "time", "column": "when"})
    assert any("equal a training row" in warning for warning in record.warnings)


def test_groups_across_a_random_split_are_warned_of(tmp_path):
    record = prepared(
        tmp_path,
        made.frame().assign(user=np.arange(300) % 9),
        split={"method": "random", "column": "user"},
    )
    assert any("share their user" in warning for warning in record.warnings)


def test_a_leak_is_warned_of(tmp_path):
    frame = made.frame()
    record = prepared(tmp_path, frame.assign(paid=frame.label == "yes"))
    assert any("feature paid alone tells" in warning for warning in record.warnings)


def test_rows_without_a_target_are_left_out_and_counted(tmp_path):
    frame = made.frame()
    frame.loc[:6, "label"] = None
    assert "7 of 300 rows" in prepared(tmp_path, frame).warnings[0]


def test_a_folder_that_is_no_dataset_is_not_replaced(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("years of work")
    with pytest.raises(errors.UsageError, match="holds none of"):
        prepared(tmp_path, made.frame())
    assert (tmp_path / "d" / "thesis.txt").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["d", "rows.parquet"]


def test_a_failure_leaves_the_old_dataset(tmp_path):
    record = prepared(tmp_path, made.frame())
    with pytest.raises(errors.DataError):
        prepared(tmp_path, made.frame().assign(label="one"))
    assert splits.load(tmp_path / "d").schema.classes == record.classes


def test_what_is_no_dataset_is_told(tmp_path):
    with pytest.raises(errors.FairwayError, match="fairway prepare"):
        splits.load(tmp_path)

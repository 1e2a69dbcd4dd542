import re

import numpy as np
import pandas as pd
import pytest

from fairway import errors
from fairway.config import loader
from fairway.data import draft, inspect, prepare
from tests.data import made


def written(path, frame):
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def loaded(tmp_path, findings, **options):
    text = draft.render(findings, relative_to=tmp_path, **options)
    (tmp_path / "fairway.yaml").write_text(text, encoding="utf-8")
    return loader.load(tmp_path / "fairway.yaml"), text


@pytest.mark.parametrize(
    ("file", "target", "classes"), [("adult.data", "income", 2), ("elec.csv", "class", 2)]
)
def test_a_real_file_gives_a_configuration_that_loads(tmp_path, file, target, classes):
    findings = inspect.inspect(made.SHARED / file, target=target)
    config, text = loaded(tmp_path, findings)
    assert config.data.path is not None
    assert config.data.path.samefile(made.SHARED / file)
    assert findings.shown.startswith(f"{classes} classes: ")
    assert config.data.task == "classification"
    assert not findings.ignored
    assert "category of 16" in text or file == "elec.csv"


@pytest.mark.parametrize("name", ["My Rows_2024.csv", "rows.parquet"])
def test_identifiers_constants_texts_and_leaks_are_left_out_with_a_reason(tmp_path, name):
    frame = made.frame(400)
    leak = (frame.label == "yes").astype(int)
    frame = frame.assign(
        id=range(400), one=1, none=np.nan, note=[f"n{i // 2}" for i in range(400)], leak=leak
    )
    findings = inspect.inspect(written(tmp_path / name, frame), target="label")
    config, _ = loaded(tmp_path, findings)
    assert {column.name for column in findings.ignored} == {"id", "one", "none", "note", "leak"}
    assert set(config.data.ignore) == {"id", "one", "none", "note", "leak"}
    assert all(column.why for column in findings.ignored)
    assert config.name in ("my-rows-2024", "rows")
    assert "alone tells" in draft.summary(findings)


def test_a_column_that_was_left_out_can_be_used_as_its_line_says(tmp_path):
    frame = made.frame(400)
    frame = frame.assign(
        id=range(400),
        one=1,
        none=np.nan,
        note=[f"n{i // 2}" for i in range(400)],
        text=[f"{'x' * 9}{i // 2}" for i in range(400)],
        leak=(frame.label == "yes").astype(int),
        user_id=np.arange(400) % 40,
    )
    findings = inspect.inspect(written(tmp_path / "a.parquet", frame), target="label")
    config, text = loaded(tmp_path, findings)
    usable = []
    for column in findings.ignored:
        limit = re.search(r"maxCategories to (\d+)", column.needs)
        data = config.data.model_copy(
            update={
                "ignore": tuple(name for name in config.data.ignore if name != column.name),
                "max_categories": int(limit[1]) if limit else config.data.max_categories,
            }
        )
        if column.needs == inspect.USELESS:
            continue
        assert column.name in prepare.prepare(data, out=tmp_path / column.name).features
        usable.append((column.name, bool(limit)))
    assert usable == [
        ("id", False),
        ("one", False),
        ("note", True),
        ("text", True),
        ("leak", False),
    ]
    assert (
        "none".ljust(26) + "# no value in any row: nothing to learn from it; it cannot be used"
        in text
    )


def test_labels_beside_the_label_are_said_to_look_like_it(tmp_path):
    frame = made.frame(300).drop(columns="label")
    moods = {
        name: (np.arange(300) * step % 7 < 3).astype(int)
        for step, name in enumerate(("sad", "calm", "glad"), 1)
    }
    findings = inspect.inspect(written(tmp_path / "a.csv", frame.assign(**moods)), target="calm")
    _, text = loaded(tmp_path, findings)
    said = "holds 0 and 1 beside calm, which does too: if it is another label of the same rows, add it to ignore"
    assert [column.name for column in findings.features if column.why == said] == ["sad", "glad"]
    assert text.count(said) == 2
    assert f"look at  sad: {said}" in draft.summary(findings)


def test_one_switch_beside_the_label_is_a_property_like_any_other(tmp_path):
    frame = made.frame(300).assign(
        member=np.arange(300) % 2, label=(np.arange(300) * 3 % 7 < 3).astype(int)
    )
    findings = inspect.inspect(
        written(tmp_path / "a.csv", frame[["age", "member", "label"]]), target="label"
    )
    assert [(column.name, column.why) for column in findings.features] == [
        ("age", ""),
        ("member", ""),
    ]


def test_moments_suggest_a_split_by_time(tmp_path):
    frame = made.frame(200).assign(when=pd.date_range("2024-01-01", periods=200).astype(str))
    config, _ = loaded(
        tmp_path, inspect.inspect(written(tmp_path / "a.csv", frame), target="label")
    )
    assert (config.data.split.method, config.data.split.column) == ("time", "when")


def test_a_user_column_suggests_a_split_by_group(tmp_path):
    frame = made.frame(200).assign(user_id=np.arange(200) % 40)
    config, _ = loaded(
        tmp_path, inspect.inspect(written(tmp_path / "a.csv", frame), target="label")
    )
    assert (config.data.split.method, config.data.split.column) == ("group", "user_id")


def test_names_and_values_of_the_file_cannot_break_the_yaml(tmp_path):
    odd = {
        "a: b # c": made.frame(100).age,
        "- x": ["'q\"", "no"] * 50,
        "e\nf": range(100, 200),
        "label": ["{y}", "#n"] * 50,
        "${data.path}": range(100),
        "${x} \\${y} a\\": ["${a}", "b"] * 50,
        "no": range(7, 107),
        "next\x85line": range(9, 109),
        "self": range(11, 111),
    }
    findings = inspect.inspect(written(tmp_path / "o.parquet", pd.DataFrame(odd)), target="label")
    config, _ = loaded(tmp_path, findings, name="odd")
    assert config.name == "odd"
    assert {column.name for column in findings.columns} == odd.keys() - {"label"}
    assert set(config.data.ignore) == {column.name for column in findings.ignored}


@pytest.mark.parametrize("target", ["${x}", "no", "self", "2024-01-01", "010"])
def test_a_target_may_have_any_name(tmp_path, target):
    findings = inspect.inspect(
        written(tmp_path / "o.csv", made.frame(100).rename(columns={"label": target})),
        target=target,
    )
    config, _ = loaded(tmp_path, findings)
    assert config.data.target == target
    assert prepare.prepare(config.data, out=tmp_path / "out").target == target


def test_a_text_column_with_many_values_and_many_rows_of_each_stays(tmp_path):
    frame = made.frame(4000).assign(city=[f"city {i % 150}" for i in range(4000)])
    config, _ = loaded(
        tmp_path, inspect.inspect(written(tmp_path / "a.csv", frame), target="label")
    )
    assert config.data.max_categories == 150
    assert "city" not in config.data.ignore


@pytest.mark.parametrize(
    ("name", "target", "kind", "sentence"),
    [
        ("absent.csv", "label", errors.UsageError, "not there"),
        ("rows.csv", "labl", errors.DataError, "did you mean 'label'"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_one_sentence(tmp_path, name, target, kind, sentence):
    written(tmp_path / "rows.csv", made.frame(100))
    with pytest.raises(kind, match=sentence):
        inspect.inspect(tmp_path / name, target=target)


def test_numbers_in_order_are_proposed_as_a_regression_with_the_reason(tmp_path):
    frame = made.frame(400).assign(bought=np.arange(400) % 75)
    findings = inspect.inspect(written(tmp_path / "a.csv", frame), target="bought")
    config, text = loaded(tmp_path, findings)
    assert config.data.task == "regression"
    assert "75 different whole numbers in order: a quantity" in text
    assert "0 to 74, " in draft.summary(findings)


def test_quantities_with_decimal_commas_are_a_regression(tmp_path):
    written_so = [f"{euros}.{euros % 1000:03d},50" for euros in range(100, 500)]
    findings = inspect.inspect(
        written(tmp_path / "a.csv", made.frame(400).assign(price=written_so)), target="price"
    )
    config, _ = loaded(tmp_path, findings)
    assert config.data.task == "regression"
    assert findings.shown.startswith("100,100 to 499,500, ")
    prepare.prepare(config.data, out=tmp_path / "dataset")


def test_few_whole_numbers_are_classes_with_what_else_they_may_be(tmp_path):
    findings = inspect.inspect(
        written(tmp_path / "a.csv", made.frame(400).assign(stars=np.arange(400) % 5)),
        target="stars",
    )
    assert findings.task == "classification"
    assert findings.task_why.startswith(
        "classes to tell apart: 5 different whole numbers; where they are counts"
    )


@pytest.mark.parametrize("joint", [" | ", ";", ", "])
def test_several_labels_in_a_cell_are_seen_and_the_separator_is_named(tmp_path, joint):
    names = ["login", "bug", "bill", "parcel"]
    tags = [
        joint.join(names[i] for i in range(4) if row >> i & 1) or names[0]
        for row in np.arange(400) % 16
    ]
    path = written(tmp_path / "a.csv", made.frame(400).assign(tags=tags))
    findings = inspect.inspect(path, target="tags")
    assert f"init with --separator {joint.strip()!r}" in draft.summary(findings)
    assert loaded(tmp_path, findings)[0].data.task == "classification"
    assert not inspect.inspect(path, target="tags", separator=joint.strip()).remark


def test_too_many_classes_that_are_joined_labels_are_refused_with_the_separator(tmp_path):
    tags = ["|".join(f"t{i}" for i in range(9) if (row >> i) & 1) or "t0" for row in range(400)]
    path = written(tmp_path / "a.csv", made.frame(400).assign(tags=tags))
    with pytest.raises(errors.DataError, match=r"at least three rows a class; '\|' stands in"):
        inspect.inspect(path, target="tags")


def test_classes_with_a_comma_in_their_names_are_no_several_labels(tmp_path):
    names = np.array(["Paris, France", "Rome, Italy", "Bonn, Germany"])[np.arange(400) % 3]
    assert not inspect.inspect(
        written(tmp_path / "a.csv", made.frame(400).assign(city=names)), target="city"
    ).remark


@pytest.mark.parametrize(
    ("value", "every", "seen"), [(-999, 20, True), (-999, 399, False), (-5, 20, False)]
)
def test_a_number_that_may_stand_for_none_is_said(tmp_path, value, every, seen):
    age = np.where(np.arange(400) % every == 1, value, np.arange(400) % 70)
    findings = inspect.inspect(
        written(tmp_path / "a.csv", made.frame(400).assign(years=age)), target="label"
    )
    assert ("look at  years: -999 in 5.0 % of the rows" in draft.summary(findings)) == seen


def test_the_metric_proposed_for_rare_classes_is_said_with_its_reason(tmp_path):
    rare = np.where(np.arange(2000) % 100 == 0, "yes", "no")
    frame = made.frame(2000).assign(fraud=rare)
    summary = draft.summary(inspect.inspect(written(tmp_path / "a.csv", frame), target="fraud"))
    assert (
        "metric   average_precision: a model that never says the rarest class is right in 99.0 %"
        in summary
    )


def test_a_file_of_the_target_alone_is_refused(tmp_path):
    with pytest.raises(errors.DataError, match="no column to predict"):
        inspect.inspect(written(tmp_path / "a.csv", made.frame(50)[["label"]]), target="label")


def test_the_terminal_says_how_free_text_is_used(tmp_path):
    frame = made.frame(400).assign(
        story=[f"my parcel {i} came late and the box was open" for i in range(400)]
    )
    findings = inspect.inspect(written(tmp_path / "a.csv", frame), target="label")
    assert "to use it, say in kinds that it is text: {story: text}" in draft.summary(findings)

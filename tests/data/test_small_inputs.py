"""What strangers' files hold: each is read as what it is, or left out with a true reason and an
advice that works."""

import datetime
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairway import errors
from fairway.config import loader, sections
from fairway.data import draft, inspect, prepare, splits
from fairway.model.schema import Feature
from tests.data import made

ROWS = 600
RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal(1e4, 5e3, ROWS).round(2)
AGES = RANDOM.integers(18, 90, ROWS)
DAYS = [
    datetime.date(2020, 1, 1) + datetime.timedelta(days=int(day))
    for day in RANDOM.integers(0, 1500, ROWS)
]
LABELS = np.where(RANDOM.random(ROWS) < 0.5, "yes", "no")


def swapped(number: float) -> str:
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def written(path: Path, column: Any) -> Path:
    table = pd.DataFrame({"x": RANDOM.normal(size=ROWS), "c": pd.Series(column), "label": LABELS})
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


def found(path: Path) -> inspect.Column:
    (column,) = (one for one in inspect.inspect(path, target="label").columns if one.name == "c")
    return column


def configured(path: Path, **keys: Any) -> sections.Data:
    """Return the data section that init writes for the file, with keys of one's own."""
    text = draft.render(inspect.inspect(path, target="label"), relative_to=path.parent)
    (path.parent / "fairway.yaml").write_text(text, encoding="utf-8")
    return loader.load(path.parent / "fairway.yaml").data.model_copy(update=keys)


def prepared(path: Path, **keys: Any) -> tuple[Feature, list[Any]]:
    """Return the feature that the column became, and its raw values in the rows' order."""
    out = path.parent / "out"
    prepare.prepare(configured(path, **keys), out=out)
    parts = [splits.columns(out, name) for name in ("train", "validation", "test")]
    order = np.argsort(np.concatenate([numbers for _, numbers in parts]))
    (feature,) = (one for one in splits.load(out).schema.features if one.name == "c")
    return feature, np.concatenate([columns["c"] for columns, _ in parts])[order].tolist()


UTC_SECONDS = [float((day - datetime.date(1970, 1, 1)).days * 86400) for day in DAYS]
ZONED = pd.to_datetime(pd.Series(DAYS)).dt.tz_localize("Asia/Tokyo")


@pytest.mark.parametrize(
    ("file", "column", "kind", "values"),
    [
        pytest.param(
            "a.csv", [f"{v:,.2f}" for v in NUMBERS], "number", NUMBERS.tolist(), id="thousands"
        ),
        pytest.param(
            "a.csv",
            [f"{v:.2f}".replace(".", ",") for v in NUMBERS],
            "number",
            NUMBERS.tolist(),
            id="comma",
        ),
        pytest.param(
            "a.csv",
            [swapped(v) for v in NUMBERS],
            "number",
            NUMBERS.tolist(),
            id="points-and-a-comma",
        ),
        pytest.param(
            "a.csv", [f"  {v} " for v in NUMBERS], "number", NUMBERS.tolist(), id="padded"
        ),
        pytest.param(
            "a.csv",
            [f"{v}%" for v in AGES],
            "number",
            [float(f"{v}e-2") for v in AGES],
            id="percent",
        ),
        pytest.param(
            "a.parquet",
            [Decimal(str(v)) for v in NUMBERS],
            "number",
            NUMBERS.tolist(),
            id="DECIMAL",
        ),
        pytest.param(
            "a.parquet",
            [str(v).encode() for v in NUMBERS],
            "number",
            NUMBERS.tolist(),
            id="BINARY-numbers",
        ),
        pytest.param(
            "a.parquet",
            [[b"red", b" red"][v % 2] if v < 50 else b"blue" for v in AGES],
            "category",
            ["red" if v < 50 else "blue" for v in AGES],
            id="BINARY-words",
        ),
        pytest.param(
            "a.csv",
            [f"{v:05}" for v in AGES],
            "category",
            [f"{v:05}" for v in AGES],
            id="leading-zeros-are-a-word",
        ),
        pytest.param(
            "a.csv", AGES < 40, "boolean", (AGES < 40).astype(float).tolist(), id="booleans"
        ),
        pytest.param(
            "a.csv",
            ["true" if v < 40 else "false" for v in AGES],
            "boolean",
            (AGES < 40).astype(float).tolist(),
            id="true",
        ),
        pytest.param(
            "a.csv", [f"{day:%d/%m/%Y}" for day in DAYS], "datetime", UTC_SECONDS, id="day-first"
        ),
        pytest.param(
            "a.csv", [f"{day:%m/%d/%y}" for day in DAYS], "datetime", UTC_SECONDS, id="month-first"
        ),
        *(
            pytest.param(
                "a.csv", [format(day, way) for day in DAYS], "datetime", UTC_SECONDS, id=way
            )
            for way in (
                "%Y/%m/%d",
                "%d %b %Y",
                "%d-%b-%y",
                "%B %d, %Y",
                "%a, %d %b %Y 00:00:00 GMT",
            )
        ),
        pytest.param(
            "a.csv",
            [str(v).replace("-", "\u2212") for v in NUMBERS],
            "number",
            NUMBERS.tolist(),
            id="minus",
        ),
        pytest.param(
            "a.csv",
            [f"{day}T00:00:00+09:00" for day in DAYS],
            "datetime",
            [s - 32400 for s in UTC_SECONDS],
            id="zone",
        ),
        pytest.param(
            "a.parquet",
            ZONED,
            "datetime",
            [s - 32400 for s in UTC_SECONDS],
            id="timestamps-with-zone",
        ),
    ],
)
def test_a_column_is_read_as_what_it_is(tmp_path, file, column, kind, values):
    path = written(tmp_path / file, column)
    split = sections.Split()  # by default the first column of moments orders the rows
    feature, read = prepared(path, split=split, ignore=())
    assert (feature.kind, read) == (kind, values)


@pytest.mark.parametrize("file", ["a.csv", "a.parquet"])
def test_words_and_numbers_that_stand_for_none_are_missing_in_every_source(tmp_path, file):
    path = written(tmp_path / file, [-999 if v < 30 else v for v in AGES])
    feature, read = prepared(path, missing_values=("", "-999"))
    assert feature.nullable
    assert [value for value in read if value == value] == [float(v) for v in AGES if v >= 30]
    assert Feature.from_json(feature.to_json()).missing == ("", "-999")


def test_codes_with_gaps_are_words_without_a_point(tmp_path):
    path = written(tmp_path / "a.csv", [None if v < 30 else float(v % 7) for v in AGES])
    feature, read = prepared(path, categorical=("c",))
    assert set(feature.categories) == set("0123456")
    assert read == ["" if v < 30 else str(v % 7) for v in AGES]


def test_booleans_are_categories_where_the_user_says_so(tmp_path):
    feature, read = prepared(written(tmp_path / "a.parquet", AGES < 40), categorical=("c",))
    assert (feature.kind, read) == ("category", [str(v < 40) for v in AGES])


def test_a_code_is_a_number_where_the_user_says_so(tmp_path):
    feature, read = prepared(
        written(tmp_path / "a.csv", [f"{v:05}" for v in AGES]), kinds={"c": "number"}
    )
    assert (feature.kind, read) == ("number", AGES.astype(float).tolist())


def test_identifiers_beyond_what_a_float_holds_stay_what_they_are(tmp_path):
    identifiers = [2**53 + 1 + int(v) for v in AGES]
    for name in ("a.csv", "a.parquet"):
        column = [None, *identifiers[1:]] if name == "a.csv" else identifiers
        path = written(
            tmp_path / name, pd.Series(column, dtype=object if None in column else "int64")
        )
        assert "cannot be told apart" in found(path).why
        feature, read = prepared(path, categorical=("c",), ignore=())
        assert read[1:] == [str(value) for value in identifiers[1:]]
        assert len(feature.categories) == len(set(column) - {None})


@pytest.mark.parametrize(
    ("column", "why", "advice", "keys"),
    [
        pytest.param(
            ["unknown" if row == 7 else v for row, v in enumerate(AGES)],
            "c is a number in 599 rows, and 'unknown' in row 7: wanted a number",
            "to use it, add 'unknown' to missingValues, or correct the rows",
            {"missing_values": ("", "unknown")},
            id="one-bad-cell",
        ),
        pytest.param(
            ["tomorrow" if row == 7 else day.isoformat() for row, day in enumerate(DAYS)],
            "c is a moment in 599 rows, and 'tomorrow' in row 7: wanted a moment",
            "to use it, add 'tomorrow' to missingValues, or correct the rows",
            {"missing_values": ("", "tomorrow")},
            id="one-bad-date",
        ),
        pytest.param(
            [f"{1000 + v:,}" for v in AGES],
            "which can be read in more than one way: say which in data.notations, {c: grouped} or {c: comma}",
            "to use it, say in notations how it is written: {c: grouped} or {c: comma}",
            {"notations": {"c": "comma"}},
            id="a-thousand-or-one",
        ),
        pytest.param(
            [f"{1 + v % 4}/{1 + v % 3}/2024" for v in AGES],
            "c is 1/2/2024, which can be read in more than one way: say which in data.notations, {c: day-first} or",
            "to use it, say in notations how it is written: {c: day-first} or {c: month-first}",
            {"notations": {"c": "day-first"}},
            id="day-or-month-first",
        ),
        pytest.param(
            [f"word {row // 2}" for row in range(ROWS)],
            "300 different texts in 600 rows: an identifier or free text",
            "to use it, set maxCategories to 300 at least",
            {"max_categories": 300},
            id="many-words",
        ),
        pytest.param(
            [f"the parcel {row} came late again" for row in range(ROWS)],
            "600 different texts in 600 rows: an identifier or free text",
            "to use it, say in kinds that it is text: {c: text}",
            {"kinds": {"c": "text"}},
            id="sentences",
        ),
    ],
)
def test_what_only_a_person_can_decide_is_said_with_an_advice_that_works(
    tmp_path, column, why, advice, keys
):
    path = written(tmp_path / "a.csv", column)
    said = found(path)
    assert (said.use, said.needs[: len(advice)]) == ("ignore", advice)
    assert why in said.why
    assert "1000" not in said.why  # init's own limit
    with pytest.raises(errors.DataError, match="feature c "):
        prepared(path, ignore=())
    assert prepared(path, ignore=(), **keys)[0].name == "c"


@pytest.mark.parametrize(
    ("column", "why", "advice"),
    [
        pytest.param(
            [f"order {row:06}" for row in range(ROWS)],
            "600 different texts in 600 rows: an identifier or free text",
            "it cannot be used",
            id="a-name-of-each-row",
        ),
        pytest.param(
            [f"€{v:.2f}" for v in NUMBERS],
            "has numbers with '€', such as '€",
            "to use it, write its numbers alone",
            id="currency",
        ),
        pytest.param(
            [f"{v:.2f} kg" for v in NUMBERS], "has numbers with 'kg'", "to use it, write", id="unit"
        ),
        pytest.param(
            [f"({v})" if v > 9000 else str(v) for v in NUMBERS],
            "has numbers with '()'",
            "to use it, write",
            id="brackets-of-accountants",
        ),
    ],
)
def test_what_no_configuration_makes_a_feature_is_said_truly(tmp_path, column, why, advice):
    path = written(tmp_path / "a.csv", column)
    said = found(path)
    assert (said.use, said.needs[: len(advice)]) == ("ignore", advice)
    assert said.why.startswith(why)
    with pytest.raises(errors.DataError, match="feature c has"):
        prepared(path, ignore=())


@pytest.mark.parametrize(
    ("column", "remark"),
    [
        (
            ["unknown" if row == 7 else v % 5 for row, v in enumerate(AGES)],
            "numbers beside 'unknown'",
        ),
        (["x" if row == 7 else v < 40 for row, v in enumerate(AGES)], "true and false beside 'x'"),
        ([[True, "False", 1, 0][v % 4] for v in AGES], "true and false beside '1'"),
        ([f"{v % 20} kg" for v in AGES], "numbers with 'kg'"),
    ],
)
def test_words_that_may_be_a_mistake_are_said_by_init_and_prepare(tmp_path, column, remark):
    path = written(tmp_path / "a.csv", column)
    assert (found(path).use, remark in found(path).why) == ("feature", True)
    record = prepare.prepare(configured(path), out=tmp_path / "out")
    assert any(remark in warning for warning in record.warnings)


def test_one_enormous_value_spoils_neither_the_scale_nor_the_profile(tmp_path):
    path = written(tmp_path / "a.csv", [1e200 if row == 7 else v for row, v in enumerate(NUMBERS)])
    assert found(path).why.startswith("is 1e+200 in 1 of 600 rows")
    record = prepare.prepare(configured(path), out=tmp_path / "out")
    assert any("feature c is 1e+200 in 1 of 600 rows" in warning for warning in record.warnings)
    train = splits.load(tmp_path / "out").train
    column = train.inputs()["numbers"][
        :, [one.name for one in splits.load(tmp_path / "out").schema.features].index("c")
    ]
    assert np.isfinite(column).all()
    assert np.quantile(column, 0.9) - np.quantile(column, 0.1) > 0.5
    assert "Infinity" not in (tmp_path / "out" / "preprocessing.json").read_text()
    assert "Infinity" not in (tmp_path / "out" / "profile.json").read_text()


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        pytest.param(
            [True, 2.5] * (ROWS // 2),
            "holds booleans among other values",
            id="booleans-and-numbers",
        ),
        pytest.param([[1, 2]] * ROWS, "holds values of type list", id="lists"),
        pytest.param(
            [{"a": 1}, "b"] * (ROWS // 2), "holds values of type dict and str", id="maps-and-words"
        ),
        pytest.param(
            [b"\xff\xfe", b"\xff"] * (ROWS // 2),
            "holds values of type bytes",
            id="bytes-that-are-no-text",
        ),
    ],
)
def test_a_column_of_several_kinds_is_told(column, sentence):
    from fairway.data import infer

    table = pd.DataFrame({"c": pd.Series(column, dtype=object), "label": LABELS})
    with pytest.raises(errors.DataError, match=sentence):
        infer.infer(table, section=made.section(path=Path("a.csv")), image_shape=None)


def test_targets_with_leading_zeros_keep_them(tmp_path):
    table = pd.DataFrame({"x": NUMBERS, "label": [f"{1 + v % 2:02}" for v in AGES]})
    table.to_csv(tmp_path / "a.csv", index=False)
    section = made.section(path=tmp_path / "a.csv")
    assert prepare.prepare(section, out=tmp_path / "out").classes == ("01", "02")


def test_a_decimal_of_a_csv_is_the_double_that_json_has(tmp_path):
    """pandas' own reader is off by one in the last place for some of these."""
    texts = [f"{v:.17g}" for v in np.random.default_rng(1).lognormal(3, 5, ROWS)]
    _, read = prepared(written(tmp_path / "a.csv", texts))
    assert read == [float(text) for text in texts]


@pytest.mark.parametrize("name", ["file", "self", "${x}", "a b", "no"])
def test_a_column_may_have_any_name(tmp_path, name):
    made.frame(200).rename(columns={"age": name}).to_csv(tmp_path / "a.csv", index=False)
    findings = inspect.inspect(tmp_path / "a.csv", target="label")
    (tmp_path / "fairway.yaml").write_text(draft.render(findings, relative_to=tmp_path))
    data = loader.load(tmp_path / "fairway.yaml").data
    assert name in prepare.prepare(data, out=tmp_path / "out").features


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            {"kinds": {"agee": "number"}},
            "data.kinds names 'agee', which is no column; did you mean 'age'",
        ),
        (
            {"kinds": {"age": "nunber"}},
            "data.kinds.age is 'nunber', which is no kind; did you mean 'number'?",
        ),
        ({"notations": {"age": "dayfirst"}}, "data.notations.age is 'dayfirst': wanted"),
        ({"kinds": {"town": "number"}}, "feature town is 'York' in row 0: wanted a finite number"),
    ],
)
def test_a_kind_or_notation_that_is_none_is_told(tmp_path, keys, sentence):
    made.frame(200).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(errors.DataError, match=re.escape(sentence)):
        prepare.prepare(made.section(path=tmp_path / "a.csv", **keys), out=tmp_path / "out")

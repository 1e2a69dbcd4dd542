import json
import math
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway.model import kinds, preprocessing
from fairway.model.schema import Feature, Schema

SRC = Path(__file__).parents[2] / "src" / "fairway"
ASKS = re.compile(r"""feature(\.kind|\[.kind.\]) *(==|!=|in) *["'(\[]""")
NUMBER, CATEGORY = Feature(name="age", kind="number"), Feature(name="town", kind="category")


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        pytest.param(
            np.arange(1.0, 9.0),
            [
                "age from 1 to below 2.75",
                "age from 2.75 to below 4.5",
                "age from 4.5 to below 6.25",
                "age from 6.25 to 8",
            ],
            id="quartiles",
        ),
        pytest.param(np.array([5.0, 5.0, 5.0]), ["age = 5"], id="constant"),
        pytest.param(np.array([0.0, 1.0, 1.0, np.nan]), ["age = 0", "age = 1"], id="a flag"),
        pytest.param(np.array([np.nan, np.nan]), [], id="all missing"),
        pytest.param(
            np.array([0.0] * 90 + [1.0, 2.0, 3.0, 4.0, 5.0]),
            ["age from 0 to 5"],
            id="nearly constant",
        ),
    ],
)
def test_a_number_is_cut_so_that_every_row_is_in_one_part(column, labels):
    parts = kinds.of(NUMBER).parts(column, NUMBER)
    assert [label for label, inside in parts if inside.any()] == labels + (
        ["age = (missing)"] if np.isnan(column).any() else []
    )
    assert np.array_equal(sum(inside.astype(int) for _, inside in parts), np.ones(len(column)))


def test_a_category_has_a_part_for_each_value_and_one_for_missing():
    parts = dict(
        kinds.of(CATEGORY).parts(
            np.array(["York", "", "Bath", "York", None], dtype=object), CATEGORY
        )
    )
    assert {label: int(inside.sum()) for label, inside in parts.items()} == {
        "town = York": 2,
        "town = Bath": 1,
        "town = (missing)": 2,
    }


@dataclass(frozen=True)
class Example:
    """What the contract of a kind is held against: spellings in groups that mean the same, and a
    value that is none."""

    feature: Feature
    same: tuple[tuple[Any, ...], ...]
    none: Any


PICTURE = [[[0.0, 1.0], [2.0, 3.0]]]
EXAMPLES = {
    "number": Example(
        Feature(name="x", kind="number", nullable=True),
        same=(
            (3, 3.0, "3", " 3.0", Decimal(3), np.float32(3), np.int8(3)),
            (None, math.nan, ""),
            (0.0, -0.0, "-0"),
            (0.451, "45.1%", " 45.1 %"),
            (12345.5, "12 345.5", "12345.50"),
        ),
        none="three",
    ),
    "category": Example(
        Feature(
            name="x",
            kind="category",
            categories=("3", "b", "True"),
            nullable=True,
            missing=("-1", "?"),
        ),
        same=(
            ("b", " b", "b ", b"b"),
            (3, 3.0, "3", "3.0", " 3.", np.float64(3), Decimal("3.00")),
            (True, "True", "true", "TRUE", np.True_),
            (None, math.nan, "", "  ", "?", -1, "-1.0", -1.0),
        ),
        none=["a", "list"],
    ),
    "boolean": Example(
        Feature(name="x", kind="boolean", nullable=True),
        same=(
            (True, "true", "True", " TRUE ", 1, 1.0, "1", np.True_),
            (False, "false", b"False", 0, 0.0, -0.0, "0"),
            (None, math.nan, ""),
        ),
        none="yes",
    ),
    "datetime": Example(
        Feature(name="x", kind="datetime", nullable=True, notation="day-first"),
        same=(
            (
                datetime(2024, 5, 31, 14, 30),
                "2024-05-31T14:30:00Z",
                "2024-05-31 14:30",
                "2024-05-31T16:30:00+02:00",
                " 2024-05-31 09:30:00.000000 -0500",
                "31/05/2024 14:30",
                "31.5.24, 2:30 pm",
                datetime(2024, 5, 31, 16, 30, tzinfo=timezone(timedelta(hours=2))),
                np.datetime64("2024-05-31T14:30:00.000000"),
                1717165800,
                1717165800.0,
            ),
            (date(1969, 7, 20), "1969-07-20", "20.07.1969", "1969-07-20 00:00:00 UTC"),
            ("2024-05-31T14:30:00.123457Z", datetime(2024, 5, 31, 14, 30, 0, 123457)),
            (None, math.nan, ""),
        ),
        none="2024-02-30",
    ),
    "text": Example(
        Feature(name="x", kind="text", nullable=True, missing=("n/a",)),
        same=(
            ("Late again.", " Late again. ", b"Late again."),
            ("3", 3, 3.0, "3.0"),
            (None, math.nan, "", " n/a "),
        ),
        none={"a": 1},
    ),
    "image": Example(
        Feature(name="x", kind="image", shape=(1, 2, 2)),
        same=(
            (PICTURE, [0, 1, 2, 3], json.dumps(PICTURE), np.arange(4.0)),
            ([9.0] * 4, np.full((1, 2, 2), 9)),
        ),
        none=[1.0, 2.0],
    ),
}


@pytest.fixture(params=kinds.OURS)
def example(request) -> Example:
    assert request.param in EXAMPLES, "a new kind needs an example here"
    return EXAMPLES[request.param]


@pytest.fixture
def kind(example) -> kinds.Kind:
    return kinds.of(example.feature)


@pytest.fixture
def column(kind, example) -> np.ndarray:
    """Return raw rows: one of each group of spellings, eight times."""
    return kind.read([group[0] for group in example.same] * 8, example.feature)


@pytest.fixture
def learnt(kind, column, example) -> Feature:
    """Return the feature that the rows show."""
    present = kind.read(
        [group[0] for group in example.same if not kinds.is_missing(group[0])], example.feature
    )
    return kind.learn("x", present, nullable=example.feature.nullable)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Say whether two columns are alike bit for bit, whether pixels lie side by side or in their
    block."""
    return one.dtype == other.dtype and repr(one.ravel().tolist()) == repr(other.ravel().tolist())


def test_every_spelling_of_a_value_is_read_as_the_same(kind, example):
    for group in example.same:
        rows = [kind.read([value], example.feature) for value in group]
        assert all(same(rows[0], row) for row in rows), group


def test_a_word_that_a_model_knows_with_its_spaces_is_read_with_them():
    feature = Feature(name="x", kind="category", categories=(" Private", "Gov"))
    assert kinds.of(feature).read([" Private", " Gov", "Private"], feature).tolist() == [
        " Private",
        "Gov",
        " Private",
    ]


def test_booleans_are_numbers_among_themselves_and_mistakes_among_numbers():
    assert kinds.of(NUMBER).read([True, None, False], NUMBER).tolist()[::2] == [1.0, 0.0]
    with pytest.raises(kinds.Unreadable, match="True in row 1"):
        kinds.of(NUMBER).read([2.5, True], NUMBER)


def test_true_is_no_number_where_training_saw_others_than_0_and_1():
    age, switch = (
        Feature(name="x", kind="number", minimum=0, maximum=top, nullable=True) for top in (90, 1)
    )
    assert kinds.of(switch).from_json([True, None], 2, switch).tolist()[:1] == [1.0]
    with pytest.raises(kinds.Unfit, match="holds True in row 0: wanted a finite number"):
        kinds.of(age).from_json([True, None], 2, age)


@pytest.mark.parametrize("code", ["f2", "f4", "f8"])
def test_a_code_is_the_same_in_numbers_of_any_width(code):
    feature = Feature(name="x", kind="category", categories=("1.1", "3", "2.7"), nullable=True)
    packed = np.array([1.1, 3, 2.7, np.nan], dtype=f"<{code}")
    datatype = {"f2": "FP16", "f4": "FP32", "f8": "FP64"}[code]
    read = kinds.of(feature).from_binary(memoryview(packed.tobytes()), datatype, 4, feature)
    assert read.tolist() == ["1.1", "3", "2.7", ""]
    assert (
        kinds.of(feature).read(packed, Feature(name="x", kind="category")).tolist() == read.tolist()
    )


def test_an_accent_may_be_written_apart_from_its_letter():
    feature = Feature(name="x", kind="category", categories=("Z\u00fcrich", "Z\u00fcg"))
    apart = [name.replace("\u00fc", "u\u0308") for name in feature.categories]
    assert kinds.of(feature).read(apart, feature).tolist() == list(feature.categories)


def test_seconds_may_be_text_and_other_digits_are_no_moment():
    feature = Feature(name="x", kind="datetime")
    assert kinds.of(feature).read(["1717113600", " 1717113600.5"], feature).tolist() == [
        1717113600.0,
        1717113600.5,
    ]
    for digits in ("20240531", "1717113600000", "12:30"):
        with pytest.raises(kinds.Unreadable):
            kinds.of(feature).read([digits], feature)


def test_different_values_are_read_as_different(kind, example):
    rows = [kind.read([group[0]], example.feature) for group in example.same]
    assert not any(same(rows[0], row) for row in rows[1:])


def test_a_value_that_is_none_is_missing_and_said_where_the_reading_is_lenient(
    kind, column, example
):
    lost: list[int] = []
    if kind.absent is None:
        with pytest.raises(kinds.Unreadable):
            kind.read([example.none], example.feature, lost=lost)
        return
    read = kind.read(
        [example.same[0][0], example.none, example.same[1][0]], example.feature, lost=lost
    )
    assert lost == [1]
    assert kind.gaps(read)[1]
    assert same(read[[0, 2]], kind.read([group[0] for group in example.same[:2]], example.feature))


def test_what_was_read_is_read_as_itself(kind, column, example):
    assert same(kind.read(column, example.feature), column)
    assert same(kind.read(column.tolist(), example.feature), column)


@pytest.mark.parametrize(
    "empty", [[], np.array([]), np.array([], dtype=object)], ids=["list", "floats", "objects"]
)
def test_no_rows_are_read_as_no_rows(kind, column, example, empty):
    rows = kind.read(empty, example.feature)
    assert rows.shape == (0, *column.shape[1:])
    assert rows.dtype == column.dtype


def test_a_value_that_is_none_is_refused_with_its_row(kind, example):
    with pytest.raises(kinds.Unreadable) as told:
        kind.read([example.same[0][0], example.none], example.feature)
    assert told.value.row == 1
    assert "wanted" in str(told.value)


def test_rows_sent_as_json_arrive_as_they_were_read(kind, column, example):
    sent = json.loads(json.dumps(kind.plain_list(column), allow_nan=False))
    arrived = kind.from_json(sent, len(column), example.feature)
    assert same(kind.read(arrived, example.feature), column)


def test_rows_sent_as_bytes_arrive_as_they_were_read(kind, column, example):
    if kind.datatype == "BYTES":
        words = [(word or "").encode() for word in kind.plain_list(column)]
        raw = b"".join(len(word).to_bytes(4, "little") + word for word in words)
    else:
        raw = column.tobytes()
    # booleans have no missing value
    datatype = "FP64" if kind.datatype == "BOOL" else kind.datatype
    arrived = kind.from_binary(memoryview(raw), datatype, len(column), example.feature)
    assert same(kind.read(arrived, example.feature), column)


@pytest.mark.parametrize("cut", [1, -1], ids=["too few", "too many"])
def test_another_number_of_bytes_than_the_shape_says_is_refused(kind, column, example, cut):
    raw = memoryview(
        column.tobytes() if kind.datatype != "BYTES" else b"".join(b"\1\0\0\0b" for _ in column)
    )
    with pytest.raises(kinds.Unfit):
        kind.from_binary(raw, kind.datatype, len(column) + cut, example.feature)


def test_a_single_value_takes_the_short_way_to_the_same_column(kind, example):
    for group in example.same:
        short = kind.single(group[0], example.feature)
        assert short is None or same(short, kind.read([group[0]], example.feature))


def test_what_was_learnt_goes_through_json_and_may_be_claimed(kind, learnt):
    written = json.loads(json.dumps(learnt.to_json(), allow_nan=False))
    assert Feature.from_json(written) == learnt
    assert kind.refuse(written) is None
    assert kind.describe(learnt)
    assert kind.datatype in kind.datatypes


@pytest.mark.parametrize("key", ["shape", "min", "categories"])
def test_a_claim_that_cannot_be_is_refused_by_its_key(kind, learnt, key):
    wrong = {"shape": 7, "min": math.inf, "categories": 7}
    refused = kind.refuse(learnt.to_json() | {key: wrong[key]})
    assert refused is None or key in refused[0]
    assert any(kind.refuse(learnt.to_json() | {name: value}) for name, value in wrong.items())


def test_rows_of_training_are_prepared_as_finite_numbers_in_the_kind_s_input(kind, learnt, column):
    known = Schema(target="t", classes=("a", "b"), features=(learnt,))
    fitted = preprocessing.fit({"x": column}, schema=known)
    named = preprocessing.Preprocessor.load(json.loads(json.dumps(fitted.dump()))).transform(
        {"x": column}
    )
    assert list(named) == [kind.input]
    assert np.isfinite(named[kind.input]).all()
    assert preprocessing.flat(named).shape == (len(column), fitted.width)
    assert len(set(fitted.columns("flat"))) == fitted.width
    assert fitted.number_columns == (named[kind.input].shape[1] if kind.input == "numbers" else 0)
    usual = [
        {
            "name": "x",
            "kind": kind.name,
            "shape": list(learnt.shape),
            "steps": kind.usual_steps(learnt),
        }
    ]
    assert len(preprocessing.Preprocessor(usual).transform({"x": column})[kind.input]) == len(
        column
    )


def test_a_profile_is_plain_json(kind, column):
    assert json.loads(json.dumps(kind.profile(column), allow_nan=False))


def test_every_row_is_in_exactly_one_slice(kind, learnt, column):
    if not kind.sliceable:
        assert not kind.is_sliced(learnt)
        return
    inside = [mask for _, mask in kind.parts(column, learnt)]
    assert (np.sum(inside, axis=0) == 1).all()


def test_bins_are_few_and_as_many_as_there_are_values(kind, column, example):
    found = kind.bins(column)
    assert found is None or found[1] == len(set(found[0].tolist())) == len(example.same)


def test_windows_that_are_the_same_are_compared_without_a_missing_value(kind, column):
    for one in kind.compared("x", column, column):
        assert one.name.startswith("x")
        assert np.isfinite(one.reference).all()
        assert np.array_equal(one.reference, one.window)


def test_no_row_of_training_lies_outside_or_far(kind, learnt, column):
    assert kind.outside(learnt)(column) == kind.far(learnt)(column) == 0


def test_made_up_rows_are_read_and_lie_inside(kind, learnt):
    made = kind.read(kind.sweep(learnt, np.arange(8) * 3 % 8, most=7), learnt)
    assert len(made) == 8
    assert kind.outside(learnt)(made) == 0
    assert len({str(row) for row in made}) > 1


def test_enormous_numbers_are_far_where_no_range_is_known():
    assert kinds.of(NUMBER).outside(NUMBER) is None
    assert kinds.of(NUMBER).far(NUMBER)(np.array([1.0, 1e12, np.nan])) == 1


def test_no_module_but_a_kind_s_own_compares_the_kind_of_a_feature():
    """A kind is added in model/kinds alone: what asks for its name elsewhere would have to be found
    and changed."""
    allowed = {"model/kinds/__init__.py"}
    found = [
        f"{path.relative_to(SRC)}: {line.strip()}"
        for path in SRC.rglob("*.py")
        if str(path.relative_to(SRC)) not in allowed
        for line in path.read_text(encoding="utf-8").splitlines()
        if ASKS.search(line)
    ]
    assert not found

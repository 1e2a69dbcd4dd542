import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fairway import errors
from fairway.model import preprocessing
from fairway.model.schema import Feature, Schema

STEPS = [
    {"op": "impute", "value": 2.0},
    {"op": "clip", "low": 0.0, "high": 8.0},
    {"op": "log"},
    {"op": "scale", "mean": 1.0, "std": 2.0},
]
NUMBER = {"name": "x", "kind": "number", "steps": STEPS}
CATEGORY = {
    "name": "c",
    "kind": "category",
    "steps": [{"op": "encode", "categories": ["a", "b"], "missing": 3}],
}
IMAGE = {
    "name": "i",
    "kind": "image",
    "shape": [1, 2, 2],
    "steps": [{"op": "scale", "offset": 0.0, "factor": 0.25}],
}


def load(*entries):
    return preprocessing.Preprocessor.load({"version": 1, "features": list(entries)})


def words(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def test_steps_of_a_number_are_done_in_their_order():
    seen = load(NUMBER).transform({"x": np.array([np.nan, -5.0, 100.0])})["numbers"]
    wanted = (np.log1p([[2.0], [0.0], [8.0]]) - 1) / 2
    np.testing.assert_array_equal(seen, wanted.astype(np.float32))


def test_an_order_of_its_own_is_kept_beside_the_usual_one():
    steps = [{"op": "scale", "mean": 0.0, "std": 2.0}, {"op": "clip", "low": -1.0, "high": 1.0}]
    turned = {"name": "y", "kind": "number", "steps": steps}
    seen = load(NUMBER, turned).transform({"x": np.array([8.0]), "y": np.array([10.0])})["numbers"]
    assert seen[0, 1] == 1.0


@pytest.mark.parametrize(
    ("value", "index"), [("a", 1), ("b", 2), ("z", 0), (None, 3), ("", 3), (float("nan"), 3)]
)
def test_a_category_is_known_unknown_or_missing(value, index):
    assert load(CATEGORY).transform({"c": words(value)})["categories"].tolist() == [[index]]


def test_a_missing_category_is_unknown_where_training_had_none():
    entry = {**CATEGORY, "steps": [{"op": "encode", "categories": ["a", "b"]}]}
    assert load(entry).transform({"c": words(None)})["categories"].tolist() == [[0]]


@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 2, 2)])
def test_an_image_may_come_flat_or_in_its_shape(shape):
    seen = load(IMAGE).transform({"i": np.full(shape, 4.0, dtype=np.float32)})["image"]
    assert seen.shape == (3, 1, 2, 2)
    assert seen.dtype == np.float32
    assert (seen == 1.0).all()


def test_the_named_layout_has_no_key_for_what_is_not_there():
    assert list(load(NUMBER).transform({"x": np.array([1.0])})) == ["numbers"]


def test_the_flat_layout_is_numbers_then_one_hot_then_pixels():
    preprocessor = load(IMAGE, CATEGORY, NUMBER)
    images = np.ones((2, 4), dtype=np.float32)
    named = preprocessor.transform(
        {"x": np.array([2.0, 2.0]), "c": words("b", "unheard"), "i": images}
    )
    flat = preprocessing.flat(named)
    assert flat.shape == (2, preprocessor.width)
    np.testing.assert_array_equal(flat[:, 1:4], [[0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(flat[:, 4:], np.full((2, 4), 0.25))
    np.testing.assert_array_equal(flat, preprocessor.flat(dict(named)))


def test_a_plain_dictionary_of_categories_has_no_known_width():
    with pytest.raises(errors.DataError, match="cardinalities"):
        preprocessing.flat({"categories": np.array([[1]])})


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"x": np.array([1.0])}, "feature 'c' is missing"),
        ({"x": np.array([1.0, 2.0]), "c": words("a")}, "feature 'c' has 1 rows, 'x' has 2"),
        ({"x": words("one", "two"), "c": words("a", "b")}, "feature 'x' has values of type object"),
    ],
)
def test_columns_that_do_not_fit_are_named(columns, sentence):
    with pytest.raises(errors.DataError, match=sentence):
        load(NUMBER, CATEGORY).transform(columns)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"version": 2, "features": []}, "version 2"),
        ({"version": 1}, "features"),
        ({"version": 1, "features": [{**NUMBER, "steps": [{"op": "root"}]}]}, "'root'"),
        ({"version": 1, "features": [{**CATEGORY, "steps": []}]}, "wanted one, encode"),
        ({"version": 1, "features": [{**IMAGE, "steps": [{"op": "log"}]}]}, "wanted scale"),
        ({"version": 1, "features": [IMAGE, {**IMAGE, "name": "j"}]}, "at most one"),
    ],
)
def test_damaged_preprocessing_is_refused_in_one_sentence(data, sentence):
    with pytest.raises(errors.DataError, match=sentence):
        preprocessing.Preprocessor.load(data)


numbers = npst.arrays(
    np.float64, st.integers(1, 40), elements=st.one_of(st.just(np.nan), st.floats(-1e9, 1e9))
)
texts = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d e"]))


@given(values=numbers, data=st.data())
def test_a_round_trip_through_json_transforms_the_same_bits_row_by_row(values, data):
    column = words(*data.draw(st.lists(texts, min_size=len(values), max_size=len(values))))
    schema = Schema(
        target="t",
        classes=("0", "1"),
        features=(
            Feature(name="x", kind="number", nullable=True),
            Feature(name="c", kind="category", categories=("a", "b", "c"), nullable=True),
        ),
    )
    fitted = preprocessing.fit({"x": values, "c": column}, schema=schema)
    again = preprocessing.Preprocessor.load(json.loads(json.dumps(fitted.dump(), allow_nan=False)))
    whole = fitted.transform({"x": values, "c": column})
    for row in range(len(values)):
        one = again.transform({"x": values[row : row + 1], "c": column[row : row + 1]})
        np.testing.assert_array_equal(one["numbers"], whole["numbers"][row : row + 1])
        np.testing.assert_array_equal(one["categories"], whole["categories"][row : row + 1])
    assert np.isfinite(whole["numbers"]).all()


def test_the_server_side_imports_numpy_and_no_data_frame():
    heavy = "[name for name in ('pandas', 'pyarrow', 'sklearn', 'torch') if name in sys.modules]"
    code = f"import sys, fairway.model.preprocessing, fairway.model.schema; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

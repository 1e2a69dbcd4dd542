import numpy as np
import pytest

from fairway import artifacts, errors
from fairway.data import validate
from fairway.data.schema import Feature, Schema

SCHEMA = Schema(
    target="y",
    classes=("a", "b"),
    features=(
        Feature(name="x", kind="number", minimum=0.0, maximum=1.0),
        Feature(name="c", kind="category", categories=("u", "v"), dtype="string"),
        Feature(name="i", kind="image", shape=(1, 2, 2)),
    ),
)


def good(**changes):
    words = np.array(["u", "unheard"], dtype=object)
    return {"x": np.array([0.5, 99.0]), "c": words, "i": np.zeros((2, 4), dtype=np.float32), **changes}


def test_a_schema_comes_back_from_json(tmp_path):
    artifacts.write_json(tmp_path / "schema.json", SCHEMA.to_json())
    assert validate.load(tmp_path / "schema.json") == SCHEMA


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_schema_is_told(tmp_path, text):
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(errors.DataError, match="cannot be read as a schema"):
        validate.load(tmp_path / "schema.json")


@pytest.mark.parametrize("image", [np.zeros((2, 4)), np.zeros((2, 1, 2, 2), dtype=np.uint8)])
def test_values_beyond_the_range_and_unknown_categories_pass(image):
    validate.columns(good(i=image), schema=SCHEMA)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"z": np.zeros(2)}, "'z' is none of the model's features"),
        ({"x": np.array([0.5])}, "'c' has 2 rows, the ones before it 1"),
        ({"x": np.array([0.5, np.nan])}, "'x' has a missing value"),
        ({"x": np.array([0.5, np.inf])}, "'x' has an infinite value"),
        ({"x": np.array(["1", None], dtype=object)}, "'x' has the value '1': wanted a number"),
        ({"x": np.zeros((2, 2))}, r"'x' has shape \[2, 2\]: wanted \[n\]"),
        ({"c": np.array(["u", None], dtype=object)}, "'c' has a missing value: wanted one such as u, v"),
        ({"c": np.array(["u", 3], dtype=object)}, "'c' has the value 3: wanted a string"),
        ({"i": np.zeros((2, 3))}, r"'i' has shape \[2, 3\]: wanted \[n, 1, 2, 2\]"),
        ({"i": np.full((2, 4), np.nan)}, "'i' has a pixel that is not finite"),
        ({"i": np.array([["a"] * 4] * 2)}, "'i' has values of type"),
    ],
)
def test_what_does_not_fit_is_told_in_one_sentence(changes, sentence):
    with pytest.raises(errors.DataError, match=sentence):
        validate.columns(good(**changes), schema=SCHEMA)


def test_a_missing_column_is_told():
    with pytest.raises(errors.DataError, match="'x' is missing"):
        validate.columns({}, schema=SCHEMA)

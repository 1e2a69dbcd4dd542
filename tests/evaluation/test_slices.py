import numpy as np
import pytest

from fairway.evaluation import slices
from fairway.model.schema import Feature

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
        pytest.param(np.array([0.0] * 90 + [1.0, 2.0, 3.0, 4.0, 5.0]), ["age from 0 to 5"], id="nearly constant"),
    ],
)
def test_a_number_is_cut_so_that_every_row_is_in_one_part(column, labels):
    parts = slices.parts(column, feature=NUMBER)
    assert [label for label, inside in parts if inside.any()] == labels + (
        ["age = (missing)"] if np.isnan(column).any() else []
    )
    assert np.array_equal(sum(inside.astype(int) for _, inside in parts), np.ones(len(column)))


def test_a_category_has_a_part_for_each_value_and_one_for_missing():
    parts = dict(slices.parts(np.array(["York", "", "Bath", "York", None], dtype=object), feature=CATEGORY))
    assert {label: int(inside.sum()) for label, inside in parts.items()} == {
        "town = York": 2,
        "town = Bath": 1,
        "town = (missing)": 2,
    }

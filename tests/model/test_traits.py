"""What is measured of each row, for every kind: bounded, whatever a client sends."""

import math
from typing import Any

import numpy as np
import pytest

from fairway.model import kinds, tasks, traits
from fairway.model.schema import Schema

RNG = np.random.default_rng(0)


def words(values: Any) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


COLUMNS = {
    "number": RNG.normal(40, 10, 400),
    "boolean": np.where(RNG.random(400) < 0.1, np.nan, (RNG.random(400) < 0.3).astype(float)),
    "datetime": 1.7e9 + RNG.uniform(0, 1e6, 400),
    "category": words(RNG.choice(["a", "b", "c", ""], 400)),
    "text": words(RNG.choice(["the quick fox", "a lazy dog", "", "one more"], 400)),
    "image": RNG.random((400, 1, 16, 16)),
}
ENDS = {
    "number": np.array([1.8e308, -1.8e308, math.inf, math.nan]),
    "boolean": np.array([1.0, 0.0, math.nan, 1.0]),
    "datetime": np.array([-6e10, 2.5e11, math.nan, 0.0]),
    "category": words(["x" * 1_000_000, "\u0000", "", "a"]),
    "text": words(["word " * 100_000, "\u0000", "", "a"]),
    "image": np.full((4, 1, 16, 16), 3.4e38),
}


def measured(kind: str, column: Any) -> list[tuple[traits.Trait, Any]]:
    found = list(kinds.named(kind).traits("x", COLUMNS[kind]))
    return [(trait, trait.measure(column)) for trait in found]


@pytest.mark.parametrize("kind", sorted(COLUMNS))
def test_each_row_is_measured_by_itself(kind: str) -> None:
    column = COLUMNS[kind]
    whole, first = measured(kind, column), measured(kind, column[:7])
    assert whole
    for (trait, rows), (_, few) in zip(whole, first, strict=True):
        assert rows.shape == (len(column), len(trait.parts))
        np.testing.assert_array_equal(rows[:7], few)


@pytest.mark.parametrize("kind", sorted(COLUMNS))
def test_no_value_weighs_more_than_the_reference_allows(kind: str) -> None:
    usual = [np.nanmax(np.abs(rows), axis=0) for _, rows in measured(kind, COLUMNS[kind])]
    for (_, rows), most in zip(measured(kind, ENDS[kind]), usual, strict=True):
        largest = np.abs(np.nan_to_num(rows)).max(axis=0)
        assert (largest <= np.maximum(2.5 * most, 1.0)).all()


def test_every_kind_of_ours_says_what_it_measures() -> None:
    assert set(COLUMNS) == set(kinds.OURS)


def test_a_word_is_new_where_no_other_part_of_the_reference_has_it() -> None:
    reference = words([f"only once {i}" for i in range(100)] + ["usual"] * 100)
    unseen = next(
        trait
        for trait in kinds.named("category").traits("job", reference)
        if trait.parts == ("unseen words",)
    )
    assert unseen.own is not None
    assert unseen.own.sum() == 100
    assert unseen.measure(words(["usual", "only once 3", "never", ""])).ravel().tolist() == [
        0,
        0,
        1,
        0,
    ]


def test_numbers_beyond_the_reference_are_told_apart_from_missing_ones() -> None:
    found = {
        trait.parts: trait.measure(np.array([40.0, 500.0, math.inf, math.nan])).tolist()
        for trait in traits.numbers("age", COLUMNS["number"])
    }
    assert found[("out of range",)] == [[0.0], [1.0], [1.0], [0.0]]
    assert found[("missing",)] == [[0.0], [0.0], [1.0], [1.0]]


def test_two_classes_are_one_column_of_answers_and_others_one_each() -> None:
    for classes, names in ((("no", "yes"), 1), (("a", "b", "c"), 3)):
        schema = Schema(target="t", features=(), task="classification", classes=classes)
        answers = RNG.dirichlet(np.ones(len(classes)), 200)
        found = {trait.name for trait in tasks.of(schema).traits(answers, schema)}
        assert len(found) == names
        assert found <= {f"probability[{name}]" for name in classes}

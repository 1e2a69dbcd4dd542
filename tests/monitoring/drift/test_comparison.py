"""Two samples held against each other: what chance does, what is found, how far it moved."""

from typing import Any

import numpy as np
import pytest

from fairway import errors
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import comparison

SCHEMA = Schema(target="", features=(Feature(name="yes", kind="boolean"),))
WORDS = np.array(["a", "b", "c", "d"], dtype=object)


def following(rows: int, rng: np.random.Generator, *, phi: float) -> np.ndarray:
    """Return normal values of standard deviation 1 that hang on the one before by `phi`."""
    noise = rng.normal(size=rows) * np.sqrt(1 - phi**2)
    values = np.empty(rows)
    before = rng.normal()
    for row in range(rows):
        before = values[row] = phi * before + noise[row]
    return values


def made(rows: int, rng: np.random.Generator, *, phi: float = 0.0) -> dict[str, Any]:
    return {
        "x": following(rows, rng, phi=phi),
        "wild": rng.standard_cauchy(rows),
        "gaps": np.where(rng.random(rows) < 0.03, np.nan, rng.random(rows)),
        "word": rng.choice(WORDS, rows, p=[0.6, 0.3, 0.08, 0.02]),
        "code": np.array([f"c{place}" for place in rng.zipf(1.6, rows)], dtype=object),
        "yes": (rng.random(rows) < 0.2).astype(float),
    }


def compare(before: Any, after: Any, **said: Any) -> comparison.Comparison:
    return comparison.compare(before, after, schema=said.pop("schema", SCHEMA), **said)


def column(found: comparison.Comparison, name: str) -> comparison.ColumnDifference:
    return next(one for one in found.columns if one.name == name)


@pytest.mark.parametrize(
    ("rows", "phi"),
    [((400, 400), 0.0), ((1000, 150), 0.0), ((150, 1000), 0.0), ((1000, 1000), 0.5)],
    ids=["as many", "a short window", "a short reference", "rows that are alike"],
)
def test_chance_alone_moves_a_column_as_often_as_is_stated(
    rows: tuple[int, int], phi: float
) -> None:
    surprising = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        before, after = (made(count, rng, phi=phi) for count in rows)
        surprising += compare(before, after, permutations=199).p_value <= 0.1
    # P(more than 19 of 100 at a rate of 10 %) is 0.002
    assert surprising <= 19


@pytest.mark.parametrize(
    "words", [30, 70, 400], ids=["most are common", "as many", "most are rare"]
)
def test_chance_alone_moves_no_words_that_are_as_common_as_one_another(words: int) -> None:
    names = np.array([f"w{place}" for place in range(words)], dtype=object)
    surprising = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        before, after = ({"code": rng.choice(names, count)} for count in (1000, 2000))
        surprising += compare(before, after, permutations=199).p_value <= 0.1
    # P(more than 19 of 100 at a rate of 10 %) is 0.002
    assert surprising <= 19


@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_the_interval_holds_the_effect_as_often_as_is_stated(phi: float) -> None:
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before, after = ({"x": following(count, rng, phi=phi)} for count in (2000, 1000))
        after["x"] += 0.3
        parts = column(compare(before, after, permutations=49), "x").parts
        part = next(one for one in parts if one.part == "mean")
        assert part.low is not None
        assert part.high is not None
        held += part.low <= 0.3 <= part.high
    # P(fewer than 180 of 200 at 95 %) is 0.002; ranks take some per cent off a shift
    assert held >= 180


def test_a_share_moves_by_the_share_that_it_moved_by() -> None:
    rng = np.random.default_rng(1)
    before, after = made(2000, rng), made(2000, rng)
    after["yes"] = (rng.random(2000) < 0.3).astype(float)
    found = compare(before, after)
    assert [one.name for one in found.moved] == ["yes"]
    (part, *_) = found.moved[0].parts
    assert (part.part, part.unit, part.kind) == ("true", "share", "covariate")
    assert part.effect == pytest.approx(np.mean(after["yes"]) - np.mean(before["yes"]))
    assert part.p_value == found.p_value <= 0.002


@pytest.mark.parametrize(
    ("name", "broken", "told"),
    [
        ("x", lambda values, rng: np.where(rng.random(len(values)) < 0.1, np.nan, values), "missing"),
        ("x", lambda values, rng: values * np.where(rng.random(len(values)) < 0.1, 1e3, 1), "out of range"),
        ("word", lambda values, rng: np.where(rng.random(len(values)) < 0.1, "new", values), "unseen words"),
    ],
    ids=["missing", "another unit", "a new word"],
)  # fmt: skip
def test_what_broke_is_quality(name: str, broken: Any, told: str) -> None:
    rng = np.random.default_rng(2)
    before, after = made(2000, rng), made(1000, rng)
    after[name] = broken(after[name], rng)
    (moved,) = compare(before, after).moved
    assert moved.name == name
    assert ("quality", told) in {(part.kind, part.part) for part in moved.parts if part.moved}


def test_columns_that_only_hang_together_otherwise_are_told_as_such() -> None:
    rng = np.random.default_rng(3)
    before = {"x": rng.normal(size=2000), "y": rng.normal(size=2000)}
    after = {"x": rng.normal(size=2000)}
    after["y"] = 0.6 * after["x"] + 0.8 * rng.normal(size=2000)
    moved = compare(before, after).moved
    assert {one.name for one in moved} == {"pairs of columns", "columns together"}
    pair = column(compare(before, after), "pairs of columns").parts[0]
    assert (pair.part, pair.unit) == ("x with y", "correlation")
    assert pair.low is not None
    assert pair.high is not None
    assert pair.low < 0.6 < pair.high


def test_where_a_column_moved_by_itself_what_it_has_in_common_is_not_told_again() -> None:
    rng = np.random.default_rng(4)
    before, after = made(1000, rng), made(1000, rng)
    after["x"] += 1
    found = compare(before, after)
    assert column(found, "columns together").moved
    assert [one.name for one in found.moved] == ["x"]


def test_pairs_of_columns_that_did_not_move_are_told_beside_a_column_that_did() -> None:
    rng = np.random.default_rng(3)
    before = {name: rng.normal(size=2000) for name in "xyz"}
    after = {"x": rng.normal(size=2000), "z": rng.normal(size=2000) + 1}
    after["y"] = 0.6 * after["x"] + 0.8 * rng.normal(size=2000)
    found = compare(before, after)
    assert [one.name for one in found.moved] == ["z", "pairs of columns"]
    assert [one.part for one in found.moved[1].parts if one.moved] == ["x with y"]
    # of columns that moved a pair says nothing more
    after["y"] += 1
    assert {one.name for one in compare(before, after).moved} == {"y", "z"}


def test_what_moved_surely_and_by_less_than_matters_is_no_drift() -> None:
    rng = np.random.default_rng(5)
    before, after = ({"x": rng.normal(size=50_000)} for _ in range(2))
    after["x"] += 0.06
    found = compare(before, after)
    assert not found.drifted
    assert found.p_value <= 0.01
    assert compare(before, after, least=sections.LeastShift(sd=0.03)).drifted


def test_rows_that_are_alike_weigh_as_many_as_they_are_worth() -> None:
    rng = np.random.default_rng(6)
    sides = [{"x": np.sort(rng.normal(size=2000))} for _ in range(2)]
    sides[1]["x"] += 0.3
    sorted_rows = compare(*sides)
    assert not sorted_rows.drifted
    assert sorted_rows.alike is not None
    assert sorted_rows.alike[0] == "x"
    assert sorted_rows.alike[1] < 100
    mixed = compare(*sides, ordered=False)
    assert mixed.drifted
    assert mixed.alike is None


def test_the_smallest_shift_that_would_be_found_is_found() -> None:
    rng = np.random.default_rng(7)
    sides = [{f"x{place}": rng.normal(size=1000) for place in range(5)} for _ in range(2)]
    smallest = compare(*sides).found_from["sd"]
    assert 0.1 < smallest < 0.4
    found = 0
    for _ in range(30):
        one, other = ({f"x{place}": rng.normal(size=1000) for place in range(5)} for _ in range(2))
        other["x0"] += smallest
        found += column(compare(one, other, permutations=499), "x0").moved
    assert found >= 18  # 80 % of 30; P(fewer than 18) is 0.003


def test_roles_say_what_a_column_is_and_keep_it_from_the_inputs() -> None:
    rng = np.random.default_rng(8)
    before, after = made(1000, rng), made(1000, rng)
    after["yes"] = 1 - after["yes"]
    found = compare(before, after, roles={"yes": "prediction"})
    assert [(one.name, one.kind) for one in found.moved] == [("yes", "prediction")]
    assert not column(found, "columns together").moved


def test_answers_are_told_by_the_name_of_their_class() -> None:
    rng = np.random.default_rng(9)
    schema = Schema(target="t", classes=("cat", "dog"), features=())
    before, after = (rng.dirichlet(weights, 800) for weights in ([1, 1], [3, 1]))
    found = compare({base.ANSWERS: before}, {base.ANSWERS: after}, schema=schema)
    assert [(one.name, one.kind) for one in found.moved] == [("probability[dog]", "prediction")]


def test_the_same_rows_give_the_same_account_and_no_difference() -> None:
    rng = np.random.default_rng(10)
    before, after = made(500, rng), made(500, rng)
    assert compare(before, after) == compare(before, after)
    same = compare(before, before)
    assert not same.drifted
    assert same.p_value == 1.0


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, 1.7976931348623157e308, 5e-324], ids=str
)
def test_whatever_a_number_is_every_figure_is_finite(value: float) -> None:
    rng = np.random.default_rng(11)
    before, after = made(300, rng), made(300, rng)
    before["still"], after["still"] = np.ones(300), np.ones(300)
    before["gone"], after["gone"] = np.ones(300), np.full(300, np.nan)
    before["wild"][:5], after["wild"][:9] = value, value
    found = compare(before, after)
    parts = [part for one in found.columns for part in one.parts]
    assert all(np.isfinite([part.effect, part.p_value]).all() for part in parts)
    assert [one.name for one in found.moved] == ["gone"]
    assert found.moved[0].kind == "quality"


def test_a_constant_that_became_another_is_found() -> None:
    found = compare({"x": np.ones(100)}, {"x": np.full(100, 2.0)})
    assert found.drifted
    assert column(found, "x").parts[0].effect >= 1


def test_few_rows_are_refused_with_how_many_are_wanted() -> None:
    rng = np.random.default_rng(12)
    with pytest.raises(errors.DataError, match="the second sample has 19 rows: wanted at least 20"):
        compare(made(100, rng), made(19, rng))


def test_many_rows_are_thinned_evenly() -> None:
    rng = np.random.default_rng(13)
    before, after = {"x": rng.normal(size=60_000)}, {"x": rng.normal(size=60_000)}
    assert compare(before, after, permutations=99).rows == (50_000, 50_000)
    short = {"x": rng.normal(size=100)}
    assert compare(before, short, permutations=99).rows == (2_000, 100)


def test_what_moved_does_not_make_it_look_as_if_less_could_be_found() -> None:
    rng = np.random.default_rng(14)
    before, after = ({f"x{place}": rng.normal(size=1000) for place in range(3)} for _ in range(2))
    calm = compare(before, after).found_from["sd"]
    moved = compare(before, {name: values + 2 for name, values in after.items()})
    assert moved.drifted
    assert moved.found_from["sd"] == pytest.approx(calm, rel=0.5)

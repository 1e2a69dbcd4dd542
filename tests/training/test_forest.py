import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.training import forest, stress

DOUBLES = st.floats(allow_nan=False, allow_infinity=False, width=64)


def near(split: float) -> np.ndarray:
    """Return the float32 values around a split, which are the only ones whose side could change."""
    with np.errstate(over="ignore"):
        at = np.float32(split)
        return np.array(
            [np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))]
        )


@given(DOUBLES)
def test_a_rounded_split_leaves_every_float32_on_its_side(split):
    values = near(split)
    exact = values.astype(np.float64)
    one = np.array([split])
    assert ((values <= forest.below(one)[0]) == (exact <= split)).all()
    assert ((values < forest.above(one)[0]) == (exact < split)).all()


def test_plain_rounding_moves_a_float32_to_the_other_side():
    split = 0.1
    rounded = np.float32(split)
    assert float(rounded) > split
    assert forest.below(np.array([split]))[0] < rounded


def answers(made: forest.Forest, rows: list[list[float]]) -> np.ndarray:
    proto = forest.graph(made, columns=len(rows[0]), output="answers")
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"features": np.array(rows, dtype=np.float32)})[0]


def stump(
    *, split: float = 0.5, missing_left: bool = False, members: dict[int, list[int]] | None = None
) -> forest.Tree:
    return forest.Tree(
        features=np.array([0]),
        splits=np.array([split]),
        left=np.array([~0]),
        right=np.array([~1]),
        missing_left=np.array([missing_left]),
        values=np.array([1.0, 3.0]),
        members=members or {},
    )


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("identity", [[1.0]]),
        ("exp", [[np.exp(1.0)]]),
        ("sigmoid", [[1 / (1 + np.exp(-2.0))]]),
        ("pair", [[1 - 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-2.0))]]),
    ],
)
def test_a_link_turns_sums_into_answers(link, expected):
    made = forest.Forest(trees=[stump()], base=[0.0], link=link, factor=2.0)
    assert answers(made, [[0.0]]) == pytest.approx(np.array(expected))


def test_values_split_codes_and_missing_ones_go_where_the_tree_says():
    by_value = forest.Forest(trees=[stump(missing_left=True)], base=[0.0], link="identity")
    assert answers(by_value, [[0.5], [0.6], [np.nan]]).ravel().tolist() == [1.0, 3.0, 1.0]
    strict = forest.Forest(trees=[stump()], base=[0.0], link="identity", strict=True)
    assert answers(strict, [[0.5], [0.4], [np.nan]]).ravel().tolist() == [3.0, 1.0, 3.0]
    by_code = forest.Forest(trees=[stump(members={0: [2, 5, 9]})], base=[10.0], link="identity")
    rows = [[2], [5], [9], [0], [3], [-1], [np.nan]]
    assert answers(by_code, rows).ravel().tolist() == [11.0, 11.0, 11.0, 13.0, 13.0, 13.0, 13.0]


def test_a_row_is_led_to_the_deepest_node_and_put_on_its_split():
    deep = forest.Tree(
        features=np.array([0, 1, 0]),
        splits=np.array([1.0, 7.0, 0.25]),
        left=np.array([1, ~0, ~1]),
        right=np.array([~3, 2, ~2]),
        missing_left=np.array([False] * 3),
        values=np.array([10.0, 20.0, 30.0, 40.0]),
    )
    made = forest.Forest(trees=[deep], base=[0.0], link="identity")
    proto = forest.graph(made, columns=2, output="answers")
    rows = stress.edges(proto, np.array([[5.0, 0.0]], dtype=np.float32), missing=False).rows
    told = {float(value) for value in answers(made, rows.tolist()).ravel()}
    assert told == {10.0, 20.0, 30.0, 40.0}
    assert len(rows) == 9
    assert {0.25, float(np.nextafter(np.float32(0.25), np.float32(1)))} <= set(rows[:, 0].tolist())


def test_of_more_splits_and_columns_than_there_is_room_for_some_are_taken_evenly(monkeypatch):
    monkeypatch.setattr(stress, "MOST_VALUES", 64)
    trees = [stump(split=place / 7) for place in range(50)]
    proto = forest.graph(
        forest.Forest(trees=trees, base=[0.0], link="identity"), columns=4, output="answers"
    )
    made = stress.edges(proto, np.zeros((3, 4), dtype=np.float32), missing=False)
    assert len(made.rows) == 3 * 4
    assert made.rows[:, 0].min() < 0.1
    assert made.rows[:, 0].max() >= 7
    ends = stress.extremes({"numbers": np.arange(40, dtype=np.float32).reshape(2, 20)})["numbers"]
    assert ends.shape == (5, 20)


def test_the_ends_of_each_column_are_asked_one_at_a_time():
    inputs = {
        "numbers": np.array([[1.0, 5.0], [3.0, 5.0]], np.float32),
        "categories": np.array([[2], [4]]),
    }
    ends = stress.extremes(inputs)
    assert ends["numbers"][:, 0].tolist() == [1, 1, 3, 0, 5, 1, 1, 1, 1]
    assert ends["categories"][:, 0].tolist() == [2, 2, 4, 0, 2, 2, 2, 2, 2]

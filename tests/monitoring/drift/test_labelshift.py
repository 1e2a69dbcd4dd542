"""How common classes are in service, by what is answered there."""

import numpy as np
import pytest

from fairway.monitoring.drift import labelshift

TWO = np.array([[0.9, 0.1], [0.3, 0.7]])
THREE = np.array([[0.8, 0.1, 0.1], [0.1, 0.85, 0.05], [0.2, 0.2, 0.6]])
TEN = np.full((10, 10), 0.1 / 9) + np.eye(10) * (0.9 - 0.1 / 9)


def drawn(
    rng: np.random.Generator,
    matrix: np.ndarray,
    *,
    before: list[float],
    after: list[float],
    rows: tuple[int, int],
) -> labelshift.LabelShift:
    """Return the estimate where rows of a class are answered as the matrix says, on both sides."""
    table = [
        rng.multinomial(count, matrix[place]).tolist()
        for place, count in enumerate(rng.multinomial(rows[0], before))
    ]
    true = rng.choice(len(after), rows[1], p=after)
    above = rng.random((rows[1], 1)) > np.cumsum(matrix[true], axis=1)
    answers = above.sum(axis=1).clip(0, len(after) - 1)
    names = [f"c{place}" for place in range(len(after))]
    return labelshift.estimate(table, answers, classes=names)


@pytest.mark.parametrize(
    ("matrix", "before", "after", "rows"),
    [
        (TWO, [0.75, 0.25], [0.5, 0.5], (1000, 200)),
        (TWO, [0.75, 0.25], [0.5, 0.5], (200, 1000)),
        (TWO, [0.95, 0.05], [0.98, 0.02], (5000, 5000)),
        (THREE, [0.4, 0.4, 0.2], [0.2, 0.3, 0.5], (1000, 400)),
        (TEN, [0.1] * 10, [0.4, *[0.6 / 9] * 9], (600, 400)),
    ],
    ids=["few answers", "few labels", "a rare class", "three classes", "ten classes"],
)
def test_the_interval_holds_the_share_in_95_of_100_cases(
    matrix: np.ndarray, before: list[float], after: list[float], rows: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    held = np.zeros(len(after))
    for _ in range(400):
        found = drawn(rng, matrix, before=before, after=after, rows=rows)
        assert found.refusal is None
        held += [
            one.low <= share <= one.high for one, share in zip(found.classes, after, strict=True)
        ]
    # a standard deviation is .011: none far below what is stated, and not everything held
    assert (held / 400).min() >= 0.92
    assert (held / 400).mean() <= 0.985


def test_shares_that_moved_are_told_and_others_are_not() -> None:
    rng = np.random.default_rng(1)
    shares = [0.4, 0.4, 0.2]
    same = [
        bool(drawn(rng, THREE, before=shares, after=shares, rows=(1000, 600)).moved)
        for _ in range(200)
    ]
    assert sum(same) <= 19  # P(more than 19 of 200 at 5 %) is 0.003
    shifted = drawn(rng, THREE, before=[0.4, 0.4, 0.2], after=[0.1, 0.4, 0.5], rows=(4000, 2000))
    assert {one.name for one in shifted.moved} == {"c0", "c2"}
    assert shifted.classes[2].after == pytest.approx(0.5, abs=0.06)
    assert sum(one.after for one in shifted.classes) == pytest.approx(1)
    # what is answered is not what is there
    assert shifted.classes[2].answered < 0.4


def test_rows_that_follow_each_other_make_the_interval_wider() -> None:
    rng = np.random.default_rng(2)
    answers = (rng.random(2000) < 0.5).astype(np.int64)
    runs = np.repeat((rng.random(40) < 0.5).astype(np.int64), 50)
    widths = [
        found.classes[0].high - found.classes[0].low
        for found in (
            labelshift.estimate([[900, 100], [100, 900]], one, classes=["a", "b"])
            for one in (answers, runs)
        )
    ]
    assert widths[1] > 3 * widths[0]


def test_a_model_that_does_not_tell_classes_apart_is_refused_with_their_names() -> None:
    answers = np.arange(400) % 2
    found = labelshift.estimate(
        [[300, 100, 0], [290, 110, 0], [10, 0, 390]], answers, classes=["cat", "dog", "eel"]
    )
    assert found.classes == ()
    assert found.refusal is not None
    assert "nearly singular" in found.refusal
    assert "answers 'cat' and 'dog' almost alike" in found.refusal


def test_a_matrix_of_few_rows_may_be_singular_for_all_that_is_known() -> None:
    answers = np.arange(400) % 2
    table = [[8, 4], [5, 7]]
    refused = labelshift.estimate(table, answers, classes=["a", "b"]).refusal
    assert refused is not None
    assert "nearly singular" in refused
    many = (np.array(table) * 100).tolist()
    assert labelshift.estimate(many, answers, classes=["a", "b"]).refusal is None


@pytest.mark.parametrize(
    ("table", "answers", "sentence"),
    [
        ([[90, 10], [3, 6]], 400, "class 'b' has 9 rows with labels: wanted at least 10"),
        ([[90, 10], [10, 90]], 39, "39 answers are too few: wanted at least 40"),
        ([[90, 10]], 400, "wanted 2 classes each way"),
    ],
)
def test_what_cannot_be_told_gets_a_sentence(
    table: list[list[int]], answers: int, sentence: str
) -> None:
    found = labelshift.estimate(table, np.arange(answers) % 2, classes=["a", "b"])
    assert found.refusal is not None
    assert sentence in found.refusal


def test_answers_that_no_shares_explain_say_that_classes_look_otherwise() -> None:
    """Of both classes at least a tenth is answered b: none at all is no matter of shares."""
    found = labelshift.estimate(
        [[900, 100], [100, 900]], np.zeros(1000, dtype=np.int64), classes=["a", "b"]
    )
    assert found.refuted
    assert [one.after for one in found.classes] == [1.0, 0.0]

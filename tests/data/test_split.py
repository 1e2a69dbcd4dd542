import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway import errors
from fairway.config import sections
from fairway.data import split


def divide(
    *, rows=200, method="stratified", identity=None, column=None, seed=0, target=None, **shares
):
    target = np.arange(rows) % 4 // 3 if target is None else target
    section = sections.Split(method=method, column="c" if column is not None else None, **shares)
    identity = np.arange(rows) if identity is None else identity
    return split.divide(section, strata=target, identity=identity, column=column, seed=seed)


def everyone(parts):
    return np.concatenate([parts.train, parts.validation, parts.test])


seeds = st.integers(0, 2**31 - 1)


@given(
    seed=seeds,
    rows=st.integers(60, 300),
    kinds=st.integers(30, 300),
    method=st.sampled_from(["stratified", "random"]),
)
def test_every_row_is_in_one_split_and_equal_rows_are_in_the_same(seed, rows, kinds, method):
    identity = np.random.default_rng(seed).integers(0, kinds, rows)
    parts = divide(rows=rows, method=method, identity=identity, seed=seed)
    assert np.array_equal(np.sort(everyone(parts)), np.arange(rows))
    sets = [set(identity[getattr(parts, name)]) for name in split.SPLITS]
    assert sum(map(len, sets)) == len(set.union(*sets))


@given(seed=seeds, groups=st.integers(10, 60))
def test_a_group_is_in_one_split(seed, groups):
    column = np.random.default_rng(seed).integers(0, groups, 300).astype(str).astype(object)
    parts = divide(rows=300, method="group", column=column, seed=seed)
    assert np.array_equal(np.sort(everyone(parts)), np.arange(300))
    assert not set(column[parts.train]) & set(
        column[np.concatenate([parts.validation, parts.test])]
    )
    assert not set(column[parts.validation]) & set(column[parts.test])


@given(seed=seeds, purge=st.integers(0, 9), moments=st.integers(40, 400))
def test_time_goes_forward_from_split_to_split_and_the_purge_is_left_out(seed, purge, moments):
    column = np.random.default_rng(seed).integers(0, moments, 300)
    parts = divide(rows=300, method="time", column=column, purge=purge)
    assert column[parts.train].max() < column[parts.validation].min()
    assert column[parts.validation].max() < column[parts.test].min()
    assert len(everyone(parts)) == 300 - 2 * purge


def test_stratified_splits_keep_small_classes_shares_exactly_and_large_ones_within_chance():
    target = np.repeat([0, 1, 2], [8000, 150, 50])
    parts = divide(rows=8200, target=target, validation=0.2, test=0.2)
    for name in ("test", "validation"):
        large, *small = np.bincount(target[getattr(parts, name)]).tolist()
        assert small == [30, 10]
        assert abs(large - 1600) < 4 * np.sqrt(8000 * 0.2 * 0.8)


@given(seed=seeds, method=st.sampled_from(["stratified", "random"]), added=st.integers(1, 2000))
def test_a_row_keeps_its_side_when_rows_are_added_and_when_they_come_in_another_order(
    seed, method, added
):
    rng = np.random.default_rng(seed)
    rows = 1000 + added
    identity, target = rng.integers(0, 2**63, rows), np.arange(rows) % 2
    before = divide(
        rows=1000, method=method, identity=identity[:1000], target=target[:1000], seed=seed
    )
    order = rng.permutation(rows)
    after = divide(
        rows=rows, method=method, identity=identity[order], target=target[order], seed=seed
    )
    for name in split.SPLITS:
        known = set(identity[getattr(before, name)].tolist())
        assert known <= set(identity[order][getattr(after, name)].tolist())


def test_a_group_keeps_its_side_when_groups_are_added():
    names = np.array([f"shop {number % 400}" for number in range(2000)], dtype=object)
    more = np.concatenate(
        [names, np.array([f"new {number % 300}" for number in range(900)], dtype=object)]
    )
    before, after = (
        divide(rows=len(column), method="group", column=column) for column in (names, more)
    )
    assert set(names[before.test]) <= set(more[after.test])
    assert set(names[before.train]) <= set(more[after.train])


@given(seed=seeds)
def test_few_combinations_are_divided_and_the_classes_shares_hold(seed):
    rng = np.random.default_rng(seed)
    combination = rng.integers(0, 18, 4000)
    target = (rng.random(4000) < combination / 17).astype(np.int64)
    parts = divide(rows=4000, identity=combination, target=target, seed=seed)
    assert parts.apart
    assert [
        abs(target[getattr(parts, name)].mean() - target.mean()) < 0.08 for name in split.SPLITS
    ] == [True] * 3
    assert set(combination[parts.test]) <= set(combination[parts.train])


def test_equal_rows_stay_together_where_the_shares_hold():
    identity = np.random.default_rng(5).integers(0, 1500, 3000)
    parts = divide(rows=3000, identity=identity, target=np.arange(3000) % 2)
    assert not parts.apart
    assert not set(identity[parts.test]) & set(identity[parts.train])


@pytest.mark.parametrize("method", ["stratified", "random"])
def test_the_seed_decides(method):
    one, same, other = (divide(method=method, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.test, same.test)
    assert not np.array_equal(one.test, other.test)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rows": 9}, "wanted at least ten"),
        ({"method": "random", "identity": np.zeros(200, dtype=int)}, "would be empty"),
        ({"method": "time", "column": np.zeros(200)}, "would be empty"),
        ({"method": "group", "column": np.array(["a"] * 200, dtype=object)}, "would be empty"),
    ],
)
def test_rows_that_cannot_be_divided_are_told(options, sentence):
    with pytest.raises(errors.DataError, match=sentence):
        divide(**options)


@pytest.mark.parametrize("method", ["stratified", "random"])
def test_one_changed_row_leaves_the_others_where_they_are(method):
    changed = np.arange(200)
    changed[7] = 10_000
    assert np.array_equal(divide(method=method).test, divide(method=method, identity=changed).test)

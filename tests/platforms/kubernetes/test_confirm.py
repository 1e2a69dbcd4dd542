"""Is a split in effect? Tables, and how often the answer is wrong."""

import numpy as np
import pytest

from fairway.platforms.kubernetes import confirm

CASES = {
    "nothing came": ([], 5, 25, 0, False),
    "nothing came for long": ([], 5, 25, 90, True),
    "the same weight": ([], 5, 5, 0, True),
    "a new canary moved": ([(0, 7), (1, 9)], 0, 5, 0, True),
    "a new canary did not": ([(0, 7), (0, 9)], 0, 5, 0, False),
    "the new share": ([(30, 90)], 5, 25, 0, True),
    "the old share": ([(6, 114)], 5, 25, 0, False),
    "the old share for long": ([(6, 114)] * 30, 5, 25, 90, False),
    "old, then new": ([(6, 114)] * 30 + [(30, 90)] * 3, 5, 25, 0, True),
    "sticky, between the two": ([(14, 106)] * 30, 5, 25, 59, False),
    "sticky, between the two, for long": ([(14, 106)] * 30, 5, 25, 61, True),
    "taken away, from half": ([(0, 20)], 50, 0, 0, True),
    "taken away, from little: too few to tell": ([(0, 20)], 5, 0, 0, False),
    "taken away, from little": ([(0, 120)] * 4, 5, 0, 0, True),
    "taken away, with the last answers under way": ([(3, 20), (0, 20)], 50, 0, 0, True),
    "not taken away": ([(3, 20)] * 20, 50, 0, 90, False),
    "from none to all, through a scrape of both": ([(0, 9), (4, 5), (9, 0)], 0, 100, 0, True),
}


@pytest.mark.parametrize("case", CASES)
def test_a_split_is_confirmed_by_what_came_since_the_change(case: str) -> None:
    increments, before, after, waited, confirmed = CASES[case]
    found = confirm.split(increments, before=before, after=after, waited_seconds=waited)
    assert found.confirmed is confirmed, found.reason
    assert f"{after} %" in found.reason


@pytest.mark.parametrize(("before", "after"), [(5, 25), (25, 50), (50, 0), (95, 0)])
def test_the_old_split_passes_for_the_new_one_in_a_hundred_at_most(before: int, after: int) -> None:
    """Looked at after every scrape, for half a minute; three standard errors above the bound."""
    random, wrong, runs = np.random.default_rng(0), 0, 300
    for _ in range(runs):
        candidates = random.binomial(20, before / 100, size=15)
        wrong += any(
            confirm.split(
                [(int(c), 20 - int(c)) for c in candidates[: k + 1]],
                before=before,
                after=after,
                waited_seconds=0,
            ).confirmed
            for k in range(15)
        )
    assert wrong / runs <= 1 / 99 + 3 * (0.01 * 0.99 / runs) ** 0.5

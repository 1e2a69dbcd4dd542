"""When late labels start a run: by what they lose, however often it is looked at."""

import json
from typing import Any

import numpy as np
import pytest

from fairway.config import sections
from fairway.retraining import trigger

SECTION = sections.Retraining(max_loss_increase=0.05)
LIMIT = 0.2
HOUR = 3600.0


def begun() -> trigger.Trigger:
    return trigger.begun(revision="aaa", store="s", after=7, now=0.0)


def fed(
    one: trigger.Trigger, losses: list[float], *, each: int, every: float = HOUR
) -> trigger.Trigger:
    """Take in so many losses at each look, an hour apart."""
    for number, first in enumerate(range(0, len(losses), each), start=1):
        one = trigger.step(
            one,
            losses[first : first + each],
            section=SECTION,
            limit=LIMIT,
            after=first,
            now=number * every,
        )
    return one


def drawn(rate: float, rows: int, seed: int) -> list[float]:
    return (np.random.default_rng(seed).random(rows) < rate).astype(float).tolist()


@pytest.mark.parametrize("each", [1, 10, 500])
def test_a_fall_is_found_however_many_labels_come_at_once(each: int) -> None:
    found = fed(begun(), drawn(0.4, 500, 1), each=each)
    assert found.fired
    assert found.evidence == 1.0


def test_what_is_tolerated_starts_a_run_at_most_as_often_as_the_budget_says() -> None:
    """Two months of 1,000 labels a day at the limit itself, looked at every hour."""
    fired = sum(
        fed(begun(), drawn(LIMIT, 6000, seed), each=42, every=10 * HOUR).fired
        for seed in range(100)
    )
    months = 6000 / 42 * 10 / 24 / 30
    expected = 100 * SECTION.false_starts_per_month * (months + 1 / 30)
    assert fired <= expected + 3 * expected**0.5


def test_it_goes_on_where_it_was_kept_and_begins_anew_with_another_revision_or_store() -> None:
    one = fed(begun(), drawn(0.3, 50, 2), each=5)
    kept: Any = json.loads(json.dumps(one.to_json()))
    assert trigger.read(kept, revision="aaa", store="s") == one
    assert trigger.read(kept, revision="bbb", store="s") is None
    assert trigger.read(kept, revision="aaa", store="t") is None
    assert trigger.read(None, revision="aaa", store="s") is None


def test_a_run_that_began_rearms_it() -> None:
    found = trigger.rearmed(fed(begun(), drawn(0.5, 300, 3), each=10))
    assert (found.fired, found.evidence) == (False, 0.0)


def test_a_clock_that_goes_back_spends_nothing() -> None:
    one = fed(begun(), drawn(0.1, 20, 4), each=20)
    back = trigger.step(one, [0.0], section=SECTION, limit=LIMIT, after=1, now=-HOUR)
    assert back.at == one.at
    assert back.evidence <= one.evidence

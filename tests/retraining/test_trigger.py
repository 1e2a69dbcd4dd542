"""When late labels start a run: by what they lose, however often it is looked at and however labels
hang together."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from fairway.config import sections
from fairway.monitoring.drift import realised
from fairway.retraining import trigger

SECTION = sections.Retraining(max_loss_increase=0.05)
BASE, LIMIT = 0.15, 0.2
DAYS, LABELS = 30, 8000  # of one history
CLUSTER = 50  # labels that share their luck
HISTORIES = 40
Floats = NDArray[np.float64]


def begun() -> trigger.Trigger:
    return trigger.begun(revision="aaa", store="s", after=7)


def moments(labels: int, *, days: float = DAYS) -> Floats:
    found: Floats = np.arange(labels) / labels * days * realised.DAY
    return found


def fed(one: trigger.Trigger, late: list[trigger.Late], *, each: int) -> trigger.Trigger:
    """Take in so many losses at each look."""
    for first in range(0, len(late), each):
        some = late[first : first + each]
        one = trigger.step(one, some, section=SECTION, limit=LIMIT, after=first)
    return one


def independent(at: Floats, rng: np.random.Generator) -> Floats:
    return np.ones(len(at))


def by_day(at: Floats, rng: np.random.Generator) -> Floats:
    return 1 + 0.8 * np.sin(2 * np.pi * (at / realised.DAY - 0.25))


def clustered(at: Floats, rng: np.random.Generator) -> Floats:
    return np.repeat(rng.uniform(0, 2, len(at) // CLUSTER + 1), CLUSTER)[: len(at)]


def hours_of_luck(at: Floats, rng: np.random.Generator) -> Floats:
    """Return factors that wander: their logarithm is an AR(1) that forgets within fifty labels."""
    kept = np.exp(-1 / CLUSTER)
    noise = rng.normal(size=len(at)) * np.sqrt(1 - kept**2)
    luck = 0.8 * signal.lfilter([1.0], [1.0, -kept], noise)
    found: Floats = np.exp(luck - 0.32)
    return found


KINDS: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "independent": independent,
    "80 % higher at noon": by_day,
    "clusters of luck": clustered,
    "hours of luck": hours_of_luck,
}


def drawn(kind: str, rate: float, seed: int, *, labels: int = LABELS) -> list[trigger.Late]:
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    at = moments(labels, days=DAYS * labels / LABELS)
    losses = rng.random(labels) < rate * KINDS[kind](at, rng)
    return list(zip(at.tolist(), losses.astype(float).tolist(), strict=True))


def alike(rate: float, seed: int, *, each: int) -> list[trigger.Late]:
    """Return losses of which so many that follow one another are of one outcome."""
    rng = np.random.default_rng([seed, each])
    losses = np.repeat(rng.random(LABELS // each + 1) < rate, each)[:LABELS].astype(float)
    return list(zip(moments(LABELS).tolist(), losses.tolist(), strict=True))


def fires_after(late: list[trigger.Late]) -> float:
    """Return the days until a run would start, infinite where none would."""
    watching = realised.LossWatch(
        limit=LIMIT, false_starts_per_month=SECTION.false_starts_per_month
    )
    return next((at / realised.DAY for at, loss in late if watching.look(loss, at=at)), np.inf)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tolerated_rise_starts_a_run_in_few_months_however_labels_hang_together(
    kind: str,
) -> None:
    """Of labels bet on one by one 0, 16 and 19 of 20 histories began a run."""
    started = [fires_after(drawn(kind, BASE + 0.03, seed)) for seed in range(HISTORIES)]
    assert np.isfinite(started).sum() <= 0.05 * HISTORIES


@pytest.mark.parametrize(
    ("kind", "days"), [("independent", 11), ("80 % higher at noon", 12), ("clusters of luck", 22)]
)
def test_a_rise_beyond_the_tolerated_is_found_within_weeks(kind: str, days: float) -> None:
    started = [fires_after(drawn(kind, LIMIT + 0.05, seed)) for seed in range(HISTORIES)]
    assert np.median(started) <= days


@pytest.mark.parametrize("each", [10, 50, 200])
def test_a_tolerated_rise_starts_a_run_in_few_months_where_requests_share_one_outcome(
    each: int,
) -> None:
    """Of labels that were thought of as independent 0, 6 and 29 of 40 histories began a run."""
    started = [fires_after(alike(BASE + 0.03, seed, each=each)) for seed in range(HISTORIES)]
    assert np.isfinite(started).sum() <= 0.05 * HISTORIES


def test_a_model_that_is_all_wrong_is_found_within_hours_where_labels_are_many() -> None:
    late = [(at, 1.0) for at in moments(10_000, days=1).tolist()]
    assert fires_after(late) < 2.5 / 24


def test_a_model_that_is_all_wrong_from_one_day_on_is_found_within_two_days() -> None:
    before = drawn("independent", 0.1, 8, labels=2000)
    after = [(at + 8 * realised.DAY, 1.0) for at in moments(LABELS).tolist()]
    assert 8 < fires_after([*before, *after]) < 10


def test_quantities_that_lose_more_from_one_day_on_are_found_within_three_days() -> None:
    """All losses are on one side of the limit before, and all on the other after: no shared outcome."""
    rng = np.random.default_rng(3)
    losses = np.where(np.arange(3000) < 1500, 0.05, 0.45) + rng.uniform(0, 0.05, 3000)
    late = list(zip((np.arange(3000) / 100 * realised.DAY).tolist(), losses.tolist(), strict=True))
    assert 15 < fires_after(late) <= 18


def test_labels_count_for_as_many_as_their_runs_are_worth() -> None:
    def shared(late: list[trigger.Late]) -> float:
        runs = realised.Runs()
        for _, loss in late:
            runs.add(loss, limit=LIMIT)
        return runs.shared(usual=LIMIT)

    for each in (10, 50, 200):
        assert shared(alike(BASE, 3, each=each)) == pytest.approx(each, rel=0.4)
    assert shared(drawn("independent", BASE, 3)) < 1.1
    assert shared([]) == 1


@pytest.mark.parametrize("each", [1, 10, 500])
def test_a_fall_is_found_however_many_labels_come_at_once(each: int) -> None:
    found = fed(begun(), drawn("independent", 0.4, 1, labels=1500), each=each)
    assert found.fired
    assert found.evidence == 1.0


def test_how_often_it_is_looked_at_changes_nothing() -> None:
    late = drawn("clusters of luck", BASE, 2, labels=1000)
    one, many = fed(begun(), late, each=1000), fed(begun(), late, each=7)
    assert one.watch == many.watch
    assert one.evidence == many.evidence


def test_blocks_that_scatter_widely_are_known_to() -> None:
    def dispersion(kind: str) -> float:
        watching = realised.LossWatch(limit=LIMIT, false_starts_per_month=1)
        for at, loss in drawn(kind, BASE, 3, labels=4 * LABELS):
            watching.look(loss, at=at)
        return watching.dispersion

    # fifty of rate r u, u even in 0 to 2: 1 + 49 r^2 / 3 / (r (1 - r)) = 3.9
    assert dispersion("clusters of luck") == pytest.approx(3.9, rel=0.3)
    for kind in ("independent", "80 % higher at noon"):
        assert dispersion(kind) < 1.5


def test_labels_that_come_late_join_the_block_that_is_open() -> None:
    watching = realised.LossWatch(limit=LIMIT, false_starts_per_month=1)
    for at in (5.5, 6.1, 4.0):
        watching.look(0.0, at=at * realised.DAY)
    assert (watching.block.labels, watching.day) == (3, 5)
    assert watching.days.spent_at is None


def test_it_goes_on_where_it_was_kept_and_begins_anew_with_another_revision_or_store() -> None:
    late = drawn("independent", 0.25, 4, labels=900)
    one = fed(begun(), late, each=50)
    kept: Any = json.loads(json.dumps(one.to_json()))
    again = trigger.read(kept, revision="aaa", store="s")
    assert again is not None
    more = drawn("independent", 0.25, 5, labels=100)
    assert fed(again, more, each=50) == fed(one, more, each=50)
    assert trigger.read(kept, revision="bbb", store="s") is None
    assert trigger.read(kept, revision="aaa", store="t") is None
    assert trigger.read(None, revision="aaa", store="s") is None


def test_what_was_kept_before_runs_were_counted_goes_on() -> None:
    one = fed(begun(), drawn("independent", 0.25, 4, labels=900), each=50)
    kept: Any = json.loads(json.dumps(one.to_json()))
    del kept["watch"]["runs"]
    for block in ("block", "few", "before"):
        del kept["watch"][block]["shared"]
    again = trigger.read(kept, revision="aaa", store="s")
    assert again is not None
    more = fed(again, drawn("independent", 0.6, 5, labels=1500), each=50)
    assert more.fired
    assert again.evidence == one.evidence


def test_rows_of_one_request_stay_in_their_order() -> None:
    losses = [0.0, 1.0] * 50
    one = trigger.step(
        begun(), [(5.0, loss) for loss in losses], section=SECTION, limit=LIMIT, after=1
    )
    assert one.watch is not None
    assert one.watch["runs"]["runs"] == 100


def test_what_a_version_before_has_kept_begins_anew() -> None:
    kept = {"revision": "aaa", "store": "s", "after": 9, "at": 1.0, "values": [0.0] * 5}
    assert trigger.read(kept, revision="aaa", store="s") is None


def test_a_run_that_began_rearms_it_and_the_scatter_is_known_still() -> None:
    found = fed(begun(), drawn("independent", 0.5, 6, labels=1500), each=10)
    assert found.fired
    again = trigger.rearmed(found)
    assert (again.fired, again.evidence) == (False, 0.0)
    assert found.watch is not None
    assert again.watch is not None
    assert again.watch["scatter"] == found.watch["scatter"]
    assert trigger.rearmed(begun()) == begun()


def test_a_look_without_labels_moves_the_place_alone() -> None:
    one = fed(begun(), drawn("independent", 0.1, 7, labels=100), each=100)
    assert trigger.step(one, [], section=SECTION, limit=LIMIT, after=99).after == 99
    assert trigger.step(one, [], section=SECTION, limit=LIMIT, after=99).watch == one.watch


def test_where_hours_lose_alike_a_moderate_rise_is_told_within_some_hundred_labels() -> None:
    rng = np.random.default_rng(4)
    losses = np.concatenate([rng.random(2000) < 0.03, rng.random(2000) < 0.18]).astype(float)
    told = {}
    for cycle in (1.0, realised.DAY):
        watching = realised.LossWatch(limit=0.08, false_starts_per_month=0.05, cycle_seconds=cycle)
        looked = (watching.look(float(loss), at=10.0 * row) for row, loss in enumerate(losses))
        told[cycle] = next((row for row, reached in enumerate(looked) if reached), len(losses))
    assert 2000 < told[1.0] <= 2500
    assert told[1.0] < told[realised.DAY]

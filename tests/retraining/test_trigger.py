"""When late labels start a run: by what they lose, however often it is looked at and however labels
hang together."""

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.drift import losses
from fairway.config import sections
from fairway.monitoring.drift import realised
from fairway.retraining import trigger

SECTION = sections.Retraining(max_loss_increase=0.05)
BASE, LIMIT = 0.15, 0.2
HISTORIES = 40
KINDS = (losses.INDEPENDENT, losses.BY_DAY, losses.LUCK, losses.WANDERS)


def begun() -> trigger.Trigger:
    return trigger.begun(revision="aaa", store="s", after=7)


def fed(one: trigger.Trigger, late: list[trigger.Late], *, each: int) -> trigger.Trigger:
    """Take in so many losses at each look."""
    for first in range(0, len(late), each):
        some = late[first : first + each]
        one = trigger.step(one, some, section=SECTION, limit=LIMIT, after=first)
    return one


def drawn(kind: str, rate: float, seed: int, *, labels: int = losses.LABELS) -> list[trigger.Late]:
    return losses.drawn(kind, rate, seed=[seed], labels=labels)


def alike(rate: float, seed: int, *, each: int) -> list[trigger.Late]:
    """Return losses of which so many that follow one another are of one outcome."""
    return drawn(losses.SHARED[each], rate, seed)


def fires_after(late: list[trigger.Late]) -> float:
    """Return the days until a run would start, infinite where none would."""
    place = losses.told(late, limit=LIMIT)
    return np.inf if place is None else late[place][0] / realised.DAY


@pytest.mark.parametrize("kind", KINDS)
def test_a_tolerated_rise_starts_a_run_in_few_months_however_labels_hang_together(
    kind: str,
) -> None:
    """Of labels bet on one by one 0, 16 and 19 of 20 histories began a run."""
    started = [fires_after(drawn(kind, BASE + 0.03, seed)) for seed in range(HISTORIES)]
    assert np.isfinite(started).sum() <= 0.05 * HISTORIES


@pytest.mark.parametrize(
    ("kind", "days"), [(losses.INDEPENDENT, 11), (losses.BY_DAY, 12), (losses.LUCK, 22)]
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
    late = [(at / 10_000 * realised.DAY, 1.0) for at in range(10_000)]
    assert fires_after(late) < 2.5 / 24


@pytest.mark.parametrize(("to", "labels"), [(0.5, 800), (0.9, 650), (0.99, 800), (1.0, 720)])
def test_a_sudden_fall_is_found_within_some_hundred_labels_after_weeks_without_a_wrong_answer(
    to: float, labels: int
) -> None:
    """Of answers that are all wrong 3,000 were needed: they might have shared one outcome."""
    fell = losses.felled((0.0, to, 5, 10))
    assert fell.after.max() <= labels


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1])
def test_outcomes_that_two_hundred_requests_share_start_no_run_where_they_are_rarely_wrong(
    rate: float,
) -> None:
    """The first wrong answers after weeks are two hundred in a row."""
    started = [fires_after(alike(rate, seed, each=200)) for seed in range(20)]
    assert not np.isfinite(started).any()


def test_how_many_share_an_outcome_is_known_once_a_run_of_wrong_answers_has_ended() -> None:
    """A run of wrong answers that lasts may be longer than all before: it is not known to be one
    outcome."""
    watching = realised.LossWatch(limit=LIMIT, false_starts_per_month=0.001)
    lost = [0.0] * 4000 + [1.0] * 400 + [0.0] * 500
    known = []
    for at, loss in enumerate(lost):
        watching.look(loss, at=at * 300.0)
        known.append(watching.known)
    assert max(known[:4400]) < 25
    assert known[-1] > 200


def test_the_budget_is_saved_for_a_month_until_a_bet_was_won() -> None:
    bets = realised.Bets(values=[0.0])
    for day in range(1, 91):
        bets.bet([0.5], budget=0.3, at=day * realised.DAY, spend=False)
    assert bets.values == [0.0]
    bets.bet([2.0], budget=0.3, at=90 * realised.DAY)
    assert bets.values == [0.6]
    bets.bet([2.0], budget=0.3, at=91 * realised.DAY)
    assert bets.values == pytest.approx([2 * (0.6 + 0.01)])


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("budget", [0.0005, 0.025, 5.0])
def test_the_bets_on_a_fall_to_one_have_place_in_what_it_may_take(
    limit: float, budget: float
) -> None:
    apart = max(realised.most_unknown(limit, budget=budget), 1.0)
    wins = realised.TOLD_WITHIN // (apart + realised.LEAST_LABELS)
    won = budget * (1 + realised.STAKE * (1 / realised.sudden_limit(limit) - 1)) ** wins
    assert won >= 1 or apart == 1


def test_a_model_that_is_all_wrong_from_one_day_on_is_found_within_two_days() -> None:
    before = drawn(losses.INDEPENDENT, 0.1, 8, labels=2000)
    after = [(at + 8 * realised.DAY, 1.0) for at in losses.moments(losses.LABELS).tolist()]
    assert 8 < fires_after([*before, *after]) < 10


def test_quantities_that_lose_more_from_one_day_on_are_found_within_three_days() -> None:
    """All losses are on one side of the limit before, and all on the other after: no shared outcome."""
    rng = np.random.default_rng(3)
    lost = np.where(np.arange(3000) < 1500, 0.05, 0.45) + rng.uniform(0, 0.05, 3000)
    late = list(zip((np.arange(3000) / 100 * realised.DAY).tolist(), lost.tolist(), strict=True))
    assert 15 < fires_after(late) <= 18


def test_labels_count_for_as_many_as_their_runs_are_worth() -> None:
    def shared(late: list[trigger.Late]) -> float:
        runs = realised.Runs()
        for _, loss in late:
            runs.add(loss, limit=LIMIT)
        return runs.shared(usual=LIMIT)

    for each in (10, 50, 200):
        assert shared(alike(BASE, 3, each=each)) == pytest.approx(each, rel=0.4)
    assert shared(drawn(losses.INDEPENDENT, BASE, 3)) < 1.1
    assert shared([]) == 1


@pytest.mark.parametrize("each", [1, 10, 500])
def test_a_fall_is_found_however_many_labels_come_at_once(each: int) -> None:
    found = fed(begun(), drawn(losses.INDEPENDENT, 0.4, 1, labels=1500), each=each)
    assert found.fired
    assert found.evidence == 1.0


def test_how_often_it_is_looked_at_changes_nothing() -> None:
    late = drawn(losses.LUCK, BASE, 2, labels=1000)
    one, many = fed(begun(), late, each=1000), fed(begun(), late, each=7)
    assert one.watch == many.watch
    assert one.evidence == many.evidence


def test_blocks_that_scatter_widely_are_known_to() -> None:
    def dispersion(kind: str) -> float:
        watching = realised.LossWatch(limit=LIMIT, false_starts_per_month=1)
        for at, loss in drawn(kind, BASE, 3, labels=4 * losses.LABELS):
            watching.look(loss, at=at)
        return watching.dispersion

    # fifty of rate r u, u even in 0 to 2: 1 + 49 r^2 / 3 / (r (1 - r)) = 3.9
    assert dispersion(losses.LUCK) == pytest.approx(3.9, rel=0.3)
    for kind in (losses.INDEPENDENT, losses.BY_DAY):
        assert dispersion(kind) < 1.5


def test_labels_that_come_late_join_the_block_that_is_open() -> None:
    watching = realised.LossWatch(limit=LIMIT, false_starts_per_month=1)
    for at in (5.5, 6.1, 4.0):
        watching.look(0.0, at=at * realised.DAY)
    assert (watching.block.labels, watching.day) == (3, 5)
    assert watching.days.spent_at is None


def test_it_goes_on_where_it_was_kept_and_begins_anew_with_another_revision_or_store() -> None:
    late = drawn(losses.INDEPENDENT, 0.25, 4, labels=900)
    one = fed(begun(), late, each=50)
    kept: Any = json.loads(json.dumps(one.to_json()))
    again = trigger.read(kept, revision="aaa", store="s")
    assert again is not None
    more = drawn(losses.INDEPENDENT, 0.25, 5, labels=100)
    assert fed(again, more, each=50) == fed(one, more, each=50)
    assert trigger.read(kept, revision="bbb", store="s") is None
    assert trigger.read(kept, revision="aaa", store="t") is None
    assert trigger.read(None, revision="aaa", store="s") is None


def test_what_was_kept_before_runs_were_counted_goes_on() -> None:
    one = fed(begun(), drawn(losses.INDEPENDENT, 0.25, 4, labels=900), each=50)
    assert one.watch is not None
    kept: Any = json.loads(json.dumps(one.to_json()))
    del kept["watch"]["runs"], kept["watch"]["passed"], kept["watch"]["won"], kept["watch"]["known"]
    kept["watch"]["sudden"]["values"] = [0.0, 0.0, one.watch["sudden"]["values"][0]]
    for block in ("block", "few", "before"):
        del kept["watch"][block]["shared"]
    again = trigger.read(kept, revision="aaa", store="s")
    assert again is not None
    more = fed(again, drawn(losses.INDEPENDENT, 0.6, 5, labels=1500), each=50)
    assert more.fired
    assert again.evidence == one.evidence


def test_rows_of_one_request_stay_in_their_order() -> None:
    late = [(5.0, loss) for loss in [0.0, 1.0] * 50]
    one = trigger.step(begun(), late, section=SECTION, limit=LIMIT, after=1)
    assert one.watch is not None
    assert one.watch["runs"]["runs"] == 100


def test_what_a_version_before_has_kept_begins_anew() -> None:
    kept = {"revision": "aaa", "store": "s", "after": 9, "at": 1.0, "values": [0.0] * 5}
    assert trigger.read(kept, revision="aaa", store="s") is None


def test_a_run_that_began_rearms_it_and_the_scatter_is_known_still() -> None:
    found = fed(begun(), drawn(losses.INDEPENDENT, 0.5, 6, labels=1500), each=10)
    assert found.fired
    again = trigger.rearmed(found)
    assert (again.fired, again.evidence) == (False, 0.0)
    assert found.watch is not None
    assert again.watch is not None
    assert again.watch["scatter"] == found.watch["scatter"]
    assert trigger.rearmed(begun()) == begun()


def test_a_look_without_labels_moves_the_place_alone() -> None:
    one = fed(begun(), drawn(losses.INDEPENDENT, 0.1, 7, labels=100), each=100)
    assert trigger.step(one, [], section=SECTION, limit=LIMIT, after=99).after == 99
    assert trigger.step(one, [], section=SECTION, limit=LIMIT, after=99).watch == one.watch


def test_where_hours_lose_alike_a_moderate_rise_is_told_within_some_hundred_labels() -> None:
    rng = np.random.default_rng(4)
    lost = np.concatenate([rng.random(2000) < 0.03, rng.random(2000) < 0.18]).astype(float)
    told = {}
    for cycle in (1.0, realised.DAY):
        watching = realised.LossWatch(limit=0.08, false_starts_per_month=0.05, cycle_seconds=cycle)
        looked = (watching.look(float(loss), at=10.0 * row) for row, loss in enumerate(lost))
        told[cycle] = next((row for row, reached in enumerate(looked) if reached), len(lost))
    assert 2000 < told[1.0] <= 2500
    assert told[1.0] < told[realised.DAY]

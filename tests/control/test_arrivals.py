"""Requests count when they came and once they have ended; what one unit and one client weigh is
bounded."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fairway.config import sections
from fairway.control import arrivals
from fairway.monitoring.eventstore import answers
from fairway.rollout import bookkeeping, increments, intake, states, traffic
from fairway.rollout.seen import Cursors, Seen, Segment
from fairway.rollout.states import Phase
from fairway.rollout.statistics import betting, hypotheses

POLICY = sections.Strategy(
    guards=(
        sections.Guard.of(name="errors", type="errors", max_rate=0.5),
        sections.Guard.of(name="rejections", type="rejections"),
        sections.Guard.of(name="slow", type="latency", threshold="100ms", max_rate=0.5),
    )
)
TIMEOUT = 10.0
START = 1_000_000.0


def row(
    seq: int,
    at: float,
    *,
    role: str = "canary",
    unit: str | None = None,
    client: str | None = None,
    status: int = 200,
    seconds: float = 0.01,
):
    return answers.Exposure(seq, START + at, role, unit, client, status, seconds, "cat")


class Answered:
    """The events of requests in the order in which they were answered, as far as `now`."""

    def __init__(self, rows: Sequence[answers.Exposure]) -> None:
        ended = sorted(rows, key=lambda one: one.predicted_at + one.seconds)
        self.rows = [one._replace(seq=number) for number, one in enumerate(ended, start=1)]
        self.times = [one.predicted_at + one.seconds + 0.2 for one in self.rows]
        self.now = math.inf

    def cursor(self) -> int:
        return int(np.searchsorted(self.times, self.now))

    def exposure(
        self, deployment: str, *, after: int, until: int | None = None
    ) -> tuple[int, list[answers.Exposure]]:
        end = min(self.cursor(), until if until is not None else len(self.rows))
        return max(end, after), self.rows[after:end]


def in_canary(weight: float = 0.25) -> states.State:
    return states.State(
        phase=Phase.CANARY,
        stable="aaa",
        candidate="bbb",
        segments=(Segment(start=START - 1, end=None, weight=weight, version="v"),),
    )


def take(
    rows: Answered,
    counted: arrivals.Arrivals,
    state: states.State,
    *,
    now: float,
    active: int | None = 1,
    whole: bool = True,
) -> arrivals.Exposures:
    rows.now = START + now
    arm = traffic.ArmSample(requests=1, errors=0, active=active)
    sample = traffic.Sample(at=START + now, epoch="e", route_version="v", stable=arm, candidate=arm)
    return counted.take(
        rows,
        "income",
        state=state,
        policy=POLICY,
        wanted_version="v",
        whole=whole,
        sample=sample,  # type: ignore[arg-type]
        timeout_seconds=TIMEOUT,
        now=START + now,
    )


def visits(found: arrivals.Exposures) -> tuple[int, int]:
    return sum(one.candidate for one in found.counted), sum(one.stable for one in found.counted)


def bad(found: arrivals.Exposures, guard: str = "errors") -> tuple[int, int]:
    return sum(one.bad[guard][0] for one in found.counted), sum(
        one.bad[guard][1] for one in found.counted
    )


def test_a_request_counts_once_the_timeout_of_all_that_came_with_it_has_passed() -> None:
    rows, counted, state = (
        Answered([row(1, 1.0), row(2, 2.0, seconds=8.0), row(3, 5.0)]),
        arrivals.Arrivals(),
        in_canary(),
    )
    found = []
    for now in (9.0, 12.5, 15.0, 17.0):
        found.append(take(rows, counted, state, now=now))
        state = replace(state, cursors=found[-1].cursors)
    assert [visits(one) for one in found] == [(0, 0), (1, 0), (1, 0), (1, 0)]


def test_where_nothing_is_under_way_nothing_is_waited_for() -> None:
    rows, counted = Answered([row(1, 1.0), row(2, 2.0)]), arrivals.Arrivals()
    first = take(rows, counted, in_canary(), now=3.0, active=0)
    then = take(rows, counted, replace(in_canary(), cursors=first.cursors), now=4.5, active=3)
    # the second look knows that their events were delivered
    assert (visits(first), visits(then)) == ((0, 0), (2, 0))


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_counted_before_what_waits_is_not_counted_again(restarted: bool) -> None:
    rows, counted = (
        Answered(
            [row(1, 5.0, unit="late"), row(2, 1.0, seconds=8.0, unit="slow"), row(3, 2.0, unit="u")]
        ),
        arrivals.Arrivals(),
    )
    first = take(rows, counted, in_canary(), now=13.5)
    state = replace(in_canary(), cursors=first.cursors)
    assert visits(take(rows, counted, state, now=16.5)) == (1, 0)  # a look that is never stored
    then = take(rows, arrivals.Arrivals() if restarted else counted, state, now=17.0)
    assert (visits(first), visits(then)) == ((2, 0), (1, 0))
    assert then.cursors == Cursors(exposure=3, ahead=3, settled=START + 6.0)


def test_what_came_while_an_arm_had_no_capacity_counts_for_nothing() -> None:
    rows, counted = (
        Answered([row(number, 1.0, status=503) for number in range(5)]),
        arrivals.Arrivals(),
    )
    out = take(rows, counted, in_canary(), now=2.0, whole=False)
    assert visits(take(rows, counted, replace(in_canary(), cursors=out.cursors), now=20.0)) == (
        0,
        0,
    )


def test_what_came_while_an_arm_had_no_capacity_counts_for_nothing_also_where_its_events_come_later() -> (
    None
):
    """Stable's requests alone would be a split of units that nobody asked for."""
    lone = [row(0, at / 10, role="stable") for at in range(100, 140)]
    both = [
        row(0, at / 10, role=role)
        for at in [*range(80, 100), *range(140, 200)]
        for role in ("canary", "stable")
    ]
    rows, counted, state = Answered([*lone, *both]), arrivals.Arrivals(), in_canary()
    found = []
    for now, whole in (
        (9.5, True),
        (12.0, False),
        (13.0, False),
        (14.1, True),
        (15.0, True),
        (26.0, True),
        (40, True),
    ):
        found.append(take(rows, counted, state, now=now, whole=whole))
        state = replace(state, cursors=found[-1].cursors)
    assert all(one.candidate == one.stable for look in found for one in look.counted)
    # what came after the look at 14.1 s
    assert sum(one.candidate for look in found for one in look.counted) == 58


def test_what_the_gateway_counted_alone_while_events_could_not_be_read_is_passed_over() -> None:
    state = replace(in_canary(), cursors=Cursors(alone_from=START + 1.5, alone_until=START + 6.0))
    found = take(
        Answered([row(1, 1.0), row(2, 2.0, seconds=2.0), row(3, 5.0), row(4, 6.5)]),
        arrivals.Arrivals(),
        state,
        now=20.0,
    )
    assert visits(found) == (2, 0)


def test_at_the_ends_of_an_outage_of_the_store_no_arm_counts_without_the_other() -> None:
    pairs = [
        row(0, at / 10, role=role, seconds=0.01 if role == "stable" else 3.0)
        for at in range(-100, 500)
        for role in ("canary", "stable")
    ]
    rows, counted, state = Answered(pairs), arrivals.Arrivals(), replace(in_canary(), looked=START)
    found = [take(rows, counted, state, now=14.0)]
    state = replace(state, cursors=found[-1].cursors, looked=START + 14)
    for now in (15, 20, 25):
        seen = Seen(
            now=START + now,
            desired="bbb",
            wanted_version="v",
            cursors=state.cursors,
            unread="no answer",
        )
        state = intake.learn(state, seen, strategy=POLICY)
    for now in (34, 40, 47, 55):
        found.append(take(rows, counted, state, now=now))
        state = replace(state, cursors=found[-1].cursors)
    came = sum(one.candidate for look in found for one in look.counted)
    assert all(one.candidate == one.stable for look in found for one in look.counted)
    # until 3 s, the last instant by which all had been answered, and after 25 s until 44 s
    assert came == 41 + 190


@pytest.mark.parametrize(
    "settled", [START + 3600, START - 10], ids=["it was believed", "events were unread by it"]
)
def test_what_was_not_read_before_the_clock_was_set_back_hides_nothing_that_comes_after(
    settled: float,
) -> None:
    cursors = Cursors(settled=settled, alone_from=START - 10, alone_until=START + 3600)
    found = take(
        Answered([row(1, 5.0)]), arrivals.Arrivals(), replace(in_canary(), cursors=cursors), now=3.0
    )
    later = take(
        Answered([row(1, 5.0)]),
        arrivals.Arrivals(),
        replace(in_canary(), cursors=found.cursors),
        now=20.0,
    )
    assert visits(later) == (1, 0)


def test_requests_of_the_step_before_count_by_its_weight() -> None:
    state = in_canary()
    ended = replace(state.segments[0], end=START + 3)
    state = replace(
        state, segments=(ended, Segment(start=START + 4, end=None, weight=0.5, version="v"))
    )
    found = take(
        Answered([row(1, 2.0), row(2, 3.5), row(3, 4.5)]), arrivals.Arrivals(), state, now=20.0
    )
    assert [(one.candidate, one.shares["errors"]) for one in found.counted] == [(1, 0.25), (1, 0.5)]
    assert [(one.candidate, one.new) for one in found.exposed] == [(0, (1, 0)), (1, (1, 0))]


def test_a_unit_that_fails_all_day_has_failed_once_and_its_visits_are_what_the_limit_is_held_against() -> (
    None
):
    rows = [row(number, number * 2.5, unit="u", status=500) for number in range(40)] + [
        row(99, 1.0, unit="v")
    ]
    found = take(Answered(rows), arrivals.Arrivals(), in_canary(), now=200.0)
    assert (bad(found), visits(found)) == ((1, 0), (21, 0))
    assert sum(one.held["errors"][0].bad for one in found.counted) == 20


@pytest.mark.parametrize(
    ("status", "counts"),
    [(400, 1), (404, 1), (413, 1), (408, 0), (429, 0), (499, 0), (500, 0), (200, 0)],
)
def test_what_nobody_can_help_is_no_rejection(status: int, counts: int) -> None:
    found = take(
        Answered([row(1, 1.0, unit="u", status=status)]), arrivals.Arrivals(), in_canary(), now=20.0
    )
    assert bad(found, "rejections") == (counts, 0)


def attack(*, client: str | None, aimed: int, crowd: int) -> float:
    """Return the evidence against a healthy candidate after a client that knows the arms has sent
    what fails, from as many units of the candidate.
    """
    roles = np.where(np.random.default_rng(0).random(crowd) < 0.05, "canary", "stable").tolist()
    rows = [
        row(0, number * 20 / crowd, role=role, unit=f"u{number}", client=f"{number % 500:04x}")
        for number, role in enumerate(roles)
    ]
    rows += [
        row(0, 15.0 + number / 100, unit=f"made-up-{number}", client=client, status=400)
        for number in range(aimed)
    ]
    found = take(Answered(rows), arrivals.Arrivals(), in_canary(0.05), now=60.0)
    batch = increments.Batch(counted=found.counted, exposed=found.exposed)
    return bookkeeping.observe(
        bookkeeping.begin(POLICY, at=START), batch, strategy=POLICY, offline=None, at=START + 60
    ).harm


def test_a_client_that_makes_up_units_and_aims_at_the_candidate_does_not_roll_it_back() -> None:
    assert attack(client="beef", aimed=42, crowd=1000) < 0.5 * math.log(100)
    assert attack(client=None, aimed=42, crowd=1000) > math.log(
        100
    )  # what the bound is for: addresses that nobody tells apart


def test_a_single_caller_is_the_traffic_and_is_heard() -> None:
    roles = np.where(np.random.default_rng(1).random(1000) < 0.05, "canary", "stable").tolist()
    rows = [
        row(0, number / 50, role=role, client="aaaa", status=500 if role == "canary" else 200)
        for number, role in enumerate(roles)
    ]
    found = take(Answered(rows), arrivals.Arrivals(), in_canary(0.05), now=60.0)
    assert bad(found)[0] > 20


# -- an incident of both arms, answered at different speeds -----------------------------------------------------------


def incident(seed: int, *, slower: float) -> Answered:
    """Return two minutes of 50 requests a second; from 20 to 60 s a third of both arms' fail.

    The candidate takes longer.
    """
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(0, 120, 6000))
    canary, fails = (
        rng.random(6000) < 0.25,
        rng.random(6000) < np.where((at > 20) & (at < 60), 0.3, 0.005),
    )
    return Answered(
        [
            row(
                0,
                t,
                role="canary" if c else "stable",
                status=500 if f else 200,
                seconds=0.05 + slower * c,
            )
            for t, c, f in zip(at, canary, fails, strict=True)
        ]
    )


def warming(seed: int) -> Answered:
    """Return the first minute of a candidate whose successes take 6 s, as stable's do, and whose
    failures are told at once.
    """
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(-30, 60, 4500))
    canary, fails = (rng.random(4500) < 0.25) & (at > 0), rng.random(4500) < 0.05
    return Answered(
        [
            row(
                0,
                t,
                role="canary" if c else "stable",
                status=500 if f else 200,
                seconds=0.01 if f else 6.0,
            )
            for t, c, f in zip(at, canary, fails, strict=True)
        ]
    )


def evidence_by_arrival(rows: Answered) -> float:
    """Return the most evidence against the candidate at any look."""
    errors = POLICY.model_copy(update={"guards": POLICY.guards[:1]})
    counted, state, ledger, most = (
        arrivals.Arrivals(),
        in_canary(),
        bookkeeping.begin(errors, at=START),
        0.0,
    )
    for now in range(1, 132):
        found = take(rows, counted, state, now=now)
        state = replace(state, cursors=found.cursors)
        ledger = bookkeeping.observe(
            ledger,
            increments.Batch(counted=found.counted, exposed=found.exposed),
            strategy=errors,
            offline=None,
            at=START + now,
        )
        most = max(most, ledger.harm)
    return most


def evidence_by_answer(rows: Answered) -> float:
    """Return the same where requests count when they are answered, as a gateway's counters have
    them."""
    ended = np.array(rows.times)
    canary, fails = (
        np.array([one.role == "canary" for one in rows.rows]),
        np.array([one.status == 500 for one in rows.rows]),
    )
    wealth, most = betting.Wealth.start(at=0.0), 0.0
    for second in range(1, 132):
        now = (ended > START + second - 1) & (ended <= START + second)
        arms = [
            betting.ArmCounts(int((now & arm).sum()), int((now & arm & fails).sum()))
            for arm in (canary, ~canary)
        ]
        wealth = (wealth.restart(at=second) if wealth.due(at=second) else wealth).bet(
            hypotheses.factors_two_arm(*arms)
        )
        most = max(most, wealth.log_e)
    return most


@pytest.mark.parametrize("slower", [1.0, 4.0])
def test_an_incident_of_both_is_not_held_against_the_arm_that_answers_later(slower: float) -> None:
    runs = [incident(seed, slower=slower) for seed in (0, 4, 5)]
    assert max(evidence_by_arrival(run) for run in runs) < math.log(100)
    # what it would be by answers
    assert slower < 2 or min(evidence_by_answer(run) for run in runs) > math.log(100)


def test_a_candidate_whose_failures_are_told_before_its_successes_is_healthy() -> None:
    runs = [warming(seed) for seed in range(4)]
    assert max(evidence_by_arrival(run) for run in runs) < math.log(100)
    assert min(evidence_by_answer(run) for run in runs) > math.log(100)


def test_a_user_who_is_always_slow_was_slow_once() -> None:
    slow = [row(number, 5.0 * number, unit="far away", seconds=0.5) for number in range(1, 9)]
    others = [
        row(100 + number, 5.0 * number, role="stable", unit=f"u{number}") for number in range(1, 9)
    ]
    found = take(Answered([*slow, *others]), arrivals.Arrivals(), in_canary(), now=60)
    assert bad(found, "slow") == (1, 0)
    # a limit is held against all of them
    assert sum(one.held["slow"][0].bad for one in found.counted) == 8


def test_a_window_that_misses_an_arm_is_bet_on_by_what_came() -> None:
    late = Answered(
        [
            row(number, 1.0, unit=f"u{number}", status=500 if number % 4 == 0 else 200)
            for number in range(1, 61)
        ]
    )
    (window,) = take(late, arrivals.Arrivals(), in_canary(weight=0.25), now=30).counted
    assert window.shares["errors"] == 1.0  # nothing is bet
    even = Answered(
        [
            row(number, 1.0, role="canary" if number % 4 == 0 else "stable", unit=f"u{number}")
            for number in range(1, 61)
        ]
    )
    (window,) = take(even, arrivals.Arrivals(), in_canary(weight=0.25), now=30).counted
    assert window.shares["errors"] == 0.25


def test_after_the_store_was_away_nothing_counts_until_every_server_has_found_it_again() -> None:
    state = replace(in_canary(), cursors=Cursors(alone_from=START - 20, alone_until=START + 10))
    rows = Answered([row(1, 11.0)])
    waiting = take(rows, arrivals.Arrivals(), state, now=15, active=0)
    assert visits(waiting) == (0, 0)
    later = take(
        rows, arrivals.Arrivals(), replace(state, cursors=waiting.cursors), now=23, active=1
    )
    assert visits(later) == (1, 0)


class Told(Answered):
    """Events that the store has, whatever their date."""

    def cursor(self) -> int:
        return len(self.rows)


@pytest.mark.parametrize(("ahead", "says"), [(3600.0, "3600 s before"), (-3600.0, "3600 s after")])
def test_events_dated_by_another_clock_leave_the_count_to_the_gateway_and_say_so(
    ahead: float, says: str
) -> None:
    before = traffic.ArmSample(requests=0, errors=0)
    state = replace(
        in_canary(),
        sample=traffic.Sample(
            at=START, epoch="e", route_version="v", stable=before, candidate=before
        ),
    )
    found = take(Told([row(1, -ahead)]), arrivals.Arrivals(), state, now=0.5)
    assert visits(found) == (0, 0)
    assert found.unread is not None
    assert says in found.unread
    assert (
        take(Answered([row(1, -30.0)]), arrivals.Arrivals(), state, now=0.5).unread is None
    )  # servers that tell what they kept

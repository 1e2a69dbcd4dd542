"""The state machine, fed with values: a small world stands in for time and traffic, none for the
machine itself."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from fairway.config import sections
from fairway.control import units
from fairway.rollout import bookkeeping, increments, intake, judge, states, traffic
from fairway.rollout.seen import Command, Seen, Segment
from fairway.rollout.states import Cause, Phase, Reply
from fairway.rollout.statistics import betting
from tests.rollout.world import STRATEGY, World


def types(world: World) -> list[str]:
    return [event.type for event in world.events]


def test_the_first_revision_serves_without_a_judge() -> None:
    world = World()
    assert world.until(Phase.STABLE).stable == "a"
    assert types(world) == ["Started", "First"]


def test_a_healthy_revision_goes_through_shadow_every_step_and_the_bake() -> None:
    world = World().serving("a")
    world.until(Phase.BAKING)
    assert world.until(Phase.STABLE).stable == "b"
    assert types(world)[2:] == [
        "Started",
        "Ready",
        "Step",
        "Step",
        "Step",
        "Promoting",
        "Baking",
        "Promoted",
    ]


def test_weights_rise_as_the_steps_say_and_the_bake_keeps_a_share_on_the_old() -> None:
    world, weights = World().serving("a"), []
    while world.state.stable != "b":
        world.look()
        weights.append(states.split(world.state, strategy=STRATEGY)[0])
    assert list(dict.fromkeys(weights)) == [0, 5, 25, 50, 95]


def test_a_mismatch_is_rolled_back_in_shadow_before_any_user_is_served() -> None:
    world = World(disagreeing=0.3).serving("a")
    state = world.until(Phase.ROLLED_BACK)
    assert state.stable == "a"
    assert state.rejected == ("b",)
    assert state.verdict is not None
    assert state.verdict.guard == "disagreement"
    assert world.counters["candidate"][0] == 0


def test_a_failing_canary_is_rolled_back_by_errors_and_its_weight_is_gone_at_once() -> None:
    world = World(failing=0.2).serving("a")
    state = world.until(Phase.ROLLING_BACK)
    assert states.split(state, strategy=STRATEGY) == (0, 0)
    assert state.verdict is not None
    assert state.verdict.guard == "errors"
    assert world.until(Phase.ROLLED_BACK).stable == "a"


def test_a_rolled_back_revision_is_not_tried_again_until_it_is_asked_to() -> None:
    world = World(failing=0.2).serving("a")
    world.until(Phase.ROLLED_BACK)
    assert [world.look().phase for _ in range(5)] == [Phase.ROLLED_BACK] * 5
    world.failing, world.command = 0.0, Command("retry", "sam", "the disk was full")
    world.until(Phase.STABLE)
    assert world.state.stable == "b"


def test_missing_counts_hold_and_resume_without_losing_evidence() -> None:
    world = World().serving("a")
    world.until(Phase.CANARY)
    world.look()
    before = world.state
    world.readable = False
    assert [world.look().phase for _ in range(30)] == [Phase.CANARY] * 30
    assert world.state.step == before.step
    assert "cannot be read" in world.state.reason
    world.readable = True
    assert world.until(Phase.STABLE).stable == "b"


def test_without_pairs_and_labels_nothing_moves_on_but_failures_still_roll_back() -> None:
    world = World().serving("a")
    world.until(Phase.CANARY)
    world.unread = "the collector does not answer"
    assert [world.look().phase for _ in range(30)] == [Phase.CANARY] * 30
    assert "events cannot be read" in world.state.reason
    assert world.state.step == 0
    world.failing = 0.2
    assert world.until(Phase.ROLLED_BACK).stable == "a"


def test_counts_of_a_gateway_that_began_anew_are_not_compared_with_those_before() -> None:
    world = World().serving("a")
    world.until(Phase.CANARY)
    world.look()
    world.epoch, world.counters = "second", {"stable": [0, 0], "candidate": [0, 0]}
    assert world.until(Phase.STABLE).stable == "b"


def test_a_candidate_without_capacity_holds_and_goes_on_when_it_is_back() -> None:
    world = World().serving("a")
    world.until(Phase.CANARY)
    world.ready = ("a",)
    assert [world.look().phase for _ in range(10)] == [Phase.CANARY] * 10
    assert "no capacity" in world.state.reason
    world.ready = ("a", "b")
    assert world.until(Phase.STABLE).stable == "b"


def in_canary(**changes: Any) -> World:
    world = World(
        policy=STRATEGY.model_copy(update={"progress_deadline": timedelta(seconds=20), **changes})
    ).serving("a")
    world.until(Phase.CANARY)
    world.look()
    return world


def weight(world: World) -> int:
    return states.split(world.state, strategy=world.policy)[0]


def test_a_candidate_whose_only_pod_is_taken_away_gives_its_share_to_stable_and_goes_on_when_it_is_back() -> (
    None
):
    world = in_canary()
    before = world.state
    world.absent = ("b",)
    assert [(world.look().phase, weight(world)) for _ in range(15)] == [(Phase.CANARY, 0)] * 15
    assert "waits for capacity" in world.state.reason
    world.absent = ()
    assert (world.look().phase, world.state.step, weight(world), world.state.since) == (
        Phase.CANARY,
        before.step,
        5,
        before.since + 15,
    )
    assert world.until(Phase.STABLE).stable == "b"
    assert [event.type for event in world.events if event.type.startswith("Capacity")] == [
        "CapacityLost",
        "CapacityBack",
    ]


def test_a_candidate_that_does_not_come_back_by_the_deadline_is_rolled_back() -> None:
    world = in_canary()
    world.absent = ("b",)
    state = world.until(Phase.ROLLED_BACK)
    assert "did not come back within 20 s (progressDeadline)" in state.reason
    assert state.rejected == ("b",)


@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.CANARY, Phase.BAKING, Phase.PAUSED])
def test_in_every_stage_an_absent_candidate_has_neither_weight_nor_copies_and_the_stage_stays(
    phase: Phase,
) -> None:
    world = in_canary() if phase is not Phase.SHADOW else World().serving("a")
    if phase is Phase.PAUSED:
        world.command = Command("pause", "sam", "lunch")
    world.until(phase)
    reason = world.state.reason
    world.absent = ("b",)
    assert (world.look().phase, states.split(world.state, strategy=world.policy)) == (phase, (0, 0))
    assert phase is not Phase.PAUSED or world.state.reason == reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"broken": {"b": "out of memory"}}, "does not stay up: out of memory"),
        ({"desired": "c"}, "superseded"),
        ({"command": Command("abort", "sam", "enough")}, "aborted by sam"),
    ],
    ids=["its own end", "another revision", "a person"],
)
def test_what_ends_a_rollout_ends_one_that_waits_for_capacity_too(
    change: dict[str, Any], said: str
) -> None:
    world = in_canary()
    world.absent = ("b",)
    world.look()
    for name, value in change.items():
        setattr(world, name, value)
    world.unread = "the collector does not answer"  # nor is a store needed for it
    assert world.look().phase is Phase.ROLLING_BACK
    assert said in world.state.reason


def test_requests_that_met_a_pod_as_it_was_taken_away_are_no_evidence() -> None:
    world = in_canary()
    before = world.state.ledger
    world.absent, world.failing = ("b",), 1.0
    assert world.look().phase is Phase.CANARY
    assert before is not None
    assert world.state.ledger is not None
    news, known = world.state.ledger.to_json()["bets"], before.to_json()["bets"]
    assert [bet["harm"] for bet in news] == [bet["harm"] for bet in known]


def test_a_candidate_that_never_becomes_ready_is_rolled_back_at_the_deadline() -> None:
    world = World(
        ready=("a",),
        policy=STRATEGY.model_copy(update={"progress_deadline": timedelta(seconds=20)}),
    ).serving("a")
    state = world.until(Phase.ROLLED_BACK)
    assert state.stable == "a"
    assert "progressDeadline" in state.reason


def test_a_candidate_that_cannot_start_is_rolled_back_at_once_with_its_own_words() -> None:
    world = World(ready=("a",), broken={"b": "row 3 of golden.json was not reproduced"}).serving(
        "a"
    )
    assert "golden.json" in world.until(Phase.ROLLED_BACK).reason


def test_a_spent_budget_pauses_for_a_person_and_a_resumed_one_goes_on() -> None:
    tight = STRATEGY.model_copy(update={"canary": sections.Canary(budget=timedelta(seconds=10))})
    world = World(policy=tight, rate=4).serving("a")
    world.until(Phase.CANARY, looks=600)
    assert "budget" in world.until(Phase.PAUSED).reason
    world.command = Command("resume", "sam")
    assert world.look().phase is Phase.CANARY


def test_a_paused_rollout_still_rolls_back_on_harm() -> None:
    world = World().serving("a")
    world.until(Phase.CANARY)
    world.command = Command("pause", "sam")
    assert world.look().phase is Phase.PAUSED
    world.failing = 0.5
    assert world.until(Phase.ROLLED_BACK).stable == "a"


def test_promotion_without_a_certificate_needs_force_and_is_remembered_with_its_reason() -> None:
    world = World(rate=2).serving("a")
    world.until(Phase.SHADOW)
    world.command = Command("promote", "sam", "fixes the outage")
    assert world.look().phase is Phase.SHADOW
    assert types(world)[-1] == "Refused"
    world.command = Command("promote", "sam", "fixes the outage", force=True)
    world.look()
    assert "fixes the outage" in world.state.reason
    assert world.until(Phase.STABLE).stable == "b"


def test_abort_takes_the_weight_away_and_rejects_the_revision() -> None:
    world = World().serving("a")
    world.until(Phase.CANARY)
    world.command = Command("abort", "sam")
    assert states.split(world.look(), strategy=STRATEGY) == (0, 0)
    assert world.until(Phase.ROLLED_BACK).rejected == ("b",)


def test_the_history_says_who_asked_for_what_and_why_and_promotion_still_quotes_the_judge() -> None:
    world = World().serving("a")
    world.until(Phase.PROMOTING)
    for verb, phase in (("pause", Phase.PAUSED), ("resume", Phase.PROMOTING)):
        world.command = Command(verb, "sam", "lunch")
        assert world.look().phase is phase
    rows = [
        (row["action"], row["revision"], row["phase"], row["reason"])
        for row in world.state.history[-2:]
    ]
    assert rows == [
        ("pause", "b", "Paused", "paused by sam: lunch"),
        ("resume", "b", "Promoting", "resumed by sam: lunch"),
    ]
    assert "sam" not in world.until(Phase.STABLE).reason


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"failing": 0.5}, Cause.GUARD),
        ({"broken": {"b": "it was killed"}}, Cause.NOT_READY),
        ({"absent": ("b",)}, Cause.DEADLINE),
        ({"command": Command("abort", "kim")}, Cause.ABORTED),
        ({"desired": "c"}, Cause.SUPERSEDED),
    ],
    ids=lambda value: str(value) if isinstance(value, Cause) else "",
)
def test_the_state_keeps_as_a_value_why_a_revision_was_taken_back(
    change: dict[str, Any], cause: Cause
) -> None:
    world = in_canary(progress_deadline=timedelta(seconds=20))
    for name, value in change.items():
        setattr(world, name, value)
    assert world.until(Phase.ROLLED_BACK).cause is cause


def test_a_candidate_that_never_starts_and_a_spent_budget_have_causes_of_their_own() -> None:
    world = World(broken={"b": "no such image"}).serving("a")
    assert world.until(Phase.ROLLED_BACK).cause is Cause.NOT_READY
    hasty = sections.Canary(budget=timedelta(seconds=3))
    assert (
        in_canary(canary=hasty, on_inconclusive="rollback").until(Phase.ROLLED_BACK).cause
        is Cause.INCONCLUSIVE
    )


def test_the_cause_of_the_last_rollback_is_forgotten_when_the_next_rollout_starts() -> None:
    world = in_canary()
    world.command = Command("abort", "kim")
    world.until(Phase.ROLLED_BACK)
    world.desired = "c"
    assert world.until(Phase.SHADOW).cause is None


def test_a_command_is_answered_with_whether_it_was_obeyed_whatever_its_reason_says() -> None:
    world = in_canary()
    world.command = Command("pause", "kim", "the new copy changes nothing for users")
    world.look()
    assert world.reply == Reply(
        obeyed=True, sentence="paused by kim: the new copy changes nothing for users"
    )
    world.command = Command("pause", "kim")
    world.look()
    assert world.reply == Reply(
        obeyed=False, sentence="pause by kim changes nothing in phase Paused"
    )


def test_a_newer_revision_takes_over_in_the_middle_of_a_rollout_without_rejecting_the_first() -> (
    None
):
    world = World().serving("a")
    world.until(Phase.CANARY)
    world.desired = "c"
    assert world.until(Phase.STABLE).stable == "c"
    assert world.state.rejected == ()


def test_labels_that_come_after_promotion_bring_the_old_revision_back() -> None:
    world = World().serving("a")
    world.until(Phase.STABLE)
    segment = next(s for s in world.state.segments if s.weight == 0.5)
    worse = increments.Labelled(
        weight=segment.weight,
        candidate=betting.ArmCounts(200, 80),
        stable=betting.ArmCounts(200, 8),
    )
    world.labelled = (worse,)
    state = world.until(Phase.ROLLED_BACK)
    assert state.stable == "a"
    assert state.rejected == ("b",)
    assert state.verdict is not None
    assert state.verdict.guard == "quality"


def test_a_late_rollback_that_waits_for_the_old_revision_ends_with_the_judges_sentence_alone() -> (
    None
):
    world = World().serving("a")
    world.until(Phase.STABLE)
    world.ready = ("b",)
    world.labelled = (
        increments.Labelled(
            weight=0.5, candidate=betting.ArmCounts(600, 300), stable=betting.ArmCounts(600, 30)
        ),
    )
    world.until(Phase.ROLLING_BACK)
    waiting = world.look().reason
    world.ready = ("a", "b")
    ended = world.until(Phase.ROLLED_BACK)
    assert waiting == f"{ended.reason} (waiting for revision a to be ready)"
    assert ended.stable == "a"


def skewed() -> World:
    """Return a canary at 5 % that a quarter of the units met."""
    world = World().serving("a")
    world.until(Phase.CANARY)
    while not world.state.segments:
        world.look()
    seen = increments.Batch(
        exposed=(increments.Exposed(weight=0.05, candidate=100, stable=300, new=(100, 300)),)
    )
    assert world.state.ledger is not None
    ledger = bookkeeping.observe(
        world.state.ledger, seen, strategy=STRATEGY, offline=0.03, at=world.now
    )
    world.state = dataclasses.replace(world.state, ledger=ledger)
    return world


def test_a_split_that_is_not_what_was_asked_is_invalid_and_moves_nothing() -> None:
    world = skewed()
    phases = [(world.look().phase, world.state.step) for _ in range(5)]
    assert phases == [(Phase.CANARY, world.state.step)] * 5
    assert world.state.verdict is not None
    assert world.state.verdict.action is judge.Action.INVALID
    assert "100 of 400 fell to the candidate (25.0%), not 5.0%" in world.state.reason
    split = world.state.verdict.evidence["combined"]["split"]
    assert (split["candidate"], split["stable"], split["asked"]) == (100, 300, 0.05)


def test_who_has_mended_the_split_pauses_and_resumes_and_it_is_judged_anew() -> None:
    world = skewed()
    assert "split" in world.look().reason
    world.command = Command("pause", "ana", "a second gateway")
    world.until(Phase.PAUSED)
    world.command = Command("resume", "ana")
    assert world.until(Phase.STABLE).stable == "b"


def test_units_are_divided_anew_where_the_route_was_not_known_to_be_in_effect_in_between() -> None:
    world = skewed()
    [before] = world.state.segments
    world.route = "another"
    assert world.look().segments == (dataclasses.replace(before, end=world.now - 1),)
    world.route = None
    assert [(segment.start, segment.end) for segment in world.look().segments[1:]] == [
        (world.now, None)
    ]
    assert world.state.ledger is not None
    assert (world.state.ledger.met, world.state.ledger.crooked) == ((0, 0), False)


def test_a_promotion_whose_route_never_takes_effect_asks_a_person() -> None:
    world = World(
        policy=STRATEGY.model_copy(update={"progress_deadline": timedelta(seconds=30)})
    ).serving("a")
    world.until(Phase.PROMOTING)
    world.route = "another"
    state = world.until(Phase.PAUSED, looks=40)
    assert (
        state.reason
        == "the progressDeadline of 30s is over, still waiting for the route to take effect"
    )
    world.route, world.command = None, Command("resume", "ana")
    assert world.until(Phase.STABLE).stable == "b"


def test_each_rollout_is_judged_by_the_strategy_that_was_asked_for_when_it_began() -> None:
    play, newest = World().serving("a"), STRATEGY.model_copy(update={"false_rollback": 0.05})
    before = play.state
    begun = play.until(Phase.STARTING)
    assert states.in_force(before, begun, begun=STRATEGY, newest=newest) is newest
    assert (
        states.in_force(begun, play.until(Phase.CANARY), begun=STRATEGY, newest=newest) is STRATEGY
    )
    served = play.until(Phase.STABLE)
    assert (
        states.in_force(served, play.look(), begun=STRATEGY, newest=newest) is STRATEGY
    )  # late labels are judged by it too
    play.desired = "c"
    assert (
        states.in_force(served, play.until(Phase.STARTING), begun=STRATEGY, newest=newest) is newest
    )


def scraped(
    at: float, stable: int, candidate: int, *, epoch: str = "one", version: str = "r"
) -> traffic.Sample:
    return traffic.Sample(
        at=at,
        epoch=epoch,
        route_version=version,
        stable=traffic.ArmSample(requests=stable, errors=0),
        candidate=traffic.ArmSample(requests=candidate, errors=0),
    )


def counted(*samples: traffic.Sample) -> tuple[int, float, int, float]:
    """Return the totals of the errors guard after looks at these scrapes, from the first on."""
    state = states.State(
        phase=Phase.CANARY, stable="a", candidate="b", ledger=bookkeeping.begin(STRATEGY, at=0.0)
    )
    for number, sample in enumerate(samples):
        state = intake.learn(
            state,
            Seen(now=100.0 + number, desired="b", sample=sample, wanted_version="r"),
            strategy=STRATEGY,
        )
    assert state.ledger is not None
    bet = state.ledger.own("errors")
    return (*bet.candidate, *bet.stable)


def test_a_scrape_that_is_older_than_the_last_counts_nothing_again() -> None:
    assert counted(
        scraped(1, 100, 10), scraped(2, 200, 20), scraped(1, 100, 10), scraped(3, 300, 30)
    ) == (
        20,
        0,
        200,
        0,
    )
    assert counted(
        scraped(1, 100, 10), scraped(2, 200, 20), scraped(2, 200, 20), scraped(3, 300, 30)
    ) == (
        20,
        0,
        200,
        0,
    )


def test_of_several_proxies_a_lagging_one_is_not_counted_twice_and_a_silent_reset_is_believed_after_a_minute() -> (
    None
):
    both = [
        scraped(1, 1000, 100),
        scraped(2, 2200, 220),
        scraped(3, 1500, 150),
        scraped(4, 3100, 310),
    ]  # one ahead, the other behind
    assert counted(*both) == (210, 0, 2100, 0)
    began_anew = [
        scraped(1, 1000, 100),
        scraped(2, 2000, 200),
        scraped(10, 100, 10),
        scraped(70, 200, 20),
        scraped(75, 300, 30),
    ]
    assert counted(*began_anew) == (110, 0, 1100, 0)


def test_a_clock_that_was_set_back_loses_nothing_that_was_counted_on() -> None:
    assert counted(scraped(1000, 100, 10), scraped(1, 200, 20), scraped(2, 300, 30)) == (
        20,
        0,
        200,
        0,
    )


def test_counters_that_begin_anew_are_counted_from_there() -> None:
    assert counted(
        scraped(1, 100, 10), scraped(2, 5, 1, epoch="two"), scraped(3, 105, 11, epoch="two")
    ) == (
        10,
        0,
        100,
        0,
    )


def test_what_was_served_by_another_route_is_no_evidence() -> None:
    assert counted(
        scraped(1, 100, 10),
        scraped(2, 200, 90, version="old"),
        scraped(3, 300, 100),
        scraped(4, 400, 110),
    ) == (10, 0, 100, 0)


def test_nothing_is_evidence_before_the_warm_up_is_over_and_nothing_moves_before_the_route_is_there() -> (
    None
):
    play = World(
        policy=STRATEGY.model_copy(
            update={"warmup": timedelta(seconds=20), "shadow": sections.Shadow(enabled=False)}
        )
    ).serving("a")
    play.failing = 0.9
    play.until(Phase.CANARY)
    for _ in range(19):
        assert play.look().phase is Phase.CANARY
        assert play.state.ledger is not None
        assert (
            play.state.ledger.own("errors").candidate
            == play.state.ledger.own("errors").stable
            == (0, 0)
        )
    play.route = "another"
    for _ in range(30):
        assert play.look().phase is Phase.CANARY
    assert (
        play.state.ledger.own("errors").candidate
        == play.state.ledger.own("errors").stable
        == (0, 0)
    )
    assert play.state.reason == "waiting for the route to take effect"
    play.route = None
    play.until(Phase.ROLLED_BACK, looks=20)


def stretches(
    *looks: tuple[float, float], warmup_until: float = 0.0
) -> list[tuple[float, float | None]]:
    """Return the stretches of one weight after looks at (the rollout's own time, the clock on the
    wall)."""
    state = states.State(
        phase=Phase.CANARY,
        stable="a",
        candidate="b",
        ledger=bookkeeping.begin(STRATEGY, at=0.0),
        counting_from=warmup_until,
    )
    for now, wall in looks:
        seen = Seen(
            now=now, wall=wall, desired="b", sample=scraped(now, 100, 10), wanted_version="r"
        )
        state = intake.learn(state, seen, strategy=STRATEGY)
    return [(segment.start, segment.end) for segment in state.segments]


def test_a_stretch_is_told_by_the_clock_on_the_wall_and_begins_after_the_warm_up() -> None:
    assert stretches((1.0, 1001.0), (2.0, 1002.0), (3.0, 1003.0), warmup_until=2.0) == [
        (1002.0, None)
    ]


def test_a_clock_that_is_set_back_ends_the_stretch_and_one_that_is_set_ahead_does_not() -> None:
    assert stretches((1.0, 9001.0), (2.0, 9002.0), (3.0, 5403.0), (4.0, 5404.0)) == [
        (9001.0, 9002.0),
        (5403.0, None),
    ]
    assert stretches((1.0, 9001.0), (2.0, 9002.0), (3.0, 12603.0)) == [(9001.0, None)]


def test_what_was_served_in_two_stretches_of_different_weights_by_a_clock_that_was_set_back_counts_for_none() -> (
    None
):
    first, second = (
        Segment(start=100.0, end=200.0, weight=0.05, version="r"),
        Segment(start=150.0, end=None, weight=0.25, version="s"),
    )
    assert [units.in_effect((first, second), at=at) for at in (120.0, 170.0, 210.0)] == [
        first,
        None,
        second,
    ]


def test_while_events_cannot_be_read_the_gateway_alone_rolls_back_and_what_it_counts_is_counted_once() -> (
    None
):
    world = World(
        policy=STRATEGY.model_copy(
            update={"guards": (sections.Guard.of(name="errors", type="errors", max_rate=0.02),)}
        )
    ).serving("a")
    world.until(Phase.CANARY)
    world.failing, world.unread = 0.3, "the collector does not answer"
    began = world.look().looked
    assert world.until(Phase.ROLLED_BACK).reason.startswith("errors:")
    assert world.state.cursors.alone_from <= began < world.state.cursors.alone_until

from dataclasses import replace
from pathlib import Path

import pytest

from fairway import errors
from fairway.config import sections
from fairway.control import observe, units
from fairway.monitoring.eventstore import answers, archive, places
from fairway.rollout import bookkeeping, states, strategy
from fairway.rollout.seen import Cursors, Seen, Segment
from fairway.rollout.states import Phase
from tests.monitoring import made

POLICY = sections.Strategy()
STATE = states.State(phase=Phase.CANARY, stable="aaa", candidate="bbb")
NOW = made.START + 10


@pytest.fixture
def events(tmp_path: Path):
    opened = places.opened(tmp_path / "events.db")
    yield opened
    opened.close()


def take(
    evidence: units.Evidence,
    state: states.State,
    exposures: observe.Tallies | None = None,
    policy: sections.Strategy = POLICY,
    *,
    ready=("aaa", "bbb"),
    partly=(),
    now=NOW,
):
    """Take a look ten seconds after the events, when all that had come has ended."""
    watched = observe.Observed(
        deployment="income",
        policy=policy,
        store=evidence,
        tallies=exposures or observe.Tallies(),
        timeout_seconds=1.0,
    )
    seen = Seen(
        now=now,
        desired=state.candidate or state.stable,
        ready=frozenset(ready),
        partly=frozenset(partly),
    )
    return observe.observe(seen, state, of=watched)


def in_segment(*, start: float = made.START - 1, **changes) -> states.State:
    version = states.route(STATE, deployment="income", strategy=POLICY).version
    return replace(
        STATE, segments=(Segment(start=start, end=None, weight=0.05, version=version),), **changes
    )


def canary(request_id: str, *, unit: str | None = None, **changes) -> dict:
    return made.prediction(request_id, role="canary", revision="bbb", unitId=unit, **changes)


def test_a_look_at_rest_only_moves_the_cursors(events: archive.EventStore) -> None:
    events.add([made.prediction("r"), made.label("r", "dog")])
    seen = take(events.within("default"), states.State(phase=Phase.STABLE, stable="aaa"))
    assert (seen.paired, seen.labelled, seen.exposed, seen.cursors) == (
        None,
        (),
        (),
        Cursors(pairs=2, labels=2, outcomes=2, exposure=2, store=events.position().store),
    )


def total(seen: Seen) -> tuple[int, int]:
    """Return the units that met an arm, of all windows together: canary, stable."""
    return sum(one.candidate for one in seen.exposed), sum(one.stable for one in seen.exposed)


def test_a_unit_is_counted_once_and_a_request_without_one_is_one_of_its_own(
    events: archive.EventStore,
) -> None:
    events.add(
        [
            canary("r1", unit="u"),
            canary("r2", unit="u"),
            canary("r3"),
            canary("r4"),
            canary("r5", namespace="other"),
        ]
    )
    counted = observe.Tallies()
    first = take(events.within("default"), in_segment(), counted)
    events.add([canary("r6", unit="u"), canary("r7", unit="v")])
    second = take(events.within("default"), in_segment(cursors=first.cursors), counted)
    assert (total(first), total(second)) == ((3, 0), (1, 0))


def test_a_look_that_was_never_stored_is_taken_again(events: archive.EventStore) -> None:
    events.add([canary(f"r{number}", unit=f"u{number}") for number in range(7)])
    counted = observe.Tallies()
    assert [total(take(events.within("default"), in_segment(), counted)) for _ in range(3)] == [
        (7, 0)
    ] * 3


def test_in_the_next_step_a_unit_is_divided_anew_and_counts_for_no_guard_again(
    events: archive.EventStore,
) -> None:
    events.add([canary("r1", unit="u"), canary("r2", unit="v")])
    counted = observe.Tallies()
    first = take(events.within("default"), in_segment(), counted)
    version = states.route(replace(STATE, step=1), deployment="income", strategy=POLICY).version
    ended, begun = (
        replace(in_segment().segments[0], end=made.START + 5),
        Segment(start=made.START + 6, end=None, weight=0.25, version=version, cursor=2),
    )
    waiting = replace(STATE, step=1, segments=(ended,), cursors=first.cursors)
    events.add(
        [made.prediction("r0", role="canary", revision="bbb", unitId="x", at=made.START + 5)]
    )
    between = take(events.within("default"), waiting, counted)
    events.add(
        [
            made.prediction("r3", role="canary", revision="bbb", unitId="u", at=made.START + 7),
            made.prediction("r4", role="canary", revision="bbb", unitId="w", at=made.START + 7),
        ]
    )
    state = replace(waiting, segments=(ended, begun), cursors=between.cursors)
    for memory in (counted, observe.Tallies()):  # the second after a restart
        [second] = take(events.within("default"), state, memory).exposed
        assert (second.candidate, second.new) == (2, (1, 0))


def test_while_an_arm_has_no_capacity_nobody_is_counted_for_its_share_is_answered_without_an_event(
    events: archive.EventStore,
) -> None:
    counted, before = observe.Tallies(), in_segment()
    state = replace(before, cursors=take(events.within("default"), before, counted).cursors)
    events.add([canary(f"r{number}", unit=f"u{number}") for number in range(40)])
    looks = [take(events.within("default"), state, counted, ready=("bbb",))]
    late = [canary("r40", unit="u1", at=NOW - 1), made.prediction("r41", unitId="w", at=NOW - 1)]
    after = [canary("r42", unit="u1", at=NOW + 3), made.prediction("r43", unitId="w", at=NOW + 3)]
    for at, come in ((NOW + 2, late), (NOW + 10, after)):
        events.add(come)
        state = replace(state, cursors=looks[-1].cursors)
        looks.append(take(events.within("default"), state, counted, now=at))
    assert [total(seen) for seen in looks] == [(0, 0), (0, 0), (1, 1)]


def test_a_candidate_that_lacks_a_pod_is_judged_by_what_the_others_answer(
    events: archive.EventStore,
) -> None:
    """What is missing is no split that somebody made, and what came in is no draw at the weight
    that was asked for."""
    counted, state = observe.Tallies(), in_segment()
    state = replace(
        state, cursors=take(events.within("default"), state, counted, now=made.START - 1).cursors
    )
    events.add(
        [
            canary(f"r{n}", unit=f"u{n}", status=500 if n < 15 else 200, at=made.START + 1)
            for n in range(20)
        ]
    )
    events.add([made.prediction(f"s{n}", unitId=f"v{n}", at=made.START + 1) for n in range(20)])
    seen = take(events.within("default"), state, counted, ready=("aaa",), partly=("bbb",))
    assert [
        (one.candidate, one.stable, one.bad["errors"], one.shares["errors"]) for one in seen.counted
    ] == [(20, 20, (15, 0), 0.5)]
    assert (total(seen), seen.exposed[0].new) == ((0, 0), (20, 20))


def test_a_request_counts_by_the_weight_of_the_time_at_which_it_came(
    events: archive.EventStore,
) -> None:
    events.add(
        [
            made.prediction("slow", unitId="u", latencySeconds=3.0, at=made.START + 1),
            made.prediction("quick", unitId="v", at=made.START + 1),
        ]
    )
    assert total(take(events.within("default"), in_segment())) == (0, 1)


def test_units_served_before_the_stretch_count_for_nothing_and_may_count_later(
    events: archive.EventStore,
) -> None:
    events.add([canary("r1", unit="u")])
    counted, state = observe.Tallies(), in_segment(start=made.START + 5)
    early = take(events.within("default"), state, counted)
    events.add(
        [made.prediction("r2", role="canary", revision="bbb", unitId="u", at=made.START + 7)]
    )
    assert (
        total(early),
        total(take(events.within("default"), replace(state, cursors=early.cursors), counted)),
    ) == (
        (0, 0),
        (1, 0),
    )


def test_units_are_compared_with_those_served_at_the_same_time_whenever_their_events_come(
    events: archive.EventStore,
) -> None:
    events.add(
        [
            made.prediction("r1", role="canary", revision="bbb", unitId="u", at=made.START),
            made.prediction("r2", unitId="v", at=made.START + 60),
        ]
    )
    seen = take(events.within("default"), in_segment(), now=NOW + 60)
    assert (
        [(one.candidate, one.stable) for one in seen.exposed]
        == [(one.candidate, one.stable) for one in seen.counted]
        == [(1, 0), (0, 1)]
    )


def test_what_a_unit_got_is_what_its_first_request_got(events: archive.EventStore) -> None:
    bad = canary("r1", unit="u")
    bad["data"] |= {"status": 500, "labels": None, "probabilities": None}
    events.add(
        [bad, canary("r2", unit="u"), canary("r3", unit="v"), made.prediction("r4", unitId="w")]
    )
    seen = take(events.within("default"), in_segment())
    [exposed], [counted] = seen.exposed, seen.counted
    assert (exposed.candidate, exposed.stable, exposed.new) == (2, 1, (2, 1))
    assert (counted.bad["errors"], counted.held["errors"]) == ((1, 0), ((2, 1), (1, 0)))
    assert sum(pair[0] for pair in exposed.answers.values()) == 1
    assert sum(pair[1] for pair in exposed.answers.values()) == 1


def test_a_user_with_many_labels_counts_once_by_the_share_of_rows_that_were_wrong(
    events: archive.EventStore,
) -> None:
    rows = made.prediction(
        "r1", role="canary", revision="bbb", unitId="u", label=["cat", "cat", "cat", "dog"]
    )
    events.add(
        [
            rows,
            canary("r2", unit="u"),
            canary("r3"),
            made.label("r1", ["dog", "cat", "cat", None]),
            made.label("r2", "dog"),
            made.label("r3", "cat"),
        ]
    )
    [labelled] = take(events.within("default"), in_segment()).labelled
    assert (labelled.candidate, labelled.stable) == ((2, pytest.approx(1 / 3)), (0, 0))


def test_labels_come_by_slice_where_a_guard_asks_for_them(events: archive.EventStore) -> None:
    sliced = sections.Strategy(
        guards=(
            sections.Guard.of(name="quality", type="quality"),
            sections.Guard.of(name="each", type="quality", slice_by="sector"),
        )
    )
    for number, sector in enumerate(["state", "private", "state"]):
        events.add(
            [
                made.prediction(
                    f"r{number}", role="canary", revision="bbb", inputs={"sector": [sector]}
                ),
                made.label(f"r{number}", "dog"),
            ]
        )
    labelled = take(events.within("default"), in_segment(), policy=sliced).labelled
    assert {(found.slice, found.candidate) for found in labelled} == {
        ("state", (2, 2)),
        ("private", (1, 1)),
        (None, (3, 3)),
    }
    assert [found.slice for found in take(events.within("default"), in_segment()).labelled] == [
        None
    ]


BUSINESS = sections.Strategy(
    guards=(sections.Guard.of(name="sales", type="business", outcome="purchase", upper=10),)
)


def test_a_unit_s_first_outcome_counts_with_the_weight_that_was_in_effect_and_once_though_restarted(
    events: archive.EventStore,
) -> None:
    events.add(
        [
            canary("r1", unit="u"),
            canary("r2", unit="u"),
            canary("r3", unit="v"),
            made.prediction("r4", unitId="w"),
            canary("r5"),
        ]
    )
    state = in_segment(ledger=bookkeeping.begin(BUSINESS, at=NOW), cursors=Cursors(outcomes=5))
    exposures = observe.Tallies()

    def took(state: states.State, exposures: observe.Tallies) -> Seen:
        return take(events.within("default"), state, exposures, policy=BUSINESS)

    assert took(state, exposures).valued == ()  # it takes up what was counted before
    events.add(
        [
            made.outcome("r1", 4.0),
            made.outcome("r2", 9.0),
            made.outcome("r4", 1.0),
            made.outcome("r1", 7.0, name="visit"),
            made.outcome("r5", 2.0),
        ]
    )
    first = took(state, exposures)
    bought = next(found for found in first.valued if found.name == "purchase")
    assert (bought.weight, bought.candidate, bought.stable) == (0.05, (4.0, 2.0), (1.0,))
    events.add([made.outcome("r3", 3.0), made.outcome("r2", 5.0, name="visit")])
    restarted = took(replace(state, cursors=first.cursors), observe.Tallies())
    assert [(found.name, found.candidate) for found in restarted.valued] == [("purchase", (3.0,))]


def test_after_a_restart_the_units_of_all_pages_are_known(
    events: archive.EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "EVENTS_AT_ONCE", 2)
    events.add([canary(f"r{i}", unit=f"u{i % 4}") for i in range(7)])
    counted = observe.Tallies()
    seen = take(events.within("default"), in_segment(cursors=Cursors(exposure=5)), counted)
    assert (
        total(seen),
        seen.cursors.exposure,
        len(counted.arrivals.visits.met["exposure"].known),
    ) == (
        (0, 0),
        7,
        4,
    )


def test_after_a_restart_a_long_past_is_read_again_some_pages_a_look(
    events: archive.EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "EVENTS_AT_ONCE", 2)
    events.add([canary(f"r{i}", unit=f"u{i}") for i in range(30)])
    counted, state = observe.Tallies(), in_segment(cursors=Cursors(exposure=30))
    looks = []
    while not looks or looks[-1].unread is not None:
        looks.append(take(events.within("default"), state, counted))
    assert [seen.unread for seen in looks[:2]] == [
        "what was counted before the restart is read again: event 8 of 30",
        "what was counted before the restart is read again: event 16 of 30",
    ]
    assert (
        total(looks[-1]),
        len(counted.arrivals.visits.met["exposure"].known),
        looks[-1].cursors.exposure,
    ) == (
        (0, 0),
        30,
        30,
    )
    events.add([canary("r30", unit="u0"), canary("r31", unit="new")])
    assert total(
        take(events.within("default"), replace(state, cursors=looks[-1].cursors), counted)
    ) == (1, 0)


@pytest.mark.parametrize(
    ("identity", "cursor", "said"),
    [
        ("0" * 32, 1, "is another one now"),
        ("0" * 32, 900, "is another one now"),
        (None, 900, "was set back: its newest event is 3, and 900 was read before"),
        ("", 900, "was set back"),
    ],
    ids=["another", "another that is behind", "set back", "an older state's"],
)
def test_a_store_that_was_replaced_is_read_anew_from_its_end_and_what_it_costs_is_said(
    events: archive.EventStore,
    identity: str | None,
    cursor: int,
    said: str,
) -> None:
    events.add([canary("r1", unit="u"), canary("r2"), canary("r3")])
    here = events.position().store
    state = in_segment(
        cursors=Cursors(
            pairs=cursor,
            labels=cursor,
            exposure=cursor,
            store=here if identity is None else identity,
        ),
        ledger=bookkeeping.begin(POLICY, at=NOW),
    )
    seen = take(events.within("default"), state)
    assert (seen.unread, seen.exposed, seen.cursors) == (
        None,
        (),
        Cursors(pairs=3, labels=3, outcomes=3, exposure=3, store=here),
    )
    after = strategy.advance(state, seen, strategy=POLICY)
    [told] = [event for event in after.events if event.type == "StoreReplaced"]
    assert said in told.message
    assert "is lost to this rollout" in told.message
    assert [row["reason"] for row in after.state.history] == [told.message]
    assert {segment.cursor for segment in after.state.segments} == {3}


def test_what_the_gateway_counted_alone_is_passed_over_in_a_new_store_too(
    events: archive.EventStore,
) -> None:
    events.add([canary("r1")])
    old = Cursors(
        exposure=900,
        ahead=900,
        settled=NOW - 1,
        alone_from=NOW - 60,
        alone_until=NOW - 5,
        store="0" * 32,
    )
    cursors = take(
        events.within("default"), in_segment(cursors=old, ledger=bookkeeping.begin(POLICY, at=NOW))
    ).cursors
    assert (cursors.alone_from, cursors.alone_until, cursors.exposure, cursors.ahead) == (
        NOW - 60,
        NOW - 5,
        1,
        0,
    )


def test_units_of_a_store_that_was_replaced_are_counted_on_and_once_though_restarted(
    events: archive.EventStore,
) -> None:
    events.add([canary("r1", unit="u"), canary("r2", unit="v")])
    counted, state = (
        observe.Tallies(),
        in_segment(
            cursors=Cursors(exposure=900, store="0" * 32), ledger=bookkeeping.begin(POLICY, at=NOW)
        ),
    )
    state = strategy.advance(
        state, take(events.within("default"), state, counted), strategy=POLICY
    ).state
    events.add([canary("r3", unit="w"), canary("r4", unit="w")])
    first = take(events.within("default"), state, counted)
    events.add([canary("r5", unit="w")])
    again = take(events.within("default"), replace(state, cursors=first.cursors), observe.Tallies())
    assert (total(first), total(again)) == ((1, 0), (0, 0))


class Stuck:
    """What answers with the cursor it was asked for, for ever."""

    def of(self, identity: str):
        return self

    def pairs(self, deployment: str, *, after: int, **_: str):
        return after, answers.Pairs()

    def labelled(self, deployment: str, *, after: int, **_: object):
        return after, []

    exposure = labelled


def test_a_store_whose_answers_do_not_go_on_ends_the_look_and_not_the_operator() -> None:
    seen = take(Stuck(), in_segment(cursors=Cursors(pairs=7, labels=7, exposure=7)))
    assert "ends at 0, where it began: wanted what lies between 0 and 7" in seen.unread


class Away:
    def __getattr__(self, name: str):
        raise errors.Unavailable("the collector does not answer")


def test_without_evidence_the_look_is_taken_and_nothing_moves_forward() -> None:
    state = in_segment(cursors=Cursors(pairs=7, labels=7, exposure=7))
    seen = take(Away(), state)
    assert (seen.unread, seen.cursors, seen.ready) == (
        "the collector does not answer",
        state.cursors,
        frozenset({"aaa", "bbb"}),
    )


@pytest.mark.parametrize(
    ("facts", "offline"),
    [
        ({"championDisagreement": 0.04, "championDigest": "sha256:a"}, 0.04),
        ({"championDisagreement": 0.04, "championDigest": "sha256:z"}, None),
        ({"championDisagreement": 0.04}, 0.04),
        ({"championDisagreement": None, "championDigest": "sha256:a"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_evaluation_found_of_another_champion_says_nothing_of_the_one_in_service(
    facts: dict | None, offline: float | None
) -> None:
    assert observe.offline_disagreement(facts, stable="sha256:a") == offline

from dataclasses import replace
from pathlib import Path

import pytest

from fairway import errors
from fairway.config import schema
from fairway.monitoring import store
from fairway.platforms import look
from fairway.rollout import ledger as ledgers
from fairway.rollout import strategy
from fairway.rollout.seen import Cursors, Seen, Segment
from fairway.rollout.strategy import Phase
from tests.monitoring import made

POLICY = schema.Strategy()
STATE = strategy.State(phase=Phase.CANARY, stable="aaa", candidate="bbb")
NOW = made.START + 10


@pytest.fixture
def events(tmp_path: Path):
    opened = store.EventStore(tmp_path / "events.db")
    yield opened
    opened.close()


def take(evidence: look.Evidence, state: strategy.State, exposures: look.Exposures | None = None, policy: schema.Strategy = POLICY):
    return look.look(
        state, deployment="income", desired=state.candidate or state.stable, store=evidence, exposures=exposures or look.Exposures(), sample=None,
        ready=("aaa", "bbb"), broken={}, policy=policy, offline_disagreement=None, command=None, now=NOW)


def in_segment(**changes) -> strategy.State:
    version = strategy.route(STATE, deployment="income", strategy=POLICY).version
    return replace(STATE, segments=(Segment(start=made.START - 1, end=None, weight=0.05, version=version),), **changes)


def canary(request_id: str, *, unit: str | None = None, namespace: str = "default") -> dict:
    return made.prediction(request_id, role="canary", revision="bbb", unitId=unit, namespace=namespace)


def test_a_look_at_rest_only_moves_the_cursors(events: store.EventStore) -> None:
    events.add([made.prediction("r"), made.label("r", "dog")])
    seen = take(events.within("default"), strategy.State(phase=Phase.STABLE, stable="aaa"))
    assert (seen.paired, seen.labelled, seen.exposed, seen.cursors) == (None, (), None, Cursors(pairs=2, labels=2, outcomes=2, exposure=2))


def test_a_unit_is_counted_once_and_a_request_without_one_is_one_of_its_own(events: store.EventStore) -> None:
    events.add([canary("r1", unit="u"), canary("r2", unit="u"), canary("r3"), canary("r4"), canary("r5", namespace="other")])
    exposures = look.Exposures()
    first = take(events.within("default"), in_segment(), exposures)
    events.add([canary("r6", unit="u"), canary("r7", unit="v")])
    second = take(events.within("default"), in_segment(cursors=first.cursors), exposures)
    assert (first.exposed.candidate, second.exposed.candidate) == (3, 1)


def test_what_a_unit_got_is_what_its_first_request_got(events: store.EventStore) -> None:
    bad = {**canary("r1", unit="u")}
    bad["data"] = {**bad["data"], "status": 503, "outputs": None}
    events.add([bad, canary("r2", unit="u"), canary("r3", unit="v"), made.prediction("r4", unitId="w")])
    exposed = take(events.within("default"), in_segment()).exposed
    assert (exposed.candidate, exposed.stable, exposed.failed) == (2, 1, (1, 0))
    assert sum(pair[0] for pair in exposed.answers.values()) == 1
    assert sum(pair[1] for pair in exposed.answers.values()) == 1


def test_labels_come_by_slice_where_a_guard_asks_for_them(events: store.EventStore) -> None:
    sliced = schema.Strategy(guards=(schema.Guard(name="quality", type="quality"), schema.Guard(name="each", type="quality", slice_by="sector")))
    for number, sector in enumerate(["state", "private", "state"]):
        events.add([made.prediction(f"r{number}", role="canary", revision="bbb", inputs={"sector": [sector]}), made.label(f"r{number}", "dog")])
    labelled = take(events.within("default"), in_segment(), policy=sliced).labelled
    assert {(found.slice, found.candidate) for found in labelled} == {("state", (2, 2)), ("private", (1, 1))}
    assert [found.slice for found in take(events.within("default"), in_segment()).labelled] == [None]


BUSINESS = schema.Strategy(guards=(schema.Guard(name="sales", type="business", outcome="purchase", upper=10),))


def test_a_unit_s_first_outcome_counts_with_the_weight_that_was_in_effect_and_once_though_restarted(events: store.EventStore) -> None:
    events.add([canary("r1", unit="u"), canary("r2", unit="u"), canary("r3", unit="v"), made.prediction("r4", unitId="w"), canary("r5")])
    state = in_segment(ledger=ledgers.begin(BUSINESS, at=NOW), cursors=Cursors(outcomes=5))
    exposures = look.Exposures()

    def took(state: strategy.State, exposures: look.Exposures) -> Seen:
        return take(events.within("default"), state, exposures, policy=BUSINESS)

    assert took(state, exposures).valued == ()     # it takes up what was counted before
    events.add([made.outcome("r1", 4.0), made.outcome("r2", 9.0), made.outcome("r4", 1.0), made.outcome("r1", 7.0, name="visit"), made.outcome("r5", 2.0)])
    first = took(state, exposures)
    bought = next(found for found in first.valued if found.name == "purchase")
    assert (bought.weight, bought.candidate, bought.stable) == (0.05, (4.0, 2.0), (1.0,))
    events.add([made.outcome("r3", 3.0), made.outcome("r2", 5.0, name="visit")])
    restarted = took(replace(state, cursors=first.cursors), look.Exposures())
    assert [(found.name, found.candidate) for found in restarted.valued] == [("purchase", (3.0,))]


def test_after_a_restart_the_units_of_all_pages_are_known(events: store.EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "EVENTS_AT_ONCE", 2)
    events.add([canary(f"r{i}", unit=f"u{i}") for i in range(5)])
    exposures = look.Exposures()
    seen = take(events.within("default"), in_segment(cursors=Cursors(exposure=3)), exposures)
    assert (seen.exposed, seen.cursors.exposure, len(exposures.units)) == (None, 5, 5)


class Away:
    def __getattr__(self, name: str):
        raise errors.Unavailable("the collector does not answer")


def test_without_evidence_the_look_is_taken_and_nothing_moves_forward() -> None:
    state = in_segment(cursors=Cursors(pairs=7, labels=7, exposure=7))
    seen = take(Away(), state)
    assert (seen.unread, seen.cursors, seen.ready) == ("the collector does not answer", state.cursors, frozenset({"aaa", "bbb"}))

"""Columns that stand still, as the monitor tells them in a ticket of their own."""

import pytest

from fairway import artifacts
from fairway.monitoring.drift import silence
from tests.monitoring.test_acceptance import accept
from tests.monitoring.test_monitor import (  # noqa: F401 - fixtures
    LEARNT,
    WINDOW,
    Stage,
    fresh,
    packaged,
    stage,
)

pytestmark = pytest.mark.timeout(600)
STOOD = {"inputs": {"age": [40.0], "hours": [38.0], "sector": ["state"]}}


def told(stage: Stage) -> list[str]:  # noqa: F811
    return [one.summary for one in stage.tickets() if one.name == silence.ALERT]


def test_a_column_that_stands_still_is_a_ticket_of_its_own_until_it_moves(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "LEAST_ROWS", WINDOW)
    looking = fresh(stage)
    assert stage.play(looking, LEARNT + 2) == 0
    stage.play(looking, 1, **STOOD)
    assert told(stage) == ["income: age, hours stand still through a whole window"]
    still = 'fairway_monitoring_column_still{column="age",deployment="income"'
    assert (
        f'{still},namespace="default",revision="aaa",role="stable"}} 1.0' in looking.series.text()
    )
    stage.play(looking, 1)
    assert told(stage) == []
    assert (
        f'{still},namespace="default",revision="aaa",role="stable"}} 0.0' in looking.series.text()
    )


@pytest.mark.parametrize("revision", ["aaa", "bbb"])
def test_a_column_that_moves_again_closes_its_ticket_while_the_usual_is_learnt(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    revision: str,
) -> None:
    monkeypatch.setattr(silence, "LEAST_ROWS", WINDOW)
    looking = fresh(stage)
    stage.play(looking, LEARNT)
    stage.play(looking, 1, **STOOD)
    assert told(stage)
    stage.watch(revision=revision)
    accept(stage)
    looking = fresh(stage)
    stage.play(looking, 1, revision=revision, **STOOD)
    assert told(stage)
    stage.play(looking, 1, revision=revision)
    assert told(stage) == []
    (known,) = [one for one in stage.events.conclusions.alerts() if one.name == silence.ALERT]
    assert known.resolution == "the values change again"
    assert stage.events.conclusions.drift("income")[-1]["learning"]


def test_a_column_that_was_learnt_standing_still_has_no_ticket_any_more(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "LEAST_ROWS", WINDOW)
    looking = fresh(stage)
    stage.play(looking, LEARNT)
    stage.play(looking, 1, **STOOD)
    assert told(stage)
    accept(stage)
    looking = fresh(stage)
    stage.play(looking, LEARNT, **STOOD)
    assert told(stage)
    stage.play(looking, 1, **STOOD)
    assert told(stage) == []


def test_a_larger_window_that_began_before_a_column_stood_still_closes_no_ticket(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "LEAST_ROWS", WINDOW)
    known = artifacts.read_json(stage.home / "monitor.json")
    learn = {"rows": 2 * WINDOW * LEARNT, "duration": "0s"}
    known["deployments"]["income"]["monitoring"].update(scales=[WINDOW, 2 * WINDOW], learn=learn)
    artifacts.write_json(stage.home / "monitor.json", known)
    looking = fresh(stage)
    for _ in range(LEARNT):
        stage.serve(count=2 * WINDOW)
        looking.look(now=stage.now)
    stage.play(looking, 1)
    stage.serve(**STOOD)
    assert looking.look(now=stage.now) == 2  # one of each size
    assert told(stage) == ["income: age, hours stand still through a whole window"]

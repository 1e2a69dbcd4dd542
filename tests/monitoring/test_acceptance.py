"""What people took for the new usual: the monitor forgets what was usual, and learns anew, once."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from fairway import errors
from fairway.monitoring import acceptance, keeper, references
from fairway.packaging import golden
from tests.monitoring.test_monitor import (  # noqa: F401 - fixtures
    LEARNT,
    WINDOW,
    Stage,
    fresh,
    packaged,
    stage,
)

pytestmark = pytest.mark.timeout(600)


def accept(
    stage: Stage,  # noqa: F811
    why: str = "a campaign",
) -> acceptance.Acceptance:
    with stage.events.writing():
        found, _ = acceptance.accept(
            stage.events,
            references.local(stage.home, "income"),
            deployment="income",
            namespace="default",
            revision="aaa",
            who="ana",
            why=why,
            now=stage.now,
        )
    return found


def mark(stage: Stage) -> dict[str, Any]:  # noqa: F811
    return dict(stage.events.conclusions.mark("monitor/income"))


def test_a_shift_that_is_accepted_is_the_new_usual_against_which_a_later_one_is_told(
    stage: Stage,  # noqa: F811
) -> None:
    looking = fresh(stage)
    stage.play(looking, LEARNT)
    assert stage.play(looking, 30, shift=1.0)
    made = accept(stage)
    assert stage.tickets()  # until the next look
    looking = fresh(stage)  # it was restarted in between
    assert looking.look(now=stage.now) == 0
    assert stage.tickets() == []
    (told,) = stage.events.conclusions.alerts()
    assert told.resolution == "accepted by ana: a campaign"
    assert 'ticket_open{deployment="income"' in looking.series.text()
    for number in range(LEARNT + 5):  # what is unlike the training data was accepted too
        looking = fresh(stage) if number % 7 == 0 else looking
        assert stage.play(looking, 1, shift=1.0) == 0
    records = stage.events.conclusions.drift("income")
    since = [record for record in records if record["accepted"] == made.at]
    assert [record["learning"] for record in since] == [True] * LEARNT + [False] * 5
    assert all(record["evidence"] == 0 for record in since[:LEARNT])
    assert len({record["lastSeq"] for record in records}) == len(records) == 2 * LEARNT + 35
    assert mark(stage)["learnt"] == "aaa"
    assert stage.play(looking, 30, shift=2.5)
    assert "age +" in stage.tickets()[0].summary
    assert fresh(stage).look(now=stage.now) == 0  # and it is not accepted once more
    assert stage.tickets()


def test_what_is_accepted_twice_while_it_learns_is_learnt_anew_once(
    stage: Stage,  # noqa: F811
) -> None:
    looking = fresh(stage)
    stage.play(looking, LEARNT - 3)
    accept(stage)
    stage.serve(shift=1.0)
    last = accept(stage, "it is Christmas")
    stage.serve(shift=1.0)
    stage.now += 60
    assert looking.look(now=stage.now) == 1
    assert (mark(stage)["accepted"], mark(stage)["learning"]["windows"]) == (asdict(last), 1)
    assert stage.play(looking, LEARNT - 1, shift=1.0) == 0
    learnt = golden.read_reference(stage.home / "monitor" / "income.npz")
    assert len(learnt["age"]) == len(set(learnt["__at__"].tolist())) == LEARNT * WINDOW
    assert float(np.min(learnt["__at__"])) >= last.at
    shelf = references.local(stage.home, "income")
    assert [one.why for one in acceptance.kept(shelf)] == ["it is Christmas", "a campaign"]


def test_a_monitor_that_is_killed_while_it_takes_it_takes_it_at_the_next_look(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking = fresh(stage)
    stage.play(looking, LEARNT)
    assert stage.play(looking, 30, shift=1.0)
    accept(stage)
    before = mark(stage)

    def killed(self: keeper.Keeper) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(keeper.Keeper, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            fresh(stage).look(now=stage.now)
    assert mark(stage) == before
    assert len(stage.tickets()) == 1
    fresh(stage).look(now=stage.now)
    assert stage.tickets() == []
    assert mark(stage)["learning"]["windows"] == 0


def test_a_new_revision_goes_on_from_what_was_accepted_and_is_held_against_training_again(
    stage: Stage,  # noqa: F811
) -> None:
    looking = fresh(stage)
    stage.play(looking, 1)
    made = accept(stage)
    assert stage.play(looking, LEARNT, shift=1.0) == 0
    stage.watch(revision="bbb")
    for _ in range(LEARNT):  # its answers are learnt, and its inputs held against those of aaa
        assert stage.tickets() == []
        stage.serve(shift=1.0, revision="bbb")
        stage.now += 60
        assert looking.look(now=stage.now) >= 1
    assert mark(stage)["accepted"] == asdict(made)
    assert "what is served differs from the training data" in stage.tickets()[0].summary


def test_what_was_accepted_of_an_older_store_or_cannot_be_read_keeps_nothing_from_being_learnt(
    stage: Stage,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage.play(fresh(stage), 1)
    found = accept(stage)
    shelf = references.local(stage.home, "income")
    shelf.write("accepted", b"[" + b'{"why": 1},' * 2)
    stage.play(fresh(stage), 1)
    assert "cannot be read, and counts for nothing" in caplog.text
    later = b'[{"at": 1.0, "who": "ana", "why": "it is", "revision": "aaa", "after": 1000000, "new": 0}]'
    shelf.write("accepted", later)
    looking = fresh(stage)
    assert looking.look(now=stage.now) == 0
    stage.play(looking, 2)
    assert mark(stage)["learning"]["windows"] == 2
    assert mark(stage)["accepted"] == asdict(found) | {"at": 1.0, "why": "it is", "after": 1000000}


def test_nothing_is_accepted_of_what_nobody_watches(stage: Stage) -> None:  # noqa: F811
    with pytest.raises(errors.UsageError, match="income: nothing is watched"):
        accept(stage)


@pytest.mark.parametrize("text", ["", " \n", "\x1b\x07", "a" * 501])
def test_a_reason_that_says_nothing_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(errors.UsageError, match="wanted 1 to 500 that say why"):
        acceptance.reason(text)


def test_a_reason_is_one_line_that_no_terminal_obeys() -> None:
    assert acceptance.reason(" a\n\x1b[31mcampaign ") == "a [31mcampaign"

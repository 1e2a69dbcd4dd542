"""What users' services have to say: gates hold, tests roll back, who is only told is not waited
for."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from fairway.config import sections
from fairway.rollout import hooks, states
from fairway.rollout.hooks import Answer
from fairway.rollout.seen import Command
from fairway.rollout.states import Phase
from tests.rollout.world import STRATEGY, World

YES, NO = (
    Answer("passed", "it answered 200"),
    Answer("refused", "it answered 409: a freeze until Monday"),
)
GONE = Answer("away", "it does not answer: timed out")


def hook(*at: str, name: str = "gate", **more: object) -> sections.Hook:
    return sections.Hook.model_validate(
        {"name": name, "url": "http://gate.models.svc/ask", "at": at, **more}
    )


def world(*which: sections.Hook, **more: object) -> World:
    """Return a world whose hooks have not been asked; b is wanted where a serves."""
    return World(policy=STRATEGY.model_copy(update={"hooks": which, **more})).serving("a")


def calls(world: World, at: str) -> list[hooks.Call]:
    return [call for call in world.state.calls if call.at == at]


def test_a_gate_before_the_rollout_keeps_every_copy_away_until_it_agrees() -> None:
    play = world(hook("preRollout"))
    play.until(Phase.STARTING)
    for _ in range(5):
        state = play.look()
        assert (state.phase, states.split(state, strategy=play.policy)) == (Phase.STARTING, (0, 0))
    assert state.reason == "waiting for hook gate before the rollout begins: not asked yet"
    play.answer = {"preRollout": GONE}
    assert play.look().reason.endswith("it does not answer: timed out")
    play.answer = {"preRollout": YES}
    assert play.until(Phase.SHADOW, looks=15).calls == ()


def test_every_step_and_the_promotion_is_asked_for_anew_and_only_when_the_evidence_is_there() -> (
    None
):
    play = world(hook("preStep", "prePromotion"))
    play.answer = {"preStep": YES, "prePromotion": YES}
    play.until(Phase.STABLE)
    assert play.state.stable == "b"
    asked = [(call.at, call.data["weight"]) for call in play.called]
    assert asked == [("preStep", 5), ("preStep", 25), ("preStep", 50), ("prePromotion", 95)]
    assert len({call.id for call in play.called}) == 4


def test_no_promotion_without_a_certificate_whatever_a_hook_says() -> None:
    play = world(hook("prePromotion"))
    play.answer, play.rate = {"prePromotion": YES}, 2
    for _ in range(100):
        assert play.look().phase in (Phase.STARTING, Phase.SHADOW)
    assert play.called == []


def test_a_refusal_holds_says_who_and_is_asked_again() -> None:
    play = world(hook("preStep"))
    play.answer = {"preStep": NO}
    play.until(Phase.SHADOW)
    for _ in range(60):
        state = play.look()
        assert state.phase is Phase.SHADOW
    assert (
        state.reason
        == "waiting for hook gate before the canary's next step: it answered 409: a freeze until Monday"
    )
    (call,) = calls(play, "preStep")
    assert 3 <= call.tries <= 7  # each ten seconds, not at every look
    play.answer = {"preStep": YES}
    assert play.until(Phase.CANARY, looks=15).step == 0


def test_a_test_s_no_is_a_verdict_and_its_silence_is_none() -> None:
    play = world(
        hook("prePromotion", onRefusal="rollback"), bake=sections.Bake(duration=timedelta(0))
    )
    play.answer = {"prePromotion": GONE}
    play.until(Phase.CANARY)
    for _ in range(150):
        play.look()
    assert play.state.phase is Phase.CANARY
    assert play.state.reason.startswith(
        "waiting for hook gate before the promotion: it does not answer"
    )
    play.answer = {"prePromotion": NO}
    state = play.until(Phase.ROLLED_BACK, looks=20)
    assert (state.stable, state.rejected) == ("a", ("b",))
    assert "hook gate refused the promotion: it answered 409: a freeze until Monday" in state.reason


@pytest.mark.parametrize("other", [GONE, NO])
def test_a_verdict_does_not_wait_for_who_holds(other: Answer) -> None:
    play = world(
        hook("preRollout", name="first"), hook("preRollout", name="strict", onRefusal="rollback")
    )
    play.answer = {"first": other, "strict": NO}
    assert "hook strict refused" in play.until(Phase.ROLLED_BACK, looks=20).reason


def test_a_verdict_does_not_wait_for_evidence_that_cannot_be_read() -> None:
    play = world(hook("prePromotion", onRefusal="rollback"))
    play.until(Phase.CANARY)
    while not calls(play, "prePromotion"):
        play.look()
    play.unread, play.answer = "the collector is away", {"prePromotion": NO}
    assert "hook gate refused" in play.until(Phase.ROLLED_BACK, looks=15).reason


def test_all_who_are_waited_for_are_named() -> None:
    play = world(hook("preRollout", name="one"), hook("preRollout", name="two"))
    play.answer = {"one": NO, "two": GONE}
    play.until(Phase.STARTING)
    for _ in range(5):
        play.look()
    assert (
        play.state.reason
        == f"waiting for hook one and two before the rollout begins: {NO.said}; {GONE.said}"
    )


def test_gates_that_agree_at_different_times_are_asked_on_under_their_own_ids() -> None:
    play = world(hook("preRollout", name="quick"), hook("preRollout", name="slow"))
    play.answer = {"quick": YES, "slow": GONE}
    play.until(Phase.STARTING)
    for _ in range(100):
        assert play.look().phase is Phase.STARTING
    assert {call.hook for call in play.called} == {"quick", "slow"}
    assert len({call.id for call in play.called}) == 2
    assert sum(call.hook == "quick" for call in play.called) >= 4
    play.answer = {"quick": YES, "slow": YES}
    play.until(Phase.SHADOW, looks=30)


def test_a_candidate_that_a_gate_keeps_waiting_may_lose_a_node() -> None:
    play = world(hook("preRollout"))
    play.until(Phase.STARTING)
    play.look()
    play.now += 3 * STRATEGY.progress_deadline.total_seconds()
    play.ready = ("a",)
    for _ in range(5):
        assert play.look().phase is Phase.STARTING
    play.ready, play.answer = ("a", "b"), {"preRollout": YES}
    play.until(Phase.SHADOW, looks=20)


@pytest.mark.parametrize("answer", [GONE, YES])
def test_a_candidate_that_does_not_come_back_is_not_waited_for_for_ever(answer: Answer) -> None:
    play = world(hook("preRollout", name="one"), hook("preRollout", name="two"))
    play.answer = {"one": answer}
    play.until(Phase.STARTING)
    play.look()
    play.look()
    play.ready = ("a",)
    play.look()
    asked = len(play.called)
    play.now += STRATEGY.progress_deadline.total_seconds()
    assert play.until(Phase.ROLLED_BACK, looks=5).rejected == ("b",)
    assert len(play.called) == asked


def test_what_is_told_after_the_end_goes_to_whom_the_rollout_began_with() -> None:
    play = world(hook("postRollback"))
    play.failing = 0.9
    state = play.until(Phase.ROLLED_BACK)
    assert states.in_force(state, play.look(), begun=play.policy, newest=STRATEGY) is play.policy
    play.answer = {"postRollback": YES}
    assert states.in_force(play.state, play.look(), begun=play.policy, newest=STRATEGY) is STRATEGY


def test_harm_is_not_kept_waiting_by_a_hook() -> None:
    play = world(hook("preStep"))
    play.answer = {"preStep": YES}
    play.until(Phase.CANARY)
    play.answer, play.failing = {}, 0.5
    assert play.until(Phase.ROLLED_BACK, looks=20).stable == "a"
    assert play.state.calls == ()


@pytest.mark.parametrize(
    ("choice", "ends"), [("pause", Phase.PAUSED), ("rollback", Phase.ROLLED_BACK)]
)
def test_a_budget_ends_the_waiting(choice: str, ends: Phase) -> None:
    play = world(
        hook("prePromotion"),
        on_inconclusive=choice,
        canary=sections.Canary(budget=timedelta(seconds=120)),
    )
    state = play.until(ends, looks=200)
    assert "the budget of 2m is spent waiting for hook gate before the promotion" in state.reason


def test_a_person_who_forces_a_promotion_asks_no_hook() -> None:
    play = world(hook("prePromotion"))
    play.until(Phase.CANARY)
    play.command = Command("promote", "sam", "the gate is on fire", force=True)
    assert play.look().phase is Phase.PROMOTING
    assert play.called == []


def test_a_yes_that_comes_when_the_evidence_has_gone_is_not_kept_for_later() -> None:
    play = world(hook("preStep"))
    play.until(Phase.SHADOW)
    while not calls(play, "preStep"):
        play.look()
    play.answer, play.readable = {"preStep": YES}, False
    play.look()
    assert calls(play, "preStep")[0].passed
    play.answer, play.readable = {"preStep": NO}, True
    play.now += 3600 - 60
    for _ in range(5):
        play.look()
    assert play.state.phase is Phase.SHADOW
    assert "a freeze until Monday" in play.state.reason


def test_a_command_that_changes_nothing_keeps_what_was_answered() -> None:
    play = world(hook("preStep"))
    play.answer = {"preStep": NO}
    play.until(Phase.SHADOW)
    while not calls(play, "preStep"):
        play.look()
    before = calls(play, "preStep")[0].id
    play.command = Command("resume", "sam")
    play.look()
    assert calls(play, "preStep")[0].id == before


def test_who_wants_to_know_is_told_of_each_end_once() -> None:
    play = world(hook("postPromotion", "postRollback", "postPause"))
    play.answer = {"postPromotion": YES, "postRollback": YES, "postPause": YES}
    play.until(Phase.CANARY)
    play.command = Command("pause", "sam")
    play.look()
    play.command = Command("resume", "sam")
    play.until(Phase.STABLE)
    play.desired, play.failing = "c", 0.5
    play.until(Phase.ROLLED_BACK)
    play.look()
    play.look()
    assert [(call.at, call.data["revision"], call.data["phase"]) for call in play.called] == [
        ("postPause", "b", "Paused"),
        ("postPromotion", "b", "Stable"),
        ("postRollback", "c", "RolledBack"),
    ]
    assert play.state.calls == ()


def test_who_cannot_be_told_is_tried_again_ever_later_and_then_given_up_with_an_event() -> None:
    play = world(hook("postPromotion"))
    play.answer = {"postPromotion": GONE}
    play.until(Phase.STABLE)
    for _ in range(400):
        play.now += 9
        play.look()
    tries = [call.tries for call in play.called]
    assert tries == list(range(hooks.TRIES))
    assert len({call.id for call in play.called}) == 1
    assert [event.message for event in play.events if event.type == "HookFailed"] == [
        "hook gate was not told (postPromotion): it does not answer: timed out"
    ]
    assert play.state.calls == ()


def test_what_there_is_no_room_for_is_said() -> None:
    play = world(*(hook("postPause", name=f"hook-{number}") for number in range(8)))
    play.until(Phase.CANARY)
    for _ in range(3):
        for verb in ("pause", "resume"):
            play.command = Command(verb, "sam")
            play.look()
    assert len(play.state.calls) == hooks.KEPT
    assert sum(event.type == "HookFailed" for event in play.events) == 8


def test_what_waited_longest_is_called_first() -> None:
    kept, _ = hooks.tell((), (hook("postPause"),), at="postPause", data={"revision": "b"}, now=5.0)
    gates = hooks.ask(
        kept, (hook("preStep"),), points=("preStep",), key="k", data={"revision": "b"}, now=6.0
    )
    assert [call.at for call in hooks.due(gates, now=7.0)] == ["postPause", "preStep"]


def test_an_answer_of_any_length_leaves_a_short_state() -> None:
    kept, _ = hooks.tell((), (hook("postPause"),), at="postPause", data={"revision": "b"}, now=5.0)
    after, _ = hooks.learn(kept, {kept[0].id: Answer("away", "x" * 100_000)}, now=6.0)
    assert len(after[0].said) == hooks.SAID


def test_what_cannot_be_delivered_is_bounded() -> None:
    kept: tuple[hooks.Call, ...] = ()
    lost: list[hooks.Call] = []
    for number in range(100):
        kept, dropped = hooks.tell(
            kept,
            (hook("postRollback"),),
            at="postRollback",
            data={"revision": str(number)},
            now=float(number),
        )
        lost += dropped
    assert [call.data["revision"] for call in (*lost, *kept)] == [
        str(number) for number in range(100)
    ]
    assert [call.data["revision"] for call in kept] == [
        str(number) for number in range(100 - hooks.KEPT, 100)
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"at": []}, "at least 1"),
        ({"at": ["preStep", "preStep"]}, "wanted each once"),
        ({"timeout": "2m"}, "1m at most"),
        ({"timeout": "0s"}, "above 0"),
        ({"url": "ftp://host/x"}, "url"),
        ({"url": "http://user:secret@host/"}, "url"),
        ({"url": "http://host:port/"}, "url"),
        ({"at": ["postPause"], "onRefusal": "rollback"}, "only told"),
        ({"at": ["never"]}, "preRollout"),
    ],
)
def test_a_hook_that_makes_no_sense_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        sections.Hook.model_validate(
            {"name": "gate", "url": "http://host:80/ask", "at": ["preStep"], **change}
        )


def test_two_hooks_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="hooks are named"):
        sections.Strategy(hooks=(hook("preStep"), hook("postPause")))

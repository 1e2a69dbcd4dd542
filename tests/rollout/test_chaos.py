"""The state machine under whatever may happen, in any order: faults, restarts, commands, new
revisions and evidence of every kind."""

import math
from datetime import timedelta

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fairway.config import sections
from fairway.rollout import hooks, increments, states
from fairway.rollout.hooks import Answer
from fairway.rollout.seen import Command
from fairway.rollout.states import Phase
from fairway.rollout.statistics import betting
from tests.rollout.world import World

POLICY = sections.Strategy(
    warmup=timedelta(seconds=2),
    progress_deadline=timedelta(seconds=20),
    shadow=sections.Shadow(budget=timedelta(seconds=60)),
    canary=sections.Canary(budget=timedelta(seconds=90)),
    bake=sections.Bake(duration=timedelta(seconds=5)),
    hooks=(
        sections.Hook.model_validate(
            {
                "name": "freeze",
                "url": "http://host/",
                "at": ["preRollout", "preStep", "postRollback"],
            }
        ),
        sections.Hook.model_validate(
            {
                "name": "smoke",
                "url": "http://host/",
                "at": ["prePromotion"],
                "onRefusal": "rollback",
            }
        ),
    ),
)
ANSWERS = st.sampled_from(
    [None, Answer("passed", "200"), Answer("refused", "403"), Answer("away", "503")]
)
AGREED = {"freeze": Answer("passed", "200"), "smoke": Answer("passed", "200")}
SERVED_BY_ONE = (Phase.PENDING, Phase.STARTING, Phase.STABLE, Phase.ROLLING_BACK, Phase.ROLLED_BACK)
RESTS = (Phase.PENDING, Phase.STABLE, Phase.ROLLED_BACK, Phase.PAUSED)


class Chaos(RuleBasedStateMachine):
    """Each rule lets one thing happen; the world writes the state down and reads it back at every
    look, as one that is killed each time would."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.world = World(policy=POLICY, rng=np.random.default_rng(seed)).serving("a")
        self.forced = False
        self.world.answer = dict(AGREED)

    @rule(freeze=ANSWERS, smoke=ANSWERS)
    def hooks_say(self, freeze: Answer | None, smoke: Answer | None) -> None:
        self.world.answer = {
            name: said for name, said in (("freeze", freeze), ("smoke", smoke)) if said is not None
        }

    @rule(looks=st.integers(1, 40))
    def time_passes(self, looks: int) -> None:
        for _ in range(looks):
            self._look()

    @rule(
        failing=st.sampled_from([0.0, 0.001, 0.02, 0.2]),
        disagreeing=st.sampled_from([0.0, 0.03, 0.3]),
    )
    def the_candidate_is(self, failing: float, disagreeing: float) -> None:
        self.world.failing, self.world.disagreeing = failing, disagreeing

    @rule(rate=st.sampled_from([0, 1, 150, 2000]))
    def traffic_is(self, rate: int) -> None:
        self.world.rate = rate

    @rule(readable=st.booleans(), unread=st.sampled_from([None, "the collector is away"]))
    def evidence_can_be_read(self, readable: bool, unread: str | None) -> None:
        self.world.readable, self.world.unread = readable, unread

    @rule(ready=st.sets(st.sampled_from("abc")))
    def pods_answer_of(self, ready: set[str]) -> None:
        self.world.ready = tuple(sorted(ready))

    @rule(revision=st.sampled_from("abc"), broken=st.booleans())
    def pods_crash_of(self, revision: str, broken: bool) -> None:
        self.world.broken = {revision: "it was killed for memory"} if broken else {}

    @rule(revision=st.sampled_from("abc"))
    def somebody_deploys(self, revision: str) -> None:
        self.world.desired = revision

    @rule(
        verb=st.sampled_from(["pause", "resume", "abort", "retry", "promote"]), force=st.booleans()
    )
    def somebody_says(self, verb: str, force: bool) -> None:
        self.world.command = Command(verb, "sam", "because", force)
        self.forced |= verb == "promote" and force
        self._look()

    @rule(lost=st.booleans())
    def the_gateway_restarts(self, lost: bool) -> None:
        self.world.epoch = f"{self.world.epoch}+"
        if lost:
            self.world.counters = {"stable": [0, 0], "candidate": [0, 0]}

    @rule(seconds=st.sampled_from([-30.0, -1.0, 60.0, 7200.0]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(wrong=st.integers(0, 200))
    def labels_come(self, wrong: int) -> None:
        self.world.labelled = (
            increments.Labelled(
                weight=0.25,
                candidate=betting.ArmCounts(200, wrong),
                stable=betting.ArmCounts(600, 30),
            ),
        )

    @invariant()
    def no_weight_on_who_was_rolled_back(self) -> None:
        state = self.world.state
        if state.phase in SERVED_BY_ONE:
            assert states.split(state, strategy=POLICY) == (0, 0)
        route = states.route(state, deployment="d", strategy=POLICY)
        if state.phase is Phase.ROLLED_BACK and not any(
            event.type == "Retry" for event in self.world.events
        ):
            # also where the condemned one had been promoted
            assert state.stable not in state.rejected
        if route is not None and state.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
            assert route.candidate is None

    def _look(self) -> None:
        before, asked = self.world.state, len(self.world.called)
        after = self.world.look()
        self.answered = {
            call.id: self.world.answer[call.hook] for call in self.world.called[asked:]
        }
        if after.phase is Phase.PROMOTING and before.phase is not Phase.PROMOTING:
            self._promoted(before)
        served = states.split(before, strategy=POLICY) != states.split(
            after, strategy=POLICY
        ) and after.phase in (
            Phase.SHADOW,
            Phase.CANARY,
        )
        if served and before.phase not in (Phase.PAUSED, Phase.PROMOTING):
            assert self._agreed(before, "freeze")
        if after.phase is Phase.PAUSED and before.phase is Phase.PAUSED:
            assert states.split(after, strategy=POLICY) == states.split(before, strategy=POLICY)

    def _promoted(self, before: states.State) -> None:
        """A promotion is forced by a person, or every guard of the canary has its certificate and
        nothing speaks against the revision."""
        row, ledger = self.world.state.history[-1], self.world.state.ledger
        assert row["action"] == "PROMOTE"
        assert ledger is not None
        if not (self.forced and row["guarantee"].startswith("none")):
            assert all(
                ledger.own(name).certificate.peak >= math.log(20) for name in ("errors", "slow")
            )
            assert ledger.harm < math.log(100)
            assert self._agreed(before, "smoke")

    def _agreed(self, before: states.State, hook: str) -> bool:
        """Say whether the hook let this look pass."""
        calls, _ = hooks.learn(before.calls, self.answered, now=self.world.now)
        return any(
            call.hook == hook and call.passed and call.due >= self.world.now for call in calls
        )

    def teardown(self) -> None:
        """Once the world is well again it always ends: in service, back, or with a question to a
        person."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.readable, world.unread, world.ready, world.broken, world.rate, world.failing = (
            True,
            None,
            ("a", "b", "c"),
            {},
            2000,
            0.0,
        )
        world.answer = dict(AGREED)
        for _ in range(600):
            self._look()
            if world.state.phase in RESTS and (
                world.state.phase is Phase.PAUSED
                or world.desired in (world.state.stable, *world.state.rejected)
            ):
                return
        raise AssertionError(f"still {world.state.phase} after 600 looks: {world.state.reason}")


TestChaos = Chaos.TestCase
TestChaos.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

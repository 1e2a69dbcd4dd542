"""A small world for the state machine: time, traffic and counters that a test sets."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import numpy as np

from fairway.config import sections
from fairway.rollout import hooks, increments, record, states, strategy, traffic
from fairway.rollout.seen import Command, Seen
from fairway.rollout.states import Phase, State

GUARDS = tuple(guard.by_requests() for guard in sections.Strategy().guards)
STRATEGY = sections.Strategy(
    warmup=timedelta(seconds=1), bake=sections.Bake(duration=timedelta(seconds=5)), guards=GUARDS
)


@dataclasses.dataclass
class World:
    """Traffic of `rate` requests a look, whose failure and disagreement rates the test sets; one
    look a second."""

    policy: sections.Strategy = STRATEGY
    state: State = dataclasses.field(default_factory=State)
    now: float = 1000.0
    rate: int = 150
    failing: float = 0.0  # of the candidate's requests
    disagreeing: float = 0.03
    ready: tuple[str, ...] = ("a", "b", "c")
    broken: dict[str, str] = dataclasses.field(default_factory=dict)
    absent: tuple[str, ...] = ()  # revisions without a pod
    readable: bool = True
    unread: str | None = None
    epoch: str = "first"
    # version of the route in effect; the one that is wanted where nothing is said
    route: str | None = None
    labelled: tuple[increments.Labelled, ...] = ()
    command: Command | None = None
    answer: dict[str, hooks.Answer] = dataclasses.field(
        default_factory=dict
    )  # of a hook, by its name or by where it is asked; none is silence
    called: list[hooks.Call] = dataclasses.field(default_factory=list)
    desired: str = "a"
    counters: dict[str, list[int]] = dataclasses.field(
        default_factory=lambda: {"stable": [0, 0], "candidate": [0, 0]}
    )
    rng: np.random.Generator = dataclasses.field(default_factory=lambda: np.random.default_rng(0))
    events: list[states.Event] = dataclasses.field(default_factory=list)
    reply: states.Reply | None = None  # to the last command

    def look(self) -> State:
        self.now += 1
        wanted = states.route(self.state, deployment="d", strategy=self.policy)
        weight, mirror = states.split(self.state, strategy=self.policy)
        self._traffic(weight)
        paired = None
        if mirror:
            paired = increments.Paired(
                compared=self.rate,
                disagreements=int(self.rng.binomial(self.rate, self.disagreeing)),
                candidate_failures=0,
                stable_failures=0,
            )
        seen = Seen(
            now=self.now,
            desired=self.desired,
            ready=frozenset(self.ready) - set(self.absent),
            broken=self.broken,
            absent=frozenset(self.absent),
            wanted_version=wanted.version if wanted else None,
            sample=self._sample(wanted, weight),
            paired=paired,
            labelled=self.labelled,
            offline_disagreement=0.03,
            command=self.command,
            unread=self.unread,
            cursors=self.state.cursors,
            answers=self._answers(),
        )
        self.command, self.labelled = None, ()
        stored = record.from_json(
            json.loads(json.dumps(record.to_json(self.state)))
        )  # as a supervisor killed at each look would
        after = strategy.advance(stored, seen, strategy=self.policy)
        self.state = after.state
        self.events += after.events
        self.reply = after.reply or self.reply
        return self.state

    def until(self, *phases: Phase, looks: int = 400) -> State:
        for _ in range(looks):
            if self.look().phase in phases:
                return self.state
        raise AssertionError(f"still {self.state.phase} after {looks} looks: {self.state.reason}")

    def serving(self, revision: str) -> "World":
        """Bring `revision` into service as the first, then asks for b."""
        self.desired = revision
        self.until(Phase.STABLE)
        self.desired = "b"
        return self

    def _answers(self) -> dict[str, hooks.Answer]:
        """Call the hooks that are due and have something to say."""
        said = {
            call.id: self.answer.get(call.hook) or self.answer[call.at]
            for call in hooks.due(self.state.calls, now=self.now)
            if {call.hook, call.at} & self.answer.keys()
        }
        self.called += [call for call in self.state.calls if call.id in said]
        return said

    def _traffic(self, weight: int) -> None:
        canary = int(self.rng.binomial(self.rate, weight / 100))
        for arm, requests, failing in (
            ("candidate", canary, self.failing),
            ("stable", self.rate - canary, 0.0),
        ):
            self.counters[arm][0] += requests
            self.counters[arm][1] += int(self.rng.binomial(requests, failing))

    def _sample(self, wanted: traffic.Route | None, weight: int) -> traffic.Sample | None:
        if not self.readable or wanted is None:
            return None
        arms: dict[str, Any] = {
            arm: traffic.ArmSample(requests=n, errors=bad, timed=n, slow={"100ms": 0})
            for arm, (n, bad) in self.counters.items()
        }
        return traffic.Sample(
            at=self.now,
            epoch=self.epoch,
            route_version=self.route or wanted.version,
            stable=arms["stable"],
            candidate=arms["candidate"] if weight else None,
        )

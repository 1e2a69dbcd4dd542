"""Visits of units: what is counted of requests whose time has come.

The same user comes again and again, meets the same arm each time and fails each time if at all:
counted each time, one of them would be evidence without end. So each is drawn once: its first
failure counts in a rollout, by the weight at which its arm was drawn. A request that names no unit
is one of its own, for the gateway draws its arm anew. A client can make up units: what its failures
weigh together is bounded by its address.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from fairway.config import sections
from fairway.control.units import MOST_ANSWERS, Firsts, in_effect
from fairway.monitoring.eventstore import answers as events
from fairway.rollout import guards, increments
from fairway.rollout import ledger as ledgers
from fairway.rollout.guards.base import Question
from fairway.rollout.seen import Segment
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts, Wealth

# requests of both arms are compared that came within so long of each other; a unit's visit is one
# in it
WINDOW_SECONDS = 5.0
LATE_WINDOWS = 12  # a visit whose event comes later than these is one more
# log evidence that one client's failures come to at most: less than half of what rolls back at 1 %
CLIENT_WEIGHT = 3.5
# of all requests: a client with so many is not one of many, but the traffic (a proxy, a single
# caller)
CLIENT_SHARE = 0.25
CLIENT_REQUESTS = 200  # requests met before any client can be that


@dataclass
class Clients:
    """Requests by client (the bucket of its address).

    What a look finds is kept when its cursor comes back, as of `Firsts`.
    """

    known: Counter[str] = field(default_factory=Counter)
    fresh: Counter[str] = field(default_factory=Counter)
    cursor: Hashable = -1

    def settle(self, *, after: Hashable) -> None:
        if after == self.cursor:
            self.known.update(self.fresh)
        self.fresh = Counter()

    def share(self, client: str) -> float:
        """Return the client's share of all requests; 0 where they are too few to say."""
        everybody = self.known.total() + self.fresh.total()
        return (
            (self.known[client] + self.fresh[client]) / everybody
            if everybody >= CLIENT_REQUESTS
            else 0.0
        )


@dataclass
class Visits:
    """The units of one rollout that were met, and the windows in which they were."""

    met: dict[str, Firsts] = field(default_factory=dict)  # exposure, step, error, rejection
    # number of a window -> units that were met in it
    windows: dict[int, Firsts] = field(default_factory=dict)
    clients: Clients = field(default_factory=Clients)

    @classmethod
    def begin(cls, policy: sections.Strategy, *, reached: int) -> "Visits":
        """Return those of a rollout of which nothing up to the cursor `reached` is to be read."""
        asked = (question.what for question in _judged(policy).values())
        met = {what: Firsts() for what in ("step", *asked)}
        return cls({**met, "exposure": Firsts(reached=reached)})

    @property
    def read(self) -> bool:
        """Whether all that was counted before a restart was read again."""
        return "exposure" in self.met and self.met["exposure"].whole

    def settle(self, *, after: Hashable) -> None:
        """Keep what the last look found, where its cursor came back."""
        for firsts in self._all():
            firsts.settle(after=after)

    def end(self, cursor: Hashable) -> None:
        """Remember the cursor that this look ends at."""
        for firsts in self._all():
            firsts.cursor = cursor

    def forget(self, *, before: float) -> None:
        """Drop the windows that no late visit is looked up in."""
        oldest = int(before // WINDOW_SECONDS) - LATE_WINDOWS
        self.windows = {window: met for window, met in self.windows.items() if window >= oldest}

    def _all(self) -> list[Firsts | Clients]:
        return [*self.met.values(), *self.windows.values(), self.clients]

    def count(
        self,
        rows: Sequence[events.Exposure],
        *,
        segments: Sequence[Segment],
        current: Segment | None,
        policy: sections.Strategy,
        thin: tuple[float, float],
    ) -> tuple[tuple[increments.Exposed, ...], tuple[increments.GatewayCounts, ...]]:
        """Return the units that met an arm and the requests by guard, window by window.

        From and until `thin` an arm lacked pods.
        """
        windows = defaultdict[tuple[float, int, bool], list[events.Exposure]](list)
        for row in rows:
            segment = in_effect(segments, at=row.predicted_at)
            if segment is not None:
                lacked = thin[0] < row.predicted_at <= thin[1]
                windows[segment.start, int(row.predicted_at // WINDOW_SECONDS), lacked].append(row)
        by_start = {segment.start: segment for segment in segments}
        exposed, counted = list[increments.Exposed](), list[increments.GatewayCounts]()
        for (start, _, lacked), some in sorted(windows.items()):
            weight = by_start[start].weight
            divided = current is not None and start == current.start and not lacked
            self.clients.fresh.update(row.client for row in some if row.client is not None)
            exposed.append(self._exposed(some, weight=weight, divided=divided))
            counted.append(self._requests(some, weight=weight, policy=policy, thin=lacked))
        return tuple(exposed), tuple(counted)

    def _exposed(
        self, rows: Iterable[events.Exposure], *, weight: float, divided: bool
    ) -> increments.Exposed:
        """Return the units that met an arm.

        Their answers are counted of those that are new in this rollout, by their first requests.
        """
        here, new, answers = [0, 0], [0, 0], defaultdict[str, list[int]](lambda: [0, 0])
        for row in rows:
            arm = ("canary", "stable").index(row.role)
            here[arm] += divided and (row.unit is None or self.met["step"].first(row.unit))
            if row.unit is not None and not self.met["exposure"].first(row.unit):
                continue
            new[arm] += 1
            if row.answer is None or row.status >= 400:
                continue
            if row.answer in answers or len(answers) < MOST_ANSWERS:
                answers[row.answer][arm] += 1
        return increments.Exposed(
            weight=weight,
            candidate=here[0],
            stable=here[1],
            new=(new[0], new[1]),
            answers={answer: (canary, stable) for answer, (canary, stable) in answers.items()},
        )

    def _requests(
        self,
        rows: Sequence[events.Exposure],
        *,
        weight: float,
        policy: sections.Strategy,
        thin: bool,
    ) -> increments.GatewayCounts:
        """Return the requests of a window by guard: visits of units, how they went, and the first
        failures of units."""
        met = self.windows.setdefault(int(rows[0].predicted_at // WINDOW_SECONDS), Firsts())
        visits = [row for row in rows if row.unit is None or met.first(row.unit)]
        n = _by_arm(visits)
        firsts = dict[str, tuple[int, int]]()
        bad, shares, held = (
            dict[str, tuple[int, int]](),
            dict[str, float](),
            dict[str, tuple[ArmCounts, ArmCounts]](),
        )
        share = _share(n, weight=weight, thin=thin)
        for name, (what, true) in _judged(policy).items():
            went = _by_arm(row for row in visits if true(row))
            if what not in firsts:
                firsts[what] = self._firsts(what, rows, true, weight=weight)
            bad[name], shares[name] = firsts[what], share
            held[name] = ArmCounts(n[0], went[0]), ArmCounts(n[1], went[1])
        return increments.GatewayCounts(
            candidate=n[0], stable=n[1], bad=bad, shares=shares, held=held
        )

    def _firsts(
        self,
        what: str,
        rows: Iterable[events.Exposure],
        true: Callable[[events.Exposure], bool],
        *,
        weight: float,
    ) -> tuple[int, int]:
        """Return how many units met it for the first time, by arm, without what is beyond the
        weight of one client."""
        counted = Counter[str]()
        for row in rows:
            if not true(row) or not self._admitted(what, row, weight=weight):
                continue
            counted[row.role] += row.unit is None or self.met[what].first(row.unit)
        return counted["canary"], counted["stable"]

    def _admitted(self, what: str, row: events.Exposure, *, weight: float) -> bool:
        """Say whether the failure counts: a client has as many as do not decide by themselves, in
        either arm.

        One that is the traffic has any number.
        """
        if (
            row.client is None
            or (row.unit,) in self.met[what]
            or self.clients.share(row.client) >= CLIENT_SHARE
        ):
            return True
        allowed = max(1, int(CLIENT_WEIGHT / -math.log(min(weight, 0.99))))
        return any(self.met[what].first("client", row.client, number) for number in range(allowed))


def _judged(policy: sections.Strategy) -> dict[str, Question]:
    """Return what each guard that counts by arrival asks of a request, by its name."""
    asked = {case.name: case.asked for case in guards.cases(policy)}
    return {name: question for name, question in asked.items() if question is not None}


def _share(n: tuple[int, int], *, weight: float, thin: bool) -> float:
    """Return the probability with which a bad request of the window was the candidate's, had it
    been as good as stable.

    The weight that was asked for; where the window cannot have been divided by it (one arm's events
    are late) or need not have been (`thin`: an arm lacked pods) what came in, if that is more. More
    only makes every bet smaller.
    """
    if not 0 < weight < 1 or sum(n) == 0:
        return weight
    if thin:
        return max(weight, n[0] / sum(n))
    split = Wealth.start(at=0.0, restarts=False).bet(
        hypotheses.factors_split(candidate=n[0], stable=n[1], weight=weight)
    )
    return (
        max(weight, n[0] / sum(n)) if split.log_e >= math.log(1 / ledgers.SPLIT_ALPHA) else weight
    )


def _by_arm(rows: Iterable[events.Exposure]) -> tuple[int, int]:
    found = Counter(row.role for row in rows)
    return found["canary"], found["stable"]

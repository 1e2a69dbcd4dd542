"""Requests by the time at which they came: what the event store has of a rollout's arms, without
what was counted before.

A request counts once all that came by then has ended: nothing was under way at the gateway at some
instant since, or a server's timeout has passed. Counted when they are answered, failures of the arm
that answers sooner would come first, and an incident of both would be held against it.

The same user comes again and again, meets the same arm each time and fails each time if at all:
counted each time, one of them would be evidence without end. So each is drawn once: its first
failure counts in a rollout, by the weight at which its arm was drawn. A request that names no unit
is one of its own, for the gateway draws its arm anew. A client can make up units: what its failures
weigh together is bounded by its address.

A server that dies writes no event. The gateway counts what none has answered (`rollout.intake`),
and while events cannot be read, all that has failed: what was answered meanwhile is passed over
here.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from fairway.config import sections
from fairway.control.units import MOST_ANSWERS, Evidence, Firsts, in_effect
from fairway.monitoring.eventstore import answers as events
from fairway.rollout import guards, increments, states, traffic
from fairway.rollout import ledger as ledgers
from fairway.rollout.guards.base import Asked
from fairway.rollout.seen import Cursors, Segment
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts, Wealth

# requests of both arms are compared that came within so long of each other; a unit's visit is one
# in it
WINDOW_SECONDS = 5.0
# from an answer to its event in the store, at most: five times the interval at which servers send
# them
FLUSH_SECONDS = 1.0
# the same after the store was away: a sender's longest pause, its patience, and the above
AGAIN_SECONDS = 8.0
SKEW_SECONDS = 60.0  # a server whose clock is further ahead is not waited for
LATE_WINDOWS = 12  # a visit whose event comes later than these is one more
# events held in memory; the rest stay in the store until these are counted
LARGEST_WINDOW = 100_000
# log evidence that one client's failures come to at most: less than half of what rolls back at 1 %
CLIENT_WEIGHT = 3.5
# of all requests: a client with so many is not one of many, but the traffic (a proxy, a single
# caller)
CLIENT_SHARE = 0.25
CLIENT_REQUESTS = 200  # requests met before any client can be that
Read = Callable[[int, int | None], tuple[int, list[events.Exposure]]]


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
class ReadAhead:
    """The newest exposures of the store, read once: a cache of rows, which may be dropped at any
    time."""

    rows: list[events.Exposure] = field(default_factory=list)
    begin: int = 0
    end: int = 0
    store: str = ""  # identity of the store

    def after(self, cursor: int, *, store: str, read: Read) -> list[events.Exposure]:
        """Return the rows after the cursor, as far as there is room for them; `end` is how far they
        go."""
        if store != self.store or not self.begin <= cursor <= self.end:
            self.rows, self.end, self.store = [], cursor, store
        self.begin, self.rows = cursor, [row for row in self.rows if row.seq > cursor]
        if len(self.rows) < LARGEST_WINDOW:
            self.end, more = read(self.end, None)
            self.rows += more
        return self.rows


@dataclass(frozen=True)
class Exposures:
    """What a look counts of the requests that have come: the cursors to go on from, units by arm,
    requests by guard."""

    cursors: Cursors
    exposed: tuple[increments.Exposed, ...] = ()
    counted: tuple[increments.Gateway, ...] = ()
    # why nothing can be counted of what came; the gateway counts alone meanwhile
    unread: str | None = None


@dataclass
class Arrivals:
    """The requests of one deployment's rollout that were counted; read anew after a restart."""

    since: float | None = None  # when the rollout's ledger was opened
    segment: Segment | None = None  # in which `step` were met
    met: dict[str, Firsts] = field(default_factory=dict)  # exposure, step, error, rejection
    # number of a window -> units that were met in it
    visits: dict[int, Firsts] = field(default_factory=dict)
    clients: Clients = field(default_factory=Clients)
    quiet: tuple[float, ...] = ()  # instants at which nothing was under way
    lacking: bool = False  # whether an arm had only some of its pods at the last look
    # since when and until when an arm last had only some of its pods
    thin: tuple[float, float] = (0.0, 0.0)
    ahead: ReadAhead = field(default_factory=ReadAhead)

    def take(
        self,
        store: Evidence,
        deployment: str,
        *,
        state: states.State,
        policy: sections.Strategy,
        wanted_version: str | None,
        whole: bool,
        sample: traffic.Sample | None,
        timeout_seconds: float,
        now: float,
        partly: bool = False,
    ) -> Exposures:
        """Return what has come since the state's cursors and has ended.

        Where an arm is not `whole` its share is answered without an event: nothing counts. Where
        only some of its pods are gone (`partly`) some events are missing: what came counts, by the
        split that came in, and says nothing of the split that was asked for.
        """

        def read(start: int, until: int | None) -> tuple[int, list[events.Exposure]]:
            return store.exposure(deployment, after=start, until=until)

        before = state.cursors
        self._begin(state)
        self._thin(partly, settled=before.settled, now=now)
        if now < max(before.settled, before.alone_until, before.away_until):
            before, self.quiet = _set_back(before, now=now), ()
        # while servers may have yet to find the store again, each for itself, no arm is ahead of
        # the other
        settled = before.settled
        if not before.alone_until <= now < before.alone_until + AGAIN_SECONDS:
            settled = self._settled(
                sample, before=before.settled, timeout_seconds=timeout_seconds, now=now
            )
        if not whole or _away(before):
            newest = store.cursor()
            for firsts in (
                self._own() if "exposure" in self.met and self.met["exposure"].whole else ()
            ):
                # what the last look has found stays counted
                firsts.settle(after=_token(state.cursors))
            return Exposures(_passed_over(before, newest=newest, whole=whole, now=now))
        segments = _closed(state, wanted_version)
        current = segments[-1] if segments and segments[-1].end is None else None
        self._remember(
            read, cursors=state.cursors, segments=segments, current=current, policy=policy
        )
        rows = [
            row
            for row in self.ahead.after(before.exposure, store=before.store, read=read)
            if not _dealt(row, before)
        ]
        if (
            rows
            and _arrives(state.sample, sample)
            and (apart := rows[-1].predicted_at - now)
            and abs(apart) > SKEW_SECONDS + timeout_seconds
        ):
            return Exposures(
                replace(before, exposure=self.ahead.end, ahead=self.ahead.end),
                unread=(
                    f"the newest is dated {abs(apart):.0f} s {'after' if apart > 0 else 'before'} this controller's "
                    "clock: set the clocks of servers and "
                    "controller (NTP)"
                ),
            )
        due = [row for row in rows if row.predicted_at <= settled]
        waiting = [row.seq for row in rows if settled < row.predicted_at <= now + SKEW_SECONDS]
        cursors = replace(
            before,
            exposure=min(waiting, default=self.ahead.end + 1) - 1,
            ahead=self.ahead.end,
            settled=settled,
        )
        exposed, counted = self._count(due, segments=segments, current=current, policy=policy)
        for firsts in self._own():
            firsts.cursor = _token(cursors)
        return Exposures(cursors, exposed, counted)

    def _settled(
        self, sample: traffic.Sample | None, *, before: float, timeout_seconds: float, now: float
    ) -> float:
        """Return the time by which all that had come has ended, and its events are in the store."""
        arms = (
            [arm for arm in (sample.stable, sample.candidate) if arm is not None]
            if sample is not None
            else []
        )
        if sample is not None and arms and all(arm.active == 0 for arm in arms):
            self.quiet = (*self.quiet, sample.at)
        ripe = [at for at in self.quiet if at <= now - FLUSH_SECONDS]
        self.quiet = (*ripe[-1:], *(at for at in self.quiet if at > now - FLUSH_SECONDS))
        return max(before, now - timeout_seconds - FLUSH_SECONDS, *ripe[-1:])

    def _thin(self, partly: bool, *, settled: float, now: float) -> None:
        """Keep the stretch in which an arm lacked pods: it ends with the first look that finds all
        of them."""
        began, ended = self.thin
        lacked = self.lacking
        self.lacking = partly
        if partly or lacked:
            self.thin = (began if settled <= ended else settled), now

    def _own(self) -> list[Firsts | Clients]:
        return [*self.met.values(), *self.visits.values(), self.clients]

    def _remember(
        self,
        read: Read,
        *,
        cursors: Cursors,
        segments: Sequence[Segment],
        current: Segment | None,
        policy: sections.Strategy,
    ) -> None:
        """Bring what was counted up to the cursors: after a restart it is counted once more, some
        pages a look.

        Raises StoreBusy until all is.
        """
        met = self.met.get("exposure")
        if met is None:
            began = segments[0].cursor if segments else cursors.exposure
            self.met = {
                what: Firsts()
                for what in (
                    "exposure",
                    "step",
                    *(asked.what for asked in _judged(policy).values()),
                )
            }
            met = self.met["exposure"] = Firsts(reached=began)
            self.visits, self.clients, self.segment = {}, Clients(), current

        def take(some: list[events.Exposure]) -> None:
            self._count(
                [row for row in some if row.seq <= cursors.exposure or _dealt(row, cursors)],
                segments=segments,
                current=current,
                policy=policy,
            )

        met.recall(
            read,
            take=take,
            began=segments[0].cursor if segments else 0,
            until=max(cursors.ahead, cursors.exposure),
        )
        for firsts in self._own():
            if not met.whole:
                firsts.cursor = _token(cursors)
            firsts.settle(after=_token(cursors))
        met.whole = True
        oldest = int(cursors.settled // WINDOW_SECONDS) - LATE_WINDOWS
        self.visits = {window: firsts for window, firsts in self.visits.items() if window >= oldest}
        if current is not None and (
            self.segment is None
            or current.version != self.segment.version
            or current.start != self.segment.start
        ):
            self.segment, self.met["step"] = current, Firsts()

    def _count(
        self,
        rows: Sequence[events.Exposure],
        *,
        segments: Sequence[Segment],
        current: Segment | None,
        policy: sections.Strategy,
    ) -> tuple[tuple[increments.Exposed, ...], tuple[increments.Gateway, ...]]:
        windows = defaultdict[tuple[float, int, bool], list[events.Exposure]](list)
        for row in rows:
            segment = in_effect(segments, at=row.predicted_at)
            if segment is not None:
                thin = self.thin[0] < row.predicted_at <= self.thin[1]
                windows[segment.start, int(row.predicted_at // WINDOW_SECONDS), thin].append(row)
        by_start = {segment.start: segment for segment in segments}
        exposed, counted = list[increments.Exposed](), list[increments.Gateway]()
        for (start, _, thin), some in sorted(windows.items()):
            weight = by_start[start].weight
            divided = current is not None and start == current.start and not thin
            self.clients.fresh.update(row.client for row in some if row.client is not None)
            exposed.append(self._exposed(some, weight=weight, divided=divided))
            counted.append(self._requests(some, weight=weight, policy=policy, thin=thin))
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
    ) -> increments.Gateway:
        """Return the requests of a window by guard: visits of units, how they went, and the first
        failures of units."""
        met = self.visits.setdefault(int(rows[0].predicted_at // WINDOW_SECONDS), Firsts())
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
        return increments.Gateway(candidate=n[0], stable=n[1], bad=bad, shares=shares, held=held)

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

    def _begin(self, state: states.State) -> None:
        since = state.ledger.since if state.ledger is not None else None
        if since != self.since:
            self.since, self.segment, self.met = since, None, {}


def _judged(policy: sections.Strategy) -> dict[str, Asked]:
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


def _arrives(before: traffic.Sample | None, after: traffic.Sample | None) -> bool:
    """Say whether the gateway has counted requests since the last look."""
    if before is None or after is None:
        return False
    return any(
        new is not None and (old is None or new.requests > old.requests)
        for old, new in ((before.stable, after.stable), (before.candidate, after.candidate))
    )


def _by_arm(rows: Iterable[events.Exposure]) -> tuple[int, int]:
    found = Counter(row.role for row in rows)
    return found["canary"], found["stable"]


def _token(cursors: Cursors) -> Hashable:
    """Return what tells one look's end from another's."""
    return cursors.exposure, cursors.ahead, cursors.settled


def _dealt(row: events.Exposure, cursors: Cursors) -> bool:
    """Say whether an earlier look has counted the row, or passed over it."""
    by_gateway = cursors.alone_from < row.predicted_at <= cursors.alone_until
    for_nothing = cursors.away_from < row.predicted_at <= cursors.away_until
    return (
        by_gateway
        or for_nothing
        or (row.seq <= cursors.ahead and row.predicted_at <= cursors.settled)
    )


def _set_back(cursors: Cursors, *, now: float) -> Cursors:
    """Return the cursors for a clock that was set back: what waits is passed over, no stretch lies
    in the future."""
    return replace(
        cursors,
        exposure=max(cursors.ahead, cursors.exposure),
        settled=0.0,
        alone_until=min(cursors.alone_until, now),
        away_until=min(cursors.away_until, now),
    )


def _away(cursors: Cursors) -> bool:
    """Say whether an arm had no capacity at the last look; some time since, it came back."""
    return 0 < cursors.settled == cursors.away_until


def _passed_over(cursors: Cursors, *, newest: int, whole: bool, now: float) -> Cursors:
    """Return the cursors behind all that came by now, in the store already or not: one arm had no
    capacity for its share.
    """
    goes_on = cursors.settled <= cursors.away_until
    return replace(
        cursors,
        exposure=newest,
        ahead=newest,
        settled=cursors.settled if whole else now,
        away_from=cursors.away_from if goes_on else cursors.settled,
        away_until=now,
    )


def _closed(state: states.State, wanted_version: str | None) -> tuple[Segment, ...]:
    """Return the stretches of constant weight.

    One whose route is no longer asked for ended with the look that asked for another.
    """
    segments = state.segments
    if segments and segments[-1].end is None and segments[-1].version != wanted_version:
        return (*segments[:-1], replace(segments[-1], end=state.looked))
    return segments

"""Requests by the time at which they came: what the event store has of a rollout's arms, without
what was counted before.

A request counts once all that came by then has ended: nothing was under way at the gateway at some
instant since, or a server's timeout has passed. Counted when they are answered, failures of the arm
that answers sooner would come first, and an incident of both would be held against it.

A server that dies writes no event. The gateway counts what none has answered (`rollout.intake`),
and while events cannot be read, all that has failed: what was answered meanwhile is passed over
here.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from fairway.config import sections
from fairway.control.units import Evidence, Firsts
from fairway.control.visits import Visits
from fairway.monitoring.eventstore import answers as events
from fairway.rollout import increments, states, traffic
from fairway.rollout.seen import Cursors, Segment

# from an answer to its event in the store, at most: five times the interval at which servers send
# them
FLUSH_SECONDS = 1.0
# the same after the store was away: a sender's longest pause, its patience, and the above
AGAIN_SECONDS = 8.0
SKEW_SECONDS = 60.0  # a server whose clock is further ahead is not waited for
# events held in memory; the rest stay in the store until these are counted
LARGEST_WINDOW = 100_000
Read = Callable[[int, int | None], tuple[int, list[events.Exposure]]]


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
    counted: tuple[increments.GatewayCounts, ...] = ()
    # why nothing can be counted of what came; the gateway counts alone meanwhile
    unread: str | None = None


@dataclass
class Arrivals:
    """The requests of one deployment's rollout that were counted; read anew after a restart."""

    since: float | None = None  # when the rollout's ledger was opened
    segment: Segment | None = None  # in which the visits' `step` were met
    visits: Visits = field(default_factory=Visits)
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
        settled = self._settled(sample, before=before, timeout_seconds=timeout_seconds, now=now)
        if not whole or _away(before):
            newest = store.cursor()
            if self.visits.read:
                self.visits.settle(after=_token(state.cursors))  # the last look's stays counted
            return Exposures(_passed_over(before, newest=newest, whole=whole, now=now))
        segments = _closed(state, wanted_version)
        self._remember(read, cursors=state.cursors, segments=segments, policy=policy)
        rows = [
            row
            for row in self.ahead.after(before.exposure, store=before.store, read=read)
            if not _dealt(row, before)
        ]
        if _arrives(state.sample, sample):
            apart = rows[-1].predicted_at - now if rows else 0.0
            if abs(apart) > SKEW_SECONDS + timeout_seconds:
                cursors = replace(before, exposure=self.ahead.end, ahead=self.ahead.end)
                return Exposures(cursors, unread=_misdated(apart))
        cursors = self._reached(rows, before=before, settled=settled, now=now)
        due = [row for row in rows if row.predicted_at <= settled]
        exposed, counted = self._count(due, segments=segments, policy=policy)
        self.visits.end(_token(cursors))
        return Exposures(cursors, exposed, counted)

    def _reached(
        self, rows: Iterable[events.Exposure], *, before: Cursors, settled: float, now: float
    ) -> Cursors:
        """Return the cursors behind all that is counted now: what waits is read again."""
        waiting = [row.seq for row in rows if settled < row.predicted_at <= now + SKEW_SECONDS]
        return replace(
            before,
            exposure=min(waiting, default=self.ahead.end + 1) - 1,
            ahead=self.ahead.end,
            settled=settled,
        )

    def _settled(
        self, sample: traffic.Sample | None, *, before: Cursors, timeout_seconds: float, now: float
    ) -> float:
        """Return the time by which all that had come has ended, and its events are in the store."""
        # while servers may have yet to find the store again, each for itself, no arm is ahead of
        # the other
        if before.alone_until <= now < before.alone_until + AGAIN_SECONDS:
            return before.settled
        arms = (
            [arm for arm in (sample.stable, sample.candidate) if arm is not None]
            if sample is not None
            else []
        )
        if sample is not None and arms and all(arm.active == 0 for arm in arms):
            self.quiet = (*self.quiet, sample.at)
        ripe = [at for at in self.quiet if at <= now - FLUSH_SECONDS]
        self.quiet = (*ripe[-1:], *(at for at in self.quiet if at > now - FLUSH_SECONDS))
        return max(before.settled, now - timeout_seconds - FLUSH_SECONDS, *ripe[-1:])

    def _thin(self, partly: bool, *, settled: float, now: float) -> None:
        """Keep the stretch in which an arm lacked pods: it ends with the first look that finds all
        of them."""
        began, ended = self.thin
        lacked = self.lacking
        self.lacking = partly
        if partly or lacked:
            self.thin = (began if settled <= ended else settled), now

    def _remember(
        self,
        read: Read,
        *,
        cursors: Cursors,
        segments: Sequence[Segment],
        policy: sections.Strategy,
    ) -> None:
        """Bring what was counted up to the cursors: after a restart it is counted once more, some
        pages a look.

        Raises StoreBusy until all is.
        """
        current = _current(segments)
        if "exposure" not in self.visits.met:
            began = segments[0].cursor if segments else cursors.exposure
            self.visits, self.segment = Visits.begin(policy, reached=began), current
        met = self.visits.met["exposure"]

        def take(some: list[events.Exposure]) -> None:
            self._count(
                [row for row in some if row.seq <= cursors.exposure or _dealt(row, cursors)],
                segments=segments,
                policy=policy,
            )

        met.recall(
            read,
            take=take,
            began=segments[0].cursor if segments else 0,
            until=max(cursors.ahead, cursors.exposure),
        )
        if not met.whole:
            self.visits.end(_token(cursors))
        self.visits.settle(after=_token(cursors))
        met.whole = True
        self.visits.forget(before=cursors.settled)
        if current is not None and (
            self.segment is None
            or current.version != self.segment.version
            or current.start != self.segment.start
        ):
            self.segment, self.visits.met["step"] = current, Firsts()

    def _count(
        self,
        rows: Sequence[events.Exposure],
        *,
        segments: Sequence[Segment],
        policy: sections.Strategy,
    ) -> tuple[tuple[increments.Exposed, ...], tuple[increments.GatewayCounts, ...]]:
        return self.visits.count(
            rows, segments=segments, current=_current(segments), policy=policy, thin=self.thin
        )

    def _begin(self, state: states.State) -> None:
        since = state.ledger.since if state.ledger is not None else None
        if since != self.since:
            self.since, self.segment, self.visits = since, None, Visits()


def _current(segments: Sequence[Segment]) -> Segment | None:
    """Return the stretch that goes on."""
    return segments[-1] if segments and segments[-1].end is None else None


def _misdated(apart: float) -> str:
    return (
        f"the newest is dated {abs(apart):.0f} s {'after' if apart > 0 else 'before'} this controller's clock: "
        "set the clocks of servers and controller (NTP)"
    )


def _arrives(before: traffic.Sample | None, after: traffic.Sample | None) -> bool:
    """Say whether the gateway has counted requests since the last look."""
    if before is None or after is None:
        return False
    return any(
        new is not None and (old is None or new.requests > old.requests)
        for old, new in ((before.stable, after.stable), (before.candidate, after.candidate))
    )


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

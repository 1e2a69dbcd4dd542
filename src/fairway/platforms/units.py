"""Units counted once: what the event store has of a rollout, without what was counted before.

The same user comes again and again, meets the same arm each time and fails each time if at all: counted each time, one of them would be evidence
without end. So each counts by the first that is known of it, once in a rollout; a request that names no unit is one of its own.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from fairway import errors
from fairway.monitoring import store as events
from fairway.rollout import ledger as ledgers
from fairway.rollout import states
from fairway.rollout.seen import Segment

WINDOW_SECONDS = 5.0   # answers of both arms are compared that were given within so long of each other, whenever their events come
PAGES = 4              # of what was counted before a restart, that one look reads again: hundreds of thousands of events
Event = TypeVar("Event", events.Exposure, events.Outcome, events.Labelled)


class Evidence(Protocol):
    """The event store as the rollouts of one namespace read it: the store itself, or a collector that answers for it.

    Every method gives the new cursor with its answer, `until` at most; an answer may stop short of the newest event, and the next goes on from there.
    """

    def position(self) -> events.Position: ...

    def of(self, identity: str) -> "Evidence":
        """Return the same for cursors of the store `identity` (empty: of any): a method raises StoreReplaced where they are another's."""

    def cursor(self) -> int: ...

    def pairs(self, deployment: str, *, stable: str, candidate: str, after: int) -> tuple[int, events.Pairs]: ...

    def labelled(self, deployment: str, *, after: int, until: int | None = None, by: str | None = None) -> tuple[int, list[events.Labelled]]: ...

    def outcomes(self, deployment: str, *, after: int, until: int | None = None) -> tuple[int, list[events.Outcome]]: ...

    def exposure(self, deployment: str, *, after: int, until: int | None = None) -> tuple[int, list[events.Exposure]]: ...


@dataclass
class Firsts:
    """Keys that were met. What a look finds is kept when its cursor comes back: a look that was never stored is taken again."""

    reached: int                                   # how far those that were counted before a restart were read again
    whole: bool = False                            # whether all of them were
    known: set[int] = field(default_factory=set)   # hashes: a fraction of their names' memory; of a million, two are one once in 37 million times
    fresh: set[int] = field(default_factory=set)
    cursor: int = -1                               # that the last look ended at

    def settle(self, *, after: int) -> None:
        if after == self.cursor:
            self.known |= self.fresh
        self.fresh = set()

    def first(self, *key: Hashable) -> bool:
        """Says whether the key is new, and remembers it."""
        value = hash(key)
        if value in self.known or value in self.fresh:
            return False
        self.fresh.add(value)
        return True


@dataclass
class Units:
    """The units of one deployment's rollout that were counted; read anew after a restart."""

    since: float | None = None                                  # when the rollout's ledger was opened
    segment: Segment | None = None                              # in which `step` were met
    met: dict[str, Firsts] = field(default_factory=dict)        # exposure, step, outcome, label

    def exposed(self, store: Evidence, deployment: str, *, state: states.State, segment: Segment | None) -> tuple[int, tuple[ledgers.Exposed, ...]]:
        """Gives the new cursor, and the units that met an arm for the first time in this segment, by the time at which they were served."""
        after = state.cursors.exposure
        self._begin(state)
        if segment is None or segment.end is not None:
            for what in {"exposure", "step"} & self.met.keys():
                self.met[what].settle(after=after)   # what the last look of a step has found stays counted
            return store.cursor(), ()
        if segment != self.segment:
            self.segment = segment
            self.met.pop("step", None)
        earliest = segment.start

        def read(start: int, until: int | None) -> tuple[int, list[events.Exposure]]:
            return store.exposure(deployment, after=start, until=until)

        met = self._recall("exposure", state, after=after, read=read, key=lambda one: (one.unit,))
        step = self._recall("step", state, after=after, read=read, key=lambda one: (one.unit,), start=segment.cursor, earliest=earliest)
        cursor, some = read(after, None)
        met.cursor = step.cursor = cursor
        here = [one for one in some if one.predicted_at >= earliest and (one.unit is None or step.first(one.unit))]
        new = {number for number, one in enumerate(here) if one.unit is None or met.first(one.unit)}
        windows = defaultdict[int, list[tuple[events.Exposure, bool]]](list)
        for number, one in enumerate(here):
            windows[int(one.predicted_at // WINDOW_SECONDS)].append((one, number in new))
        return cursor, tuple(_exposed(windows[window], weight=segment.weight) for window in sorted(windows))

    def outcomes(self, store: Evidence, deployment: str, *, state: states.State) -> tuple[int, list[events.Outcome]]:
        """Gives the new cursor, and the first outcomes of their units (each name for itself)."""
        self._begin(state)

        def read(start: int, until: int | None) -> tuple[int, list[events.Outcome]]:
            return store.outcomes(deployment, after=start, until=until)

        met = self._recall("outcome", state, after=state.cursors.outcomes, read=read, key=lambda one: (one.unit, one.name))
        cursor, some = read(state.cursors.outcomes, None)
        met.cursor = cursor
        return cursor, [one for one in some if in_effect(state.segments, at=one.predicted_at) and (one.unit is None or met.first(one.unit, one.name))]

    def labels(self, store: Evidence, deployment: str, *, state: states.State, by: str | None) -> tuple[int, list[events.Labelled]]:
        """Gives the new cursor, and the first labelled answers of their units: of each slice, and (slice None) of all of an answer's rows together."""
        self._begin(state)

        def read(start: int, until: int | None) -> tuple[int, list[events.Labelled]]:
            cursor, some = store.labelled(deployment, after=start, until=until, by=by)
            return cursor, _with_wholes(some)

        met = self._recall("label", state, after=state.cursors.labels, read=read, key=lambda one: (one.unit, one.slice))
        cursor, some = read(state.cursors.labels, None)
        met.cursor = cursor
        return cursor, [one for one in some if in_effect(state.segments, at=one.predicted_at) and (one.unit is None or met.first(one.unit, one.slice))]

    def _begin(self, state: states.State) -> None:
        since = state.ledger.since if state.ledger is not None else None
        if since != self.since:
            self.since, self.segment, self.met = since, None, {}

    def _recall(
        self, what: str, state: states.State, *, after: int, read: Callable[[int, int | None], tuple[int, list[Event]]],
        key: Callable[[Event], tuple[Hashable, ...]], start: int | None = None, earliest: float | None = None,
    ) -> Firsts:
        """Gives the keys that were counted up to the state's cursor; after a restart they are read again, page by page, from where the rollout began.

        Some pages a look: until all are read it raises StoreBusy, for what is missing would count again, and the next look goes on from there.
        """
        began = start if start is not None else state.segments[0].cursor if state.segments else after
        firsts = self.met.setdefault(what, Firsts(reached=began))
        firsts.reached = max(firsts.reached, began)   # a store that was replaced has nothing before
        for _ in range(PAGES):
            if firsts.whole or firsts.reached >= after:
                break
            at, some = read(firsts.reached, after)
            if at <= firsts.reached:
                raise errors.Unavailable(f"the event store's answer ends at {at}, where it began: wanted what lies between {firsts.reached} and {after}")
            firsts.known.update(hash(key(one)) for one in some if one.unit is not None and (
                one.predicted_at >= earliest if earliest is not None else in_effect(state.segments, at=one.predicted_at) is not None))
            firsts.reached = at
        firsts.whole = firsts.whole or firsts.reached >= after
        if not firsts.whole:
            raise errors.StoreBusy(f"what was counted before the restart is read again: event {firsts.reached} of {after}")
        firsts.settle(after=after)
        return firsts


def in_effect(segments: Sequence[Segment], *, at: float) -> Segment | None:
    """Gives the stretch of constant weight that a time lies in; None also where a clock that was set back put it into two of different weights."""
    found = [segment for segment in segments if segment.start <= at and (segment.end is None or at < segment.end)]
    return found[-1] if len({segment.weight for segment in found}) == 1 else None


def _exposed(met: Iterable[tuple[events.Exposure, bool]], *, weight: float) -> ledgers.Exposed:
    """Gives the counts of units that met an arm; what they got counts of those that are new in this rollout, by their first requests."""
    here, new, failed, answers = [0, 0], [0, 0], [0, 0], defaultdict[str, list[int]](lambda: [0, 0])
    for one, is_new in met:
        arm = ("canary", "stable").index(one.role)
        here[arm] += 1
        if not is_new:
            continue
        new[arm] += 1
        failed[arm] += one.status >= 500
        if one.answer is not None and one.status < 400:
            answers[one.answer][arm] += 1
    return ledgers.Exposed(weight=weight, candidate=here[0], stable=here[1], new=(new[0], new[1]), failed=(failed[0], failed[1]),
                           answers={answer: (canary, stable) for answer, (canary, stable) in answers.items()})


def _with_wholes(labels: list[events.Labelled]) -> list[events.Labelled]:
    """Gives every answer as a whole beside its slices."""
    wholes: dict[tuple[str, str, str], events.Labelled] = {}
    for one in labels:
        whole = wholes.get((one.request_id, one.revision, one.role))
        wholes[one.request_id, one.revision, one.role] = one._replace(
            slice=None, rows=one.rows + (whole.rows if whole else 0), wrong=one.wrong + (whole.wrong if whole else 0))
    return [*wholes.values(), *(one for one in labels if one.slice is not None)]

"""Units counted once: the labels and outcomes that the event store has of a rollout, without what
was counted before.

Each unit counts by the first that is known of it, once in a rollout: counted each time that it
comes, one of them would be evidence without end. A request that names no unit is one of its own.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from fairway import errors
from fairway.monitoring.eventstore import answers as events
from fairway.rollout import states
from fairway.rollout.seen import Segment

# of what was counted before a restart, that one look reads again: hundreds of thousands of events
PAGES = 4
MOST_ANSWERS = 1000  # that are counted each in one look: a classification has no more classes
Row = TypeVar("Row")
Event = TypeVar("Event", events.Outcome, events.LabelledAnswer)


class Evidence(Protocol):
    """The event store as the rollouts of one namespace read it: the store itself, or a collector
    that answers for it.

    Every method gives the new cursor with its answer, `until` at most; an answer may stop short of
    the newest event, and the next goes on from there.
    """

    def position(self) -> events.Position: ...

    def of(self, identity: str) -> "Evidence":
        """Return the same for cursors of the store `identity` (empty: of any): a method raises
        StoreReplaced where they are another's.
        """

    def cursor(self) -> int: ...

    def pairs(
        self, deployment: str, *, stable: str, candidate: str, after: int
    ) -> tuple[int, events.Pairs]: ...

    def labelled(
        self,
        deployment: str,
        *,
        after: int,
        until: int | None = None,
        by: str | None = None,
        gauge: str | None = None,
    ) -> tuple[int, list[events.LabelledAnswer]]: ...

    def outcomes(
        self, deployment: str, *, after: int, until: int | None = None
    ) -> tuple[int, list[events.Outcome]]: ...

    def exposure(
        self, deployment: str, *, after: int, until: int | None = None
    ) -> tuple[int, list[events.Exposure]]: ...


@dataclass
class Firsts:
    """Keys that were met.

    What a look finds is kept when its cursor comes back: a look that was never stored is taken
    again.
    """

    known: set[int] = field(
        default_factory=set
        # hashes: a fraction of their names' memory; of a million, two are one once in 37 million
        # times
    )
    fresh: set[int] = field(default_factory=set)
    cursor: Hashable = -1  # that the last look ended at
    reached: int = 0  # how far those that were counted before a restart were read again
    whole: bool = False  # whether all of them were

    def settle(self, *, after: Hashable) -> None:
        if after == self.cursor:
            self.known |= self.fresh
        self.fresh = set()

    def recall(
        self,
        read: Callable[[int, int | None], tuple[int, list[Row]]],
        *,
        take: Callable[[list[Row]], None],
        began: int,
        until: int,
    ) -> None:
        """Have `take` count once more what was counted up to `until` before a restart, page by page
        from where it `began`.

        Some pages a look: until all are read it raises StoreBusy, for what is missing would count
        again, and the next look goes on from there.
        """
        self.reached = max(self.reached, began)  # a store that was replaced has nothing before
        for _ in range(PAGES):
            if self.whole or self.reached >= until:
                return
            at, some = read(self.reached, until)
            if at <= self.reached:
                raise errors.Unavailable(
                    f"the event store's answer ends at {at}, where it began: wanted what lies between {self.reached} "
                    f"and {until}"
                )
            take(some)
            self.reached = at
        if self.reached < until:
            raise errors.StoreBusy(
                f"what was counted before the restart is read again: event {self.reached} of {until}"
            )

    def first(self, *key: Hashable) -> bool:
        """Say whether the key is new, and remember it."""
        value = hash(key)
        if value in self.known or value in self.fresh:
            return False
        self.fresh.add(value)
        return True

    def __contains__(self, key: tuple[Hashable, ...]) -> bool:
        return hash(key) in self.known or hash(key) in self.fresh


@dataclass
class Units:
    """The units of one deployment's rollout whose labels and outcomes were counted; read anew after
    a restart."""

    since: float | None = None  # when the rollout's ledger was opened
    met: dict[str, Firsts] = field(default_factory=dict)  # outcome, label

    def outcomes(
        self, store: Evidence, deployment: str, *, state: states.State
    ) -> tuple[int, list[events.Outcome]]:
        """Return the new cursor, and the first outcomes of their units (each name for itself)."""
        self._begin(state)

        def read(start: int, until: int | None) -> tuple[int, list[events.Outcome]]:
            return store.outcomes(deployment, after=start, until=until)

        met = self._recall(
            "outcome",
            state,
            after=state.cursors.outcomes,
            read=read,
            key=lambda one: (one.unit, one.name),
        )
        cursor, some = read(state.cursors.outcomes, None)
        met.cursor = cursor
        return cursor, [
            one
            for one in some
            if in_effect(state.segments, at=one.predicted_at)
            and (one.unit is None or met.first(one.unit, one.name))
        ]

    def labels(
        self,
        store: Evidence,
        deployment: str,
        *,
        state: states.State,
        by: str | None,
        gauge: str | None = None,
    ) -> tuple[int, list[events.LabelledAnswer]]:
        """Return the new cursor, and the first labelled answers of their units: of each slice, and
        (slice None) of all of an answer's rows together.

        The losses of both arms are measured as of the revision `gauge`.
        """
        self._begin(state)

        def read(start: int, until: int | None) -> tuple[int, list[events.LabelledAnswer]]:
            cursor, some = store.labelled(deployment, after=start, until=until, by=by, gauge=gauge)
            return cursor, _with_wholes(some)

        met = self._recall(
            "label",
            state,
            after=state.cursors.labels,
            read=read,
            key=lambda one: (one.unit, one.slice),
        )
        cursor, some = read(state.cursors.labels, None)
        met.cursor = cursor
        return cursor, [
            one
            for one in some
            if in_effect(state.segments, at=one.predicted_at)
            and (one.unit is None or met.first(one.unit, one.slice))
        ]

    def _begin(self, state: states.State) -> None:
        since = state.ledger.since if state.ledger is not None else None
        if since != self.since:
            self.since, self.met = since, {}

    def _recall(
        self,
        what: str,
        state: states.State,
        *,
        after: int,
        read: Callable[[int, int | None], tuple[int, list[Event]]],
        key: Callable[[Event], tuple[Hashable, ...]],
    ) -> Firsts:
        """Return the keys that were counted up to the state's cursor.

        After a restart they are read again (`Firsts.recall`), from where the rollout began.
        """
        began = state.segments[0].cursor if state.segments else after
        firsts = self.met.setdefault(what, Firsts(reached=began))

        def take(some: list[Event]) -> None:
            firsts.known.update(
                hash(key(one))
                for one in some
                if one.unit is not None
                and in_effect(state.segments, at=one.predicted_at) is not None
            )

        firsts.recall(read, take=take, began=began, until=after)
        firsts.whole = True
        firsts.settle(after=after)
        return firsts


def in_effect(segments: Sequence[Segment], *, at: float) -> Segment | None:
    """Return the stretch of constant weight that a time lies in.

    None also where a clock that was set back put it into two of different weights.
    """
    found = [
        segment
        for segment in segments
        if segment.start <= at and (segment.end is None or at < segment.end)
    ]
    return found[-1] if len({segment.weight for segment in found}) == 1 else None


def _with_wholes(labels: list[events.LabelledAnswer]) -> list[events.LabelledAnswer]:
    """Return every answer as a whole beside its slices."""
    wholes: dict[tuple[str, str, str], events.LabelledAnswer] = {}
    for one in labels:
        whole = wholes.get((one.request_id, one.revision, one.role))
        wholes[one.request_id, one.revision, one.role] = one._replace(
            slice=None,
            rows=one.rows + (whole.rows if whole else 0),
            wrong=one.wrong + (whole.wrong if whole else 0),
        )
    return [*wholes.values(), *(one for one in labels if one.slice is not None)]

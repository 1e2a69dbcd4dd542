"""One look: what the gateway, the servers and the event store say of one deployment, as the strategy wants it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from fairway import errors
from fairway.config import schema
from fairway.monitoring import store as events
from fairway.rollout import evidence, strategy, traffic
from fairway.rollout import ledger as ledgers
from fairway.rollout.seen import Command, Cursors, Seen, Segment


class Evidence(Protocol):
    """The event store as the rollouts of one namespace read it: the store itself, or a collector that answers for it.

    Every method gives the new cursor with its answer; an answer may stop short of the newest event, and the next goes on from there.
    """

    def cursor(self) -> int: ...

    def pairs(self, deployment: str, *, stable: str, candidate: str, after: int) -> tuple[int, events.Pairs]: ...

    def labelled(self, deployment: str, *, after: int, by: str | None = None) -> tuple[int, list[events.Labelled]]: ...

    def outcomes(self, deployment: str, *, after: int, until: int | None = None) -> tuple[int, list[events.Outcome]]: ...

    def exposure(self, deployment: str, *, after: int) -> tuple[int, list[events.Exposure]]: ...


@dataclass
class Outcomes:
    """Units whose outcomes were counted in this rollout already; read anew after a restart."""

    since: float | None = None                                         # when the rollout's ledger was opened
    known: set[int] = field(default_factory=set)                       # hashes of name and unit

    def count(self, store: Evidence, deployment: str, *, state: strategy.State) -> tuple[int, list[events.Outcome]]:
        """Gives the new cursor, and the first outcomes of their units (each name for itself) since the state's cursor."""
        since = state.ledger.since if state.ledger is not None else None
        if since != self.since:
            self.since, self.known = since, set()
            after = state.segments[0].cursor if state.segments else state.cursors.outcomes
            while after < state.cursors.outcomes:   # after a restart: those have been counted
                after, some = store.outcomes(deployment, after=after, until=state.cursors.outcomes)
                self.known.update(hash((one.name, one.unit)) for one in some if _in_effect(state.segments, at=one.predicted_at))
        cursor, some = store.outcomes(deployment, after=state.cursors.outcomes)
        return cursor, [one for one in some if _in_effect(state.segments, at=one.predicted_at) and (one.unit is None or self._first(one))]

    def _first(self, one: events.Outcome) -> bool:
        key = hash((one.name, one.unit))
        known = key in self.known
        self.known.add(key)
        return not known


@dataclass
class Exposures:
    """Units already counted in the stretch of constant weight that is in effect; read anew after a restart."""

    segment: Segment | None = None
    units: set[int] = field(default_factory=set)   # hashes: a fraction of their names' memory; of a million, two are one once in 37 million times
    outcomes: Outcomes = field(default_factory=Outcomes)

    def count(self, store: Evidence, deployment: str, *, segment: Segment | None, after: int) -> tuple[int, ledgers.Exposed | None]:
        """Gives the new cursor, and the units that met an arm for the first time in this segment."""
        if segment is None or segment.end is not None:
            return store.cursor(), None
        if segment != self.segment:
            self.segment, self.units = segment, set()
            if after > segment.cursor:  # after a restart: what came since the stored cursor is among the earlier ones, and counts as seen
                return self._recall(store, deployment, segment=segment), None
        cursor, exposures = store.exposure(deployment, after=after)
        return cursor, exposed([one for one in exposures if one.predicted_at >= segment.start and self._first(one.unit)], weight=segment.weight)

    def _first(self, unit: str | None) -> bool:
        """Says whether the unit is new, and remembers it; a request without a unit is one of its own: none comes twice."""
        if unit is None:
            return True
        known = hash(unit) in self.units
        self.units.add(hash(unit))
        return not known

    def _recall(self, store: Evidence, deployment: str, *, segment: Segment) -> int:
        """Takes up the units of the segment so far, page by page; gives the cursor after the last."""
        newest, after = store.cursor(), segment.cursor
        while after < newest:
            after, some = store.exposure(deployment, after=after)
            self.units.update(hash(one.unit) for one in some if one.unit is not None and one.predicted_at >= segment.start)
        return after


def exposed(firsts: Iterable[events.Exposure], *, weight: float) -> ledgers.Exposed:
    """Gives the counts of units that met an arm, by their first requests."""
    met, failed, answers = [0, 0], [0, 0], defaultdict[str, list[int]](lambda: [0, 0])
    for one in firsts:
        arm = ("canary", "stable").index(one.role)
        met[arm] += 1
        failed[arm] += one.status >= 500
        if one.answer is not None and one.status < 400:
            answers[one.answer][arm] += 1
    return ledgers.Exposed(weight=weight, candidate=met[0], stable=met[1], failed=(failed[0], failed[1]),
                         answers={answer: (canary, stable) for answer, (canary, stable) in answers.items()})


def look(
    state: strategy.State, *, deployment: str, desired: str, store: Evidence, exposures: Exposures, sample: traffic.Sample | None,
    ready: Iterable[str], broken: Mapping[str, str], policy: schema.Strategy, offline_disagreement: float | None, command: Command | None, now: float,
    notes: Mapping[str, str] | None = None,
) -> Seen:
    """Gives what was seen; reads the evidence from the state's cursors on.

    Where it cannot be read the look goes on without: the gateway's counts alone can take a candidate's traffic away.
    """
    wanted = strategy.route(state, deployment=deployment, strategy=policy)
    seen = Seen(
        now=now, desired=desired, ready=frozenset(ready), broken=broken, notes=notes or {}, wanted_version=wanted.version if wanted else None, sample=sample,
        cursors=state.cursors, offline_disagreement=offline_disagreement, command=command)
    try:
        return _read(seen, state, deployment=deployment, store=store, exposures=exposures, policy=policy)
    except errors.Temporary as error:
        return replace(seen, unread=str(error))


def arms(state: strategy.State) -> tuple[str | None, str | None]:
    """Gives the revisions that are compared: candidate and stable, or, after a promotion, the promoted one and the one before."""
    if state.candidate is not None:
        return state.candidate, state.stable
    return (state.stable, state.previous) if state.previous is not None else (None, None)


def by_weight(
    labels: Sequence[events.Labelled], *, candidate: str | None, stable: str | None, segments: Sequence[Segment]
) -> tuple[ledgers.Labelled, ...]:
    """Gives the labels counted by slice and by the weight in effect when their predictions were made; those made between weights are left out."""
    counts: dict[tuple[str | None, float], dict[str, list[int]]] = {}
    for label in labels:
        segment = _in_effect(segments, at=label.predicted_at)
        if segment is None or label.revision not in (candidate, stable):
            continue
        arm = counts.setdefault((label.slice, segment.weight), {}).setdefault(label.revision, [0, 0])
        arm[0] += label.rows
        arm[1] += label.wrong
    return tuple(
        ledgers.Labelled(weight=weight, slice=of, candidate=evidence.ArmCounts(*arm.get(candidate or "", (0, 0))),
                         stable=evidence.ArmCounts(*arm.get(stable or "", (0, 0))))
        for (of, weight), arm in counts.items()
    )


def valued(outcomes: Iterable[events.Outcome], *, candidate: str | None, stable: str | None, segments: Sequence[Segment]) -> tuple[ledgers.Valued, ...]:
    """Gives the outcomes by name and by the weight in effect when their requests were answered; those answered between weights are left out."""
    found: dict[tuple[str, float], tuple[list[float], list[float]]] = {}
    for one in outcomes:
        segment = _in_effect(segments, at=one.predicted_at)
        if segment is not None and one.revision in (candidate, stable):
            found.setdefault((one.name, segment.weight), ([], []))[one.revision != candidate].append(one.value)
    return tuple(ledgers.Valued(name=name, weight=weight, candidate=tuple(mine), stable=tuple(theirs)) for (name, weight), (mine, theirs) in found.items())


def _in_effect(segments: Sequence[Segment], *, at: float) -> Segment | None:
    return next((segment for segment in segments if segment.start <= at and (segment.end is None or at < segment.end)), None)


def _read(seen: Seen, state: strategy.State, *, deployment: str, store: Evidence, exposures: Exposures, policy: schema.Strategy) -> Seen:
    candidate, stable = arms(state)
    if candidate is None:
        newest = store.cursor()
        return replace(seen, cursors=Cursors(pairs=newest, labels=newest, outcomes=newest, exposure=newest))
    pairs_cursor, paired = _pairs(store, deployment, candidate=state.candidate, stable=state.stable, after=state.cursors.pairs)
    labels_cursor, labels = store.labelled(
        deployment, after=state.cursors.labels, by=next((guard.slice_by for guard in policy.guards if guard.slice_by is not None), None))
    last = state.segments[-1] if state.segments else None
    segment = last if last is not None and seen.wanted_version == last.version else None
    exposure_cursor, exposed = exposures.count(store, deployment, segment=segment, after=state.cursors.exposure)
    outcomes_cursor, outcomes = state.cursors.outcomes, list[events.Outcome]()
    if any(guard.type == "business" for guard in policy.guards):   # nobody else needs that join
        outcomes_cursor, outcomes = exposures.outcomes.count(store, deployment, state=state)
    return replace(
        seen, paired=paired, labelled=by_weight(labels, candidate=candidate, stable=stable, segments=state.segments), exposed=exposed,
        valued=valued(outcomes, candidate=candidate, stable=stable, segments=state.segments),
        cursors=Cursors(pairs=pairs_cursor, labels=labels_cursor, outcomes=outcomes_cursor, exposure=exposure_cursor))


def _pairs(store: Evidence, deployment: str, *, candidate: str | None, stable: str | None, after: int) -> tuple[int, ledgers.Paired | None]:
    if candidate is None or stable is None:
        return store.cursor(), None
    cursor, pairs = store.pairs(deployment, stable=stable, candidate=candidate, after=after)
    return cursor, ledgers.Paired(compared=pairs.compared, disagreements=pairs.disagreements, candidate_failures=pairs.candidate_failures,
                                stable_failures=pairs.stable_failures)

"""One look: what the gateway, the servers and the event store say of one deployment, as the
strategy wants it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fairway import budget, errors
from fairway.config import sections
from fairway.control.arrivals import Arrivals
from fairway.control.units import MOST_ANSWERS, Evidence, Units, in_effect
from fairway.monitoring.eventstore import answers as events
from fairway.rollout import guards, increments, states
from fairway.rollout.seen import Cursors, Seen, Segment
from fairway.rollout.statistics import betting

COST = (
    "what was counted stays counted, what comes from now on counts; what only the old store had (pairs, labels, "
    "outcomes) is lost to this rollout, "
    "and a unit that was counted may count once more after a restart"
)
NOWHERE = Cursors()
# that reading the evidence may take in one look: what was decided must still be done
READ_SECONDS = 20.0


@dataclass(frozen=True)
class Tallies:
    """What was counted of one deployment's rollout; all of it can be read again."""

    arrivals: Arrivals = field(default_factory=Arrivals)
    units: Units = field(default_factory=Units)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A deployment whose rollout is watched: its strategy, where its evidence lies, and what was
    counted of it."""

    deployment: str
    policy: sections.Strategy
    store: Evidence
    tallies: Tallies
    timeout_seconds: float  # the longest that a server may take for a request


def observe(seen: Seen, state: states.State, *, of: Observed) -> Seen:
    """Return the look with the evidence that has come since the state's cursors.

    Where the evidence cannot be read the look goes on without: the gateway's counts alone can take
    a candidate's traffic away.
    """
    wanted = states.route(state, deployment=of.deployment, strategy=of.policy)
    seen = replace(seen, wanted_version=wanted.version if wanted else None, cursors=state.cursors)
    try:
        with budget.within(READ_SECONDS):
            try:
                return _read(seen, state, of=replace(of, store=of.store.of(state.cursors.store)))
            except errors.StoreReplaced as error:
                return replace(
                    seen, cursors=_begin(of.store, alone=state.cursors), replaced=f"{error}; {COST}"
                )
    except errors.Temporary as error:
        return replace(seen, unread=str(error))


def arms(state: states.State) -> tuple[str | None, str | None]:
    """Return the revisions that are compared: candidate and stable, or, after a promotion, the
    promoted one and the one before.
    """
    if state.candidate is not None:
        return state.candidate, state.stable
    return (state.stable, state.previous) if state.previous is not None else (None, None)


def offline_disagreement(facts: Mapping[str, Any] | None, *, stable: str | None) -> float | None:
    """Return how much evaluation found the candidate to differ from the package in service (its
    digest).

    What it found of another says nothing here.
    """
    known = facts or {}
    measured, champion = known.get("championDisagreement"), known.get("championDigest")
    if (
        not isinstance(measured, int | float) or not 0 <= measured <= 1
    ):  # a server says it: what is no share moves no bound
        return None
    return float(measured) if champion in (None, stable) else None


def by_weight(
    labels: Sequence[events.LabelledAnswer],
    *,
    candidate: str | None,
    stable: str | None,
    segments: Sequence[Segment],
) -> tuple[increments.Labelled, ...]:
    """Return the units with labels by slice and by the weight in effect when they were served, and
    the sum of the mean losses of their rows: of classes, of the shares that were wrong.

    Those served between weights are left out.
    """
    counts: dict[tuple[str | None, float], dict[str, list[float]]] = {}
    answers: dict[tuple[str | None, float], dict[str, list[int]]] = {}
    measured: set[tuple[str | None, float]] = set()
    for label in labels:
        segment = in_effect(segments, at=label.predicted_at)
        if segment is None or label.revision not in (candidate, stable):
            continue
        place = label.slice, segment.weight
        arm = counts.setdefault(place, {}).setdefault(label.revision, [0.0, 0.0])
        arm[0] += 1
        arm[1] += label.wrong / label.rows
        if label.measured:
            measured.add(place)
        said = answers.setdefault(place, {})
        if label.answer is not None and (label.answer in said or len(said) < MOST_ANSWERS):
            said.setdefault(label.answer, [0, 0])[label.revision != candidate] += 1
    return tuple(
        increments.Labelled(
            weight=weight,
            slice=of,
            losses=(of, weight) in measured,
            candidate=_counts(arm.get(candidate or "")),
            stable=_counts(arm.get(stable or "")),
            answers={
                answer: (mine, theirs)
                for answer, (mine, theirs) in answers.get((of, weight), {}).items()
            },
        )
        for (of, weight), arm in counts.items()
    )


def _counts(sums: Sequence[float] | None) -> betting.ArmCounts:
    return betting.ArmCounts(int(sums[0]), sums[1]) if sums is not None else betting.ArmCounts(0, 0)


def valued(
    outcomes: Iterable[events.Outcome],
    *,
    candidate: str | None,
    stable: str | None,
    segments: Sequence[Segment],
) -> tuple[increments.Valued, ...]:
    """Return the outcomes by name and by the weight in effect when their requests were answered.

    Those answered between weights are left out.
    """
    found: dict[tuple[str, float], tuple[list[float], list[float]]] = {}
    for one in outcomes:
        segment = in_effect(segments, at=one.predicted_at)
        if segment is not None and one.revision in (candidate, stable):
            found.setdefault((one.name, segment.weight), ([], []))[
                one.revision != candidate
            ].append(one.value)
    return tuple(
        increments.Valued(name=name, weight=weight, candidate=tuple(mine), stable=tuple(theirs))
        for (name, weight), (mine, theirs) in found.items()
    )


def _read(seen: Seen, state: states.State, *, of: Observed) -> Seen:
    candidate, stable = arms(state)
    if candidate is None:
        return replace(seen, cursors=_begin(of.store.of("")))
    pairs_cursor, paired = _pairs(of, state)
    labels_cursor, labels = of.tallies.units.labels(
        of.store, of.deployment, state=state, by=_slices(of.policy), gauge=stable
    )
    # a request that the gateway answers 503 leaves no event, so that units would be missed
    both_arms_serve = {candidate, stable} <= seen.ready | seen.partly
    arrived = of.tallies.arrivals.take(
        of.store,
        of.deployment,
        state=state,
        policy=of.policy,
        wanted_version=seen.wanted_version,
        whole=both_arms_serve,
        partly=not {candidate, stable} <= seen.ready,
        sample=seen.sample,
        timeout_seconds=of.timeout_seconds,
        now=seen.at,
    )
    outcomes_cursor, outcomes = _outcomes(of, state)
    cursors = replace(
        arrived.cursors,
        pairs=pairs_cursor,
        labels=labels_cursor,
        outcomes=outcomes_cursor,
        store=state.cursors.store or of.store.position().store,
    )
    return replace(
        seen,
        unread=arrived.unread,
        paired=paired,
        labelled=by_weight(labels, candidate=candidate, stable=stable, segments=state.segments),
        exposed=arrived.exposed,
        counted=arrived.counted,
        valued=valued(outcomes, candidate=candidate, stable=stable, segments=state.segments),
        cursors=cursors,
    )


def _slices(policy: sections.Strategy) -> str | None:
    """Return the feature by whose values a guard wants labels apart, None where no guard does."""
    return next((guard.sliced_by for guard in policy.guards if guard.sliced_by is not None), None)


def _outcomes(of: Observed, state: states.State) -> tuple[int, list[events.Outcome]]:
    """Return the new outcomes where a guard reads them: the store joins each to its request, which
    costs."""
    if not any(case.joins_outcomes for case in guards.cases(of.policy)):
        return state.cursors.outcomes, []
    return of.tallies.units.outcomes(of.store, of.deployment, state=state)


def _begin(store: Evidence, *, alone: Cursors = NOWHERE) -> Cursors:
    """Return cursors that pass over all that is in the store, and what the gateway counted `alone`
    when its events come.
    """
    identity, newest = store.position()
    return replace(
        alone,
        pairs=newest,
        labels=newest,
        outcomes=newest,
        exposure=newest,
        ahead=0,
        store=identity,
    )


def _pairs(of: Observed, state: states.State) -> tuple[int, increments.Paired | None]:
    if state.candidate is None or state.stable is None:
        return of.store.cursor(), None
    cursor, pairs = of.store.pairs(
        of.deployment, stable=state.stable, candidate=state.candidate, after=state.cursors.pairs
    )
    return cursor, increments.Paired(
        compared=pairs.compared,
        disagreements=pairs.disagreements,
        candidate_failures=pairs.candidate_failures,
        stable_failures=pairs.stable_failures,
        both_failures=pairs.both_failed,
        incomparable=pairs.incomparable,
        losses=pairs.measured > 0,
    )

"""One look: what the gateway, the servers and the event store say of one deployment, as the strategy wants it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fairway import budget, errors
from fairway.config import sections
from fairway.monitoring import store as events
from fairway.platforms.arrivals import Arrivals
from fairway.platforms.units import Evidence, Units, in_effect
from fairway.rollout import evidence, hooks, states, traffic
from fairway.rollout import ledger as ledgers
from fairway.rollout.seen import Command, Cursors, Seen, Segment

COST = (
    "what was counted stays counted, what comes from now on counts; what only the old store had (pairs, labels, outcomes) is lost to this rollout, "
    "and a unit that was counted may count once more after a restart"
)
NOWHERE = Cursors()
READ_SECONDS = 20.0  # that reading the evidence may take in one look: what was decided must still be done


@dataclass(frozen=True)
class Counted:
    """What was counted of one deployment's rollout; all of it can be read again."""

    arrivals: Arrivals = field(default_factory=Arrivals)
    units: Units = field(default_factory=Units)


def look(
    state: states.State,
    *,
    deployment: str,
    desired: str,
    store: Evidence,
    counted: Counted,
    sample: traffic.Sample | None,
    ready: Iterable[str],
    broken: Mapping[str, str],
    policy: sections.Strategy,
    offline_disagreement: float | None,
    command: Command | None,
    now: float,
    timeout_seconds: float,
    wall: float | None = None,
    absent: frozenset[str] = frozenset(),
    partly: frozenset[str] = frozenset(),
    notes: Mapping[str, str] | None = None,
    answers: Mapping[str, hooks.Answer] | None = None,
) -> Seen:
    """Return what was seen; reads the evidence from the state's cursors on.

    `now` is the rollout's own time, `wall` what the clock says; `timeout_seconds` is the longest that a server may take for a request;
    `partly` are revisions that are not ready and of which some pods answer.

    Where it cannot be read the look goes on without: the gateway's counts alone can take a candidate's traffic away.
    """
    wanted = states.route(state, deployment=deployment, strategy=policy)
    seen = Seen(
        now=now,
        wall=wall,
        desired=desired,
        ready=frozenset(ready),
        broken=broken,
        absent=absent,
        notes=notes or {},
        wanted_version=wanted.version if wanted else None,
        sample=sample,
        cursors=state.cursors,
        offline_disagreement=offline_disagreement,
        command=command,
        answers=answers or {},
    )
    try:
        with budget.within(READ_SECONDS):
            try:
                known = store.of(state.cursors.store)
                return _read(
                    seen,
                    state,
                    deployment=deployment,
                    store=known,
                    counted=counted,
                    policy=policy,
                    timeout_seconds=timeout_seconds,
                    partly=partly,
                )
            except errors.StoreReplaced as error:
                return replace(seen, cursors=_begin(store, alone=state.cursors), replaced=f"{error}; {COST}")
    except errors.Temporary as error:
        return replace(seen, unread=str(error))


def arms(state: states.State) -> tuple[str | None, str | None]:
    """Return the revisions that are compared: candidate and stable, or, after a promotion, the promoted one and the one before."""
    if state.candidate is not None:
        return state.candidate, state.stable
    return (state.stable, state.previous) if state.previous is not None else (None, None)


def offline_disagreement(facts: Mapping[str, Any] | None, *, stable: str | None) -> float | None:
    """Return how much evaluation found the candidate to differ from the package in service (its digest); what it found of another says nothing here."""
    known = facts or {}
    measured, champion = known.get("championDisagreement"), known.get("championDigest")
    if (
        not isinstance(measured, int | float) or not 0 <= measured <= 1
    ):  # a server says it: what is no share moves no bound
        return None
    return float(measured) if champion in (None, stable) else None


def by_weight(
    labels: Sequence[events.Labelled], *, candidate: str | None, stable: str | None, segments: Sequence[Segment]
) -> tuple[ledgers.Labelled, ...]:
    """Return the units with labels by slice and by the weight in effect when they were served, and the sum of the shares of their rows that were wrong.

    Those served between weights are left out.
    """
    counts: dict[tuple[str | None, float], dict[str, list[float]]] = {}
    answers: dict[tuple[str | None, float], dict[str, list[int]]] = {}
    for label in labels:
        segment = in_effect(segments, at=label.predicted_at)
        if segment is None or label.revision not in (candidate, stable):
            continue
        arm = counts.setdefault((label.slice, segment.weight), {}).setdefault(label.revision, [0.0, 0.0])
        arm[0] += 1
        arm[1] += label.wrong / label.rows
        if label.answer is not None:
            answers.setdefault((label.slice, segment.weight), {}).setdefault(label.answer, [0, 0])[
                label.revision != candidate
            ] += 1
    return tuple(
        ledgers.Labelled(
            weight=weight,
            slice=of,
            candidate=_counts(arm.get(candidate or "")),
            stable=_counts(arm.get(stable or "")),
            answers={answer: (mine, theirs) for answer, (mine, theirs) in answers.get((of, weight), {}).items()},
        )
        for (of, weight), arm in counts.items()
    )


def _counts(sums: Sequence[float] | None) -> evidence.ArmCounts:
    return evidence.ArmCounts(int(sums[0]), sums[1]) if sums is not None else evidence.ArmCounts(0, 0)


def valued(
    outcomes: Iterable[events.Outcome], *, candidate: str | None, stable: str | None, segments: Sequence[Segment]
) -> tuple[ledgers.Valued, ...]:
    """Return the outcomes by name and by the weight in effect when their requests were answered; those answered between weights are left out."""
    found: dict[tuple[str, float], tuple[list[float], list[float]]] = {}
    for one in outcomes:
        segment = in_effect(segments, at=one.predicted_at)
        if segment is not None and one.revision in (candidate, stable):
            found.setdefault((one.name, segment.weight), ([], []))[one.revision != candidate].append(one.value)
    return tuple(
        ledgers.Valued(name=name, weight=weight, candidate=tuple(mine), stable=tuple(theirs))
        for (name, weight), (mine, theirs) in found.items()
    )


def _read(
    seen: Seen,
    state: states.State,
    *,
    deployment: str,
    store: Evidence,
    counted: Counted,
    policy: sections.Strategy,
    timeout_seconds: float,
    partly: frozenset[str],
) -> Seen:
    candidate, stable = arms(state)
    if candidate is None:
        return replace(seen, cursors=_begin(store.of("")))
    pairs_cursor, paired = _pairs(
        store, deployment, candidate=state.candidate, stable=state.stable, after=state.cursors.pairs
    )
    by = next((guard.slice_by for guard in policy.guards if guard.slice_by is not None), None)
    labels_cursor, labels = counted.units.labels(store, deployment, state=state, by=by)
    met = counted.arrivals.take(
        store,
        deployment,
        state=state,
        policy=policy,
        wanted_version=seen.wanted_version,
        whole={candidate, stable} <= seen.ready | partly,
        partly=not {candidate, stable} <= seen.ready,
        sample=seen.sample,
        timeout_seconds=timeout_seconds,
        now=seen.at,
    )
    outcomes_cursor, outcomes = state.cursors.outcomes, list[events.Outcome]()
    if any(guard.type == "business" for guard in policy.guards):  # nobody else needs that join
        outcomes_cursor, outcomes = counted.units.outcomes(store, deployment, state=state)
    return replace(
        seen,
        unread=met.unread,
        paired=paired,
        labelled=by_weight(labels, candidate=candidate, stable=stable, segments=state.segments),
        exposed=met.exposed,
        counted=met.counted,
        valued=valued(outcomes, candidate=candidate, stable=stable, segments=state.segments),
        cursors=replace(
            met.cursors,
            pairs=pairs_cursor,
            labels=labels_cursor,
            outcomes=outcomes_cursor,
            store=state.cursors.store or store.position().store,
        ),
    )


def _begin(store: Evidence, *, alone: Cursors = NOWHERE) -> Cursors:
    """Return cursors that pass over all that is in the store, and what the gateway counted `alone` when its events come."""
    identity, newest = store.position()
    return replace(alone, pairs=newest, labels=newest, outcomes=newest, exposure=newest, ahead=0, store=identity)


def _pairs(
    store: Evidence, deployment: str, *, candidate: str | None, stable: str | None, after: int
) -> tuple[int, ledgers.Paired | None]:
    if candidate is None or stable is None:
        return store.cursor(), None
    cursor, pairs = store.pairs(deployment, stable=stable, candidate=candidate, after=after)
    return cursor, ledgers.Paired(
        compared=pairs.compared,
        disagreements=pairs.disagreements,
        candidate_failures=pairs.candidate_failures,
        stable_failures=pairs.stable_failures,
        both_failures=pairs.both_failed,
    )

"""Takes what a look saw into the state.

Increments into the ledger, and the sample, the cursors and the stretches of constant weight
forward. Pure.
"""

from dataclasses import replace

from fairway.config import sections
from fairway.rollout import bookkeeping, guards, traffic
from fairway.rollout.increments import Batch, GatewayCounts
from fairway.rollout.seen import Cursors, Seen, Segment
from fairway.rollout.states import TOTAL, Phase, State, split, stage

# that one of several Prometheuses, or of several proxies' scrapes, may be behind
LAG_SECONDS = 60.0
SET_BACK_SECONDS = 1.0  # less is a clock that is corrected as it runs
SEGMENTS = 40  # stretches of constant weight kept, for labels that come late


def learn(state: State, seen: Seen, *, strategy: sections.Strategy) -> State:
    """Take the new evidence into the ledger, and the sample, cursors and segments forward."""
    in_effect = seen.sample is not None and seen.sample.route_version == seen.wanted_version
    # units that were counted are looked for from here, after a restart
    if seen.replaced is not None:
        state = replace(
            state,
            segments=tuple(
                replace(segment, cursor=seen.cursors.exposure) for segment in state.segments
            ),
        )
    counting = seen.now >= state.counting_from and state.phase is not Phase.STARTING
    segments = _segments(
        state,
        seen,
        weight=split(state, strategy=strategy)[0] if counting else 0,
        in_effect=in_effect,
    )
    sample = (
        state.sample if seen.sample is None or _stale(state.sample, seen.sample) else seen.sample
    )
    cursors = (
        seen.cursors
        if seen.unread is None
        else _alone(seen.cursors, since=state.looked, until=seen.at)
    )
    later = replace(
        state, sample=sample, cursors=cursors, segments=segments, looked=seen.at, clock=seen.now
    )
    if state.ledger is None:
        return later
    # what met a pod as it was taken away says nothing of the revision
    answers = state.candidate not in seen.absent
    batch = Batch(
        gateway=seen.gateway
        or _gateway(state.sample, seen.sample, strategy, alone=seen.unread is not None)
        if counting and in_effect and answers
        else None,
        paired=seen.paired if counting and stage(state) == "shadow" else None,
        labelled=seen.labelled,
        valued=seen.valued,
        exposed=seen.exposed if counting else (),
        counted=seen.counted if counting else (),
    )
    begins = bool(segments) and segments[-1].end is None and segments[-1] not in state.segments
    ledger = bookkeeping.divide(state.ledger) if begins else state.ledger  # units meet an arm anew
    ledger = bookkeeping.observe(
        ledger, batch, strategy=strategy, offline=seen.offline_disagreement, at=seen.now
    )
    mine, theirs = (batch.gateway.candidate, batch.gateway.stable) if batch.gateway else (0, 0)
    return replace(
        later, ledger=ledger, arrived=(state.arrived[0] + mine, state.arrived[1] + theirs)
    )


def _alone(cursors: Cursors, *, since: float, until: float) -> Cursors:
    """Return the cursors with the stretch of time in which the gateway alone counted.

    One that ended a minute ago or less goes on.

    It begins where counting by arrival has ended: what came at one time is counted as a whole or
    not at all. Told by the time of answers, the arm that answers later would count alone at one end
    of it.
    """
    goes_on = since <= cursors.alone_until + LAG_SECONDS
    began = cursors.alone_from if goes_on else min(cursors.settled, since)
    return replace(cursors, alone_from=began, alone_until=until)


def _gateway(
    before: traffic.Sample | None,
    after: traffic.Sample | None,
    strategy: sections.Strategy,
    *,
    alone: bool,
) -> GatewayCounts | None:
    """Return the increments between two scrapes, or None where they cannot be compared: another
    route, another process (its counters began anew), an arm that is missing, or counters that went
    back.

    Of guards that count units these are the requests that no server has answered, for the rest have
    events; `alone`, all that failed.
    """
    if before is None or after is None or not _of_one_count(before, after):
        return None
    if not (before.stable and after.stable and before.candidate and after.candidate):
        return None
    candidate, stable = after.candidate.minus(before.candidate), after.stable.minus(before.stable)
    if candidate is None or stable is None:
        return None
    bad, observed, held = {}, {}, {}
    for case in guards.cases(strategy):
        scraped = case.scraped(candidate, stable, alone=alone)
        if scraped is None:
            continue
        bad[case.name] = scraped.bad
        if scraped.observed is not None:
            observed[case.name] = scraped.observed
        if scraped.held is not None:
            held[case.name] = scraped.held
    return GatewayCounts(
        candidate=candidate.requests, stable=stable.requests, bad=bad, observed=observed, held=held
    )


def _stale(before: traffic.Sample | None, after: traffic.Sample) -> bool:
    """Say whether counts went back without a sign that they began anew, as those of a Prometheus
    that lags do.

    Taken for new, what lies between would be counted again. After a minute they are believed.
    """
    if before is None or after.at > before.at + LAG_SECONDS or not _of_one_count(before, after):
        return False
    arms = (before.stable, after.stable), (before.candidate, after.candidate)
    return any(old is not None and new is not None and new.minus(old) is None for old, new in arms)


def _of_one_count(before: traffic.Sample, after: traffic.Sample) -> bool:
    """Say whether the counters are those of the same processes, under the same route."""
    return (before.epoch, before.route_version) == (after.epoch, after.route_version)


def _segments(state: State, seen: Seen, *, weight: int, in_effect: bool) -> tuple[Segment, ...]:
    """Return the stretches of time with one weight in effect; what lies between them belongs to
    none.

    A stretch ends with the look that asked for another route, not with the one that finds it in
    effect; and where the route that is asked for is no longer known to be in effect, as after a
    restart of who looks. A clock that was set back ends it too: the next begins by the clock as it
    is now.
    """
    segments = state.segments
    last = segments[-1] if segments else None
    lost = (seen.sample is not None and not in_effect) or seen.at < state.looked - SET_BACK_SECONDS
    if last is not None and last.end is None and (lost or last.version != seen.wanted_version):
        segments, last = (*segments[:-1], replace(last, end=state.looked)), None
    if in_effect and weight and (last is None or last.end is not None):
        segments = (
            *segments,
            Segment(
                start=seen.at,
                end=None,
                weight=weight / TOTAL,
                version=seen.wanted_version or "",
                cursor=seen.cursors.exposure,
            ),
        )
    return segments[-SEGMENTS:]

"""The series of rollouts: where each ModelDeployment stands, for alerts and dashboards.

They are kept as what the last look found and turned into series at each scrape, so that a resource
that is gone leaves none.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from prometheus_client import core, registry

from fairway.config import sections
from fairway.operator import status
from fairway.rollout import judge, states
from fairway.rollout.seen import Seen
from fairway.rollout.states import Cause, Phase, State

LABELS = ("namespace", "deployment")
CAUSES = ("fault", "aborted", "superseded")
ARMS = ("stable", "canary")

Key = tuple[str, str]
Family = core.GaugeMetricFamily | core.CounterMetricFamily


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One ModelDeployment at its last look, and what happened since this operator began."""

    phase: Phase = Phase.PENDING
    since: float = 0.0
    looked: float = 0.0
    weight: int = 0
    verdict: judge.Action | None = None
    readable: bool = True
    paused: bool = False
    stalled: bool = False
    pods: Mapping[str, int] = field(default_factory=dict)
    promotions: int = 0
    rollbacks: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))


Known = Sequence[tuple[Key, Rollout]]


class Rollouts(registry.Collector):
    """The series of all ModelDeployments; its methods may be called from several threads."""

    def __init__(self) -> None:
        self._known: dict[Key, Rollout] = {}
        self._lock = threading.Lock()

    def told(
        self,
        key: Key,
        told: status.Context,
        *,
        before: State,
        after: State,
        seen: Seen,
        policy: sections.Strategy,
    ) -> None:
        """Take a look's outcome in, once it is stored: a look that was not is taken again."""
        new = Rollout(
            phase=after.phase,
            since=after.moved or after.since,
            looked=seen.at,
            weight=states.split(after, strategy=policy)[0],
            verdict=after.verdict.action
            if after.verdict is not None and after.phase is not Phase.STABLE
            else None,
            readable=after.phase not in states.JUDGED
            or (seen.sample is not None and seen.unread is None),
            paused=told.paused or after.phase is Phase.PAUSED,
            stalled=status.stuck(after, told),
            pods=_pods(after, told),
        )
        with self._lock:
            old = self._known.get(key, Rollout())
            cause = _taken_back(before, after)
            rollbacks = {name: count + (name == cause) for name, count in old.rollbacks.items()}
            self._known[key] = replace(
                new, promotions=old.promotions + _promoted(before, after), rollbacks=rollbacks
            )

    def forget(self, key: Key) -> None:
        """Drop the series of a resource that is gone."""
        with self._lock:
            self._known.pop(key, None)

    def collect(self) -> Iterator[core.Metric]:
        with self._lock:
            known = sorted(self._known.items(), key=lambda item: item[0])
        yield from _standing(known)
        yield from _judged(known)
        yield from _counted(known)


def _standing(known: Known) -> Iterator[core.Metric]:
    """Return where each deployment stands, and since when."""
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_phase",
            "1 for the phase that the deployment is in, else 0.",
            labels=(*LABELS, "phase"),
        ),
        ((*key, str(phase), rollout.phase is phase) for key, rollout in known for phase in Phase),
    )
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_phase_since_timestamp_seconds",
            "When the phase, or the canary's step, began.",
            labels=LABELS,
        ),
        ((*key, rollout.since) for key, rollout in known),
    )
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_last_look_timestamp_seconds",
            "When the operator last looked at the deployment.",
            labels=LABELS,
        ),
        ((*key, rollout.looked) for key, rollout in known),
    )
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_weight",
            "Percent of the units that the candidate serves.",
            labels=LABELS,
        ),
        ((*key, rollout.weight) for key, rollout in known),
    )
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_pods_available",
            "Pods that answer, of the revision with that role.",
            labels=(*LABELS, "role"),
        ),
        ((*key, role, count) for key, rollout in known for role, count in rollout.pods.items()),
    )


def _judged(known: Known) -> Iterator[core.Metric]:
    """Return what the judge says, and what keeps it from saying more."""
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_verdict",
            "1 for what the judge said last, else 0.",
            labels=(*LABELS, "verdict"),
        ),
        (
            (*key, str(action), rollout.verdict is action)
            for key, rollout in known
            for action in judge.Action
        ),
    )
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_evidence_readable",
            "0 while a rollout holds because counts, pairs or labels cannot be read.",
            labels=LABELS,
        ),
        ((*key, rollout.readable) for key, rollout in known),
    )
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_paused",
            "1 while the rollout is paused, by itself, by a person or by spec.paused.",
            labels=LABELS,
        ),
        ((*key, rollout.paused) for key, rollout in known),
    )
    yield _told(
        core.GaugeMetricFamily(
            "fairway_rollout_stalled",
            "1 while what the spec asks for cannot come without a person.",
            labels=LABELS,
        ),
        ((*key, rollout.stalled) for key, rollout in known),
    )


def _counted(known: Known) -> Iterator[core.Metric]:
    """Return how rollouts ended since this operator began."""
    yield _told(
        core.CounterMetricFamily(
            "fairway_rollout_promotions", "Revisions that took the place of another.", labels=LABELS
        ),
        ((*key, rollout.promotions) for key, rollout in known),
    )
    yield _told(
        core.CounterMetricFamily(
            "fairway_rollout_rollbacks",
            "Revisions that were taken back: at fault, aborted by a person, or superseded.",
            labels=(*LABELS, "cause"),
        ),
        (
            (*key, cause, count)
            for key, rollout in known
            for cause, count in rollout.rollbacks.items()
        ),
    )


def _told(family: Family, rows: Iterable[tuple[str | float, ...]]) -> Family:
    for *labels, value in rows:
        family.add_metric([str(label) for label in labels], float(value))
    return family


def _pods(state: State, told: status.Context) -> dict[str, int]:
    revisions = zip(ARMS, (state.stable, state.candidate), strict=True)
    return {
        role: told.healths[revision].available
        for role, revision in revisions
        if revision is not None and revision in told.healths
    }


def _promoted(before: State, after: State) -> bool:
    return (
        before.candidate is not None
        and before.stable is not None
        and after.stable == before.candidate
    )


def _taken_back(before: State, after: State) -> str | None:
    """Return why a rollback began with this look, or None where none did."""
    if after.phase is not Phase.ROLLING_BACK or before.phase is Phase.ROLLING_BACK:
        return None
    return {Cause.ABORTED: "aborted", Cause.SUPERSEDED: "superseded"}.get(
        after.cause or Cause.GUARD, "fault"
    )

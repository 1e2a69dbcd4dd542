"""One look at the labels of one deployment, and whether a run is due. What it was is kept by the
collector."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fairway.config import resource
from fairway.monitoring.eventstore import distant
from fairway.retraining import policy, trigger
from fairway.rollout.states import Phase

UNLABELLED = 10_000  # events without a label, after which it is written down how far was read
SETTLED = (str(Phase.STABLE), str(Phase.ROLLED_BACK))
Json = dict[str, Any]


@dataclass(frozen=True)
class LoopState:
    """What is kept of one deployment's loop."""

    watching: trigger.Trigger | None
    runs: int = 0
    last_run_at: float | None = None
    fruitless: int = 0  # runs before the newest, of which no challenger was asked for
    raw: Mapping[str, Any] | None = None  # of the trigger, as it was read
    revision: str | None = None  # that was in service at the last look
    since: float | None = None  # when it was first seen there

    @classmethod
    def of(cls, mark: Any) -> "LoopState":
        if not isinstance(mark, dict):
            return cls(None)
        return cls(
            None,
            runs=int(mark.get("runs", 0)),
            last_run_at=mark.get("lastRunAt"),
            fruitless=int(mark.get("fruitless", 0)),
            raw=mark.get("trigger"),
            revision=mark.get("revision"),
            since=mark.get("since"),
        )

    def to_json(self) -> Json:
        return {
            "trigger": None if self.watching is None else self.watching.to_json(),
            "runs": self.runs,
            "lastRunAt": self.last_run_at,
            "fruitless": self.fruitless,
            "revision": self.revision,
            "since": self.since,
        }

    def served(self, revision: str, *, now: float) -> "LoopState":
        """Return the state with the revision that is in service now, and since when."""
        if revision == self.revision and self.since is not None:
            return self
        return replace(self, revision=revision, since=now)


@dataclass(frozen=True, kw_only=True)
class LabelTurn:
    """One look at one deployment's labels."""

    owner: Mapping[str, Any]
    section: resource.JobRetraining
    store: distant.Distant
    revision: str
    facts: Mapping[str, Any]
    quality: bool  # a ticket says that its data is broken
    asked: policy.AskedByAlert | None
    now: float
    forbidden: bool = False  # the monitor may make no Jobs here

    @property
    def namespace(self) -> str:
        return str(self.owner["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.owner["metadata"]["name"])

    @property
    def digest(self) -> str:
        """Return the digest of the package that is asked for."""
        return str(self.owner["spec"]["model"]["digest"])

    @property
    def mark(self) -> str:
        return f"retraining/{self.name}"

    def labels(self, kept: LoopState) -> trigger.Trigger | None:
        """Return the evidence with the labels that came since the last look; None where the package
        records no test loss."""
        bound = policy.reference_bound(self.facts)
        if bound is None:
            return None
        position = self.store.evidence.position()
        found = trigger.read(kept.raw, revision=self.revision, store=position.store)
        if found is None:
            first = self.store.history.first(
                self.name, namespace=self.namespace, revision=self.revision
            )
            found = trigger.begun(revision=self.revision, store=position.store, after=first)
        after, joined = self.store.evidence.labelled(
            self.name, after=found.after, gauge=self.revision
        )
        late = [
            (one.predicted_at, one.wrong / one.rows)
            for one in joined
            if one.revision == self.revision
        ]
        return trigger.step(
            found,
            late,
            section=self.section,
            limit=policy.limit(self.section, bound=bound),
            after=after,
        )

    def moved(self, watching: trigger.Trigger | None, kept: LoopState) -> bool:
        """Say whether there is news to keep: labels, or many events without one."""
        if watching is None:
            return False
        before = kept.raw or {}
        return (
            watching.labels != before.get("labels")
            or watching.after - int(before.get("after", 0)) >= UNLABELLED
        )

    def decide(
        self, watching: trigger.Trigger | None, kept: LoopState, *, running: str | None
    ) -> policy.Decision:
        """Return whether to start a run now, and why."""
        known = self.store.history.realised(
            self.name,
            self.revision,
            namespace=self.namespace,
            limit=self.section.min_labels,
        )
        signals = policy.Signals(
            labelled=known.rows,
            lost=known.lost,
            reference_loss=policy.reference_loss(self.facts),
            task=known.task,
            evidence=0.0 if watching is None else watching.evidence,
            bound=policy.reference_bound(self.facts),
            running=running,
            drifted=False,
            last_run_at=kept.last_run_at,
            fruitless=kept.fruitless,
            first_label_at=None if watching is None else watching.first_at,
            settled=self.owner.get("status", {}).get("phase") in SETTLED,
        )
        decision = policy.decide(self.section, signals=signals, now=self.now)
        decision = policy.answered(
            decision, section=self.section, signals=signals, asked=self.asked, now=self.now
        )
        if decision.start:
            decision = policy.supplied(decision, labelled=self._learnable())
        return self._vetoed(decision)

    def _learnable(self) -> int | None:
        """Return how many labelled rows a run could learn from, None where the store has none: its
        Job has them from elsewhere, or says that it has none."""
        found = self.store.history.learnable(
            self.name, namespace=self.namespace, limit=policy.LEAST_LABELLED
        )
        return found or None

    def _vetoed(self, decision: policy.Decision) -> policy.Decision:
        if not decision.start:
            return decision
        why = None
        if self.quality:
            why = "a ticket says that its data is broken: a model that learns from it learns the fault"
        elif self.section.cron_job is None:
            why = "spec.retraining.cronJob names no CronJob, so nothing is started"
        elif self.forbidden:
            why = (
                f"the monitor may make no Jobs in namespace {self.namespace}: bind the role "
                "fairway-retraining there to its service account (docs/kubernetes.md)"
            )
        if why is None:
            return decision
        return policy.Decision(start=False, reason=f"{decision.reason}; {why}", loss=decision.loss)

    def keep(self, kept: LoopState) -> None:
        """Write it down; raises Overtaken where another monitor was faster."""
        self.store.conclusions.set_mark(self.mark, kept.to_json())

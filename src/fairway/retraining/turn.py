"""One look at a deployment's labels by a pipeline that runs on a schedule: whether it trains a
challenger. What was seen is kept in the event store, apart from what a monitor keeps there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairway.config import sections
from fairway.monitoring import windows
from fairway.monitoring.eventstore import archive
from fairway.retraining import policy, trigger

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelInService:
    """The revision in service."""

    revision: str
    facts: Mapping[str, Any]  # of its package
    settled: bool  # no rollout is on its way


def take(
    store: archive.EventStore,
    config: sections.Config,
    *,
    serving: ModelInService,
    moved: bool,
    broken: str | None,
    elsewhere: bool = False,
    run: str,
    now: float,
) -> policy.Decision:
    """Take in the labels that came since the last look, and return whether to start; the same run is
    told the same again.

    `moved` says that there is drift, `broken` why the data is: what learns from it learns the fault;
    `elsewhere` that the run has labels which the store may not know.
    """
    section = config.retraining
    key = f"pipeline/retraining/{config.namespace}/{config.name}"
    with store.writing():  # one look at a time
        kept: Json = store.conclusions.mark(key) or {}
        if kept.get("run") == run:
            return policy.Decision(start=True, reason=kept["reason"])
        watching = _labels(store, config, kept.get("trigger"), serving=serving)
        known = store.history.realised(
            config.name, serving.revision, namespace=config.namespace, limit=section.min_labels
        )
        is_same = kept.get("revision") == serving.revision
        fruitless = kept.get("fruitless", 0) if is_same else 0
        signals = policy.Signals(
            labelled=known.rows,
            lost=known.lost,
            reference_loss=policy.reference_loss(serving.facts),
            task=known.task,
            evidence=watching.evidence,
            bound=policy.reference_bound(serving.facts),
            drifted=moved or _ticket(store, config.name),
            last_run_at=kept.get("lastRunAt"),
            fruitless=fruitless,
            first_label_at=watching.first_at,
            settled=serving.settled,
        )
        decision = policy.decide(section, signals=signals, now=now)
        if decision.start and not elsewhere:
            known_rows = store.history.learnable(
                config.name, namespace=config.namespace, limit=policy.LEAST_LABELLED
            )
            decision = policy.supplied(decision, labelled=known_rows)
        decision = policy.vetoed(decision, broken=broken)
        if decision.start:
            watching = trigger.rearmed(watching)
            kept |= {"run": run, "reason": decision.reason, "lastRunAt": now}
            fruitless += 1  # until another revision is in service
        kept |= {"revision": serving.revision, "fruitless": fruitless}
        store.conclusions.set_mark(key, {**kept, "trigger": watching.to_json()})
    return decision


def _labels(
    store: archive.EventStore, config: sections.Config, kept: Any, *, serving: ModelInService
) -> trigger.Trigger:
    name, revision, namespace = config.name, serving.revision, config.namespace
    identity = store.position().store
    found = trigger.read(kept, revision=revision, store=identity)
    if found is None:
        first = store.history.first(name, namespace=namespace, revision=revision)
        found = trigger.begun(revision=revision, store=identity, after=first)
    bound = policy.reference_bound(serving.facts)
    if bound is None:
        return found
    after, joined = store.labelled(name, namespace=namespace, after=found.after, gauge=revision)
    late = [(one.predicted_at, one.wrong / one.rows) for one in joined if one.revision == revision]
    limit = policy.limit(config.retraining, bound=bound)
    return trigger.step(found, late, section=config.retraining, limit=limit, after=after)


def _ticket(store: archive.EventStore, name: str) -> bool:
    """Say whether a monitor's drift ticket is open."""
    opened = store.conclusions.alerts(deployment=name, open_only=True)
    return any(alert.name == windows.ALERT for alert in opened)

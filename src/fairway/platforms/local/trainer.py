"""Closes the loop on one machine: asks the retraining policy, starts a run of the training
pipeline, notes how it ended.
"""

import dataclasses
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairway import artifacts, errors
from fairway.config import sections
from fairway.monitoring import receiver, windows
from fairway.monitoring.eventstore import archive
from fairway.pipelines import run_records
from fairway.platforms.local import state
from fairway.platforms.local.home import Home
from fairway.platforms.local.processes import Processes
from fairway.retraining import policy, trigger
from fairway.rollout import states
from fairway.rollout.states import Phase

log = logging.getLogger("fairway.supervisor")

LABELS_A_LOOK = 100_000  # events of which labels are taken in at one look
UNLABELLED = (
    10_000  # events without a label that are looked through again before it is written down
)
PREFIX = "run-"

LOOK_SECONDS = 2.0
PAGE_OF_CLASSES, PAGE = "RealisedAccuracyLow", "RealisedLossHigh"


class Trainer:
    """The retraining of one home directory; one run at a time for each deployment."""

    def __init__(
        self, home: Home, processes: Processes, *, state: state.Store, events: archive.EventStore
    ) -> None:
        self._home, self._processes, self._state, self._events = home, processes, state, events
        self._looked = -LOOK_SECONDS

    def due(self) -> bool:
        """Say whether it is time to look at every deployment, as it is every few seconds."""
        at = time.monotonic()
        if at - self._looked < LOOK_SECONDS:
            return False
        self._looked = at
        return True

    def look(self, deployment: state.Deployment, *, now: float) -> None:
        """Note a run that has ended, and start one where that is due."""
        self._finish(deployment, now=now)
        found = self._state.deployment(deployment.name)
        if found is not None:
            self._consider(found, now=now)

    def stop(self) -> None:
        """End the runs that go on."""
        for name in self._processes.names():
            if name.startswith(PREFIX):
                self._processes.stop(name)

    def note(self, *, now: float) -> None:
        """Write down that they were cut off."""
        note_cut_off(self._home, self._state, now=now)

    def _consider(self, deployment: state.Deployment, *, now: float) -> None:
        section = sections.Retraining.model_validate(deployment.config["retraining"])
        stable = self._state.revision(deployment.state.stable) if deployment.state.stable else None
        if stable is None:
            return
        known = self._events.history.realised(
            deployment.name,
            stable.revision,
            namespace=deployment.config["namespace"],
            limit=section.min_labels,
        )
        asked = deployment.retraining.get("asked")
        watching = self._labels(deployment, stable, section)
        signals = policy.Signals(
            labelled=known.rows,
            lost=known.lost,
            reference_loss=policy.reference_loss(stable.facts),
            task=known.task,
            evidence=watching.evidence,
            bound=policy.reference_bound(stable.facts),
            running=deployment.retraining.get("running"),
            drifted=self._drifted(deployment.name),
            last_run_at=deployment.retraining.get("lastRunAt"),
            fruitless=deployment.retraining.get("fruitless", 0),
            first_label_at=watching.first_at,
            settled=deployment.state.phase in (Phase.STABLE, Phase.ROLLED_BACK),
        )
        decision = policy.answered(
            policy.decide(section, signals=signals, now=now),
            section=section,
            signals=signals,
            asked=self._alerted(deployment.name, section),
            now=now,
        )
        if decision.start:
            decision = policy.supplied(decision, labelled=self._learnable(deployment))
        decision = policy.vetoed(decision, broken=self._broken(deployment.name))
        if asked and signals.running is None and signals.settled:
            decision = dataclasses.replace(decision, start=True, reason=asked)
        self._page(deployment, section, signals, decision, now=now)
        self._age(deployment, section, since=stable.created_at, now=now)
        if decision.start:
            self._start(deployment, stable, decision.reason, signals, now=now)
            self._keep(deployment, trigger.rearmed(watching))
            self._events.conclusions.set_mark(receiver.mark(deployment.name), None)
        elif decision.reason != deployment.retraining.get("reason"):
            self._state.save_retraining(
                deployment.name,
                {**deployment.retraining, "reason": decision.reason, **_realised(signals)},
            )

    def _labels(
        self,
        deployment: state.Deployment,
        stable: state.LocalRevision,
        section: sections.Retraining,
    ) -> trigger.Trigger:
        """Take in the labels that came since the last look. The evidence is kept beside them: the
        deployment's own record is written where something is decided, not at every look."""
        namespace = deployment.config["namespace"]
        store = self._events.position().store
        mark = self._events.conclusions.mark(_key(deployment))
        kept = trigger.read(mark, revision=stable.revision, store=store)
        is_new = kept is None
        if kept is None:
            first = self._events.history.first(
                deployment.name, namespace=namespace, revision=stable.revision
            )
            kept = trigger.begun(revision=stable.revision, store=store, after=first)
        bound = policy.reference_bound(stable.facts)
        if bound is None:
            return kept
        after, joined = self._events.labelled(
            deployment.name,
            namespace=namespace,
            after=kept.after,
            until=kept.after + LABELS_A_LOOK,
            gauge=stable.revision,
        )
        late = [
            (one.predicted_at, one.wrong / one.rows)
            for one in joined
            if one.revision == stable.revision
        ]
        limit = policy.limit(section, bound=bound)
        found = trigger.step(kept, late, section=section, limit=limit, after=after)
        if is_new or late or found.after - kept.after >= UNLABELLED:
            self._keep(deployment, found)
        return found

    def _learnable(self, deployment: state.Deployment) -> int:
        return self._events.history.learnable(
            deployment.name,
            namespace=deployment.config["namespace"],
            limit=policy.LEAST_LABELLED,
        )

    def _keep(self, deployment: state.Deployment, watching: trigger.Trigger) -> None:
        self._events.conclusions.set_mark(_key(deployment), watching.to_json())

    def _drifted(self, name: str) -> bool:
        """Say whether a drift ticket is open."""
        found = self._events.conclusions.alerts(deployment=name, open_only=True)
        return any(alert.name == windows.ALERT for alert in found)

    def _alerted(self, name: str, section: sections.Retraining) -> policy.AskedByAlert | None:
        """Return the first alert of those that start a run which asked for one."""
        known = self._events.conclusions.mark(receiver.mark(name)) or {}
        asked = [(at, alert) for alert, at in known.items() if alert in section.alerts]
        return policy.AskedByAlert(min(asked)[1], min(asked)[0]) if asked else None

    def _broken(self, name: str) -> str | None:
        """Return the words of an open ticket that says that the data is broken."""
        ticket = (self._events.conclusions.mark(f"monitor/{name}") or {}).get("ticket")
        return (
            ticket["summary"] if ticket is not None and ticket["kind"] == windows.QUALITY else None
        )

    def _page(
        self,
        deployment: state.Deployment,
        section: sections.Retraining,
        signals: policy.Signals,
        decision: policy.Decision,
        *,
        now: float,
    ) -> None:
        """Page on a realised rise of the loss, and say what was already done; drift alone never
        does."""
        loss, reference, bound = decision.loss, signals.reference_loss, signals.bound
        if (
            reference is None
            or bound is None
            or loss is None
            or signals.labelled < section.min_labels
        ):
            return
        limit = policy.limit(section, bound=bound)
        name = PAGE_OF_CLASSES if signals.task is None else PAGE
        if signals.evidence >= 1:
            done = (
                "a challenger will be trained" if section.enabled else "nothing: retraining is off"
            )
            if signals.running:
                done = f"run {signals.running} trains a challenger"
            self._events.conclusions.open_alert(
                name=name,
                severity="page",
                deployment=deployment.name,
                at=now,
                summary=f"{deployment.name} {_fares(signals, loss, reference)} on its test split",
                description=(
                    f"Newest {signals.labelled} labels: {_lost(signals, loss)}. Already done: {done}. "
                    "Next: `fairway monitor` shows which features moved; "
                    "`fairway rollout status` follows the challenger."
                ),
            )
        elif loss <= limit:
            self._events.conclusions.resolve_alert(
                name=name,
                deployment=deployment.name,
                at=now,
                resolution=f"realised {_well(signals, loss)} again",
            )

    def _age(
        self,
        deployment: state.Deployment,
        section: sections.Retraining,
        *,
        since: float,
        now: float,
    ) -> None:
        """Tell of a model that nobody replaces or challenges any more."""
        last = deployment.retraining.get("lastRunAt")
        why = policy.stale(section, since=since, last_run_at=last, now=now)
        if why is None:
            self._events.conclusions.resolve_alert(
                name=policy.STALE,
                deployment=deployment.name,
                at=now,
                resolution="the model is another, or a challenger was trained",
            )
            return
        self._events.conclusions.open_alert(
            name=policy.STALE,
            severity="ticket",
            deployment=deployment.name,
            at=now,
            summary=f"{deployment.name}: {why}",
            description=(
                "Already done: nothing, the model serves on. Next: `fairway monitor` says why no "
                "challenger is trained, or what the last came to; without labels none can be "
                "(`fairway label`); `fairway retrain` trains one now."
            ),
        )

    def _start(
        self,
        deployment: state.Deployment,
        stable: state.LocalRevision,
        why: str,
        signals: policy.Signals,
        *,
        now: float,
    ) -> None:
        name = f"{deployment.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
        folder = self._home.runs / name
        # not of a candidate that was refused
        artifacts.write_json(folder / "config.json", stable.config)
        argv = [
            sys.executable,
            "-m",
            "fairway.retraining.challenger",
            "--home",
            str(self._home.root),
            "--deployment",
            deployment.name,
            "--config",
            str(folder / "config.json"),
            "--champion",
            stable.package,
            "--run",
            name,
            "--why",
            why,
        ]
        self._processes.start(
            PREFIX + deployment.name,
            argv=argv,
            env={"FAIRWAY_HOME": str(self._home.root)},
            log=folder / "log.txt",
        )
        kept: dict[str, Any] = {
            key: value for key, value in deployment.retraining.items() if key != "asked"
        }
        noted = {
            **kept,
            "running": name,
            "lastRunAt": now,
            "why": why,
            "reason": why,
            **_realised(signals),
            "outcome": None,
        }
        self._state.save_retraining(
            deployment.name,
            noted,
            event=states.Event(now, "RetrainingStarted", f"run {name}: {why}", stable.revision),
        )

    def _finish(self, deployment: state.Deployment, *, now: float) -> None:
        if deployment.retraining.get("running") is None or self._processes.alive(
            PREFIX + deployment.name
        ):
            return
        status = self._processes.exit_status(PREFIX + deployment.name)
        self._processes.forget(PREFIX + deployment.name)
        _note_end(self._home, self._state, deployment, status=status, now=now)


def _key(deployment: state.Deployment) -> str:
    return f"retraining/{deployment.name}"


def _realised(signals: policy.Signals) -> dict[str, float | None]:
    """Return what is kept of the realised loss; of classes the accuracy too."""
    loss = signals.loss
    return {
        "loss": loss,
        "accuracy": None if loss is None or signals.task is not None else 1 - loss,
    }


def _fares(signals: policy.Signals, loss: float, reference: float) -> str:
    if signals.task is None:
        return f"answers {1 - loss:.1%} right, {1 - reference:.1%}"
    return f"has a mean loss of {loss:.3f}, {reference:.3f}"


def _lost(signals: policy.Signals, loss: float) -> str:
    return f"{signals.lost:g} wrong" if signals.task is None else f"mean loss {loss:.3f}"


def _well(signals: policy.Signals, loss: float) -> str:
    return f"accuracy is {1 - loss:.1%}" if signals.task is None else f"mean loss is {loss:.3f}"


def note_cut_off(home: Home, known: state.Store, *, now: float) -> None:
    """Note of every run that is said to go on that it has ended; its process must be gone."""
    for deployment in known.deployments():
        if deployment.retraining.get("running") is not None:
            with errors.logged(log):  # what ends this note does not end the others
                _note_end(home, known, deployment, status=None, now=now)


def _note_end(
    home: Home, known: state.Store, deployment: state.Deployment, *, status: int | None, now: float
) -> None:
    """Write down how a deployment's run ended: `outcome` for programs, `said` for people."""
    name = deployment.retraining["running"]
    folder = home.runs / name
    record = run_records.close(folder)
    outcome = record["outcome"] if record is not None else run_records.FAILED
    said = (
        f"{outcome}: {record['reason']}" if record is not None else _last_line(folder / "log.txt")
    )
    how = "" if status is None else f" with status {status}"
    fruitless = _fruitless(record or {}, before=deployment.retraining.get("fruitless", 0))
    ended = {"running": None, "outcome": outcome, "said": said, "fruitless": fruitless}
    known.save_retraining(
        deployment.name,
        {**deployment.retraining, **ended},
        event=states.Event(now, "RetrainingEnded", f"run {name} ended{how}: {said}"),
    )


def _fruitless(record: Mapping[str, Any], *, before: int) -> int:
    """Return how many of the newest runs deployed nothing; one that was refused before its first
    step, for want of labels, tells nothing of the next."""
    outcome = record.get("outcome")
    if outcome in ("packaged", "deployed"):
        return 0
    return before if outcome == "refused" and not record["steps"] else before + 1


def _last_line(log: Path) -> str:
    lines = (
        log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if log.exists()
        else []
    )
    return lines[-1] if lines else "it left no log"

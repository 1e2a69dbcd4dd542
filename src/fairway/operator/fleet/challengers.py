"""The loop of a cluster: labels tell what answers lose, and a Job trains a challenger where that is
too much.

A Job is made of the CronJob that the ModelDeployment names, as `kubectl create job --from` makes
one. Its name has the number of the run: a monitor that was killed in between makes none twice.
"""

import dataclasses
import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.monitoring import receiver, windows
from fairway.monitoring.eventstore import distant
from fairway.operator import posting
from fairway.operator.fleet import jobs, telling, turns
from fairway.platforms.kubernetes import api
from fairway.retraining import policy, shown, trigger

log = logging.getLogger("fairway.fleet")

EVERY_SECONDS = 15.0  # between two looks at the labels of one deployment

Key = tuple[str, str]
Json = dict[str, Any]


@dataclass
class LastLook:
    """What is known of one deployment between two looks; all of it can be read again."""

    at: float
    said: Json
    running: str | None = None


class Challengers:
    """The loops of the deployments of one monitor."""

    def __init__(self, server: api.Api, *, series: shown.Shown) -> None:
        self._api, self._series = server, series
        self._known: dict[Key, LastLook] = {}
        self._asked: dict[Key, policy.AskedByAlert] = {}
        self._lock = threading.Lock()  # alerts come by threads of their own
        self._shown: dict[Key, str] = {}  # the revision whose series are shown

    def forget(self, keys: Collection[Key]) -> None:
        """Let go of what is watched no longer."""
        self._known = {key: known for key, known in self._known.items() if key in keys}
        for key in self._shown.keys() - set(keys):
            self._series.forget(key, self._shown.pop(key))
        with self._lock:
            self._asked = {key: asked for key, asked in self._asked.items() if key in keys}

    def last(self, key: Key) -> Json | None:
        """Return what was said of the deployment at the last look."""
        known = self._known.get(key)
        return None if known is None else known.said

    def ask(self, key: Key, section: resource.JobRetraining, *, alert: str, now: float) -> str:
        """Remember that an alert asks for a run, and return what becomes of it; the same alert,
        however often it comes, asks once."""
        if alert not in section.alerts:
            return f"{alert} starts no run (spec.retraining.alerts)"
        if section.cron_job is None or not section.enabled:
            return "nothing is started: spec.retraining names no cronJob, or is off"
        with self._lock:
            before = self._asked.get(key)
            if before is None or now - before.at > receiver.ASKED_SECONDS:
                self._asked[key] = policy.AskedByAlert(alert, now)
        return "a run is started where none is in progress and the last is long enough ago"

    def look(
        self,
        owner: Mapping[str, Any],
        section: resource.JobRetraining,
        *,
        store: distant.Distant,
        revision: str,
        facts: Mapping[str, Any],
        ticket: Mapping[str, Any] | None,
        now: float,
    ) -> Json | None:
        """Take in labels, start a run where that is due, and return what the status says of it."""
        metadata = owner["metadata"]
        key = metadata["namespace"], metadata["name"]
        known = self._known.get(key)
        with self._lock:
            asked = self._asked.get(key)
            if asked is not None and now - asked.at > receiver.ASKED_SECONDS:
                asked = self._asked.pop(key) and None
        is_news = asked is not None and (known is None or asked.at >= known.at)
        if known is not None and now - known.at < EVERY_SECONDS and not is_news:
            return known.said
        if known is None:
            self._series.watch(key)
        if self._shown.get(key, revision) != revision:
            self._series.forget(key, self._shown[key])
        self._shown[key] = revision
        turn = turns.LabelTurn(
            owner=owner,
            section=section,
            store=store,
            revision=revision,
            facts=facts,
            quality=ticket is not None and ticket["kind"] == windows.QUALITY,
            asked=asked,
            now=now,
        )
        try:
            said, running = self._take(turn, key)
        except errors.FairwayError as error:  # it is tried again, but not at every look
            before = known or LastLook(now, {})
            said = {**before.said, "reason": telling.cut(str(error))}
            self._known[key] = LastLook(now, said, before.running)
            raise
        self._known[key] = LastLook(now, said, running)
        return said

    def _take(self, turn: turns.LabelTurn, key: Key) -> tuple[Json, str | None]:
        found, forbidden = self._newest(turn)
        turn = dataclasses.replace(turn, forbidden=forbidden)
        kept = turns.LoopState.of(turn.store.conclusions.mark(turn.mark))
        if found.digest not in (None, turn.digest):
            kept = dataclasses.replace(kept, fruitless=0)  # its challenger was asked for
        before, kept = kept, kept.served(turn.revision, now=turn.now)
        watching = turn.labels(kept)
        decision = turn.decide(watching, kept, running=found.name if found.active else None)
        stale = policy.stale(
            turn.section, since=kept.since or turn.now, last_run_at=kept.last_run_at, now=turn.now
        )
        self._show(turn, key, watching, found)
        self._series.since.labels(*key, turn.revision).set(kept.since or turn.now)
        self._series.stale.labels(*key, turn.revision).set(stale is not None)
        if decision.start and turn.section.cron_job is not None:
            number = max(kept.runs, found.number) + 1
            name = jobs.start(
                self._api,
                turn.owner,
                cron_job=turn.section.cron_job,
                number=number,
                revision=turn.revision,
                reason=decision.reason,
            )
            rearmed = None if watching is None else trigger.rearmed(watching)
            turn.keep(
                dataclasses.replace(
                    kept,
                    watching=rearmed,
                    runs=number,
                    last_run_at=turn.now,
                    fruitless=kept.fruitless + 1,
                )
            )
            with self._lock:
                self._asked.pop(key, None)
            self._series.runs.labels(*key, "started").inc()
            self._series.last.labels(*key).set(turn.now)
            posting.post(
                self._api,
                turn.owner,
                at=turn.now,
                type="RetrainingStarted",
                message=f"Job {name}: {decision.reason}",
            )
            found = jobs.TrainingJob(
                name=name, number=number, started_at=turn.now, outcome="Running"
            )
        elif kept != before or turn.moved(watching, kept):
            turn.keep(dataclasses.replace(kept, watching=watching))
        self._count(key, found)
        reason = "; ".join(filter(None, (stale, decision.reason)))
        return _said(reason, found, start=decision.start), found.name

    def _newest(self, turn: turns.LabelTurn) -> tuple[jobs.TrainingJob, bool]:
        """Return the newest run, and whether the monitor may not even ask."""
        if turn.section.cron_job is None:
            return jobs.TrainingJob(), False
        try:
            return jobs.newest(self._api, turn.owner), False
        except api.Forbidden:
            return jobs.TrainingJob(), True

    def _show(
        self,
        turn: turns.LabelTurn,
        key: Key,
        watching: trigger.Trigger | None,
        found: jobs.TrainingJob,
    ) -> None:
        bound = policy.reference_bound(turn.facts)
        if bound is not None:
            limit = policy.limit(turn.section, bound=bound)
            self._series.limit.labels(*key, turn.revision).set(limit)
        evidence = 0.0 if watching is None else min(watching.evidence, 1.0)
        self._series.evidence.labels(*key, turn.revision).set(evidence)
        self._series.active.labels(*key).set(found.active)
        waits = found.outcome == "Succeeded" and found.digest == turn.digest
        self._series.waiting.labels(*key).set(waits)
        if found.started_at is not None:
            self._series.last.labels(*key).set(found.started_at)

    def _count(self, key: Key, found: jobs.TrainingJob) -> None:
        """Count a run once that was seen to run and has ended."""
        before = self._known.get(key)
        if before is None or before.running != found.name or found.active:
            return
        was = (before.said or {}).get("outcome")
        if was == "Running" and found.outcome is not None:
            self._series.runs.labels(*key, found.outcome.lower()).inc()


def _said(reason: str, found: jobs.TrainingJob, *, start: bool) -> Json:
    said: Json = {"reason": telling.cut(found.reason if start and found.reason else reason)}
    if found.name is not None:
        said["run"] = found.name
        if found.started_at is not None:
            said["startedAt"] = telling.when(found.started_at)
        if found.outcome is not None:
            said["outcome"] = found.outcome
    return said

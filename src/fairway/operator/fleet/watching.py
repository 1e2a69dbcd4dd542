"""One look at all deployments of a shard: windows are held against what is usual, labels against what
may be lost, and the status says what came of it."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from fairway import budget, errors
from fairway.config import loader, resource, sections
from fairway.monitoring import exporter, looks
from fairway.monitoring.acceptance import Acceptance
from fairway.monitoring.eventstore import batches, distant, wire
from fairway.monitoring.keeper import Keeper
from fairway.monitoring.watched import DriftStanding, Watched
from fairway.operator import posting
from fairway.operator.fleet import challengers, packages, shards, telling
from fairway.platforms.kubernetes import api
from fairway.retraining import shown

log = logging.getLogger("fairway.fleet")

LOOK_SECONDS = 60.0  # that one deployment may take together
WRITES = 3  # of a status that is written by others meanwhile
EVENT_SECONDS = 3600.0  # that an API server keeps an event: an older one is told no more
MOST_AWAY = 5  # deployments, one after the other, for which the collector does not answer
Key = tuple[str, str]  # namespace and name


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A deployment as its resource asks for it."""

    object: Mapping[str, Any]
    watched: Watched
    digest: str
    retraining: resource.JobRetraining

    @property
    def key(self) -> Key:
        return self.watched.namespace, self.watched.deployment


class Fleet:
    """What one monitor watches; all that must survive it is kept by the collector."""

    def __init__(
        self,
        server: api.Api,
        line: wire.Wire,
        *,
        shard: shards.Shard,
        engine: str,
        namespaces: Collection[str],
        series: exporter.Exporter,
        losses: shown.Shown,
    ) -> None:
        self._api, self._line, self._shard, self._engine = server, line, shard, engine
        self._namespaces, self.series = namespaces, series
        self._rounds = looks.Rounds(make=self._keeper, series=series)
        self._wanted: dict[Watched, Wanted] = {}
        self._known: dict[Watched, packages.Known] = {}
        self._stores: dict[Key, distant.Distant] = {}
        self._loops = challengers.Challengers(server, series=losses)
        self._posted: dict[Key, dict[str, Any]] = {}  # the open ticket that was told
        self._accepted: dict[Key, Acceptance] = {}  # that was told
        self._next = 0  # where the next look begins
        self.has_looked = False  # it knows which deployments are its own

    def look(
        self, *, now: float, leads: Callable[[], bool], beat: Callable[[], None] = lambda: None
    ) -> int:
        """Look at each deployment of the shard, while the monitor leads; return how many windows
        were tested. Raises Unavailable where the collector answers for none of several: the next
        look begins behind them."""
        found = self._found()
        ours = {one.watched: one for one in found if self._shard.has(*one.key)}
        self._forget(ours)
        self._wanted, self.has_looked = ours, True
        order = list(ours)
        first = self._next % max(len(order), 1)
        tested = away = 0
        for place, watched in enumerate(order[first:] + order[:first]):
            if not leads():
                return tested
            with budget.within(LOOK_SECONDS):
                tested += self._rounds.look_at(watched, fleet=len(found), now=now)
                self._tell(ours[watched], now=now)
            beat()
            self._next = first + place + 1
            failure = self._rounds.failures.get(watched)
            is_away = isinstance(failure, errors.Unavailable)
            away = away + 1 if is_away and not isinstance(failure, packages.Missing) else 0
            if away >= MOST_AWAY:
                raise errors.Unavailable(f"{away} deployments, one after the other: {failure}")
        self.series.looked.set(now)
        return tested

    def ask(self, namespace: str, deployment: str, *, alert: str, now: float) -> str:
        """Take an alert that fires, and return what becomes of it in a sentence."""
        for one in self._wanted.values():
            if one.key == (namespace, deployment):
                return self._loops.ask(one.key, one.retraining, alert=alert, now=now)
        return "it is none that this monitor watches"

    def _found(self) -> list[Wanted]:
        """Return the deployments that have a revision in service."""
        places = self._namespaces or (None,)
        objects = [one for place in places for one in self._api.find("ModelDeployment", place)]
        return [one for one in map(self._read, objects) if one is not None]

    def _read(self, found: Mapping[str, Any]) -> Wanted | None:
        metadata, spec = found["metadata"], found.get("spec", {})
        stable = found.get("status", {}).get("stable", {})
        if not stable.get("digest") or metadata.get("deletionTimestamp"):
            return None
        try:
            section = sections.Monitoring.model_validate(spec.get("monitoring", {}))
            retraining = resource.JobRetraining.model_validate(spec.get("retraining", {}))
        except pydantic.ValidationError as error:
            log.warning("%s", loader.explain(error, where=metadata["name"], root=resource.Spec))
            return None
        watched = Watched(
            deployment=metadata["name"],
            namespace=metadata["namespace"],
            revision=stable["revision"],
            section=section.model_copy(update={"engine": self._engine}),
        )
        return Wanted(object=found, watched=watched, digest=stable["digest"], retraining=retraining)

    def _forget(self, ours: Mapping[Watched, Wanted]) -> None:
        self._rounds.forget(ours.keys())
        self._known = {watched: known for watched, known in self._known.items() if watched in ours}
        keys = {one.key for one in ours.values()}
        self._stores = {key: store for key, store in self._stores.items() if key in keys}
        self._loops.forget(keys)
        self._posted = {key: told for key, told in self._posted.items() if key in keys}
        self._accepted = {key: told for key, told in self._accepted.items() if key in keys}

    def _keeper(self, watched: Watched) -> Keeper:
        wanted = self._wanted[watched]
        store = self._store(wanted.key)
        self._known[watched] = packages.read(store, revision=watched.revision, digest=wanted.digest)
        return Keeper(
            watched,
            package=self._known[watched].package,
            events=store,
            shelf=store.shelf,
            series=self.series,
            most_bytes=packages.LARGEST,
        )

    def _store(self, key: Key) -> distant.Distant:
        if key not in self._stores:
            namespace, deployment = key
            self._stores[key] = distant.Distant(
                self._line, namespace=namespace, deployment=deployment
            )
        return self._stores[key]

    def _tell(self, one: Wanted, *, now: float) -> None:
        """Take in labels and write the status; whatever fails is this deployment's, and this
        look's."""
        keeper = self._rounds.keeper(one.watched)
        standing = keeper.standing if keeper is not None else None
        seen = telling.Sighting(
            revision=one.watched.revision,
            standing=standing,
            failure=self._rounds.failures.get(one.watched),
            retraining=self._retrained(one, standing, now=now),
        )
        if keeper is not None and self._store(one.key).is_behind:
            keeper.forget()
        try:
            self._write(one, seen, now=now)
        except Exception as error:  # this deployment's, whatever it is
            self._failed(one, error)

    def _retrained(
        self, one: Wanted, standing: DriftStanding | None, *, now: float
    ) -> dict[str, Any] | None:
        """Return what the status says of retraining; nothing of a model that is not known yet."""
        known = self._known.get(one.watched)
        if known is None:
            return None
        try:
            return self._loops.look(
                one.object,
                one.retraining,
                store=self._store(one.key),
                revision=one.watched.revision,
                facts=known.facts,
                ticket=None if standing is None else standing.ticket,
                now=now,
            )
        except batches.Overtaken:
            return self._loops.last(one.key)
        except Exception as error:  # this deployment's, whatever it is
            self._failed(one, error)
            return {"reason": telling.cut(f"{type(error).__name__}: {error}")}

    def _failed(self, one: Wanted, error: Exception) -> None:
        log.warning(
            "%s/%s: %s", *one.key, error, exc_info=not isinstance(error, errors.FairwayError)
        )
        self.series.failed(error, namespace=one.key[0], deployment=one.key[1])

    def _write(self, one: Wanted, seen: telling.Sighting, *, now: float) -> None:
        """Write the status where it says something else; the operator may write in between."""
        found: Mapping[str, Any] | None = one.object
        for _ in range(WRITES):
            if found is None:
                return
            metadata = found["metadata"]
            said = telling.changed(
                found.get("status", {}),
                seen,
                generation=int(metadata.get("generation", 0)),
                now=now,
            )
            if said is None:
                break
            try:
                self._api.replace_status({**found, "status": said})
                break
            except api.Conflict:
                found = self._api.get("ModelDeployment", *one.key)
        self._post(one, seen, now=now)

    def _post(self, one: Wanted, seen: telling.Sighting, *, now: float) -> None:
        """Post the event of a ticket that was opened or resolved, and of what was accepted; a name
        made of its content keeps a monitor that begins anew from posting it twice."""
        ticket = seen.standing.ticket if seen.standing is not None else None
        before = self._posted.get(one.key)
        if ticket is not None and (before is None or before["at"] != ticket["at"]):
            posting.post(
                self._api,
                one.object,
                at=ticket["at"],
                type="DriftTicketOpened",
                message=ticket["told"],
                warning=True,
            )
            self._posted[one.key] = ticket
        elif ticket is None and before is not None and seen.failure is None:
            posting.post(
                self._api,
                one.object,
                at=now,
                type="DriftTicketResolved",
                message=f"resolved: {before['summary']}",
            )
            del self._posted[one.key]
        accepted = seen.standing.accepted if seen.standing is not None else None
        if accepted is None or accepted == self._accepted.get(one.key):
            return
        self._accepted[one.key] = accepted
        if now - accepted.at < EVENT_SECONDS:
            posting.post(
                self._api,
                one.object,
                at=accepted.at,
                type="DriftAccepted",
                message=f"{accepted.sentence}; what is usual is learnt anew",
            )

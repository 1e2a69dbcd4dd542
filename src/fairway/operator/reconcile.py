"""One look at one ModelDeployment: read, decide, store the decision, make it true.

Level-triggered: all it needs is in the cluster, in Prometheus and at the collector, so a look may be cut off at any point and the
next one, of this operator or of another, takes it again. The decision is stored before anything is changed, and what is
stored is made true at every look until it is. Traffic waits for nothing but the Services that it goes to: an object that the API server refuses keeps
no other away, and becomes a condition.
"""

import json
import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from fairway import budget, clocks, errors
from fairway.config import resource, sections
from fairway.control import calls, observe, units
from fairway.operator import events, metrics, revisions, routes, status
from fairway.platforms.kubernetes import (
    api,
    checkpoint,
    counts,
    gateway,
    health,
    hosts,
    owned,
    prometheus,
    seldon,
    workloads,
)
from fairway.rollout import states, strategy, traffic
from fairway.rollout.seen import Command, Seen
from fairway.rollout.states import Phase, State

log = logging.getLogger("fairway.operator")

RESTING_SECONDS = 600.0  # a look at what rests, for what no watch told us
LATE_SECONDS = 60.0  # a look at what waits for something: labels that may condemn a promoted revision, a part of the cluster that is missing
RETIRE_SECONDS = 20.0  # between the last route that named a revision and the end of its pods
COUNTS_SECONDS = 15.0  # of a look for the counts: what follows may not wait for them
RETRY_SECONDS = 2.0  # after something was away
PATIENCE = 3  # looks after which what may pass by itself is a refusal
CONFLICTS = 9  # more writes of a status, where others write the same object
RESTING = (Phase.PENDING, Phase.STABLE, Phase.ROLLED_BACK)
PER_REVISION = (
    "Service",
    "HorizontalPodAutoscaler",
    "ScaledObject",
    "PodDisruptionBudget",
)  # and last the Deployment, which they are found by
HANDED = "fairway-scaling"  # manager of a number of replicas that an autoscaler is about to take


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator was started with."""

    server_image: str  # for resources that name none
    seldon_image: str = ""  # for those of runtime seldon
    interval_seconds: float = 2.0  # between two looks at a rollout in progress
    hook_hosts: tuple[str, ...] = ()  # that hooks may name besides Services of their own namespace; patterns
    templates: counts.Templates = field(default_factory=dict)  # queries that resources may name
    hook_networks: tuple[str, ...] = ()  # that those may lie in besides what is public
    cluster: workloads.Settings = field(default_factory=workloads.Settings)


@dataclass
class Memory:
    """What is worth remembering of one resource between looks; all of it can be found again."""

    elapsed: clocks.Elapsed
    tallies: observe.Tallies = field(default_factory=observe.Tallies)
    route: routes.Routes = field(default_factory=routes.Routes)
    applied: dict[tuple[str, str], tuple[str, int]] = field(
        default_factory=dict
    )  # (kind, name) -> what was applied: its fingerprint, its generation
    facts: dict[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # revision -> what the init step found in its package
    deployments: dict[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # revision -> its Deployment at the last look
    removed: set[tuple[str, str]] = field(default_factory=set)  # (kind, name) -> known not to be there
    backed: set[str] = field(default_factory=set)  # revisions whose Service is there
    refusal: tuple[str, str] | None = None  # what ended the last look, or was refused in it
    answers: str | None = None  # fingerprint of the gateways and host names for which the gateway has answered
    standing: routes.Standing = routes.NOT_ASKED
    failures: int = 0  # looks in a row after which not all was as decided

    def refuse(self, failed: errors.FairwayError | None) -> tuple[str, str] | None:
        """Take notice of what kept the last decision from being made true, and return what the status says of it.

        What may pass by itself is told where it has not: a webhook that is away for a moment asks for no person.
        """
        self.failures = self.failures + 1 if failed is not None else 0
        if failed is None or isinstance(failed, errors.Permanent) or self.failures >= PATIENCE:
            self.refusal = _refusal_of(failed) if failed is not None else None
        return self.refusal


class Reconciler:
    """Looks at ModelDeployments; one object at a time, from any thread."""

    def __init__(
        self,
        server: api.Api,
        settings: Settings,
        *,
        evidence: Callable[[str], units.Evidence],
        prometheus: prometheus.Prometheus,
        source: clocks.Source = clocks.MACHINE,
    ) -> None:
        self._api, self._settings, self._evidence, self._prometheus = server, settings, evidence, prometheus
        self._source = source
        self._memory: dict[tuple[str, str], Memory] = {}
        self._served: set[str] = set()  # kinds of others that the cluster is known to have
        self._asked = -math.inf  # when the cluster was last asked for optional kinds
        self._discovering = threading.Lock()
        self.rollouts = metrics.Rollouts()
        self._hooks = calls.Calls(finds=self._place)

    def forget(self, namespace: str, name: str) -> None:
        """Drop what was remembered: the next look applies everything anew."""
        self._memory.pop((namespace, name), None)
        self._hooks.forget(calls.Named(namespace, name))

    def changed(self, namespace: str, name: str, *, kind: str, object_name: str, generation: int | None) -> None:
        """Take notice of one of the resource's objects: where somebody else changed or deleted it (None), the next look applies it again."""
        memory = self._memory.get((namespace, name))
        if memory is not None and memory.applied.get((kind, object_name), ("", generation))[1] != generation:
            memory.applied.pop((kind, object_name), None)

    def reconcile(self, namespace: str, name: str, *, now: float) -> float | None:
        """Take one look, and gives the seconds until the next, or None where the resource is gone. Raises Temporary where something is away.

        `now` is what the clock on the wall says, for people; what ends after a while is decided by what elapsed.
        """
        found = self._api.get("ModelDeployment", namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            self.forget(namespace, name)
            self.rollouts.forget((namespace, name))
            return None
        self._discover(self._source.monotonic())
        generation, before = int(found["metadata"]["generation"]), found.get("status", {})
        memory = self._memory.setdefault(
            (namespace, name), Memory(clocks.Elapsed(self._source), refusal=status.refusal(before))
        )
        try:
            spec = resource.Spec.model_validate(found["spec"])
        except ValidationError as error:  # only where the definition is of another version
            sentence = _sentence(error)
            self._store(found, status.refused(sentence, generation=generation, before=before, now=now))
            events.post(self._api, found, at=now, type="Invalid", message=sentence, warning=True)
            return RESTING_SECONDS
        try:
            delay, failed = self._look(found, spec, memory, now=now)
        except errors.Temporary:
            raise
        except Exception as error:  # whatever it is, it is this resource's
            memory.refusal = _refusal_of(error)
            self._stall(namespace, name, memory.refusal, now=now)
            raise
        if failed is not None:
            raise failed
        return delay

    def _stall(self, namespace: str, name: str, refusal: tuple[str, str], *, now: float) -> None:
        """Tell by a condition and an event why a look could not be finished."""
        found = self._api.get("ModelDeployment", namespace, name)
        if found is None:
            return
        events.post(self._api, found, at=now, type="Stalled", message=refusal[1], warning=True)
        self._store(
            found,
            status.stalled(
                refusal, generation=int(found["metadata"]["generation"]), before=found.get("status", {}), now=now
            ),
        )

    def _discover(self, now: float) -> None:
        """Take notice of what others have installed, or taken away, since the cluster was last asked; every look waits for the first answer."""
        with self._discovering:
            if now - self._asked < LATE_SECONDS:
                return
            self._settings = replace(
                self._settings,
                cluster=replace(
                    self._settings.cluster,
                    service_monitors=self._api.serves("ServiceMonitor"),
                    keda=self._api.serves("ScaledObject"),
                    envoy_gateway=self._api.serves("BackendTrafficPolicy"),
                ),
            )
            self._asked = now

    def _look(
        self, found: api.Object, spec: resource.Spec, memory: Memory, *, now: float
    ) -> tuple[float, errors.FairwayError | None]:
        """Read, decide, store, make true; return the seconds until the next look, and what is to be told as a look that failed.

        `now` is the clock on the wall, `time` the rollout's own.
        """
        owner = workloads.Owner(
            name=found["metadata"]["name"], namespace=found["metadata"]["namespace"], uid=found["metadata"]["uid"]
        )
        before = found.get("status", {})
        state, policy, first = checkpoint.read(before, policy=resource.policy(spec))
        time = memory.elapsed.now(clock=state.clock, looked=state.looked, interval=self._settings.interval_seconds)
        known = self._revisions(owner)
        desired = revisions.desired(
            spec,
            known=known,
            default_image=self._settings.seldon_image if spec.runtime == "seldon" else self._settings.server_image,
        )
        kept = set(known)
        problem = self._problem(owner, spec, desired)
        if problem is not None:
            events.post(self._api, found, at=now, type="Invalid", message=problem, warning=True)
        if (
            problem is not None or spec.paused
        ):  # what serves goes on, and so does a rollout in progress; nothing new begins
            desired = known.get(state.candidate or state.stable or "", desired)
        known[desired.name] = desired
        healths = self._healths(owner, spec, (*states.wanted(state), desired.name), memory)
        told = status.Told(
            generation=int(found["metadata"]["generation"]),
            desired=desired.name,
            revisions=known,
            healths=healths,
            before=before,
            now=now,
            last_command=before.get("lastCommand"),
            reply=before.get("reply"),
            first=first,
            paused=spec.paused,
            problem=problem,
            refusal=memory.refusal,
            clash=self._clash(found, owner, now=now) if spec.routing == "gateway" else None,
        )
        if (spec.paused or problem is not None) and state.stable is None and state.candidate is None:
            self._store(found, status.build(state, policy=policy, told=told))
            return LATE_SECONDS, None  # what is missing may be installed
        command, nonce = self._command(found, before, now=now)
        seen = observe.observe(
            Seen(
                now=time,
                wall=now,
                desired=desired.name,
                ready=frozenset(name for name, health_ in healths.items() if health_.ready),
                broken=_broken(state, healths, serves=states.split(state, strategy=policy)[0] > 0),
                absent=frozenset(name for name, health_ in healths.items() if health_.available == 0),
                partly=frozenset(name for name, health_ in healths.items() if health_.available and not health_.ready),
                notes={name: health_.note for name, health_ in healths.items() if health_.note},
                sample=self._sample(owner, spec, state, policy, memory, first=first, now=time),
                offline_disagreement=observe.offline_disagreement(
                    memory.facts.get(state.candidate or ""),
                    stable=known[state.stable].model.digest if state.stable in known else None,
                ),
                command=command,
                answers=self._hooks.answers(
                    calls.Named(owner.namespace, owner.name), state.calls, known=policy.hooks, now=time
                ),
            ),
            state,
            of=observe.Watched(
                deployment=owner.name,
                policy=policy,
                store=self._evidence(owner.namespace),
                tallies=memory.tallies,
                timeout_seconds=spec.serving.timeout.total_seconds(),
            ),
        )
        after, unkept = strategy.advance(state, seen, strategy=policy), None
        if (
            desired.name in states.wanted(after.state) and desired.name not in kept
        ):  # before the status names it: its facts must not be lost
            try:
                self._apply(
                    owner,
                    memory,
                    workloads.controller_revision(
                        owner, desired, number=revisions.number(desired, known=known), settings=self._settings.cluster
                    ),
                )
            except errors.PlatformError as error:
                after = (
                    after if desired.name in states.wanted(state) else strategy.Advance(state)
                )  # nothing begins that cannot be kept
                unkept = error
        if after.state.stable is not None:
            first = gateway.first(first, stable=after.state.stable, candidate=after.state.candidate)
        policy = states.in_force(state, after.state, begun=policy, newest=resource.policy(spec))
        told = replace(
            told,
            first=first,
            last_command=nonce or told.last_command,
            reply=status.reply(after.reply) if after.reply is not None else told.reply,
            edited=states.bound(after.state) and policy != resource.policy(spec),
            standing=self._standing(owner, spec, after.state, told, memory, first=first),
        )
        self._store(found, status.build(after.state, policy=policy, told=told))
        self.rollouts.told(
            (owner.namespace, owner.name), told, before=state, after=after.state, seen=seen, policy=policy
        )
        failed = (
            self._make_true(owner, spec, after.state, policy=policy, known=known, memory=memory, first=first, now=time)
            or unkept
        )
        self._tell(found, after.events)
        if memory.refuse(failed) != told.refusal:
            self._store(found, status.build(after.state, policy=policy, told=replace(told, refusal=memory.refusal)))
            if memory.refusal is not None:
                events.post(self._api, found, at=now, type="Stalled", message=memory.refusal[1], warning=True)
        delay = self._delay(after.state, policy=policy, memory=memory, now=time)
        if not told.standing.holds and after.state.phase in RESTING:  # or the watch tells first
            delay = min(delay, RETRY_SECONDS if time - after.state.since < LATE_SECONDS else LATE_SECONDS)
        if failed is None or after.state.phase in RESTING or isinstance(failed, errors.Temporary):
            return delay, failed
        log.error(
            "%s/%s: %s", owner.namespace, owner.name, failed
        )  # but looked at as often as ever: a refusal keeps no harm from being seen
        return delay, None

    def _tell(self, found: api.Object, happened: Iterable[states.Event]) -> None:
        for event in happened:
            log.info(
                "%s/%s %s: %s", found["metadata"]["namespace"], found["metadata"]["name"], event.type, event.message
            )
            events.post(
                self._api,
                found,
                at=event.at,
                type=event.type,
                message=event.message,
                warning=event.type in events.WARNINGS,
            )

    def _command(
        self, found: api.Object, before: Mapping[str, Any], *, now: float
    ) -> tuple[Command | None, str | None]:
        """Return the command that is asked for, once; whoever wrote a wrong one is told, and the rollout goes on."""
        try:
            return _command(found, before)
        except errors.ConfigError as error:
            events.post(self._api, found, at=now, type="Invalid", message=str(error), warning=True)
            return None, None

    def _delay(self, state: State, *, policy: sections.Strategy, memory: Memory, now: float) -> float:
        """Return the seconds until there is something to see: the next scrape, the end of what leaves, late labels, or nothing."""
        if state.phase not in RESTING or state.calls:
            return self._settings.interval_seconds
        if now - state.since <= RETIRE_SECONDS:
            return RETIRE_SECONDS / 4
        if state.previous is not None and any(guard.type == "quality" for guard in policy.guards):
            return LATE_SECONDS
        memory.removed.clear()
        memory.backed.clear()
        memory.applied.clear()  # whatever was deleted or changed and no watch told: the next look puts it back
        return RESTING_SECONDS

    def _clash(self, found: api.Object, owner: workloads.Owner, *, now: float) -> tuple[str, str] | None:
        """Return a word and a sentence where an older route takes the requests that ours is meant for: the gateway accepts both, and follows one."""
        route = self._api.get("HTTPRoute", owner.namespace, owner.name)
        for namespace, name in routes.overlapping(route):
            try:
                other = self._api.get("HTTPRoute", namespace, name)
            except errors.PlatformError:  # of a namespace that this operator may not read
                other = {"metadata": {"name": name, "namespace": namespace}}
            if route is not None and other is not None and routes.older(other, route):
                sentence = (
                    f"HTTPRoute {namespace}/{name} takes the same requests as this resource's, and is older: the gateway follows that one; "
                    "name other spec.gateway.hostnames, or delete one of the two"
                )
                events.post(self._api, found, at=now, type="Stalled", message=sentence, warning=True)
                return "Overlaps", sentence
        return None

    def _problem(self, owner: workloads.Owner, spec: resource.Spec, desired: workloads.Revision) -> str | None:
        """Return why the spec cannot be followed, where the definition's own rules could not know."""
        try:
            if spec.counts is not None:
                counts.chosen(spec.counts.template, self._settings.templates, thresholds=_thresholds(spec.strategy))
            else:
                for threshold in _thresholds(resource.policy(spec)):
                    prometheus.bucket(threshold)
            workloads.pod_template(owner, desired, self._settings.cluster)
        except errors.ConfigError as error:
            return str(error)
        for hook in spec.strategy.hooks:
            if (refusal := self._refusal(owner.namespace, hook.url)) is not None:
                return f"hook {hook.name}: {refusal}"
        return self._without_seldon(spec) or workloads.unmet(spec.scaling, settings=self._settings.cluster)

    def _refusal(self, namespace: str, url: str) -> str | None:
        return hosts.refusal(url, namespace=namespace, allowed=self._settings.hook_hosts)

    def _place(self, deployment: calls.Named, url: str) -> calls.Place:
        """Return where a hook is called now; raises with why it must not be: a Service may have become another since it was accepted."""
        refusal, service = self._refusal(deployment.namespace, url), hosts.service(url, namespace=deployment.namespace)
        if refusal is not None:
            raise errors.Unavailable(refusal)
        if service is None:
            host = hosts.name(url)
            address = hosts.outside(host, hosts.resolve(host), networks=self._settings.hook_networks)
            return calls.Place(address, hosts.port(url), repeats=False)  # what lies outside is not the tenant's to read
        found = self._api.get("Service", deployment.namespace, service)
        astray = hosts.astray(service, found)
        if found is None or astray is not None:
            raise errors.Unavailable(astray or "")
        selector = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"].items())
        return calls.Place(*hosts.pod(url, found, self._api.find("Pod", deployment.namespace, labels=selector)))

    def _without_seldon(self, spec: resource.Spec) -> str | None:
        """Return what of Seldon is missing; asked anew until it is there, for it may be installed after us."""
        if spec.runtime != "seldon":
            return None
        for kind in ("SeldonDeployment", *(("VirtualService", "Mapping") if spec.routing == "seldon" else ())):
            if kind not in self._served and self._api.serves(kind):
                self._served.add(kind)
        return seldon.unmet(
            spec, seldon="SeldonDeployment" in self._served, ingress=bool(self._served & {"VirtualService", "Mapping"})
        )

    # -- what is read -----------------------------------------------------------------------------------------------------

    def _revisions(self, owner: workloads.Owner) -> dict[str, workloads.Revision]:
        found = self._api.find("ControllerRevision", owner.namespace, labels=workloads.selector(owner))
        known = {}
        for obj in (obj for obj in found if owned.controlled(obj, uid=owner.uid)):  # anybody may set a label
            try:
                revision = workloads.read_revision(obj)
                known[revision.name] = revision
            except errors.PlatformError as error:  # one that nothing needs must not stop the rest
                log.error("%s/%s: %s", owner.namespace, owner.name, error)
        return known

    def _healths(
        self, owner: workloads.Owner, spec: resource.Spec, names: tuple[str, ...], memory: Memory
    ) -> dict[str, health.Health]:
        """Return each revision's health; pods are only read where their Deployment is not as it should be, or their facts are unknown."""
        memory.deployments = {_revision(d): d for d in self._deployments(owner)}
        healths = {}
        for name in dict.fromkeys(names):
            deployment = memory.deployments.get(name)
            found = health.judge(deployment, (), replicas=spec.scaling.min_replicas)
            if deployment is None:
                memory.applied.pop(("Deployment", f"{owner.name}-{name}"), None)
                found = self._unmade(owner, spec) or found
            elif not found.ready or name not in memory.facts:
                pods = self._api.find("Pod", owner.namespace, labels=workloads.selector(owner, name))
                found = health.judge(deployment, pods, replicas=spec.scaling.min_replicas)
                if found.facts:
                    memory.facts[name] = found.facts
            if found.ready and not self._backed(owner, name, memory):  # requests for it would be answered 500
                found = replace(found, ready=False, note=f"its Service {owner.name}-{name} is not there")
            healths[name] = found
        return healths

    def _deployments(self, owner: workloads.Owner) -> list[api.Object]:
        """Return the Deployments of the revisions, ours and those that Seldon made for us."""
        found = self._api.find("Deployment", owner.namespace, labels=workloads.selector(owner))
        return [
            deployment
            for deployment in found
            if owned.controlled(deployment, uid=owner.uid) or seldon.made(deployment, owner=owner)
        ]

    def _unmade(self, owner: workloads.Owner, spec: resource.Spec) -> health.Health | None:
        """Return why Seldon has not made a revision's Deployment, where it says so."""
        said = (
            seldon.trouble(self._api.get("SeldonDeployment", owner.namespace, owner.name))
            if spec.runtime == "seldon"
            else ""
        )
        return health.Health(note=said) if said else None

    def _backed(self, owner: workloads.Owner, revision: str, memory: Memory) -> bool:
        """Say whether the revision has a Service, which requests can be sent to."""
        if (
            revision not in memory.backed
            and self._api.get("Service", owner.namespace, f"{owner.name}-{revision}") is not None
        ):
            memory.backed.add(revision)
        return revision in memory.backed

    def _sample(
        self,
        owner: workloads.Owner,
        spec: resource.Spec,
        state: State,
        policy: sections.Strategy,
        memory: Memory,
        *,
        first: str | None,
        now: float,
    ) -> traffic.Sample | None:
        """Return both arms' counts with the route that is in effect, or None where they cannot be read; nothing is read where nothing moves."""
        route = states.route(state, deployment=owner.name, strategy=policy)
        if route is None or state.phase in (*RESTING, Phase.STARTING):
            return None
        thresholds = _thresholds(policy)
        try:
            with budget.within(COUNTS_SECONDS):
                if spec.counts is not None:
                    queries = counts.chosen(spec.counts.template, self._settings.templates, thresholds=thresholds)
                    raw: traffic.Sample | None = counts.sample(
                        self._prometheus,
                        queries,
                        namespace=owner.namespace,
                        deployment=owner.name,
                        route=route,
                        thresholds=thresholds,
                    )
                else:
                    raw = self._prometheus.sample(
                        namespace=owner.namespace,
                        deployment=owner.name,
                        route=route,
                        thresholds=thresholds,
                        before=state.sample or memory.route.latest,
                        route_version="",
                        first=first,
                    )
        except (
            errors.FairwayError
        ) as error:  # whatever it is: a rollout that cannot be judged holds, and one that is broken goes back
            log.warning("%s/%s: %s", owner.namespace, owner.name, error)
            return None
        accepted = memory.route.follows(route) or self._accepted(owner, spec)
        return memory.route.confirm(raw, route=route, accepted=accepted, now=now)

    def _standing(
        self,
        owner: workloads.Owner,
        spec: resource.Spec,
        state: State,
        told: status.Told,
        memory: Memory,
        *,
        first: str | None,
    ) -> routes.Standing:
        """Return how the HTTPRoute of what serves stands; the proxies are asked until they answer, and then once for other gateways or host names.

        While weights move, what is not accepted yet says nothing: each of them is accepted a moment after it was written.
        """
        if spec.gateway is None or spec.routing == "seldon" or state.stable is None:
            return routes.NOT_ASKED
        asked = resource.fingerprint(spec.gateway.model_dump(mode="json"))
        if memory.answers is None and status.answered(told.before, generation=told.generation):
            memory.answers = asked
        found = self._api.get("HTTPRoute", owner.namespace, owner.name)
        answers: bool | None = True if memory.answers == asked else None
        unknown = ""
        if answers is None and routes.accepted(found):
            answers, unknown = self._answers(owner, spec, index=int(first not in (None, state.stable)))
            memory.answers = asked if answers else None
        standing = routes.standing(found, answers=answers, unknown=unknown)
        if state.phase in RESTING or standing.holds or standing.word == routes.REFUSED:
            memory.standing = standing
        return memory.standing

    def _answers(self, owner: workloads.Owner, spec: resource.Spec, *, index: int) -> tuple[bool | None, str]:
        """Return whether the gateway's proxies have pods to send requests to, and why nobody can tell."""
        if spec.counts is not None:
            return None, "spec.counts is of another gateway than Envoy Gateway"
        try:
            answers = self._prometheus.answers(namespace=owner.namespace, deployment=owner.name, index=index)
        except errors.FairwayError as error:  # Ready is no guess: it is asked again
            log.warning("%s/%s: %s", owner.namespace, owner.name, error)
            return False, ""
        return answers, f"Prometheus keeps no {prometheus.MEMBERS} of the gateway's proxies" if answers is None else ""

    def _accepted(self, owner: workloads.Owner, spec: resource.Spec) -> bool:
        """Say whether the requests are divided as was written last, as far as anybody says so."""
        return spec.routing == "seldon" or routes.accepted(self._api.get("HTTPRoute", owner.namespace, owner.name))

    # -- what is written --------------------------------------------------------------------------------------------------

    def _store(self, found: api.Object, new: status.Json) -> None:
        """Write the status over the one that was read; raises Conflict where the spec or the status was written in between.

        Whatever else was (annotations, labels, managed fields) is no reason to decide anew: who writes those often would stop a rollout.
        """
        if new == found.get("status"):
            return
        metadata = found["metadata"]
        for left in range(CONFLICTS, -1, -1):
            try:
                stored = self._api.replace_status({**found, "status": new})
                metadata["resourceVersion"], found["status"] = (
                    stored["metadata"]["resourceVersion"],
                    stored.get("status", new),
                )
                return
            except api.Conflict:
                newest = self._api.get("ModelDeployment", metadata["namespace"], metadata["name"])
                if not left or newest is None or _decided_on(newest) != _decided_on(found):
                    raise
                metadata["resourceVersion"] = newest["metadata"]["resourceVersion"]

    def _make_true(
        self,
        owner: workloads.Owner,
        spec: resource.Spec,
        state: State,
        *,
        policy: sections.Strategy,
        known: Mapping[str, workloads.Revision],
        memory: Memory,
        first: str | None,
        now: float,
    ) -> errors.FairwayError | None:
        """Take each step whatever becomes of the others, and return why the first that did not succeed did not.

        The route comes first where the Services that it sends requests to are there; else the servers do.
        """
        wanted = states.wanted(state)
        rests = state.phase in (*RESTING, Phase.STARTING) and now - state.since > RETIRE_SECONDS
        over = rests and (
            state.stable is None or self._accepted(owner, spec)
        )  # no request can come to who is not wanted
        route = states.route(state, deployment=owner.name, strategy=policy)

        def serve() -> None:
            servers = [
                obj
                for name in wanted
                if name in known
                for obj in workloads.for_revision(
                    owner, known[name], scaling=spec.scaling, settings=self._settings.cluster
                )
            ]
            if spec.runtime == "seldon":
                servers += self._predictors(owner, spec, state, policy=policy, known=known, over=over)
            self._unscale(owner, spec, wanted, memory=memory)
            self._apply(owner, memory, *servers)

        def divide() -> None:
            self._route(owner, spec, state, route=route, memory=memory, first=first, now=now)

        def share() -> None:
            self._apply(owner, memory, *workloads.for_deployment(owner, spec, settings=self._settings.cluster))

        memory.backed &= set(wanted)
        there = (
            spec.routing != "seldon"
            and route is not None
            and all(self._backed(owner, name, memory) for name in (route.stable, route.candidate) if name)
        )
        failures = [_failure(step) for step in ((divide, serve) if there else (serve, divide))]
        if over and not any(failures):  # of what may still be sent requests nothing is taken away
            failures.append(
                _failure(
                    lambda: self._retire(
                        owner, keep=wanted, state=state, limit=spec.revision_history_limit, known=known, memory=memory
                    )
                )
            )
        failures.append(_failure(share))  # last: nothing that moves waits for it
        return next((failed for failed in failures if failed is not None), None)

    def _predictors(
        self,
        owner: workloads.Owner,
        spec: resource.Spec,
        state: State,
        *,
        policy: sections.Strategy,
        known: Mapping[str, workloads.Revision],
        over: bool,
    ) -> list[api.Object]:
        """Return the SeldonDeployment with all that must run, and, until they may end, those that ran; one that runs nothing is taken away."""
        names = list(states.wanted(state))
        if not over:
            names += seldon.revisions(self._api.get("SeldonDeployment", owner.namespace, owner.name))
        running = [known[name] for name in dict.fromkeys(names) if name in known]
        if not running:
            self._delete(owner, "SeldonDeployment", owner.name)
            return []
        route = states.route(state, deployment=owner.name, strategy=policy) if spec.routing == "seldon" else None
        return [
            seldon.deployment(
                owner,
                running,
                scaling=spec.scaling,
                settings=self._settings.cluster,
                stable=state.stable or running[0].name,
                route=route,
            )
        ]

    def _unscale(self, owner: workloads.Owner, spec: resource.Spec, wanted: Iterable[str], *, memory: Memory) -> None:
        """Leave the number of pods to who shall have it: hands it over to an autoscaler, or takes an autoscaler away that is not wanted any more."""
        if spec.runtime == "seldon":
            return
        scaler = workloads.scaler_kind(spec.scaling, settings=self._settings.cluster)
        for name in wanted:
            deployment = memory.deployments.get(name)
            if deployment is None:
                continue
            handed = workloads.handed_over(deployment, manager=api.MANAGER) if scaler is not None else None
            if handed is not None:
                self._api.apply(handed, manager=HANDED)
            for kind in {"HorizontalPodAutoscaler", *(("ScaledObject",) if self._settings.cluster.keda else ())} - {
                scaler
            }:
                if (kind, name) not in memory.removed:
                    self._delete(owner, kind, f"{owner.name}-{name}")
                    memory.applied.pop((kind, f"{owner.name}-{name}"), None)
                    memory.removed.add((kind, name))

    def _route(
        self,
        owner: workloads.Owner,
        spec: resource.Spec,
        state: State,
        *,
        route: traffic.Route | None,
        memory: Memory,
        first: str | None,
        now: float,
    ) -> None:
        if route is None:
            return
        if route.candidate is not None and not self._backed(
            owner, route.candidate, memory
        ):  # what is sent there would be answered 500
            route = traffic.route(deployment=owner.name, stable=route.stable, candidate=None, weight=0, mirror=0)
        before = next(
            (
                round(segment.weight * gateway.TOTAL)
                for segment in reversed(state.segments)
                if segment.version != route.version
            ),
            0,
        )
        if spec.routing == "seldon":
            memory.route.recall(None, weight=before)
            memory.route.written(route, arriving=False, now=now)  # with the predictors
            return
        if (parent := resource.route(spec)) is None:
            return
        written = (
            self._api.get("HTTPRoute", owner.namespace, owner.name) if route.weight or memory.route.fresh else None
        )
        memory.route.recall(written, weight=before)
        index = int(first != route.candidate)

        def reached() -> bool:
            return self._answers(owner, spec, index=index)[0] is not False

        leaving, arriving = (
            memory.route.leaving(route, now=now),
            memory.route.arriving(route, found=written, now=now, reached=reached),
        )
        self._apply(
            owner,
            memory,
            gateway.http_route(
                owner, parent, route, first=first, leaving=leaving, arriving=arriving, runtime=spec.runtime
            ),
        )
        memory.route.written(route, arriving=arriving, now=now)
        if self._settings.cluster.envoy_gateway:
            self._apply(owner, memory, gateway.backend_policy(owner, spec))

    def _apply(self, owner: workloads.Owner, memory: Memory, *objects: Mapping[str, Any]) -> None:
        """Apply what differs from what was applied last; a change by somebody else makes the watch forget that."""
        failed: errors.FairwayError | None = None
        for obj in objects:
            key = (obj["kind"], obj["metadata"]["name"])
            fingerprint = resource.fingerprint(obj)
            if memory.applied.get(key, ("", 0))[0] == fingerprint:
                continue
            try:
                made = owned.apply(self._api, obj)
                memory.applied[key] = fingerprint, int(made["metadata"].get("generation", 0))
            except errors.FairwayError as error:  # one that is refused must not keep the others away
                failed = failed or error
        if failed is not None:
            raise failed

    def _delete(self, owner: workloads.Owner, kind: str, name: str) -> None:
        owned.delete(self._api, kind, namespace=owner.namespace, name=name, uid=owner.uid)

    def _retire(
        self,
        owner: workloads.Owner,
        *,
        keep: tuple[str, ...],
        state: State,
        limit: int,
        known: Mapping[str, workloads.Revision],
        memory: Memory,
    ) -> None:
        """Take away the pods of revisions that nothing needs, and forgets the oldest revisions beyond the limit."""
        for deployment in self._deployments(owner):
            name = f"{owner.name}-{_revision(deployment)}"
            if _revision(deployment) not in keep:
                for kind in PER_REVISION:
                    if kind != "ScaledObject" or self._settings.cluster.keda:
                        self._delete(owner, kind, name)
                    memory.applied.pop((kind, name), None)
                self._delete(owner, "Deployment", deployment["metadata"]["name"])
                memory.applied.pop(("Deployment", name), None)
        needed = {*keep, *((state.previous,) if state.previous else ())}
        for name in revisions.surplus(known, needed=needed, limit=limit):
            self._delete(owner, "ControllerRevision", f"{owner.name}-{name}")
            memory.applied.pop(("ControllerRevision", f"{owner.name}-{name}"), None)


def _failure(step: Callable[[], None]) -> errors.FairwayError | None:
    """Take the step, and return why it did not succeed, if it did not."""
    try:
        step()
    except errors.FairwayError as error:
        return error
    return None


def _decided_on(found: api.Object) -> tuple[Any, ...]:
    return found["metadata"]["uid"], found["metadata"]["generation"], found.get("status")


def _revision(deployment: Mapping[str, Any]) -> str:
    return str(deployment["metadata"]["labels"].get(f"{resource.GROUP}/revision", ""))


def _thresholds(policy: sections.Strategy) -> tuple[str, ...]:
    """Return what the gateway must count as slow."""
    return tuple(
        sections.format_duration(guard.threshold)
        for guard in policy.guards
        if guard.threshold is not None and not guard.by_arrival
    )


def _broken(state: State, healths: Mapping[str, health.Health], *, serves: bool) -> dict[str, str]:
    """Return the revisions that will not do, and why. A candidate that serves is one as soon as it has no pod left because its own server ended."""
    broken = {name: found.broken for name, found in healths.items() if found.broken}
    candidate = healths.get(state.candidate or "")
    if serves and candidate is not None and candidate.available == 0 and candidate.ended is not None:
        broken.setdefault(state.candidate or "", f"it has no pod left that answers: {candidate.ended}")
    return broken


def _command(found: api.Object, before: Mapping[str, Any]) -> tuple[Command | None, str | None]:
    """Return the command that the annotation asks for and its nonce, once."""
    text = found["metadata"].get("annotations", {}).get(resource.COMMAND)
    if not text:
        return None, None
    try:
        asked = json.loads(text)
        if not isinstance(asked["id"], str) or not isinstance(asked["verb"], str):
            raise TypeError("wanted text")
        nonce = asked["id"][:64]
        if nonce == before.get("lastCommand"):
            return None, None
        who, why = str(asked.get("by", "somebody"))[:253], str(asked.get("why", ""))[:512]
        return Command(verb=asked["verb"], who=who, why=why, force=bool(asked.get("force"))), nonce
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # RecursionError: a thousand brackets
        raise errors.ConfigError(
            f"annotation {resource.COMMAND} is {text[:200]!r}: wanted what `fairway rollout` writes, JSON with verb and id"
        ) from error


def _refusal_of(error: Exception) -> tuple[str, str]:
    """Return a word and a sentence for what ended a look."""
    if isinstance(error, errors.FairwayError):
        return status.REFUSED, str(error)
    return (
        status.FAULT,
        f"a look at it failed ({type(error).__name__}), and is taken again: the operator's log says where; please report it",
    )


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"spec.{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"

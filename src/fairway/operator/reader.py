"""What a look reads: the Target, the health of its revisions, the counts of its arms, how its route
stands.

Nothing is changed here.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from fairway import budget, errors
from fairway.config import resource
from fairway.control import calls, observe, units
from fairway.operator import revisions, routes, status
from fairway.operator.checks import Checks
from fairway.operator.installed import Installed
from fairway.operator.target import Memory, Target, revision_of, thresholds
from fairway.platforms.kubernetes import (
    api,
    checkpoint,
    counts,
    health,
    owned,
    prometheus,
    scrapes,
    seldon,
)
from fairway.platforms.kubernetes.objects import controllerrevision, names
from fairway.rollout import states, traffic
from fairway.rollout.seen import Command, Seen
from fairway.rollout.states import Phase, State

log = logging.getLogger("fairway.operator")

COUNTS_SECONDS = 15.0  # of a look for the counts: what follows may not wait for them


class Reader:
    """Reads the cluster, Prometheus and the collector for looks at ModelDeployments."""

    def __init__(
        self,
        server: api.Api,
        installed: Installed,
        *,
        checks: Checks,
        evidence: Callable[[str], units.Evidence],
        prometheus: prometheus.Prometheus,
    ) -> None:
        self._api, self._installed, self._checks = server, installed, checks
        self._evidence, self._prometheus = evidence, prometheus
        self.hooks = calls.Calls(finds=checks.place)

    def target(
        self, found: api.Object, spec: resource.Spec, memory: Memory, *, wall: float
    ) -> Target:
        """Return the ModelDeployment with what is known of it."""
        metadata, settings = found["metadata"], self._installed.settings
        owner = names.Owner(
            name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"]
        )
        state, policy, first = checkpoint.read(
            found.get("status", {}), policy=resource.policy(spec)
        )
        now = memory.elapsed.now(
            clock=state.clock, looked=state.looked, interval=settings.interval_seconds
        )
        known = self._revisions(owner)
        image = settings.seldon_image if spec.runtime == "seldon" else settings.server_image
        desired = revisions.desired(spec, known=known, default_image=image)
        problem = self._checks.problem(owner, spec, desired)
        if problem is not None or spec.paused:  # nothing new begins
            desired = known.get(state.candidate or state.stable or "", desired)
        return Target(
            found=found,
            owner=owner,
            spec=spec,
            memory=memory,
            state=state,
            policy=policy,
            first=first,
            known={**known, desired.name: desired},
            kept=frozenset(known),
            desired=desired,
            problem=problem,
            healths=self._healths(owner, spec, (*states.wanted(state), desired.name), memory),
            now=now,
            wall=wall,
        )

    def seen(self, target: Target, command: Command | None) -> Seen:
        """Return what servers, gateway, hooks and the event store say of the target now."""
        state, healths = target.state, target.healths
        stable = target.known.get(state.stable or "")
        serves = states.split(state, strategy=target.policy)[0] > 0
        seen = Seen(
            now=target.now,
            wall=target.wall,
            desired=target.desired.name,
            ready=frozenset(name for name, found in healths.items() if found.ready),
            broken=broken(state, healths, serves=serves),
            absent=frozenset(name for name, found in healths.items() if found.available == 0),
            partly=frozenset(
                name for name, found in healths.items() if found.available and not found.ready
            ),
            notes={name: found.note for name, found in healths.items() if found.note},
            sample=self._sample(target),
            offline_disagreement=observe.offline_disagreement(
                target.memory.facts.get(state.candidate or ""),
                stable=stable.model.digest if stable else None,
            ),
            command=command,
            answers=self.hooks.answers(
                calls.DeploymentName(*target.key),
                state.calls,
                known=target.policy.hooks,
                now=target.now,
            ),
        )
        watched = observe.Observed(
            deployment=target.owner.name,
            policy=target.policy,
            store=self._evidence(target.owner.namespace),
            tallies=target.memory.tallies,
            timeout_seconds=target.spec.serving.timeout.total_seconds(),
        )
        return observe.observe(seen, state, of=watched)

    def standing(self, target: Target) -> routes.RouteStanding:
        """Return how the HTTPRoute of what serves stands.

        The proxies are asked until they answer, and then once for other gateways or host names.

        While weights move, a route that is not accepted yet says nothing: each of them is accepted
        a moment after it was written.
        """
        spec, memory = target.spec, target.memory
        if spec.gateway is None or spec.routing == "seldon" or target.state.stable is None:
            return routes.NOT_ASKED
        asked = resource.fingerprint(spec.gateway.model_dump(mode="json"))
        if memory.answers is None and status.answered(target.before, generation=target.generation):
            memory.answers = asked
        found = self._api.get("HTTPRoute", *target.key)
        answers: bool | None = True if memory.answers == asked else None
        unknown = ""
        if answers is None and routes.accepted(found):
            index = int(target.first not in (None, target.state.stable))
            answers, unknown = self.answers(target, index=index)
            memory.answers = asked if answers else None
        standing = routes.standing(found, answers=answers, unknown=unknown)
        if target.rests or standing.holds or standing.word == routes.REFUSED:
            memory.standing = standing
        return memory.standing

    def answers(self, target: Target, *, index: int) -> tuple[bool | None, str]:
        """Return whether the gateway's proxies have pods to send requests to, and why nobody can
        tell."""
        if target.spec.counts is not None:
            return None, "spec.counts is of another gateway than Envoy Gateway"
        namespace, name = target.key
        try:
            answers = self._prometheus.answers(namespace=namespace, deployment=name, index=index)
        except errors.FairwayError as error:  # Ready is no guess: it is asked again
            log.warning("%s/%s: %s", namespace, name, error)
            return False, ""
        return (
            answers,
            f"Prometheus keeps no {scrapes.MEMBERS} of the gateway's proxies"
            if answers is None
            else "",
        )

    def accepted(self, target: Target) -> bool:
        """Say whether the requests are divided as was written last, as far as anybody says so."""
        return target.spec.routing == "seldon" or routes.accepted(
            self._api.get("HTTPRoute", *target.key)
        )

    def backed(self, owner: names.Owner, revision: str, memory: Memory) -> bool:
        """Say whether the revision has a Service, which requests can be sent to."""
        if revision in memory.backed:
            return True
        if self._api.get("Service", owner.namespace, f"{owner.name}-{revision}") is None:
            return False
        memory.backed.add(revision)
        return True

    def deployments(self, owner: names.Owner) -> list[api.Object]:
        """Return the Deployments of the revisions, ours and those that Seldon made for us."""
        return [
            deployment
            for deployment in self._api.find(
                "Deployment", owner.namespace, labels=names.selector(owner)
            )
            if owned.controlled(deployment, uid=owner.uid) or seldon.made(deployment, owner=owner)
        ]

    def _revisions(self, owner: names.Owner) -> dict[str, controllerrevision.Revision]:
        found = self._api.find("ControllerRevision", owner.namespace, labels=names.selector(owner))
        known = {}
        # anybody may set a label
        for obj in (obj for obj in found if owned.controlled(obj, uid=owner.uid)):
            try:
                revision = controllerrevision.read(obj)
                known[revision.name] = revision
            # a revision that nothing needs must not stop the rest
            except errors.PlatformError as error:
                log.error("%s/%s: %s", owner.namespace, owner.name, error)
        return known

    def _healths(
        self, owner: names.Owner, spec: resource.Spec, names: Iterable[str], memory: Memory
    ) -> dict[str, health.Health]:
        """Return each revision's health."""
        memory.deployments = {
            revision_of(deployment): deployment for deployment in self.deployments(owner)
        }
        return {name: self._health(owner, spec, name, memory) for name in dict.fromkeys(names)}

    def _health(
        self, owner: names.Owner, spec: resource.Spec, name: str, memory: Memory
    ) -> health.Health:
        """Return a revision's health.

        Pods are read only where its Deployment is not as it should be, or its facts are unknown.
        """
        deployment = memory.deployments.get(name)
        found = health.judge(deployment, (), replicas=spec.scaling.min_replicas)
        if deployment is None:
            memory.applied.pop(("Deployment", f"{owner.name}-{name}"), None)
            found = self._seldon_trouble(owner, spec) or found
        elif not found.ready or name not in memory.facts:
            pods = self._api.find("Pod", owner.namespace, labels=names.selector(owner, name))
            found = health.judge(deployment, pods, replicas=spec.scaling.min_replicas)
            if found.facts:
                memory.facts[name] = found.facts
        # its requests would be answered 500
        if found.ready and not self.backed(owner, name, memory):
            return replace(found, ready=False, note=f"its Service {owner.name}-{name} is not there")
        return found

    def _seldon_trouble(self, owner: names.Owner, spec: resource.Spec) -> health.Health | None:
        """Return why Seldon has not made a revision's Deployment, where it says so."""
        if spec.runtime != "seldon":
            return None
        said = seldon.trouble(self._api.get("SeldonDeployment", owner.namespace, owner.name))
        return health.Health(note=said) if said else None

    def _sample(self, target: Target) -> traffic.Sample | None:
        """Return both arms' counts with the route that is in effect, or None where they cannot be
        read.

        Nothing is read where nothing moves.
        """
        route, memory = target.route, target.memory
        if route is None or target.rests or target.state.phase is Phase.STARTING:
            return None
        try:
            with budget.within(COUNTS_SECONDS):
                raw = self._counts(target, route)
        # whatever it is: a rollout that cannot be judged holds, and a revision that is broken goes
        # back
        except errors.FairwayError as error:
            log.warning("%s/%s: %s", *target.key, error)
            return None
        accepted = memory.route.follows(route) or self.accepted(target)
        return memory.route.confirm(raw, route=route, accepted=accepted, now=target.now)

    def _counts(self, target: Target, route: traffic.Route) -> traffic.Sample | None:
        namespace, name = target.key
        limits = thresholds(target.policy)
        if target.spec.counts is None:
            return self._prometheus.sample(
                namespace=namespace,
                deployment=name,
                route=route,
                thresholds=limits,
                before=target.state.sample or target.memory.route.latest,
                route_version="",
                first=target.first,
            )
        queries = counts.chosen(
            target.spec.counts.template, self._installed.settings.templates, thresholds=limits
        )
        return counts.sample(
            self._prometheus,
            queries,
            namespace=namespace,
            deployment=name,
            route=route,
            thresholds=limits,
        )


def broken(state: State, healths: Mapping[str, health.Health], *, serves: bool) -> dict[str, str]:
    """Return the revisions that will not do, and why.

    A candidate that serves is broken as soon as it has no pod left because its own server ended.
    """
    found = {name: one.broken for name, one in healths.items() if one.broken}
    candidate = healths.get(state.candidate or "")
    if (
        serves
        and candidate is not None
        and candidate.available == 0
        and candidate.ended is not None
    ):
        found.setdefault(
            state.candidate or "", f"it has no pod left that answers: {candidate.ended}"
        )
    return found

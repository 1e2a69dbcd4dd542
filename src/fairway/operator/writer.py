"""What a look writes: the objects that make a Target's state true. Applying twice changes nothing.

The route comes first where the Services that it sends requests to are there: traffic waits for
nothing else, and an object that the API server refuses keeps no other away.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.operator import revisions
from fairway.operator.installed import Installed
from fairway.operator.reader import Reader
from fairway.operator.target import Memory, Target, revision_of
from fairway.platforms.kubernetes import api, gateway, objects, owned, seldon
from fairway.platforms.kubernetes.objects import controllerrevision, scalers
from fairway.rollout import traffic
from fairway.rollout.states import TOTAL, Phase

RETIRE_SECONDS = 20.0  # between the last route that named a revision and the end of its pods
# of a revision; last goes the Deployment, by which they are found
PER_REVISION = ("Service", "HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget")
# field manager of a number of replicas that an autoscaler is about to take
SCALING_MANAGER = "fairway-scaling"


class Writer:
    """Writes the objects of ModelDeployments."""

    def __init__(self, server: api.Api, installed: Installed, *, reader: Reader) -> None:
        self._api, self._installed, self._reader = server, installed, reader

    def make_true(self, target: Target) -> errors.FairwayError | None:
        """Take each step whatever becomes of the others, and return why the first that did not
        succeed did not."""
        over = self._over(target)
        target.memory.backed &= set(target.wanted)
        divide, serve = partial(self._divide, target), partial(self._serve, target, over=over)
        steps = (divide, serve) if self._services_are_there(target) else (serve, divide)
        failures = [_failure(step) for step in steps]
        if over and not any(failures):  # nothing is taken away from what may still be sent requests
            failures.append(_failure(partial(self._retire, target)))
        # last: nothing that moves waits for it
        failures.append(_failure(partial(self._share, target)))
        return next((failed for failed in failures if failed is not None), None)

    def keep(self, target: Target, revision: controllerrevision.Revision) -> None:
        """Write the revision's ControllerRevision: its facts must not be lost once the status names
        it."""
        number = revisions.number(revision, known=target.known)
        obj = objects.controller_revision(
            target.owner, revision, number=number, settings=self._installed.settings.cluster
        )
        self._apply(target, obj)

    # -- the steps --------------------------------------------------------------------------------------------------

    def _over(self, target: Target) -> bool:
        """Say whether the route has stopped sending requests to retired revisions."""
        moved = not target.rests and target.state.phase is not Phase.STARTING
        if moved or target.now - target.state.since <= RETIRE_SECONDS:
            return False
        return target.state.stable is None or self._reader.accepted(target)

    def _services_are_there(self, target: Target) -> bool:
        """Say whether requests can be sent wherever the route sends them."""
        route = target.route
        if target.spec.routing == "seldon" or route is None:
            return False
        served = [name for name in (route.stable, route.candidate) if name]
        return all(self._reader.backed(target.owner, name, target.memory) for name in served)

    def _serve(self, target: Target, *, over: bool) -> None:
        """Have servers for the revisions that must run."""
        owner, spec, cluster = target.owner, target.spec, self._installed.settings.cluster
        servers = [
            obj
            for name in target.wanted
            if name in target.known
            for obj in objects.for_revision(
                owner, target.known[name], scaling=spec.scaling, settings=cluster
            )
        ]
        if spec.runtime == "seldon":
            servers += self._predictors(target, over=over)
        else:
            self._hand_over_scaling(target)
        self._apply(target, *servers)

    def _share(self, target: Target) -> None:
        """Have what all revisions share, such as network policies."""
        cluster = self._installed.settings.cluster
        self._apply(target, *objects.for_deployment(target.owner, target.spec, settings=cluster))

    def _divide(self, target: Target) -> None:
        """Have the requests divided as the state asks for."""
        route, memory = target.route, target.memory
        if route is None:
            return
        if route.candidate is not None and not self._reader.backed(
            target.owner, route.candidate, memory
        ):
            # what is sent to a Service that is not there would be answered 500
            route = traffic.route(
                deployment=target.owner.name,
                stable=route.stable,
                candidate=None,
                weight=0,
                mirror=0,
            )
        before = _weight_before(target, route)
        if target.spec.routing == "seldon":
            memory.route.recall(None, weight=before)
            memory.route.written(route, arriving=False, now=target.now)  # with the predictors
            return
        if (parent := resource.route(target.spec)) is not None:
            self._write_route(target, route, parent, before=before)

    def _write_route(
        self, target: Target, route: traffic.Route, parent: resource.Gateway, *, before: int
    ) -> None:
        memory, now = target.memory, target.now
        must_know = route.weight or memory.route.fresh
        written = self._api.get("HTTPRoute", *target.key) if must_know else None
        memory.route.recall(written, weight=before)
        index = int(target.first != route.candidate)

        def reached() -> bool:
            return self._reader.answers(target, index=index)[0] is not False

        leaving = memory.route.leaving(route, now=now)
        arriving = memory.route.arriving(route, found=written, now=now, reached=reached)
        obj = gateway.http_route(
            target.owner,
            parent,
            route,
            first=target.first,
            leaving=leaving,
            arriving=arriving,
            runtime=target.spec.runtime,
        )
        self._apply(target, obj)
        memory.route.written(route, arriving=arriving, now=now)
        if self._installed.settings.cluster.envoy_gateway:
            self._apply(target, gateway.backend_policy(target.owner, target.spec))

    def _predictors(self, target: Target, *, over: bool) -> list[api.Object]:
        """Return the SeldonDeployment of what must run, and, until they may end, of what ran.

        One that runs nothing is deleted.
        """
        owner, state = target.owner, target.state
        names = list(target.wanted)
        if not over:
            names += seldon.revisions(self._api.get("SeldonDeployment", *target.key))
        running = [target.known[name] for name in dict.fromkeys(names) if name in target.known]
        if not running:
            self._delete(target, "SeldonDeployment", owner.name)
            return []
        deployment = seldon.deployment(
            owner,
            running,
            scaling=target.spec.scaling,
            settings=self._installed.settings.cluster,
            stable=state.stable or running[0].name,
            route=target.route if target.spec.routing == "seldon" else None,
        )
        return [deployment]

    def _hand_over_scaling(self, target: Target) -> None:
        """Hand the replica count to the autoscaler, or delete an autoscaler that is no longer
        wanted."""
        owner, memory, cluster = target.owner, target.memory, self._installed.settings.cluster
        scaler = scalers.scaler_kind(target.spec.scaling, settings=cluster)
        kinds = {"HorizontalPodAutoscaler", *(("ScaledObject",) if cluster.keda else ())}
        for name in target.wanted:
            deployment = memory.deployments.get(name)
            if deployment is None:
                continue
            handed = (
                scalers.handed_over(deployment, manager=api.MANAGER) if scaler is not None else None
            )
            if handed is not None:
                self._api.apply(handed, manager=SCALING_MANAGER)
            for kind in kinds - {scaler}:
                if (kind, name) not in memory.removed:
                    self._remove(target, kind, f"{owner.name}-{name}")
                    memory.removed.add((kind, name))

    def _retire(self, target: Target) -> None:
        """Delete the pods of revisions that nothing needs, and forget the oldest revisions beyond
        the limit."""
        owner, state, keda = target.owner, target.state, self._installed.settings.cluster.keda
        for deployment in self._reader.deployments(owner):
            revision = revision_of(deployment)
            if revision not in target.wanted:
                self._retire_revision(target, f"{owner.name}-{revision}", deployment, keda=keda)
        needed = {*target.wanted, *((state.previous,) if state.previous else ())}
        for name in revisions.surplus(
            target.known, needed=needed, limit=target.spec.revision_history_limit
        ):
            self._remove(target, "ControllerRevision", f"{owner.name}-{name}")

    def _retire_revision(
        self, target: Target, name: str, deployment: Mapping[str, Any], *, keda: bool
    ) -> None:
        for kind in PER_REVISION:
            if kind != "ScaledObject" or keda:
                self._delete(target, kind, name)
            target.memory.applied.pop((kind, name), None)
        self._delete(target, "Deployment", deployment["metadata"]["name"])
        target.memory.applied.pop(("Deployment", name), None)

    # -- objects ----------------------------------------------------------------------------------------------------

    def _apply(self, target: Target, *objects: Mapping[str, Any]) -> None:
        """Apply what differs from what was applied last; a change by somebody else makes the watch
        forget that."""
        failures = [
            failed for obj in objects if (failed := self._apply_one(obj, target.memory)) is not None
        ]
        if failures:
            raise failures[0]

    def _apply_one(self, obj: Mapping[str, Any], memory: Memory) -> errors.FairwayError | None:
        """Apply the object, and return why it is refused: it must not keep the others away."""
        key = (obj["kind"], obj["metadata"]["name"])
        fingerprint = resource.fingerprint(obj)
        if memory.applied.get(key, ("", 0))[0] == fingerprint:
            return None
        try:
            made = owned.apply(self._api, obj)
        except errors.FairwayError as error:
            return error
        memory.applied[key] = fingerprint, int(made["metadata"].get("generation", 0))
        return None

    def _remove(self, target: Target, kind: str, name: str) -> None:
        """Delete the object, and forget that it was applied."""
        self._delete(target, kind, name)
        target.memory.applied.pop((kind, name), None)

    def _delete(self, target: Target, kind: str, name: str) -> None:
        owned.delete(
            self._api, kind, namespace=target.owner.namespace, name=name, uid=target.owner.uid
        )


def _failure(step: Callable[[], None]) -> errors.FairwayError | None:
    """Take the step, and return why it did not succeed, if it did not."""
    try:
        step()
    except errors.FairwayError as error:
        return error
    return None


def _weight_before(target: Target, route: traffic.Route) -> int:
    """Return the candidate's weight before the route, in percent."""
    segments: Iterable[Any] = reversed(target.state.segments)
    earlier = (segment for segment in segments if segment.version != route.version)
    return next((round(segment.weight * TOTAL) for segment in earlier), 0)

"""The Target of one look: a ModelDeployment with what it asks for, what is known of it and where
its rollout stands.

A look reads one Target, decides on the state after it, and writes that Target with the new state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from fairway import clocks, errors
from fairway.config import resource, sections
from fairway.control import observe
from fairway.operator import routes, status
from fairway.platforms.kubernetes import api, counts, gateway, health
from fairway.platforms.kubernetes.objects import controllerrevision, names
from fairway.rollout import states, traffic
from fairway.rollout.states import Phase, State

RESTING = (Phase.PENDING, Phase.STABLE, Phase.ROLLED_BACK)
PATIENCE = 3  # looks after which a failure that may pass by itself is told as a refusal


@dataclass(frozen=True, kw_only=True)
class OperatorSettings:
    """What the operator was started with."""

    server_image: str  # for resources that name none
    seldon_image: str = ""  # for resources of runtime seldon that name none
    interval_seconds: float = 2.0  # between two looks at a rollout in progress
    # that hooks may name besides Services of their own namespace; patterns
    hook_hosts: tuple[str, ...] = ()
    templates: counts.Templates = field(default_factory=dict)  # queries that resources may name
    hook_networks: tuple[str, ...] = ()  # that those hosts may lie in besides public addresses
    cluster: names.ClusterSettings = field(default_factory=names.ClusterSettings)


@dataclass
class Memory:
    """What is worth remembering of one resource between looks; all of it can be found again."""

    elapsed: clocks.Elapsed
    tallies: observe.Tallies = field(default_factory=observe.Tallies)
    route: routes.Routes = field(default_factory=routes.Routes)
    # (kind, name) -> fingerprint and generation of the object that was applied
    applied: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    # revision -> what the init step found in its package
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    # revision -> its Deployment at the last look
    deployments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    # (kind, name) -> known not to be there
    removed: set[tuple[str, str]] = field(default_factory=set)
    backed: set[str] = field(default_factory=set)  # revisions whose Service is there
    refusal: tuple[str, str] | None = None  # what ended the last look, or was refused in it
    # fingerprint of the gateways and host names for which the gateway has answered
    answers: str | None = None
    standing: routes.RouteStanding = routes.NOT_ASKED
    failures: int = 0  # looks in a row after which something was not as decided

    def refuse(self, failed: errors.FairwayError | None) -> tuple[str, str] | None:
        """Take notice of what kept the last decision from being made true, and return what the
        status says of it.

        A failure that may pass by itself is told once it has not: a webhook that is away for a
        moment asks for no person.
        """
        self.failures = self.failures + 1 if failed is not None else 0
        if failed is None or isinstance(failed, errors.Permanent) or self.failures >= PATIENCE:
            self.refusal = refusal(failed) if failed is not None else None
        return self.refusal

    def distrust(self) -> None:
        """Forget what is known of objects: the next look puts back what was changed or deleted, and
        no watch told."""
        self.removed.clear()
        self.backed.clear()
        self.applied.clear()


@dataclass(frozen=True, kw_only=True)
class Target:
    """One ModelDeployment at one look."""

    found: api.Object
    owner: names.Owner
    spec: resource.Spec
    memory: Memory
    state: State
    policy: sections.Strategy  # in force: a rollout ends by the strategy that it began with
    first: str | None  # the revision at index 0 of the HTTPRoute
    # by name, the one that the spec asks for among them
    known: Mapping[str, controllerrevision.Revision]
    kept: frozenset[str]  # revisions that have a ControllerRevision
    desired: controllerrevision.Revision
    problem: str | None  # why the spec cannot be followed
    healths: Mapping[str, health.Health]
    now: float  # the rollout's own time
    wall: float  # what the clock on the wall says

    @property
    def before(self) -> Mapping[str, Any]:
        """Return the status that was read."""
        status: Mapping[str, Any] = self.found.get("status", {})
        return status

    @property
    def generation(self) -> int:
        return int(self.found["metadata"]["generation"])

    @property
    def key(self) -> tuple[str, str]:
        return self.owner.namespace, self.owner.name

    @property
    def rests(self) -> bool:
        return self.state.phase in RESTING

    @property
    def stopped(self) -> bool:
        """Say whether nothing new may begin; what serves goes on, and so does a rollout in
        progress."""
        return self.problem is not None or self.spec.paused

    @cached_property
    def route(self) -> traffic.Route | None:
        """Return the route that the state asks for."""
        return states.route(self.state, deployment=self.owner.name, strategy=self.policy)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the revisions that must run."""
        return states.wanted(self.state)

    @property
    def edited(self) -> bool:
        """Say whether the spec's strategy is not the one in force."""
        return states.bound(self.state) and self.policy != resource.policy(self.spec)

    def after(self, state: State) -> Self:
        """Return the target with the state that was decided."""
        first = self.first
        if state.stable is not None:
            first = gateway.first(first, stable=state.stable, candidate=state.candidate)
        policy = states.in_force(
            self.state, state, begun=self.policy, newest=resource.policy(self.spec)
        )
        return replace(self, state=state, policy=policy, first=first)


def refusal(error: Exception) -> tuple[str, str]:
    """Return a word and a sentence for what ended a look."""
    if isinstance(error, errors.FairwayError):
        return status.REFUSED, str(error)
    sentence = (
        f"a look at it failed ({type(error).__name__}), and is taken again: the operator's log says where; please "
        "report it"
    )
    return status.FAULT, sentence


def revision_of(deployment: Mapping[str, Any]) -> str:
    """Return the revision that a Deployment is of."""
    return str(deployment["metadata"]["labels"].get(f"{resource.GROUP}/revision", ""))


def thresholds(policy: sections.Strategy) -> tuple[str, ...]:
    """Return the thresholds at which the gateway counts an answer as slow."""
    return tuple(
        sections.format_duration(guard.timed) for guard in policy.guards if guard.timed is not None
    )

"""Track which HTTPRoute the proxies follow: accepted by the Gateway and visible in the traffic
split.

A confirmation that comes too early is harmless to guards that condition on both arms' counts. The
check of the split, and guards of units, reckon with the weight that was asked for: what the proxies
may still follow is therefore each route since the last that was seen in effect, of whatever
rollout.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fairway.platforms.kubernetes import confirm, gateway
from fairway.rollout import traffic
from fairway.rollout.states import TOTAL

# after its acceptance a route reaches the proxies within milliseconds; a cluster takes a little
# longer to be warm
ARRIVING_SECONDS = 2.0
# twice what Envoy waits for the pods of a cluster: nobody is asked longer whether it has them
ARRIVED_SECONDS = 30.0
# a revision that lost its share keeps a millionth of it for so long: several times what proxies
# take to learn a route
LEAVING_SECONDS = 10.0
SCRAPES = 60  # newest increments that are looked at
# conditions of an HTTPRoute without which no request is answered
VITAL = ("Accepted", "ResolvedRefs")
ROUTE = re.compile(r"HTTPRoute ([-.a-z0-9]+)/([-.a-z0-9]+)")
POSSIBLE = 10  # routes kept, that the proxies may still follow


@dataclass
class Routes:
    """The last scrape, and the route that is in effect.

    After a restart of the operator the newest is confirmed anew.
    """

    latest: traffic.Sample | None = None
    in_effect: bool = False  # whether the proxies follow the route that was written last
    _written: tuple[
        traffic.Route, ...
        # what the proxies may still follow: what was in effect last, and all that was written since
    ] = ()
    _recalled: int = 0  # the candidate's weight before all of those, by an earlier operator
    _since: float = 0.0  # when the newest was written
    # from when on scrapes say something about it: it is accepted, and no candidate arrives
    _waits: float = 0.0
    # the first scrape that was read since, by Prometheus's clock: what was scraped after it is of
    # the route
    _learns: float | None = None
    _increments: list[tuple[int, int]] = field(default_factory=list)
    # revisions with a real share of what was written last; None: nobody knows yet
    _serving: frozenset[str] | None = None
    _leaving: str | None = None

    @property
    def fresh(self) -> bool:
        """Say whether it is not known yet who serves."""
        return self._serving is None

    def follows(self, route: traffic.Route) -> bool:
        """Say whether the route was seen to be in effect, and none was written after it."""
        return self.in_effect and self._newest(route)

    def recall(self, found: Mapping[str, Any] | None, *, weight: int) -> None:
        """Take up from an earlier operator who serves by its HTTPRoute, and the candidate's weight
        before it, 0 where there was none.
        """
        if self._serving is None:
            self._serving, self._recalled = (
                gateway.serving(found) if found is not None else frozenset(),
                weight,
            )

    def arriving(
        self,
        route: traffic.Route,
        *,
        found: Mapping[str, Any] | None,
        now: float,
        reached: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Say whether the candidate must begin with a millionth: its cluster is new to the proxies,
        and is not asked before it is there.

        `reached` asks whether they know its pods: of clusters that come within seconds of each
        other Envoy may wait 15 s for those of the first.
        """
        if route.weight == 0 or route.candidate in (self._serving or ()):
            return False
        waited = now - self._since
        if not self._newest(route) or not accepted(found) or waited < ARRIVING_SECONDS:
            return True
        return waited < ARRIVED_SECONDS and not reached()

    def leaving(self, route: traffic.Route, *, now: float) -> str | None:
        """Return the revision that served until the route was written, and must not vanish at once."""
        still = (
            self._leaving
            if now - self._since < LEAVING_SECONDS and self._leaving not in _serving(route)
            else None
        )
        return (
            still
            if self._newest(route)
            else next(iter(sorted((self._serving or frozenset()) - _serving(route))), still)
        )

    def written(self, route: traffic.Route, *, arriving: bool, now: float) -> None:
        """Take notice of the route that the cluster has now."""
        if not self._newest(route):
            self._leaving = self.leaving(route, now=now)
            self._since, self.in_effect = now, False
            self._written = (*self._written[:1], *self._written[1:][-POSSIBLE:], route)
            self._forget(now)
        elif not self._whole(route) and not arriving:
            self._forget(now)
        self._serving = _serving(route) - ({route.candidate} if arriving else set())

    def confirm(
        self, raw: traffic.Sample | None, *, route: traffic.Route, accepted: bool, now: float
    ) -> traffic.Sample | None:
        """Return the sample with the version of the route in effect: `route`'s, or none."""
        if raw is None:
            return None
        if not self.follows(route) and self._newest(route):
            if accepted and self._whole(route):
                self._learn(raw)
                if self._realised(route, now=now):
                    self.in_effect, self._written = True, (route,)
            else:
                self._forget(now)
        self.latest = raw
        return replace(raw, route_version=route.version if self.follows(route) else "")

    def _newest(self, route: traffic.Route) -> bool:
        return bool(self._written) and self._written[-1].version == route.version

    def _whole(self, route: traffic.Route) -> bool:
        """Say whether the route was written with all its shares: a candidate that arrives has a
        millionth."""
        return self._serving == _serving(route)

    def _forget(self, now: float) -> None:
        self._waits, self._learns, self._increments = now, None, []

    def _learn(self, raw: traffic.Sample) -> None:
        """Keep what came between two scrapes, both taken after the route was written.

        An arm that has gone got nothing.
        """
        if self._learns is None:
            self._learns = raw.at
        before = self.latest
        if (
            before is None
            or before.at <= self._learns
            or raw.at <= before.at
            or before.epoch != raw.epoch
        ):
            return
        candidate, stable = _came(raw.candidate, before.candidate), _came(raw.stable, before.stable)
        if candidate is not None and stable is not None:
            self._increments = [*self._increments, (candidate, stable)][-SCRAPES:]

    def _realised(self, route: traffic.Route, *, now: float) -> bool:
        """Say whether none of the routes before can be what the proxies follow."""
        befores = {
            _share(route, before)
            for before in self._written[:-1]
            if before.version != route.version
        } or {self._recalled}
        return all(
            confirm.split(
                self._increments,
                before=before,
                after=route.weight,
                waited_seconds=now - self._waits,
            ).confirmed
            for before in befores
        )


def _came(after: traffic.ArmSample | None, before: traffic.ArmSample | None) -> int | None:
    """Return the requests that an arm completed between two scrapes, or None where nobody can say."""
    if after is None:
        return 0
    came = after.minus(before) if before is not None else None
    return came.requests if came is not None else None


def _share(route: traffic.Route, before: traffic.Route) -> int:
    """Return the share of units that `before` gives to the candidate of `route`, or, where it has
    none, to others than its stable.
    """
    shares = {before.candidate: before.weight, before.stable: TOTAL - before.weight}
    return (
        shares.get(route.candidate, 0)
        if route.candidate is not None
        else TOTAL - shares.get(route.stable, 0)
    )


def _serving(route: traffic.Route) -> frozenset[str]:
    """Return the revisions that get requests."""
    found = set[str]()
    if route.weight < TOTAL:
        found.add(route.stable)
    if route.weight > 0:
        found.add(route.candidate or "")
    return frozenset(found)


def accepted(found: Mapping[str, Any] | None) -> bool:
    """Say whether every Gateway that the HTTPRoute names has accepted it as it is now, with all
    that it refers to."""
    if found is None or refused(found) is not None:
        return False
    parents = _parents(found)
    return bool(parents) and all(
        any(c["type"] == "Accepted" for c in conditions) for _, conditions in parents
    )


def refused(found: Mapping[str, Any]) -> str | None:
    """Return why a Gateway does not follow the HTTPRoute as it is now, in its controller's words."""
    for name, conditions in _parents(found):
        for condition in conditions:
            if condition["status"] == "False" and condition["type"] in VITAL:
                return (
                    f"{name} does not take the HTTPRoute ({condition.get('reason')}): "
                    f"{str(condition.get('message', ''))[:500]}"
                )
    return None


@dataclass(frozen=True)
class RouteStanding:
    """Whether the gateway answers for the revision in service, in a word for programs and a
    sentence."""

    holds: bool
    word: str
    sentence: str


REFUSED = "Refused"
OVERLAPS = "Overlaps"  # an older route takes the same requests
NOT_ASKED = RouteStanding(True, "NotAsked", "no HTTPRoute of ours divides the requests yet")


def standing(
    found: Mapping[str, Any] | None, *, answers: bool | None, unknown: str = ""
) -> RouteStanding:
    """Return how an HTTPRoute stands.

    `answers` says whether proxies know who answers, and is None, with the reason, where nobody can
    tell.
    """
    if found is None:
        return RouteStanding(False, "NotWritten", "the HTTPRoute is not written yet")
    if (why := refused(found)) is not None:
        return RouteStanding(False, REFUSED, why)
    if not accepted(found):
        return RouteStanding(
            False,
            "NotAccepted",
            "no gateway has accepted the HTTPRoute yet: wanted a Gateway that spec.gateway.parentRefs names, "
            "and its controller",
        )
    if answers is None:
        return RouteStanding(
            True,
            "Accepted",
            f"the gateway has accepted the HTTPRoute; whether its proxies follow cannot be told: {unknown}",
        )
    if not answers:
        return RouteStanding(
            False,
            "NotAnswering",
            "the gateway has accepted the HTTPRoute, and its proxies have no pod to send requests to yet",
        )
    return RouteStanding(True, "Answering", "the gateway sends requests to the revision in service")


def _parents(found: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return each Gateway that has said something of the HTTPRoute, with what it says of it as it
    is now."""
    generation = found["metadata"].get("generation", 1)
    return [
        (
            f"gateway {parent.get('parentRef', {}).get('name', '')}".rstrip(),
            [
                c
                for c in parent.get("conditions", ())
                if c.get("observedGeneration", 0) >= generation
            ],
        )
        for parent in found.get("status", {}).get("parents", ())
    ]


def overlapping(found: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Return namespace and name of the HTTPRoutes that take the same requests, as Envoy Gateway
    says of ours."""
    said = [
        condition.get("message", "")
        for parent in (found or {}).get("status", {}).get("parents", ())
        for condition in parent.get("conditions", ())
        if (condition.get("type"), condition.get("status")) == ("RouteRulesOverlap", "True")
    ]
    return tuple(
        dict.fromkeys(
            (namespace, name) for message in said for namespace, name in ROUTE.findall(message)
        )
    )


def older(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether the first of two HTTPRoutes gets the requests that both take, by the rule of
    the Gateway API."""

    def age(route: Mapping[str, Any]) -> tuple[str, str]:
        metadata = route["metadata"]
        return str(
            metadata.get("creationTimestamp", "")
        ), f"{metadata.get('namespace')}/{metadata['name']}"

    return age(one) < age(other)

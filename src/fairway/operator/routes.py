"""The routes of one resource as far as one operator has written them: which is in effect, by acceptance and by the realised split.

A confirmation that comes too early is harmless to guards that condition on both arms' counts. The check of the split, and guards of units, reckon with the
weight that was asked for: what the proxies may still follow is therefore each route since the last that was seen in effect, of whatever rollout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fairway.platforms.kubernetes import confirm, gateway
from fairway.rollout import traffic

ARRIVING_SECONDS = 2.0      # after its acceptance a route reaches the proxies within milliseconds; a cluster takes a little longer to be warm
LEAVING_SECONDS = 10.0      # a revision that lost its share keeps a millionth of it for so long: several times what proxies take to learn a route
TOTAL = 100                 # weights are percent
SCRAPES = 60                # newest increments that are looked at
POSSIBLE = 10               # routes kept, that the proxies may still follow


@dataclass
class Routes:
    """The last scrape, and the route that is in effect; after a restart of the operator the newest is confirmed anew."""

    latest: traffic.Sample | None = None
    confirmed: str | None = None            # version of the route that was written last, once it is in effect
    _possible: tuple[traffic.Route, ...] = ()   # what the proxies may still follow: what was in effect last, and all that was written since
    _version: str | None = None             # of the route that was written last
    _since: float = 0.0
    _arriving: bool = False                 # the candidate has a millionth of what the route gives it
    _increments: list[tuple[int, int]] = field(default_factory=list)
    _serving: frozenset[str] | None = None  # revisions with a real share of what was written last; None: nobody knows yet
    _leaving: str | None = None

    @property
    def fresh(self) -> bool:
        """Says whether it is not known yet who serves."""
        return self._serving is None

    def recall(self, found: Mapping[str, Any] | None) -> None:
        """Takes up who serves from the HTTPRoute that an earlier operator has left."""
        if self._serving is None:
            self._serving = gateway.serving(found) if found is not None else frozenset()

    def arriving(self, route: traffic.Route, *, found: Mapping[str, Any] | None, now: float) -> bool:
        """Says whether the candidate must begin with a millionth: its cluster is new to the proxies, and is not asked before it is there."""
        if route.weight == 0 or route.candidate in (self._serving or ()):
            return False
        return route.version != self._version or not accepted(found) or now - self._since < ARRIVING_SECONDS

    def leaving(self, route: traffic.Route, *, now: float) -> str | None:
        """Gives the revision that served until the route was written, and must not vanish at once."""
        still = self._leaving if now - self._since < LEAVING_SECONDS and self._leaving not in _serving(route) else None
        if route.version != self._version:
            return next(iter(sorted((self._serving or frozenset()) - _serving(route))), still)
        return still

    def written(self, route: traffic.Route, *, arriving: bool, now: float) -> None:
        """Takes notice of the route that the cluster has now."""
        if route.version != self._version:
            self._leaving = self.leaving(route, now=now)
            self._version, self._since, self._increments = route.version, now, []
            self._possible, self.confirmed = (*self._possible, route)[-POSSIBLE:], None
        self._arriving = arriving
        self._serving = _serving(route) - ({route.candidate} if arriving else set())

    def confirm(self, raw: traffic.Sample | None, *, route: traffic.Route, accepted: bool, now: float) -> traffic.Sample | None:
        """Gives the sample with the version of the route in effect: `route`'s, or none."""
        if raw is None:
            return None
        if self.confirmed != route.version:
            self._learn(raw, route)
            if accepted and route.version == self._version and not self._arriving and self._in_effect(route, now=now):
                self.confirmed, self._possible = route.version, (route,)
        self.latest = raw
        return replace(raw, route_version=route.version if self.confirmed == route.version else "")

    def _learn(self, raw: traffic.Sample, route: traffic.Route) -> None:
        """Keeps what came between two scrapes, both taken after the route was written."""
        before = self.latest
        if before is None or before.at < self._since or raw.at <= before.at or before.epoch != raw.epoch:
            return
        stable = raw.stable.minus(before.stable) if raw.stable and before.stable else None
        candidate = raw.candidate.minus(before.candidate) if raw.candidate and before.candidate else None
        if stable is not None and (candidate is not None or raw.candidate is None):
            self._increments = [*self._increments, (candidate.requests if candidate else 0, stable.requests)][-SCRAPES:]

    def _in_effect(self, route: traffic.Route, *, now: float) -> bool:
        """Says whether none of the routes before can be what the proxies follow; where none is known, the candidate had no share."""
        befores = {_share(route, before) for before in self._possible if before.version != route.version} or {0}
        return all(confirm.split(self._increments, before=before, after=route.weight, waited_seconds=now - self._since).confirmed for before in befores)


def _share(route: traffic.Route, before: traffic.Route) -> int:
    """Gives the share of units that `before` gives to the candidate of `route`, or, where it has none, to others than its stable."""
    shares = {before.candidate: before.weight, before.stable: TOTAL - before.weight}
    return shares.get(route.candidate, 0) if route.candidate is not None else TOTAL - shares.get(route.stable, 0)


def _serving(route: traffic.Route) -> frozenset[str]:
    return frozenset([route.stable] * (route.weight < TOTAL) + [route.candidate or ""] * (route.weight > 0))


def accepted(found: Mapping[str, Any] | None) -> bool:
    """Says whether every Gateway that the HTTPRoute names has accepted it as it is now."""
    if found is None:
        return False
    parents = found.get("status", {}).get("parents", ())
    generation = found["metadata"].get("generation", 1)
    return bool(parents) and all(
        any(c["type"] == "Accepted" and c["status"] == "True" and c.get("observedGeneration", 0) >= generation for c in parent.get("conditions", ()))
        for parent in parents)

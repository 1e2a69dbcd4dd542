"""What the gateway is told: an HTTPRoute with both arms, and Envoy Gateway's policy that keeps
units on their arm.

Pure.

Tried on Envoy Gateway 1.9 with Envoy 1.40:

* A backendRef with a filter of its own is a cluster of its own, `httproute/NAMESPACE/NAME/rule/0/backend/INDEX`, with
  its own counters. One of weight 0 has no cluster, and keeps the index. A cluster whose backendRef goes is removed at
  once; its counters begin anew when it comes back.
* The proxies may lose a cluster milliseconds before they learn of the route without it, and answer 500 to what it was
  meant for. A revision therefore keeps its index as long as it serves, and one that leaves keeps a millionth of the
  requests until the others have taken over. One that comes begins with a millionth, until its cluster is there.
* Headers of a backendRef are set first, those of the rule afterwards: a rule that removed `x-fairway-arm` would remove
  what the backendRef set.
* A mirrored copy is taken after that, so it carries the arm header of the request it is a copy of. `x-fairway-revision`
  tells them apart: it names the revision that the request was sent to, and a server of another revision has a copy.
  Both are set, so what a client sends of them is lost.
* A path of one revision is a rule of its own, after the arms', whose index their counters are found by: what its
  clients chose is nobody's evidence.
* A Service without ready endpoints gets its share of the requests answered 503 by the gateway, and no cluster counts
  them.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fairway.config import resource
from fairway.platforms.kubernetes.objects import names
from fairway.rollout import traffic
from fairway.rollout.states import TOTAL

ARM, REVISION, UNIT = "x-fairway-arm", "x-fairway-revision", "x-fairway-unit"
NAMED = "named"  # the arm of a request for one revision by its name
ROUTE_VERSION = f"{resource.GROUP}/route-version"
# shorter than the servers' 75: the gateway closes idle connections, and no request meets a closed
# one
IDLE_SECONDS = 60
BODY_SECONDS = 30  # in which a request must come, and how long one may be silent
# at one revision by one proxy, Envoy's own default, where the servers bear no more
MOST_REQUESTS = 1024
SERVED = {
    "bentoml": ("/v2",),
    "seldon": ("/v2", "/api", "/predict"),
}  # by runtime: what clients may ask; /metrics and probes are the cluster's
# backendRef weights in a percent: one of them is the millionth that a leaving revision keeps
SHARES = 10_000


def first(before: str | None, *, stable: str, candidate: str | None) -> str:
    """Return the revision at index 0, where `before` was: who serves stays where it is, and who
    comes takes the free place.
    """
    if before in (None, stable, candidate):
        return before or stable
    return candidate or before or stable


def http_route(
    owner: names.Owner,
    gateway: resource.Gateway,
    route: traffic.Route,
    *,
    first: str | None = None,
    leaving: str | None = None,
    arriving: bool = False,
    runtime: str = "bentoml",
) -> dict[str, Any]:
    """Return the HTTPRoute that divides (and mirrors) the requests as `route` says.

    `first` is the revision at index 0, by default stable; `leaving` had a share until now and keeps
    a millionth, and the candidate that is `arriving` begins with one.
    """
    weight = route.weight if route.candidate is not None else 0
    shares = {
        route.stable: (TOTAL - weight) * SHARES,
        **({route.candidate: weight * SHARES} if route.candidate and weight else {}),
    }
    if arriving and len(shares) == 2:
        shares = {route.stable: TOTAL * SHARES - 1, route.candidate or "": 1}
    arms = {route.stable: "stable", route.candidate: "canary"}
    if leaving is not None and len(shares) == 1 and leaving not in shares:
        shares = {route.stable: shares[route.stable] - 1, leaving: 1}
        arms = {leaving: "canary", **arms}
    # a promotion without a bake: stable has no share left
    elif leaving is not None and shares.get(leaving) == 0:
        shares = {name: share - 1 if share else 1 for name, share in shares.items()}
    backends = [
        _backend(owner, revision, arm=arms[revision], weight=share)
        for revision, share in shares.items()
    ]  # stable, and the other
    if first not in (None, route.stable):  # stable keeps its place, which is the second
        backends.reverse()
        if len(backends) == 1:
            backends.insert(0, {**_service(owner, route.stable), "weight": 0})
    timeouts = {"request": _duration(gateway.timeout)}
    rule: dict[str, Any] = {
        "matches": [_below(path) for path in SERVED[runtime]],
        "backendRefs": backends,
        "timeouts": timeouts,
    }
    if route.candidate is not None and route.mirror:
        mirror = {"backendRef": _service(owner, route.candidate), "percent": route.mirror}
        rule["filters"] = [{"type": "RequestMirror", "requestMirror": mirror}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {**names.metadata(owner), "annotations": {ROUTE_VERSION: route.version}},
        "spec": {
            "parentRefs": [
                ref.model_dump(mode="json", by_alias=True, exclude_none=True)
                for ref in gateway.parent_refs
            ],
            **({"hostnames": list(gateway.hostnames)} if gateway.hostnames else {}),
            "rules": [
                rule,
                *(_named(owner, revision, timeouts=timeouts) for revision in _serving(route)),
            ],
        },
    }


def serving(found: Mapping[str, Any]) -> frozenset[str]:
    """Return the revisions that have a real share by an HTTPRoute of ours."""
    prefix = f"{found['metadata']['name']}-"
    backends = [
        backend
        for rule in found.get("spec", {}).get("rules", ())[:1]
        for backend in rule.get("backendRefs", ())
    ]
    return frozenset(
        backend["name"].removeprefix(prefix) for backend in backends if backend.get("weight", 1) > 1
    )


def backend_policy(owner: names.Owner, spec: resource.Spec) -> dict[str, Any]:
    """Return the policy that hashes the unit to its arm (and its pod), takes bodies in whole, and
    bounds what is asked of the servers at once.

    A request without a unit is drawn at random. A body that is too large (413) or silent (408)
    never reaches a server, and counts for no arm.
    """
    requests = max(MOST_REQUESTS, spec.serving.max_concurrency * spec.scaling.max_replicas)
    parent = resource.route(spec)
    timeout = (parent.timeout if parent else timedelta()) + timedelta(seconds=BODY_SECONDS)
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "BackendTrafficPolicy",
        "metadata": names.metadata(owner),
        "spec": {
            "targetRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": owner.name}
            ],
            "loadBalancer": {
                "type": "ConsistentHash",
                "consistentHash": {"type": "Headers", "headers": [{"name": UNIT}]},
            },
            "requestBuffer": {"limit": f"{spec.serving.max_body_mebibytes}Mi"},
            "circuitBreaker": {
                "maxConnections": requests,
                "maxParallelRequests": requests,
                "maxPendingRequests": requests,
            },
            "timeout": {
                "http": {
                    "connectionIdleTimeout": f"{IDLE_SECONDS}s",
                    "streamIdleTimeout": _duration(timeout),
                }
            },
        },
    }


def _serving(route: traffic.Route) -> tuple[str, ...]:
    """Return the revisions that can be asked by name: those that get requests or copies."""
    candidate = route.candidate if route.weight or route.mirror else None
    return (route.stable,) if candidate is None else (route.stable, candidate)


def _named(owner: names.Owner, revision: str, *, timeouts: Mapping[str, str]) -> dict[str, Any]:
    """Return the rule for requests that name the revision in their path."""
    headers = [{"name": ARM, "value": NAMED}, {"name": REVISION, "value": revision}]
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}]
    return {
        "matches": [_below(f"/v2/models/{owner.name}/versions/{revision}")],
        "backendRefs": [_service(owner, revision)],
        "filters": filters,
        "timeouts": dict(timeouts),
    }


def _below(path: str) -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": path}}


def _backend(owner: names.Owner, revision: str, *, arm: str, weight: int) -> dict[str, Any]:
    headers = [{"name": ARM, "value": arm}, {"name": REVISION, "value": revision}]
    return {
        **_service(owner, revision),
        "weight": weight,
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}],
    }


def _service(owner: names.Owner, revision: str) -> dict[str, Any]:
    return {"name": f"{owner.name}-{revision}", "port": names.PORT}


def _duration(value: timedelta) -> str:
    """Return the duration as the Gateway API writes it: whole numbers of at most five digits, and
    no days."""
    milliseconds = round(value.total_seconds() * 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"

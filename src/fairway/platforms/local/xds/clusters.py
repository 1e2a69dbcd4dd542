"""Envoy's clusters: every (deployment, revision, arm) is one of its own, which gives it counters of
its own. Pure.

The shadow's cluster has tight circuit breakers, so that a slow shadow drops copies and slows
nobody.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from fairway.platforms.local.xds import parts
from fairway.rollout import traffic

Places = Sequence[tuple[str, int]]
Endpoints = Mapping[str, Places]
# Of one arm. With a millisecond for an answer it is half a second's work, which is what servers let
# wait; while one starts again as many are held.
ARM_LIMITS = {
    "max_connections": 384,
    "max_requests": 384,
    "max_pending_requests": 128,
    "max_retries": 384,
}  # 3 retries by default lose requests
# A slow shadow drops copies once these are full. 16 connections answer 300 a second at 50 ms each;
# the queue takes up bursts.
SIDE_LIMITS = {"max_connections": 16, "max_requests": 64, "max_pending_requests": 64}
NAMED = "named"  # the arm of a request for one revision by its name: nobody's evidence


def cluster_name(deployment: str, revision: str, arm: str) -> str:
    return f"arm_{deployment}_{revision}_{arm}"


def clusters(routes: Iterable[traffic.Route], *, endpoints: Endpoints) -> parts.Json:
    """Return the clusters that the routes need, as a CDS document."""
    found: dict[str, parts.Json] = {}
    for route in routes:
        stable = endpoints[route.stable]
        for revision in named(route):
            found |= _cluster(cluster_name(route.deployment, revision, NAMED), endpoints[revision])
        found |= _cluster(
            cluster_name(route.deployment, route.stable, "stable"), stable, then=stable
        )
        if route.candidate is not None and route.weight:
            # When its process dies the candidate's requests fall to stable, and are still counted
            # as the candidate's.
            found |= _cluster(
                cluster_name(route.deployment, route.candidate, "canary"),
                endpoints[route.candidate],
                then=stable,
            )
        if route.candidate is not None and route.mirror:
            found |= _cluster(
                cluster_name(route.deployment, route.candidate, "shadow"),
                endpoints[route.candidate],
            )
    return parts.document("config.cluster.v3.Cluster", [found[name] for name in sorted(found)])


def join(one: parts.Json, other: parts.Json) -> parts.Json:
    """Return the clusters of both documents; where both have one it is the latter's."""
    both = {
        resource["name"]: resource
        for document in (one, other)
        for resource in document["resources"]
    }
    return parts.document("config.cluster.v3.Cluster", [both[name] for name in sorted(both)])


def only(document: parts.Json, *, names: Collection[str]) -> parts.Json:
    """Return the clusters of the document that have these names."""
    kept = [resource for resource in document["resources"] if resource["name"] in names]
    return parts.document("config.cluster.v3.Cluster", kept)


def named(route: traffic.Route) -> tuple[str, ...]:
    """Return the revisions that can be asked by name: those that serve."""
    return (route.stable,) if route.candidate is None else (route.stable, route.candidate)


def _cluster(name: str, first: Places, *, then: Places = ()) -> dict[str, parts.Json]:
    """Return an arm's cluster; `then` are the places for a second try, waited for. Without them it
    is a shadow's, or one that is asked by name: what comes there is not tried again.
    """
    limits = ARM_LIMITS if then else SIDE_LIMITS
    groups = [
        [{"endpoint": {"address": parts.address(*place)}} for place in first],
        [_patient(*place) for place in then],
    ]
    return {
        name: {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "lb_policy": "LEAST_REQUEST",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [
                    {"priority": number, "lb_endpoints": group}
                    for number, group in enumerate(groups)
                    if group
                ],
            },
            "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **limits}]},
            "transport_socket_matches": [
                {
                    "name": parts.PATIENCE,
                    "match": {parts.PATIENCE: True},
                    "transport_socket": _through(),
                },
                {"name": "plain", "match": {}, "transport_socket": _plain()},
            ],
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": parts.TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http_protocol_options": {}},
                    "common_http_protocol_options": {"idle_timeout": "4s"},
                }
            },  # ours close first: no request meets a socket that the server just closed
        }
    }


def _patient(host: str, port: int) -> parts.Json:
    """Return the endpoint that is reached through the patient listener."""
    place = f"{host}:{port}"
    return {
        "endpoint": {
            "address": {
                "envoy_internal_address": {
                    "server_listener_name": parts.PATIENCE,
                    "endpoint_id": place,
                }
            }
        },
        "metadata": {
            "filter_metadata": {
                parts.ORIGINAL: {"local": place},
                "envoy.transport_socket_match": {parts.PATIENCE: True},
            }
        },
    }


def _through() -> parts.Json:
    """Return the socket to the patient listener, which tells it where to connect to."""
    return {
        "name": "envoy.transport_sockets.internal_upstream",
        "typed_config": {
            "@type": parts.TYPE
            + "extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
            "passthrough_metadata": [{"kind": {"host": {}}, "name": parts.ORIGINAL}],
            "transport_socket": _plain(),
        },
    }


def _plain() -> parts.Json:
    return {
        "name": "envoy.transport_sockets.raw_buffer",
        "typed_config": {
            "@type": parts.TYPE + "extensions.transport_sockets.raw_buffer.v3.RawBuffer"
        },
    }

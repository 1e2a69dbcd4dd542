"""What Envoy is told: its bootstrap, clusters and routes as documents. Pure.

Every (deployment, revision, arm) is a cluster of its own, which gives it counters of its own; the shadow's has tight circuit
breakers, so that a slow shadow drops copies and slows nobody. Settings and their reasons are measured ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairway import artifacts
from fairway.rollout import traffic

Json = dict[str, Any]
Endpoints = Mapping[str, Sequence[tuple[str, int]]]
TOTAL = 10_000            # constant: another total would move a tenth of the units
RETRIES = 20              # with the back-off below about 8 s: as long as a server takes to start again
ROUTES = "routes"
TYPE = "type.googleapis.com/envoy."
# Bounds of the latency histogram, milliseconds; a guard's threshold counts at the first bound that is not below it.
BUCKETS = (1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 750, 800, 1000, 1500, 2000, 2500,
           3000, 4000, 5000, 7500, 10_000, 15_000, 20_000, 30_000, 60_000)


def cluster_name(deployment: str, revision: str, arm: str) -> str:
    return f"arm_{deployment}_{revision}_{arm}"


def bootstrap(*, port: int, admin_port: int, folder: Path) -> Json:
    """Gives what Envoy starts with: a listener on the loopback address, routes and clusters read from files."""
    return {
        "node": {"id": "fairway", "cluster": "fairway"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "stats_flush_interval": "0.5s",  # histograms are merged then: the age of the latency counts
        "stats_config": {"histogram_bucket_settings": [{"match": {"suffix": "upstream_rq_time"}, "buckets": list(BUCKETS)}]},
        "dynamic_resources": {"cds_config": _file(folder / "cds.json")},
        "static_resources": {"listeners": [_listener(port, folder / "rds.json")]},
        "overload_manager": {"resource_monitors": [{"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": {
            "@type": TYPE + "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig", "max_active_downstream_connections": 10_000}}]},
    }


def clusters(routes: Iterable[traffic.Route], *, endpoints: Endpoints) -> Json:
    """Gives the clusters that the routes need, as a CDS document."""
    found: dict[str, Json] = {}
    for route in routes:
        stable = endpoints[route.stable]
        found |= _cluster(cluster_name(route.deployment, route.stable, "stable"), [stable])
        if route.candidate is not None and route.weight:
            # When its process dies the candidate's requests fall to stable, and are still counted as the candidate's.
            found |= _cluster(cluster_name(route.deployment, route.candidate, "canary"), [endpoints[route.candidate], stable])
        if route.candidate is not None and route.mirror:
            found |= _cluster(cluster_name(route.deployment, route.candidate, "shadow"), [endpoints[route.candidate]], shadow=True)
    return _document("config.cluster.v3.Cluster", [found[name] for name in sorted(found)])


def join(one: Json, other: Json) -> Json:
    """Gives the clusters of both documents; where both have one it is the latter's."""
    both = {resource["name"]: resource for document in (one, other) for resource in document["resources"]}
    return _document("config.cluster.v3.Cluster", [both[name] for name in sorted(both)])


def routes_document(routes: Iterable[traffic.Route]) -> Json:
    """Gives the routes as an RDS document; its version names the version of each deployment's route."""
    ordered = sorted(routes, key=lambda route: route.deployment)
    entries = [entry for route in ordered for entry in _route(route)]
    health = [{"match": {"path": f"/v2/health/{probe}"}, "direct_response": _answer(200, '{"%s": true}' % probe)} for probe in ("live", "ready")]
    missing = {"match": {"prefix": "/"}, "direct_response": _answer(404, '{"error": "no such model is deployed here; see `fairway status`"}')}
    host = {"name": "all", "domains": ["*"], "routes": [*entries, *health, missing]}
    document = _document("config.route.v3.RouteConfiguration", [{"name": ROUTES, "virtual_hosts": [host]}])
    return {**document, "version_info": versions_text({route.deployment: route.version for route in ordered})}


def versions_text(versions: Mapping[str, str]) -> str:
    """Gives the version of an RDS document: `deployment=version` of each, so that one number tells what is in effect."""
    return ",".join(f"{name}={version}" for name, version in sorted(versions.items())) or "none"


def versions(text: str) -> dict[str, str]:
    """Gives the route versions back from an RDS document's version."""
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def bound(threshold_ms: float) -> int:
    """Gives the bound of the latency histogram at which a threshold counts."""
    return next((edge for edge in BUCKETS if edge >= threshold_ms), BUCKETS[-1])


def _route(route: traffic.Route) -> list[Json]:
    action: Json = {
        "weighted_clusters": {"clusters": _weights(route), "use_hash_policy": True},
        "hash_policy": [{"header": {"header_name": "x-fairway-unit", "regex_rewrite": {
            "pattern": {"regex": "^(.*)$"}, "substitution": f"{route.salt}:\\1"}}}],
        "timeout": "33s",
        "retry_policy": _retries(),
    }
    if route.mirror and route.candidate is not None:
        action["request_mirror_policies"] = [{
            "cluster": cluster_name(route.deployment, route.candidate, "shadow"),
            "runtime_fraction": {"default_value": {"numerator": route.mirror, "denominator": "HUNDRED"}},
            "disable_shadow_host_suffix_append": True,
            "request_headers_mutations": [{"remove": "x-fairway-arm"}],
        }]
    shown = [{"header": {"key": "x-fairway-route-version", "value": route.version}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    matches: list[Json] = [{"prefix": f"/v2/models/{route.deployment}/"}, {"path": f"/v2/models/{route.deployment}"}]
    return [{"match": match, "route": action, "response_headers_to_add": shown} for match in matches]


def _weights(route: traffic.Route) -> list[Json]:
    """Gives the arms, the candidate first: growing its weight then moves units one way only."""
    canary = route.weight * TOTAL // 100 if route.candidate is not None else 0
    arms = [(route.candidate, "canary", canary), (route.stable, "stable", TOTAL - canary)]
    return [
        {"name": cluster_name(route.deployment, revision, arm), "weight": weight,
         "request_headers_to_add": [{"header": {"key": "x-fairway-arm", "value": arm}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]}
        for revision, arm, weight in arms if revision is not None and weight
    ]


def _retries() -> Json:
    return {
        "retry_on": "connect-failure,refused-stream,reset,reset-before-request",  # inference changes nothing: it may be asked again
        "num_retries": RETRIES,
        "per_try_timeout": "11s",  # a hung server must not hold its clients; a second more than the server's own deadline
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"},
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": {
            "@type": TYPE + "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", "update_frequency": 1}},
        "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
            "@type": TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
        "host_selection_retry_max_attempts": 3,
    }


def _cluster(name: str, priorities: Sequence[Sequence[tuple[str, int]]], *, shadow: bool = False) -> dict[str, Json]:
    places = [{"priority": number, "lb_endpoints": [{"endpoint": {"address": _address(*place)}} for place in group]} for number, group in enumerate(priorities)]
    # A slow shadow drops copies once these are full; 64 at once are 300 a second at 200 ms each.
    limits: Json = {"max_connections": 16, "max_requests": 64, "max_pending_requests": 64} if shadow else {
        "max_connections": 1024, "max_requests": 4096, "max_pending_requests": 4096, "max_retries": 1024}  # the default of 3 retries loses requests
    return {name: {
        "name": name, "type": "STATIC", "connect_timeout": "1s", "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": name, "endpoints": places},
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **limits}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http_protocol_options": {}},
            "common_http_protocol_options": {"idle_timeout": "4s"}}},  # ours close first: no request meets a socket that the server just closed
    }}


def _listener(port: int, rds: Path) -> Json:
    manager = {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "ingress",
        "rds": {"route_config_name": ROUTES, "config_source": _file(rds)},
        "preserve_external_request_id": True, "always_set_request_id_in_response": True,
        "common_http_protocol_options": {"idle_timeout": "300s"}, "stream_idle_timeout": "60s", "request_headers_timeout": "10s",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"}}],
    }
    return {"name": "ingress", "address": _address("127.0.0.1", port), "filter_chains": [
        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}


def _answer(status: int, body: str) -> Json:
    return {"status": status, "body": {"inline_string": body}}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _file(path: Path) -> Json:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _document(kind: str, resources: list[Json]) -> Json:
    typed = [{"@type": TYPE + kind, **resource} for resource in ({k: v for k, v in r.items() if k != "@type"} for r in resources)]
    return {"version_info": artifacts.digest_bytes(artifacts.canonical(typed))[7:19], "resources": typed}

"""What Envoy is told: its bootstrap, clusters and routes as documents. Pure.

Every (deployment, revision, arm) is a cluster of its own, which gives it counters of its own; the shadow's has tight circuit
breakers, so that a slow shadow drops copies and slows nobody. Settings and their reasons are measured ones.

Bodies are taken in whole before anything is asked of a server: one that is too large (413) or does not come (408) is answered here, and
counts for no arm. What is more than the servers' share of connections is answered 429 here, for it was the load, and no revision, that failed it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import files
from fairway.rollout import traffic
from fairway.serving import command

Json = dict[str, Any]
Places = Sequence[tuple[str, int]]
Endpoints = Mapping[str, Places]
TOTAL = 10_000  # constant: another total would move a tenth of the units
RETRIES = 2  # a request that kills its server meets three of them at most
CONNECT_ATTEMPTS = 40  # by the patient listener; with its back-off 8 to 11 s: longer than a server takes to start again
PATIENCE = "patience"
ORIGINAL = "envoy.filters.listener.original_dst"
MEBIBYTE = 1 << 20
BUFFER = (
    16 * MEBIBYTE
)  # a body that does not fit is not asked again when its server dies; servers take 8 MiB where nothing is said
BODY_SECONDS = 30  # in which the whole of a request must come: 8 MiB at 2 Mbit/s
HEAP = (
    1024 * MEBIBYTE
)  # of this process: beyond nine tenths the requests that hold the most are ended, so that many large bodies end nobody else's
# Of one arm. With a millisecond for an answer it is half a second's work, which is what servers let wait; while one starts again as many are held.
ARM_LIMITS = {
    "max_connections": 384,
    "max_requests": 384,
    "max_pending_requests": 128,
    "max_retries": 384,
}  # 3 retries by default lose requests
# A slow shadow drops copies once these are full. 16 connections answer 300 a second at 50 ms each; the queue takes up bursts.
SIDE_LIMITS = {"max_connections": 16, "max_requests": 64, "max_pending_requests": 64}
NAMED = "named"  # the arm of a request for one revision by its name: nobody's evidence
BUFFERING = "envoy.filters.http.buffer"
ROUTES = "routes"
TYPE = "type.googleapis.com/envoy."
# Bounds of the latency histogram, milliseconds: all of two digits, which is what Envoy keeps; between them it only interpolates. A guard's
# threshold counts at the last bound that is not above it: 100ms and 130ms exactly, 125ms as 120ms, so that more counts as slow, not less.
BUCKETS: tuple[int, ...] = (
    *range(1, 100),
    *range(100, 1_000, 10),
    *range(1_000, 10_000, 100),
    *range(10_000, 100_000, 1_000),
    *range(100_000, 610_000, 10_000),
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a deployment's servers bear."""

    seconds: float = 10.0
    """What they may take for an answer."""
    body_bytes: int = 8 * MEBIBYTE
    """Their largest request."""


def cluster_name(deployment: str, revision: str, arm: str) -> str:
    return f"arm_{deployment}_{revision}_{arm}"


def bootstrap(*, port: int, admin_port: int, folder: Path) -> Json:
    """Return what Envoy starts with: a listener on the loopback address, routes and clusters read from files."""
    return {
        "node": {"id": "fairway", "cluster": "fairway"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "stats_flush_on_admin": True,  # a scrape merges the histograms, for the next scrape: no timer lets latency counts lag
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"suffix": "upstream_rq_time"}, "buckets": list(BUCKETS)}]
        },
        "dynamic_resources": {"cds_config": _file(folder / "cds.json")},
        "static_resources": {
            "listeners": [_listener(port, folder / "rds.json"), _patient_listener()],
            "clusters": [
                {
                    "name": PATIENCE,
                    "type": "ORIGINAL_DST",
                    "lb_policy": "CLUSTER_PROVIDED",
                    "connect_timeout": "1s",
                    "circuit_breakers": {
                        "thresholds": [{"priority": "DEFAULT", "max_connections": 8192, "max_pending_requests": 8192}]
                    },
                }
            ],
        },
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": TYPE + "extensions.bootstrap.internal_listener.v3.InternalListener"},
            }
        ],
        "overload_manager": _overload(),
    }


def clusters(routes: Iterable[traffic.Route], *, endpoints: Endpoints) -> Json:
    """Return the clusters that the routes need, as a CDS document."""
    found: dict[str, Json] = {}
    for route in routes:
        stable = endpoints[route.stable]
        for revision in _named(route):
            found |= _cluster(cluster_name(route.deployment, revision, NAMED), endpoints[revision])
        found |= _cluster(cluster_name(route.deployment, route.stable, "stable"), stable, then=stable)
        if route.candidate is not None and route.weight:
            # When its process dies the candidate's requests fall to stable, and are still counted as the candidate's.
            found |= _cluster(
                cluster_name(route.deployment, route.candidate, "canary"), endpoints[route.candidate], then=stable
            )
        if route.candidate is not None and route.mirror:
            found |= _cluster(cluster_name(route.deployment, route.candidate, "shadow"), endpoints[route.candidate])
    return _document("config.cluster.v3.Cluster", [found[name] for name in sorted(found)])


def join(one: Json, other: Json) -> Json:
    """Return the clusters of both documents; where both have one it is the latter's."""
    both = {resource["name"]: resource for document in (one, other) for resource in document["resources"]}
    return _document("config.cluster.v3.Cluster", [both[name] for name in sorted(both)])


def routes_document(routes: Iterable[traffic.Route], *, limits: Mapping[str, Limits] | None = None) -> Json:
    """Return the routes as an RDS document; its version names the version of each deployment's route. `limits` are those of a deployment's servers."""
    ordered = sorted(routes, key=lambda route: route.deployment)
    entries = [
        entry for route in ordered for entry in _route(route, limits=(limits or {}).get(route.deployment, Limits()))
    ]
    server = {
        "match": {"path": "/v2"},
        "direct_response": _answer(200, json.dumps(command.SERVER)),
        "response_headers_to_add": [_header("content-type", "application/json")],
    }
    health = [
        {
            "match": {"path": f"/v2/health/{probe}"},
            "direct_response": _answer(200, f'{{"{probe}": true}}'),
            "response_headers_to_add": [_header("content-type", "application/json")],
        }
        for probe in ("live", "ready")
    ]
    missing = {
        "match": {"prefix": "/"},
        "direct_response": _answer(404, "no such model is deployed here; see `fairway status`"),
    }
    host = {"name": "all", "domains": ["*"], "routes": [_nameless(), server, *health, *entries, missing]}
    document = _document("config.route.v3.RouteConfiguration", [{"name": ROUTES, "virtual_hosts": [host]}])
    names = versions_text({route.deployment: route.version for route in ordered})
    return {
        **document,
        "version_info": f"{names};{document['version_info']}",
    }  # the digest tells a change that no route's version names


def versions_text(versions: Mapping[str, str]) -> str:
    """Return `deployment=version` of each, so that one text in the statistics tells what is in effect."""
    return ",".join(f"{name}={version}" for name, version in sorted(versions.items())) or "none"


def versions(text: str) -> dict[str, str]:
    """Return the route versions back from an RDS document's version."""
    return dict(pair.split("=", 1) for pair in text.partition(";")[0].split(",") if "=" in pair)


def bound(threshold_ms: float) -> int:
    """Return the bound of the latency histogram at which a threshold counts: answers that took as long are slow."""
    return max((edge for edge in BUCKETS if edge <= threshold_ms), default=BUCKETS[0])


def _nameless() -> Json:
    """Return the refusal of an empty unit: all of them would hash to one arm, which is no fair draw."""
    return {
        "match": {"prefix": "/", "headers": [{"name": "x-fairway-unit", "string_match": {"exact": ""}}]},
        "direct_response": _answer(400, "x-fairway-unit is empty: name the user or session, or leave the header out"),
    }


def _named(route: traffic.Route) -> tuple[str, ...]:
    """Return the revisions that can be asked by name: those that serve."""
    return (route.stable,) if route.candidate is None else (route.stable, route.candidate)


def _route(route: traffic.Route, *, limits: Limits) -> list[Json]:
    total = 3 * (limits.seconds + 1)
    action: Json = {
        "weighted_clusters": {"clusters": _weights(route), "use_hash_policy": True},
        "hash_policy": [
            {
                "header": {
                    "header_name": "x-fairway-unit",
                    "regex_rewrite": {"pattern": {"regex": "^(.*)$"}, "substitution": f"{route.salt}:\\1"},
                }
            }
        ],
        "timeout": f"{total:g}s",
        "idle_timeout": f"{max(60.0, total):g}s",
        "retry_policy": _retries(limits.seconds),
    }
    if route.mirror and route.candidate is not None:
        action["request_mirror_policies"] = [
            {
                "cluster": cluster_name(route.deployment, route.candidate, "shadow"),
                "runtime_fraction": {"default_value": {"numerator": route.mirror, "denominator": "HUNDRED"}},
                "disable_shadow_host_suffix_append": True,
                "request_headers_mutations": [{"remove": "x-fairway-arm"}],
            }
        ]
    shown = [_header("x-fairway-route-version", route.version)]
    bounded = {
        BUFFERING: {
            "@type": TYPE + "extensions.filters.http.buffer.v3.BufferPerRoute",
            "buffer": {"max_request_bytes": limits.body_bytes},
        }
    }
    claimed = ["x-fairway-revision"]  # of a client it would pass for a mirrored copy; the arm is overwritten
    common: Json = {
        "response_headers_to_add": shown,
        "request_headers_to_remove": claimed,
        "typed_per_filter_config": bounded,
    }
    model = f"/v2/models/{route.deployment}"
    entries: list[Json] = []
    for revision in _named(route):
        asked = {"cluster": cluster_name(route.deployment, revision, NAMED), "timeout": f"{limits.seconds + 1:g}s"}
        entries += [
            {"match": match, "route": asked, "request_headers_to_add": [_header("x-fairway-arm", NAMED)], **common}
            for match in ({"prefix": f"{model}/versions/{revision}/"}, {"path": f"{model}/versions/{revision}"})
        ]
    gone = f"no such revision of {route.deployment} serves: wanted one that does, or no version in the path"
    entries.append({"match": {"prefix": f"{model}/versions/"}, "direct_response": _answer(404, gone)})
    return entries + [
        {"match": match, "route": action, **common} for match in ({"prefix": f"{model}/"}, {"path": model})
    ]


def _weights(route: traffic.Route) -> list[Json]:
    """Return the arms, the candidate first: growing its weight then moves units one way only."""
    canary = route.weight * TOTAL // 100 if route.candidate is not None else 0
    arms = [(route.candidate, "canary", canary), (route.stable, "stable", TOTAL - canary)]
    return [
        {
            "name": cluster_name(route.deployment, revision, arm),
            "weight": weight,
            "request_headers_to_add": [_header("x-fairway-arm", arm)],
        }
        for revision, arm, weight in arms
        if revision is not None and weight
    ]


def _retries(deadline: float) -> Json:
    """Return how a request is asked again: first at the arm's server, then at its second priority, once more at the first.

    Envoy has one number of retries for all causes. A server that starts again must be waited for, which takes many attempts; a request
    that kills its server must not be sent many times. So the waiting is not done here: the second priority is reached through the
    patient listener, which tries to connect until somebody listens, and sends nothing before.
    """
    return {
        "retry_on": "connect-failure,refused-stream,reset,reset-before-request",  # inference changes nothing: it may be asked again
        "num_retries": RETRIES,
        "per_try_timeout": f"{deadline + 1:g}s",  # a hung server must not hold its clients; a second more than the server's own deadline
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"},
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": TYPE + "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": 1,
            },
        },
    }


def _cluster(name: str, first: Places, *, then: Places = ()) -> dict[str, Json]:
    """Return an arm's cluster; `then` are the places for a second try, waited for. Without them it is a shadow's, or one that is asked by name:
    what comes there is not tried again."""
    limits = ARM_LIMITS if then else SIDE_LIMITS
    groups = [[{"endpoint": {"address": _address(*place)}} for place in first], [_patient(*place) for place in then]]
    return {
        name: {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "lb_policy": "LEAST_REQUEST",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [
                    {"priority": number, "lb_endpoints": group} for number, group in enumerate(groups) if group
                ],
            },
            "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **limits}]},
            "transport_socket_matches": [
                {"name": PATIENCE, "match": {PATIENCE: True}, "transport_socket": _through()},
                {"name": "plain", "match": {}, "transport_socket": _plain()},
            ],
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http_protocol_options": {}},
                    "common_http_protocol_options": {"idle_timeout": "4s"},
                }
            },  # ours close first: no request meets a socket that the server just closed
        }
    }


def _patient(host: str, port: int) -> Json:
    """Return the endpoint that is reached through the patient listener."""
    place = f"{host}:{port}"
    return {
        "endpoint": {"address": {"envoy_internal_address": {"server_listener_name": PATIENCE, "endpoint_id": place}}},
        "metadata": {"filter_metadata": {ORIGINAL: {"local": place}, "envoy.transport_socket_match": {PATIENCE: True}}},
    }


def _through() -> Json:
    """Return the socket to the patient listener, which tells it where to connect to."""
    return {
        "name": "envoy.transport_sockets.internal_upstream",
        "typed_config": {
            "@type": TYPE + "extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
            "passthrough_metadata": [{"kind": {"host": {}}, "name": ORIGINAL}],
            "transport_socket": _plain(),
        },
    }


def _plain() -> Json:
    return {
        "name": "envoy.transport_sockets.raw_buffer",
        "typed_config": {"@type": TYPE + "extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
    }


def _patient_listener() -> Json:
    """Return a listener inside Envoy that connects to the place it is told as soon as somebody listens there."""
    proxy = {
        "@type": TYPE + "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": PATIENCE,
        "cluster": PATIENCE,
        "max_connect_attempts": CONNECT_ATTEMPTS,
        "backoff_options": {"base_interval": "0.1s", "max_interval": "0.5s"},
    }
    return {
        "name": PATIENCE,
        "internal_listener": {},
        "listener_filters": [
            {
                "name": ORIGINAL,
                "typed_config": {"@type": TYPE + "extensions.filters.listener.original_dst.v3.OriginalDst"},
            }
        ],
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}],
    }


def _listener(port: int, rds: Path) -> Json:
    manager = {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "rds": {"route_config_name": ROUTES, "config_source": _file(rds)},
        # Ids are made here: one that a client chose could be used again, and hide, double or pair events that are not its own.
        "use_remote_address": True,
        "preserve_external_request_id": False,
        "always_set_request_id_in_response": True,
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "stream_idle_timeout": "60s",
        "request_headers_timeout": "10s",
        "request_timeout": f"{BODY_SECONDS}s",
        "local_reply_config": {"mappers": _as_json()},
        "http_filters": [
            {
                "name": BUFFERING,
                "typed_config": {
                    "@type": TYPE + "extensions.filters.http.buffer.v3.Buffer",
                    "max_request_bytes": BUFFER,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"},
            },
        ],
    }
    # Without reuse_port a second Envoy on the port fails loudly; with it, it would quietly take half of the connections.
    return {
        "name": "ingress",
        "address": _address("127.0.0.1", port),
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": BUFFER,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _as_json() -> list[Json]:
    """Return Envoy's own refusals (400, 404, 408, 413, 429, 503, 504) the form that the inference protocol has for errors.

    What its circuit breakers refuse would be 503: it is the load's, so it is 429, as the servers say it. Its clusters count it as 5xx all the same.
    """
    shed = {
        "filter": {"response_flag_filter": {"flags": ["UO"]}},
        "status_code": 429,
        "headers_to_add": [_header("retry-after", "1")],
        "body": {"inline_string": "more requests came than can be answered in time: try again in a second"},
    }
    late = {
        "filter": _status("EQ", 408),
        "body": {"inline_string": f"the request's body did not come: wanted all of it within {BODY_SECONDS} s"},
    }
    large = {
        "filter": _status("EQ", 413),
        "body": {"inline_string": "the request is too large: send fewer rows, or raise serving.maxBodyMebibytes"},
    }
    form = {"body_format_override": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}}
    return [{**mapper, **form} for mapper in (shed, late, large, {"filter": _status("GE", 400)})]


def _status(comparison: str, status: int) -> Json:
    return {
        "status_code_filter": {
            "comparison": {
                "op": comparison,
                "value": {"default_value": status, "runtime_key": f"fairway.local_reply_{status}"},
            }
        }
    }


def _overload() -> Json:
    """Return what ends first where connections or memory run out: new connections, then the requests that hold the most, then new requests."""
    monitors = {
        "global_downstream_max_connections": {
            "@type": TYPE + "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            "max_active_downstream_connections": 10_000,
        },
        "fixed_heap": {
            "@type": TYPE + "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
            "max_heap_size_bytes": HEAP,
        },
    }
    heap = "envoy.resource_monitors.fixed_heap"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": f"envoy.resource_monitors.{name}", "typed_config": config} for name, config in monitors.items()
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
        "actions": [
            {
                "name": "envoy.overload_actions.reset_high_memory_stream",
                "triggers": [{"name": heap, "scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.95}}],
            },
            {
                "name": "envoy.overload_actions.stop_accepting_requests",
                "triggers": [{"name": heap, "threshold": {"value": 0.95}}],
            },
        ],
    }


def _header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _answer(status: int, body: str) -> Json:
    return {"status": status, "body": {"inline_string": body}}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _file(path: Path) -> Json:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _document(kind: str, resources: list[Json]) -> Json:
    typed = [
        {"@type": TYPE + kind, **resource}
        for resource in ({k: v for k, v in r.items() if k != "@type"} for r in resources)
    ]
    return {"version_info": files.digest_bytes(files.canonical(typed))[7:19], "resources": typed}

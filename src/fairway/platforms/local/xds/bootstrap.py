"""What Envoy starts with: its listeners, its limits and its histogram. Pure."""

from pathlib import Path

from fairway.platforms.local.xds import parts

# by the patient listener; with its back-off 8 to 11 s: longer than a server takes to start again
CONNECT_ATTEMPTS = 40
# a body that does not fit is not asked again when its server dies; servers take 8 MiB where nothing
# is said
BUFFER = 16 * parts.MEBIBYTE
BODY_SECONDS = 30  # in which the whole of a request must come: 8 MiB at 2 Mbit/s
# of this process: beyond nine tenths the requests that hold the most are ended, so that many large
# bodies end nobody else's
HEAP = 1024 * parts.MEBIBYTE
# Bounds of the latency histogram, milliseconds: all of two digits, which is what Envoy keeps;
# between them it only interpolates. A guard's threshold counts at the last bound that is not above
# it: 100ms and 130ms exactly, 125ms as 120ms, so that more counts as slow, not less.
BUCKETS: tuple[int, ...] = (
    *range(1, 100),
    *range(100, 1_000, 10),
    *range(1_000, 10_000, 100),
    *range(10_000, 100_000, 1_000),
    *range(100_000, 610_000, 10_000),
)


def bootstrap(*, port: int, admin_port: int, folder: Path) -> parts.Json:
    """Return what Envoy starts with: a listener on the loopback address, routes and clusters read
    from files."""
    return {
        "node": {"id": "fairway", "cluster": "fairway"},
        "admin": {"address": parts.address("127.0.0.1", admin_port)},
        # a scrape merges the histograms, for the next scrape: no timer lets latency counts lag
        "stats_flush_on_admin": True,
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": list(BUCKETS)}
            ]
        },
        "dynamic_resources": {"cds_config": parts.file(folder / "cds.json")},
        "static_resources": {
            "listeners": [_listener(port, folder / "rds.json"), _patient_listener()],
            "clusters": [
                {
                    "name": parts.PATIENCE,
                    "type": "ORIGINAL_DST",
                    "lb_policy": "CLUSTER_PROVIDED",
                    "connect_timeout": "1s",
                    "circuit_breakers": {
                        "thresholds": [
                            {
                                "priority": "DEFAULT",
                                "max_connections": 8192,
                                "max_pending_requests": 8192,
                            }
                        ]
                    },
                }
            ],
        },
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {
                    "@type": parts.TYPE
                    + "extensions.bootstrap.internal_listener.v3.InternalListener"
                },
            }
        ],
        "overload_manager": _overload(),
    }


def bound(threshold_ms: float) -> int:
    """Return the bound of the latency histogram at which a threshold counts: answers that took as
    long are slow."""
    return max((edge for edge in BUCKETS if edge <= threshold_ms), default=BUCKETS[0])


def _patient_listener() -> parts.Json:
    """Return a listener inside Envoy that connects to the place it is told as soon as somebody
    listens there."""
    proxy = {
        "@type": parts.TYPE + "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": parts.PATIENCE,
        "cluster": parts.PATIENCE,
        "max_connect_attempts": CONNECT_ATTEMPTS,
        "backoff_options": {"base_interval": "0.1s", "max_interval": "0.5s"},
    }
    return {
        "name": parts.PATIENCE,
        "internal_listener": {},
        "listener_filters": [
            {
                "name": parts.ORIGINAL,
                "typed_config": {
                    "@type": parts.TYPE + "extensions.filters.listener.original_dst.v3.OriginalDst"
                },
            }
        ],
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
        ],
    }


def _listener(port: int, rds: Path) -> parts.Json:
    manager = {
        "@type": parts.TYPE
        + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "rds": {"route_config_name": parts.ROUTES, "config_source": parts.file(rds)},
        # Ids are made here: one that a client chose could be used again, and hide, double or pair
        # events that are not its own.
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
                "name": parts.BUFFERING,
                "typed_config": {
                    "@type": parts.TYPE + "extensions.filters.http.buffer.v3.Buffer",
                    "max_request_bytes": BUFFER,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": parts.TYPE + "extensions.filters.http.router.v3.Router"},
            },
        ],
    }
    # Without reuse_port a second Envoy on the port fails loudly; with it, it would quietly take
    # half of the connections.
    return {
        "name": "ingress",
        "address": parts.address("127.0.0.1", port),
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": BUFFER,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def _as_json() -> list[parts.Json]:
    """Return Envoy's own refusals (400, 404, 408, 413, 429, 503, 504) the form that the inference
    protocol has for errors.

    What its circuit breakers refuse would be 503: it is the load's, so it is 429, as the servers
    say it. Its clusters count it as 5xx all the same.
    """
    shed = {
        "filter": {"response_flag_filter": {"flags": ["UO"]}},
        "status_code": 429,
        "headers_to_add": [parts.header("retry-after", "1")],
        "body": {
            "inline_string": "more requests came than can be answered in time: try again in a second"
        },
    }
    late = {
        "filter": _status("EQ", 408),
        "body": {
            "inline_string": f"the request's body did not come: wanted all of it within {BODY_SECONDS} s"
        },
    }
    large = {
        "filter": _status("EQ", 413),
        "body": {
            "inline_string": "the request is too large: send fewer rows, or raise serving.maxBodyMebibytes"
        },
    }
    form = {"body_format_override": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}}
    return [{**mapper, **form} for mapper in (shed, late, large, {"filter": _status("GE", 400)})]


def _status(comparison: str, status: int) -> parts.Json:
    return {
        "status_code_filter": {
            "comparison": {
                "op": comparison,
                "value": {"default_value": status, "runtime_key": f"fairway.local_reply_{status}"},
            }
        }
    }


def _overload() -> parts.Json:
    """Return what ends first where connections or memory run out: new connections, then the
    requests that hold the most, then new requests.
    """
    monitors = {
        "global_downstream_max_connections": {
            "@type": parts.TYPE
            + "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            "max_active_downstream_connections": 10_000,
        },
        "fixed_heap": {
            "@type": parts.TYPE + "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
            "max_heap_size_bytes": HEAP,
        },
    }
    heap = "envoy.resource_monitors.fixed_heap"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": f"envoy.resource_monitors.{name}", "typed_config": config}
            for name, config in monitors.items()
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
        "actions": [
            {
                "name": "envoy.overload_actions.reset_high_memory_stream",
                "triggers": [
                    {
                        "name": heap,
                        "scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.95},
                    }
                ],
            },
            {
                "name": "envoy.overload_actions.stop_accepting_requests",
                "triggers": [{"name": heap, "threshold": {"value": 0.95}}],
            },
        ],
    }

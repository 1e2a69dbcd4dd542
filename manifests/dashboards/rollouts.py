"""Where rollouts stand, and why."""

from manifests.dashboards.panels import Dashboard, Panel, Row, increase, quantile, rate

OURS = 'envoy_cluster_name=~"httproute/$namespace/$deployment/.*"'
DASHBOARD = Dashboard(
    name="rollouts",
    title="Rollouts",
    choices="fairway_rollout_phase",
    rows=(
        Row(
            "All deployments",
            (
                Panel(
                    "Deployments by phase",
                    "How many ModelDeployments are in each phase.",
                    {"{{phase}}": "count by (phase) (fairway_rollout_phase == 1)"},
                ),
                Panel(
                    "Need a person",
                    "What the spec asks for cannot come without a person.",
                    {
                        "{{namespace}}/{{deployment}}": "max by (namespace, deployment) (fairway_rollout_stalled) == 1"
                    },
                    kind="table",
                ),
                Panel(
                    "Ended within a day",
                    "Promotions and rollbacks, as the operator counted them.",
                    {
                        "promoted": increase("fairway_rollout_promotions_total", of="", over="1d"),
                        "rolled back: {{cause}}": increase(
                            "fairway_rollout_rollbacks_total", by="cause", of="", over="1d"
                        ),
                    },
                ),
            ),
        ),
        Row(
            "$namespace/$deployment",
            (
                Panel(
                    "Phase",
                    "Where the rollout stands.",
                    {"{{phase}}": "max by (phase) (fairway_rollout_phase{@}) == 1"},
                    kind="state-timeline",
                ),
                Panel(
                    "Verdict",
                    "What the judge said last.",
                    {"{{verdict}}": "max by (verdict) (fairway_rollout_verdict{@}) == 1"},
                    kind="state-timeline",
                ),
                Panel(
                    "Weight",
                    "Percent of the units that the candidate serves.",
                    {"candidate": "max(fairway_rollout_weight{@})"},
                    unit="percent",
                ),
                Panel(
                    "Time in this phase",
                    "Since the phase, or the canary's step, began.",
                    {"": "time() - max(fairway_rollout_phase_since_timestamp_seconds{@})"},
                    unit="s",
                    kind="stat",
                ),
            ),
        ),
        Row(
            "What holds it",
            (
                Panel(
                    "Evidence readable",
                    "0 while the rollout holds because its evidence cannot be read.",
                    {"readable": "min(fairway_rollout_evidence_readable{@})"},
                    kind="state-timeline",
                ),
                Panel(
                    "Paused",
                    "1 while it waits for a person.",
                    {"paused": "max(fairway_rollout_paused{@})"},
                    kind="state-timeline",
                ),
                Panel(
                    "Pods that answer",
                    "Of both arms.",
                    {"{{role}}": "max by (role) (fairway_rollout_pods_available{@})"},
                ),
                Panel(
                    "Last look",
                    "A rollout in progress is looked at every few seconds, one that rests every ten minutes.",
                    {"ago": "time() - max(fairway_rollout_last_look_timestamp_seconds{@})"},
                    unit="s",
                    kind="stat",
                ),
            ),
        ),
        Row(
            "Both arms, as the servers count",
            (
                Panel(
                    "Requests",
                    "",
                    {"{{role}}": rate("fairway_serving_requests_total", by="role")},
                    unit="reqps",
                ),
                Panel(
                    "Answers of 5xx",
                    "Share of the requests of each arm.",
                    {
                        "{{role}}": rate(
                            "fairway_serving_requests_total", by="role", of='@, code=~"5.."'
                        )
                        + " / "
                        + rate("fairway_serving_requests_total", by="role")
                    },
                    unit="percentunit",
                ),
                Panel(
                    "Latency",
                    "From a request's headers to its answer.",
                    {
                        "{{role}} p50": quantile(0.5, "fairway_serving_request_seconds", by="role"),
                        "{{role}} p99": quantile(
                            0.99, "fairway_serving_request_seconds", by="role"
                        ),
                    },
                    unit="s",
                ),
            ),
        ),
        Row(
            "Both arms, as the gateway counts: what the judge reads",
            (
                Panel(
                    "Requests",
                    "One cluster an arm; its index is the arm's place in the HTTPRoute.",
                    {
                        "{{envoy_cluster_name}}": rate(
                            "envoy_cluster_upstream_rq_completed",
                            by="envoy_cluster_name",
                            of=OURS,
                        )
                    },
                    unit="reqps",
                ),
                Panel(
                    "Answers of 5xx",
                    "With those that a server broke off and those that timed out.",
                    {
                        "{{envoy_cluster_name}}": rate(
                            "envoy_cluster_upstream_rq_xx",
                            by="envoy_cluster_name",
                            of=f'{OURS}, envoy_response_code_class="5"',
                        )
                    },
                    unit="reqps",
                ),
                Panel(
                    "Latency p99",
                    "By Envoy's own buckets.",
                    {
                        "{{envoy_cluster_name}}": quantile(
                            0.99,
                            "envoy_cluster_upstream_rq_time",
                            by="envoy_cluster_name",
                            of=OURS,
                        )
                    },
                    unit="ms",
                ),
            ),
        ),
        Row(
            "Operator",
            (
                Panel(
                    "Leaders",
                    "One in each release.",
                    {"{{namespace}}": "sum by (namespace) (fairway_operator_leader)"},
                ),
                Panel(
                    "Waiting",
                    "ModelDeployments that wait for their next look; most are not due yet.",
                    {"{{namespace}}": "sum by (namespace) (fairway_operator_queue_length)"},
                ),
                Panel(
                    "Time of a look, p99",
                    "",
                    {"p99": quantile(0.99, "fairway_operator_look_seconds", of="")},
                    unit="s",
                ),
                Panel(
                    "Looks that failed",
                    "Each is taken again.",
                    {"{{reason}}": rate("fairway_operator_looks_failed_total", by="reason", of="")},
                    unit="ops",
                ),
            ),
        ),
    ),
)

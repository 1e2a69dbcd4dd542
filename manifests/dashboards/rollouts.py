"""Where rollouts stand, and why."""

from manifests.dashboards.panels import Dashboard, Panel, Row

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
                        "promoted": "sum(increase(fairway_rollout_promotions_total[1d]))",
                        "rolled back: {{cause}}": "sum by (cause) (increase(fairway_rollout_rollbacks_total[1d]))",
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
                    {"{{role}}": "sum by (role) (rate(fairway_serving_requests_total{@}[rate]))"},
                    unit="reqps",
                ),
                Panel(
                    "Answers of 5xx",
                    "Share of the requests of each arm.",
                    {
                        "{{role}}": 'sum by (role) (rate(fairway_serving_requests_total{@, code=~"5.."}[rate])) / sum by (role) (rate(fairway_serving_requests_total{@}[rate]))'
                    },
                    unit="percentunit",
                ),
                Panel(
                    "Latency",
                    "From a request's headers to its answer.",
                    {
                        "{{role}} p50": "histogram_quantile(0.5, sum by (role, le) (rate(fairway_serving_request_seconds_bucket{@}[rate])))",
                        "{{role}} p99": "histogram_quantile(0.99, sum by (role, le) (rate(fairway_serving_request_seconds_bucket{@}[rate])))",
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
                        "{{envoy_cluster_name}}": 'sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_completed{envoy_cluster_name=~"httproute/$namespace/$deployment/.*"}[rate]))'
                    },
                    unit="reqps",
                ),
                Panel(
                    "Answers of 5xx",
                    "With those that a server broke off and those that timed out.",
                    {
                        "{{envoy_cluster_name}}": 'sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_xx{envoy_cluster_name=~"httproute/$namespace/$deployment/.*", envoy_response_code_class="5"}[rate]))'
                    },
                    unit="reqps",
                ),
                Panel(
                    "Latency p99",
                    "By Envoy's own buckets.",
                    {
                        "{{envoy_cluster_name}}": 'histogram_quantile(0.99, sum by (envoy_cluster_name, le) (rate(envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=~"httproute/$namespace/$deployment/.*"}[rate])))'
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
                    {
                        "p99": "histogram_quantile(0.99, sum by (le) (rate(fairway_operator_look_seconds_bucket[rate])))"
                    },
                    unit="s",
                ),
                Panel(
                    "Looks that failed",
                    "Each is taken again.",
                    {
                        "{{reason}}": "sum by (reason) (rate(fairway_operator_looks_failed_total[rate]))"
                    },
                    unit="ops",
                ),
            ),
        ),
    ),
)

"""All deployments at once: what needs somebody, and what holds them together."""

from manifests.dashboards.panels import Dashboard, Panel, Row, increase, rate, worst

EACH = "{{namespace}}/{{deployment}}"
DASHBOARD = Dashboard(
    name="fleet",
    title="Fleet",
    choices=None,
    rows=(
        Row(
            "What needs somebody",
            (
                Panel(
                    "Pages and tickets",
                    "That fire now.",
                    {
                        "{{alertname}}": "sum by (severity, alertname, namespace, deployment) "
                        '(ALERTS{alertstate="firing", severity=~"page|ticket"})'
                    },
                    kind="table",
                ),
                Panel(
                    "Drift tickets",
                    "That are open.",
                    {
                        EACH: 'max by (namespace, deployment) (fairway_monitoring_ticket_open{role="stable"})'
                    },
                    kind="state-timeline",
                ),
                Panel(
                    "Above the limit",
                    "Evidence that answers lose more than they may, the ten strongest; 1 is beyond chance.",
                    {
                        EACH: worst(
                            "max by (namespace, deployment) (fairway_retraining_loss_evidence)"
                        )
                    },
                ),
            ),
        ),
        Row(
            "Service",
            (
                Panel(
                    "Requests",
                    "The ten busiest.",
                    {
                        EACH: worst(
                            rate(
                                "fairway_serving_requests_total",
                                by="namespace, deployment",
                                of='role!="shadow"',
                            )
                        )
                    },
                    unit="reqps",
                ),
                Panel(
                    "Errors",
                    "The ten worst within an hour.",
                    {EACH: worst("fairway:serving_errors:ratio_rate1h")},
                    unit="percentunit",
                ),
                Panel(
                    "Slow answers",
                    "The ten worst within an hour.",
                    {EACH: worst("fairway:serving_slow:ratio_rate1h")},
                    unit="percentunit",
                ),
                Panel(
                    "Mean loss",
                    "The ten worst within 3 days.",
                    {
                        EACH: worst(
                            "max by (namespace, deployment) (fairway:realised_loss:ratio_rate3d)"
                        )
                    },
                    unit="percentunit",
                ),
            ),
        ),
        Row(
            "Changes",
            (
                Panel(
                    "Phases",
                    "ModelDeployments in each.",
                    {"{{phase}}": "count by (phase) (fairway_rollout_phase == 1)"},
                ),
                Panel(
                    "Runs of retraining",
                    "Within a day.",
                    {
                        "{{outcome}}": increase(
                            "fairway_retraining_runs_total", by="outcome", of="", over="1d"
                        )
                    },
                ),
                Panel(
                    "Challengers that wait",
                    "To be deployed.",
                    {
                        EACH: "max by (namespace, deployment) (fairway_retraining_challenger_waiting) == 1"
                    },
                    kind="table",
                ),
            ),
        ),
        Row(
            "What holds it together",
            (
                Panel(
                    "Operators",
                    "With the Lease: one in each release.",
                    {"{{namespace}}": "sum by (namespace) (fairway_operator_leader)"},
                ),
                Panel(
                    "Collectors",
                    "That answer.",
                    {"{{namespace}}": 'sum by (namespace) (up{job="fairway-collector"})'},
                ),
                Panel(
                    "Shards with a leader",
                    "Of the drift monitor.",
                    {
                        "{{namespace}}": "sum by (namespace) "
                        "(max by (namespace, shard) (fairway_monitoring_shard_leader))"
                    },
                ),
                Panel(
                    "Store",
                    "What the events take.",
                    {"{{namespace}}": "max by (namespace) (fairway_monitoring_store_bytes)"},
                    unit="bytes",
                ),
            ),
        ),
    ),
)

"""Whether what a deployment is asked has moved, and whether anybody looks."""

from manifests.dashboards.panels import Dashboard, Panel, Row, increase, rate, worst

DASHBOARD = Dashboard(
    name="drift",
    title="Drift",
    choices="fairway_monitoring_ticket_open",
    rows=(
        Row(
            "Ticket",
            (
                Panel(
                    "Ticket open",
                    "By revision. A canary that drifts alone is its rollout's business.",
                    {
                        "{{revision}} {{role}}": "max by (revision, role) (fairway_monitoring_ticket_open{@})"
                    },
                    kind="state-timeline",
                ),
                Panel(
                    "Moved parts",
                    "Of the open ticket: how far, in the part's unit.",
                    {"{{part}} ({{kind}}, {{unit}})": "fairway:ticket_shift:current{@}"},
                    kind="table",
                ),
                Panel(
                    "Evidence",
                    "At 1 a ticket opens; by chance that is within the budget of false tickets.",
                    {
                        "{{revision}} {{role}}": "max by (revision, role) (fairway_monitoring_drift_evidence{@})"
                    },
                ),
            ),
        ),
        Row(
            "Windows",
            (
                Panel(
                    "Rows tested",
                    "Windows share no row.",
                    {
                        "{{revision}} {{role}}": rate(
                            "fairway_monitoring_window_rows_total", by="revision, role"
                        )
                    },
                ),
                Panel(
                    "Windows",
                    "Within an hour, by what the test of each said alone; a ticket needs more.",
                    {
                        "drifted: {{drifted}}": increase(
                            "fairway_monitoring_windows_total", by="drifted", over="1h"
                        )
                    },
                ),
                Panel(
                    "Features that moved",
                    "Windows of the last day in which a feature did.",
                    {
                        "{{feature}}": worst(
                            increase(
                                "fairway_monitoring_feature_windows_drifted_total",
                                by="feature",
                                over="1d",
                            )
                        )
                    },
                ),
                Panel(
                    "Learning",
                    "1 while what is usual is learnt and no shift is told.",
                    {"{{revision}}": "max by (revision) (fairway_monitoring_learning{@})"},
                    kind="state-timeline",
                ),
            ),
        ),
        Row(
            "What is not seen",
            (
                Panel(
                    "Windows that failed",
                    "Passed over without a verdict, within an hour.",
                    {
                        "{{revision}}": increase(
                            "fairway_monitoring_windows_failed_total", by="revision", over="1h"
                        )
                    },
                ),
                Panel(
                    "Requests left out",
                    "Their inputs do not fit the reference.",
                    {"{{revision}}": rate("fairway_monitoring_unreadable_total", by="revision")},
                    unit="reqps",
                ),
                Panel(
                    "Looks that failed",
                    "At this deployment, within half an hour.",
                    {
                        "{{error}}": increase(
                            "fairway_monitoring_errors_total", by="error", over="30m"
                        )
                    },
                ),
                Panel(
                    "Since the newest window",
                    "A window comes when its rows have come.",
                    {
                        "{{revision}}": "time() - max by (revision) "
                        "(fairway_monitoring_last_window_timestamp_seconds{@})"
                    },
                    unit="s",
                    kind="stat",
                ),
            ),
        ),
        Row(
            "The monitor",
            (
                Panel(
                    "Since the last look",
                    "By shard; it looks every few seconds.",
                    {
                        "{{shard}}": "time() - max by (shard) (fairway_monitoring_last_look_timestamp_seconds)"
                    },
                    unit="s",
                ),
                Panel(
                    "Shards",
                    "Wanted, and with a leader.",
                    {
                        "wanted": "max(fairway_monitoring_shards)",
                        "led": "sum(max by (shard) (fairway_monitoring_shard_leader))",
                    },
                ),
            ),
        ),
    ),
)

"""What users of one deployment meet, and what becomes of the record of it."""

from manifests.dashboards.panels import Dashboard, Panel, Row, quantile, rate, worst

DASHBOARD = Dashboard(
    name="serving",
    title="Serving",
    choices="fairway_serving_requests_total",
    rows=(
        Row(
            "What users meet",
            (
                Panel(
                    "Requests by answer",
                    "Shadow answers nobody sees; they are left out.",
                    {
                        "{{code}}": rate(
                            "fairway_serving_requests_total", by="code", of='@, role!="shadow"'
                        )
                    },
                    unit="reqps",
                ),
                Panel(
                    "Errors",
                    "What ServingErrorBudgetBurn reads; the budget is 1 %.",
                    {
                        "5 minutes": "fairway:serving_errors:ratio_rate5m{@}",
                        "1 hour": "fairway:serving_errors:ratio_rate1h{@}",
                        "30 minutes": "fairway:serving_errors:ratio_rate30m{@}",
                        "6 hours": "fairway:serving_errors:ratio_rate6h{@}",
                    },
                    unit="percentunit",
                ),
                Panel(
                    "Latency",
                    "From a request's headers to its answer.",
                    {
                        "p50": quantile(
                            0.5, "fairway_serving_request_seconds", of='@, role!="shadow"'
                        ),
                        "p90": quantile(
                            0.9, "fairway_serving_request_seconds", of='@, role!="shadow"'
                        ),
                        "p99": quantile(
                            0.99, "fairway_serving_request_seconds", of='@, role!="shadow"'
                        ),
                    },
                    unit="s",
                ),
            ),
        ),
        Row(
            "Budgets",
            (
                Panel(
                    "Slow answers",
                    "Share that took longer than a second.",
                    {
                        "5 minutes": "fairway:serving_slow:ratio_rate5m{@}",
                        "30 minutes": "fairway:serving_slow:ratio_rate30m{@}",
                        "1 hour": "fairway:serving_slow:ratio_rate1h{@}",
                        "6 hours": "fairway:serving_slow:ratio_rate6h{@}",
                    },
                    unit="percentunit",
                ),
                Panel(
                    "Now and yesterday",
                    "Requests of half an hour.",
                    {
                        "now": "fairway:serving_requests:increase30m{@}",
                        "yesterday": "fairway:serving_requests:increase30m{@} offset 1d",
                    },
                ),
                Panel(
                    "Waiting",
                    "Longest wait for a thread.",
                    {"{{revision}}": "max by (revision) (fairway_serving_wait_seconds{@})"},
                    unit="s",
                ),
            ),
        ),
        Row(
            "Revisions",
            (
                Panel(
                    "Requests",
                    "",
                    {
                        "{{revision}} {{role}}": rate(
                            "fairway_serving_requests_total", by="revision, role"
                        )
                    },
                    unit="reqps",
                ),
                Panel(
                    "Rows",
                    "Rows a second.",
                    {
                        "{{revision}} {{role}}": rate(
                            "fairway_serving_rows_total", by="revision, role"
                        )
                    },
                ),
                Panel(
                    "Rows beyond the training range",
                    "Or of an unseen category; rows a second, the ten features with most.",
                    {
                        "{{feature}}": worst(
                            rate("fairway_serving_out_of_range_total", by="feature")
                        )
                    },
                ),
                Panel(
                    "Pods that answer",
                    "",
                    {"{{role}}": "max by (role) (fairway_rollout_pods_available{@})"},
                ),
            ),
        ),
        Row(
            "Events",
            (
                Panel(
                    "Sent, spooled, dropped",
                    "Events a second. Dropped ones are lost to shadow pairs, labels and drift.",
                    {
                        "sent": rate("fairway_serving_events_sent_total"),
                        "spooled": rate("fairway_serving_events_spooled_total"),
                        "dropped: {{reason}}": rate(
                            "fairway_serving_events_dropped_total", by="reason"
                        ),
                    },
                ),
                Panel(
                    "In memory",
                    "",
                    {"{{revision}}": "sum by (revision) (fairway_serving_events_queued{@})"},
                ),
                Panel(
                    "On disk",
                    "",
                    {"{{revision}}": "sum by (revision) (fairway_serving_spool_bytes{@})"},
                    unit="bytes",
                ),
            ),
        ),
        Row(
            "Collector",
            (
                Panel(
                    "Events stored",
                    "Each counted once.",
                    {"{{type}}": rate("fairway_monitoring_events_total", by="type")},
                ),
                Panel(
                    "Time to store a batch, p99",
                    "",
                    {"p99": quantile(0.99, "fairway_monitoring_store_seconds", of="")},
                    unit="s",
                ),
                Panel(
                    "Batches refused",
                    "",
                    {
                        "{{reason}}": rate(
                            "fairway_monitoring_batches_rejected_total", by="reason", of=""
                        )
                    },
                ),
                Panel(
                    "Store busy",
                    "1 while the last batch found the store locked or its disk full.",
                    {"busy": "max(fairway_monitoring_store_busy)"},
                ),
            ),
        ),
    ),
)

"""What users of one deployment meet, and what becomes of the record of it."""

from manifests.dashboards.panels import Dashboard, Panel, Row

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
                        "{{code}}": 'sum by (code) (rate(fairway_serving_requests_total{@, role!="shadow"}[rate]))'
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
                        "p50": 'histogram_quantile(0.5, sum by (le) (rate(fairway_serving_request_seconds_bucket{@, role!="shadow"}[rate])))',
                        "p90": 'histogram_quantile(0.9, sum by (le) (rate(fairway_serving_request_seconds_bucket{@, role!="shadow"}[rate])))',
                        "p99": 'histogram_quantile(0.99, sum by (le) (rate(fairway_serving_request_seconds_bucket{@, role!="shadow"}[rate])))',
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
                        "{{revision}} {{role}}": "sum by (revision, role) (rate(fairway_serving_requests_total{@}[rate]))"
                    },
                    unit="reqps",
                ),
                Panel(
                    "Rows",
                    "Rows a second.",
                    {
                        "{{revision}} {{role}}": "sum by (revision, role) (rate(fairway_serving_rows_total{@}[rate]))"
                    },
                ),
                Panel(
                    "Rows beyond the training range",
                    "Or of an unseen category; rows a second, the ten features with most.",
                    {
                        "{{feature}}": "topk(10, sum by (feature) (rate(fairway_serving_out_of_range_total{@}[rate])))"
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
                        "sent": "sum(rate(fairway_serving_events_sent_total{@}[rate]))",
                        "spooled": "sum(rate(fairway_serving_events_spooled_total{@}[rate]))",
                        "dropped: {{reason}}": "sum by (reason) (rate(fairway_serving_events_dropped_total{@}[rate]))",
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
                    {"{{type}}": "sum by (type) (rate(fairway_monitoring_events_total{@}[rate]))"},
                ),
                Panel(
                    "Time to store a batch, p99",
                    "",
                    {
                        "p99": "histogram_quantile(0.99, sum by (le) (rate(fairway_monitoring_store_seconds_bucket[rate])))"
                    },
                    unit="s",
                ),
                Panel(
                    "Batches refused",
                    "",
                    {
                        "{{reason}}": "sum by (reason) (rate(fairway_monitoring_batches_rejected_total[rate]))"
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

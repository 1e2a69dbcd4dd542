"""How good answers turned out to be, how their labels come, and the runs that followed."""

from manifests.dashboards.panels import Dashboard, Panel, Row, increase, quantile, rate, worst

DASHBOARD = Dashboard(
    name="labels",
    title="Labels",
    choices="fairway_monitoring_labelled_rows_total",
    rows=(
        Row(
            "Realised quality",
            (
                Panel(
                    "Mean loss and its limit",
                    "By the labels that came; of classes, the share that was wrong.",
                    {
                        "{{revision}} 6 hours": "fairway:realised_loss:ratio_rate6h{@}",
                        "{{revision}} 3 days": "fairway:realised_loss:ratio_rate3d{@}",
                        "{{revision}} limit": "fairway:realised_loss:limit{@}",
                    },
                    unit="percentunit",
                ),
                Panel(
                    "Quick burn",
                    "Mean loss of the last hour and day.",
                    {
                        "{{revision}} 1 hour": "fairway:realised_loss:ratio_rate1h{@}",
                        "{{revision}} 1 day": "fairway:realised_loss:ratio_rate1d{@}",
                    },
                    unit="percentunit",
                ),
                Panel(
                    "Evidence of a fall",
                    "From 1 on the loss is above its limit beyond chance, and retraining begins.",
                    {"{{revision}}": "max by (revision) (fairway_retraining_loss_evidence{@})"},
                ),
            ),
        ),
        Row(
            "By arm and by class",
            (
                Panel(
                    "Loss by arm",
                    "Stable and canary, within a day.",
                    {
                        "{{revision}} {{role}}": increase(
                            "fairway_monitoring_labelled_loss_total", by="revision, role", over="1d"
                        )
                        + " / "
                        + increase(
                            "fairway_monitoring_labelled_rows_total", by="revision, role", over="1d"
                        )
                    },
                    unit="percentunit",
                ),
                Panel(
                    "Wrong by true class",
                    "The ten worst within a day; a rare class is not hidden by the others.",
                    {
                        "{{class}}": worst(
                            increase(
                                "fairway_monitoring_labelled_class_loss_total",
                                by="class",
                                over="1d",
                            )
                            + " / "
                            + increase(
                                "fairway_monitoring_labelled_class_rows_total",
                                by="class",
                                over="1d",
                            )
                        )
                    },
                    unit="percentunit",
                ),
                Panel(
                    "Labels by true class",
                    "Rows within a day.",
                    {
                        "{{class}}": worst(
                            increase(
                                "fairway_monitoring_labelled_class_rows_total",
                                by="class",
                                over="1d",
                            )
                        )
                    },
                ),
            ),
        ),
        Row(
            "How labels come",
            (
                Panel(
                    "Labels",
                    "As the collector stored them, and rows that were compared.",
                    {
                        "labels": rate("fairway_monitoring_events_total", of='@, type="label"'),
                        "rows compared": rate("fairway_monitoring_labelled_rows_total"),
                        "of no request": rate("fairway_monitoring_labels_unjoined_total"),
                    },
                ),
                Panel(
                    "Rows that count",
                    "What the page of quality looks at: within 6 hours and 3 days.",
                    {
                        "{{revision}} 6 hours": "fairway:labelled_rows:increase6h{@}",
                        "{{revision}} 3 days": "fairway:labelled_rows:increase3d{@}",
                    },
                ),
                Panel(
                    "Delay",
                    "From an answer until its label came, of the labels of a day.",
                    {
                        "p50": quantile(0.5, "fairway_monitoring_label_delay_seconds", over="1d"),
                        "p90": quantile(0.9, "fairway_monitoring_label_delay_seconds", over="1d"),
                    },
                    unit="s",
                ),
            ),
        ),
        Row(
            "Retraining",
            (
                Panel(
                    "Runs",
                    "By what became of them, within a week.",
                    {
                        "{{outcome}}": increase(
                            "fairway_retraining_runs_total", by="outcome", over="7d"
                        )
                    },
                ),
                Panel(
                    "In progress",
                    "A run that is under way, and a challenger that waits to be deployed.",
                    {
                        "run": "max(fairway_retraining_run_active{@})",
                        "challenger waits": "max(fairway_retraining_challenger_waiting{@})",
                    },
                    kind="state-timeline",
                ),
                Panel(
                    "Since the last run",
                    "Another begins after retraining.coolDown at the earliest.",
                    {"": "time() - max(fairway_retraining_last_run_timestamp_seconds{@})"},
                    unit="s",
                    kind="stat",
                ),
                Panel(
                    "The model's age",
                    "Since the monitor first saw it in service; stale is 1 where that is too long.",
                    {
                        "{{revision}}": "time() - max by (revision) "
                        "(fairway_retraining_model_since_timestamp_seconds{@})",
                        "{{revision}} stale": "max by (revision) (fairway_retraining_model_stale{@})",
                    },
                    unit="s",
                    kind="stat",
                ),
            ),
        ),
    ),
)

"""The series of retraining, for whatever monitor starts it."""

import contextlib

import prometheus_client

OUTCOMES = ("started", "succeeded", "failed")


class Shown:
    """What is shown of retraining."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        owner = ("namespace", "deployment")
        self.evidence = prometheus_client.Gauge(
            "fairway_retraining_loss_evidence",
            "Evidence that answers lose more than they may; at 1 a run may start.",
            (*owner, "revision"),
            registry=registry,
        )
        self.limit = prometheus_client.Gauge(
            "fairway_retraining_loss_limit",
            "The mean loss that is tolerated: the test split's bound and retraining.maxLossIncrease.",
            (*owner, "revision"),
            registry=registry,
        )
        self.runs = prometheus_client.Counter(
            "fairway_retraining_runs",
            "Runs by what became of them: started, succeeded or failed.",
            (*owner, "outcome"),
            registry=registry,
        )
        self.active = prometheus_client.Gauge(
            "fairway_retraining_run_active",
            "1 while a run trains a challenger.",
            owner,
            registry=registry,
        )
        self.waiting = prometheus_client.Gauge(
            "fairway_retraining_challenger_waiting",
            "1 while a run has succeeded and the deployment asks for the package of before.",
            owner,
            registry=registry,
        )
        self.last = prometheus_client.Gauge(
            "fairway_retraining_last_run_timestamp_seconds",
            "When the newest run was started.",
            owner,
            registry=registry,
        )
        self.since = prometheus_client.Gauge(
            "fairway_retraining_model_since_timestamp_seconds",
            "Since when the model has been in service.",
            (*owner, "revision"),
            registry=registry,
        )
        self.stale = prometheus_client.Gauge(
            "fairway_retraining_model_stale",
            "1 while it is older than retraining.mostAge, or no challenger was trained as refresh asks.",
            (*owner, "revision"),
            registry=registry,
        )

    def watch(self, key: tuple[str, str]) -> None:
        """Let the counters begin at 0, so that the first is an increase."""
        for outcome in OUTCOMES:
            self.runs.labels(*key, outcome)

    def forget(self, key: tuple[str, str], revision: str) -> None:
        """Show no more of a deployment that is watched elsewhere, or of a revision that was."""
        for labels, series in (
            ((*key, revision), (self.evidence, self.limit, self.since, self.stale)),
            (key, (self.active, self.waiting, self.last)),
        ):
            for gauge in series:
                with contextlib.suppress(KeyError):
                    gauge.remove(*labels)

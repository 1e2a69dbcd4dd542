"""The collector's series for Prometheus."""

from collections import Counter
from collections.abc import Sequence

import prometheus_client

from fairway.monitoring.eventstore import cloudevents
from fairway.monitoring.eventstore.collector import realising


class Series:
    """The collector's series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        arm = ("namespace", "deployment", "revision", "role")
        registry = self.registry
        self.events = prometheus_client.Counter(
            "fairway_monitoring_events",
            "Events stored, each counted once.",
            ("type", *arm),
            registry=registry,
        )
        self.duplicates = prometheus_client.Counter(
            "fairway_monitoring_events_duplicate",
            "Events that were in the store already.",
            ("type", *arm),
            registry=registry,
        )
        self.rejected = prometheus_client.Counter(
            "fairway_monitoring_batches_rejected",
            "Batches of which nothing was stored.",
            ("reason",),
            registry=registry,
        )
        self.seconds = prometheus_client.Histogram(
            "fairway_monitoring_store_seconds",
            "Time in which one batch was stored, the wait for its turn included.",
            registry=registry,
        )
        self.busy = prometheus_client.Gauge(
            "fairway_monitoring_store_busy",
            "1 while the last batch found the store locked or its disk full.",
            registry=registry,
        )
        self.pruned = prometheus_client.Counter(
            "fairway_monitoring_events_pruned",
            "Events let go, by reason: age, size (--max-bytes), or full (the disk took no more).",
            ("reason",),
            registry=registry,
        )
        self.bytes = prometheus_client.Gauge(
            "fairway_monitoring_store_bytes",
            "What the events take, without room that is free again; 0 for PostgreSQL.",
            registry=registry,
        )
        self.unpaired = prometheus_client.Counter(
            "fairway_monitoring_shadow_unpaired",
            "Shadow answers without the stable answer to the same request, a minute after they came.",
            arm[:3],
            registry=registry,
        )
        self.unjoined = prometheus_client.Counter(
            "fairway_monitoring_payloads_unjoined",
            "Requests or responses of other servers whose other half did not come within five minutes.",
            ("namespace", "deployment", "side"),
            registry=registry,
        )
        self.failed = prometheus_client.Counter(
            "fairway_monitoring_rounds_failed",
            "Rounds of the collector's own work that failed; the next one is tried all the same.",
            ("loop",),
            registry=registry,
        )
        for loop in ("upkeep", "check"):
            self.failed.labels(loop)
        self.quality = realising.RealisedQuality(registry)

    def count(
        self, rows: Sequence[cloudevents.EventRow], *, new: Sequence[cloudevents.EventRow]
    ) -> None:
        fresh = Counter(map(_arm, new))
        for arm, number in Counter(map(_arm, rows)).items():
            if fresh[arm]:
                self.events.labels(*arm).inc(fresh[arm])
            if number > fresh[arm]:
                self.duplicates.labels(*arm).inc(number - fresh[arm])


def _arm(row: cloudevents.EventRow) -> tuple[str, ...]:
    """Return the values of an event's labels; an outcome's revision is its name."""
    revision = row.revision if row.type != "outcome" else ""
    return row.type, row.namespace, row.deployment, revision, row.role

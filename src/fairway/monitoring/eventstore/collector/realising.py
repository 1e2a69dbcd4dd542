"""The collector's series of realised quality: what answers lost by the labels that came, and how long
those took."""

from collections import defaultdict

import prometheus_client

from fairway.monitoring.eventstore import tally

ARM = ("namespace", "deployment", "revision", "role")
# of a deployment that have a series of their own: each costs two for every revision and role
MOST_CLASSES = 50
OTHER = "other"  # the class of all that came after those
LONGEST_CLASS = 64  # characters
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
# labels come within a session, overnight, or when a loan is due
DELAYS = (MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY)


class RealisedQuality:
    """Counters of rows and their losses; mean loss is the one's increase by the other's."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._rows = prometheus_client.Counter(
            "fairway_monitoring_labelled_rows",
            "Rows of served answers whose label came and was compared, a minute after it did.",
            ARM,
            registry=registry,
        )
        self._lost = prometheus_client.Counter(
            "fairway_monitoring_labelled_loss",
            "Sum of the losses of those rows, each from 0 to 1; of classes the rows that are wrong.",
            ARM,
            registry=registry,
        )
        self._class_rows = prometheus_client.Counter(
            "fairway_monitoring_labelled_class_rows",
            "Those rows by their true class: the first 50 of a deployment, the rest as other.",
            (*ARM, "class"),
            registry=registry,
        )
        self._class_lost = prometheus_client.Counter(
            "fairway_monitoring_labelled_class_loss",
            "Those of a true class that were answered otherwise.",
            (*ARM, "class"),
            registry=registry,
        )
        self._delay = prometheus_client.Histogram(
            "fairway_monitoring_label_delay_seconds",
            "From a served answer until its label came.",
            ARM[:2],
            buckets=DELAYS,
            registry=registry,
        )
        self._unjoined = prometheus_client.Counter(
            "fairway_monitoring_labels_unjoined",
            "Labels of requests that no server has told of, a minute after they came.",
            ARM[:2],
            registry=registry,
        )
        self._classes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def count(self, found: tally.Joins) -> None:
        """Count a stretch of the store, once."""
        for one in found.joined:
            self._delay.labels(one.namespace, one.deployment).observe(one.delay_seconds)
            arm = (one.namespace, one.deployment, one.revision, one.role)
            self._rows.labels(*arm).inc(len(one.rows))
            self._lost.labels(*arm).inc(sum(loss for _, loss in one.rows))
            for name, loss in one.rows:
                if name is not None:
                    named = self._named(one.namespace, one.deployment, name)
                    self._class_rows.labels(*arm, named).inc()
                    self._class_lost.labels(*arm, named).inc(loss)
            self._unjoined.labels(one.namespace, one.deployment)
        for alone in found.unjoined:
            self._unjoined.labels(alone.namespace, alone.deployment).inc(alone.labels)

    def _named(self, namespace: str, deployment: str, name: str) -> str:
        """Return the class as its series has it."""
        known, short = self._classes[namespace, deployment], name[:LONGEST_CLASS]
        if short not in known and len(known) < MOST_CLASSES:
            known.add(short)
        return short if short in known else OTHER

"""The series of a server: requests, their times, rows, and what waits."""

from typing import Any

import prometheus_client

from fairway.serving import eventlog
from fairway.serving.reply import InferenceReply

LABELS = eventlog.LABELS
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REQUESTS = prometheus_client.Counter(
    "fairway_serving_requests_total", "Requests answered, by status.", (*LABELS, "code")
)
SECONDS = prometheus_client.Histogram(
    "fairway_serving_request_seconds",
    "From a request's last byte to its answer, the wait included; requests refused for load are not in it.",
    LABELS,
    buckets=BUCKETS,
)
WAITING = prometheus_client.Gauge(
    "fairway_serving_waiting_requests",
    "Requests that wait for a thread.",
    LABELS[:3],
    multiprocess_mode="livesum",
)
WAIT = prometheus_client.Gauge(
    "fairway_serving_wait_seconds",
    "Longest that a request waited or would have to, within the last second.",
    LABELS[:3],
    multiprocess_mode="livemax",
)
ROWS = prometheus_client.Counter("fairway_serving_rows_total", "Rows predicted.", LABELS)
OUT_OF_RANGE = prometheus_client.Counter(
    "fairway_serving_out_of_range_total",
    "Rows beyond the training range or of an unseen category.",
    (*LABELS, "feature"),
)
UNREADABLE = prometheus_client.Counter(
    "fairway_serving_unreadable_total",
    "Rows with a value that could not be read and was taken as missing (serving.unreadable).",
    (*LABELS, "feature"),
)


class Meters:
    """Counts what one server of a revision does."""

    def __init__(self, origin: eventlog.Origin) -> None:
        self._of = (origin.namespace, origin.deployment, origin.revision)
        self._children: dict[tuple[str, int], tuple[Any, Any, Any]] = {}

    def waiting(self, requests: int, *, seconds: float) -> None:
        """Set the gauges of what waits."""
        WAITING.labels(*self._of).set(requests)
        WAIT.labels(*self._of).set(seconds)

    def count(self, role: str, reply: InferenceReply, *, seconds: float) -> None:
        """Count one answered request."""
        key = (role, reply.status)
        children = self._children.get(key)
        if children is None:
            labels = (*self._of, role)
            children = self._children[key] = (
                REQUESTS.labels(*labels, str(reply.status)),
                SECONDS.labels(*labels),
                ROWS.labels(*labels),
            )
        requests, latency, rows = children
        requests.inc()
        if reply.status == 429:
            return
        latency.observe(seconds)
        if reply.rows:
            rows.inc(reply.rows)
        for counter, found in ((OUT_OF_RANGE, reply.unusual), (UNREADABLE, reply.unreadable)):
            for feature, number in found.items() if found else ():
                counter.labels(*self._of, role, feature).inc(number)

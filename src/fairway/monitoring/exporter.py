"""The monitor's series for Prometheus: counters of disjoint windows, so that a rule can ask how
many of the last ones drifted."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import prometheus_client
from prometheus_client import exposition

from fairway.monitoring.detectors import base

ARM = ("namespace", "deployment", "revision", "role")


class Exporter:
    """The series of one monitor, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = prometheus_client.CollectorRegistry()
        self._windows = prometheus_client.Counter(
            "fairway_monitoring_windows",
            "Windows tested; they share no row.",
            (*ARM, "drifted"),
            registry=registry,
        )
        self._features = prometheus_client.Counter(
            "fairway_monitoring_feature_windows_drifted",
            "Windows in which the feature moved; a picture counts as one feature.",
            (*ARM, "feature"),
            registry=registry,
        )
        self._rows = prometheus_client.Counter(
            "fairway_monitoring_window_rows", "Rows tested.", ARM, registry=registry
        )
        self._unreadable = prometheus_client.Counter(
            "fairway_monitoring_unreadable",
            "Requests left out: their inputs do not fit the reference.",
            ARM,
            registry=registry,
        )
        self._failed = prometheus_client.Counter(
            "fairway_monitoring_windows_failed",
            "Windows that could not be tested and were passed over.",
            ARM,
            registry=registry,
        )
        self._p_value = prometheus_client.Gauge(
            "fairway_monitoring_window_p_value",
            "Corrected p-value of the newest window; alert on the counters, not on this.",
            ARM,
            registry=registry,
        )
        self._last = prometheus_client.Gauge(
            "fairway_monitoring_last_window_timestamp_seconds",
            "When the newest window was tested.",
            ARM,
            registry=registry,
        )
        self._ticket = prometheus_client.Gauge(
            "fairway_monitoring_ticket_open",
            "1 while a drift ticket is open.",
            ARM,
            registry=registry,
        )
        self._told: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        self._shift = prometheus_client.Gauge(
            "fairway_monitoring_ticket_shift",
            "How far a part of the open ticket moved, in its unit: sd, share, correlation, distance.",
            (*ARM, "kind", "part", "unit"),
            registry=registry,
        )
        self._still = prometheus_client.Gauge(
            "fairway_monitoring_column_still",
            "1 while a column stood still through the newest window, as it never did before.",
            (*ARM, "column"),
            registry=registry,
        )
        self._stood: dict[tuple[str, ...], set[str]] = {}
        self._evidence = prometheus_client.Gauge(
            "fairway_monitoring_drift_evidence",
            "Evidence of a shift under the budget of false tickets; at 1 a ticket opens.",
            ARM,
            registry=registry,
        )
        self._learning = prometheus_client.Gauge(
            "fairway_monitoring_learning",
            "1 while what is usual in service is learnt, and no shift is told.",
            ARM,
            registry=registry,
        )
        self._errors = prometheus_client.Counter(
            "fairway_monitoring_errors",
            "Looks that failed, by kind of error.",
            (*ARM[:2], "error"),
            registry=registry,
        )
        self.looked = prometheus_client.Gauge(
            "fairway_monitoring_last_look_timestamp_seconds",
            "When the monitor last looked for full windows.",
            registry=registry,
        )

    def lead(self, number: int, *, of: int, leads: Callable[[], bool]) -> None:
        """Show which shard of how many this monitor watches, and whether it does."""
        leader = prometheus_client.Gauge(
            "fairway_monitoring_shard_leader",
            "1 while this monitor watches the shard.",
            ("shard",),
            registry=self.registry,
        )
        leader.labels(str(number)).set_function(lambda: float(leads()))
        prometheus_client.Gauge(
            "fairway_monitoring_shards",
            "Shards that the fleet is divided into.",
            registry=self.registry,
        ).set(of)

    def forget(self, *, namespace: str, deployment: str, revision: str) -> None:
        """Show no more of a revision that this monitor watches no longer: another may."""
        arm = (namespace, deployment, revision, "stable")
        for gauge in (self._ticket, self._evidence, self._learning, self._p_value, self._last):
            with contextlib.suppress(KeyError):
                gauge.remove(*arm)
        for labels in self._told.pop(arm, set()):
            self._shift.remove(*arm, *labels)
        for column in self._stood.pop(arm, set()):
            self._still.remove(*arm, column)

    def watch(self, *, namespace: str, deployment: str, revision: str) -> None:
        """Make the series start at 0, so that the first drifted window, and the first that fails,
        is an increase."""
        for drifted in ("true", "false"):
            self._windows.labels(namespace, deployment, revision, "stable", drifted)
        self._failed.labels(namespace, deployment, revision, "stable")

    def standing(
        self,
        *,
        namespace: str,
        deployment: str,
        revision: str,
        ticket: Mapping[str, Any] | None,
        evidence: float,
        learning: bool,
    ) -> None:
        """Show how a deployment stands; evidence of 1 opens a ticket, of which `windows.ticket` has
        the form."""
        arm = (namespace, deployment, revision, "stable")
        self._ticket.labels(*arm).set(ticket is not None)
        shown = {} if ticket is None else _shifts(ticket)
        for labels in self._told.get(arm, set()) - set(shown):
            self._shift.remove(*arm, *labels)
        for labels, effect in shown.items():
            self._shift.labels(*arm, *labels).set(effect)
        self._told[arm] = set(shown)
        self._evidence.labels(*arm).set(evidence)
        self._learning.labels(*arm).set(learning)

    def still(
        self, columns: Sequence[str], *, namespace: str, deployment: str, revision: str
    ) -> None:
        """Show which columns stood still through the newest window; those that move again are 0."""
        arm = (namespace, deployment, revision, "stable")
        stood = self._stood.setdefault(arm, set())
        stood |= set(columns)
        for column in stood:
            self._still.labels(*arm, column).set(column in columns)

    def window(
        self,
        result: base.DriftResult | None,
        *,
        namespace: str,
        deployment: str,
        revision: str,
        rows: int,
        unreadable: int,
        at: float,
    ) -> None:
        """Count one window; `result` has the engine's tests of those that are shown."""
        arm = (namespace, deployment, revision, "stable")
        self._rows.labels(*arm).inc(rows)
        self._unreadable.labels(*arm).inc(unreadable)
        self._last.labels(*arm).set(at)
        if result is None:
            return
        self._windows.labels(*arm, str(result.drifted).lower()).inc()
        for feature in {feature.name.partition("[")[0] for feature in result.moved}:
            self._features.labels(*arm, feature).inc()
        self._p_value.labels(*arm).set(result.p_value)

    def passed_over(self, *, namespace: str, deployment: str, revision: str) -> None:
        """Count one window that no verdict was reached on."""
        self._failed.labels(namespace, deployment, revision, "stable").inc()

    def failed(self, error: Exception, *, namespace: str, deployment: str) -> None:
        self._errors.labels(namespace, deployment, type(error).__name__).inc()

    def text(self) -> str:
        return exposition.generate_latest(self.registry).decode()


def _shifts(ticket: Mapping[str, Any]) -> dict[tuple[str, ...], float]:
    return {
        (ticket["kind"], shift["part"], shift["unit"]): shift["effect"]
        for shift in ticket["shifts"]
    }

"""What the windows of one revision come to, as others see it: tickets in the event store, series, and
the record of a window."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.monitoring import exporter, stores, windows
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import silence, watch
from fairway.monitoring.watched import DriftStanding, Watched


class Notices:
    """Tells of one revision under watch. What opens and resolves tickets is called within the
    transaction of the window that they are of."""

    def __init__(
        self, watched: Watched, *, events: stores.MonitorStore, series: exporter.Exporter
    ) -> None:
        self._watched, self._events, self._series = watched, events, series

    def ticket(
        self, found: watch.Ticket, *, before: Mapping[str, Any] | None, now: float
    ) -> dict[str, Any]:
        """Return the ticket that is open with what was found; it stays the one that was opened."""
        watched = self._watched
        return windows.ticket(
            kind=found.kind,
            summary=windows.summary(found, deployment=watched.deployment),
            description=windows.description(
                found,
                revision=watched.revision,
                tickets_per_month=watched.section.budget.tickets_per_month,
            ),
            shifts=[
                (f"{shift.stream} {shift.part}", shift.unit, shift.effect) for shift in found.shifts
            ],
            at=now,
            before=before,
        )

    def skew(self, result: base.DriftResult, *, rows: int, now: float) -> dict[str, Any] | None:
        """Return the ticket of what was learnt and is far from the training data, None where it is
        not."""
        watched, found = self._watched, windows.skew(result)
        if not found:
            return None
        return windows.ticket(
            kind="skew",
            summary=windows.skew_summary(found, deployment=watched.deployment),
            description=windows.skew_description(found, revision=watched.revision, rows=rows),
            shifts=[(feature.name, feature.kind, feature.effect) for feature in found],
            at=now,
        )

    def drifted(self, ticket: Mapping[str, Any] | None, *, now: float) -> None:
        """Open the alert of a ticket, or refresh it."""
        if ticket is not None:
            self._open(windows.ALERT, ticket["summary"], ticket["description"], now=now)

    def calm(self, why: str, *, now: float) -> None:
        """Resolve the alert of the ticket."""
        self._resolve(windows.ALERT, why, now=now)

    def tested(self, *, now: float) -> None:
        """Resolve what was told of a window that could not be tested."""
        self._resolve(windows.FAILED, "a window was tested again", now=now)

    def failed(self, error: Exception, *, now: float) -> None:
        """Open the alert of a window that could not be tested."""
        summary = windows.failure(error, self._watched.deployment)
        self._open(windows.FAILED, summary, windows.FAILED_DESCRIPTION, now=now)

    def passed_over(self) -> None:
        """Count a window that could not be tested."""
        self._series.passed_over(**self._arm)

    def silent(
        self,
        window: windows.Window,
        usual: base.Arrays,
        *,
        before: Sequence[str],
        newest: bool,
        now: float,
    ) -> list[str]:
        """Tell of the columns that stand still after a window, and return them; `before` did before it."""
        still = silence.still(window.arrays, usual, before=before, newest=newest)
        self._series.still(still, **self._arm)
        if not still:
            self._resolve(silence.ALERT, silence.RESOLUTION, now=now)
        elif set(still) != set(before):
            said = silence.description(still, revision=self._watched.revision, rows=window.rows)
            summary = silence.summary(still, deployment=self._watched.deployment)
            self._open(silence.ALERT, summary, said, now=now)
        return still

    def window(
        self, window: windows.Window, *, result: base.DriftResult | None = None, now: float
    ) -> None:
        """Count a window; `result` has the engine's tests where it is shown."""
        self._series.window(
            result, **self._arm, rows=window.rows, unreadable=window.unreadable, at=now
        )

    def standing(self, standing: DriftStanding, *, learning: bool) -> None:
        """Show how the revision stands."""
        self._series.standing(
            **self._arm, ticket=standing.ticket, evidence=standing.evidence, learning=learning
        )

    @property
    def _arm(self) -> dict[str, str]:
        watched = self._watched
        return {
            "namespace": watched.namespace,
            "deployment": watched.deployment,
            "revision": watched.revision,
        }

    def _open(self, name: str, summary: str, description: str, *, now: float) -> None:
        self._events.conclusions.open_alert(
            name=name,
            severity="ticket",
            deployment=self._watched.deployment,
            at=now,
            summary=summary,
            description=description,
        )

    def _resolve(self, name: str, why: str, *, now: float) -> None:
        self._events.conclusions.resolve_alert(
            name=name, deployment=self._watched.deployment, at=now, resolution=why
        )

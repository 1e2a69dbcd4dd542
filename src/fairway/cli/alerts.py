"""The alerts that are open in a home directory, which `status`, `check` and `monitor` tell."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from fairway import errors

if TYPE_CHECKING:
    from fairway.monitoring.eventstore import conclusions


def open_in(events: Path) -> "list[conclusions.Alert]":
    """Return the open alerts of an event store, the newest first; none where there is no store, or
    it cannot be read now."""
    from fairway.monitoring.eventstore import places

    if not events.exists():
        return []
    try:
        with contextlib.closing(places.to_read(events)) as opened:
            return opened.conclusions.alerts(open_only=True)
    except errors.FairwayError:
        return []


def line(alert: "conclusions.Alert") -> str:
    """Return an alert in one line."""
    return f"{alert.severity:<7} {alert.name}: {alert.summary}"

"""What Alertmanager's webhook says: alerts that fire, each about one deployment. Pure.

See Alertmanager's documentation, `webhook_config`: version 4.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairway import errors

MOST_ALERTS = 1000
ASKED_SECONDS = 6 * 3600.0  # that an alert is remembered while a run may not begin yet
MOST_ASKED = 16  # alerts of one deployment that are remembered


@dataclass(frozen=True, kw_only=True)
class Firing:
    """One alert that fires."""

    alert: str
    namespace: str
    deployment: str


def firing(said: object) -> list[Firing]:
    """Return the alerts that fire and name a deployment; raises DataError for what is no message of
    Alertmanager's."""
    alerts = said.get("alerts") if isinstance(said, Mapping) else None
    if not isinstance(alerts, list) or len(alerts) > MOST_ALERTS:
        raise errors.DataError(
            f"the body has no alerts: wanted Alertmanager's webhook message, at most {MOST_ALERTS} alerts"
        )
    return [found for found in map(_firing, alerts) if found is not None]


def read(body: bytes) -> list[Firing]:
    """Return the alerts that fire of a request's body; raises as `firing` does."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(
            f"the body is no JSON, it begins with {body[:20]!r}: wanted Alertmanager's webhook message"
        ) from error
    return firing(said)


def _firing(alert: Any) -> Firing | None:
    match alert:
        case {
            "status": "firing",
            "labels": {
                "alertname": str(name),
                "namespace": str(namespace),
                "deployment": str(deployment),
            },
        }:
            return Firing(alert=name, namespace=namespace, deployment=deployment)
    return None


def mark(deployment: str) -> str:
    """Return the mark of the event store that has the alerts which asked for a run of the deployment."""
    return f"alerts/{deployment}"


def noted(known: Mapping[str, float] | None, alert: str, *, now: float) -> dict[str, float]:
    """Return when each alert asked first, with one more; what was long ago is forgotten."""
    fresh = {name: at for name, at in (known or {}).items() if now - at <= ASKED_SECONDS}
    return fresh if len(fresh) >= MOST_ASKED else {alert: now, **fresh}

"""What Alertmanager's webhook says: alerts that fire, each about one deployment. Pure.

See Alertmanager's documentation, `webhook_config`: version 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairway import errors

MOST_ALERTS = 1000


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

"""Component `detect_drift`."""

from components.monitoring.detect_drift.component import detect_drift

__all__ = ["detect_drift"]

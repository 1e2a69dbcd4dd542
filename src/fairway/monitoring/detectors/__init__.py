"""Detectors of a shift between a reference window and a window in service, behind one small interface."""

from fairway import errors
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base


def load(engine: str, *, p_value: float, schema: Schema) -> base.Detector:
    """Return the detector of the engine that the configuration names; `alibi` takes some ten seconds to import."""
    if engine != "alibi":
        raise errors.ConfigError(f"monitoring.engine is {engine!r}: wanted 'alibi'")
    from fairway.monitoring.detectors import alibi

    return alibi.UnivariateDetector(p_value=p_value, schema=schema)

"""Detectors of a shift between a reference window and a window in service, behind one small interface."""

from collections.abc import Mapping, Sequence

from fairway import errors
from fairway.model import tasks
from fairway.monitoring.detectors import base


def load(
    engine: str,
    *,
    p_value: float,
    kinds: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    task: str = tasks.USUAL,
) -> base.Detector:
    """Return the detector of the engine that the configuration names; `alibi` takes some ten seconds to import."""
    if engine != "alibi":
        raise errors.ConfigError(f"monitoring.engine is {engine!r}: wanted 'alibi'")
    from fairway.monitoring.detectors import alibi

    return alibi.UnivariateDetector(p_value=p_value, kinds=kinds or {}, classes=tuple(classes), task=task)

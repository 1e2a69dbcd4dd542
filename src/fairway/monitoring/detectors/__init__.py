"""Detectors of a shift between a reference window and a window in service, behind one small
interface.

One module for each, found by the entry-point group `fairway.detectors`: its `DETECTOR` is called
with `p_value` and `schema`, and gives a `base.Detector`.
"""

from fairway import plugins
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base


def load(engine: str, *, p_value: float, schema: Schema) -> base.Detector:
    """Return the detector of the engine that the configuration names; `alibi` takes some ten
    seconds to import.

    Raises UsageError with the engines that there are.
    """
    detector: base.Detector = plugins.load("detectors", engine).DETECTOR(
        p_value=p_value, schema=schema
    )
    return detector

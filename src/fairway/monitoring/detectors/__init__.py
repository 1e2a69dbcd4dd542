"""Detectors of a shift between a reference window and a window in service, behind one small
interface.

One module for each, found by the entry-point group `fairway.detectors`: its `DETECTOR` is called
with `p_value` and `schema`, and gives a `base.Detector`. What compares two samples, and is too slow or
says too little of columns to watch windows with, is in the group `fairway.comparisons`, whose entry
points name the class.
"""

import logging
from collections.abc import Iterable
from typing import Any

from fairway import errors, plugins
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base

log = logging.getLogger("fairway.monitoring.detectors")


def load(engine: str, *, p_value: float, schema: Schema) -> base.Detector:
    """Return the detector of the engine that the configuration names; `alibi` takes some ten
    seconds to import.

    Raises UsageError with the engines that there are.
    """
    detector: base.Detector = plugins.load("detectors", engine).DETECTOR(
        p_value=p_value, schema=schema
    )
    return detector


def compared_by(name: str, *, p_value: float, schema: Schema) -> base.Detector:
    """Return the detector of this name, of those that watch windows and those that only compare two
    samples; raises UsageError with the names that there are."""
    if name in plugins.found("detectors"):
        return load(name, p_value=p_value, schema=schema)
    if name not in plugins.found("comparisons"):
        names = ", ".join(sorted({*plugins.found("detectors"), *plugins.found("comparisons")}))
        raise errors.UsageError(f"there is no detector {name!r}: wanted one of {names}")
    detector: base.Detector = plugins.load("comparisons", name)(p_value=p_value, schema=schema)
    return detector


def told(name: str, found: base.DriftResult) -> dict[str, Any]:
    """Return what a detector said as plain data."""
    return {
        "name": name,
        "drifted": found.drifted,
        "pValue": found.p_value,
        "threshold": found.threshold,
        "moved": [feature.name for feature in found.moved],
    }


def asked(
    beside: Iterable[tuple[str, base.Detector]], reference: base.Arrays, window: base.Arrays
) -> list[dict[str, Any]]:
    """Return what each detector says of a window, or why it says nothing."""
    said: list[dict[str, Any]] = []
    for name, detector in beside:
        try:
            found = detector.check(reference, window)
        except errors.DataError as error:
            said.append({"name": name, "refusal": str(error)})
        except Exception as error:  # a library's own: the window has its verdict all the same
            log.warning("%s: %r", name, error)
            said.append({"name": name, "refusal": f"{type(error).__name__}: {error}"})
        else:
            said.append(told(name, found))
    return said

"""The `monitoring` section: which windows are tested for drift, and how."""

from datetime import timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
)

from fairway import plugins
from fairway.config.sections.base import Duration, Section


def _known(engine: str) -> str:
    engines = plugins.found("detectors")
    if engine not in engines:
        raise ValueError(f"wanted {' or '.join(engines)}")
    return engine


class Monitoring(Section):
    """What is watched in service."""

    engine: Annotated[str, AfterValidator(_known)] = "alibi"
    """Alibi Detect. Its licence (BSL 1.1) asks for one in production; `fairway check` says so.
    `native` makes the same tests by scipy and asks for none; a package may add others."""
    window: Annotated[int, Field(ge=20)] = 200
    """Predictions in one window; 200 find a shift of half a standard deviation."""
    p_value: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Per window, over all features together (Bonferroni)."""
    consecutive: Annotated[int, Field(ge=1)] = 2
    """Drifted windows in a row that open a ticket: two keep chance alarms under 1 in 10,000
    windows."""
    interval: Duration = timedelta(seconds=5)
    """How often the monitor looks for full windows."""
    retention: Duration = timedelta(days=30)
    """How long events are kept: the longest that labels are waited for."""

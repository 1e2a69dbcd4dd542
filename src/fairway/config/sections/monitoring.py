"""The `monitoring` section: which windows are tested for drift, and how."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import (
    Field,
)

from fairway.config.sections.base import Duration, Section


class Monitoring(Section):
    """What is watched in service."""

    engine: Literal["alibi"] = "alibi"
    """Alibi Detect. Its licence (BSL 1.1) asks for one in production; `fairway check` says so."""
    window: Annotated[int, Field(ge=20)] = 200
    """Predictions in one window; 200 find a shift of half a standard deviation."""
    p_value: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Per window, over all features together (Bonferroni)."""
    consecutive: Annotated[int, Field(ge=1)] = 2
    """Drifted windows in a row that open a ticket: two keep chance alarms under 1 in 10,000 windows."""
    interval: Duration = timedelta(seconds=5)
    """How often the monitor looks for full windows."""
    retention: Duration = timedelta(days=30)
    """How long events are kept: the longest that labels are waited for."""

"""fairway's own side: the history played as `fairway monitor replay` plays it."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift.streams import SECONDS
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring.drift import hindsight

Floats = NDArray[np.float64]


def tickets(
    reference: Floats, served: Floats, *, a_month: float = 1.0, seconds: float = SECONDS
) -> list[int]:
    """Return the rows at which a ticket opens; rows [rows] or [rows, columns] come `seconds` apart,
    those of the reference before the others."""
    before, after = (rows.reshape(len(rows), -1) for rows in (reference, served))
    names = [f"x{place}" for place in range(before.shape[1])]
    record = hindsight.play(
        _recorded(before, names, start=0, seconds=seconds),
        _recorded(after, names, start=len(before), seconds=seconds).passed(),
        schema=Schema(target="", features=tuple(Feature(name=n, kind="number") for n in names)),
        section=sections.Monitoring.model_validate({"budget": {"ticketsPerMonth": a_month}}),
        retraining=sections.Retraining(),
        timed=True,
    )
    return [int(ticket["row"]) for ticket in record["tickets"]]


def _recorded(rows: Floats, names: list[str], *, start: int, seconds: float) -> hindsight.Recorded:
    at = (start + np.arange(len(rows))) * seconds
    columns = {name: np.ascontiguousarray(rows[:, place]) for place, name in enumerate(names)}
    return hindsight.Recorded(columns=columns, at=at)

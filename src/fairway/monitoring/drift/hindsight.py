"""A history played through the watch: which tickets it would have opened, and when a challenger
would have been trained. Pure."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.config import sections
from fairway.evaluation import bounds
from fairway.model.schema import Schema
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import realised, silence, watch, yardstick
from fairway.monitoring.drift.measures import Blocks

CONFIDENCE = 0.95  # of the bound of the reference's loss
SCORED = 100  # windows at a time
LOSSES_KEPT = 500  # newest ones, by which a ticket's mean loss is told and a ticket is resolved


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Rows in the order of their time: raw columns, the time of each (seconds since the epoch), and
    the loss of each answer from 0 to 1, NaN where it is not known."""

    columns: base.Arrays
    at: NDArray[np.float64]
    losses: NDArray[np.float64] | None = None
    parts: Iterable[base.Arrays] = ()  # in place of columns: rows after rows, gone through once

    @property
    def rows(self) -> int:
        return len(self.at)


def play(
    reference: Recorded,
    served: Recorded,
    *,
    schema: Schema,
    section: sections.Monitoring,
    retraining: sections.Retraining,
    timed: bool,
) -> dict[str, Any]:
    """Return the record of what the monitor would have done; `timed` says whether times are the
    rows' own, and hours may be learnt from them."""
    watched = watch.Watch(
        reference.columns,
        schema=schema,
        tickets_per_month=section.budget.tickets_per_month,
        at=reference.at if timed else None,
        scales=section.scales,
        least=section.least_shift,
    )
    blocks, still = _measured(watched, reference, served)
    tickets, windows = [], 0
    for ended, size, scores, mean in _looks(watched, blocks, served.at):
        began = float(served.at[ended - size])
        look = watched.look_on(
            scores, mean, size=size, began=began, ended=float(served.at[ended - 1])
        )
        windows += 1
        if look.action == "open" and look.ticket is not None:
            tickets.append(_told(look.ticket, row=ended - 1, at=float(served.at[ended - 1])))
    limit = _limit(reference, retraining=retraining)
    concept, started = _losses(reference, served, retraining=retraining, limit=limit)
    unheard = _unheard(reference, served) if timed else []
    months = float(served.at[-1] - served.at[0]) / watch.MONTH
    return {
        "tickets": sorted(
            [*tickets, *concept, *still, *unheard], key=lambda ticket: int(ticket["row"])
        ),
        "windows": windows,
        "tests": windows * len(watched.measures.streams),
        "budget": section.budget.model_dump(by_alias=True),
        "months": months,
        "expectedFalseTickets": section.budget.tickets_per_month * months,
        "scales": watched.sizes,
        "slots": watched.slots(),
        "lossLimit": limit,
        "retraining": started,
        "beside": {},
    }


def _measured(
    watched: watch.Watch, reference: Recorded, served: Recorded
) -> tuple[Blocks, list[dict[str, Any]]]:
    """Return the blocks of the smallest windows, and a ticket for each stretch of them in which a
    column of numbers stands still, as it never did in the reference."""
    size, first = watched.base, 0
    measured: list[Blocks] = []
    tickets: list[dict[str, Any]] = []
    before = dict.fromkeys(silence.watched(reference.columns), False)
    for part in _in_windows(served.parts or (served.columns,), size=size):
        measured.append(watched.measures.blocks(part, size=size))
        rows = len(next(iter(part.values())))
        for name in before:
            for place in range(0, rows, size):
                window = part[name][place : place + size]
                is_still = silence.constant(window, reference.columns[name])
                if is_still and not before[name]:
                    since = float(served.at[first + place])
                    evidence = {"value": 1.0, "since": since, "still": size}
                    row = first + place + size - 1
                    tickets.append(
                        _silent("quality", served, row=row, evidence=evidence, of=[name])
                    )
                before[name] = is_still
        first += rows
    return Blocks.joined(measured), tickets


def _in_windows(parts: Iterable[base.Arrays], *, size: int) -> Iterator[base.Arrays]:
    """Give the rows in parts of whole windows; the last rows that fill none are left out."""
    left: base.Arrays = {}
    for part in parts:
        joined = {
            name: np.concatenate([left[name], values]) if left else values
            for name, values in part.items()
        }
        rows = len(next(iter(joined.values())))
        whole = rows - rows % size
        left = {name: values[whole:] for name, values in joined.items()}
        yield {name: values[:whole] for name, values in joined.items()}


def _looks(
    watched: watch.Watch, blocks: Blocks, at: NDArray[np.float64]
) -> Iterator[tuple[int, int, list[float], Any]]:
    """Give every window: the row after its last, its size, its scores and its mean; in the order in
    which they are full."""
    scales = {}
    for size in watched.sizes:
        means = blocks.means(size=size)
        middles = yardstick.middles(at, size=size)[: len(means)]
        parts = [
            watched.scores(means[some], size=size, at=middles[some])
            for some in _slices(len(means), of=SCORED)
        ]
        scales[size] = means, np.concatenate(parts) if parts else np.empty((0, 0))
    order = sorted(
        ((place + 1) * size, size, place)
        for size, (means, _) in scales.items()
        for place in range(len(means))
    )
    for ended, size, place in order:
        means, scores = scales[size]
        yield ended, size, scores[place].tolist(), means[place]


def _slices(count: int, *, of: int) -> list[slice]:
    return [slice(first, first + of) for first in range(0, count, of)]


def _told(ticket: watch.Ticket, *, row: int, at: float) -> dict[str, Any]:
    return {
        "at": at,
        "row": row,
        "kind": ticket.kind,
        "features": ticket.features,
        "evidence": {
            "value": ticket.evidence,
            "since": ticket.since,
            "window": ticket.rows,
            "shifts": [asdict(shift) for shift in ticket.shifts],
        },
    }


def _unheard(reference: Recorded, served: Recorded) -> list[dict[str, Any]]:
    """Return a ticket for each stretch of hours without a row, where the reference has some."""
    counts = silence.hourly(reference.at)
    tickets: list[dict[str, Any]] = []
    for row in np.flatnonzero(np.diff(served.at) > silence.HOUR).tolist():
        last, now = float(served.at[row]), float(served.at[row + 1])
        chance = silence.quiet(counts, last_at=last, now=now)
        if chance is not None:
            evidence = {"value": 1.0, "since": last, "chance": chance}
            tickets.append(_silent("traffic", served, row=row + 1, evidence=evidence, of=[]))
    return tickets


def _silent(
    kind: str, served: Recorded, *, row: int, evidence: dict[str, Any], of: list[str]
) -> dict[str, Any]:
    return {
        "at": float(served.at[row]),
        "row": row,
        "kind": kind,
        "features": of,
        "evidence": evidence,
    }


def _limit(reference: Recorded, *, retraining: sections.Retraining) -> float | None:
    """Return the mean loss that is still tolerated, None where the reference does not tell it."""
    if reference.losses is None:
        return None
    known = reference.losses[np.isfinite(reference.losses)]
    if not len(known):
        return None
    return realised.limit(
        bounds.of_losses(known, confidence=CONFIDENCE), allowed=retraining.max_loss_increase
    )


def _losses(
    reference: Recorded,
    served: Recorded,
    *,
    retraining: sections.Retraining,
    limit: float | None,
) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the tickets for answers that lose more than they may, and the rows at which a
    challenger would have been trained."""
    if reference.losses is None or served.losses is None or limit is None:
        return [], []
    known = reference.losses[np.isfinite(reference.losses)]
    watching = realised.LossWatch(
        limit=limit,
        false_starts_per_month=retraining.false_starts_per_month,
        cycle_seconds=retraining.cycle.total_seconds(),
    )
    tickets: list[dict[str, Any]] = []
    started: list[int] = []
    recent: deque[float] = deque(maxlen=LOSSES_KEPT)
    rest, is_open = -np.inf, False
    for row in np.flatnonzero(np.isfinite(served.losses)).tolist():
        at = float(served.at[row])
        recent.append(float(served.losses[row]))
        lasts = len(recent) < LOSSES_KEPT or math.fsum(recent) > limit * LOSSES_KEPT
        is_open = is_open and lasts
        if at < rest:
            continue
        since = watching.began
        if not watching.look(float(served.losses[row]), at=at):
            continue
        rest = at + retraining.cool_down.total_seconds()
        started.append(row)
        if not is_open:
            tickets.append(_lost(served, row=row, since=since, limit=limit, known=known))
        is_open = True
        recent.clear()
        watching.rearm()
    return tickets, started


def _lost(
    served: Recorded, *, row: int, since: float | None, limit: float, known: NDArray[np.float64]
) -> dict[str, Any]:
    losses = served.losses if served.losses is not None else np.empty(0)
    first = int(np.searchsorted(served.at, since)) if since is not None else row
    recent = losses[max(first, row + 1 - LOSSES_KEPT) : row + 1]
    return {
        "at": float(served.at[row]),
        "row": row,
        "kind": "concept",
        "features": [],
        "evidence": {
            "value": 1.0,
            "since": since,
            "limit": limit,
            "before": float(known.mean()),
            "after": float(np.nanmean(recent)),
        },
    }


def evenly(rows: int) -> NDArray[np.float64]:
    """Return times for rows without any: evenly over one month."""
    return np.arange(rows) * (watch.MONTH / max(rows, 1))


def described(record: Mapping[str, Any], *, timed: bool) -> str:
    """Return the record in words."""
    over = f"{record['months']:.2f} months" if timed else "one month (no --time: rows are even)"
    lines = [
        f"windows    {record['windows']} of {', '.join(map(str, record['scales']))} rows over {over}, "
        f"{record['tests']} tests",
        f"budget     {record['budget']['ticketsPerMonth']:g} false tickets a month: "
        f"at most {record['expectedFalseTickets']:.2f} expected here",
        "slots      " + (", ".join(record["slots"]) or "none: the reference shows no daily cycle"),
    ]
    if not record["windows"]:
        lines[0] += ": fewer rows than one window"
    if record["lossLimit"] is not None:
        lines.append(f"losses     {_told_above(record['lossLimit'])}")
    lines.append(f"tickets    {len(record['tickets'])}")
    lines += [
        f"  row {ticket['row']:<9} {ticket['kind']:<10} {_words(ticket['evidence'], ticket['features'])}"
        for ticket in record["tickets"]
    ]
    if record["retraining"]:
        rows = ", ".join(map(str, record["retraining"][:10]))
        lines.append(f"retraining {len(record['retraining'])} times: at rows {rows}")
    for name, at in record["beside"].items():
        rows = ", ".join(map(str, at[:10])) + (", ..." if len(at) > 10 else "")
        lines.append(f"{name:<12} {len(at)} alarms" + (f": at rows {rows}" if at else ""))
    return "\n".join(lines)


def _told_above(limit: float) -> str:
    if limit < 1:
        return f"told where their mean is above {limit:.3f}"
    return (
        "never told: the reference has too few labels, or nearly every answer in it is wrong; are "
        "answers written as the labels are, no scores?"
    )


def _words(evidence: Mapping[str, Any], features: list[str]) -> str:
    if "still" in evidence:
        return (
            f"{features[0]} stands still through {evidence['still']} rows, as it never did before"
        )
    if "chance" in evidence:
        return f"no row for an hour or more that usually has some (chance {evidence['chance']:.1g})"
    if "limit" in evidence:
        return (
            f"mean loss {evidence['after']:.3f}, {evidence['before']:.3f} in the reference: "
            f"above {evidence['limit']:.3f}"
        )
    return "; ".join(map(_moved, evidence["shifts"]))


def _moved(shift: Mapping[str, Any]) -> str:
    """Return a shift in words; numbers are measured by ranks, of which only the distance says
    something."""
    effect = f"{shift['effect']:+.2f} {shift['unit']}"
    if shift["unit"] == "sd":
        return f"{shift['stream']} {shift['part']} {effect}"
    return f"{shift['stream']} {shift['part']} {shift['before']:.3g} -> {shift['after']:.3g} ({effect})"

"""A history played through the watch: which tickets it would have opened, and when a challenger
would have been trained. Pure."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count
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
ANSWERED = "answers"  # in a ticket
LOSSES_KEPT = 500  # newest ones, by which a ticket's mean loss is told and a ticket is resolved


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Rows in the order of their time: raw columns, the time of each (seconds since the epoch), and
    the loss of each answer from 0 to 1, NaN where it is not known; the answers, in words."""

    columns: base.Arrays
    at: NDArray[np.float64]
    losses: NDArray[np.float64] | None = None
    answers: NDArray[Any] | None = None

    def passed(self) -> "Passed":
        """Return the rows as they are played."""

        def batches(rows: int) -> Iterator[base.Arrays]:
            for first in range(0, len(self.at), rows):
                chosen = slice(first, first + rows)
                yield {name: values[chosen] for name, values in self.columns.items()}

        return Passed(
            at=self.at,
            batches=batches,
            at_once=len(self.at),
            losses=self.losses,
            answers=self.answers,
        )


@dataclass(frozen=True, kw_only=True)
class Passed:
    """Rows as `Recorded`, of which `batches` gives the columns, so many rows at a time: they need not
    be held, `at_once` of them at most."""

    at: NDArray[np.float64]
    batches: Callable[[int], Iterator[base.Arrays]]
    at_once: int
    losses: NDArray[np.float64] | None = None
    answers: NDArray[Any] | None = None


def play(
    reference: Recorded,
    served: Passed,
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
    for ended, size, scores, mean in _looks(watched, blocks, at=served.at):
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
    watched: watch.Watch, reference: Recorded, served: Passed
) -> tuple[Blocks, list[dict[str, Any]]]:
    """Return what is measured of the rows, which are read once, and the tickets of what stood still."""
    still = _Still(reference, size=watched.base)
    parts = []
    rows = watched.measures.at_once(watched.base, most=served.at_once)
    for columns in served.batches(rows):
        parts.append(watched.measures.blocks(columns, size=watched.base))
        still.look(columns, served)
    return Blocks.joined(parts), still.tickets


def _looks(
    watched: watch.Watch, blocks: Blocks, *, at: NDArray[np.float64]
) -> list[tuple[int, int, list[float], Any]]:
    """Return every window: the row after its last, its size, its scores and its mean; in the order
    in which they are full."""
    found = []
    for size in watched.sizes:
        middles = yardstick.middles(at, size=size)
        for first, means in blocks.means_in_parts(size=size):
            scores = watched.scores(means, size=size, at=middles[first : first + len(means)])
            found += [
                ((place + 1) * size, size, score, mean)
                for place, score, mean in zip(count(first), scores.tolist(), means, strict=False)
            ]
    return sorted(found, key=lambda look: (look[0], look[1]))


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


class _Still:
    """Looks for stretches of windows in which the answers, or a column of numbers, stand still, as
    they never did in the reference: `tickets` has one for each."""

    def __init__(self, reference: Recorded, *, size: int) -> None:
        self.tickets: list[dict[str, Any]] = []
        self._usual = {name: reference.columns[name] for name in silence.watched(reference.columns)}
        self._answered, self._size, self._row = reference.answers, size, 0
        self._before: set[str] = set()

    def look(self, columns: base.Arrays, served: Passed) -> None:
        """Take in the next rows, of whole windows but for the last ones."""
        rows = len(next(iter(columns.values())))
        watched = [(name, usual, columns[name]) for name, usual in self._usual.items()]
        if self._answered is not None and served.answers is not None:
            answers = served.answers[self._row : self._row + rows]
            watched.append((ANSWERED, self._answered, answers))
        for first in range(0, rows - self._size + 1, self._size):
            window = slice(first, first + self._size)
            now = [
                name for name, usual, values in watched if silence.constant(values[window], usual)
            ]
            began = self._row + first
            self.tickets += [
                self._ticket(name, served, began=began) for name in now if name not in self._before
            ]
            self._before = set(now)
        self._row += rows

    def _ticket(self, name: str, served: Passed, *, began: int) -> dict[str, Any]:
        evidence = {"value": 1.0, "since": float(served.at[began]), "still": self._size}
        ended = began + self._size - 1
        return _silent("quality", served, row=ended, evidence=evidence, of=[name])


def _unheard(reference: Recorded, served: Passed) -> list[dict[str, Any]]:
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
    kind: str, served: Passed, *, row: int, evidence: dict[str, Any], of: list[str]
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
    served: Passed,
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
    served: Passed, *, row: int, since: float | None, limit: float, known: NDArray[np.float64]
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
        still = (
            "every answer is the same" if features == [ANSWERED] else f"{features[0]} stands still"
        )
        return f"{still} through {evidence['still']} rows, as it never did before"
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

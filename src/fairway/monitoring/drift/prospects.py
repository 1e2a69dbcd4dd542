"""How small a shift a watch finds, and how soon: simulated on the reference's own windows. Pure.

A run begins at any window of the reference and goes on with those after it, so that what hangs
together in the reference does so here; the shift is added to the mean of one part of each. Ranks,
e-values and what is spent are those of the watch (see `edetector`), windows that were shifted
join those that the next are ranked among as they do there. One stream at one scale is simulated:
all of them together find no less.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import edetector, measures, watch
from fairway.monitoring.drift.measures import Blocks, Measures
from fairway.monitoring.drift.yardstick import Yardstick, middles

HORIZONS = {"hour": 1.0, "day": 24.0, "week": 168.0}  # hours
FOUND = 0.9  # of the runs
RUNS = 400  # the error of a share of .9 is .015
MOST_LOOKS = 2_000  # a shift that was not found in so many windows has become usual
# from far below what matters to far above it, each a seventh larger than the one before
GRID = {"sd": np.geomspace(0.02, 5.0, 41), "share": np.geomspace(0.002, 1.0, 46)}
MADE_ROWS, MADE_COLUMNS, MADE_SHARE = 10_000, 20, 0.1


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What is served, and how many false tickets its month may have."""

    rows_per_hour: float
    deployments: int
    tickets_per_month: float  # of all deployments together

    def spend(self, rows: int) -> float:
        """Return what of one deployment's budget becomes due in so many rows."""
        hours = rows / self.rows_per_hour
        return self.tickets_per_month / self.deployments * hours * 3600 / watch.MONTH


def foresee(
    reference: base.Arrays,
    *,
    schema: Schema,
    traffic: Traffic,
    at: NDArray[np.float64] | None = None,
    feature: str | None = None,
    scales: Sequence[int] = sections.SCALES,
    least: sections.LeastShift | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the smallest shift found within an hour, a day and a week, at each scale, of a typical
    number and a typical word; of the parts of `feature` where that is given.

    Raises DataError where the reference is too short, UsageError where it has no such feature.
    """
    watched = watch.Watch(
        reference,
        schema=schema,
        tickets_per_month=traffic.tickets_per_month / traffic.deployments,
        at=at,
        scales=scales,
    )
    measured = watched.measures
    blocks = measured.blocks(reference, size=watched.base, own=True)
    chosen = _typical(blocks, measured) if feature is None else _named(measured, feature)
    least = least or sections.LeastShift()
    return {
        "rows": blocks.rows,
        "rowsPerHour": traffic.rows_per_hour,
        "deployments": traffic.deployments,
        "budget": {"ticketsPerMonth": traffic.tickets_per_month},
        "ticketsPerMonth": traffic.tickets_per_month / traffic.deployments,
        "scales": watched.sizes,
        "slots": watched.slots(),
        "found": FOUND,
        "runs": RUNS,
        "seed": seed,
        "leastShift": {"sd": least.sd, "share": least.share},
        "features": [
            _of_part(watched, blocks, traffic, part=part, at=at, least=least, seed=seed)
            for part in chosen
        ],
    }


def made() -> tuple[dict[str, NDArray[np.float64]], Schema]:
    """Return a reference for who has none yet: rows that hang on nothing, of 20 numbers and of a
    word that one row in ten has."""
    rng = np.random.default_rng(0)
    columns = {f"number {place + 1}": rng.normal(size=MADE_ROWS) for place in range(MADE_COLUMNS)}
    columns["one in ten"] = (rng.random(MADE_ROWS) < MADE_SHARE).astype(np.float64)
    features = [
        Feature(name=name, kind="boolean" if name == "one in ten" else "number") for name in columns
    ]
    return columns, Schema(target="", features=tuple(features))


def _shiftable(measured: Measures) -> Iterator[tuple[int, measures.Part]]:
    """Return the parts whose mean a shift of one column moves."""
    for place, part in enumerate(measured.parts):
        is_level = part.unit == "sd" and part.name == "mean"
        if part.kind == "covariate" and (is_level or part.unit == "share"):
            yield place, part


def _typical(blocks: Blocks, measured: Measures) -> list[int]:
    """Return the part of each unit whose windows scatter as most do: the middle one."""
    scatter = np.nanstd(blocks.means(size=blocks.size), axis=0)
    _, sd = blocks.moments()
    found = []
    for unit in GRID:
        scale = sd if unit == "sd" else np.ones_like(sd)
        places = [place for place, part in _shiftable(measured) if part.unit == unit]
        varying = [place for place in places if scatter[place] > 0 and scale[place] > 0]
        ordered = sorted(varying, key=lambda place: float(scatter[place] / scale[place]))
        found += ordered[len(ordered) // 2 : len(ordered) // 2 + 1]
    return found


def _named(measured: Measures, feature: str) -> list[int]:
    found = [place for place, part in _shiftable(measured) if _name(measured, part) == feature]
    if not found:
        names = dict.fromkeys(_name(measured, part) for _, part in _shiftable(measured))
        raise errors.UsageError(
            f"no shift of {feature!r} can be foreseen: wanted one of {', '.join(names)}"
        )
    return found


def _name(measured: Measures, part: measures.Part) -> str:
    return measured.streams[part.stream].name


def _of_part(
    watched: watch.Watch,
    blocks: Blocks,
    traffic: Traffic,
    *,
    part: int,
    at: NDArray[np.float64] | None,
    least: sections.LeastShift,
    seed: int,
) -> dict[str, Any]:
    chosen = watched.measures.parts[part]
    stream = watched.measures.streams[chosen.stream]
    usual, sd = (float(values[part]) for values in blocks.moments())
    floor = getattr(least, chosen.unit)
    shifts = []
    for size in watched.sizes:
        means = blocks.means(size=size)
        run = _Simulated(
            means=means,
            middles=None if at is None else middles(at[: blocks.rows], size=size),
            yardstick=watched.yardstick(size),
            part=part,
            stream=chosen.stream,
            step=sd if chosen.unit == "sd" else (1.0 if usual < 0.5 else -1.0),
            spend=traffic.spend(size) * stream.weight / len(watched.sizes),
            limit=edetector.kept(len(watched.measures.streams)),
            seed=seed,
        )
        looks = {
            name: int(traffic.rows_per_hour * hours) // size - 1 for name, hours in HORIZONS.items()
        }
        shifts.append({"scale": size, **_smallest(run, looks, grid=GRID[chosen.unit], floor=floor)})
    return {
        "feature": stream.name,
        "part": chosen.name,
        "unit": chosen.unit,
        "usual": usual if chosen.unit == "share" else None,
        "shifts": shifts,
        "best": {name: _least(one[name] for one in shifts) for name in HORIZONS},
    }


def _smallest(
    run: "_Simulated", looks: Mapping[str, int], *, grid: NDArray[np.float64], floor: float
) -> dict[str, float | None]:
    """Return the smallest shift of the grid that enough runs find, for each number of looks."""
    known: dict[int, NDArray[np.float64]] = {}
    most = min(max(looks.values()), MOST_LOOKS)

    def found(place: int, within: int) -> bool:
        if place not in known:
            known[place] = run.until_found(float(grid[place]), most=most)
        return bool((known[place] <= within).mean() >= FOUND)

    smallest: dict[str, float | None] = {}
    for name, within in looks.items():
        low, high = 0, len(grid)  # the larger a shift, the sooner it is found
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if found(middle, within) else (middle + 1, high)
        smallest[name] = max(float(f"{grid[low]:.2g}"), floor) if low < len(grid) else None
    return smallest


@dataclass(frozen=True, kw_only=True)
class _Simulated:
    """One stream of evidence at one scale, and the part that is shifted: `step` is what a shift of
    1 adds to its mean."""

    means: NDArray[np.float64]
    middles: NDArray[np.float64] | None
    yardstick: Yardstick
    part: int
    stream: int
    step: float
    spend: float
    limit: int
    seed: int

    def until_found(self, shift: float, *, most: int) -> NDArray[np.float64]:
        """Return for each run the windows until the evidence is full; infinite where it is not
        after `most`."""
        ranked = np.sort(self.yardstick.calibration[:, self.stream])[-self.limit :]
        scores = self._scores(shift)
        ahead = len(ranked) - np.searchsorted(ranked, scores, side="left")
        among = 1 - np.searchsorted(np.sort(scores), scores, side="left") / len(scores)
        place = np.random.default_rng(self.seed).integers(len(scores), size=RUNS)
        evidence, found = np.zeros(RUNS), np.full(RUNS, math.inf)
        for look in range(max(most, 0)):
            joined = min(max(look - edetector.DELAY, 0), self.limit - len(ranked))
            p = (1 + ahead[place] + joined * among[place]) / (1 + len(ranked) + joined)
            evidence = (evidence + self.spend) * edetector.e_values(p)
            found[(evidence >= watch.FULL) & np.isinf(found)] = look + 1
            if np.isfinite(found).all():
                break
            place = (place + 1) % len(scores)
        return found

    def _scores(self, shift: float) -> NDArray[np.float64]:
        moved = self.means.copy()
        moved[:, self.part] += shift * self.step
        found: NDArray[np.float64] = self.yardstick.scores(moved, at=self.middles)[:, self.stream]
        return found


def _least(values: Iterator[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def described(record: Mapping[str, Any]) -> str:
    """Return the record in words."""
    scales = ", ".join(map(str, record["scales"]))
    least = record["leastShift"]
    lines = [
        f"reference  {record['rows']} rows in windows of {scales}; held against "
        + (f"the same {' and '.join(record['slots'])}" if record["slots"] else "all hours alike"),
        f"traffic    {record['rowsPerHour']:g} rows an hour; {record['ticketsPerMonth']:.3g} false tickets "
        f"a month, a part of {record['deployments']} of {record['budget']['ticketsPerMonth']:g}",
        f"found in {record['found']:.0%} of {record['runs']} simulated runs (seed {record['seed']}): "
        "the smallest shift within",
        f"{'':44}{'an hour':>10}{'a day':>10}{'a week':>10}",
    ]
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for one in record["features"]:
        parts.setdefault(one["feature"], []).append(one)
    for of_column in parts.values():
        lines += _column(of_column)
    lines.append(
        f"shifts below {least['sd']:g} sd or {least['share']:g} of the rows open no ticket "
        "(monitoring.leastShift)"
    )
    return "\n".join(lines)


MOST_PARTS = 4  # of one column, each of which is shown
WORDS = {"sd": "standard deviations", "share": "the share of the rows"}


def _column(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a column's parts; of many, of the one that is found best and the one that is
    found worst."""
    if len(parts) <= MOST_PARTS:
        return [line for one in parts for line in (_head(one), *_rows(one))]
    ordered = sorted(parts, key=_found_late)
    best, worst = ordered[0], ordered[-1]
    return [
        f"{best['feature']}: {len(parts)} parts, in {WORDS[best['unit']]}; the best and the worst (all: --output json)",
        _line(f"  {best['part']}{_usual(best)}", best["best"]),
        _line(f"  {worst['part']}{_usual(worst)}", worst["best"]),
    ]


def _found_late(one: Mapping[str, Any]) -> list[float]:
    """Return what orders parts: the smallest shift that is found within a week, then sooner."""
    found = [one["best"][name] for name in reversed(HORIZONS)]
    return [math.inf if value is None else value for value in found]


def _head(one: Mapping[str, Any]) -> str:
    return f"{one['feature']}: {one['part']}{_usual(one)}, in {WORDS[one['unit']]}"


def _usual(one: Mapping[str, Any]) -> str:
    return f" ({one['usual']:.1%} of the rows)" if one["usual"] is not None else ""


def _rows(one: Mapping[str, Any]) -> list[str]:
    by_scale = [_line(f"  windows of {shift['scale']}", shift) for shift in one["shifts"]]
    return [*by_scale, _line("  any of them", one["best"])]


def _line(head: str, shifts: Mapping[str, float | None]) -> str:
    values = ("-" if shifts[name] is None else f"{shifts[name]:.2g}" for name in HORIZONS)
    return f"{head:44}" + "".join(f"{value:>10}" for value in values)

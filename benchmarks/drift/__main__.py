"""`python -m benchmarks.drift [discrepancy] [streams] [losses] [fleet] [memory] [--seed N] [--quick]`
prints both sides of each part and the targets that fairway holds itself to: exit 1 where one is missed.

Run in full with the seed 1, a part writes its tables into docs/drift.md; with `--quick` (fewer
rows, histories and fleets, and not alibi's online test) nothing is written.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks import __main__ as bench
from benchmarks.drift import discrepancy, fleet, losses, memory, table
from benchmarks.drift.streams import ROWS_A_MONTH, STREAMS

PAGE = Path(__file__).parents[2] / "docs" / "drift.md"
SEED = 1
PROCESSES = min(2, os.cpu_count() or 1)
FASTER, CLOSE = 100, 1e-6  # times alibi's speed, and how near its estimate
SECONDS = {6_000: 0.25, 2_000: 0.025}  # of one thread
CALM, SHIFTED = 10, 40  # histories of each stream; 10 have 40,000 windows
ALIBI_SHIFTED = 5  # it is slow
FLEETS = 20
HISTORIES = 40  # of labels, of each kind
BY_CHANCE = 0.05  # of the histories without a rise that is not tolerated
RISE_FOUND = {losses.INDEPENDENT: 11, losses.BY_DAY: 12, losses.LUCK: 22}  # days, of .25
UNHELD = losses.SHARED[500]  # no run of equal losses has ended when the first such outcome comes
FALL_FOUND = {0.5: 800, 0.99: 800, 1.0: 720}  # labels
SOON = {0.25: 1_400, 0.5: 800}  # rows, where rows hang on nothing but the hour
PLAIN = ("independent", "daily cycle of .3 sd")
FOUND = 0.9  # of the shifts within a day
Rows = list[dict[str, object]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.drift", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], help="which parts; all by default")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quick", action="store_true", help="less of everything, and no page")
    options = parser.parse_args(arguments)
    held = True
    for name in options.part or PARTS:
        began = time.monotonic()
        measured, targets = PARTS[name](seed=options.seed, quick=options.quick)
        text = f"{bench.table(measured)}\n\n{bench.table(targets)}"
        print(f"## {name}, {time.monotonic() - began:.0f} s\n\n{text}\n", flush=True)
        held &= all(row["held"] == "yes" for row in targets)
        if not options.quick and options.seed == SEED:
            _write(name, text)
    return 0 if held else 1


def of_discrepancy(*, seed: int, quick: bool) -> tuple[Rows, Rows]:
    rows = 2_000 if quick else 6_000
    ours, theirs = discrepancy.measure(rows, seed=seed)
    ratio = theirs.processor / ours.processor
    measured: Rows = [
        {
            "side": name,
            "rows": f"{rows:,}",
            "processor s": f"{side.processor:.3g}",
            "clock s": f"{side.clock:.3g}",
            **{shift: f"{squared:.3g}" for shift, squared in side.squared.items()},
            "drift": ", ".join(shift for shift, drifted in side.drifted.items() if drifted) or "-",
        }
        for name, side in (("fairway", ours), ("alibi-detect", theirs))
    ]
    apart = max(abs(ours.squared[name] - theirs.squared[name]) for name in ours.squared)
    same = ours.drifted == theirs.drifted
    return measured, [
        _target("times as fast as alibi-detect's", f"{ratio:.0f}", f"{FASTER}", ratio >= FASTER),
        _target(
            "seconds of one thread",
            f"{ours.processor:.3f}",
            f"{SECONDS[rows]}",
            ours.processor <= SECONDS[rows],
        ),
        _target("estimates apart", f"{apart:.1e}", f"{CLOSE:.0e}", apart <= CLOSE),
        _target("verdicts, shifted and not", "same" if same else "differ", "same", same),
    ]


def of_streams(*, seed: int, quick: bool) -> tuple[Rows, Rows]:
    calm, shifted = (CALM // 5, SHIFTED // 8) if quick else (CALM, SHIFTED)
    detectors = [*table.DETECTORS, *([] if quick else [table.ALIBI])]
    jobs = [
        (stream, name, seed, calm, shifted if name != table.ALIBI else ALIBI_SHIFTED)
        for stream in STREAMS
        for name in detectors
    ]
    with ProcessPoolExecutor(PROCESSES) as pool:
        cells = list(pool.map(table.measure, jobs))
    return [cell.row() for cell in cells], [
        target for cell in cells if cell.detector == table.FAIRWAY for target in _of_cell(cell)
    ]


def _of_cell(cell: table.Cell) -> Rows:
    budget = cell.rows // ROWS_A_MONTH
    what = f"{cell.stream}: false tickets in {budget} months"
    found = [_target(what, f"{cell.false}", f"{budget}", cell.false <= budget)]
    if cell.stream in PLAIN:
        for shift, rows in SOON.items():
            median = float(np.median(cell.delays[shift]))
            what = f"{cell.stream}: median rows until {shift} sd is found"
            found.append(_target(what, f"{median:,.0f}", f"{rows:,}", median <= rows))
    return found


def of_losses(*, seed: int, quick: bool) -> tuple[Rows, Rows]:
    histories = HISTORIES // 5 if quick else HISTORIES
    kinds = [(kind, rate, seed, histories) for kind in losses.KINDS for rate in losses.RATES]
    falls = [(usual, to, seed, histories) for usual in losses.USUAL for to in losses.FALLS]
    with ProcessPoolExecutor(PROCESSES) as pool:
        found = dict(zip([job[:2] for job in kinds], pool.map(losses.watched, kinds), strict=True))
        told = dict(zip([job[:2] for job in falls], pool.map(losses.felled, falls), strict=True))
    tolerated, limit, beyond = losses.RATES
    measured: Rows = [
        {
            f"runs begun of {histories} histories": kind,
            f"loss {tolerated}, tolerated": found[kind, tolerated].runs,
            f"{limit}, the limit": found[kind, limit].runs,
            f"{beyond}": found[kind, beyond].runs,
            f"{beyond} found after (median)": _days(found[kind, beyond].median),
        }
        for kind in losses.KINDS
    ]
    return measured, [
        *(_of_tolerated(kind, found[kind, tolerated]) for kind in losses.KINDS if kind != UNHELD),
        *(_of_rise(kind, found[kind, beyond]) for kind in RISE_FOUND),
        *(_of_fall(*fall, begun=begun) for fall, begun in told.items()),
    ]


def _days(days: float) -> str:
    return f"{days:.0f} days" if np.isfinite(days) else "-"


def _of_tolerated(kind: str, begun: losses.Begun) -> dict[str, object]:
    bound = int(BY_CHANCE * len(begun.after))
    what = f"{kind}: runs begun by a loss of {losses.RATES[0]}"
    return _target(what, f"{begun.runs}", f"{bound}", begun.runs <= bound)


def _of_rise(kind: str, begun: losses.Begun) -> dict[str, object]:
    bound = RISE_FOUND[kind]
    what = f"{kind}: days until {losses.RATES[2]} is found (median)"
    return _target(what, f"{begun.median:.0f}", f"{bound}", begun.median <= bound)


def _of_fall(usual: float, to: float, *, begun: losses.Begun) -> dict[str, object]:
    longest = float(begun.after.max())
    what = f"labels until a fall to {to} after {losses.USUAL[usual]} is found (median, longest)"
    seen = f"{begun.median:,.0f}, {longest:,.0f}"
    return _target(what, seen, f"{FALL_FOUND[to]}", longest <= FALL_FOUND[to])


def of_fleet(*, seed: int, quick: bool) -> tuple[Rows, Rows]:
    fleets = 1 if quick else FLEETS
    jobs = [(seed * 1000 + one, model) for one in range(fleets) for model in range(fleet.MODELS)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        watched = list(pool.map(fleet.watch, jobs, chunksize=2))
    delays = [one.delay for one in watched if one.delay is not None]
    false, found = sum(one.false for one in watched) / fleets, len(delays) / len(watched)
    measured: Rows = [
        {
            "fleets of 20 models": fleets,
            "false tickets a month": f"{false:.2f}",
            f"{fleet.SHIFT} sd of one of 20 features, found within a day": f"{found:.1%}",
            "rows until then, median": f"{np.median(delays):,.0f}" if delays else "-",
            "90 %": f"{np.quantile(delays, 0.9):,.0f}" if delays else "-",
        }
    ]
    return measured, [
        _target("false tickets of a fleet in a month", f"{false:.2f}", "1", false <= fleet.A_MONTH),
        _target("shifts found within a day", f"{found:.1%}", f"{FOUND:.0%}", found >= FOUND),
    ]


def of_memory(*, seed: int, quick: bool) -> tuple[Rows, Rows]:
    windows = 60 if quick else memory.WINDOWS
    peaks = {kind: memory.peak(kind, engine="native", windows=windows) for kind in memory.KINDS}
    measured: Rows = [
        {"process": kind, "windows of 50": windows, "MiB at most": most}
        for kind, most in peaks.items()
    ]
    return measured, [
        _target(f"{kind}: MiB", f"{most}", f"{memory.MOST}", most <= memory.MOST)
        for kind, most in peaks.items()
    ]


def _target(what: str, seen: str, bound: str, held: bool) -> dict[str, object]:
    return {"target": what, "measured": seen, "bound": bound, "held": "yes" if held else "NO"}


def _write(name: str, text: str) -> None:
    """Put the tables of a part between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    head, begin, rest = page.partition(f"<!-- {name}, written by python -m benchmarks.drift -->\n")
    _, end, tail = rest.partition(f"<!-- end of {name} -->")
    if not end:
        raise SystemExit(f"{PAGE.name} has no place for {name}: wanted the two marks around it")
    PAGE.write_text(f"{head}{begin}\n{text}\n\n{end}{tail}", encoding="utf-8")
    print(f"written: {PAGE.name}, {name}\n")


PARTS: dict[str, Callable[..., tuple[Rows, Rows]]] = {
    "discrepancy": of_discrepancy,
    "streams": of_streams,
    "losses": of_losses,
    "fleet": of_fleet,
    "memory": of_memory,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m benchmarks.judge [--seed N] [--quick]` plays every judge on the same simulated
rollouts, writes the tables and curves of docs/judge.md, and ends with the targets that fairway
holds itself to: exit 1 where one is missed.

The seed is 1 by default, and the page is of that one; with another, or with `--quick` (a tenth of
the runs), nothing is written.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks import __main__ as bench
from benchmarks.judge import curves, ours, peers, promises, streams, targets
from benchmarks.judge.cells import Cell
from benchmarks.judge.streams import SCENARIOS, TICK, Floats, Scenario

PAGE = Path(__file__).parents[2] / "docs" / "judge.md"
RATES = (1, 10, 100)
RUNS = {1: 4000, 10: 4000, 100: 1500}
PROMISED_RUNS = 2000
KAYENTA_RUNS = 400  # one by one, and slow; half as many of half an hour
SHORT, LONG, NULL = 600.0, 1800.0, 3600.0
OBJECTIVE = 0.006  # of mode fused: 1.2 times the usual rate
LIMIT = 0.02  # that the certificate is asked for in the long watch
FIRST_PROMOTION = 300.0
BAKED = 0.95  # the canary's share after a promotion, as the strategy's default has it


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.judge", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs, and no page")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    jobs = [
        (scenario.name, rate, seconds, options.seed, options.quick)
        for seconds in (LONG, SHORT)
        for rate in reversed(RATES)
        for scenario in SCENARIOS
    ]
    jobs += [
        (name, rate, NULL, options.seed, options.quick)
        for rate in RATES
        for name in ("healthy", "rates that swing")
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        runs = PROMISED_RUNS // (10 if options.quick else 1)
        promised = [
            [pool.submit(promises.play, part, seed=seed, runs=runs) for part in promises.PARTS]
            for seed in (options.seed, options.seed + 1)
        ]
        cells = [cell for some in pool.map(_play, jobs) for cell in some]
        trials = promises.rows(
            *([trial for part in of_seed for trial in part.result()] for of_seed in promised)
        )
    short = {
        (cell.judge, cell.scenario, cell.rate): cell for cell in cells if cell.seconds == SHORT
    }
    long = {(cell.judge, cell.scenario, cell.rate): cell for cell in cells if cell.seconds == LONG}
    null = {(cell.judge, cell.scenario, cell.rate): cell for cell in cells if cell.seconds == NULL}
    text = "\n\n".join(
        [
            *(_short_table(short, rate) for rate in RATES),
            *(_long_table(long, rate) for rate in RATES),
        ]
    )
    print(text)
    rollouts = sum(RUNS.values()) * len(SCENARIOS) * 3 // 2
    played = f"{rollouts:,} rollouts for each judge (of Kayenta {KAYENTA_RUNS} and {KAYENTA_RUNS // 2} a cell)"
    took = (
        f"{played}, {time.monotonic() - began:.0f} s on {os.cpu_count()} cores, seed {options.seed}"
    )
    held = [*targets.check(short, long, null), targets.update()]
    print(f"\n{took}\n\n{bench.table(trials)}\n\n{bench.table(held)}")
    if not options.quick and options.seed == parser.get_default("seed"):
        curves.draw(short, long, folder=PAGE.parent)
        _write(
            {
                "tables": f"{text}\n\n{took}.",
                "promises": bench.table(trials),
                "targets": bench.table(held),
            }
        )
    return 0 if all(row["held"] != "NO" for row in (*held, *trials)) else 1


def _play(job: tuple[str, int, float, int, bool]) -> list[Cell]:
    """Return every judge's cell of one scenario, rate and horizon."""
    name, rate, seconds, seed, quick = job
    scenario = next(known for known in SCENARIOS if known.name == name)
    runs = RUNS[rate] // (10 if quick else 1) // (2 if seconds > SHORT else 1)
    stream = streams.draw(scenario, rate=rate, seconds=seconds, runs=runs, seed=seed)
    certified = np.full(runs, np.inf)
    # once certified, all but a twentieth goes over, and the judge looks on: the bake
    if seconds == LONG:
        certified = _first_promotion(ours.certificates(stream, limit=LIMIT))
        baked = streams.draw(
            scenario, rate=rate, seconds=seconds, runs=runs, seed=seed, share=BAKED
        )
    watched = streams.switched(stream, baked, certified) if seconds == LONG else stream
    both, fused = ours.harms(watched), ours.harms(watched, objective=OBJECTIVE)
    ends = np.arange(1, both.shape[1] + 1) * TICK
    cells = []
    for judge, harm, alpha in (
        ("fairway .05", both, 0.05),
        ("fairway .01", both, 0.01),
        ("fairway fused .05", fused, 0.05),
    ):
        ended = peers.stopped(watched, peers.first(harm >= math.log(1 / alpha), ends))
        cells.append(
            Cell(
                judge,
                name,
                rate,
                seconds,
                ended.at,
                ended.bad,
                np.isfinite(certified) & ~np.isfinite(ended.at),
            )
        )
    if seconds == NULL:
        return cells
    found = {
        "Argo 60 s, limit 0": peers.argo(stream, interval=60, failures=0),
        "Argo 60 s, limit 3": peers.argo(stream, interval=60, failures=3),
        "Argo 10 s, limit 0": peers.argo(stream, interval=10, failures=0),
        "Argo 10 s, limit 3": peers.argo(stream, interval=10, failures=3),
        "Flagger stock": _flagger(
            scenario, rate, seconds, runs, seed, interval=60, threshold=5, step=0.1
        ),
        "Flagger tuned": _flagger(
            scenario, rate, seconds, runs, seed, interval=10, threshold=1, step=0.02
        ),
        "z-test, each 60 s": peers.z_test(stream, interval=60),
        "z-test, each scrape": peers.z_test(stream, interval=TICK),
        "mSPRT .05": peers.msprt(stream, alpha=0.05),
    }
    found["Kayenta"] = peers.kayenta(
        stream.some(KAYENTA_RUNS // (10 if quick else 1) // (2 if seconds > SHORT else 1))
    )
    return cells + [
        Cell(judge, name, rate, seconds, ended.at, ended.bad, ~np.isfinite(ended.at))
        for judge, ended in found.items()
    ]


def _flagger(
    scenario: Scenario,
    rate: int,
    seconds: float,
    runs: int,
    seed: int,
    *,
    interval: float,
    threshold: int,
    step: float,
) -> peers.Ended:
    return peers.flagger(
        scenario,
        rate=rate,
        seconds=seconds,
        runs=runs,
        seed=seed,
        interval=interval,
        threshold=threshold,
        step=step,
    )


def _first_promotion(evidence: Floats) -> Floats:
    """Return when the certificate allows a promotion, not before five minutes."""
    ends = np.arange(1, evidence.shape[1] + 1) * TICK
    reached = np.maximum.accumulate(evidence, axis=1) >= math.log(20)
    return peers.first(reached & (ends >= FIRST_PROMOTION), ends)


def _short_table(cells: dict[tuple[str, str, int], Cell], rate: int) -> str:
    """Return the ten minutes of one traffic: false rollbacks of healthy revisions, then what bad
    ones cost."""
    rows = []
    for judge in dict.fromkeys(judge for judge, _, of in cells if of == rate):
        row: dict[str, object] = {"judge": judge}
        for scenario in SCENARIOS:
            cell = cells[judge, scenario.name, rate]
            if scenario.healthy:
                row[scenario.name] = f"{cell.rolled_back:.1%}"
            else:
                row[scenario.name] = (
                    f"{1 - cell.rolled_back:.1%} / {_middle(cell.at)} / {np.median(cell.bad):.0f}, "
                    f"{np.quantile(cell.bad, 0.95):.0f}"
                )
        rows.append(row)
    heading = f"### {rate} request{'s' if rate > 1 else ''} a second, ten minutes"
    return f"{heading}\n\n{bench.table(rows)}\n\n{_error(cells, rate)}"


def _error(cells: dict[tuple[str, str, int], Cell], rate: int) -> str:
    largest = [
        max(
            cell.error
            for (judge, _, of), cell in cells.items()
            if of == rate and (judge == "Kayenta") is kayenta
        )
        for kayenta in (False, True)
    ]
    return f"Monte Carlo error of a share: at most {largest[0]:.1%} (Kayenta {largest[1]:.1%}), one standard deviation."


def _long_table(cells: dict[tuple[str, str, int], Cell], rate: int) -> str:
    rows = []
    for judge in dict.fromkeys(judge for judge, _, of in cells if of == rate):
        row: dict[str, object] = {"judge": judge}
        for scenario in SCENARIOS:
            cell = cells[judge, scenario.name, rate]
            promoted = float(cell.promoted.mean()) if cell.promoted is not None else 0.0
            row[scenario.name] = (
                f"{cell.rolled_back:.1%} / {promoted:.1%} / {max(0.0, 1 - cell.rolled_back - promoted):.1%} / "
                f"{_middle(cell.at)} / "
                f"{np.median(cell.bad):.0f}"
            )
        rows.append(row)
    return (
        f"### {rate} request{'s' if rate > 1 else ''} a second, thirty minutes: rolled back / promoted / held / "
        f"median seconds to the rollback / median "
        f"failed requests\n\n{bench.table(rows)}\n\n{_error(cells, rate)}"
    )


def _middle(at: Floats) -> str:
    """Return the median time of the rollback; a dash where more than half have none."""
    middle = np.median(at)
    return f"{middle:.0f}" if np.isfinite(middle) else "-"


def _write(figures: Mapping[str, str]) -> None:
    """Put the figures between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    for mark, text in figures.items():
        head, begin, rest = page.partition(
            f"<!-- {mark}, written by python -m benchmarks.judge -->\n"
        )
        _, end, tail = rest.partition(f"<!-- end of {mark} -->")
        assert end, f"{PAGE.name} has no place for {mark}"
        page = f"{head}{begin}\n{text}\n\n{end}{tail}"
    PAGE.write_text(page, encoding="utf-8")
    print(f"\nwritten: {PAGE.name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

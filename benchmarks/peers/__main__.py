"""`python -m benchmarks.peers [CONFIGURATION ...] [--runs N] [--again]` measures on the test
cluster, prints the table, and writes docs/peers.md.

The configurations are fairway, flagger-tuned, argo-tuned, flagger-stock and argo-stock; all by
default, in this order. What was measured lies in results.json beside this file, and is not measured
again unless `--again` asks for it: after an interruption the same command goes on where it was.
Needs what `make test-cluster` needs.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import __main__ as bench
from benchmarks.peers import argo, flagger, ours, run
from tests.cluster import cluster as clusters
from tests.cluster import stack

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "peers.md"
PROSE = Path(__file__).with_name("page.md")
LIMIT_SECONDS = 20.0  # fairway's own promise


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A row of the table: the tool, its configuration in words, how to set it up, and how many runs
    it gets."""

    tool: str
    words: str
    set_up: Callable[[clusters.Cluster], Any]
    runs: int = 5
    # minutes a run: those are measured at the same time as each other, after the rest
    slow: bool = False


CONFIGURATIONS = {
    "fairway": Configuration(
        tool="fairway", words="falseRollback 0.01, maxRate 0.05", set_up=ours.Fairway
    ),
    "flagger-tuned": Configuration(
        tool="Flagger 1.36.1",
        words="tuned: interval 10s, threshold 1, metric over 10s",
        set_up=lambda cluster: flagger.Flagger(
            cluster, name="flagger-tuned", analysis=flagger.TUNED
        ),
    ),
    "argo-tuned": Configuration(
        tool="Argo Rollouts 1.10.1",
        words="tuned: interval 10s, failureLimit 0, metric over 10s",
        set_up=lambda cluster: argo.Argo(cluster, name="argo-tuned", analysis=argo.TUNED),
    ),
    "flagger-stock": Configuration(
        tool="Flagger 1.36.1",
        words="its tutorial's: interval 1m, threshold 5, metric over 1m",
        runs=1,
        slow=True,
        set_up=lambda cluster: flagger.Flagger(
            cluster, name="flagger-stock", analysis=flagger.STOCK
        ),
    ),
    "argo-stock": Configuration(
        tool="Argo Rollouts 1.10.1",
        words="its documents': interval 5m, failureLimit 3",
        runs=1,
        slow=True,
        set_up=lambda cluster: argo.Argo(cluster, name="argo-stock", analysis=argo.STOCK),
    ),
}
WRITING = threading.Lock()


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    asked = options.configurations or list(CONFIGURATIONS)
    if options.again:
        _forget(asked)
    missing = [name for name in asked if _missing(name, options.runs)]
    whole = not missing or _measure_all(missing, runs=options.runs, note=options.note)
    results = _results()
    print(table(results))
    PAGE.write_text(page(results), encoding="utf-8")
    return 0 if whole and ("fairway" not in results or kept(results["fairway"])) else 1


def table(results: dict[str, Any]) -> str:
    """Return a row for each configuration that was measured; empty where none was."""
    rows = [
        _row(CONFIGURATIONS[name], results[name])
        for name in CONFIGURATIONS
        if name in results and results[name]["runs"]
    ]
    return bench.table(rows) if rows else ""


def kept(result: dict[str, Any]) -> bool:
    """Tell whether each run was at weight 0 in the time that fairway promises."""
    return bool(result["runs"]) and all(
        one["seconds"] is not None and one["seconds"] <= LIMIT_SECONDS for one in result["runs"]
    )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "configurations",
        nargs="*",
        metavar="CONFIGURATION",
        help=f"of {', '.join(CONFIGURATIONS)}; all by default",
    )
    parser.add_argument("--runs", type=int, help="of each, instead of its own number")
    parser.add_argument(
        "--again", action="store_true", help="forget what was measured of them before"
    )
    parser.add_argument(
        "--note",
        default="",
        help="what a reader of the result must know of these runs, for the page",
    )
    options = parser.parse_args(arguments)
    for name in options.configurations:
        if name not in CONFIGURATIONS:
            parser.error(f"there is no configuration {name!r}: wanted {', '.join(CONFIGURATIONS)}")
    if options.runs is not None and options.runs < 1:
        parser.error(f"--runs {options.runs}: wanted 1 or more")
    return options


def _measure_all(names: Iterable[str], *, runs: int | None, note: str) -> bool:
    """Tell whether each configuration could be measured; where one could not, the others are all
    the same."""
    theirs = clusters.running() is not None
    cluster = clusters.external() or clusters.up(bound=not theirs)
    try:
        stack.install(cluster)
        stack.install_fairway(cluster)

        def measured(name: str) -> bool:
            try:
                _measure(cluster, name, runs=runs, note=note)
            except AssertionError as error:
                print(f"{name} was not measured: {error}", file=sys.stderr, flush=True)
                return False
            return True

        quick = [measured(name) for name in names if not CONFIGURATIONS[name].slow]
        with ThreadPoolExecutor() as pool:
            return all(
                [*quick, *pool.map(measured, [name for name in names if CONFIGURATIONS[name].slow])]
            )
    finally:
        if not theirs and cluster.folder is not None:
            clusters.down()


def _measure(cluster: clusters.Cluster, name: str, *, runs: int | None, note: str) -> None:
    """Measure what is missing of one configuration; what is done is kept, whatever comes after it."""
    tool = CONFIGURATIONS[name].set_up(cluster)
    try:
        for _ in range(
            2 * _missing(name, runs)
        ):  # as many again may be void: the machine was too busy for what was to be measured
            number = len(_done(name)) + 1
            one = run.measure(cluster, tool, number).document()
            print(f"{name} {number}: {one}", file=sys.stderr, flush=True)
            _keep(name, [*_done(name), one], note)
            if not _missing(name, runs):
                break
    finally:
        tool.end()


def _missing(name: str, runs: int | None) -> int:
    """Return how many runs that count are still to be had."""
    counted = sum(not one["void"] for one in _done(name))
    return max(0, (runs or CONFIGURATIONS[name].runs) - counted)


def _done(name: str) -> list[dict[str, Any]]:
    result = _results().get(name, {"runs": [], "void": []})
    return [*result["runs"], *result["void"]]


def _results() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def _forget(names: Iterable[str]) -> None:
    RESULTS.write_text(
        json.dumps(
            {name: result for name, result in _results().items() if name not in names}, indent=1
        )
        + "\n"
    )


def _keep(name: str, done: list[dict[str, Any]], note: str) -> None:
    with WRITING:
        results = _results()
        results[name] = {
            "date": time.strftime("%Y-%m-%d"),
            "cores": os.cpu_count(),
            "note": note or results.get(name, {}).get("note", ""),
            "runs": [one for one in done if not one["void"]],
            "void": [one for one in done if one["void"]],
        }
        fresh = RESULTS.with_suffix(".new")
        fresh.write_text(json.dumps(results, indent=1) + "\n")
        fresh.rename(RESULTS)  # whoever reads at the same time reads the old or the new


def _row(configuration: Configuration, result: dict[str, Any]) -> dict[str, Any]:
    runs = result["runs"]
    seconds = [one["seconds"] for one in runs]
    return {
        "tool": configuration.tool,
        "configuration": configuration.words,
        "runs": len(runs),
        "seconds to weight 0": ", ".join(map(_seconds, runs)),
        "median s": _median(seconds),
        "bad requests": ", ".join(_bad(one) for one in runs),
        "median bad": f"{statistics.median(one['bad'] for one in runs):g}",
        "machine load": f"{min(one['machine_load'] for one in runs):.1f} to "
        f"{max(one['machine_load'] for one in runs):.1f}",
    }


def _seconds(one: dict[str, Any]) -> str:
    return "never" if one["seconds"] is None else f"{one['seconds']:.1f}"


def _bad(one: dict[str, Any]) -> str:
    """Return the bad requests, and how many of them were not the new revision's: an overloaded
    machine makes such."""
    return (
        f"{one['bad']} ({one['bad_elsewhere']} elsewhere)"
        if one["bad_elsewhere"]
        else str(one["bad"])
    )


def _median(seconds: list[float | None]) -> str:
    middle = statistics.median(float("inf") if one is None else one for one in seconds)
    return "never" if middle == float("inf") else f"{middle:.1f}"


def page(results: dict[str, Any]) -> str:
    """Return docs/peers.md."""
    dates = sorted({result["date"] for result in results.values()})
    measured = (
        "It is not measured yet."
        if not results
        else (
            f"Measured on {' and '.join(dates)}, {max(result['cores'] for result in results.values())} cores for the "
            f"cluster, the load and whatever else ran "
            "(`machine load` is the load average of one minute)."
        )
    )
    figures = f"{table(results)}\n\n{result_in_words(results)}\n\n" if results else ""
    return PROSE.read_text().replace("${MEASURED}", measured).replace("${FIGURES}", figures)


def result_in_words(results: dict[str, Any]) -> str:
    """Return who was sooner, one sentence a peer; it says so where fairway is not."""
    mine = results.get("fairway", {"runs": []})["runs"]
    lines = []
    if mine:
        slow = sum(one["seconds"] is None or one["seconds"] > LIMIT_SECONDS for one in mine)
        lines.append(
            f"* {len(mine) - slow} of fairway's {len(mine)} runs were at weight 0 within its promise of "
            f"{LIMIT_SECONDS:.0f} s."
        )
    for name in CONFIGURATIONS:
        runs = results[name]["runs"] if name in results else []
        if mine and runs and name != "fairway":
            sooner, fewer = (_compared(mine, runs, key) for key in ("seconds", "bad"))
            lines.append(
                f"* Against {name}: fairway's median time is {sooner}, its median of bad requests {fewer}."
            )
        if len(runs) < CONFIGURATIONS[name].runs:
            lines.append(f"* {name}: {len(runs)} of {CONFIGURATIONS[name].runs} runs counted.")
        if name in results and results[name]["note"]:
            lines.append(f"* {name}: {results[name]['note']}.")
    lines += [
        f"* Not counted: {name}, seconds to weight 0 {_seconds(one)}, bad requests {_bad(one)}, machine load "
        f"{one['machine_load']}: {one['void']}."
        for name in CONFIGURATIONS
        if name in results
        for one in results[name]["void"]
    ]
    return "\n".join(lines)


def _compared(mine: list[dict[str, Any]], theirs: list[dict[str, Any]], key: str) -> str:
    one, other = (
        statistics.median(float("inf") if run_[key] is None else run_[key] for run_ in runs)
        for runs in (mine, theirs)
    )
    if one == other:
        return "the same"
    told = ["never" if value == float("inf") else f"{value:g}" for value in (one, other)]
    return f"{'lower' if one < other else '**higher**'} ({' to '.join(told)})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

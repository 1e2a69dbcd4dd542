"""`python -m benchmarks [hot-path] [overload] [--quick]` prints the tables, and writes
docs/benchmarks.md when all are run in full.

The judge has a page of its own (benchmarks.judge), and so have drift (benchmarks.drift), the
judge's peers on a cluster (benchmarks.peers) and the idle operator (benchmarks.idle).
"""

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(
        [
            *lines,
            *(
                "| "
                + " | ".join(str(row[name]) if row[name] is not None else "-" for name in head)
                + " |"
                for row in rows
            ),
        ]
    )


def hot_path(*, quick: bool) -> str:
    from benchmarks import hot_path as bench

    rows = bench.measure(seconds=2.0 if quick else 5.0, rounds=1 if quick else 5)
    ratio = float(rows[0]["requests/s"]) / float(rows[1]["requests/s"])  # type: ignore[arg-type]
    return (
        "## Hot path\n\nOne row a request, 8 connections, one worker, load from the same machine.\n\n"
        f"{table(rows)}\n\nfairway serves {ratio:.1f} times the requests of `@bentoml.api`."
    )


def overload(*, quick: bool) -> str:
    from benchmarks import overload as bench

    slow, peak = bench.slow_bodies(), bench.overload(seconds=3.0 if quick else 8.0)
    return (
        "## Overload\n\nA second at half the capacity, a peak at three times the capacity, and half again; one "
        "worker on a core of "
        f"its own, at most {bench.CONNECTIONS} connections, load and Envoy on the other cores. Times are from when a "
        f"request "
        "was due, the wait at its client included. "
        "`unbounded` is the same server without admission and without bounds on uploads, behind Envoy with the "
        "limits of before.\n\n"
        f"{table(peak)}\n\n## Slow bodies\n\n{bench.HELD} uploads are begun and never end; a neighbour asks 200 "
        f"times meanwhile.\n\n{table(slow)}"
    )


BENCHMARKS = {"hot-path": hot_path, "overload": overload}


def main(arguments: list[str]) -> None:
    quick = "--quick" in arguments
    chosen = [name for name in arguments if name in BENCHMARKS] or list(BENCHMARKS)
    unknown = [name for name in arguments if name not in (*BENCHMARKS, "--quick")]
    if unknown:
        sys.exit(
            f"there is no benchmark {unknown[0]!r}: wanted {', '.join(BENCHMARKS)}, and --quick"
        )
    parts = [BENCHMARKS[name](quick=quick) for name in chosen]
    print("\n\n".join(parts))
    if not quick and len(chosen) == len(BENCHMARKS):
        head = (
            f"# Benchmarks\n\nWritten by `make bench` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, "
            f"{platform.machine()}, Python "
            f"{platform.python_version()}. Shared machines are noisy: the ratio counts, not the figure.\n\n"
            "The judge's figures are in [judge.md](judge.md), those of drift in [drift.md](drift.md#measured), "
            "those beside real peers in [peers.md](peers.md)."
        )
        PAGE.write_text("\n\n".join([head, *parts]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

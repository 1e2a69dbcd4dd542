"""`python -m benchmarks.eventstore [rate] [history] [--events N] [--seconds S] [--before SOURCE]`
prints how many events a second a collector takes, and how long questions to a store of many events
take, of both databases, and the targets: exit 1 where one is missed.

With `--before` the rate of an earlier version, whose `src` SOURCE is, is measured beside this one's.
Ten million events take some ten minutes and 20 GB; with that many the tables of docs/events.md are
written.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import __main__ as bench
from benchmarks.eventstore import history, rate

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
SOURCE = Path(__file__).parents[2] / "src"
DATABASES = {"SQLite": 3000, "PostgreSQL": 5000}  # events a second that are wanted
FULL, USUAL = 10_000_000, 500_000
CORES = 2
WARM_SECONDS = 60.0  # before the rate into a filled store
LONGEST = 1.0  # seconds that a question may take
Rows = list[dict[str, object]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.eventstore", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("part", nargs="*", choices=[[], "rate", "history"], help="both by default")
    parser.add_argument("--events", type=int, default=USUAL, help="of the history")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each rate")
    parser.add_argument("--before", type=Path, help="the src of an earlier version")
    options = parser.parse_args(arguments)
    parts = options.part or ["rate", "history"]
    held = True
    if "rate" in parts:
        held &= _show("rate", *rates(options), write=options.events >= FULL)
    if "history" in parts:
        held &= _show("history", *histories(options), write=options.events >= FULL)
    return 0 if held else 1


def rates(options: argparse.Namespace) -> tuple[Rows, Rows]:
    """Return the rates into empty stores, and whether they are what is wanted."""
    versions = {"before": options.before, "now": SOURCE}
    rows: Rows = []
    targets: Rows = []
    for database, wanted in DATABASES.items():
        found = {}
        for version, source in versions.items():
            if source is None:
                continue
            with rate.opened(database) as place:
                found[version] = rate.measure(place, seconds=options.seconds, source=source)
            rows.append(_rate(f"{database}, {version}", found[version]))
        targets += _of_rate(database, found["now"], wanted=wanted)
        if "before" in found:
            ratio = found["now"].a_processor_second / found["before"].a_processor_second
            what = f"{database}: events a processor second, times the version before"
            targets.append(_target(what, f"{ratio:.2f}", "1", ratio >= 1))
    return rows, targets


def histories(options: argparse.Namespace) -> tuple[Rows, Rows]:
    """Return what is asked of a filled store and how long it takes in both databases."""
    asked: dict[str, dict[str, object]] = {}
    slowest: dict[str, float] = {}
    targets: Rows = []
    for database, wanted in DATABASES.items():
        with rate.opened(database) as place:
            began = time.monotonic()
            history.fill(place.place, database=database, events=options.events)
            print(f"{database} was filled in {time.monotonic() - began:.0f} s", flush=True)
            for question, first, later in history.measure(place.place, events=options.events):
                row = asked.setdefault(question, {"question": question})
                row.update({f"{database}, first": f"{first:.3f}", "then at most": f"{later:.3f}"})
                row[f"{database}, then"] = row.pop("then at most")
                slowest[database] = max(slowest.get(database, 0.0), later)
            taken = rate.measure(place, seconds=options.seconds, source=SOURCE, warm=WARM_SECONDS)
            gone, longest, seconds = history.prune(place.place, events=options.events)
        targets += [
            _target(
                f"{database}: the slowest question, seconds",
                f"{slowest[database]:.2f}",
                f"{LONGEST:g}",
                slowest[database] < LONGEST,
            ),
            *_of_rate(f"{database}, filled", taken, wanted=wanted),
            _target(
                f"{database}: old events let go a second (longest step {longest:.2f} s)",
                f"{gone / seconds:,.0f}",
                f"{wanted:,}",
                gone / seconds >= wanted,
            ),
        ]
    return list(asked.values()), targets


def _of_rate(name: str, found: rate.Rate, *, wanted: int) -> Rows:
    """Return the targets of a rate: by the clock, and, as others use the machine, by the processor."""
    whole = CORES * found.a_second / found.processors
    return [
        _target(
            f"{name}: events a second, with {found.processors:.2f} of {CORES} processors",
            f"{found.a_second:,.0f}",
            f"{wanted:,}",
            found.a_second >= wanted,
        ),
        _target(
            f"{name}: events for each second of {CORES} processors, sending included",
            f"{whole:,.0f}",
            f"{wanted:,}",
            whole >= wanted,
        ),
    ]


def _rate(name: str, found: rate.Rate) -> dict[str, object]:
    each = {
        side: f"{1e6 * seconds / found.events:.0f}"
        for side, seconds in (
            ("sending", found.senders),
            ("collector", found.collector),
            ("database", found.database),
        )
    }
    return {
        "store": name,
        "events a second": f"{found.a_second:,.0f}",
        **{f"{side}, µs an event": taken for side, taken in each.items()},
        "events a processor second": f"{found.a_processor_second:,.0f}",
    }


def _target(what: str, seen: str, bound: str, held: bool) -> dict[str, object]:
    return {"target": what, "measured": seen, "bound": bound, "held": "yes" if held else "NO"}


def _show(name: str, measured: Rows, targets: Rows, *, write: bool) -> bool:
    text = f"{bench.table(measured)}\n\n{bench.table(targets)}"
    print(f"## {name}\n\n{text}\n", flush=True)
    if write:
        _write(name, text)
    return all(row["held"] == "yes" for row in targets)


def _write(name: str, text: str) -> None:
    """Put the tables of a part between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    mark = f"<!-- {name}, written by python -m benchmarks.eventstore -->\n"
    head, begin, rest = page.partition(mark)
    _, end, tail = rest.partition(f"<!-- end of {name} -->")
    if not end:
        raise SystemExit(f"{PAGE.name} has no place for {name}: wanted the two marks around it")
    PAGE.write_text(f"{head}{begin}\n{text}\n\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

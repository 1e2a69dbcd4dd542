"""What the monitor holds in memory: a wide deployment watched over many windows, in a process of its own
beside one that only imports the same modules.

    python -m benchmarks.drift.memory KIND --folder FOLDER [--engine ENGINE] [--features N] [--windows N]

is such a process: it prints its peak in MiB. `watch` is the monitor, `replay` the same rows as a CSV file that
`fairway monitor replay` plays. Some of what is served is what no model expects: the ends of the floats,
missing values, words of 2 MB.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fairway.cli import monitor
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring import detectors, exporter, keeper, looks, references
from fairway.monitoring.eventstore import places
from fairway.monitoring.watched import Described, Watched

MOST = 512  # MiB of one process
FEATURES, WINDOWS = 500, 1_000  # windows of the smallest scale
KINDS = ("imports", "watch", "replay")
WORDS = ("de", "fr", "pl")
CODES = 10  # of the features that are words: one in ten
LARGEST = 1.7976931348623157e308
LONG = "x" * 2_000_000
LONG_EVERY = 50  # windows
START, ROW_SECONDS = 1_800_000_000.0, 60.0
WINDOW = min(sections.SCALES)
REFERENCE = 4_000  # rows
ASKED = 10  # rows of a request


def peak(kind: str, *, engine: str, features: int = FEATURES, windows: int = WINDOWS) -> int:
    """Return the most memory that a process had at once in MiB, the files that it maps included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __name__, kind, "--folder", folder, "--engine", engine]
        command += ["--features", str(features), "--windows", str(windows)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1])


def rows(features: int, *, windows: int) -> Iterator[dict[str, list[Any]]]:
    """Give the columns of one window after the other."""
    rng = np.random.default_rng(0)
    for _ in range(windows):
        numbers = rng.normal(size=(features, WINDOW)).round(6).tolist()
        words = rng.choice(WORDS, size=(features, WINDOW)).tolist()
        yield {
            f"f{place}": words[place] if place % CODES == 0 else numbers[place]
            for place in range(features)
        }


def odd_rows(features: int, *, windows: int) -> Iterator[dict[str, list[Any]]]:
    """Give the same with what no model expects among it."""
    for number, columns in enumerate(rows(features, windows=windows)):
        columns["f1"][0], columns["f2"][0], columns["f3"][0] = LARGEST, -LARGEST, None
        if number % LONG_EVERY == 0:
            columns["f0"][0] = LONG
        yield columns


# -- in the process ----------------------------------------------------------------------------


def watched(folder: Path, *, engine: str, features: int, windows: int) -> None:
    """Serve and look at one window after the other, with the monitor's own rounds and store."""
    first = next(rows(features, windows=1))
    trained = {name: np.array(values * (1_000 // WINDOW)) for name, values in first.items()}
    names = {
        name: "category" if type(values[0]) is str else "number" for name, values in first.items()
    }
    schema = Schema(target="", features=tuple(Feature(name=n, kind=k) for n, k in names.items()))
    events = places.opened(folder / "events.db")
    rounds = looks.Rounds(
        make=lambda one: keeper.Keeper(
            one,
            package=Described(schema=schema, trained=trained),
            events=events,
            shelf=references.FolderShelf(folder, one.deployment),
            series=exporter.Exporter(),
        ),
        series=exporter.Exporter(),
    )
    learn = {"rows": REFERENCE, "duration": "0s"}
    section = sections.Monitoring.model_validate({"engine": engine, "learn": learn})
    wide = Watched(deployment="wide", namespace="default", revision="r", section=section)
    tested = 0
    for number, columns in enumerate(odd_rows(features, windows=windows)):
        events.add(_events(columns, first=number * WINDOW))
        tested += rounds.look([wide], fleet=1, now=START + (number + 1) * WINDOW * ROW_SECONDS)
        if rounds.failures:
            raise rounds.failures[wide]
    print(tested)


def replayed(folder: Path, *, features: int, windows: int) -> None:
    """Write the rows and a reference as files, and play them as the command does."""
    played, reference = folder / "rows.csv", folder / "reference.csv"
    _write(played, odd_rows(features, windows=windows))
    _write(reference, rows(features, windows=REFERENCE // WINDOW))
    arguments = [str(played), "--reference", str(reference), "--output", "json"]
    monitor.replay.main(arguments, standalone_mode=False)


def _write(path: Path, parts: Iterable[dict[str, list[Any]]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        for number, columns in enumerate(parts):
            if not number:
                table.writerow(columns)
            table.writerows(zip(*columns.values(), strict=True))


def _events(columns: dict[str, list[Any]], *, first: int) -> list[dict[str, Any]]:
    """Return the rows as the events of requests of some rows each."""
    rows = len(columns["f0"])
    return [_event(columns, begin, first + begin) for begin in range(0, rows, ASKED)]


def _event(columns: dict[str, list[Any]], begin: int, number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "dev.fairway.prediction.v1",
        "id": f"{number}/r/stable",
        "source": "/fairway/default/wide/r",
        "time": datetime.fromtimestamp(START + number * ROW_SECONDS, UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "requestId": str(number),
            "unitId": None,
            "deployment": "wide",
            "namespace": "default",
            "revision": "r",
            "role": "stable",
            "status": 200,
            "rows": ASKED,
            "inputDigest": "0123456789abcdef",
            "inputs": {name: values[begin : begin + ASKED] for name, values in columns.items()},
            "labels": ["cat"] * ASKED,
            "probabilities": [[0.25, 0.75]] * ASKED,
            "latencySeconds": 0.002,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--engine", default="native")
    parser.add_argument("--features", type=int, default=FEATURES)
    parser.add_argument("--windows", type=int, default=WINDOWS)
    asked = parser.parse_args()
    detectors.load(asked.engine, p_value=keeper.P_VALUE, schema=Schema(target="", features=()))
    if asked.kind == "watch":
        watched(asked.folder, engine=asked.engine, features=asked.features, windows=asked.windows)
    elif asked.kind == "replay":
        replayed(asked.folder, features=asked.features, windows=asked.windows)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    told = dict(line.split(":", 1) for line in lines)
    print(int(told["VmHWM"].split()[0]) >> 10)


if __name__ == "__main__":
    main()
